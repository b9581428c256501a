//! Whether a runbook needs the site at all: one that acts on this machine, or reaches hosts by itself, asks nobody for a
//! credential.

use crate::model::param::ValueType;
use crate::model::runbook::{Check, Rollback, Runbook, Step, Target, Template, Verb};

/// Whether anything of it is about a site: its target, a parameter that names something there, or an action.
pub fn needs_site(runbook: &Runbook) -> bool {
    let names_something = |ty: ValueType| matches!(ty, ValueType::Node | ValueType::Guest);
    runbook.target != Target::None
        || runbook.params.iter().any(|p| names_something(p.ty) || p.items.is_some_and(names_something))
        || body(&runbook.require, &runbook.steps, &runbook.finally)
        || runbook.procedures.values().any(|p| body(&p.require, &p.steps, &p.finally))
}

fn body(require: &[Check], steps: &[Step], finally: &[Step]) -> bool {
    checks(require) || steps.iter().chain(finally).any(step)
}

fn checks(checks: &[Check]) -> bool {
    checks.iter().filter_map(|check| check.uses.as_deref()).any(elsewhere)
}

fn step(given: &Step) -> bool {
    let verb = match &given.verb {
        // Handing the site's token on needs it as much as using it.
        Verb::Uses { action, with } => {
            let no = Template::Literal(false.into());
            elsewhere(action) || with.iter().any(|(name, value)| name == "proxmox_token" && *value != no)
        }
        // Procedures are looked at by themselves.
        Verb::Call { .. } | Verb::Confirm(_) => false,
        Verb::Steps(steps) | Verb::Parallel(steps) => steps.iter().any(step),
    };
    let undo = matches!(&given.rollback, Rollback::Steps(steps) if steps.iter().any(step));
    verb || undo || checks(&given.gate) || checks(&given.verify)
}

/// Whether it goes through the site's own API.
fn elsewhere(action: &str) -> bool {
    !acts_here(action) && !["ssh.", "wait.", "http."].iter().any(|kind| action.starts_with(kind))
}

/// Whether an action acts on this machine, by itself or by a tool that is started on it.
pub(in crate::app) fn acts_here(action: &str) -> bool {
    const HERE: [&str; 6] = ["ansible", "file", "git", "local", "task", "yaml"];
    action.split('.').next().is_some_and(|kind| HERE.contains(&kind))
}
