//! A lower bound on the worst utilisation: when a placement meets it, no further restart can be better.

use std::collections::BTreeSet;

use super::items::Item;
use crate::placement::problem::{NodeSet, Problem, Target, utilisation};

type Dimension = (fn(&Target) -> (u64, u64), fn(&Item) -> u64);

/// Memory and vCPU: (capacity, held) of a target, need of an item.
const DIMENSIONS: [Dimension; 2] =
    [(|t| (t.memory, t.memory_held), |i| i.memory), (|t| (t.vcpus, t.vcpus_held), |i| i.vcpus)];

/// In 1/10000: the residents, the biggest item on its best target, and everything spread like water.
pub(super) fn lower_bound(problem: &Problem, items: &[Item]) -> u64 {
    let mut bound = 0;
    for (of, _) in DIMENSIONS {
        let residents = problem.targets.iter().map(|t| utilisation(of(t).1, of(t).0)).max();
        bound = bound.max(residents.unwrap_or(0));
    }
    for item in items {
        let best = item.allowed.iter().map(|t| alone(&problem.targets[t], item)).min();
        bound = bound.max(best.unwrap_or(0));
    }
    for allowed in items.iter().map(|i| i.allowed).collect::<BTreeSet<NodeSet>>() {
        for (of, need) in DIMENSIONS {
            let total = items.iter().filter(|i| i.allowed.is_subset(allowed)).map(need).sum();
            bound = bound.max(water(problem, allowed, of, total));
        }
    }
    bound
}

fn alone(target: &Target, item: &Item) -> u64 {
    utilisation(target.memory_held + item.memory, target.memory)
        .max(utilisation(target.vcpus_held + item.vcpus, target.vcpus))
}

/// The lowest level at which the free room under it, over the allowed targets, holds `total`.
fn water(problem: &Problem, allowed: NodeSet, of: fn(&Target) -> (u64, u64), total: u64) -> u64 {
    let room = |level: u64| -> u64 {
        allowed
            .iter()
            .map(|t| of(&problem.targets[t]))
            .map(|(cap, held)| (cap * level / 10_000).saturating_sub(held))
            .sum()
    };
    let (mut low, mut high) = (0, 20_000);
    while low < high {
        let middle = (low + high) / 2;
        if room(middle) >= total { high = middle } else { low = middle + 1 }
    }
    low
}
