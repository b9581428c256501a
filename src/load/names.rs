//! Which names each expression of a runbook may use: checked before anything runs.
//!
//! A reference to a step that does not surely come first is an error, never an invisible edge.

use std::collections::HashMap;
use std::rc::Rc;

use crate::expr::{Segment, nearest, references, segments};
use crate::model::param::Param;
use crate::model::runbook::{Check, Expr, Rollback, Runbook, Step, Template, Verb};

use super::diagnostic::{Span, code};
use super::params::default_template;
use super::reader::Reader;
use super::template::place_inside;
use super::uses::Callables;

/// Names that every expression sees.
pub const ALWAYS: [&str; 6] = ["params", "vars", "cluster", "config", "run", "steps"];
/// Names of what a step found and did: in its verify, outputs and rollback.
pub const OF_RESULT: [&str; 2] = ["before", "result"];
/// What `run` holds.
pub const RUN: [&str; 2] = ["id", "started"];
/// What `config` holds, as [`scope_of`](super::site::scope_of) gives it.
pub const CONFIG: [&str; 11] = [
    "ansible",
    "cloudinit",
    "cluster",
    "defaults",
    "netbox",
    "placement",
    "policy",
    "tags",
    "talos",
    "taskfile",
    "vmid_ranges",
];
/// What `cluster` holds.
pub const CLUSTER: [&str; 10] =
    ["file", "flux", "folder", "name", "network", "nodes", "tags", "talos", "template", "type"];

pub fn check(reader: &mut Reader<'_>, runbook: &Runbook, callables: &Callables<'_>) {
    let mut checker = Checker { reader, callables, params: Vec::new(), vars: Vec::new(), all_vars: Vec::new() };
    checker.scope(&runbook.params, &runbook.vars);
    checker.body(&runbook.require, &runbook.steps, &runbook.finally, &runbook.outputs);
    for define in runbook.procedures.values() {
        checker.scope(&define.params, &define.vars);
        checker.body(&define.require, &define.steps, &define.finally, &define.outputs);
    }
}

/// Defaults see `cluster` and `config` only. Their place is not kept: the message names the parameter.
fn check_defaults(checker: &mut Checker<'_, '_, '_>, params: &[Param]) {
    for param in params {
        let Some(text) = param.default.as_ref().and_then(|d| d.as_str()).filter(|t| t.contains("{{")) else { continue };
        for reference in crate::expr::template_references(&default_template(text)) {
            let root = reference.names[0].as_str();
            if root != "cluster" && root != "config" {
                let at = checker.reader.source.text.find(text).unwrap_or(0);
                let span = checker.reader.source.span_at(at, text.len());
                checker
                    .reader
                    .error(code::UNKNOWN_NAME, span, format!("the default of `{}` uses `{root}`", param.name))
                    .help("a default may use `cluster` and `config`");
            }
        }
    }
}

/// What a reference may find below `steps.ID` or `result`.
enum Outputs {
    Any,
    Named(Vec<String>),
}

/// A list of siblings, with what makes looking into it cheap.
struct Siblings<'m> {
    steps: &'m [Step],
    index: HashMap<&'m str, usize>,
    /// For each step the first one of the unbroken chain of neighbours that ends with it.
    chain: Vec<usize>,
}

impl<'m> Siblings<'m> {
    fn new(steps: &'m [Step]) -> Rc<Self> {
        let index = steps.iter().enumerate().map(|(i, s)| (s.id.as_str(), i)).collect();
        let mut chain: Vec<usize> = Vec::with_capacity(steps.len());
        for (i, step) in steps.iter().enumerate() {
            let linked = i > 0 && step.needs.contains(&steps[i - 1].id);
            chain.push(if linked { chain[i - 1] } else { i });
        }
        Rc::new(Self { steps, index, chain })
    }

    /// Whether `index` surely comes before `current`, by the needs of the list.
    fn is_ancestor(&self, current: usize, index: usize) -> bool {
        if (self.chain[current]..current).contains(&index) {
            return true;
        }
        let mut seen = vec![false; self.steps.len()];
        let mut open = vec![current];
        while let Some(i) = open.pop() {
            for need in self.steps[i].needs.iter().filter_map(|need| self.index.get(need.as_str()).copied()) {
                if need == index {
                    return true;
                }
                if !std::mem::replace(&mut seen[need], true) {
                    open.push(need);
                }
            }
        }
        false
    }
}

