//! Waiting until the HA manager has brought a node into maintenance, or out of it.

use tokio::time::Instant;

use crate::actions::deps::Timing;
use crate::actions::proxmox::look;
use crate::actions::proxmox::object::{Ha, Service};
use crate::actions::proxmox::source::ProxmoxSource;
use crate::actions::proxmox::work::Work;
use crate::model::effect::Done;
use crate::model::failure::{Class, Failure};
use crate::model::ids::NodeName;

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    Done,
    /// The manager knows of the request and is at it: how far.
    Under(String),
    /// As if nobody had asked.
    NotAsked,
    /// It will not come to an end by itself: why.
    Stuck(String),
}

pub(super) fn stage(ha: &Ha, node: &NodeName, enabled: bool) -> Stage {
    let (is, asked) = (ha.is_in_maintenance(node), ha.is_maintenance_requested(node));
    if !enabled {
        return match (is, asked) {
            (false, false) => Stage::Done,
            (true, false) => Stage::Under(format!("{node} is leaving maintenance")),
            (_, true) => Stage::NotAsked,
        };
    }
    let left = ha.started_on(node);
    match (is, asked) {
        (true, _) if left.is_empty() => Stage::Done,
        (false, false) => Stage::NotAsked,
        (false, true) if left.is_empty() => Stage::Under(format!("{node} is entering maintenance")),
        _ => match failed(&left) {
            Some(why) => Stage::Stuck(why),
            None => Stage::Under(format!("{} still on {node}", count(left.len()))),
        },
    }
}

fn count(n: usize) -> String {
    if n == 1 { "1 HA guest".to_owned() } else { format!("{n} HA guests") }
}

/// Services that the manager has given up on: it will not move them.
fn failed(left: &[(&str, &Service)]) -> Option<String> {
    let stuck: Vec<&str> = left.iter().filter(|(_, s)| s.state == "error").map(|(sid, _)| *sid).collect();
    (!stuck.is_empty()).then(|| format!("the HA manager cannot move {}: state error", stuck.join(", ")))
}

/// Polls until the stage is done. Reads that fail are borne for a while; a command that is not taken up, too.
pub(super) async fn wait(work: &Work<'_>, node: &NodeName, enabled: bool, timing: &Timing) -> Result<(), Failure> {
    let source = ProxmoxSource::new((*work.site).clone());
    let taken_by = Instant::now() + timing.late_command;
    let mut silent_since: Option<Instant> = None;
    loop {
        match source.ha().await {
            Ok(ha) => {
                silent_since = None;
                match stage(&ha, node, enabled) {
                    Stage::Done => return Ok(()),
                    Stage::Under(line) => work.mutate.progress(&line, None),
                    Stage::Stuck(why) => {
                        let remedy = "set its HA state to disabled and back to started, then resume the run";
                        return Err(work.failure(Class::Failed, why).done(Done::Partial).remedy(remedy));
                    }
                    Stage::NotAsked if Instant::now() >= taken_by => {
                        let seconds = timing.late_command.as_secs();
                        let cause = format!("the HA manager has not taken the request up within {seconds} s");
                        let remedy =
                            "check that a node is HA master (ha-manager status) and that the cluster is quorate";
                        return Err(work.failure(Class::Timeout, cause).done(Done::Unknown).remedy(remedy));
                    }
                    Stage::NotAsked => work.mutate.progress("waiting for the HA manager", None),
                }
            }
            Err(failure) => {
                let since = *silent_since.get_or_insert_with(Instant::now);
                if !look::may_pass(&failure) || since.elapsed() >= timing.patience {
                    return Err(failure.done(Done::Unknown));
                }
            }
        }
        if work.mutate.stop.sleep(timing.poll).await {
            return Err(work.stopped());
        }
    }
}
