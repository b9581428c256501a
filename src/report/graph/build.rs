//! From a runbook, and the steps of a plan where there is one, to the tree that is drawn.

use std::collections::{BTreeMap, HashMap};

use super::{Graph, Kind, Node};
use crate::model::action_spec::Catalogue;
use crate::model::effect::Effect;
use crate::model::plan::{Change, PlanStep, Planned};
use crate::model::runbook::{Check, Confirm, ForEach, OnFailure, Rollback, Runbook, Step, Template, Verb};
use crate::model::value;
use crate::report::figures::count;

/// Calls are opened until so many steps are drawn; a runbook that calls more is drawn with closed ones.
const MOST: usize = 2000;

pub(super) fn graph(runbook: &Runbook, catalogue: &Catalogue, planned: &[PlanStep]) -> Graph {
    let by_path = planned.iter().map(|step| (step.path.as_str(), step)).collect();
    let mut builder = Builder { runbook, catalogue, planned, by_path, open: Vec::new(), drawn: 0 };
    let nodes = builder.scope(&runbook.steps, &runbook.finally, "");
    let title = runbook.title.clone().unwrap_or_else(|| runbook.name.clone());
    Graph { name: runbook.name.clone(), title, nodes }
}

struct Builder<'a> {
    runbook: &'a Runbook,
    catalogue: &'a Catalogue,
    planned: &'a [PlanStep],
    by_path: BTreeMap<&'a str, &'a PlanStep>,
    /// The procedures that are being drawn: one that calls itself is not opened again.
    open: Vec<&'a str>,
    drawn: usize,
}

impl<'a> Builder<'a> {
    fn scope(&mut self, steps: &'a [Step], finally: &'a [Step], scope: &str) -> Vec<Node> {
        let places: HashMap<&str, usize> = steps.iter().zip(0..).map(|(step, i)| (step.id.as_str(), i)).collect();
        let mut nodes = Vec::new();
        for step in steps {
            let mut node = self.step(step, &child(scope, &step.id));
            node.needs = step.needs.iter().filter_map(|need| places.get(need.as_str()).copied()).collect();
            nodes.push(node);
        }
        if !finally.is_empty() {
            let needs = (0..nodes.len()).filter(|i| !nodes.iter().any(|n| n.needs.contains(i))).collect();
            let path = child(scope, "finally");
            let inner = Some(self.scope(finally, &[], &path));
            nodes.push(Node { needs, inner, finally: true, ..node(path, "finally", Kind::Scope, "whatever happens") });
        }
        nodes
    }

    fn step(&mut self, step: &'a Step, path: &str) -> Node {
        let Some(fan) = &step.for_each else { return self.body(step, path, &step.id) };
        let keys = self.keys(path);
        if keys.is_empty() {
            let mut node = self.body(step, &format!("{path}[*]"), &step.id);
            path.clone_into(&mut node.path);
            node.notes.insert(0, each_of(fan));
            node.many = true;
            return node;
        }
        let items = keys.iter().map(|key| self.body(step, &format!("{path}[{key}]"), &format!("[{key}]")));
        // What holds for each item is said once.
        let shared = conditions(step, true);
        let bare = |mut item: Node| {
            item.notes.retain(|note| !shared.contains(note));
            item
        };
        let items: Vec<Node> = items.map(bare).collect();
        Node { inner: Some(items), notes: shared, ..node(path.to_owned(), &step.id, Kind::Scope, &each_of(fan)) }
    }

