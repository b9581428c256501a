//! One guest, from what the cluster's list, its configuration and the guest itself say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::join::join;
use super::nic::nics;
use super::noise;
use super::primary::primary;
use crate::model::ids::{GuestKind, NodeName, Vmid};
use crate::model::inventory::{DiscoveredHost, Known, Reason, Seen, Unknown};

/// What a list of guests says of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    pub site: String,
    pub vmid: Vmid,
    pub kind: GuestKind,
    pub node: NodeName,
    pub name: String,
    pub status: String,
    pub template: bool,
    pub tags: Vec<String>,
    pub pool: Option<String>,
    pub cpus: Option<f64>,
    /// Bytes.
    pub memory: Option<u64>,
    pub disk: Option<u64>,
}

/// What the guest itself told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Told {
    Interfaces(Vec<Seen>),
    Nothing(Unknown),
}

impl Told {
    /// Whether there is an address in it by which others could reach the guest.
    pub fn is_an_address(&self) -> bool {
        let found = |seen: &Seen| seen.addresses.iter().any(|one| !noise::is_inner(one.address));
        matches!(self, Self::Interfaces(all) if all.iter().any(found))
    }
}

/// The host. `config`: its lines, nothing where they could not be read.
pub fn host(facts: Facts, config: Option<&BTreeMap<String, String>>, told: Told) -> DiscoveredHost {
    let empty = BTreeMap::new();
    let lines = config.unwrap_or(&empty);
    let known = match facts.kind {
        GuestKind::Qemu => Known::Agent,
        GuestKind::Lxc => Known::Container,
    };
    let (seen, silent) = match told {
        Told::Interfaces(seen) => (seen, None),
        Told::Nothing(why) => (Vec::new(), Some(why)),
    };
    let interfaces = join(&nics(facts.kind, lines), &seen, known);
    let primary = primary(&interfaces);
    let own = lines.get("name").or(lines.get("hostname")).filter(|_| facts.name.is_empty()).cloned();
    DiscoveredHost {
        source: "proxmox".to_owned(),
        site: facts.site,
        name: own.unwrap_or(facts.name),
        vmid: Some(facts.vmid),
        node: Some(facts.node),
        kind: Some(facts.kind),
        status: facts.status,
        template: facts.template,
        tags: facts.tags,
        pool: facts.pool,
        cpus: facts.cpus,
        memory: facts.memory,
        disk: facts.disk,
        interfaces,
        unknown: primary
            .is_none()
            .then(|| silent.clone().unwrap_or_else(|| Unknown::new(Reason::NoAddress, none_of(facts.kind)))),
        silent,
        primary,
        cached: None,
        lines: lines.iter().filter(|(key, _)| is_network(key)).map(|(k, v)| (k.clone(), v.clone())).collect(),
        seen,
        snapshots: None,
        qmpstatus: None,
    }
}

fn none_of(kind: GuestKind) -> &'static str {
    match kind {
        GuestKind::Qemu => "its guest agent reports no address that others could reach",
        GuestKind::Lxc => "it has no address that others could reach",
    }
}

/// Whether a line of a configuration says anything to an inventory.
pub fn is_read(key: &str) -> bool {
    matches!(key, "name" | "hostname" | "agent") || is_network(key)
}

fn is_network(key: &str) -> bool {
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    matches!(stem, "net" | "ipconfig") && stem.len() < key.len()
}

/// Takes out what is noise. What was taken out has had no say in the primary address either.
pub fn without_noise(host: &mut DiscoveredHost) {
    host.interfaces.retain(|interface| !interface.noise);
    for interface in &mut host.interfaces {
        interface.addresses.retain(|address| !address.noise);
        interface.addresses.shrink_to_fit();
    }
    // Something without a card and without an address says nothing.
    host.interfaces.retain(|interface| interface.nic.is_some() || !interface.addresses.is_empty());
    host.interfaces.shrink_to_fit();
}
