//! The site: what `cluster-config.yaml` says, with its defaults filled in. Field names are the file's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ids::{NodeName, StorageId, Vmid};
use super::notify::{Metrics, Notify};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    pub cluster: SiteCluster,
    pub credentials: Credentials,
    #[serde(default)]
    pub defaults: GuestDefaults,
    #[serde(default)]
    pub vmid_ranges: VmidRanges,
    #[serde(default)]
    pub tags: SiteTags,
    #[serde(default)]
    pub cloudinit: CloudInit,
    #[serde(default)]
    pub talos: SiteTalos,
    pub ansible: Option<Ansible>,
    pub taskfile: Option<Taskfile>,
    #[serde(default)]
    pub placement: Placement,
    #[serde(default)]
    pub policy: Policy,
    #[serde(default)]
    pub notify: Vec<Notify>,
    #[serde(default)]
    pub metrics: Metrics,
    pub netbox: Option<Netbox>,
}

impl Site {
    /// The site where there is no configuration: this machine, without nodes and credentials.
    pub fn local() -> Self {
        let (tls, api) = (Tls::default(), Api::default());
        Self {
            cluster: SiteCluster { name: "local".into(), nodes: Vec::new(), tls, api },
            credentials: Credentials { token: None, user: None, password: None, ssh_user: root(), ssh_config: None },
            defaults: GuestDefaults::default(),
            vmid_ranges: VmidRanges::default(),
            tags: SiteTags::default(),
            cloudinit: CloudInit::default(),
            talos: SiteTalos::default(),
            ansible: None,
            taskfile: None,
            placement: Placement::default(),
            policy: Policy::default(),
            notify: Vec::new(),
            metrics: Metrics::default(),
            netbox: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteCluster {
    /// The site's name: part of every lock, plan and inventory key.
    pub name: String,
    /// At least one.
    pub nodes: Vec<SiteNode>,
    #[serde(default)]
    pub tls: Tls,
    #[serde(default)]
    pub api: Api,
}

/// Where a node's API is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteNode {
    pub name: NodeName,
    /// A name or an address, without a port; `NAME.<cluster.name>` when the file has none.
    pub host: String,
    pub port: u16,
    /// SHA-256 of the certificate as Proxmox writes it: 32 pairs in upper case with colons.
    pub fingerprint: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    pub ca_file: Option<String>,
    #[serde(default)]
    pub insecure: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Api {
    /// Milliseconds.
    pub timeout: u64,
    /// Protected calls at once per node.
    pub per_node: u32,
}

impl Default for Api {
    fn default() -> Self {
        Self { timeout: 30_000, per_node: 2 }
    }
}

/// How to log in. One of `token` and `user` with `password`; secrets are references only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// A reference to an API token; `pass_path: P` of the file is `pass:P`.
    pub token: Option<String>,
    pub user: Option<String>,
    /// A reference.
    pub password: Option<String>,
    #[serde(default = "root")]
    pub ssh_user: String,
    pub ssh_config: Option<String>,
}

fn root() -> String {
    "root".into()
}

/// What a new guest gets where nothing else is said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuestDefaults {
    pub storage: StorageId,
    pub network_bridge: String,
    pub bios: String,
    pub machine: String,
    pub cpu: String,
    pub scsi_controller: String,
    pub efidisk_pre_enrolled_keys: bool,
    pub guest_agent: bool,
}

impl Default for GuestDefaults {
    fn default() -> Self {
        Self {
            storage: "local-lvm".into(),
            network_bridge: "vmbr0".into(),
            bios: "ovmf".into(),
            machine: "q35".into(),
            cpu: "host".into(),
            scsi_controller: "virtio-scsi-pci".into(),
            efidisk_pre_enrolled_keys: false,
            guest_agent: true,
        }
    }
}

/// Both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VmidRange {
    pub first: Vmid,
    pub last: Vmid,
}

impl VmidRange {
    pub fn contains(&self, vmid: Vmid) -> bool {
        (self.first..=self.last).contains(&vmid)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VmidRanges {
    pub templates: Option<VmidRange>,
    pub vms: Option<VmidRange>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SiteTags {
    pub templates: Vec<String>,
    pub talos: Vec<String>,
    pub cloudinit: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CloudInit {
    pub default_user: Option<String>,
    pub ssh_keys_source: Option<String>,
    pub vendor_snippet_path: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SiteTalos {
    pub default_extensions: Vec<String>,
    pub factory_base_url: String,
    pub default_kubernetes_version: Option<String>,
    pub interface_name: Option<String>,
    pub tools: Tools,
}

impl Default for SiteTalos {
    fn default() -> Self {
        Self {
            default_extensions: Vec::new(),
            factory_base_url: "https://factory.talos.dev".into(),
            default_kubernetes_version: None,
            interface_name: None,
            tools: Tools::default(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tools {
    /// A talosctl for each minor version (`1.11`); `*` serves all others.
    pub talosctl: BTreeMap<String, String>,
    pub kubectl: String,
    pub flux: String,
}

impl Default for Tools {
    fn default() -> Self {
        Self {
            talosctl: BTreeMap::from([("*".into(), "talosctl".into())]),
            kubectl: "kubectl".into(),
            flux: "flux".into(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ansible {
    pub fleet_infra_path: String,
    pub inventory: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taskfile {
    pub path: String,
}

/// What the placement of guests keeps to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Placement {
    /// Bytes of memory that a node keeps for itself.
    pub host_reserve: u64,
    /// Percent of a node's memory that stays free.
    pub keep_free: f64,
    /// Virtual processors for each real one.
    pub cpu_overcommit: f64,
    /// Migrations at once away from a node.
    pub max_out: u32,
    /// Migrations at once to a node.
    pub max_in_per_node: u32,
}

impl Default for Placement {
    fn default() -> Self {
        Self { host_reserve: 4 << 30, keep_free: 15.0, cpu_overcommit: 4.0, max_out: 2, max_in_per_node: 1 }
    }
}

/// What holds for every runbook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    pub protect: Protect,
    /// The most guests that a run may destroy.
    pub max_destroyed: u32,
    /// Changing runs may only start inside one; none: at any time.
    pub windows: Vec<Window>,
    pub quorum_groups: Vec<QuorumGroup>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { protect: Protect::default(), max_destroyed: 6, windows: Vec::new(), quorum_groups: Vec::new() }
    }
}

/// What nothing may destroy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Protect {
    pub vmids: Vec<Vmid>,
    pub tags: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// When it opens: five fields.
    pub cron: String,
    /// Milliseconds.
    pub duration: u64,
    /// An IANA name; UTC when absent.
    pub timezone: Option<String>,
}

/// Guests with all of these tags: never down or in flight together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuorumGroup {
    pub name: String,
    pub tags: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Netbox {
    pub url: String,
    /// A reference.
    pub token: String,
    pub cluster: Option<String>,
    #[serde(default)]
    pub ca_file: Option<String>,
}