    /// The items of a fan-out that the plan shows, in its order.
    fn keys(&self, path: &str) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        let beginning = format!("{path}[");
        for step in self.planned {
            let rest = step.path.as_str().strip_prefix(&beginning);
            let Some((key, rest)) = rest.and_then(|rest| rest.split_once(']')) else { continue };
            let of_it = rest.is_empty() || rest.starts_with('/');
            if of_it && keys.last().is_none_or(|last| last != key) && !keys.iter().any(|known| known == key) {
                keys.push(key.to_owned());
            }
        }
        keys
    }

    /// What a step does, apart from how often.
    fn body(&mut self, step: &'a Step, path: &str, name: &str) -> Node {
        self.drawn += 1;
        let mut drawn = match &step.verb {
            Verb::Uses { action, .. } => node(path.to_owned(), name, self.kind(action, step), action),
            Verb::Confirm(confirm) => asks(confirm, path, name),
            Verb::Call { procedure, .. } => self.call(procedure, path, name),
            Verb::Steps(inner) | Verb::Parallel(inner) if inner.is_empty() => {
                node(path.to_owned(), name, Kind::Nothing, "nothing")
            }
            Verb::Steps(inner) => {
                let inner = Some(self.scope(inner, &[], path));
                Node { inner, ..node(path.to_owned(), name, Kind::Scope, "one after another") }
            }
            Verb::Parallel(inner) => {
                let inner = Some(self.scope(inner, &[], path));
                Node { inner, ..node(path.to_owned(), name, Kind::Scope, "at the same time") }
            }
        };
        let planned = self.by_path.get(path).copied();
        drawn.notes.extend(conditions(step, planned.is_some()));
        drawn.notes.extend(self.undo(step, drawn.kind));
        if let Some(planned) = planned {
            as_planned(&mut drawn, planned);
        }
        drawn
    }

    fn call(&mut self, procedure: &'a str, path: &str, name: &str) -> Node {
        let what = format!("calls {procedure}");
        let Some(called) = self.runbook.procedures.get(procedure) else {
            return node(path.to_owned(), name, Kind::Unknown, &what);
        };
        if self.open.contains(&procedure) || self.drawn > MOST {
            return node(path.to_owned(), name, Kind::Unknown, &format!("{what} (not drawn again)"));
        }
        self.open.push(procedure);
        let inner = Some(self.scope(&called.steps, &called.finally, path));
        self.open.pop();
        Node { inner, ..node(path.to_owned(), name, Kind::Scope, &what) }
    }

    fn kind(&self, action: &str, step: &Step) -> Kind {
        let with = match &step.verb {
            Verb::Uses { with, .. } => with.as_slice(),
            _ => &[],
        };
        match self.catalogue.get(action).map(|spec| spec.effect_in(with)).max(step.effect) {
            Some(Effect::Read) => Kind::Read,
            Some(Effect::Change) => Kind::Change,
            Some(Effect::Disrupt) => Kind::Disrupt,
            Some(Effect::Destroy) => Kind::Destroy,
            None => Kind::Unknown,
        }
    }

    fn undo(&self, step: &Step, kind: Kind) -> Option<String> {
        let undoable = || match &step.verb {
            Verb::Uses { action, .. } => self.catalogue.get(action).is_some_and(|spec| spec.undoable),
            _ => false,
        };
        match &step.rollback {
            Rollback::Steps(steps) => {
                let names: Vec<&str> = steps.iter().map(|s| s.id.as_str()).collect();
                Some(format!("undo: {}", names.join(", ")))
            }
            Rollback::None(why) => Some(format!("no undo: {why}")),
            Rollback::Auto if matches!(kind, Kind::Read | Kind::Ask | Kind::Scope | Kind::Nothing | Kind::Unknown) => {
                None
            }
            Rollback::Auto if undoable() => Some("undo: the action's own".into()),
            Rollback::Auto => Some("no undo of its own".into()),
        }
    }
}

fn node(path: String, name: &str, kind: Kind, what: &str) -> Node {
    Node {
        path,
        name: name.to_owned(),
        kind,
        what: what.to_owned(),
        notes: Vec::new(),
        many: false,
        needs: Vec::new(),
        finally: false,
        inner: None,
    }
}

fn child(scope: &str, id: &str) -> String {
    if scope.is_empty() { id.to_owned() } else { format!("{scope}/{id}") }
}

