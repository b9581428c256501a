//! `runbook lint` and `runbook schema`: what is wrong with files, and what an editor needs to say so while typing.

use serde_json::Value;

use super::books;
use super::error::{AppError, Exit};
use super::rehearse;
use super::settings::Settings;
use crate::actions;
use crate::load::{self, Findings, schema, shipped};

/// Everything that there is to say about these runbooks and what they call; about all that there are, when none is named.
///
/// # Errors
/// A name that is no runbook.
pub fn lint(settings: &Settings, names: &[String]) -> Result<Vec<Findings>, AppError> {
    let all: Vec<String>;
    let names = if names.is_empty() {
        all = books::list(settings).into_iter().map(|listed| listed.name).collect();
        &all
    } else {
        names
    };
    let (shelf, specs) = (books::Shelf::open(settings), actions::specs());
    let mut all = Vec::new();
    for name in names {
        let source = shelf.source_of(name)?;
        let stem = source.stem().to_owned();
        all.push(load::read_runbook(&source, &specs, &shelf).found);
        // How it is rehearsed is part of it.
        all.extend(rehearse::lint(settings, &[stem])?);
    }
    Ok(all)
}

/// The JSON Schema of `runbook`, `site`, `cluster` or `test` files.
///
/// # Errors
/// Another word.
pub fn schema(kind: &str) -> Result<Value, AppError> {
    match kind {
        "runbook" => Ok(schema::runbook_schema(&actions::specs())),
        "site" => Ok(schema::site_schema()),
        "cluster" => Ok(schema::cluster_schema()),
        "test" => Ok(schema::rehearsal_schema()),
        other => Err(AppError::new(Exit::Usage, "schema::unknown", format!("no schema {other:?}"))
            .hint("expected runbook, site, cluster or test")),
    }
}

/// Names of the runbooks that are part of the binary.
pub fn shipped_names() -> Vec<&'static str> {
    shipped::names().collect()
}
