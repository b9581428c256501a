//! What an operator should know although it stops nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::assess::Assessed;
use super::facts::Precondition;
use super::outcome::Move;
use super::site::{Load, Site};
use super::text::{MIB, gib, gib_of_mib, list, short_of_mib};
use crate::model::ids::{NodeName, Vmid};
use crate::placement::pack::{Effort, Outcome, pack};
use crate::placement::problem::{Guest, NodeSet, Problem, Target};

/// Warnings about a finished plan; `movers` are ours and the HA manager's.
pub(super) fn warnings(site: &Site, movers: &[&Assessed], moves: &[Move]) -> Vec<String> {
    let mut all = not_verified(site, movers);
    all.extend(unused_stay(site));
    all.extend(unlisted_disks(site, movers));
    all.extend(quorum_groups(site, moves));
    all.extend(cannot_all_start(site, moves));
    let coming = movers.iter().filter(|m| m.by_ha).map(|m| site.demand(m.guest, false).memory).sum();
    all.extend(not_n_plus_one(site, moves, coming));
    all.extend(memory_basis(site, movers));
    all.extend(full_storages(site, moves));
    all.extend(boot_order(site, moves));
    all
}

pub(super) fn not_verified(site: &Site, movers: &[&Assessed]) -> Vec<String> {
    let mut by_reason: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for m in movers {
        let reason = match &m.guest.precondition {
            Some(Precondition::Known(_)) => continue,
            Some(Precondition::Unknown(reason)) => reason,
            None => "it was not asked",
        };
        by_reason.entry(reason).or_default().push(site.named(m.guest.vmid));
    }
    let each = by_reason.into_iter();
    each.map(|(reason, who)| format!("not verified by Proxmox's own precondition: {reason}: {}", list(who))).collect()
}

pub(super) fn unused_stay(site: &Site) -> Vec<String> {
    let here = site.vmids_here();
    let unused: Vec<String> = site.settings.stay.difference(&here).map(|v| site.named(*v)).collect();
    if unused.is_empty() {
        return Vec::new();
    }
    vec![format!("stay lists {}, not on {}", list(unused), site.facts.node)]
}

/// Local volumes that Proxmox names and the facts do not have: their room is not counted.
fn unlisted_disks(site: &Site, movers: &[&Assessed]) -> Vec<String> {
    let mut warnings = Vec::new();
    for m in movers {
        let Some(Precondition::Known(known)) = &m.guest.precondition else { continue };
        let listed: BTreeSet<&str> = m.guest.disks.iter().map(|d| d.volid.as_str()).collect();
        let unknown: Vec<&String> = known.local_disks.iter().filter(|v| !listed.contains(v.as_str())).collect();
        if !unknown.is_empty() {
            let who = site.named(m.guest.vmid);
            warnings.push(format!("{who}: Proxmox lists {} too, whose room is not counted", list(unknown)));
        }
    }
    warnings
}

fn quorum_groups(site: &Site, moves: &[Move]) -> Vec<String> {
    let to: BTreeMap<Vmid, &NodeName> = moves.iter().map(|m| (m.vmid, &m.to)).collect();
    let up = site.others.iter().filter(|n| n.online && !n.maintenance).count();
    let mut all = Vec::new();
    for group in &site.settings.quorum_groups {
        let members = site.members(group);
        let mut on: BTreeMap<&NodeName, Vec<&str>> = BTreeMap::new();
        for guest in &members {
            let node = to.get(&guest.vmid).copied().unwrap_or(&guest.node);
            if node != &site.facts.node {
                on.entry(node).or_default().push(&guest.name);
            }
        }
        for (node, names) in on.into_iter().filter(|(_, names)| names.len() > 1) {
            let (n, home) = (members.len(), &site.facts.node);
            let room = if n <= up { " for want of another place" } else { "" };
            all.push(format!(
                "quorum group {}: {n} members, {up} targets: {} share {node}{room} until {home} is back",
                group.name,
                list(names)
            ));
        }
    }
    all
}

/// Memory in MiB on each of `others` after the moves.
fn after(site: &Site, moves: &[Move], stopped: bool) -> Vec<Load> {
    let mut loads = site.loads(stopped);
    for m in moves {
        if let (Some(node), Some(guest)) = (site.index(&m.to), site.guest(m.vmid)) {
            loads[node].add(site.demand(guest, stopped));
        }
    }
    loads
}

fn cannot_all_start(site: &Site, moves: &[Move]) -> Vec<String> {
    let (running, all) = (after(site, moves, false), after(site, moves, true));
    let touched: BTreeSet<&NodeName> = moves.iter().map(|m| &m.to).collect();
    let mut warnings = Vec::new();
    for (i, node) in site.others.iter().enumerate() {
        let usable = site.usable(node);
        if touched.contains(&node.name) && all[i].memory > usable && all[i].memory > running[i].memory {
            let percent = (all[i].memory * 100).checked_div(usable).unwrap_or(0);
            let (would, of) = (gib_of_mib(all[i].memory), gib_of_mib(usable));
            let name = &node.name;
            warnings.push(format!(
                "the stopped guests on {name} cannot all start: it would hold {would} of {of} usable ({percent} %)"
            ));
        }
    }
    warnings
}