fn asks(confirm: &Confirm, path: &str, name: &str) -> Node {
    let mut node = node(path.to_owned(), name, Kind::Ask, &source(&confirm.message));
    node.notes.extend(confirm.word.as_ref().map(|word| format!("to be answered with {}", source(word))));
    node
}

/// A template as its author wrote it.
fn source(template: &Template) -> String {
    match template {
        Template::Literal(given) => value::written(crate::model::param::ValueType::Any, given),
        Template::Expr(expr) => format!("{{{{ {} }}}}", expr.source),
        Template::Text(expr) => expr.source.clone(),
        Template::List(_) | Template::Map(_) => "…".into(),
    }
}

fn each_of(fan: &ForEach) -> String {
    let sizes: Vec<String> = fan.batches.iter().map(ToString::to_string).collect();
    let waves = (!sizes.is_empty()).then(|| format!("in waves of {}", sizes.join(", ")));
    let at_once = match &fan.max_parallel {
        // A wave goes at once, where nothing else is said.
        None if waves.is_some() => None,
        None => Some("one at a time".to_owned()),
        Some(Template::Literal(n)) if *n == 1 => Some("one at a time".to_owned()),
        Some(most) => Some(format!("at most {} at once", source(most))),
    };
    let how: Vec<String> = waves.into_iter().chain(at_once).collect();
    format!("each {} of {}, {}", fan.binding, fan.list.source, how.join(", "))
}

fn conditions(step: &Step, planned: bool) -> Vec<String> {
    let mut notes = Vec::new();
    // What a plan has evaluated says more than its source.
    if !planned {
        notes.extend(step.when.iter().map(|e| format!("when {}", e.source)));
        notes.extend(step.skip_if.iter().map(|e| format!("done if {}", e.source)));
    }
    let checks = |checks: &[Check]| count(checks.len(), "check", "checks");
    if !step.gate.is_empty() {
        notes.push(format!("gate of {}", checks(&step.gate)));
    }
    if !step.verify.is_empty() {
        notes.push(format!("verified by {}", checks(&step.verify)));
    }
    notes.extend(step.retry.as_ref().map(|retry| format!("up to {}", count(retry.attempts as usize, "try", "tries"))));
    if step.optional {
        notes.push("optional: its failure is borne".into());
    }
    notes.extend(step.on_failure.map(|what| {
        let what = match what {
            OnFailure::Stop => "stop",
            OnFailure::Continue => "go on",
            OnFailure::Rollback => "roll back",
            OnFailure::Ask => "ask",
        };
        format!("on failure: {what}")
    }));
    notes
}

/// What the plan found out about it.
fn as_planned(node: &mut Node, planned: &PlanStep) {
    node.kind = match (&planned.planned, planned.change) {
        (Planned::Gate { .. }, _) => Kind::Ask,
        (Planned::Skipped(_) | Planned::Unchanged, _) | (_, Change::None) => Kind::Nothing,
        (_, Change::Create) => Kind::Create,
        (_, Change::Change) => Kind::Change,
        (_, Change::Destroy) => Kind::Destroy,
        (_, Change::Disrupt) => Kind::Disrupt,
        (_, Change::Read) => Kind::Read,
        (_, Change::Unknown) => Kind::Unknown,
    };
    match &planned.planned {
        Planned::Skipped(why) => node.notes = vec![format!("skipped: {why}")],
        Planned::Unchanged => node.notes.insert(0, "it is so already".into()),
        Planned::Maybe => node.notes.insert(0, "may be skipped".into()),
        Planned::Run | Planned::Gate { .. } => {}
    }
    if !planned.summary.is_empty() && !matches!(planned.planned, Planned::Skipped(_)) {
        node.what.clone_from(&planned.summary);
    }
    let changes = matches!(node.kind, Kind::Create | Kind::Change | Kind::Destroy | Kind::Disrupt | Kind::Unknown);
    node.notes.retain(|note| !note.starts_with("undo: ") && !note.starts_with("no undo"));
    if changes && !planned.undo.is_empty() {
        node.notes.push(format!("undo: {}", planned.undo));
    }
}
