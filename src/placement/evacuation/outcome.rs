//! What the planner says: the moves in order, or why there are none.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::settings::Settings;
use super::text::gib;
use crate::model::ids::{GuestKind, NodeName, StorageId, Vmid};

/// How a guest is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Running all the time.
    Live,
    /// It is stopped, and stays so.
    Offline,
    /// Shut down, moved, started: a container's restart migration, or the same for a VM.
    Restart,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Live => "live",
            Self::Offline => "offline",
            Self::Restart => "restart",
        })
    }
}

/// Who moves a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    Us,
    HaManager,
}

/// One move of ours. Bytes; seconds are an estimate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Move {
    pub vmid: Vmid,
    pub kind: GuestKind,
    pub name: String,
    pub from: NodeName,
    pub to: NodeName,
    pub mode: Mode,
    pub owner: Owner,
    pub memory: u64,
    /// Local disks that are copied.
    pub disk_bytes: u64,
    /// Source storage to target storage, for local disks.
    pub storages: BTreeMap<StorageId, StorageId>,
    pub seconds: u64,
    /// Why it cannot go live.
    pub reason: Option<String>,
    pub downtime: bool,
}

/// A guest that the HA manager moves when the node goes into maintenance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HaMove {
    pub vmid: Vmid,
    pub name: String,
    pub kind: GuestKind,
    /// Where it may put it.
    pub targets: Vec<NodeName>,
    pub memory: u64,
    pub note: String,
}

/// A guest that remains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Staying {
    pub vmid: Vmid,
    pub name: String,
    pub why: String,
}

/// A guest that is down for a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stop {
    pub vmid: Vmid,
    pub name: String,
    /// Absent when the HA manager chooses.
    pub to: Option<NodeName>,
    pub seconds: u64,
    pub why: String,
}

/// Which limit stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    Cluster,
    Lock,
    HaState,
    HaOwner,
    NeedsStop,
    LocalIso,
    Passthrough,
    Snapshot,
    LinkedClone,
    Storage,
    /// No single node can take it.
    NoTarget,
    /// Each could be placed alone; together it is proved impossible.
    Impossible,
    /// Each could be placed alone; the search found no way for all.
    NotFound,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cluster => "the cluster cannot take moves",
            Self::Lock => "locked",
            Self::HaState => "its HA state leaves open who moves it",
            Self::HaOwner => "the HA manager moves it",
            Self::NeedsStop => "needs a stop, and allow_stop is false",
            Self::LocalIso => "a CD-ROM that only this node has",
            Self::Passthrough => "a device of this node",
            Self::Snapshot => "snapshots on local disks",
            Self::LinkedClone => "a linked clone or its base on local storage",
            Self::Storage => "storage that cannot be moved",
            Self::NoTarget => "no node can take it",
            Self::Impossible => "not enough room for all: proved impossible",
            Self::NotFound => "no placement found for all (one may exist)",
        })
    }
}

/// Why nothing may begin, for one guest (or, without a VMID, the whole).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Blocker {
    pub vmid: Option<Vmid>,
    pub name: String,
    pub limit: Limit,
    /// What it is about, in words with figures.
    pub detail: String,
    /// For each node why it cannot take the guest.
    pub per_node: Vec<(NodeName, String)>,
    pub remedy: String,
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(vmid) = self.vmid {
            write!(f, "{vmid} ")?;
        }
        write!(f, "{}: {}", self.name, self.limit)?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        let width = self.per_node.iter().map(|(node, _)| node.as_str().len()).max().unwrap_or(0);
        for (node, reason) in &self.per_node {
            write!(f, "\n    {node:width$}  {reason}")?;
        }
        if !self.remedy.is_empty() {
            write!(f, "\n    what to do: {}", self.remedy)?;
        }
        Ok(())
    }
}

/// A target before and after. Bytes of configured memory, QEMU's overhead included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeUsage {
    pub node: NodeName,
    pub memory_total: u64,
    /// Less the host reserve and what is kept free.
    pub usable: u64,
    pub before: u64,
    pub after: u64,
    /// Kept on top for guests that the HA manager may put here.
    pub kept_for_ha: u64,
    pub vcpus_before: u64,
    pub vcpus_after: u64,
    /// `after` of `usable`.
    pub after_percent: f64,
}

impl fmt::Display for NodeUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (after, usable) = (gib(self.after), gib(self.usable));
        write!(f, "{} would hold {after} of {usable} usable ({:.0} %)", self.node, self.after_percent)?;
        if self.kept_for_ha > 0 {
            write!(f, ", {} more kept for the HA manager", gib(self.kept_for_ha))?;
        }
        Ok(())
    }
}

/// A plan without blockers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evacuation {
    pub node: NodeName,
    /// In the order of execution.
    pub moves: Vec<Move>,
    pub by_ha: Vec<HaMove>,
    pub staying: Vec<Staying>,
    pub stops: Vec<Stop>,
    pub usage: Vec<NodeUsage>,
    pub warnings: Vec<String>,
    /// The rule behind the order of `moves`, in words.
    pub order: String,
    pub settings: Settings,
}

/// Why there is no plan. Nothing has been moved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub struct Refusal {
    pub node: NodeName,
    pub blockers: Vec<Blocker>,
    pub warnings: Vec<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n, node) = (self.blockers.len(), &self.node);
        let things = if n == 1 { "thing stands" } else { "things stand" };
        write!(f, "{node} cannot be emptied; nothing was moved. {n} {things} in the way:")?;
        for blocker in &self.blockers {
            write!(f, "\n  {blocker}")?;
        }
        for warning in &self.warnings {
            write!(f, "\n  note: {warning}")?;
        }
        Ok(())
    }
}
