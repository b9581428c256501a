//! Does a plan still hold? Asked after the HA manager has moved its own, and before each move.

use std::collections::{BTreeMap, BTreeSet};

use super::assess::{Assessed, assess};
use super::facts::{Facts, GuestFacts};
use super::outcome::{Evacuation, Move};
use super::plan::no_disk_room;
use super::reach::obstacles;
use super::site::{Load, Site};
use super::storage::landing;
use super::text::{MIB, gib, gib_of_mib, short_of_mib};
use crate::model::ids::{StorageId, Vmid};

/// Whether all moves that are left still fit, with the loads as they are now.
///
/// Moves whose guest is on its target already are done. `now` must be facts about the plan's node.
///
/// # Errors
/// Each thing that changed, by name and amount.
pub fn still_fits(plan: &Evacuation, now: &Facts) -> Result<(), Vec<String>> {
    let site = Site::new(now, &plan.settings);
    let mut wrong = cluster(plan, now);
    let (mut loads, mut disks) = (site.loads(false), BTreeMap::new());
    for m in &plan.moves {
        if let Some(guest) = left(plan, &site, m, &mut wrong) {
            one(&site, m, guest, &mut loads, &mut disks, &mut wrong);
        }
    }
    strangers(plan, &site, &mut wrong);
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// Whether this one move may begin now.
///
/// # Errors
/// As [`still_fits`]; a VMID that the plan does not move is an error too.
pub fn verify_target(plan: &Evacuation, vmid: Vmid, now: &Facts) -> Result<(), Vec<String>> {
    let Some(m) = plan.moves.iter().find(|m| m.vmid == vmid) else {
        return Err(vec![format!("{vmid} is not a move of this plan")]);
    };
    let site = Site::new(now, &plan.settings);
    let mut wrong = cluster(plan, now);
    if let Some(guest) = left(plan, &site, m, &mut wrong) {
        one(&site, m, guest, &mut site.loads(false), &mut BTreeMap::new(), &mut wrong);
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

fn cluster(plan: &Evacuation, now: &Facts) -> Vec<String> {
    let mut wrong = Vec::new();
    if now.node != plan.node {
        wrong.push(format!("these are facts about {}, the plan empties {}", now.node, plan.node));
    }
    if !now.quorate {
        wrong.push("the cluster is not quorate any more".to_owned());
    }
    wrong
}

/// The guest, if its move is still to be made.
fn left<'f>(plan: &Evacuation, site: &Site<'f>, m: &Move, wrong: &mut Vec<String>) -> Option<&'f GuestFacts> {
    let (vmid, name) = (m.vmid, &m.name);
    match site.guest(vmid) {
        None => wrong.push(format!("{vmid} ({name}) is gone")),
        Some(guest) if guest.node == m.to => {}
        Some(guest) if guest.node != plan.node => {
            wrong.push(format!("{vmid} ({name}) is on {}, planned: from {} to {}", guest.node, m.from, m.to));
        }
        Some(guest) => return Some(guest),
    }
    None
}

/// Room taken on storages by moves considered so far: (target index, storage) -> MiB.
type Taken = BTreeMap<(usize, StorageId), u64>;

fn one(site: &Site, m: &Move, guest: &GuestFacts, loads: &mut [Load], taken: &mut Taken, wrong: &mut Vec<String>) {
    let (who, to) = (format!("{} ({})", m.vmid, m.name), &m.to);
    let (Some(index), Some(source)) = (site.index(to), site.source()) else {
        wrong.push(format!("{who}: {to} is not in the cluster"));
        return;
    };
    let node = site.others[index];
    let assessed = assess(site, source, guest);
    wrong.extend(assessed.blockers.iter().map(|b| format!("{who}: {}: {}", b.limit, b.detail)));
    if assessed.by_ha {
        wrong.push(format!("{who}: the HA manager owns it now"));
    }
    if assessed.mode != m.mode {
        wrong.push(format!("{who}: was to move {}, now only {} is possible", m.mode, assessed.mode));
    }
    if guest.memory > m.memory {
        wrong.push(format!("{who}: has grown from {} to {}", gib(m.memory), gib(guest.memory)));
    }
    let mut reasons = obstacles(site, source, &assessed, node);
    let need = site.demand(guest, false);
    reasons.extend(site.no_room(need, node, loads[index], 0));
    reasons.extend(no_disk_room(&assessed, node));
    reasons.extend(disks_together(&assessed, m, site, index, taken));
    wrong.extend(reasons.into_iter().map(|reason| format!("{who} on {to}: {reason}")));
    loads[index].add(need);
}

/// The map of the plan must still lead somewhere, with room for all that is left.
fn disks_together(a: &Assessed, m: &Move, site: &Site, index: usize, taken: &mut Taken) -> Vec<String> {
    let (node, mut reasons) = (site.others[index], Vec::new());
    for (class, bytes) in &a.disks {
        let planned = m.storages.get(&class.from);
        let Some(id) = planned.cloned().or_else(|| landing(class, node).ok().map(|(_, s)| s.id.clone())) else {
            continue;
        };
        if planned.is_none() {
            reasons.push(format!("its disk on {} is not in the plan", class.from));
        }
        let Some(storage) = node.storage(&id).filter(|s| s.active) else {
            reasons.push(format!("storage {id} is not there any more"));
            continue;
        };
        let (sum, free) = (taken.entry((index, id)).or_default(), storage.avail / MIB);
        let before = *sum;
        *sum += bytes.div_ceil(MIB);
        // Alone too big is told elsewhere.
        if before > 0 && *sum > free {
            let (need, free, short) = (gib_of_mib(*sum), gib_of_mib(free), short_of_mib(*sum - free));
            reasons.push(format!("{} has {free} free, the moves left need {need}: {short} short", storage.id));
        }
    }
    reasons
}

/// Guests on the node that the plan does not know.
fn strangers(plan: &Evacuation, site: &Site, wrong: &mut Vec<String>) {
    let moved = plan.moves.iter().map(|m| m.vmid);
    let known: BTreeSet<Vmid> = moved.chain(plan.staying.iter().map(|s| s.vmid)).collect();
    let by_ha: BTreeSet<Vmid> = plan.by_ha.iter().map(|h| h.vmid).collect();
    for guest in site.here() {
        let who = site.named(guest.vmid);
        if by_ha.contains(&guest.vmid) {
            wrong.push(format!("{who}: the HA manager has not moved it off {} yet", plan.node));
        } else if !known.contains(&guest.vmid) {
            wrong.push(format!("{who}: is on {} and not in the plan", plan.node));
        }
    }
}
