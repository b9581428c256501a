//! One guest and one node: everything that forbids the pair, room aside.

use std::collections::BTreeSet;

use super::assess::Assessed;
use super::facts::{CpuFacts, GuestFacts, HaRule, NodeFacts, Precondition};
use super::outcome::Mode;
use super::site::Site;
use super::storage::landing;
use super::text::list;
use crate::model::ids::{GuestKind, StorageId};

/// Flags beyond baseline x86-64, as `/proc/cpuinfo` spells them (x86-64 psABI levels; QEMU's models).
const V2: [&str; 6] = ["cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"];
const V3: [&str; 8] = ["abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"];
const V4: [&str; 5] = ["avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"];

/// Why the guest may not go to that node; empty: it may, as far as one can know. Room is asked elsewhere.
pub(super) fn obstacles(site: &Site, source: &NodeFacts, assessed: &Assessed, node: &NodeFacts) -> Vec<String> {
    if !node.online {
        return vec!["offline".to_owned()];
    }
    if node.maintenance {
        return vec!["in maintenance".to_owned()];
    }
    let guest = assessed.guest;
    let mut reasons = Vec::new();
    if node.version < source.version {
        reasons.push(format!("runs Proxmox VE {}, older than {} here", node.version, source.version));
    }
    let missing: Vec<&String> = guest.bridges.difference(&node.bridges).collect();
    if !missing.is_empty() {
        reasons.push(format!("no bridge {}", list(missing)));
    }
    if guest.kind == GuestKind::Qemu && guest.vcpus > node.threads {
        reasons.push(format!("needs {} vCPUs in one VM, the host has {} threads", guest.vcpus, node.threads));
    }
    reasons.extend(storages(assessed, node));
    reasons.extend(machine(assessed, source, node));
    reasons.extend(ha_rules(site, guest, node));
    let replicas = site.facts.replication.get(&guest.vmid);
    if replicas.is_some_and(|r| !r.contains(&node.name)) {
        reasons.push("holds no replica of its disks".to_owned());
    }
    let absent = |m: &&super::facts::MappedDevice| m.nodes.as_ref().is_some_and(|n| !n.contains(&node.name));
    reasons.extend(guest.mapped.iter().filter(absent).map(|m| format!("does not have the mapped device {}", m.name)));
    reasons.extend(precondition(assessed, node));
    reasons
}

fn storages(assessed: &Assessed, node: &NodeFacts) -> Vec<String> {
    let mut reasons = Vec::new();
    for id in &assessed.shared {
        match node.storage(id) {
            Some(s) if s.active => {}
            Some(_) => reasons.push(format!("storage {id} is not active")),
            None => reasons.push(format!("no storage {id}")),
        }
    }
    reasons.extend(assessed.disks.keys().filter_map(|class| landing(class, node).err()));
    reasons
}

/// A running guest keeps its processor and its machine version.
fn machine(assessed: &Assessed, source: &NodeFacts, node: &NodeFacts) -> Vec<String> {
    let guest = assessed.guest;
    let mut reasons = Vec::new();
    if guest.kind != GuestKind::Qemu || !guest.running {
        return reasons;
    }
    if let Some(machine) = guest.machine.as_ref().filter(|m| !node.machines.is_empty() && !node.machines.contains(*m)) {
        reasons.push(format!("its QEMU does not know machine {machine}"));
    }
    let Some(there) = &node.cpu else { return reasons };
    let model = guest.cpu_type.as_deref().unwrap_or("kvm64");
    match (model, &source.cpu) {
        ("host" | "max", Some(here)) if assessed.mode == Mode::Live => reasons.extend(same_cpu(model, here, there)),
        _ => reasons.extend(lacks(model, level(model), there)),
    }
    reasons
}

fn same_cpu(model: &str, here: &CpuFacts, there: &CpuFacts) -> Option<String> {
    if here.vendor != there.vendor {
        return Some(format!("cpu type {model}: {} here, {} there", here.vendor, there.vendor));
    }
    lacks(model, here.flags.iter().map(String::as_str).collect(), there)
}

fn level(model: &str) -> Vec<&'static str> {
    let mut flags = Vec::new();
    if let Some(level) = model.strip_prefix("x86-64-v") {
        flags.extend(V2);
        if level != "2" {
            flags.push("aes");
        }
        if level.starts_with(['3', '4']) {
            flags.extend(V3);
        }
        if level.starts_with('4') {
            flags.extend(V4);
        }
    }
    flags
}

fn lacks(model: &str, needed: Vec<&str>, there: &CpuFacts) -> Option<String> {
    if there.flags.is_empty() {
        return None;
    }
    let missing: Vec<&str> = needed.into_iter().filter(|flag| !there.flags.contains(*flag)).collect();
    let more = if missing.len() > 5 { format!(" and {} more", missing.len() - 5) } else { String::new() };
    let some = missing[..missing.len().min(5)].join(", ");
    (!missing.is_empty()).then(|| format!("cpu type {model}: its processor lacks {some}{more}"))
}

fn ha_rules(site: &Site, guest: &GuestFacts, node: &NodeFacts) -> Vec<String> {
    let mut reasons = Vec::new();
    for rule in &site.facts.ha_rules {
        match rule {
            HaRule::NodeAffinity { resources, nodes, strict: true }
                if resources.contains(&guest.vmid) && !nodes.contains_key(&node.name) =>
            {
                reasons.push(format!("an HA rule allows only {}", list(nodes.keys())));
            }
            HaRule::ResourceAffinity { resources, positive } if resources.contains(&guest.vmid) => {
                let partners: Vec<&GuestFacts> = resources
                    .iter()
                    .filter(|vmid| **vmid != guest.vmid)
                    .filter_map(|vmid| site.guest(*vmid))
                    .filter(|other| other.node != site.facts.node)
                    .collect();
                let stands = |other: &&&GuestFacts| (other.node == node.name) != *positive;
                reasons.extend(partners.iter().find(stands).map(|other| {
                    let who = site.named(other.vmid);
                    if *positive {
                        format!("an HA rule keeps it with {who}, which is on {}", other.node)
                    } else {
                        format!("an HA rule keeps it apart from {who}, which is there")
                    }
                }));
            }
            _ => {}
        }
    }
    reasons
}

/// Proxmox's own refusal; a storage that our map replaces is none.
fn precondition(assessed: &Assessed, node: &NodeFacts) -> Vec<String> {
    let Some(Precondition::Known(known)) = &assessed.guest.precondition else { return Vec::new() };
    let mapped: BTreeSet<&StorageId> = assessed.disks.keys().map(|class| &class.from).collect();
    match known.not_allowed.get(&node.name) {
        Some(refused) => {
            let missing = refused.unavailable_storages.iter().filter(|id| !mapped.contains(id));
            let missing = missing.map(|id| format!("Proxmox: storage {id} is unavailable"));
            refused.reasons.iter().map(|reason| format!("Proxmox: {reason}")).chain(missing).collect()
        }
        None => {
            let listed = known.allowed_nodes.as_ref().is_none_or(|a| a.is_empty() || a.contains(&node.name));
            if listed { Vec::new() } else { vec!["Proxmox's precondition does not list it".to_owned()] }
        }
    }
}
