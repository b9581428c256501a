//! The files that a runbook calls, directly or through another: found, parsed, and what each takes and gives.
//!
//! Nothing is read here: a [`Library`] hands the texts over.

use std::collections::{BTreeMap, VecDeque};

use super::diagnostic::{Diagnostic, Source, code};
use super::params::params;
use super::reader::Reader;
use super::uses::{Interface, is_file_call};
use super::yaml::{self, Node};
use crate::model::runbook::Target;

/// Files that one run may consist of; more is no plan that a person could read, or a link that leads into itself.
const FILES: usize = 256;

/// Where the texts of called runbooks come from.
pub trait Library {
    /// The runbook that `uses` means where the file `from` says it: `runbook:NAME` (a name or an alias) or
    /// `./other.yaml` (beside `from`). Its source's name says which file it is.
    ///
    /// Errors: there is none, or it cannot be read.
    fn find(&self, from: &Source, uses: &str) -> Result<Source, NotFound>;
}

/// Why there is no such runbook, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotFound {
    pub message: String,
    pub hint: Option<String>,
}

/// A library without a single runbook: for texts that stand alone.
pub struct NoOthers;

impl Library for NoOthers {
    fn find(&self, _: &Source, uses: &str) -> Result<Source, NotFound> {
        Err(NotFound { message: format!("`{uses}`: no other runbook is at hand here"), hint: None })
    }
}

impl<F: Fn(&Source, &str) -> Result<Source, NotFound>> Library for F {
    fn find(&self, from: &Source, uses: &str) -> Result<Source, NotFound> {
        self(from, uses)
    }
}

/// Why a call leads nowhere, as the place of the call says it.
#[derive(Debug, Clone)]
pub struct NoCallee {
    pub code: &'static str,
    pub message: String,
    pub help: Option<String>,
}

/// A file, parsed and not read yet.
pub struct File {
    pub source: Source,
    pub root: Option<Node>,
    /// What the YAML itself gave to say.
    pub diagnostics: Vec<Diagnostic>,
    /// What others need to know to call it.
    pub interface: Interface,
    /// `uses` as written, and the file that it means.
    pub calls: BTreeMap<String, Result<usize, NoCallee>>,
}

impl File {
    fn parse(source: Source) -> Self {
        let (root, diagnostics) = yaml::parse(&source);
        let interface = root.as_ref().map(interface).unwrap_or_default();
        Self { source, root, diagnostics, interface, calls: BTreeMap::new() }
    }

    fn is(&self, other: &Source) -> bool {
        self.source.stem() == other.stem() && self.source.text == other.text
    }
}

/// The file and all that it calls; the first one is the file itself.
pub fn gather(source: &Source, library: &dyn Library) -> Vec<File> {
    let mut files = vec![File::parse(source.clone())];
    let mut open = VecDeque::from([0]);
    while let Some(index) = open.pop_front() {
        let mut calls = BTreeMap::new();
        for uses in files[index].root.as_ref().map(calls_of).unwrap_or_default() {
            let found = find(&mut files, index, &uses, library);
            if let Ok((callee, true)) = found {
                open.push_back(callee);
            }
            calls.insert(uses, found.map(|(callee, _)| callee));
        }
        files[index].calls = calls;
    }
    files
}

/// The file that is meant, and whether it is new.
fn find(files: &mut Vec<File>, from: usize, uses: &str, library: &dyn Library) -> Result<(usize, bool), NoCallee> {
    let source = library.find(&files[from].source, uses).map_err(|NotFound { message, hint }| NoCallee {
        code: code::UNKNOWN_ACTION,
        message,
        help: hint,
    })?;
    if files[0].is(&source) {
        return Ok((0, false));
    }
    // The same text in two places counts as one runbook, but what it finds beside itself is looked for in both.
    let same_name = files.iter().skip(1).find(|file| file.source.stem() == source.stem());
    if let Some(other) = same_name.filter(|file| file.source.text != source.text) {
        let (stem, first, second) = (source.stem(), &other.source.name, &source.name);
        let message = format!("two different runbooks would be `runbook:{stem}`: {first} and {second}");
        return Err(NoCallee { code: code::NAME, message, help: Some("give one of them another name".into()) });
    }
    if let Some(known) = files.iter().position(|file| file.source.name == source.name) {
        return Ok((known, false));
    }
    if files.len() >= FILES {
        let message = format!("more than {FILES} runbooks are called from {}", files[0].source.name);
        return Err(NoCallee { code: code::NOT_TAKEN, message, help: None });
    }
    files.push(File::parse(source));
    Ok((files.len() - 1, true))
}

/// What a body takes and gives, read without a word: reading it in full reports what is wrong.
pub fn interface(body: &Node) -> Interface {
    let source = Source::new("", "");
    let mut quiet = Reader::new(&source);
    let targets = [("proxmox", Target::Proxmox), ("talos", Target::Talos), ("none", Target::None)];
    Interface {
        params: body.get("params").map(|n| params(&mut quiet, n)).unwrap_or_default(),
        outputs: body
            .get("outputs")
            .map(Node::entries)
            .unwrap_or_default()
            .iter()
            .map(|(k, _)| k.value.clone())
            .collect(),
        target: body.get("target").and_then(|n| quiet.choice(n, &targets)),
    }
}

/// The other runbooks that a file's steps call.
fn calls_of(root: &Node) -> Vec<String> {
    let mut out = Vec::new();
    let defines = root.get("define").map(Node::entries).unwrap_or_default();
    for body in std::iter::once(root).chain(defines.iter().map(|(_, node)| node)) {
        for key in ["steps", "finally"] {
            of_steps(body.get(key), &mut out);
        }
    }
    out.sort();
    out.dedup();
    out
}

fn of_steps(steps: Option<&Node>, out: &mut Vec<String>) {
    for step in steps.map(Node::items).unwrap_or_default() {
        out.extend(step.get("uses").and_then(Node::as_str).filter(|uses| is_file_call(uses)).map(str::to_owned));
        for key in ["steps", "parallel", "rollback"] {
            of_steps(step.get(key), out);
        }
    }
}
