//! Runs that have been over for long enough are deleted; what they were stays in the audit.

use super::error::AppError;
use super::open::store;
use super::settings::Settings;
use crate::journal::Retention;

pub use crate::journal::OldRun;

/// What is deleted where nobody says otherwise: what has not moved for ninety days.
pub const OLDER_THAN: u64 = 90 * 86_400_000;

/// Which runs are old: `older_than` in milliseconds, `keep` the newest that stay. One given alone stands alone.
pub fn rule(older_than: Option<u64>, keep: Option<u32>) -> Retention {
    let default = if keep.is_some() { 0 } else { OLDER_THAN };
    Retention { older_than: older_than.unwrap_or(default), keep: keep.unwrap_or(0) }
}

/// The old runs, those that stay all the same among them.
///
/// # Errors
/// The journal cannot be read.
pub fn old_runs(settings: &Settings, rule: Retention) -> Result<Vec<OldRun>, AppError> {
    Ok(store(settings)?.old_runs(rule)?)
}

/// Deletes those that may go; what went.
///
/// # Errors
/// The journal cannot be written: nothing was deleted.
pub fn prune(settings: &Settings, old: &[OldRun]) -> Result<Vec<OldRun>, AppError> {
    Ok(store(settings)?.prune(old, &settings.actor)?)
}
