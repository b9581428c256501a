//! Locks looked at and, where a run will not come back for its own, broken.

use super::error::AppError;
use super::open::store;
use super::settings::Settings;
use crate::journal::HeldLock;

/// A lock, with the shortest name of the run that holds it.
pub struct Held {
    pub lock: HeldLock,
    pub short: String,
}

impl Held {
    /// How its run stands, or that this journal does not know it.
    pub fn state(&self) -> &'static str {
        self.lock.header.as_ref().map_or("unknown", |header| header.state())
    }

    /// What to type to go on.
    pub fn next(&self) -> String {
        match &self.lock.header {
            Some(header) if header.owned => format!("runbook status {}", self.short),
            Some(header) if !header.status.is_final() => format!("runbook resume {}", self.short),
            // Its run does not want it any more: the next run takes it.
            _ => "nothing: the next run takes it".to_owned(),
        }
    }
}

/// # Errors
/// The journal cannot be read.
pub fn list(settings: &Settings) -> Result<Vec<Held>, AppError> {
    let store = store(settings)?;
    let held = store.lock_list()?;
    Ok(held.into_iter().map(|lock| Held { short: store.short_id(&lock.run), lock }).collect())
}

/// The lock of that name; a site's may go without `site/`.
///
/// # Errors
/// Nobody holds it, or the journal cannot be read.
pub fn find(settings: &Settings, name: &str) -> Result<Held, AppError> {
    let mut all = list(settings)?;
    let site = format!("site/{name}");
    match all.iter().position(|held| held.lock.name == name || held.lock.name == site) {
        Some(at) => Ok(all.swap_remove(at)),
        None => Err(store(settings)?.unknown_lock(name)?.into()),
    }
}

/// Takes the lock from its run.
///
/// # Errors
/// The process that has the run lives, or the journal cannot be written.
pub fn break_lock(settings: &Settings, name: &str, reason: &str) -> Result<HeldLock, AppError> {
    Ok(store(settings)?.break_lock(name, &settings.actor, reason)?)
}
