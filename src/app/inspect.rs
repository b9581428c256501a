//! Looking at runs: lists, one run, its log. Reads the journal and nothing else.

use super::error::{AppError, Exit};
use super::open::store;
use super::settings::Settings;
use crate::event::{Event, Fact};
use crate::journal::{RunFilter, RunHeader};
use crate::model::ids::RunId;
use crate::model::runbook::Runbook;

/// A run and its whole history.
pub struct Inspected {
    pub header: RunHeader,
    /// The shortest prefix that names it.
    pub short: String,
    pub events: Vec<Event>,
}

impl Inspected {
    /// The runbook that it carries out.
    ///
    /// # Errors
    /// It never began.
    pub fn procedure(&self) -> Result<&Runbook, AppError> {
        let created = self.events.iter().find_map(|event| match event.fact()? {
            Fact::RunCreated { plan, .. } => Some(&*plan.procedure),
            _ => None,
        });
        created.ok_or_else(|| {
            let message = format!("run {} never began: its journal is empty", self.header.id);
            AppError::new(Exit::Gate, "run::empty", message).hint("start it again")
        })
    }
}

/// Runs, newest first, with the shortest prefix that names each.
///
/// # Errors
/// The journal cannot be read.
pub fn runs(settings: &Settings, limit: Option<u32>) -> Result<Vec<(String, RunHeader)>, AppError> {
    let store = store(settings)?;
    let runs = store.runs(&RunFilter { limit, ..RunFilter::default() })?;
    Ok(runs.into_iter().map(|header| (store.short_id(&header.id), header)).collect())
}

/// The shortest prefix that names the run; the whole id where the journal cannot be read.
pub fn short_id(settings: &Settings, run: &RunId) -> String {
    store(settings).map_or_else(|_| run.to_string(), |store| store.short_id(run))
}

/// The run that `asked` names: a unique prefix of its id, or `last`.
///
/// # Errors
/// None, or more than one; or the journal cannot be read.
pub fn run(settings: &Settings, asked: &str) -> Result<Inspected, AppError> {
    let store = store(settings)?;
    let header = store.find(asked)?;
    let events = store.events(&header.id)?.collect::<Result<Vec<_>, _>>()?;
    Ok(Inspected { short: store.short_id(&header.id), header, events })
}
