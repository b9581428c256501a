//! `runbook lint` and `runbook schema`.

use crate::app::{AppError, Exit, lint as app};
use crate::cli::{Face, diagnostic};
use crate::report::FORMAT_VERSION;

pub fn lint(face: &Face, names: &[String]) -> Result<Exit, AppError> {
    let linted = app::lint(&face.settings, names)?;
    let clean = linted.iter().all(app::Linted::is_clean);
    let exit = if clean { Exit::Done } else { Exit::Usage };
    let all: Vec<_> = linted.iter().flat_map(|l| &l.diagnostics).collect();
    if face.printer.json(&serde_json::json!({"format_version": FORMAT_VERSION, "diagnostics": all})) {
        return Ok(exit);
    }
    for file in &linted {
        for found in &file.diagnostics {
            face.printer.note(&diagnostic::place(&file.source, found, face.printer.err_look()));
        }
        let says = match file.diagnostics.len() {
            0 => "ok".to_owned(),
            1 => "1 problem".to_owned(),
            n => format!("{n} problems"),
        };
        face.printer.data(&format!("{}: {says}", file.source.name));
    }
    Ok(exit)
}

pub fn schema(face: &Face, kind: &str) -> Result<Exit, AppError> {
    let schema = app::schema(kind)?;
    if !face.printer.json(&schema) {
        face.printer.data(&serde_json::to_string_pretty(&schema).unwrap_or_default());
    }
    Ok(Exit::Done)
}
