//! What the planner is told: the cluster as API reads gave it. JSON-friendly, since it is kept in plans.
//!
//! Memory and disks are bytes here, as the API has them. What was not read is absent, never zero.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::ids::{BadId, GuestKind, NodeName, StorageId, Vmid};

/// Everything that is known at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// The node to empty.
    pub node: NodeName,
    pub nodes: Vec<NodeFacts>,
    /// All guests of the cluster: those elsewhere are the load that targets bear already.
    pub guests: Vec<GuestFacts>,
    #[serde(default)]
    pub ha_rules: Vec<HaRule>,
    /// Guests with storage replication (pvesr) and the nodes that hold a replica.
    #[serde(default)]
    pub replication: BTreeMap<Vmid, BTreeSet<NodeName>>,
    pub quorate: bool,
}

impl Facts {
    pub fn node_facts(&self, name: &NodeName) -> Option<&NodeFacts> {
        self.nodes.iter().find(|n| &n.name == name)
    }

    pub fn guest(&self, vmid: Vmid) -> Option<&GuestFacts> {
        self.guests.iter().find(|g| g.vmid == vmid)
    }
}

/// The version of Proxmox VE; read and written as `9.1.4`, and read from `pve-manager/9.1.4/0123abcd` too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PveVersion(pub u32, pub u32, pub u32);

impl FromStr for PveVersion {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId { what: "Proxmox VE version", got: text.into(), expected: "three numbers such as 9.1.4" };
        let plain = text.strip_prefix("pve-manager/").unwrap_or(text);
        let plain = plain.split(['/', '-', '~']).next().unwrap_or_default();
        let mut parts = [0; 3];
        for (i, part) in plain.split('.').enumerate() {
            *parts.get_mut(i).ok_or_else(bad)? = part.parse().map_err(|_| bad())?;
        }
        Ok(Self(parts[0], parts[1], parts[2]))
    }
}

impl TryFrom<String> for PveVersion {
    type Error = BadId;

    fn try_from(text: String) -> Result<Self, BadId> {
        text.parse()
    }
}

impl From<PveVersion> for String {
    fn from(version: PveVersion) -> Self {
        version.to_string()
    }
}

impl fmt::Display for PveVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeFacts {
    pub name: NodeName,
    pub online: bool,
    #[serde(default)]
    pub maintenance: bool,
    pub version: PveVersion,
    pub memory_total: u64,
    #[serde(default)]
    pub memory_used: Option<u64>,
    /// Bytes shared by KSM at the moment; they un-merge when a guest arrives elsewhere.
    #[serde(default)]
    pub ksm_shared: Option<u64>,
    /// Host CPUs as Proxmox counts them (`cpuinfo.cpus`).
    pub threads: u32,
    #[serde(default)]
    pub cpu: Option<CpuFacts>,
    /// QEMU machine versions the node knows (`capabilities/qemu/machines`); empty: not read.
    #[serde(default)]
    pub machines: BTreeSet<String>,
    /// Bridges and SDN vnets.
    #[serde(default)]
    pub bridges: BTreeSet<String>,
    #[serde(default)]
    pub storages: Vec<StorageFacts>,
}

impl NodeFacts {
    pub fn storage(&self, id: &StorageId) -> Option<&StorageFacts> {
        self.storages.iter().find(|s| &s.id == id)
    }
}

/// The processor of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpuFacts {
    pub vendor: String,
    #[serde(default)]
    pub model: String,
    /// As in `/proc/cpuinfo`; empty: not read.
    #[serde(default)]
    pub flags: BTreeSet<String>,
}

/// A storage as one node sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageFacts {
    pub id: StorageId,
    /// Proxmox's type: `dir`, `lvmthin`, `zfspool`, `rbd`, ...
    pub kind: String,
    pub shared: bool,
    /// `images`, `rootdir`, `iso`, ...
    pub content: BTreeSet<String>,
    pub total: u64,
    pub avail: u64,
    pub active: bool,
    /// The storage, or the link to it, is slow: the planner avoids bytes there.
    #[serde(default)]
    pub slow: bool,
}

