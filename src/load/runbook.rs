//! A runbook's file as a whole.

use std::collections::BTreeMap;

use super::checks::checks;
use super::diagnostic::{Diagnostic, Severity, Source, code};
use super::keys::{DEFINE, RUNBOOK};
use super::names;
use super::params::{is_identifier, params};
use super::reader::Reader;
use super::step::{Ids, on_failure, steps, values};
use super::uses::Callables;
use super::yaml::{self, Node, Value};
use crate::model::action_spec::Catalogue;
use crate::model::effect::Effect;
use crate::model::param::Param;
use crate::model::runbook::{LockScope, OnFailure, Procedure, Runbook, Step, Target, Verb};

/// What reading a runbook gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// Absent when something is an error; there with warnings and with what is not executed yet.
    pub runbook: Option<Runbook>,
    /// Everything there is to say, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
}

/// A runbook that can be planned and run.
///
/// Errors: all diagnostics as soon as one is worse than a warning, what is not executed yet included.
pub fn load_runbook(source: &Source, catalogue: &Catalogue) -> Result<Runbook, Vec<Diagnostic>> {
    let Loaded { runbook, diagnostics } = read_runbook(source, catalogue);
    match runbook {
        Some(runbook) if diagnostics.iter().all(|d| d.severity == Severity::Warning) => Ok(runbook),
        _ => Err(diagnostics),
    }
}

/// Reads a runbook and says everything that there is to say, warnings included: for `lint` and `show`.
pub fn read_runbook(source: &Source, catalogue: &Catalogue) -> Loaded {
    let (root, mut diagnostics) = yaml::parse(source);
    let mut reader = Reader::new(source);
    let runbook = root.as_ref().and_then(|root| runbook(&mut reader, root, catalogue));
    if let Some(runbook) = &runbook {
        names::check(&mut reader, runbook, catalogue);
    }
    diagnostics.append(&mut reader.diagnostics);
    if root.is_none() && diagnostics.is_empty() {
        reader.error(code::SYNTAX, source.span_at(0, 1), "the file is empty; a runbook is expected");
        diagnostics.append(&mut reader.diagnostics);
    }
    diagnostics.sort_by_key(|d| d.span.offset);
    diagnostics.dedup();
    let broken = diagnostics.iter().any(|d| d.severity == Severity::Error);
    Loaded { runbook: runbook.filter(|_| !broken), diagnostics }
}

fn runbook(reader: &mut Reader<'_>, root: &Node, catalogue: &Catalogue) -> Option<Runbook> {
    if !reader.keys(root, &RUNBOOK) {
        return None;
    }
    let callables = Callables { catalogue, defines: declared(root) };
    if let Some(schema) = root.get("schema").filter(|n| n.value != Value::Int(1)) {
        reader.wrong(schema, "1, the only schema there is");
    }
    if let Some(deadline) = root.get("deadline") {
        reader.not_yet(deadline.span, "`deadline`");
    }
    if let Some(define) = root.get("define").filter(|n| !n.entries().is_empty()) {
        reader.not_yet(define.span, "`define`");
    }
    let name = root.get("runbook").and_then(|n| name(reader, n)).unwrap_or_default();
    let mut ids = Ids::default();
    let params = root.get("params").map(|n| params(reader, n)).unwrap_or_default();
    let steps_read = root.get("steps").map(|n| steps(reader, &callables, n, false, &mut ids)).unwrap_or_default();
    let finally = root.get("finally").map(|n| steps(reader, &callables, n, false, &mut ids)).unwrap_or_default();
    let lock = root.get("lock").and_then(|n| reader.choice(n, &[("site", LockScope::Site), ("none", LockScope::None)]));
    let targets = [("proxmox", Target::Proxmox), ("talos", Target::Talos), ("none", Target::None)];
    let changing = changes(&steps_read, catalogue) || changes(&finally, catalogue);
    Some(Runbook {
        name,
        title: root.get("title").and_then(|n| reader.text(n)),
        description: root.get("description").and_then(|n| reader.text(n)),
        aliases: root.get("aliases").map(|n| aliases(reader, n)).unwrap_or_default(),
        target: root.get("target").and_then(|n| reader.choice(n, &targets)).unwrap_or(Target::None),
        params,
        vars: root.get("vars").map(|n| values(reader, n)).unwrap_or_default(),
        lock: lock.unwrap_or(if changing { LockScope::Site } else { LockScope::None }),
        deadline: root.get("deadline").and_then(|n| reader.duration(n)),
        on_failure: root.get("on_failure").and_then(|n| on_failure(reader, n, false)).unwrap_or(OnFailure::Stop),
        require: root.get("require").map(|n| checks(reader, &callables, n)).unwrap_or_default(),
        steps: steps_read,
        finally,
        outputs: root.get("outputs").map(|n| values(reader, n)).unwrap_or_default(),
        procedures: root.get("define").map(|n| defines(reader, &callables, n)).unwrap_or_default(),
    })
}

