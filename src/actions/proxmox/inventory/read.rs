//! One call about one guest, and what its error means.

use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use super::Asking;
use super::rights::Rights;
use crate::actions::proxmox::failures;
use crate::clients::Class;
use crate::clients::proxmox::{Answer, GuestConfig, GuestRow, ProxmoxError, Site, seg};
use crate::inventory::{
    AgentSaid, BadBody, Boot, Facts, Memory, Told, agent, agent_enabled, container, is_read, refusal,
};
use crate::model::ids::GuestKind;
use crate::model::inventory::{Reason, Unknown};

/// Why a call gave nothing.
pub enum Why {
    /// Our login is not taken.
    NotUs(Box<ProxmoxError>),
    /// The node does not have the guest (any more).
    Elsewhere,
    /// Nobody answered.
    Silent(String),
    /// Nobody answered within the time for one guest.
    Late,
    Said(Unknown),
}

/// Whether a guest has to be asked.
pub enum Answered {
    Ask,
    Told(Told),
    /// By an earlier run, so many seconds ago.
    Remembered(Told, u64),
}

/// What a node says of one of its guests.
pub struct OfNode {
    /// The one in force.
    pub config: GuestConfig,
    /// Of what is asked for its details alone.
    pub snapshots: Option<Vec<String>>,
    pub qmpstatus: Option<String>,
    /// Why some of the details are not there.
    pub lacking: Option<String>,
}

/// Asks the node for a guest's configuration, and for what only Ansible is told if `details`.
pub async fn of_config(site: &Site, deadline: Duration, row: &GuestRow, details: bool) -> Result<OfNode, Why> {
    let read = site.guest_config(&row.node, row.kind, row.vmid, true);
    let mut config = in_time(deadline, read).await?.map_err(why)?;
    // Configurations wait for a worker that asks their guest: of thousands of guests whole ones would be the largest thing of all.
    config.values.retain(|key, _| is_read(key));
    let mut all = OfNode { config, snapshots: None, qmpstatus: None, lacking: None };
    if !details {
        return Ok(all);
    }
    // A detail that is not to be had takes nothing else along.
    let late = || format!("no answer within {} s", deadline.as_secs_f64());
    match in_time(deadline, site.snapshots(&row.node, row.kind, row.vmid)).await {
        Ok(Ok(mut snapshots)) => {
            snapshots.sort_by_key(|snapshot| snapshot.snaptime);
            all.snapshots = Some(snapshots.into_iter().map(|snapshot| snapshot.name).collect());
        }
        Ok(Err(error)) => all.lacking = Some(error.to_string()),
        Err(_) => all.lacking = Some(late()),
    }
    if row.kind == GuestKind::Qemu && !row.template {
        match in_time(deadline, site.guest_status(&row.node, row.kind, row.vmid)).await {
            Ok(Ok(status)) => all.qmpstatus = status.qmpstatus,
            Ok(Err(error)) => all.lacking = Some(error.to_string()),
            Err(_) => all.lacking = Some(late()),
        }
    }
    Ok(all)
}

async fn in_time<T>(deadline: Duration, read: impl Future<Output = T>) -> Result<T, Why> {
    tokio::time::timeout(deadline, read).await.map_err(|_| Why::Late)
}

/// What the guest says of itself: the agent in a VM, the node for a container.
pub async fn of_guest(site: &Site, deadline: Duration, row: &GuestRow) -> Result<Told, Why> {
    let (node, vmid) = (seg(&row.node), row.vmid);
    let path = match row.kind {
        GuestKind::Qemu => format!("/nodes/{node}/qemu/{vmid}/agent/network-get-interfaces"),
        GuestKind::Lxc => format!("/nodes/{node}/lxc/{vmid}/interfaces"),
    };
    let answer = match in_time(deadline, site.get(&path, &[])).await? {
        Err(error) => return no(error),
        Ok(answer) => answer,
    };
    told(row.kind, &answer).map_err(|bad| Why::Said(Unknown::new(Reason::NotRead, bad.to_string())))
}