/// Whether, with this node out, any other may fail as well: each one's guests are packed onto the rest.
///
/// `coming`: MiB that the HA manager will bring; they must fit on the rest as well, wherever they land now.
fn not_n_plus_one(site: &Site, moves: &[Move], coming: u64) -> Vec<String> {
    let up: Vec<usize> = (0..site.others.len()).filter(|&i| site.others[i].online).collect();
    if let [only] = up[..] {
        return vec![format!("N+1 is not kept: {} is the only other node", site.others[only].name)];
    }
    let loads = after(site, moves, false);
    let to: BTreeMap<Vmid, &NodeName> = moves.iter().map(|m| (m.vmid, &m.to)).collect();
    let mut warnings = Vec::new();
    for &lost in &up {
        let name = &site.others[lost].name;
        let stranded = site.facts.guests.iter().filter(|g| *to.get(&g.vmid).unwrap_or(&&g.node) == name);
        let needs: Vec<u64> = stranded.map(|g| site.demand(g, false).memory).filter(|need| *need > 0).collect();
        let rest: Vec<usize> = up.iter().copied().filter(|&i| i != lost).collect();
        let target = |&i: &usize| Target {
            // What is kept free is for such a day.
            memory: site.others[i].memory_total.saturating_sub(site.settings.host_reserve) / MIB,
            memory_held: loads[i].memory,
            vcpus: 1,
            ..Target::default()
        };
        let targets: Vec<Target> = rest.iter().map(target).collect();
        let allowed: NodeSet = (0..targets.len()).collect();
        let free: u64 = targets.iter().map(|t| t.memory.saturating_sub(t.memory_held)).sum();
        let need: u64 = needs.iter().sum::<u64>() + coming;
        let guests = needs.into_iter().map(|memory| Guest { memory, allowed, ..Guest::default() }).collect();
        let problem = Problem { targets, guests, ..Problem::default() };
        let lost_too = format!("N+1 is not kept: were {name} lost too, its guests would need {}", gib_of_mib(need));
        if need > free {
            let (free, short) = (gib_of_mib(free), short_of_mib(need - free));
            warnings.push(format!("{lost_too}, and the rest has {free}: {short} short"));
        } else if let Outcome::Impossible { partial, .. } | Outcome::NotFound { partial, .. } =
            pack(&problem, &Effort { restarts: 1, escalate: 16, spare: 0 })
        {
            let left: u64 = partial.unplaced.iter().map(|&g| problem.guests[g].memory).sum();
            warnings.push(format!(
                "{lost_too}; the rest has {} but in pieces: {} short",
                gib_of_mib(free),
                short_of_mib(left)
            ));
        }
    }
    warnings
}

fn memory_basis(site: &Site, movers: &[&Assessed]) -> Vec<String> {
    let mut warnings = Vec::new();
    for node in site.others.iter().filter(|n| n.online) {
        if let Some(shared) = node.ksm_shared.filter(|shared| *shared >= 100 * MIB) {
            warnings.push(format!(
                "{}: KSM shares {}; the plan counts configured memory and does not rely on it",
                node.name,
                gib(shared)
            ));
        }
        let held: u64 =
            site.facts.guests.iter().filter(|g| g.node == node.name).map(|g| site.demand(g, false).memory).sum();
        let explained = held * MIB + site.settings.host_reserve;
        if let Some(extra) =
            node.memory_used.and_then(|used| used.checked_sub(explained)).filter(|extra| *extra >= 1024 * MIB)
        {
            let (name, extra) = (&node.name, gib(extra));
            warnings.push(format!("{name} uses {extra} more than its guests and the host reserve explain (ZFS cache, Ceph?): consider a larger host_reserve"));
        }
    }
    let ballooning =
        |m: &&&Assessed| m.guest.running && m.guest.balloon.is_some_and(|floor| floor > 0 && floor < m.guest.memory);
    let who: Vec<String> = movers.iter().filter(ballooning).map(|m| site.named(m.guest.vmid)).collect();
    if !who.is_empty() {
        warnings.push(format!("ballooning: {} arrive with their full configured memory", list(who)));
    }
    warnings
}

/// Storages that end above 90 %: thin pools that fill up take every guest on them down.
fn full_storages(site: &Site, moves: &[Move]) -> Vec<String> {
    let mut added: BTreeMap<(&NodeName, &crate::model::ids::StorageId), u64> = BTreeMap::new();
    for m in moves {
        let Some(guest) = site.guest(m.vmid) else { continue };
        for (from, to) in &m.storages {
            let bytes: u64 =
                guest.disks.iter().filter(|d| &d.storage == from && !d.cdrom | d.cloudinit).map(|d| d.bytes).sum();
            *added.entry((&m.to, to)).or_default() += bytes;
        }
    }
    let mut warnings = Vec::new();
    for ((node, id), bytes) in added {
        let Some(s) = site.facts.node_facts(node).and_then(|n| n.storage(id)) else { continue };
        let used = s.total.saturating_sub(s.avail) + bytes;
        if bytes > 0 && s.total > 0 && used / (s.total / 100).max(1) >= 90 {
            warnings.push(format!("{id} on {node} would hold {} of {}", gib(used), gib(s.total)));
        }
    }
    warnings
}

fn boot_order(site: &Site, moves: &[Move]) -> Vec<String> {
    let ordered = |m: &&Move| site.guest(m.vmid).is_some_and(|g| g.onboot && g.startup_order.is_some());
    let with_order: Vec<&Move> = moves.iter().filter(ordered).collect();
    let nodes: BTreeSet<&NodeName> = with_order.iter().map(|m| &m.to).collect();
    if nodes.len() < 2 {
        return Vec::new();
    }
    let who = list(with_order.iter().map(|m| site.named(m.vmid)));
    vec![format!("boot order holds only within a node, and these part: {who}")]
}