/// One list of siblings that an expression can see into.
#[derive(Clone)]
struct Frame<'m> {
    siblings: Rc<Siblings<'m>>,
    /// Only its ancestors are visible; without it all are.
    current: Option<usize>,
    /// Whether it is visible itself: in its rollback.
    with_itself: bool,
}

/// What surrounds an expression.
#[derive(Clone, Default)]
struct Env<'m> {
    /// From the outermost to the innermost.
    frames: Vec<Frame<'m>>,
    items: Vec<&'m str>,
    /// The step whose `result` and `before` are known.
    of: Option<&'m Step>,
    /// The result of a check's own `uses`.
    check: Option<&'m str>,
}

impl<'m> Env<'m> {
    fn inside(&self, frame: Frame<'m>) -> Self {
        let mut env = self.clone();
        env.frames.push(frame);
        env
    }

    fn of(&self, step: &'m Step) -> Self {
        Self { of: Some(step), ..self.clone() }
    }
}

struct Checker<'r, 's, 'm> {
    reader: &'r mut Reader<'s>,
    callables: &'m Callables<'m>,
    params: Vec<&'m str>,
    /// Those that are defined before the place that is checked.
    vars: Vec<&'m str>,
    all_vars: Vec<&'m str>,
}

impl<'m> Checker<'_, '_, 'm> {
    /// Enters a runbook or a procedure: it sees its own parameters and values and nobody else's.
    fn scope(&mut self, params: &'m [Param], vars: &'m [(String, Template)]) {
        check_defaults(self, params);
        self.params = params.iter().map(|p| p.name.as_str()).collect();
        self.all_vars = vars.iter().map(|(name, _)| name.as_str()).collect();
        self.vars.clear();
        for (name, template) in vars {
            self.template(template, &Env::default());
            self.vars.push(name);
        }
    }

    fn body(
        &mut self,
        require: &'m [Check],
        steps: &'m [Step],
        finally: &'m [Step],
        outputs: &'m [(String, Template)],
    ) {
        let outside = Env::default();
        for check in require {
            self.check(check, &outside);
        }
        self.steps(steps, &outside);
        let all = outside.inside(Frame { siblings: Siblings::new(steps), current: None, with_itself: false });
        self.steps(finally, &all);
        for (_, template) in outputs {
            self.template(template, &all);
        }
    }

    fn steps(&mut self, steps: &'m [Step], env: &Env<'m>) {
        let siblings = Siblings::new(steps);
        let mut env = env.inside(Frame { siblings, current: None, with_itself: false });
        for (i, step) in steps.iter().enumerate() {
            if let Some(frame) = env.frames.last_mut() {
                frame.current = Some(i);
            }
            self.step(step, &env);
        }
    }

    fn step(&mut self, step: &'m Step, outer: &Env<'m>) {
        let mut env = outer.clone();
        if let Some(fan_out) = &step.for_each {
            self.expr(&fan_out.list, outer);
            fan_out.max_parallel.iter().for_each(|t| self.template(t, outer));
            env.items.push(&fan_out.binding);
            fan_out.key.iter().for_each(|e| self.expr(e, &env));
            fan_out.limit.iter().for_each(|l| self.expr(&l.by, &env));
        }
        step.when.iter().chain(&step.skip_if).for_each(|e| self.expr(e, &env));
        step.gate.iter().for_each(|c| self.check(c, outer));
        let mut inner = env.of(step);
        match &step.verb {
            Verb::Uses { with, .. } | Verb::Call { with, .. } => with.iter().for_each(|(_, t)| self.template(t, &env)),
            Verb::Confirm(confirm) => {
                self.template(&confirm.message, &env);
                confirm.show.iter().chain(&confirm.word).for_each(|t| self.template(t, &env));
            }
            Verb::Steps(steps) | Verb::Parallel(steps) => {
                self.steps(steps, &env);
                inner = inner.inside(Frame { siblings: Siblings::new(steps), current: None, with_itself: false });
            }
        }
        step.verify.iter().for_each(|c| self.check(c, &inner));
        step.outputs.iter().for_each(|(_, t)| self.template(t, &inner));
        if let Rollback::Steps(steps) = &step.rollback {
            if let Some(frame) = inner.frames.iter_mut().rev().find(|f| f.current.is_some()) {
                frame.with_itself = true;
            }
            self.steps(steps, &inner);
        }
    }

