//! What the operator decides: reserves, what may stop, what may stay, and the speeds of estimates.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::text::MIB;
use crate::model::ids::Vmid;

/// The knobs of a plan. They are kept in it, so that a later check uses the same ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Bytes of each node's memory that belong to the host (ZFS cache, Ceph, the system).
    pub host_reserve: u64,
    /// Percent of the rest that stays free on each target.
    pub keep_free: f64,
    /// vCPUs of running guests per host thread.
    pub cpu_overcommit: f64,
    pub quorum_groups: Vec<QuorumGroup>,
    /// Guests that may remain on the node.
    pub stay: BTreeSet<Vmid>,
    /// Whether a guest may be down for its move.
    pub allow_stop: bool,
    /// What QEMU needs beside the guest's memory: bytes, and per mille of the memory.
    pub vm_overhead: u64,
    pub vm_overhead_permille: u64,
    pub ha_room: HaRoom,
    pub speed: Speed,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            host_reserve: 4096 * MIB,
            keep_free: 15.0,
            cpu_overcommit: 4.0,
            quorum_groups: Vec::new(),
            stay: BTreeSet::new(),
            allow_stop: false,
            vm_overhead: 100 * MIB,
            vm_overhead_permille: 5,
            ha_room: HaRoom::Everywhere,
            speed: Speed::default(),
        }
    }
}

/// Guests of which not too many may be lost together: those that carry all of these tags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuorumGroup {
    pub name: String,
    pub tags: BTreeSet<String>,
}

/// How room is kept for guests that the HA manager will move by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HaRoom {
    /// On every node it may choose: it cannot take our room. Needs the most memory.
    Everywhere,
    /// Once, on the node where it fits best: the check after its moves may then stop the run.
    Once,
}

/// For estimates of time only; nothing is decided by them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Speed {
    /// MiB a second.
    pub memory: u64,
    pub disk: u64,
    /// Seconds that each move takes besides.
    pub fixed: u64,
    /// Seconds that shutting down and booting takes besides.
    pub restart: u64,
}

impl Default for Speed {
    fn default() -> Self {
        Self { memory: 400, disk: 100, fixed: 8, restart: 20 }
    }
}
