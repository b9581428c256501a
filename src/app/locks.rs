//! Locks looked at and, where a run will not come back for its own, broken.

use super::config::Config;
use super::error::AppError;
use super::open::{OpenSite, store};
use super::settings::Settings;
use super::site_lock;
use crate::event::RunStatus;
use crate::journal::HeldLock;
use crate::secrets::Redactor;

/// The lock as the site itself has it.
pub struct AtSite {
    pub site: OpenSite,
    /// Who holds it, as a person reads it.
    pub holder: Option<String>,
}

/// Asks the site who holds its lock; `None` where there is no site to ask.
///
/// # Errors
/// The site cannot be asked.
pub async fn at_site(settings: &Settings, redactor: &Redactor) -> Result<Option<AtSite>, AppError> {
    if Config::load(settings).is_err() {
        return Ok(None);
    }
    let site = OpenSite::open(settings, redactor).await?;
    let holder = site_lock::holder(&site).await?;
    Ok(Some(AtSite { site, holder }))
}

/// Breaks the lock at the site, and records it.
///
/// # Errors
/// The site refuses, or the journal cannot be written.
pub async fn break_at_site(settings: &Settings, at: &AtSite, name: &str, reason: &str) -> Result<(), AppError> {
    if let Some(held) = site_lock::break_(&at.site, reason).await? {
        store(settings)?.record_broken(name, &settings.actor, &held, reason)?;
    }
    Ok(())
}

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
            Some(header) if header.status == RunStatus::Waiting => format!("runbook approve {}", self.short),
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