    fn check(&mut self, check: &'m Check, env: &Env<'m>) {
        check.with.iter().for_each(|(_, t)| self.template(t, env));
        let env = Env { check: check.uses.as_deref(), ..env.clone() };
        self.expr(&check.expect, &env);
        check.message.iter().for_each(|t| self.template(t, &env));
    }

    fn template(&mut self, template: &Template, env: &Env<'m>) {
        match template {
            Template::Literal(_) => {}
            Template::Expr(expr) => self.expr(expr, env),
            Template::Text(text) => {
                for segment in segments(&text.source).unwrap_or_default() {
                    if let Segment::Expr { source, offset } = segment {
                        self.source(text, source, offset, env);
                    }
                }
            }
            Template::List(items) => items.iter().for_each(|t| self.template(t, env)),
            Template::Map(entries) => entries.iter().for_each(|(_, t)| self.template(t, env)),
        }
    }

    fn expr(&mut self, expr: &Expr, env: &Env<'m>) {
        self.source(expr, &expr.source, 0, env);
    }

    fn source(&mut self, whole: &Expr, source: &str, offset: usize, env: &Env<'m>) {
        for reference in references(source) {
            let names: Vec<&str> = reference.names.iter().map(String::as_str).collect();
            let len = names.join(".").len();
            let span = place_inside(self.reader.source, whole.place, &whole.source, offset + reference.offset, len);
            self.reference(&names, span, env);
        }
    }

    fn reference(&mut self, names: &[&str], span: Span, env: &Env<'m>) {
        let below = names.get(1).copied();
        match names[0] {
            "params" => self.below("params", &self.params.clone(), below, span),
            "run" => self.below("run", &RUN, below, span),
            "config" => self.below("config", &CONFIG, below, span),
            "cluster" => self.below("cluster", &CLUSTER, below, span),
            "vars" => match below {
                Some(name) if self.all_vars.contains(&name) && !self.vars.contains(&name) => {
                    self.reader
                        .error(code::UNKNOWN_NAME, span, format!("`vars.{name}` is defined further down"))
                        .help("a variable may use those above it");
                }
                _ => self.below("vars", &self.vars.clone(), below, span),
            },
            "steps" => self.step_reference(names, span, env),
            name if env.items.contains(&name) => {}
            name @ ("result" | "before") => self.result_reference(name, below, span, env),
            name => {
                let known = ALWAYS.into_iter().chain(env.items.iter().copied());
                let near = nearest(name, known)
                    .or_else(|| env.items.last().map(|i| (*i).to_owned()).filter(|_| name == "item"));
                let diagnostic = self.reader.error(code::UNKNOWN_NAME, span, format!("there is no `{name}`"));
                diagnostic.suggest(near);
                if diagnostic.help.is_none() {
                    diagnostic.help(format!("names are {}; a text needs quotes: '{name}'", ALWAYS.join(", ")));
                }
            }
        }
    }

    fn below(&mut self, root: &str, known: &[&str], name: Option<&str>, span: Span) {
        let Some(name) = name.filter(|name| !known.contains(name)) else { return };
        let near = nearest(name, known.iter().copied()).map(|near| format!("{root}.{near}"));
        let diagnostic = self.reader.error(code::UNKNOWN_NAME, span, format!("there is no `{root}.{name}`"));
        diagnostic.suggest(near);
        if diagnostic.help.is_none() {
            let all = if known.is_empty() { "nothing".into() } else { known.join(", ") };
            diagnostic.help(format!("`{root}` has {all}"));
        }
    }

    fn result_reference(&mut self, name: &str, below: Option<&str>, span: Span, env: &Env<'m>) {
        let action = match (env.check, env.of.map(|step| &step.verb)) {
            (Some(action), _) if name == "result" => Some(action),
            (_, Some(Verb::Uses { action, .. })) => Some(action.as_str()),
            _ => None,
        };
        let Some(action) = action else {
            self.reader
                .error(code::UNKNOWN_NAME, span, format!("there is no `{name}` here"))
                .help("it is known in verify, outputs and rollback of a step with `uses`, and in expect of a check");
            return;
        };
        if name == "result"
            && let (Some(output), Outputs::Named(known)) = (below, self.action_outputs(action))
        {
            self.output("result", &known, output, span);
        }
    }

