//! A runbook's file as a whole.

use std::collections::BTreeMap;

use super::checks::checks;
use super::diagnostic::{Diagnostic, Findings, Severity, Source, code};
use super::keys::{DEFINE, RUNBOOK};
use super::library::{self, File, Library};
use super::names;
use super::params::{is_identifier, params};
use super::procedures::{self, Body};
use super::reader::Reader;
use super::step::{Ids, on_failure, steps, values};
use super::uses::{Callables, Interface};
use super::yaml::{Node, Value};
use crate::model::action_spec::Catalogue;
use crate::model::runbook::{LockScope, OnFailure, Procedure, Runbook, Target};

/// What reading a runbook gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// Absent when something is an error; there with warnings.
    pub runbook: Option<Runbook>,
    pub found: Findings,
}

/// A runbook that can be planned and run, with all that it calls.
///
/// Errors: everything there is to say, as soon as one thing is worse than a warning.
pub fn load_runbook(source: &Source, catalogue: &Catalogue, library: &dyn Library) -> Result<Runbook, Findings> {
    let Loaded { runbook, found } = read_runbook(source, catalogue, library);
    runbook.ok_or(found)
}

/// Reads a runbook and what it calls, and says everything that there is to say, warnings included: for `lint` and `show`.
pub fn read_runbook(source: &Source, catalogue: &Catalogue, library: &dyn Library) -> Loaded {
    let files = library::gather(source, library);
    let (mut bodies, mut said): (Vec<Option<Body>>, Vec<Vec<Diagnostic>>) =
        (0..files.len()).map(|index| read(&files, index, catalogue)).unzip();
    procedures::name_calls(&files, &mut bodies);
    for (file, recursion) in procedures::recursions(&files, &bodies) {
        said[file].push(recursion);
    }
    for (index, diagnostics) in said.iter_mut().enumerate() {
        diagnostics.retain(|d| index == 0 || d.severity == Severity::Error);
        diagnostics.sort_by_key(|d| d.span.offset);
        diagnostics.dedup();
    }
    let mut found = Findings { diagnostics: said.concat(), sources: Vec::new() };
    let runbook = if found.is_broken() { None } else { procedures::assemble(&files, bodies, catalogue) };
    found.sources = files.into_iter().map(|file| file.source).collect();
    Loaded { runbook, found }
}

/// What a file says of itself, without a look at its steps: title and aliases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    pub title: Option<String>,
    pub aliases: Vec<String>,
}

/// Reads the head of a file, however broken the rest is.
pub fn head_of(source: &Source) -> Head {
    let (root, _) = super::yaml::parse(source);
    let Some(root) = root else { return Head::default() };
    let aliases = root.get("aliases").map(Node::items).unwrap_or_default();
    Head {
        title: root.get("title").and_then(Node::as_str).map(str::to_owned),
        aliases: aliases.iter().filter_map(Node::as_str).map(str::to_owned).collect(),
    }
}

/// One of the files, by itself.
fn read(files: &[File], index: usize, catalogue: &Catalogue) -> (Option<Body>, Vec<Diagnostic>) {
    let File { source, root, diagnostics, interface, calls } = &files[index];
    let mut reader = Reader::new(source);
    reader.diagnostics.clone_from(diagnostics);
    let Some(root) = root else {
        if diagnostics.is_empty() {
            reader.error(code::SYNTAX, source.span_at(0, 1), "the file is empty; a runbook is expected");
        }
        return (None, reader.diagnostics);
    };
    let of = |callee: &usize| &files[*callee].interface;
    let callables = Callables {
        catalogue,
        target: interface.target,
        defines: declared(root),
        files: calls.iter().map(|(uses, found)| (uses.as_str(), found.as_ref().map(of))).collect(),
    };
    let body = body(&mut reader, root, &callables);
    if let Some(Body { runbook, .. }) = &body {
        names::check(&mut reader, runbook, &callables);
    }
    (body, reader.diagnostics)
}

