//! `runbook lint` and `runbook schema`: what is wrong with files, and what an editor needs to say so while typing.

use serde_json::Value;

use super::books;
use super::error::{AppError, Exit};
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
    names.iter().map(|name| Ok(load::read_runbook(&shelf.source_of(name)?, &specs, &shelf).found)).collect()
}

/// The JSON Schema of `runbook`, `site` or `cluster` files.
///
/// # Errors
/// Another word.
pub fn schema(kind: &str) -> Result<Value, AppError> {
    match kind {
        "runbook" => Ok(schema::runbook_schema(&actions::specs())),
        "site" => Ok(schema::site_schema()),
        "cluster" => Ok(schema::cluster_schema()),
        other => Err(AppError::new(Exit::Usage, "schema::unknown", format!("no schema {other:?}"))
            .hint("expected runbook, site or cluster")),
    }
}

/// Names of the runbooks that are part of the binary.
pub fn shipped_names() -> Vec<&'static str> {
    shipped::names().collect()
}