fn name(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let name = reader.text(node)?;
    let stem = reader.source.stem();
    if name != stem {
        let help = format!("write runbook: {stem}, or call the file {name}.yaml");
        reader.error(code::NAME, node.span, format!("the file is called `{stem}`, the runbook `{name}`")).help(help);
    } else if !is_runbook_name(&name) {
        reader
            .error(code::NAME, node.span, format!("`{name}` is no name of a runbook"))
            .help("lower-case letters, digits and `-`, a letter first");
    }
    Some(name)
}

fn is_runbook_name(text: &str) -> bool {
    is_identifier(&text.replace('-', "_")) && !text.contains('_')
}

fn aliases(reader: &mut Reader<'_>, node: &Node) -> Vec<String> {
    let mut out = Vec::new();
    for item in reader.list(node, "names") {
        let Some(alias) = reader.text(item) else { continue };
        if !is_runbook_name(&alias) {
            reader
                .error(code::NAME, item.span, format!("`{alias}` is no name of a runbook"))
                .help("lower-case letters, digits and `-`, a letter first");
        }
        out.push(alias);
    }
    out
}

/// The parameters of local procedures, read once without a word: [`defines`] reports what is wrong.
fn declared(root: &Node) -> BTreeMap<String, Vec<Param>> {
    let source = Source::new("", "");
    let mut quiet = Reader::new(&source);
    let entries = root.get("define").map(Node::entries).unwrap_or_default();
    entries
        .iter()
        .map(|(name, node)| (name.value.clone(), node.get("params").map(|n| params(&mut quiet, n)).unwrap_or_default()))
        .collect()
}

fn defines(reader: &mut Reader<'_>, callables: &Callables<'_>, node: &Node) -> BTreeMap<String, Procedure> {
    let mut out = BTreeMap::new();
    for (name, node) in reader.map(node, "a map of local procedures") {
        if !is_identifier(&name.value) {
            reader
                .error(code::ID, name.span, format!("`{}` is no name of a local procedure", name.value))
                .help("lower-case letters, digits and `_`, a letter first");
        }
        if !reader.keys(node, &DEFINE) {
            continue;
        }
        let mut ids = Ids::default();
        let procedure = Procedure {
            title: None,
            vars: Vec::new(),
            deadline: None,
            digest: None,
            params: node.get("params").map(|n| params(reader, n)).unwrap_or_default(),
            on_failure: node.get("on_failure").and_then(|n| on_failure(reader, n, false)),
            require: node.get("require").map(|n| checks(reader, callables, n)).unwrap_or_default(),
            steps: node.get("steps").map(|n| steps(reader, callables, n, false, &mut ids)).unwrap_or_default(),
            finally: node.get("finally").map(|n| steps(reader, callables, n, false, &mut ids)).unwrap_or_default(),
            outputs: node.get("outputs").map(|n| values(reader, n)).unwrap_or_default(),
        };
        out.insert(format!("local.{}", name.value), procedure);
    }
    out
}

/// Whether any of the steps may change something. What is not in the catalogue counts as a change.
fn changes(steps: &[Step], catalogue: &Catalogue) -> bool {
    steps.iter().any(|step| match &step.verb {
        Verb::Uses { action, .. } => {
            catalogue.get(action).is_none_or(|spec| spec.effect > Effect::Read) || step.effect > Some(Effect::Read)
        }
        Verb::Call { .. } => true,
        Verb::Confirm(_) => false,
        Verb::Steps(inner) | Verb::Parallel(inner) => changes(inner, catalogue),
    })
}
