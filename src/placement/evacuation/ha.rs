//! Guests that the HA manager moves by itself: where it may put them, and the room kept for them there.

use std::collections::BTreeSet;

use super::facts::{GuestFacts, HaRule};
use super::site::{Load, Site};
use crate::model::ids::Vmid;
use crate::placement::problem::NodeSet;

/// The nodes the HA manager may choose: it knows rules and who is online, neither bridges nor memory.
///
/// Of the nodes that a node-affinity rule names it takes those of the highest priority that are up; a
/// non-strict rule falls back to all others only when none is. Source: PVE/HA/Manager.pm, Rules (5.2.0).
pub(super) fn choices(site: &Site, guest: &GuestFacts) -> NodeSet {
    let up = |i: &usize| site.others[*i].online && !site.others[*i].maintenance;
    let mut allowed: NodeSet = (0..site.others.len()).filter(up).collect();
    for rule in &site.facts.ha_rules {
        match rule {
            HaRule::NodeAffinity { resources, nodes, strict } if resources.contains(&guest.vmid) => {
                let priority = |i: usize| nodes.get(&site.others[i].name).copied();
                let highest = allowed.iter().filter_map(priority).max();
                match highest {
                    Some(highest) => allowed = allowed.iter().filter(|&i| priority(i) == Some(highest)).collect(),
                    None if *strict => allowed = NodeSet::default(),
                    None => {}
                }
            }
            HaRule::ResourceAffinity { resources, positive } if resources.contains(&guest.vmid) => {
                let partners = resources.iter().filter(|vmid| **vmid != guest.vmid);
                let where_: NodeSet =
                    partners.filter_map(|v| site.guest(*v)).filter_map(|g| site.index(&g.node)).collect();
                if !positive {
                    allowed = NodeSet(allowed.0 & !where_.0);
                } else if !where_.is_empty() {
                    allowed = allowed.intersect(where_);
                }
            }
            _ => {}
        }
    }
    allowed
}

/// What to keep on each node so that the HA manager's guests fit there whichever of their nodes it chooses.
///
/// Of guests that an HA rule keeps apart only the biggest can come to one node.
pub(super) fn kept(site: &Site, owned: &[(&GuestFacts, NodeSet)]) -> Vec<Load> {
    let mut kept = vec![Load::default(); site.others.len()];
    for (node, sum) in kept.iter_mut().enumerate() {
        let mut coming: Vec<&GuestFacts> = owned.iter().filter(|(_, on)| on.contains(node)).map(|(g, _)| *g).collect();
        coming.sort_by_key(|g| (u64::MAX - site.size(g).memory, g.vmid));
        let mut excluded: BTreeSet<Vmid> = BTreeSet::new();
        for guest in coming {
            if excluded.contains(&guest.vmid) {
                continue;
            }
            sum.add(site.demand(guest, false));
            for rule in &site.facts.ha_rules {
                if let HaRule::ResourceAffinity { resources, positive: false } = rule
                    && resources.contains(&guest.vmid)
                {
                    excluded.extend(resources);
                }
            }
        }
    }
    kept
}
