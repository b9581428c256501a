//! In which order the moves are made.

use std::collections::BTreeMap;

use super::outcome::{Mode, Move};
use super::site::Site;
use crate::model::ids::Vmid;

/// The rule, for people.
pub(super) const RULE: &str = "the smallest live VM on shared storage first, as a canary; then live moves, smallest \
     first; then stopped guests and templates; last what is down for its move, by startup order; members of a \
     quorum group not one after another where that can be";

/// Put the moves in order.
pub(super) fn in_order(site: &Site, moves: Vec<Move>) -> Vec<Move> {
    let size = |m: &Move| m.memory + m.disk_bytes;
    let canary =
        moves.iter().filter(|m| m.mode == Mode::Live && m.storages.is_empty()).min_by_key(|m| (size(m), m.vmid));
    let canary = canary.map(|m| m.vmid);
    let startup = |m: &Move| site.guest(m.vmid).and_then(|g| g.startup_order).unwrap_or(u32::MAX);
    let mut waves: [Vec<Move>; 4] = Default::default();
    for m in moves {
        let wave = match m.mode {
            Mode::Live if Some(m.vmid) == canary => 0,
            Mode::Live => 1,
            Mode::Offline => 2,
            Mode::Restart => 3,
        };
        waves[wave].push(m);
    }
    for wave in &mut waves[..3] {
        wave.sort_by_key(|m| (size(m), m.vmid));
    }
    waves[3].sort_by_key(|m| (startup(m), size(m), m.vmid));
    let groups = groups(site);
    let mut ordered: Vec<Move> = Vec::new();
    for wave in waves {
        spread(&mut ordered, wave, &groups);
    }
    ordered
}

/// The quorum groups of each guest.
fn groups(site: &Site) -> BTreeMap<Vmid, Vec<usize>> {
    let mut groups: BTreeMap<Vmid, Vec<usize>> = BTreeMap::new();
    for (index, group) in site.settings.quorum_groups.iter().enumerate() {
        for guest in site.members(group) {
            groups.entry(guest.vmid).or_default().push(index);
        }
    }
    groups
}

/// Append a wave in its order, but nobody after a fellow member while another could go between.
///
/// When a group is the majority of what is left, one of it goes whenever it can: else its members would all
/// be left for the end, side by side.
fn spread(ordered: &mut Vec<Move>, mut wave: Vec<Move>, groups: &BTreeMap<Vmid, Vec<usize>>) {
    let of = |m: &Move| groups.get(&m.vmid).map(Vec::as_slice).unwrap_or_default();
    while !wave.is_empty() {
        let last = ordered.last().map(of).unwrap_or_default();
        let free = |m: &Move| !of(m).iter().any(|g| last.contains(g));
        let mut count: BTreeMap<usize, usize> = BTreeMap::new();
        for group in wave.iter().flat_map(of) {
            *count.entry(*group).or_default() += 1;
        }
        let pressing = |m: &Move| of(m).iter().any(|g| count[g] * 2 > wave.len());
        let next = wave.iter().position(|m| free(m) && pressing(m)).or_else(|| wave.iter().position(free));
        ordered.push(wave.remove(next.unwrap_or(0)));
    }
}