    fn step_reference(&mut self, names: &[&str], span: Span, env: &Env<'m>) {
        let Some(id) = names.get(1).copied() else {
            self.reader
                .error(code::UNKNOWN_NAME, span, "`steps` takes the id of a step as it is written")
                .help("write steps.ID.OUTPUT");
            return;
        };
        let found = env.frames.iter().rev().find_map(|f| Some((f, *f.siblings.index.get(id)?)));
        let Some((frame, index)) = found.filter(|(f, i)| f.siblings.steps[*i].named) else {
            self.no_step(id, found.map(|(f, i)| &f.siblings.steps[i]), span, env);
            return;
        };
        let step = &frame.siblings.steps[index];
        let visible = frame.current.is_none_or(|current| {
            (current == index && frame.with_itself) || frame.siblings.is_ancestor(current, index)
        });
        if !visible {
            self.not_ancestor(frame, index, span);
            return;
        }
        if let (Outputs::Named(known), Some(output)) = (self.step_outputs(step), names.get(2)) {
            self.output(&format!("steps.{id}"), &known, output, span);
        }
    }

    fn no_step(&mut self, id: &str, made_up: Option<&Step>, span: Span, env: &Env<'m>) {
        if let Some(step) = made_up {
            let label = self.reader.source.span_of(step.place, 1);
            self.reader
                .error(code::UNKNOWN_NAME, span, format!("the step that would be `{id}` has no id of its own"))
                .label(label, "this one")
                .help(format!("give it id: {id}"));
            return;
        }
        let known = env.frames.iter().flat_map(|f| f.siblings.steps).filter(|s| s.named).map(|s| s.id.as_str());
        let near = nearest(id, known).map(|near| format!("steps.{near}"));
        let diagnostic = self.reader.error(code::UNKNOWN_NAME, span, format!("there is no step `{id}` here"));
        diagnostic.suggest(near);
        if diagnostic.help.is_none() {
            diagnostic.help(
                "a step sees those of its own list and of the lists around it; a group hands values out with `outputs`",
            );
        }
    }

    fn not_ancestor(&mut self, frame: &Frame<'m>, index: usize, span: Span) {
        let step = &frame.siblings.steps[index];
        let label = self.reader.source.span_of(step.place, 1);
        let current = frame.current.map(|i| &frame.siblings.steps[i]);
        let message = match current {
            Some(current) if current.id == step.id => format!("`{}` refers to itself", step.id),
            _ => format!("`{}` does not surely come before this step", step.id),
        };
        let help = match current {
            Some(current) if current.id == step.id => {
                "what it gave is `result`, in its verify, outputs and rollback".into()
            }
            Some(current) if frame.siblings.is_ancestor(index, frame.current.unwrap_or(index)) => {
                format!("`{}` comes after `{}`: move it up", step.id, current.id)
            }
            Some(current) => {
                let needs: Vec<&str> = current.needs.iter().map(String::as_str).chain([step.id.as_str()]).collect();
                format!("add it to what `{}` needs: needs: [{}]", current.id, needs.join(", "))
            }
            None => "move it up".into(),
        };
        self.reader.error(code::NOT_ANCESTOR, span, message).label(label, "it is here").help(help);
    }

    fn output(&mut self, of: &str, known: &[String], name: &str, span: Span) {
        if known.iter().any(|k| k == name) {
            return;
        }
        let near = nearest(name, known.iter().map(String::as_str)).map(|near| format!("{of}.{near}"));
        let diagnostic = self.reader.error(code::UNKNOWN_OUTPUT, span, format!("`{of}` has no output `{name}`"));
        diagnostic.suggest(near);
        if diagnostic.help.is_none() {
            let all = if known.is_empty() { "it has none".into() } else { format!("it has {}", known.join(", ")) };
            diagnostic.help(all);
        }
    }

    fn action_outputs(&self, action: &str) -> Outputs {
        self.callables
            .action(action)
            .map_or(Outputs::Any, |spec| Outputs::Named(spec.outputs.iter().map(|o| o.name.clone()).collect()))
    }

    fn step_outputs(&self, step: &Step) -> Outputs {
        // A map of what each item gave, by its key.
        if step.for_each.is_some() {
            return Outputs::Any;
        }
        if !step.outputs.is_empty() {
            return Outputs::Named(step.outputs.iter().map(|(name, _)| name.clone()).collect());
        }
        match &step.verb {
            Verb::Uses { action, .. } => self.action_outputs(action),
            Verb::Call { procedure, .. } => {
                self.callables.procedure(procedure).map_or(Outputs::Any, |p| Outputs::Named(p.outputs.clone()))
            }
            _ => Outputs::Named(Vec::new()),
        }
    }
}
