//! A run handed on: what a page of it needs, and files that others read.

use std::path::Path;

use super::error::{AppError, Exit};
use super::inspect::{self, Inspected};
use super::open::store;
use super::settings::Settings;
use crate::report::RunFacts;
use crate::sys::files;

/// A run, its whole history, and what the journal says of it, its chain of hashes proved anew.
///
/// # Errors
/// As [`inspect::run`]. A chain that does not hold is no error: it is said in the facts.
pub fn facts(settings: &Settings, asked: &str) -> Result<(Inspected, RunFacts), AppError> {
    let found = inspect::run(settings, asked)?;
    let header = &found.header;
    let chain = store(settings)?.verify_chain(&header.id);
    let facts = RunFacts {
        short: found.short.clone(),
        site: header.site.clone(),
        cluster: header.cluster.clone(),
        state: header.state().to_owned(),
        actor: header.actor.clone(),
        host: header.host.clone(),
        created: header.created,
        plan_hash: header.plan_hash.clone(),
        chain: chain.map(|chain| (chain.head, chain.events)).map_err(|error| error.to_string()),
    };
    Ok((found, facts))
}

/// Writes a whole file or none of it.
///
/// # Errors
/// It cannot be written: which, and why.
pub fn write(settings: &Settings, path: &Path, text: &str) -> Result<(), AppError> {
    files::write_atomic(settings.cwd.join(path), text.as_bytes(), 0o600)
        .map_err(|e| AppError::new(Exit::Configuration, "export::unwritable", e.to_string()))
}
