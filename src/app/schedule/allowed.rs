//! What may go without a person's yes: reading, and taking a backup.

use crate::app::needs;
use crate::model::effect::Effect;
use crate::model::plan::Plan;
use crate::model::runbook::Runbook;

/// What makes a runbook one that takes backups.
const BACKUPS: [&str; 2] = ["proxmox.guest_backup", "talos.etcd_snapshot"];
/// What removes only old backups, and never the newest whole one.
const RETENTION: &str = "talos.etcd_prune";

/// Why this runbook is not run by a timer.
pub fn refusal(runbook: &Runbook) -> Option<String> {
    if needs::asks(runbook) {
        return Some("it asks a person, and nobody is there".to_owned());
    }
    let acts = needs::effects_of(runbook);
    if acts.iter().all(|(_, effect)| *effect == Effect::Read) {
        return None;
    }
    if !acts.iter().any(|(action, _)| BACKUPS.contains(&action.as_str())) {
        let changes = acts.iter().find(|(_, effect)| *effect > Effect::Read).map_or("", |(action, _)| action);
        return Some(format!("it changes something ({changes}) and takes no backup ({})", BACKUPS.join(", ")));
    }
    let (action, effect) = acts.iter().find(|(action, effect)| *effect > Effect::Change && action != RETENTION)?;
    Some(format!("{action} may {}", effect.as_str()))
}

/// Which step of a plan would do more than that.
pub fn beyond(plan: &Plan) -> Option<String> {
    let step = plan.steps.iter().find(|step| step.effect > Effect::Change && step.uses != RETENTION)?;
    Some(format!("step {} would {}: {}", step.path, step.effect.as_str(), step.summary))
}
