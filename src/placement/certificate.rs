//! Proofs that no placement exists: cheap ones, each of which a person can check by hand.

use std::collections::{BTreeMap, BTreeSet};

use super::pack::items::Item;
use super::problem::{NodeSet, Problem, Target};

/// Why no placement can exist. Amounts are in the problem's units.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Proof {
    /// These guests (one, or some that must share a target) fit on no target, even an otherwise untouched one.
    #[error("guests {guests:?} fit nowhere")]
    FitsNowhere { guests: Vec<usize> },
    /// Guests that may only use these targets need more than is free there.
    #[error("{guests} guests need {need} MiB of memory, {free} MiB is free on the targets they may use")]
    Memory { guests: usize, targets: Vec<usize>, need: u64, free: u64 },
    #[error("{guests} guests need {need} vCPUs, {free} are left on the targets they may use")]
    Vcpus { guests: usize, targets: Vec<usize>, need: u64, free: u64 },
    /// More members that must be apart than places for them.
    #[error("group {group} has {members} members for {places} places")]
    Apart { group: usize, members: u32, places: u32 },
}

pub(super) fn prove_impossible(problem: &Problem, items: &[Item]) -> Option<Proof> {
    let nowhere = items.iter().find(|item| !item.allowed.iter().any(|t| fits_alone(problem, item, t)));
    if let Some(item) = nowhere {
        return Some(Proof::FitsNowhere { guests: item.guests.clone() });
    }
    crowded(problem, items).or_else(|| too_much(problem, items))
}

fn fits_alone(problem: &Problem, item: &Item, to: usize) -> bool {
    let target = &problem.targets[to];
    let mut rooms: BTreeMap<usize, u64> = BTreeMap::new();
    for &(class, amount) in &item.disks {
        let Some(room) = target.room_for(class) else { return false };
        *rooms.entry(room).or_default() += amount;
    }
    let apart =
        |&(group, members): &(usize, u32)| problem.apart[group].held_by(to) + members <= problem.apart[group].at_most;
    (item.memory == 0 || target.memory_held + item.memory <= target.memory)
        && (item.vcpus == 0 || target.vcpus_held + item.vcpus <= target.vcpus)
        && rooms.into_iter().all(|(room, need)| need <= target.rooms[room].free)
        && item.groups.iter().all(apart)
}

/// A group with more members than its members' targets have places for.
fn crowded(problem: &Problem, items: &[Item]) -> Option<Proof> {
    let mut seen: Vec<(u32, NodeSet)> = vec![(0, NodeSet::default()); problem.apart.len()];
    for item in items {
        for &(group, members) in &item.groups {
            seen[group].0 += members;
            seen[group].1.0 |= item.allowed.0;
        }
    }
    seen.into_iter().enumerate().find_map(|(group, (members, allowed))| {
        let apart = &problem.apart[group];
        let places: u32 = allowed.iter().map(|t| apart.at_most.saturating_sub(apart.held_by(t))).sum();
        (members > places).then_some(Proof::Apart { group, members, places })
    })
}

/// Hall's condition for each set of targets that occurs as a mask, and for all of them.
fn too_much(problem: &Problem, items: &[Item]) -> Option<Proof> {
    let all: NodeSet = (0..problem.targets.len()).collect();
    let mut masks: BTreeSet<NodeSet> = items.iter().map(|i| i.allowed).collect();
    masks.insert(all);
    masks.into_iter().find_map(|mask| {
        let inside: Vec<&Item> = items.iter().filter(|i| i.allowed.is_subset(mask)).collect();
        let guests = inside.iter().map(|i| i.guests.len()).sum();
        let targets: Vec<usize> = mask.iter().collect();
        let free = |of: fn(&Target) -> u64| -> u64 { targets.iter().map(|&t| of(&problem.targets[t])).sum() };
        let memory = (inside.iter().map(|i| i.memory).sum(), free(|t| t.memory.saturating_sub(t.memory_held)));
        let vcpus = (inside.iter().map(|i| i.vcpus).sum(), free(|t| t.vcpus.saturating_sub(t.vcpus_held)));
        match (memory, vcpus) {
            ((need, free), _) if need > free => Some(Proof::Memory { guests, targets: targets.clone(), need, free }),
            (_, (need, free)) if need > free => Some(Proof::Vcpus { guests, targets: targets.clone(), need, free }),
            _ => None,
        }
    })
}
