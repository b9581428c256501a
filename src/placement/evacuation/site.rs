//! The facts seen with the settings: who is where, what each node can bear and bears already.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Facts, GuestFacts, NodeFacts};
use super::settings::{QuorumGroup, Settings};
use super::text::{MIB, gib_of_mib, mib_up, short_of_mib};
use crate::model::ids::{GuestKind, NodeName, Vmid};

/// What a node bears: MiB of configured memory with overhead, and vCPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Load {
    pub memory: u64,
    pub vcpus: u64,
}

impl Load {
    pub fn add(&mut self, other: Self) {
        self.memory += other.memory;
        self.vcpus += other.vcpus;
    }
}

/// Facts and settings, with the nodes that are not being emptied in the order of their names.
pub(super) struct Site<'a> {
    pub facts: &'a Facts,
    pub settings: &'a Settings,
    pub others: Vec<&'a NodeFacts>,
    by_name: BTreeMap<&'a NodeName, usize>,
    by_vmid: BTreeMap<Vmid, &'a GuestFacts>,
    /// Linked clones by their base volume and its node.
    clones: BTreeMap<(&'a NodeName, &'a str), Vec<Vmid>>,
}

impl<'a> Site<'a> {
    pub fn new(facts: &'a Facts, settings: &'a Settings) -> Self {
        let mut others: Vec<&NodeFacts> = facts.nodes.iter().filter(|n| n.name != facts.node).collect();
        others.sort_by(|a, b| a.name.cmp(&b.name));
        let by_name = others.iter().enumerate().map(|(i, n)| (&n.name, i)).collect();
        let by_vmid = facts.guests.iter().map(|g| (g.vmid, g)).collect();
        let mut clones: BTreeMap<(&NodeName, &str), Vec<Vmid>> = BTreeMap::new();
        for guest in &facts.guests {
            for base in guest.disks.iter().filter_map(|d| d.linked_clone_of.as_deref()) {
                clones.entry((&guest.node, base)).or_default().push(guest.vmid);
            }
        }
        Self { facts, settings, others, by_name, by_vmid, clones }
    }

    pub fn source(&self) -> Option<&'a NodeFacts> {
        self.facts.node_facts(&self.facts.node)
    }

    pub fn index(&self, name: &NodeName) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    pub fn guest(&self, vmid: Vmid) -> Option<&'a GuestFacts> {
        self.by_vmid.get(&vmid).copied()
    }

    /// Guests on the node that is emptied whose disks are linked to that volume of it.
    pub fn clones_of(&self, volume: &'a str) -> &[Vmid] {
        self.clones.get(&(&self.facts.node, volume)).map(Vec::as_slice).unwrap_or_default()
    }

    /// Guests on the node that is emptied, by VMID.
    pub fn here(&self) -> Vec<&'a GuestFacts> {
        let mut here: Vec<&GuestFacts> = self.facts.guests.iter().filter(|g| g.node == self.facts.node).collect();
        here.sort_by_key(|g| g.vmid);
        here
    }

    /// Memory in MiB that guests may use on a node: less the host reserve, less what is kept free.
    pub fn usable(&self, node: &NodeFacts) -> u64 {
        let after_reserve = node.memory_total.saturating_sub(self.settings.host_reserve) / MIB;
        (after_reserve as f64 * (100.0 - self.settings.keep_free.clamp(0.0, 100.0)) / 100.0) as u64
    }

    pub fn vcpu_budget(&self, node: &NodeFacts) -> u64 {
        (f64::from(node.threads) * self.settings.cpu_overcommit.max(0.0)) as u64
    }

    /// What a guest needs when it runs.
    pub fn size(&self, guest: &GuestFacts) -> Load {
        let overhead = match guest.kind {
            GuestKind::Qemu => self.settings.vm_overhead + guest.memory / 1_000 * self.settings.vm_overhead_permille,
            GuestKind::Lxc => 0,
        };
        Load { memory: mib_up(guest.memory + overhead), vcpus: u64::from(guest.vcpus) }
    }

    /// What it needs now: nothing unless it runs, or, with `stopped`, as if stopped guests ran.
    pub fn demand(&self, guest: &GuestFacts, stopped: bool) -> Load {
        if guest.running || (stopped && !guest.template) { self.size(guest) } else { Load::default() }
    }

    /// What each of `others` bears by guests that are there.
    pub fn loads(&self, stopped: bool) -> Vec<Load> {
        let mut loads = vec![Load::default(); self.others.len()];
        for guest in &self.facts.guests {
            if let Some(node) = self.index(&guest.node) {
                loads[node].add(self.demand(guest, stopped));
            }
        }
        loads
    }

    /// Why a guest of that size finds no room beside `held`; `kept`: MiB of it for the HA manager.
    pub fn no_room(&self, need: Load, node: &NodeFacts, held: Load, kept: u64) -> Vec<String> {
        let mut reasons = Vec::new();
        let usable = self.usable(node);
        if need.memory > 0 && held.memory + need.memory > usable {
            let missing = short_of_mib(held.memory + need.memory - usable);
            let kept =
                if kept > 0 { format!(" ({} kept for the HA manager)", gib_of_mib(kept)) } else { String::new() };
            let (need, free) = (gib_of_mib(need.memory), gib_of_mib(usable.saturating_sub(held.memory)));
            reasons.push(format!("needs {need}, {free} free above the reserve{kept}: {missing} short"));
        }
        let budget = self.vcpu_budget(node);
        if need.vcpus > 0 && held.vcpus + need.vcpus > budget {
            let (free, short) = (budget.saturating_sub(held.vcpus), held.vcpus + need.vcpus - budget);
            let of = self.settings.cpu_overcommit;
            reasons.push(format!("needs {} vCPUs, {free} left at {of} per thread: {short} short", need.vcpus));
        }
        reasons
    }

    /// Members of a quorum group: guests with all of its tags.
    pub fn members(&self, group: &QuorumGroup) -> Vec<&'a GuestFacts> {
        let all = self.facts.guests.iter();
        all.filter(|g| !group.tags.is_empty() && !g.template && group.tags.is_subset(&g.tags)).collect()
    }

    /// `104 (web)`.
    pub fn named(&self, vmid: Vmid) -> String {
        self.guest(vmid).map_or_else(|| vmid.to_string(), |g| format!("{vmid} ({})", g.name))
    }

    pub fn vmids_here(&self) -> BTreeSet<Vmid> {
        self.here().into_iter().map(|g| g.vmid).collect()
    }
}
