//! Local search: lower the worst target by moves and swaps, then keep disks off slow storage.

use super::state::State;

/// A step that lowers the worst target can not go on for ever, but this bounds it for odd data.
const STEPS: usize = 4_000;

/// Move and swap until the worst target cannot be lowered, or `enough` is met.
pub(super) fn balance(state: &mut State, enough: u64) {
    for _ in 0..STEPS {
        let Some(worst) = (0..state.on.len()).max_by_key(|&t| (state.load(t), usize::MAX - t)) else { return };
        if state.load(worst) <= enough || state.on[worst].is_empty() {
            return;
        }
        if !move_off(state, worst) && !swap_off(state, worst) {
            return;
        }
    }
}

/// The best single move off `worst`, if one lowers the higher of the two targets.
fn move_off(state: &mut State, worst: usize) -> bool {
    let limit = state.load(worst);
    let mut best: Option<(u64, usize, usize)> = None;
    for &item in &state.on[worst] {
        let size = state.size(item);
        let left = state.load_with(worst, (0, 0), size);
        if left >= limit {
            continue;
        }
        for to in state.items[item].allowed.iter() {
            let after = left.max(state.load_with(to, size, (0, 0)));
            let better = best.is_none_or(|(load, ..)| after < load);
            if to != worst && after < limit && better && state.fits(item, to) {
                best = Some((after, item, to));
            }
        }
    }
    let Some((_, item, to)) = best else { return false };
    state.take(item);
    state.put(item, to);
    true
}

/// The best swap of one thing on `worst` with one elsewhere.
fn swap_off(state: &mut State, worst: usize) -> bool {
    let limit = state.load(worst);
    let mut best: Option<(u64, usize, usize)> = None;
    for a in state.on[worst].clone() {
        for to in state.items[a].allowed.iter() {
            if to == worst {
                continue;
            }
            for b in state.on[to].clone() {
                let (size_a, size_b) = (state.size(a), state.size(b));
                let after = state.load_with(worst, size_b, size_a).max(state.load_with(to, size_a, size_b));
                if after < best.map_or(limit, |(load, ..)| load) && can_swap(state, a, b) {
                    best = Some((after, a, b));
                }
            }
        }
    }
    let Some((_, a, b)) = best else { return false };
    swap(state, a, b);
    true
}

fn swap(state: &mut State, a: usize, b: usize) {
    let (from, to) = (state.take(a), state.take(b));
    if let (Some(from), Some(to)) = (from, to) {
        state.put(a, to);
        state.put(b, from);
    }
}

/// Whether `a` and `b` may change places; leaves everything as it was.
fn can_swap(state: &mut State, a: usize, b: usize) -> bool {
    let (Some(from), Some(to)) = (state.place[a], state.place[b]) else { return false };
    if !state.items[a].allowed.contains(to) || !state.items[b].allowed.contains(from) {
        return false;
    }
    state.take(a);
    state.take(b);
    let fits = state.fits(a, to) && state.fits(b, from);
    state.put(a, from);
    state.put(b, to);
    fits
}

/// Move or swap disks off slow storage while no target goes above `limit`.
pub(super) fn cut_slow(state: &mut State, limit: u64) {
    for _ in 0..STEPS {
        let mut slow: Vec<(u64, usize)> = (0..state.items.len())
            .filter_map(|item| state.place[item].map(|at| (state.slow_if(item, at), item)))
            .filter(|(amount, _)| *amount > 0)
            .collect();
        slow.sort_by_key(|&(amount, item)| (u64::MAX - amount, item));
        if !slow.iter().any(|&(_, item)| move_to_fast(state, item, limit) || swap_to_fast(state, item, limit)) {
            return;
        }
    }
}

fn move_to_fast(state: &mut State, item: usize, limit: u64) -> bool {
    let Some(from) = state.place[item] else { return false };
    let (now, size) = (state.slow_if(item, from), state.size(item));
    let best = (0..state.on.len())
        .filter(|&to| to != from && state.slow_if(item, to) < now)
        .map(|to| (state.slow_if(item, to), state.load_with(to, size, (0, 0)), to))
        .filter(|&(_, load, to)| load <= limit && state.fits(item, to))
        .min();
    let Some((_, _, to)) = best else { return false };
    state.take(item);
    state.put(item, to);
    true
}

fn swap_to_fast(state: &mut State, a: usize, limit: u64) -> bool {
    let Some(from) = state.place[a] else { return false };
    let now = state.slow_if(a, from);
    // (saved, load, item): the most saved, then the lower load.
    let mut best: Option<(u64, u64, usize)> = None;
    for to in state.items[a].allowed.iter() {
        if to == from || state.slow_if(a, to) >= now {
            continue;
        }
        for b in state.on[to].clone() {
            let before = now + state.slow_if(b, to);
            let saved = before.saturating_sub(state.slow_if(a, to) + state.slow_if(b, from));
            let (size_a, size_b) = (state.size(a), state.size(b));
            let load = state.load_with(from, size_b, size_a).max(state.load_with(to, size_a, size_b));
            let better = best.is_none_or(|(s, l, _)| saved > s || (saved == s && load < l));
            if saved > 0 && load <= limit && better && can_swap(state, a, b) {
                best = Some((saved, load, b));
            }
        }
    }
    let Some((_, _, b)) = best else { return false };
    swap(state, a, b);
    true
}
