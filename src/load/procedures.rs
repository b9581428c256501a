//! One runbook of many files: every call by its full name, no recursion, and all that is called in one map.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::tarjan_scc;
use petgraph::graph::DiGraph;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::diagnostic::{Diagnostic, Severity, Span, code};
use super::library::File;
use super::params::default_template;
use crate::model::action_spec::Catalogue;
use crate::model::effect::Effect;
use crate::model::param::Param;
use crate::model::runbook::{LockScope, OnFailure, Place, Procedure, Rollback, Runbook, Step, Template, Verb};

/// A file that was read, with what it says in so many words and [`Runbook`] does not keep apart from what it means.
pub struct Body {
    pub runbook: Runbook,
    pub on_failure: Option<OnFailure>,
    pub lock: Option<LockScope>,
}

/// A call: who calls whom, and where that is said.
struct Edge {
    from: String,
    to: String,
    file: usize,
    place: Place,
}

/// The root's own name among procedures: nothing that is called has it.
const ROOT: &str = "";

/// The name that calls of this file have.
fn key_of(files: &[File], file: usize) -> String {
    if file == 0 { ROOT.into() } else { format!("runbook:{}", files[file].source.stem()) }
}

/// The name of a local procedure of the file with this key.
fn local_key(key: &str, local: &str) -> String {
    if key == ROOT { local.into() } else { format!("{key}/{local}") }
}

/// Gives every call the key of what it calls.
pub fn name_calls(files: &[File], bodies: &mut [Option<Body>]) {
    for (index, body) in bodies.iter_mut().enumerate() {
        let Some(Body { runbook, .. }) = body else { continue };
        let key = key_of(files, index);
        let mut name = |step: &mut Step| {
            if let Verb::Call { procedure, .. } = &mut step.verb {
                match files[index].calls.get(procedure) {
                    Some(Ok(callee)) => *procedure = key_of(files, *callee),
                    Some(Err(_)) => {}
                    None => *procedure = local_key(&key, procedure),
                }
            }
        };
        runbook.each_step_mut(&mut name);
    }
}

/// Reports, with the file in which it begins, each recursion and every call that is part of it.
pub fn recursions(files: &[File], bodies: &[Option<Body>]) -> Vec<(usize, Diagnostic)> {
    let edges = edges(files, bodies);
    let keys: BTreeSet<&str> = edges.iter().flat_map(|e| [e.from.as_str(), e.to.as_str()]).collect();
    let mut graph = DiGraph::<&str, ()>::new();
    let nodes: BTreeMap<&str, _> = keys.into_iter().map(|key| (key, graph.add_node(key))).collect();
    for edge in &edges {
        graph.add_edge(nodes[edge.from.as_str()], nodes[edge.to.as_str()], ());
    }
    let mut out = Vec::new();
    for component in tarjan_scc(&graph) {
        let members: BTreeSet<&str> = component.iter().map(|node| graph[*node]).collect();
        if let Some(cycle) = cycle(&edges, &members) {
            out.push(recursion(files, &cycle));
        }
    }
    out
}

fn edges(files: &[File], bodies: &[Option<Body>]) -> Vec<Edge> {
    let mut out = Vec::new();
    for (file, body) in bodies.iter().enumerate() {
        let Some(Body { runbook, .. }) = body else { continue };
        let key = key_of(files, file);
        let mut add = |from: &str, steps: &[Step]| {
            each(steps, &mut |step| {
                if let Verb::Call { procedure, .. } = &step.verb {
                    out.push(Edge { from: from.into(), to: procedure.clone(), file, place: step.place });
                }
            });
        };
        for steps in [&runbook.steps, &runbook.finally] {
            add(&key, steps);
        }
        for (local, procedure) in &runbook.procedures {
            for steps in [&procedure.steps, &procedure.finally] {
                add(&local_key(&key, local), steps);
            }
        }
    }
    out
}

/// Following any call inside of the component comes back sooner or later; the first one seen twice closes the cycle.
fn cycle<'e>(edges: &'e [Edge], members: &BTreeSet<&str>) -> Option<Vec<&'e Edge>> {
    let mut walk: Vec<&Edge> = Vec::new();
    let mut at = *members.first()?;
    loop {
        if let Some(start) = walk.iter().position(|edge| edge.from == at) {
            return Some(walk.split_off(start));
        }
        let next = edges.iter().find(|edge| edge.from == at && members.contains(edge.to.as_str()))?;
        walk.push(next);
        at = &next.to;
    }
}

fn recursion(files: &[File], cycle: &[&Edge]) -> (usize, Diagnostic) {
    let shown = |key: &str| {
        if key == ROOT { format!("`runbook:{}`", files[0].source.stem()) } else { format!("`{key}`") }
    };
    let mut path: Vec<String> = cycle
        .iter()
        .map(|edge| format!("{} ({}:{})", shown(&edge.from), files[edge.file].source.name, edge.place.line))
        .collect();
    path.push(shown(&cycle[0].from));
    let first = cycle[0];
    let span = |edge: &Edge| Span { ..files[edge.file].source.span_of(edge.place, 1) };
    let here = cycle.iter().filter(|edge| cycle.len() > 1 && edge.file == first.file);
    let diagnostic = Diagnostic {
        severity: Severity::Error,
        code: code::RECURSION,
        message: format!("these call each other without an end: {}", path.join(" -> ")),
        help: Some("take one of these calls off: repetition is `for_each`, `retry` or a check with `within`".into()),
        file: files[first.file].source.name.clone(),
        span: span(first),
        labels: here.map(|edge| (span(edge), format!("{} calls {}", shown(&edge.from), shown(&edge.to)))).collect(),
        conceal: false,
    };
    (first.file, diagnostic)
}