/// One guest, wherever it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestFacts {
    pub vmid: Vmid,
    pub kind: GuestKind,
    pub name: String,
    pub node: NodeName,
    pub running: bool,
    #[serde(default)]
    pub template: bool,
    /// Configured maximum in bytes: what a migrated VM starts with, whatever its balloon says.
    pub memory: u64,
    /// The balloon's floor, in bytes, where it is below `memory`.
    #[serde(default)]
    pub balloon: Option<u64>,
    pub vcpus: u32,
    #[serde(default)]
    pub tags: BTreeSet<String>,
    #[serde(default)]
    pub pool: Option<String>,
    /// `backup`, `snapshot`, `migrate`, ... : somebody is at work on it.
    #[serde(default)]
    pub lock: Option<String>,
    #[serde(default)]
    pub disks: Vec<DiskFacts>,
    #[serde(default)]
    pub bridges: BTreeSet<String>,
    #[serde(default)]
    pub snapshots: bool,
    /// Raw local devices by configuration key (`hostpci0`, `usb0`, `serial0`).
    #[serde(default)]
    pub passthrough: Vec<String>,
    #[serde(default)]
    pub mapped: Vec<MappedDevice>,
    /// The `cpu` type of the configuration (`host`, `x86-64-v3`, ...).
    #[serde(default)]
    pub cpu_type: Option<String>,
    /// The machine version it runs with (`pc-q35-10.1`).
    #[serde(default)]
    pub machine: Option<String>,
    /// `startup: order=`.
    #[serde(default)]
    pub startup_order: Option<u32>,
    #[serde(default)]
    pub onboot: bool,
    #[serde(default)]
    pub ha: Option<HaFacts>,
    /// Proxmox's own answer about this guest; absent: not asked.
    #[serde(default)]
    pub precondition: Option<Precondition>,
}

/// A disk, image or mount point of a guest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskFacts {
    /// `scsi0`, `mp1`, ...
    pub key: String,
    /// `local-lvm:vm-104-disk-0`; `cdrom` for the physical drive; a path for a bind mount.
    pub volid: String,
    /// Empty for the physical drive and for bind mounts.
    pub storage: StorageId,
    pub bytes: u64,
    #[serde(default)]
    pub cdrom: bool,
    #[serde(default)]
    pub cloudinit: bool,
    /// The base volume, if this is a linked clone.
    #[serde(default)]
    pub linked_clone_of: Option<String>,
    /// `shared=1` of a mount point: the same path exists on all nodes.
    #[serde(default)]
    pub shared_mount: bool,
}

/// A device through a cluster-wide mapping.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MappedDevice {
    /// The configuration key or the mapping's name.
    pub name: String,
    /// `live-migration-capable`.
    pub live: bool,
    /// Nodes that have the mapping; absent: not read (Proxmox's precondition may say).
    #[serde(default)]
    pub nodes: Option<BTreeSet<NodeName>>,
}

/// What the HA manager thinks of a guest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HaFacts {
    pub state: HaState,
}

/// The state of an HA service, requested or reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum HaState {
    Started,
    Stopped,
    Disabled,
    Ignored,
    Error,
    /// Anything else the HA manager reports (`fence`, `freeze`, `migrate`, ...).
    Other(String),
}

impl From<String> for HaState {
    fn from(text: String) -> Self {
        match text.as_str() {
            "started" | "enabled" => Self::Started,
            "stopped" => Self::Stopped,
            "disabled" => Self::Disabled,
            "ignored" => Self::Ignored,
            "error" => Self::Error,
            _ => Self::Other(text),
        }
    }
}

impl From<HaState> for String {
    fn from(state: HaState) -> Self {
        state.to_string()
    }
}

impl fmt::Display for HaState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Disabled => "disabled",
            Self::Ignored => "ignored",
            Self::Error => "error",
            Self::Other(text) => text,
        })
    }
}

/// `GET /nodes/{node}/{qemu,lxc}/{vmid}/migrate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Precondition {
    Known(KnownPrecondition),
    /// Why it could not be asked ("token lacks VM.Migrate").
    Unknown(String),
}

/// Proxmox's answer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KnownPrecondition {
    /// Absent or empty: it did not say (it says so for stopped guests only in some versions).
    pub allowed_nodes: Option<BTreeSet<NodeName>>,
    pub not_allowed: BTreeMap<NodeName, NotAllowed>,
    /// Volume ids.
    pub local_disks: Vec<String>,
    /// Configuration keys (`hostpci0`) or names (`amd-sev`).
    pub local_resources: Vec<String>,
}

/// Why Proxmox refuses a node.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NotAllowed {
    /// Storages missing there; no obstacle where the plan maps local disks to another storage.
    pub unavailable_storages: BTreeSet<StorageId>,
    /// Everything else, in words.
    pub reasons: Vec<String>,
}

/// An enabled HA rule (PVE 9) or what a group (PVE 8) amounts to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum HaRule {
    NodeAffinity {
        resources: BTreeSet<Vmid>,
        /// Node and priority, higher first.
        nodes: BTreeMap<NodeName, u32>,
        strict: bool,
    },
    ResourceAffinity {
        resources: BTreeSet<Vmid>,
        /// true: keep together; false: keep apart.
        positive: bool,
    },
}
