//! What must still hold when an evacuation begins.

use std::collections::BTreeMap;

use serde_json::json;

use crate::actions::proxmox::look;
use crate::actions::proxmox::object::title;
use crate::actions::proxmox::resource::Resource;
use crate::model::ids::NodeName;
use crate::model::world::{Guard, Predicate};
use crate::placement::evacuation::facts::{Facts, GuestFacts, NodeFacts};
use crate::placement::evacuation::{Evacuation, Mode, gib};

/// Figures are rounded down to this, so that they read well.
const STEP: u64 = 1 << 27;

/// Of its memory, how much a node may gain or lose by itself without being another case.
const SLACK: u64 = 20;

/// Bytes that must be free on the node for the guests that come: what they need, but never so near to what is free
/// now that ordinary movement would break it. The plan itself counts configured memory, which does not move.
fn threshold(need: u64, node: &NodeFacts) -> Option<u64> {
    let free = node.memory_total.saturating_sub(node.memory_used?);
    let bound = need.min(free.saturating_sub(node.memory_total / SLACK)) / STEP * STEP;
    (bound > 0).then_some(bound)
}

/// Memory of running guests that come to each node, by node.
fn coming(plan: &Evacuation, facts: &Facts) -> BTreeMap<NodeName, u64> {
    let mut need: BTreeMap<NodeName, u64> = BTreeMap::new();
    for m in &plan.moves {
        let running = facts.guest(m.vmid).is_some_and(|g| g.running);
        *need.entry(m.to.clone()).or_default() += if running { m.memory } else { 0 };
    }
    need
}

fn as_it_is(guest: &GuestFacts, mode: Mode) -> [Guard; 3] {
    let status = if guest.running { "running" } else { "stopped" };
    let (who, at) = (title(guest.kind, guest.vmid, &guest.name), || Resource::Guest(guest.vmid));
    let how = if mode == Mode::Offline { "moves offline" } else { "moves while it runs" };
    let node = &guest.node;
    [
        look::guard(format!("{who} is on {node}"), at(), "/node", Predicate::Equals, json!(node)),
        look::guard(format!("{who} is {status} ({how})"), at(), "/status", Predicate::Equals, json!(status)),
        look::guard(format!("{who} is not locked"), at(), "/lock", Predicate::Absent, json!(null)),
    ]
}

pub(super) fn guards(plan: &Evacuation, facts: &Facts) -> Vec<Guard> {
    let mut all = Vec::new();
    for (node, need) in coming(plan, facts) {
        all.extend(look::takes_guests(&node));
        let bound = facts.node_facts(&node).and_then(|n| threshold(need, n));
        all.extend(bound.map(|bound| {
            let text = format!("{node} has at least {} of memory free for the guests that come", gib(bound));
            look::guard(text, Resource::NodeMemory(node.clone()), "/free", Predicate::AtLeast, json!(bound))
        }));
    }
    for m in &plan.moves {
        all.extend(facts.guest(m.vmid).into_iter().flat_map(|guest| as_it_is(guest, m.mode)));
    }
    all
}

/// Targets whose own figure says less than what comes: a note, since caches give memory back.
pub(super) fn tight(plan: &Evacuation, facts: &Facts) -> Vec<String> {
    let each = coming(plan, facts).into_iter().filter_map(|(name, need)| {
        let node = facts.node_facts(&name)?;
        let free = node.memory_total.saturating_sub(node.memory_used?);
        let (comes, free_text) = (gib(need), gib(free));
        (free < need).then(|| format!("{name} has {free_text} free by its own figure now, {comes} come"))
    });
    each.collect()
}
