//! From movers to a packing problem and back, giving up soft wishes one after another.
//!
//! Wishes, in the order in which they are given up: room for stopped guests to start again; members of a
//! quorum group one to a node, then as evenly as can be.

use std::collections::{BTreeMap, BTreeSet};

use super::assess::Assessed;
use super::facts::{GuestFacts, HaRule};
use super::site::{Load, Site};
use super::storage::{Class, landing};
use super::text::{MIB, gib_of_mib, list, short_of_mib};
use crate::model::ids::Vmid;
use crate::placement::certificate::Proof;
use crate::placement::pack::{Effort, Outcome, Partial, pack};
use crate::placement::problem::{Apart, Guest, NodeSet, Problem, Room, Target};

/// A guest with the nodes that nothing forbids.
pub(super) struct Mover<'a> {
    pub assessed: Assessed<'a>,
    pub allowed: NodeSet,
}

/// Where each mover goes, or the best that was found.
pub(super) enum Fit {
    Placed(Vec<usize>),
    Failed {
        /// Proved, or merely not found.
        proof: Option<Proof>,
        partial: Partial,
    },
}

/// Find places for all movers beside the residents and what is `kept`.
pub(super) fn fit(site: &Site, movers: &[Mover], kept: &[Load]) -> Fit {
    let members = |g| site.members(g).len() as u32;
    let biggest = site.settings.quorum_groups.iter().map(members).max().unwrap_or(0);
    let attempt = |stopped, slack| match pack(&problem(site, movers, kept, stopped, slack), &Effort::default()) {
        Outcome::Placed(placement) => Fit::Placed(placement.targets),
        Outcome::Impossible { proof, partial } => Fit::Failed { proof: Some(proof), partial },
        Outcome::NotFound { partial, .. } => Fit::Failed { proof: None, partial },
    };
    for stopped in [true, false] {
        if let placed @ Fit::Placed(_) = attempt(stopped, 0) {
            return placed;
        }
    }
    // Without any wish: what this says holds for the hard limits, and no wish need be weighed if it fails.
    let bare = attempt(false, biggest);
    if matches!(bare, Fit::Failed { .. }) {
        return bare;
    }
    let slacks = std::iter::successors(Some(1), |slack| Some(slack * 2)).take_while(|slack| *slack < biggest);
    for slack in slacks {
        for stopped in [true, false] {
            if let placed @ Fit::Placed(_) = attempt(stopped, slack) {
                return placed;
            }
        }
    }
    bare
}

fn problem(site: &Site, movers: &[Mover], kept: &[Load], stopped: bool, slack: u32) -> Problem {
    let classes = classes(movers);
    let guest = |m: &Mover| {
        let need = site.demand(m.assessed.guest, stopped);
        let disks = m.assessed.disks.iter().map(|(class, bytes)| (classes[class], bytes.div_ceil(MIB))).collect();
        Guest { memory: need.memory, vcpus: need.vcpus, disks, allowed: m.allowed }
    };
    let (apart, together) = rules(site, movers);
    let mut problem = Problem {
        targets: targets(site, kept, &classes, stopped),
        guests: movers.iter().map(guest).collect(),
        apart,
        together,
    };
    for group in &site.settings.quorum_groups {
        let group = quorum(site, movers, &site.members(group), slack);
        problem.apart.extend(group);
    }
    problem
}

fn classes<'m>(movers: &'m [Mover]) -> BTreeMap<&'m Class, usize> {
    let mut classes: BTreeMap<&'m Class, usize> =
        movers.iter().flat_map(|m| m.assessed.disks.keys()).map(|class| (class, 0)).collect();
    for (index, slot) in classes.values_mut().enumerate() {
        *slot = index;
    }
    classes
}

fn targets(site: &Site, kept: &[Load], classes: &BTreeMap<&Class, usize>, stopped: bool) -> Vec<Target> {
    let loads = site.loads(stopped);
    let each = site.others.iter().zip(loads).zip(kept);
    each.map(|((node, mut held), kept)| {
        held.add(*kept);
        Target {
            memory: site.usable(node),
            vcpus: site.vcpu_budget(node),
            memory_held: held.memory,
            vcpus_held: held.vcpus,
            rooms: node.storages.iter().map(|s| Room { free: s.avail / MIB, slow: s.slow }).collect(),
            room_of_class: classes.keys().map(|class| landing(class, node).ok().map(|(room, _)| room)).collect(),
        }
    })
    .collect()
}

/// HA resource affinity among the movers; towards residents it is in their masks already.
fn rules(site: &Site, movers: &[Mover]) -> (Vec<Apart>, Vec<Vec<usize>>) {
    let index: BTreeMap<Vmid, usize> = movers.iter().enumerate().map(|(i, m)| (m.assessed.guest.vmid, i)).collect();
    let (mut apart, mut together) = (Vec::new(), Vec::new());
    for rule in &site.facts.ha_rules {
        let HaRule::ResourceAffinity { resources, positive } = rule else { continue };
        let members: Vec<usize> = resources.iter().filter_map(|vmid| index.get(vmid).copied()).collect();
        match (members.len(), positive) {
            (0 | 1, _) => {}
            (_, true) => together.push(members),
            (_, false) => apart.push(Apart { members, at_most: 1, held: Vec::new() }),
        }
    }
    (apart, together)
}

/// A quorum group: as few to a node as the number of nodes allows, and `slack` more.
fn quorum(site: &Site, movers: &[Mover], all: &[&GuestFacts], slack: u32) -> Option<Apart> {
    let vmids: BTreeSet<Vmid> = all.iter().map(|g| g.vmid).collect();
    let members: Vec<usize> = (0..movers.len()).filter(|&i| vmids.contains(&movers[i].assessed.guest.vmid)).collect();
    let mut held = vec![0; site.others.len()];
    for node in all.iter().filter_map(|g| site.index(&g.node)) {
        held[node] += 1;
    }
    let allowed = members.iter().fold(NodeSet::default(), |set, &i| NodeSet(set.0 | movers[i].allowed.0));
    let places = |at_most: u32| -> u32 { allowed.iter().map(|t| at_most.saturating_sub(held[t])).sum() };
    if members.is_empty() || allowed.is_empty() {
        return None;
    }
    let needed = members.len() as u32;
    let least = (1..).find(|&at_most| places(at_most) >= needed)?;
    Some(Apart { members, at_most: least + slack, held })
}

/// A proof with names and figures for people.
pub(super) fn in_words(site: &Site, movers: &[Mover], proof: &Proof) -> String {
    let nodes = |targets: &[usize]| list(targets.iter().map(|&i| &site.others[i].name));
    match proof {
        Proof::FitsNowhere { guests } => {
            let who = list(guests.iter().map(|&g| site.named(movers[g].assessed.guest.vmid)));
            format!("{who} must share a node, and none can take all of them")
        }
        Proof::Memory { guests, targets, need, free } => format!(
            "{guests} guests that can only go to {} need {}, {} is free there above the reserve: {} short",
            nodes(targets),
            gib_of_mib(*need),
            gib_of_mib(*free),
            short_of_mib(need - free)
        ),
        Proof::Vcpus { guests, targets, need, free } => format!(
            "{guests} guests that can only go to {} need {need} vCPUs, {free} are left there: {} short",
            nodes(targets),
            need - free
        ),
        Proof::Apart { members, places, .. } => {
            format!("{members} guests that HA rules keep apart have {places} places")
        }
    }
}