/// The root with everything that it calls. All files must be read, and there is no recursion.
pub fn assemble(files: &[File], bodies: Vec<Option<Body>>, catalogue: &Catalogue) -> Option<Runbook> {
    let mut root = None;
    let mut all: BTreeMap<String, Procedure> = BTreeMap::new();
    let mut locks: BTreeSet<String> = BTreeSet::new();
    for (index, body) in bodies.into_iter().enumerate() {
        let mut body = body?;
        let key = key_of(files, index);
        if index == 0 {
            root = Some(body);
            continue;
        }
        for (local, procedure) in std::mem::take(&mut body.runbook.procedures) {
            all.insert(local_key(&key, &local), procedure);
        }
        if body.lock == Some(LockScope::Site) {
            locks.insert(key.clone());
        }
        all.insert(key, as_procedure(body, &files[index].source.text));
    }
    let Body { runbook: mut root, lock, .. } = root?;
    let of_root = std::mem::take(&mut root.procedures);
    let defined: Vec<String> = of_root.keys().cloned().collect();
    all.extend(of_root);
    let run = reachable(called(root.steps.iter().chain(&root.finally)), &all);
    let changing = |key: &String| {
        let procedure = &all[key];
        locks.contains(key) || changes(&procedure.steps, catalogue) || changes(&procedure.finally, catalogue)
    };
    let changing = changes(&root.steps, catalogue) || changes(&root.finally, catalogue) || run.iter().any(changing);
    root.lock = lock.unwrap_or(if changing { LockScope::Site } else { LockScope::None });
    let kept = reachable(run.into_iter().chain(defined), &all);
    all.retain(|key, _| kept.contains(key));
    fill_calls(&mut root, &mut all);
    root.procedures = all;
    Some(root)
}

fn as_procedure(body: Body, text: &str) -> Procedure {
    let Body { runbook, on_failure, .. } = body;
    Procedure {
        title: runbook.title,
        params: runbook.params,
        vars: runbook.vars,
        deadline: runbook.deadline,
        on_failure,
        require: runbook.require,
        steps: runbook.steps,
        finally: runbook.finally,
        outputs: runbook.outputs,
        digest: Some(Sha256::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()),
    }
}

/// What these steps call themselves.
fn called<'s>(steps: impl Iterator<Item = &'s Step>) -> Vec<String> {
    let mut out = Vec::new();
    for step in steps {
        each(std::slice::from_ref(step), &mut |step| {
            if let Verb::Call { procedure, .. } = &step.verb {
                out.push(procedure.clone());
            }
        });
    }
    out
}

/// These and all that they call.
fn reachable(from: impl IntoIterator<Item = String>, all: &BTreeMap<String, Procedure>) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let mut open: Vec<String> = from.into_iter().collect();
    while let Some(key) = open.pop() {
        if let Some(procedure) = all.get(&key)
            && out.insert(key)
        {
            open.extend(called(procedure.steps.iter().chain(&procedure.finally)));
        }
    }
    out
}

/// Gives every call a value for each parameter, so that nobody has to look for defaults when it is carried out.
fn fill_calls(root: &mut Runbook, all: &mut BTreeMap<String, Procedure>) {
    let params: BTreeMap<String, Vec<Param>> = all.iter().map(|(key, p)| (key.clone(), p.params.clone())).collect();
    let mut fill = |step: &mut Step| {
        let Verb::Call { procedure, with } = &mut step.verb else { return };
        for param in params.get(procedure).into_iter().flatten() {
            if with.iter().all(|(name, _)| *name != param.name) {
                with.push((param.name.clone(), default_of(param)));
            }
        }
    };
    root.each_step_mut(&mut fill);
    for procedure in all.values_mut() {
        procedure.each_step_mut(&mut fill);
    }
}

/// A default may see `cluster` and `config` only, which are the same for a caller and what it calls.
fn default_of(param: &Param) -> Template {
    match &param.default {
        Some(Value::String(text)) if text.contains("{{") => default_template(text),
        Some(value) => Template::Literal(value.clone()),
        None => Template::Literal(Value::Null),
    }
}

/// Whether any of the steps may itself change something. What is not in the catalogue counts as a change.
fn changes(steps: &[Step], catalogue: &Catalogue) -> bool {
    steps.iter().any(|step| match &step.verb {
        Verb::Uses { action, with } => {
            catalogue.get(action).is_none_or(|spec| spec.effect_in(with) > Effect::Read)
                || step.effect > Some(Effect::Read)
        }
        Verb::Call { .. } | Verb::Confirm(_) => false,
        Verb::Steps(inner) | Verb::Parallel(inner) => changes(inner, catalogue),
    })
}

/// Every step, those of groups and rollbacks included.
fn each<'s>(steps: &'s [Step], see: &mut dyn FnMut(&'s Step)) {
    for step in steps {
        see(step);
        if let Verb::Steps(inner) | Verb::Parallel(inner) = &step.verb {
            each(inner, see);
        }
        if let Rollback::Steps(inner) = &step.rollback {
            each(inner, see);
        }
    }
}
