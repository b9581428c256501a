//! Nodes, guests, HA and tasks in our own words: what resources hold, and what actions reason about.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::ids::{GuestKind, NodeName, StorageId, Upid, Vmid};

/// The site as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SiteInfo {
    pub name: String,
    pub version: String,
    pub quorate: bool,
    pub nodes: Vec<NodeName>,
}

/// A node. Bytes and seconds; what is not known (offline, no right, disturbed by an earlier step) is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub name: NodeName,
    pub online: bool,
    /// By the HA manager: its guests are moved away, ours are not.
    #[serde(default)]
    pub maintenance: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_total: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_used: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime: Option<u64>,
}

/// A disk, image or mount point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Disk {
    /// `local-lvm:vm-104-disk-0`; `none` or `cdrom` for an empty or physical drive; a path for a bind mount.
    pub volid: String,
    /// Absent for what is on no storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    pub cdrom: bool,
}

/// A network device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Net {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
}

/// A guest as its own node says it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Guest {
    pub vmid: Vmid,
    pub kind: GuestKind,
    pub name: String,
    pub node: NodeName,
    /// `running` or `stopped`.
    pub status: String,
    /// VMs: `running`, `paused`, `prelaunch`, `postmigrate`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qmpstatus: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,
    pub template: bool,
    /// VMs: of `smbios1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Containers: the root volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rootfs: Option<String>,
    /// Of all network devices, in the devices' order.
    pub macs: Vec<String>,
    /// Bytes, as configured.
    pub memory: u64,
    /// vCPUs; absent for a container without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores: Option<u64>,
    pub tags: Vec<String>,
    /// `order=1,up=30,down=60`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<String>,
    /// Neither it nor its disks can be deleted.
    #[serde(default)]
    pub protection: bool,
    pub disks: BTreeMap<String, Disk>,
    pub nets: BTreeMap<String, Net>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// VMs: another one after each return to a snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<String>,
    /// The snapshot that its present state comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The HA manager's state of it, if HA knows it (`ignored` included).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ha: Option<String>,
}

impl Guest {
    pub fn is_running(&self) -> bool {
        self.status == "running"
    }

    /// Moves, starts and stops of it are requests to the HA manager, not acts of ours.
    pub fn is_owned_by_ha(&self) -> bool {
        self.ha.as_deref().is_some_and(|state| state != "ignored")
    }

    /// `VM 104 (web-1)`
    pub fn title(&self) -> String {
        title(self.kind, self.vmid, &self.name)
    }

    /// Whether its description has this line.
    pub fn has_line(&self, line: &str) -> bool {
        self.description.as_deref().is_some_and(|text| text.lines().any(|one| one.trim() == line))
    }

    /// Its volumes; images in drives are no volumes of its own.
    pub fn volumes(&self) -> impl Iterator<Item = (&StorageId, &str)> {
        let own = self.disks.values().filter(|disk| !disk.cdrom || disk.volid.contains("-cloudinit"));
        own.filter_map(|disk| Some((disk.storage.as_ref()?, disk.volid.as_str())))
    }

    /// Whether it is the same guest under the same number. A VM is its uuid; a container its MAC addresses, or its
    /// root volume where it has none (a move to another storage gives that another name).
    pub fn is_same_as(&self, other: &Self) -> bool {
        if (self.vmid, self.kind) != (other.vmid, other.kind) {
            return false;
        }
        match (&self.uuid, &other.uuid) {
            (Some(a), Some(b)) => a == b,
            _ if !self.macs.is_empty() || !other.macs.is_empty() => self.macs == other.macs,
            _ => self.rootfs == other.rootfs,
        }
    }
}

/// `VM 104 (web-1)` or `CT 201 (proxy)`
pub fn title(kind: GuestKind, vmid: Vmid, name: &str) -> String {
    let word = match kind {
        GuestKind::Qemu => "VM",
        GuestKind::Lxc => "CT",
    };
    format!("{word} {vmid} ({name})")
}

/// A guest in the cluster's list or in a node's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GuestEntry {
    pub vmid: Vmid,
    pub kind: GuestKind,
    #[serde(default)]
    pub name: String,
    /// Absent in a plan past a step after which it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    pub status: String,
    #[serde(default)]
    pub template: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maxmem: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hastate: Option<String>,
}

impl GuestEntry {
    pub fn title(&self) -> String {
        title(self.kind, self.vmid, &self.name)
    }
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Snapshot {
    #[serde(default)]
    pub description: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Seconds since 1970; absent while it is being taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<i64>,
    /// Whether memory is in it.
    #[serde(default)]
    pub vmstate: bool,
}

/// A guest with its snapshots.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshots {
    pub guest: Guest,
    pub list: BTreeMap<String, Snapshot>,
}

/// A storage as a node has it. Bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeStorage {
    /// `dir`, `lvmthin`, `nfs`
    pub kind: String,
    pub shared: bool,
    pub active: bool,
    /// `images`, `iso`, `import`
    pub content: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avail: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

/// A volume on a storage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    pub volid: String,
    /// `iso`, `import`, `images`
    pub content: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vmid: Option<Vmid>,
    /// When it was made, seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// It cannot be deleted.
    #[serde(default)]
    pub protected: bool,
}

/// A node's own configuration. Values are texts, as its file has them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeConfig {
    /// Of the whole file; absent where there is none, and in a plan past a step that changes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    pub values: BTreeMap<String, String>,
}

/// A certificate of a node. Seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    pub subject: String,
    pub issuer: String,
    pub san: Vec<String>,
    pub notbefore: i64,
    pub notafter: i64,
    pub fingerprint: String,
}

