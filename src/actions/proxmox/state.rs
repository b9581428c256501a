//! Whether a guest runs, since when, and what it uses: what changes by itself, and is therefore in no plan.

use serde::{Deserialize, Serialize};

use crate::clients::proxmox::{GuestRow, GuestStatus};
use crate::model::ids::{GuestKind, NodeName, Vmid};

/// A guest's state as its own node says it. Bytes and seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GuestState {
    pub vmid: Vmid,
    pub kind: GuestKind,
    pub name: String,
    pub node: NodeName,
    /// `running` or `stopped`.
    pub status: String,
    /// VMs: `running`, `paused`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qmpstatus: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,
    /// Since it was switched on; 0 while it is off.
    #[serde(default)]
    pub uptime: u64,
    /// Of its process on the node, where that is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u64>,
    /// Whether an agent is configured; nothing about whether it answers.
    #[serde(default)]
    pub agent: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_used: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Share of its vCPUs, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// The HA manager's state of it, where it manages it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ha: Option<String>,
}

impl GuestState {
    pub fn of(row: GuestRow, status: GuestStatus) -> Self {
        Self {
            vmid: row.vmid,
            kind: row.kind,
            name: status.name.or(row.name).unwrap_or_default(),
            node: row.node,
            status: status.status,
            qmpstatus: status.qmpstatus,
            lock: status.lock,
            uptime: status.uptime.unwrap_or_default(),
            pid: status.pid,
            agent: status.agent,
            memory_used: status.mem,
            memory: status.maxmem,
            cpu: status.cpu,
            machine: status.running_machine,
            ha: status.ha.state.filter(|_| status.ha.managed),
        }
    }

    pub fn is_running(&self) -> bool {
        self.status == "running"
    }

    /// Whether it was switched on anew since it was seen like that: another process, or less time on.
    pub fn is_another_boot_than(&self, before: &Self) -> bool {
        matches!((self.pid, before.pid), (Some(now), Some(then)) if now != then) || self.uptime < before.uptime
    }
}
