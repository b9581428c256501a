//! Figures about runs for Prometheus: derived from the journal, never from memory, so that they are right after a crash.

use std::path::{Path, PathBuf};

use super::config::Config;
use super::error::{AppError, Exit};
use super::notify;
use super::open::store;
use super::settings::Settings;
use crate::event::Outcome;
use crate::journal::{RunFilter, RunHeader, Store};
use crate::report::{self, RunFigures, RunView};
use crate::sys::files;

/// As node_exporter's textfile collector takes it.
const FILE: &str = "runbook.prom";
/// It is read by another user, and holds nothing secret.
const MODE: u32 = 0o644;

/// The figures of all runs in the journal.
///
/// # Errors
/// The journal cannot be read.
pub fn text(settings: &Settings) -> Result<String, AppError> {
    of(&*store(settings)?)
}

fn of(store: &Store) -> Result<String, AppError> {
    let headers = store.runs(&RunFilter::default())?;
    let runs: Result<Vec<_>, AppError> = headers.iter().map(|header| figures(store, header)).collect();
    Ok(report::metrics(&runs?, notify::pending(store)?))
}

fn figures(store: &Store, header: &RunHeader) -> Result<RunFigures, AppError> {
    let mut view = RunView::default();
    if !header.status.is_final() {
        for event in store.events(&header.id)? {
            view.see(&event?);
        }
    }
    Ok(RunFigures {
        runbook: header.runbook.clone(),
        site: header.site.clone(),
        cluster: header.cluster.clone(),
        status: header.status,
        interrupted: header.interrupted(),
        created: header.created,
        updated: header.updated,
        in_doubt: view.steps().filter(|step| matches!(step.outcome, Outcome::InDoubt(_))).count(),
    })
}

/// Where the page goes, if anywhere.
pub(super) fn page(settings: &Settings, config: &Config) -> Option<PathBuf> {
    let folder = config.site.metrics.textfile_dir.as_ref()?;
    Some(config.folder().join(files::expand_home(folder, settings.home.as_deref())).join(FILE))
}

/// Writes the page whole or not at all.
///
/// # Errors
/// The journal cannot be read, or the file not be written.
pub(super) fn write(store: &Store, page: &Path) -> Result<(), AppError> {
    let text = of(store)?;
    files::write_atomic(page, text.as_bytes(), MODE)
        .map_err(|e| AppError::new(Exit::Configuration, "metrics::unwritable", e.to_string()))
}
