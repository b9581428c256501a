//! First a placement: constrained and big things first, each to the least loaded target; where one finds no
//! place, up to two others make room for it.

use super::state::State;

/// The most things on one target that are tried in pairs; beyond, pairs cost more than another restart.
const PAIRS_UP_TO: usize = 80;

/// How many homeless items one start tries to make room for; with more it is lost, and only counts what fits.
const HOPELESS: usize = 3;

/// Place every item in `order`; the items that found no place are returned. `all`: go on after the first of
/// them, for a best partial placement; else give up there, since the start has failed.
pub(super) fn construct(state: &mut State, order: &[usize], all: bool) -> Vec<usize> {
    let mut unplaced = Vec::new();
    for &item in order {
        if let Some(to) = state.least_loaded(item, None) {
            state.put(item, to);
        } else if unplaced.len() >= HOPELESS || !eject(state, item) {
            unplaced.push(item);
            if !all {
                break;
            }
        }
    }
    unplaced
}

/// Make room for `item` by sending one or two others elsewhere.
fn eject(state: &mut State, item: usize) -> bool {
    let allowed: Vec<usize> = state.items[item].allowed.iter().collect();
    allowed.iter().any(|&to| eject_one(state, item, to)) || allowed.iter().any(|&to| eject_two(state, item, to))
}

/// What is on the target, smallest first: the cheapest to send away.
fn candidates(state: &State, to: usize) -> Vec<usize> {
    let mut here = state.on[to].clone();
    here.sort_by_key(|&other| (state.size(other), other));
    here
}

fn eject_one(state: &mut State, item: usize, to: usize) -> bool {
    for other in candidates(state, to) {
        state.take(other);
        if state.fits(item, to) {
            state.put(item, to);
            if let Some(elsewhere) = state.least_loaded(other, Some(to)) {
                state.put(other, elsewhere);
                return true;
            }
            state.take(item);
        }
        state.put(other, to);
    }
    false
}

fn eject_two(state: &mut State, item: usize, to: usize) -> bool {
    let here = candidates(state, to);
    if here.len() > PAIRS_UP_TO {
        return false;
    }
    for (i, &first) in here.iter().enumerate() {
        state.take(first);
        for &second in &here[i + 1..] {
            state.take(second);
            if state.fits(item, to) {
                state.put(item, to);
                // The bigger of the two is harder to place, so it goes first.
                if rehome(state, second, first, to) {
                    return true;
                }
                state.take(item);
            }
            state.put(second, to);
        }
        state.put(first, to);
    }
    false
}

fn rehome(state: &mut State, big: usize, small: usize, away: usize) -> bool {
    let Some(to) = state.least_loaded(big, Some(away)) else { return false };
    state.put(big, to);
    if let Some(to) = state.least_loaded(small, Some(away)) {
        state.put(small, to);
        return true;
    }
    state.take(big);
    false
}