fn told(kind: GuestKind, answer: &Answer) -> Result<Told, BadBody> {
    let stopped = || Told::Nothing(Unknown::new(Reason::GuestStopped, "it is stopped"));
    match kind {
        GuestKind::Lxc => Ok(container(&answer.data)?.map_or_else(stopped, Told::Interfaces)),
        GuestKind::Qemu => Ok(match agent(&answer.data)? {
            AgentSaid::Interfaces(seen) => Told::Interfaces(seen),
            AgentSaid::Refused { class, desc } => {
                let said = if desc.is_empty() { class } else { desc };
                let text = format!("its guest agent refuses the command: {said}");
                Told::Nothing(Unknown::new(Reason::AgentBlocked, text))
            }
        }),
    }
}

/// A server's "no" about an agent is an answer; anything else is none.
fn no(error: ProxmoxError) -> Result<Told, Why> {
    match &error {
        ProxmoxError::Server { message, .. } => match refusal(message) {
            Some(unknown) => Ok(Told::Nothing(unknown)),
            None => Err(why(error)),
        },
        _ => Err(why(error)),
    }
}

fn why(error: ProxmoxError) -> Why {
    let text = error.to_string();
    match &error {
        ProxmoxError::Unauthorized { .. } | ProxmoxError::SecondFactor { .. } | ProxmoxError::Tls { .. } => {
            Why::NotUs(Box::new(error))
        }
        ProxmoxError::Forbidden { .. } => Why::Said(Unknown::new(Reason::Forbidden, text)),
        ProxmoxError::NotFound { .. } => Why::Elsewhere,
        _ => match error.class() {
            Class::Unreachable | Class::Timeout | Class::Transient => Why::Silent(text),
            _ => Why::Said(Unknown::new(Reason::NotRead, text)),
        },
    }
}

/// What the cluster's list says of it.
pub fn facts(site: &str, row: &GuestRow) -> Facts {
    Facts {
        site: site.to_owned(),
        vmid: row.vmid,
        kind: row.kind,
        node: row.node.clone(),
        name: row.name.clone().unwrap_or_default(),
        status: row.status.clone(),
        template: row.template,
        tags: row.tags.clone(),
        pool: row.pool.clone().filter(|pool| !pool.is_empty()),
        cpus: row.maxcpu,
        memory: row.maxmem,
        disk: row.maxdisk,
    }
}

impl Asking {
    /// Whether the guest needs no question: it cannot answer, we may not ask, or it has answered lately.
    pub fn is_answered(&self, row: &GuestRow, config: &GuestConfig) -> Answered {
        let nothing = |reason, text: &str| Answered::Told(Told::Nothing(Unknown::new(reason, text)));
        if row.template {
            return nothing(Reason::Template, "it is a template");
        }
        if row.status == "stopped" {
            return nothing(Reason::GuestStopped, "it is stopped");
        }
        if row.kind == GuestKind::Qemu {
            if !agent_enabled(&config.values) {
                return nothing(Reason::AgentNotConfigured, "no guest agent is configured");
            }
            if !self.rights.may_ask_agent(row.vmid) {
                return nothing(Reason::Forbidden, &Rights::lacks_agent(&failures::we(&self.site), row.vmid));
            }
        }
        let known = config.digest.as_ref().zip(self.boot(row));
        let known =
            known.and_then(|(digest, boot)| self.remembering().recall(row.vmid, digest, boot, self.how.max_age));
        known.map_or(Answered::Ask, |(told, age)| Answered::Remembered(told, age))
    }

    /// What guests have said so far.
    pub fn remembering(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn boot(&self, row: &GuestRow) -> Option<Boot> {
        let uptime = row.uptime.filter(|uptime| *uptime > 0)?;
        Some(Boot { uptime, now: self.how.now, scale: self.how.scale })
    }
}
