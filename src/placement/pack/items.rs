//! What the search moves about: single guests, or several that must share one target.

use std::collections::BTreeMap;

use crate::placement::problem::{NodeSet, Problem};

/// One thing to place: a guest, or a bundle that must stay together.
#[derive(Debug, Clone, Default)]
pub(in crate::placement) struct Item {
    pub guests: Vec<usize>,
    pub memory: u64,
    pub vcpus: u64,
    pub disks: Vec<(usize, u64)>,
    /// Only targets that exist.
    pub allowed: NodeSet,
    /// (group of `apart`, members of it in this item)
    pub groups: Vec<(usize, u32)>,
}

/// Bundles made from `together`; overlapping lists become one bundle. In the order of their first guest.
pub(in crate::placement) fn items(problem: &Problem) -> Vec<Item> {
    let mut leader: Vec<usize> = (0..problem.guests.len()).collect();
    for group in &problem.together {
        for pair in group.windows(2) {
            let (a, b) = (find(&mut leader, pair[0]), find(&mut leader, pair[1]));
            leader[a.max(b)] = a.min(b);
        }
    }
    let mut bundles: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for guest in 0..problem.guests.len() {
        bundles.entry(find(&mut leader, guest)).or_default().push(guest);
    }
    let mut groups_of: Vec<Vec<usize>> = vec![Vec::new(); problem.guests.len()];
    for (group, apart) in problem.apart.iter().enumerate() {
        for &member in &apart.members {
            groups_of[member].push(group);
        }
    }
    bundles.into_values().map(|guests| bundle(problem, &groups_of, guests)).collect()
}

fn find(leader: &mut [usize], mut guest: usize) -> usize {
    while leader[guest] != guest {
        leader[guest] = leader[leader[guest]];
        guest = leader[guest];
    }
    guest
}

fn bundle(problem: &Problem, groups_of: &[Vec<usize>], guests: Vec<usize>) -> Item {
    let mut item = Item { allowed: (0..problem.targets.len()).collect(), ..Item::default() };
    let mut disks: BTreeMap<usize, u64> = BTreeMap::new();
    let mut groups: BTreeMap<usize, u32> = BTreeMap::new();
    for &guest in &guests {
        let facts = &problem.guests[guest];
        item.memory += facts.memory;
        item.vcpus += facts.vcpus;
        item.allowed = item.allowed.intersect(facts.allowed);
        for &(class, amount) in &facts.disks {
            *disks.entry(class).or_default() += amount;
        }
        for &group in &groups_of[guest] {
            *groups.entry(group).or_default() += 1;
        }
    }
    item.disks = disks.into_iter().collect();
    item.groups = groups.into_iter().collect();
    item.guests = guests;
    item
}
