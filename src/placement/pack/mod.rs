//! The packer: masks, constrained first, least loaded, eject-repair, local search, deterministic restarts, and
//! last the cut of bytes that would land on slow storage. A heuristic: it may miss a placement that exists, and
//! then says "not found"; "impossible" it says only with a [`Proof`]. It never answers what [`check`] refuses.

mod bound;
mod construct;
mod improve;
pub(in crate::placement) mod items;
mod order;
mod state;

use super::certificate::{Proof, prove_impossible};
use super::check::check;
use super::problem::{NodeSet, Problem};
use items::Item;
use state::State;

/// How hard to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Starts from different orders; the best answer wins.
    pub restarts: u32,
    /// When none of them found a placement: go on up to so many before saying "not found".
    pub escalate: u32,
    /// How far, in 1/10000, the worst utilisation may rise to spare slow storage; 0 leaves slow storage out.
    pub spare: u64,
}

impl Default for Effort {
    /// Measured: 16 restarts find nearly all and come within 0.05 points of the optimum; 2 points of
    /// utilisation save three quarters of the bytes on slow storage.
    fn default() -> Self {
        Self { restarts: 16, escalate: 100, spare: 200 }
    }
}

/// A complete, verified placement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// For each guest its target.
    pub targets: Vec<usize>,
    /// The worst utilisation of a target, memory or vCPU, in 1/10000.
    pub worst: u64,
    /// No placement can be better than this.
    pub lower_bound: u64,
    /// Disk that lands in slow rooms.
    pub slow: u64,
    pub restarts: u32,
}

/// The best that was found when not everything found a place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Partial {
    pub targets: Vec<Option<usize>>,
    pub unplaced: Vec<usize>,
}

/// What came of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Placed(Placement),
    /// No placement exists, and here is why.
    Impossible {
        proof: Proof,
        partial: Partial,
    },
    /// The search found none; one may exist.
    NotFound {
        restarts: u32,
        partial: Partial,
    },
}

/// Find a place for every guest with the lowest worst utilisation. Deterministic.
///
/// # Panics
/// With more than [`NodeSet::MAX`] targets.
pub fn pack(problem: &Problem, effort: &Effort) -> Outcome {
    assert!(problem.targets.len() <= NodeSet::MAX, "more than {} targets", NodeSet::MAX);
    let items = items::items(problem);
    let proof = prove_impossible(problem, &items);
    let limit = if proof.is_some() { 1 } else { effort.restarts.max(effort.escalate).max(1) };
    let mut search = Search::new(problem, &items);
    for restart in 0..limit {
        if search.best.is_some() && restart >= effort.restarts.max(1) {
            break;
        }
        if search.once(restart) {
            break;
        }
    }
    search.outcome(proof, effort)
}

/// Starts that go on after a failure, for the best partial placement to report.
const WHOLE_STARTS: u32 = 4;

struct Search<'a> {
    problem: &'a Problem,
    items: &'a [Item],
    bound: u64,
    /// How often an item found no place; such items go first in later starts.
    trouble: Vec<u32>,
    best: Option<(u64, State<'a>)>,
    partial: Option<(u64, State<'a>)>,
    restarts: u32,
}

impl<'a> Search<'a> {
    fn new(problem: &'a Problem, items: &'a [Item]) -> Self {
        let bound = bound::lower_bound(problem, items);
        Self { problem, items, bound, trouble: vec![0; items.len()], best: None, partial: None, restarts: 0 }
    }

    /// One start; true when nothing better can be found.
    fn once(&mut self, restart: u32) -> bool {
        self.restarts = restart + 1;
        let order = order::order(self.problem, self.items, restart, &self.trouble);
        // Once a placement is known, every other start asks the harder question: is there one below it?
        let ceiling = match &self.best {
            Some((worst, _)) if !restart.is_multiple_of(4) => worst - 1,
            _ => 10_000,
        };
        let mut state = State::new(self.problem, self.items, ceiling);
        let whole = self.best.is_none() && restart < WHOLE_STARTS;
        let unplaced = construct::construct(&mut state, &order, whole);
        if !unplaced.is_empty() {
            for &item in &unplaced {
                self.trouble[item] += 1;
            }
            let missing = unplaced.iter().map(|&i| self.items[i].memory.max(1)).sum();
            if whole && self.partial.as_ref().is_none_or(|(least, _)| missing < *least) {
                self.partial = Some((missing, state));
            }
            return false;
        }
        improve::balance(&mut state, self.bound);
        let worst = state.worst();
        if self.best.as_ref().is_none_or(|(least, _)| worst < *least) {
            self.best = Some((worst, state));
        }
        worst <= self.bound
    }

    fn outcome(self, proof: Option<Proof>, effort: &Effort) -> Outcome {
        if let Some((worst, mut state)) = self.best {
            if effort.spare > 0 {
                state.lift(worst + effort.spare);
                improve::cut_slow(&mut state, worst + effort.spare);
            }
            let targets: Option<Vec<usize>> = state.assignment().into_iter().collect();
            // The verifier has the last word; a refusal would be our mistake, and is not passed on as a plan.
            if let Some(targets) = targets.filter(|targets| check(self.problem, targets).is_ok()) {
                let (worst, slow) = (self.problem.worst(&targets), self.problem.slow(&targets));
                return Outcome::Placed(Placement {
                    targets,
                    worst,
                    slow,
                    lower_bound: self.bound,
                    restarts: self.restarts,
                });
            }
        }
        let targets = self.partial.map_or(vec![None; self.problem.guests.len()], |(_, state)| state.assignment());
        let unplaced = (0..targets.len()).filter(|&guest| targets[guest].is_none()).collect();
        let partial = Partial { targets, unplaced };
        match proof {
            Some(proof) => Outcome::Impossible { proof, partial },
            None => Outcome::NotFound { restarts: self.restarts, partial },
        }
    }
}