/// What a node shows to a new connection, and whether we would believe it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownCertificate {
    pub fingerprint: String,
    /// `fingerprint`, `ca_file`, `system` or `insecure`: by what the configuration has us believe it.
    pub by: String,
    pub trusted: bool,
    /// Whether other nodes can be asked when this one is not believed.
    pub others: bool,
    /// What the configuration calls it by, which a certificate must be for.
    #[serde(default)]
    pub host: String,
}

/// The HA manager's view.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Ha {
    pub quorate: bool,
    /// `online`, `maintenance`, `unknown`, `fence`, `gone` by node.
    #[serde(default)]
    pub node_status: BTreeMap<NodeName, String>,
    /// `maintenance` for nodes where it is asked for; the state follows at the manager's next round.
    #[serde(default)]
    pub node_request: BTreeMap<NodeName, String>,
    #[serde(default)]
    pub lrm: BTreeMap<NodeName, Lrm>,
    /// By service id (`vm:104`).
    #[serde(default)]
    pub services: BTreeMap<String, Service>,
}

/// A node's local resource manager.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Lrm {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// A guest that HA knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Absent for a service id that is no guest's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vmid: Option<Vmid>,
    pub kind: GuestKind,
    /// Where the manager has it; absent until its first round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    /// The manager's: `started`, `stopped`, `migrate`, `relocate`, `error`, ...
    pub state: String,
    /// What is asked for: `started`, `stopped`, `disabled`, `ignored`.
    pub request_state: String,
    /// The node in maintenance that it was moved away from and goes back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<NodeName>,
}

impl Ha {
    pub fn is_in_maintenance(&self, node: &NodeName) -> bool {
        let is = |text: Option<&String>| text.is_some_and(|t| t == "maintenance");
        is(self.node_status.get(node)) || is(self.lrm.get(node).and_then(|l| l.mode.as_ref()))
    }

    pub fn is_maintenance_requested(&self, node: &NodeName) -> bool {
        self.node_request.get(node).is_some_and(|r| r == "maintenance")
    }

    /// Services that are to run and are on the node: what maintenance moves away.
    pub fn started_on(&self, node: &NodeName) -> Vec<(&str, &Service)> {
        let here = |s: &Service| s.request_state == "started" && s.node.as_ref() == Some(node);
        self.services.iter().filter(|(_, s)| here(s)).map(|(sid, s)| (sid.as_str(), s)).collect()
    }

    /// Services that are to run and were moved away from the node for its maintenance: what its end brings back.
    pub fn started_of(&self, node: &NodeName) -> impl Iterator<Item = &Service> {
        self.services.values().filter(move |s| s.request_state == "started" && s.home.as_ref() == Some(node))
    }
}

/// A task in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskEntry {
    pub upid: Upid,
    /// `qmigrate`
    pub kind: String,
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Seconds since 1970 by the node's clock.
    pub start: i64,
    pub running: bool,
    /// `OK`, `WARNINGS: n` or the error; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

/// How a task stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub upid: Upid,
    pub kind: String,
    pub running: bool,
    /// `ok`, `failed`, `unexpected` (its worker went away without a word); absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The last lines of its log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn guest(kind: &str, uuid: Option<&str>, macs: &[&str], rootfs: Option<&str>) -> Guest {
        serde_json::from_value(json!({"vmid": 104, "kind": kind, "name": "web", "node": "pve2", "status": "running",
            "template": false, "uuid": uuid, "rootfs": rootfs, "macs": macs, "memory": 1, "tags": [], "disks": {},
            "nets": {}}))
        .unwrap()
    }

    #[test]
    fn a_guest_is_more_than_its_number() {
        let vm = guest("qemu", Some("u1"), &["A"], None);
        assert!(vm.is_same_as(&guest("qemu", Some("u1"), &["B"], None)), "a changed network card is no other VM");
        assert!(!vm.is_same_as(&guest("qemu", Some("u2"), &["A"], None)));
        assert!(!vm.is_same_as(&guest("lxc", None, &["A"], None)));
        let ct = guest("lxc", None, &["A"], Some("a:1"));
        assert!(ct.is_same_as(&guest("lxc", None, &["A"], Some("b:1"))), "moved to another storage");
        assert!(!ct.is_same_as(&guest("lxc", None, &["B"], Some("a:1"))));
        let bare = guest("lxc", None, &[], Some("a:1"));
        assert!(bare.is_same_as(&guest("lxc", None, &[], Some("a:1"))));
        assert!(!bare.is_same_as(&guest("lxc", None, &[], Some("a:2"))));
    }

    #[test]
    fn maintenance_is_seen_in_either_manager() {
        let ha: Ha =
            serde_json::from_value(json!({"quorate": true, "node_status": {"a": "maintenance", "b": "online"},
            "node_request": {"c": "maintenance"}, "lrm": {"b": {"mode": "maintenance"}, "c": {"mode": "active"}},
            "services": {"vm:1": {"kind": "qemu", "node": "a", "state": "started", "request_state": "started"},
                         "vm:2": {"kind": "qemu", "node": "a", "state": "stopped", "request_state": "stopped"}}}))
            .unwrap();
        let at = |n: &str| (ha.is_in_maintenance(&n.into()), ha.is_maintenance_requested(&n.into()));
        assert_eq!((at("a"), at("b"), at("c")), ((true, false), (true, false), (false, true)));
        assert_eq!(ha.started_on(&"a".into()).iter().map(|(sid, _)| *sid).collect::<Vec<_>>(), ["vm:1"]);
    }
}
