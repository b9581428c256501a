//! A small cluster to start each test from: pve2 is emptied, pve1 and pve3 take over.

mod blockers;
mod order;
mod owners;
mod places;
mod properties;
mod recheck;

use std::collections::BTreeSet;

use super::facts::*;
use super::*;
use crate::model::ids::{GuestKind, NodeName, Vmid};

pub const GIB: u64 = 1 << 30;

pub fn set<T: Ord>(words: impl IntoIterator<Item = impl Into<T>>) -> BTreeSet<T> {
    words.into_iter().map(Into::into).collect()
}

pub fn storage(id: &str, kind: &str, shared: bool) -> StorageFacts {
    StorageFacts {
        id: id.into(),
        kind: kind.into(),
        shared,
        content: set(["images", "rootdir"]),
        total: 1000 * GIB,
        avail: 500 * GIB,
        active: true,
        slow: false,
    }
}

/// 64 GiB and 16 threads: 51.0 GiB usable after 4 GiB for the host and 15 % kept free.
pub fn node(name: &str) -> NodeFacts {
    NodeFacts {
        name: name.into(),
        online: true,
        maintenance: false,
        version: PveVersion(9, 1, 4),
        memory_total: 64 * GIB,
        memory_used: None,
        ksm_shared: None,
        threads: 16,
        cpu: None,
        machines: BTreeSet::new(),
        bridges: set(["vmbr0"]),
        storages: vec![storage("ceph", "rbd", true), storage("local-lvm", "lvmthin", false)],
    }
}

/// A running VM on pve2 with one shared disk, of which Proxmox's own precondition is content.
pub fn vm(vmid: u32, memory_gib: u64) -> GuestFacts {
    GuestFacts {
        vmid: Vmid(vmid),
        kind: GuestKind::Qemu,
        name: format!("vm{vmid}"),
        node: "pve2".into(),
        running: true,
        template: false,
        memory: memory_gib * GIB,
        balloon: None,
        vcpus: 2,
        tags: BTreeSet::new(),
        pool: None,
        lock: None,
        disks: vec![disk("scsi0", &format!("ceph:vm-{vmid}-disk-0"), 32)],
        bridges: set(["vmbr0"]),
        snapshots: false,
        passthrough: Vec::new(),
        mapped: Vec::new(),
        cpu_type: None,
        machine: None,
        startup_order: None,
        onboot: false,
        ha: None,
        precondition: Some(Precondition::Known(KnownPrecondition::default())),
    }
}

pub fn ct(vmid: u32, memory_gib: u64) -> GuestFacts {
    GuestFacts { kind: GuestKind::Lxc, name: format!("ct{vmid}"), ..vm(vmid, memory_gib) }
}

pub fn disk(key: &str, volid: &str, gib: u64) -> DiskFacts {
    DiskFacts {
        key: key.into(),
        volid: volid.into(),
        storage: volid.split_once(':').map_or("", |(storage, _)| storage).into(),
        bytes: gib * GIB,
        cdrom: false,
        cloudinit: false,
        linked_clone_of: None,
        shared_mount: false,
    }
}

pub fn local(mut guest: GuestFacts, gib: u64) -> GuestFacts {
    guest.disks = vec![disk("scsi0", &format!("local-lvm:vm-{}-disk-0", guest.vmid), gib)];
    guest
}

pub fn on(name: &str, mut guest: GuestFacts) -> GuestFacts {
    guest.node = name.into();
    guest
}

pub fn tagged(tags: &[&str], mut guest: GuestFacts) -> GuestFacts {
    guest.tags = set(tags.iter().copied());
    guest
}

pub fn ha(state: HaState, mut guest: GuestFacts) -> GuestFacts {
    guest.ha = Some(HaFacts { state });
    guest
}

pub fn cluster(guests: Vec<GuestFacts>) -> Facts {
    Facts {
        node: "pve2".into(),
        nodes: vec![node("pve1"), node("pve2"), node("pve3")],
        guests,
        ha_rules: Vec::new(),
        replication: Default::default(),
        quorate: true,
    }
}

pub fn ok(facts: &Facts) -> Evacuation {
    with(facts, &Settings::default())
}

pub fn with(facts: &Facts, settings: &Settings) -> Evacuation {
    plan(facts, settings).unwrap_or_else(|refusal| panic!("{refusal}"))
}

pub fn refused(facts: &Facts) -> Refusal {
    plan(facts, &Settings::default()).expect_err("a plan where there should be none")
}

/// The only blocker there should be.
pub fn blocked(facts: &Facts) -> Blocker {
    let mut refusal = refused(facts);
    assert_eq!(refusal.blockers.len(), 1, "{refusal}");
    refusal.blockers.remove(0)
}

pub fn stops_allowed() -> Settings {
    Settings { allow_stop: true, ..Settings::default() }
}

pub fn target_of(plan: &Evacuation, vmid: u32) -> &NodeName {
    &plan.moves.iter().find(|m| m.vmid == Vmid(vmid)).expect("a move").to
}

pub fn vmids(plan: &Evacuation) -> Vec<u32> {
    plan.moves.iter().map(|m| m.vmid.0).collect()
}

/// Why that node cannot take the guest.
pub fn reason<'b>(blocker: &'b Blocker, node: &str) -> &'b str {
    &blocker.per_node.iter().find(|(name, _)| name.as_str() == node).expect("the node").1
}
