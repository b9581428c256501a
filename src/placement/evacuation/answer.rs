//! The plan in the words of its reader: moves in order, stops, what the HA manager does, loads before and after.

use std::collections::BTreeMap;

use super::assess::Assessed;
use super::facts::{GuestFacts, NodeFacts};
use super::fit::Mover;
use super::order;
use super::outcome::*;
use super::plan::Draft;
use super::settings::HaRoom;
use super::storage::landing;
use super::text::{MIB, gib_of_mib, list, short_of_mib};
use super::warnings::warnings;
use crate::model::ids::{GuestKind, NodeName};
use crate::placement::problem::NodeSet;

impl Draft<'_, '_> {
    /// Everything has its place: `placed` are indexes of `site.others` for `ours`.
    pub(super) fn finish(&self, placed: &[usize], staying: &[&GuestFacts]) -> Evacuation {
        let site = self.site;
        let moves = self.ours.iter().zip(placed).map(|(m, &to)| self.movement(&m.assessed, site.others[to]));
        let moves = order::in_order(site, moves.collect());
        let asked: Vec<&Assessed> = self.all();
        let mut notes = warnings(site, &asked, &moves);
        notes.extend(self.notes.clone());
        notes.extend(self.overfull_by_ha(&moves));
        let why = |g: &GuestFacts| if g.running { "listed in stay; it is running" } else { "listed in stay" };
        Evacuation {
            node: site.facts.node.clone(),
            stops: self.stops(&moves),
            by_ha: self.by_ha.iter().map(|(m, on)| self.ha_move(m, *on)).collect(),
            staying: staying
                .iter()
                .map(|g| Staying { vmid: g.vmid, name: g.name.clone(), why: why(g).to_owned() })
                .collect(),
            usage: self.usage(&moves),
            moves,
            warnings: notes,
            order: order::RULE.to_owned(),
            settings: site.settings.clone(),
        }
    }

    fn movement(&self, a: &Assessed, to: &NodeFacts) -> Move {
        let guest = a.guest;
        let storages: BTreeMap<_, _> = a
            .disks
            .keys()
            .filter_map(|class| landing(class, to).ok().map(|(_, s)| (class.from.clone(), s.id.clone())))
            .collect();
        Move {
            vmid: guest.vmid,
            kind: guest.kind,
            name: guest.name.clone(),
            from: guest.node.clone(),
            to: to.name.clone(),
            mode: a.mode,
            owner: Owner::Us,
            memory: guest.memory,
            disk_bytes: a.disks.values().sum(),
            storages,
            seconds: self.seconds(a),
            reason: a.reason.clone(),
            downtime: a.downtime(),
        }
    }

    fn seconds(&self, a: &Assessed) -> u64 {
        let speed = &self.site.settings.speed;
        let disks = a.disks.values().sum::<u64>() / MIB / speed.disk.max(1);
        let memory = if a.mode == Mode::Live { a.guest.memory / MIB / speed.memory.max(1) } else { 0 };
        let restart = if a.mode == Mode::Restart { speed.restart } else { 0 };
        speed.fixed + disks + memory + restart
    }

    fn stops(&self, moves: &[Move]) -> Vec<Stop> {
        let ours = moves.iter().filter(|m| m.downtime).map(|m| Stop {
            vmid: m.vmid,
            name: m.name.clone(),
            to: Some(m.to.clone()),
            seconds: m.seconds,
            why: m.reason.clone().unwrap_or_default(),
        });
        let ha = self.by_ha.iter().map(|(m, _)| &m.assessed).filter(|a| a.downtime()).map(|a| Stop {
            vmid: a.guest.vmid,
            name: a.guest.name.clone(),
            to: None,
            seconds: self.seconds(a),
            why: format!("{}; the HA manager restarts it", a.reason.as_deref().unwrap_or_default()),
        });
        ours.chain(ha).collect()
    }

    fn names(&self, on: NodeSet) -> Vec<NodeName> {
        on.iter().map(|i| self.site.others[i].name.clone()).collect()
    }

    fn ha_move(&self, m: &Mover, choices: NodeSet) -> HaMove {
        let guest = m.assessed.guest;
        let (targets, kept) = (self.names(choices), gib_of_mib(self.site.demand(guest, false).memory));
        let note = match (self.site.settings.ha_room, guest.kind) {
            (HaRoom::Everywhere, _) => format!("the HA manager moves it; {kept} kept on {}", list(&targets)),
            (HaRoom::Once, _) => format!("the HA manager moves it; {kept} kept once, checked again after its moves"),
        };
        let note = if guest.kind == GuestKind::Lxc { format!("{note}; it restarts it") } else { note };
        HaMove { vmid: guest.vmid, name: guest.name.clone(), kind: guest.kind, targets, memory: guest.memory, note }
    }

    fn usage(&self, moves: &[Move]) -> Vec<NodeUsage> {
        let before = &self.loads;
        let mut after = before.clone();
        for m in moves {
            if let (Some(i), Some(guest)) = (self.site.index(&m.to), self.site.guest(m.vmid)) {
                after[i].add(self.site.demand(guest, false));
            }
        }
        let each = self.site.others.iter().enumerate().filter(|(_, n)| n.online);
        each.map(|(i, node)| {
            let usable = self.site.usable(node);
            NodeUsage {
                node: node.name.clone(),
                memory_total: node.memory_total,
                usable: usable * MIB,
                before: before[i].memory * MIB,
                after: after[i].memory * MIB,
                kept_for_ha: self.kept[i].memory * MIB,
                vcpus_before: before[i].vcpus,
                vcpus_after: after[i].vcpus,
                after_percent: percent(after[i].memory, usable),
            }
        })
        .collect()
    }

    /// Where the HA manager's worst choice alone would go over the limit, which it never refuses.
    fn overfull_by_ha(&self, moves: &[Move]) -> Vec<String> {
        let each = self.usage(moves).into_iter().filter(|u| u.kept_for_ha > 0 && u.after + u.kept_for_ha > u.usable);
        each.map(|u| {
            let over = short_of_mib((u.after + u.kept_for_ha - u.usable) / MIB);
            format!("if the HA manager puts all it may on {}, that is {over} over the limit", u.node)
        })
        .collect()
    }
}

/// One decimal.
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 * 1000.0 / whole as f64).round() / 10.0 }
}
