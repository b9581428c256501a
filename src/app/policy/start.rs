//! Windows: a run that changes something starts inside one. What was begun is finished at any time.

use crate::app::error::{AppError, Exit};
use crate::model::plan::Plan;
use crate::model::site::Policy;
use crate::model::window::{self, Start};

/// What to tell a person of a plan that could not be carried out at `now` (milliseconds since 1970); nothing: it could.
pub fn outside(policy: &Policy, now: u64) -> Option<String> {
    match window::start(&policy.windows, now) {
        Start::Now => None,
        Start::Later(opening) => Some(format!("outside a window; the next one opens {opening}")),
        Start::Never(why) => Some(format!("outside a window, and none opens: {why}")),
    }
}

/// Refuses a plan that changes something outside the windows of `policy.windows`. Resume, rollback and abandon do not
/// ask: they finish what was begun inside one.
///
/// # Errors
/// When the next window opens.
pub fn may_start(policy: &Policy, plan: &Plan, now: u64) -> Result<(), AppError> {
    if !plan.summary.changes() {
        return Ok(());
    }
    outside(policy, now).map_or(Ok(()), |why| {
        Err(AppError::new(Exit::Gate, "policy::window", format!("{why}; nothing was changed"))
            .hint("apply it then, or change policy.windows in cluster-config.yaml"))
    })
}
