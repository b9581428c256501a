//! Sites that are frozen: dry-runs work, nothing that changes starts or goes on.

use super::config::Config;
use super::error::{AppError, Exit};
use super::open::store;
use super::settings::Settings;
use crate::journal::Freeze;

/// Asked before a plan is carried out, and before a run is gone on with.
///
/// # Errors
/// The site is frozen: by whom, since when, why; or the journal cannot be read.
pub fn refuse_if_frozen(settings: &Settings, site: &str) -> Result<(), AppError> {
    store(settings)?.freeze_of(site)?.map_or(Ok(()), |freeze| Err(frozen(&freeze, "nothing was changed; ")))
}

/// Freezes the configured site; its name.
///
/// # Errors
/// It is frozen already, or the journal cannot be written.
pub fn freeze(settings: &Settings, reason: &str) -> Result<String, AppError> {
    if reason.trim().is_empty() {
        return Err(AppError::new(Exit::Usage, "site::no_reason", "a freeze needs a reason, for those who meet it"));
    }
    let site = Config::load(settings)?.site.cluster.name;
    match store(settings)?.freeze(&site, &settings.actor, reason)? {
        None => Ok(site),
        Some(before) => Err(frozen(&before, "")),
    }
}

/// Ends the freeze of the configured site; what it was.
///
/// # Errors
/// It is not frozen, or the journal cannot be written.
pub fn unfreeze(settings: &Settings) -> Result<Freeze, AppError> {
    let site = Config::load(settings)?.site.cluster.name;
    store(settings)?
        .unfreeze(&site, &settings.actor)?
        .ok_or_else(|| AppError::new(Exit::NotFound, "site::not_frozen", format!("site {site} is not frozen")))
}

fn frozen(freeze: &Freeze, first: &str) -> AppError {
    let Freeze { site, by, reason, .. } = freeze;
    let message = format!("site {site} is frozen since {} by {by}: {reason}", super::moment(freeze.since));
    AppError::new(Exit::Gate, "site::frozen", message)
        .hint(format!("{first}plans can be made meanwhile; `runbook unfreeze` ends it"))
}