fn body(reader: &mut Reader<'_>, root: &Node, callables: &Callables<'_>) -> Option<Body> {
    if !reader.keys(root, &RUNBOOK) {
        return None;
    }
    if let Some(schema) = root.get("schema").filter(|n| n.value != Value::Int(1)) {
        reader.wrong(schema, "1, the only schema there is");
    }
    let name = root.get("runbook").and_then(|n| name(reader, n)).unwrap_or_default();
    let targets = [("proxmox", Target::Proxmox), ("talos", Target::Talos), ("none", Target::None)];
    let lock = root.get("lock").and_then(|n| reader.choice(n, &[("site", LockScope::Site), ("none", LockScope::None)]));
    let aliases = root.get("aliases").map(|n| aliases(reader, n)).unwrap_or_default();
    let description = root.get("description").and_then(|n| reader.text(n));
    let target = root.get("target").and_then(|n| reader.choice(n, &targets)).unwrap_or(Target::None);
    let procedures = root.get("define").map(|n| defines(reader, callables, n)).unwrap_or_default();
    let own = procedure(reader, callables, root);
    let on_failure = own.on_failure;
    let runbook = Runbook {
        name,
        title: own.title,
        description,
        aliases,
        target,
        params: own.params,
        vars: own.vars,
        // What it means when it is not said is known when everything that is called is.
        lock: lock.unwrap_or(LockScope::None),
        deadline: own.deadline,
        on_failure: on_failure.unwrap_or(OnFailure::Stop),
        require: own.require,
        steps: own.steps,
        finally: own.finally,
        outputs: own.outputs,
        procedures,
    };
    Some(Body { runbook, on_failure, lock })
}

/// The keys that a runbook and a local procedure have in common.
fn procedure(reader: &mut Reader<'_>, callables: &Callables<'_>, node: &Node) -> Procedure {
    let mut ids = Ids::default();
    Procedure {
        title: node.get("title").and_then(|n| reader.text(n)),
        params: node.get("params").map(|n| params(reader, n)).unwrap_or_default(),
        vars: node.get("vars").map(|n| values(reader, n)).unwrap_or_default(),
        deadline: node.get("deadline").and_then(|n| reader.duration(n)),
        on_failure: node.get("on_failure").and_then(|n| on_failure(reader, n, false)),
        require: node.get("require").map(|n| checks(reader, callables, n)).unwrap_or_default(),
        steps: node.get("steps").map(|n| steps(reader, callables, n, false, &mut ids)).unwrap_or_default(),
        finally: node.get("finally").map(|n| steps(reader, callables, n, false, &mut ids)).unwrap_or_default(),
        outputs: node.get("outputs").map(|n| values(reader, n)).unwrap_or_default(),
        digest: None,
    }
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

/// What local procedures take and give.
fn declared(root: &Node) -> BTreeMap<String, Interface> {
    let entries = root.get("define").map(Node::entries).unwrap_or_default();
    entries.iter().map(|(name, node)| (name.value.clone(), library::interface(node))).collect()
}

fn defines(reader: &mut Reader<'_>, callables: &Callables<'_>, node: &Node) -> BTreeMap<String, Procedure> {
    let mut out = BTreeMap::new();
    for (name, node) in reader.map(node, "a map of local procedures") {
        if !is_identifier(&name.value) {
            reader
                .error(code::ID, name.span, format!("`{}` is no name of a local procedure", name.value))
                .help("lower-case letters, digits and `_`, a letter first");
        }
        if callables.action(&format!("local.{}", name.value)).is_some() {
            reader
                .error(code::ID, name.span, format!("`local.{}` is an action of the catalogue", name.value))
                .help("give the local procedure another name");
        }
        if reader.keys(node, &DEFINE) {
            out.insert(format!("local.{}", name.value), procedure(reader, callables, node));
        }
    }
    out
}
