//! `runbook lint` and `runbook schema`.

use std::collections::BTreeSet;

use crate::app::{AppError, Exit, lint as app, problems};
use crate::cli::{Face, diagnostic};
use crate::load::diagnostic::Findings;
use crate::report::FORMAT_VERSION;

pub fn lint(face: &Face, names: &[String]) -> Result<Exit, AppError> {
    let linted = app::lint(&face.settings, names)?;
    let exit = if linted.iter().any(Findings::is_broken) { Exit::Usage } else { Exit::Done };
    // What several of them call is said once.
    let mut said = BTreeSet::new();
    let found = linted.iter().flat_map(|file| file.diagnostics.iter().filter_map(|d| Some((file.source_of(d)?, d))));
    let found: Vec<_> = found.filter(|(_, d)| said.insert((&d.file, d.span, &d.message))).collect();
    let all: Vec<_> = found.iter().map(|(_, diagnostic)| diagnostic).collect();
    if face.printer.json(&serde_json::json!({"format_version": FORMAT_VERSION, "diagnostics": all})) {
        return Ok(exit);
    }
    for (source, diagnostic) in found {
        face.printer.note(&diagnostic::place(source, diagnostic, face.printer.err_look()));
    }
    for file in &linted {
        face.printer.data(&verdict(file));
    }
    Ok(exit)
}

/// `x.yaml: ok`, and the other files that were read for it.
fn verdict(file: &Findings) -> String {
    let mut names = file.sources.iter().map(|source| source.name.as_str());
    let name = names.next().unwrap_or_default();
    let says = if file.diagnostics.is_empty() { "ok".to_owned() } else { problems(file.diagnostics.len()) };
    let called: Vec<&str> = names.collect();
    let with = if called.is_empty() { String::new() } else { format!(", with what it calls: {}", called.join(", ")) };
    format!("{name}: {says}{with}")
}

pub fn schema(face: &Face, kind: &str) -> Result<Exit, AppError> {
    let schema = app::schema(kind)?;
    if !face.printer.json(&schema) {
        face.printer.data(&serde_json::to_string_pretty(&schema).unwrap_or_default());
    }
    Ok(Exit::Done)
}
