//! A guest cluster: what `clusters/NAME.yaml` says. Field names are the file's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ids::{NodeName, Vmid};
use super::runbook::Place;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// The file's stem.
    pub name: String,
    #[serde(rename = "type")]
    pub kind: ClusterKind,
    pub template: Option<TemplateRef>,
    /// Every VM has them, and `controlplane` or `worker`; membership is to have all of them.
    #[serde(default)]
    pub tags: Vec<String>,
    #[serde(default)]
    pub nodes: Groups,
    pub talos: Option<ClusterTalos>,
    #[serde(default)]
    pub network: Network,
    pub flux: Option<Flux>,
    /// Where each value stands in the file, by its path (`nodes/workers/start_vmid`), for later messages.
    #[serde(skip)]
    pub places: BTreeMap<String, Place>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClusterKind {
    Talos,
    Generic,
}

/// The template that VMs are cloned from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TemplateRef {
    Vmid(Vmid),
    /// Kept on each node under this name and tag.
    Named {
        name: String,
        tag: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Groups {
    pub controlplane: Option<NodeGroup>,
    pub workers: Option<NodeGroup>,
}

/// VMs of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeGroup {
    pub count: u32,
    pub name_prefix: String,
    pub cores: u32,
    /// Bytes.
    pub memory: u64,
    /// Bytes.
    pub disk: u64,
    pub start_vmid: Vmid,
    #[serde(default)]
    pub placement: Spread,
    /// What is fixed for single VMs; the others follow from prefix, count and first VMID.
    #[serde(default)]
    pub assignments: Vec<Assignment>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Spread {
    #[default]
    Spread,
    Pack,
}

/// What is fixed for one VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    pub name: String,
    pub node: Option<NodeName>,
    pub vmid: Option<Vmid>,
    /// With its prefix: `10.0.0.51/24`.
    pub ip: Option<String>,
    /// In upper case.
    pub mac: Option<String>,
}

impl NodeGroup {
    /// All VMs of the group: those assigned first, then those that follow from prefix and first VMID.
    ///
    /// The Nth VM is `PREFIX<N>` with the VMID `start_vmid + N - 1`, N from 1, unless its assignment says otherwise.
    pub fn members(&self) -> Vec<Assignment> {
        let by_default = |i: u32| (format!("{}{}", self.name_prefix, i + 1), Vmid(self.start_vmid.0.saturating_add(i)));
        let mut members: Vec<Assignment> = Vec::new();
        for (i, assigned) in self.assignments.iter().enumerate() {
            let mut member = assigned.clone();
            member.vmid = member.vmid.or_else(|| Some(by_default(i as u32).1));
            members.push(member);
        }
        for i in self.assignments.len() as u32..self.count {
            let (name, vmid) = by_default(i);
            members.push(Assignment { name, node: None, vmid: Some(vmid), ip: None, mac: None });
        }
        members
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterTalos {
    /// Without a `v`.
    pub version: String,
    pub kubernetes_version: Option<String>,
    pub config_dir: Option<String>,
    pub secrets_file: Option<String>,
    pub patches_dir: Option<String>,
    pub factory: Option<Factory>,
    pub vip: Option<Vip>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Factory {
    /// 64 hexadecimal digits.
    pub schematic_id: Option<String>,
    #[serde(default)]
    pub extensions: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vip {
    pub interface: String,
    pub ip: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// An address or a name.
    pub api_endpoint: Option<String>,
    pub gateway: Option<String>,
    pub pod_cidr: Option<String>,
    pub service_cidr: Option<String>,
    pub nameservers: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flux {
    pub repo: String,
    pub path: String,
    pub branch: Option<String>,
}
