//! The plan: owners, places, order, or the reasons why there is none.

use std::collections::BTreeMap;

use super::assess::{Assessed, assess, blocker};
use super::facts::{Facts, GuestFacts, NodeFacts};
use super::fit::{Fit, Mover, fit, in_words};
use super::ha;
use super::outcome::*;
use super::reach::obstacles;
use super::settings::{HaRoom, Settings};
use super::site::{Load, Site};
use super::storage::landing;
use super::text::{MIB, gib_of_mib, short_of_mib};
use super::warnings::{not_verified, unused_stay};
use crate::placement::problem::NodeSet;

/// Plan the evacuation of `facts.node`. Pure and deterministic.
///
/// # Errors
/// Every reason why the node cannot be emptied; then nothing may be moved.
pub fn plan(facts: &Facts, settings: &Settings) -> Result<Evacuation, Refusal> {
    let site = Site::new(facts, settings);
    let mut blockers = cluster(&site);
    let Some(source) = site.source() else { return Err(refusal(&site, blockers, Vec::new())) };
    if !blockers.is_empty() {
        return Err(refusal(&site, blockers, Vec::new()));
    }
    let (staying, leaving): (Vec<&GuestFacts>, Vec<&GuestFacts>) =
        site.here().into_iter().partition(|g| settings.stay.contains(&g.vmid));
    let mut draft = Draft::new(&site, source, leaving);
    blockers.extend(staying.iter().filter_map(|g| stays_though_ha_moves_it(g)));
    blockers.append(&mut draft.blockers);
    let placed = match draft.place() {
        Ok(placed) if blockers.is_empty() => placed,
        failed => {
            blockers.extend(failed.err().unwrap_or_default());
            let mut notes = not_verified(&site, &draft.all());
            notes.extend(unused_stay(&site));
            notes.append(&mut draft.notes);
            return Err(refusal(&site, blockers, notes));
        }
    };
    Ok(draft.finish(&placed, &staying))
}

fn refusal(site: &Site, blockers: Vec<Blocker>, warnings: Vec<String>) -> Refusal {
    Refusal { node: site.facts.node.clone(), blockers, warnings }
}

fn cluster(site: &Site) -> Vec<Blocker> {
    let node = &site.facts.node;
    let whole = |detail: String, remedy: &str| Blocker {
        vmid: None,
        name: node.to_string(),
        limit: Limit::Cluster,
        detail,
        per_node: Vec::new(),
        remedy: remedy.to_owned(),
    };
    let mut blockers = Vec::new();
    match site.source() {
        None => blockers.push(whole("no such node".to_owned(), "check the node's name")),
        Some(source) if !source.online => {
            blockers.push(whole("it is offline".to_owned(), "bring it back first: nothing can be moved off it"));
        }
        Some(_) => {}
    }
    if !site.facts.quorate {
        blockers.push(whole("the cluster is not quorate".to_owned(), "bring nodes back until it is"));
    }
    if site.others.len() > NodeSet::MAX {
        blockers.push(whole(format!("more than {} other nodes", NodeSet::MAX), "report this limit"));
    }
    blockers
}

/// Maintenance makes the HA manager move it, whatever we were told.
fn stays_though_ha_moves_it(guest: &GuestFacts) -> Option<Blocker> {
    let started = guest.ha.as_ref().is_some_and(|ha| ha.state == super::facts::HaState::Started);
    let detail = "it is in stay, but its HA state is started: maintenance moves it".to_owned();
    let remedy = "set its HA state to ignored, or take it out of stay".to_owned();
    started.then(|| blocker(guest, Limit::HaOwner, detail, remedy))
}

/// Movers sorted by owner, before places are found.
pub(super) struct Draft<'s, 'a> {
    pub(super) site: &'s Site<'a>,
    pub(super) source: &'a NodeFacts,
    pub(super) ours: Vec<Mover<'a>>,
    /// With all nodes the HA manager may choose; `Mover::allowed` are those of them where it would work.
    pub(super) by_ha: Vec<(Mover<'a>, NodeSet)>,
    /// Guests that have a blocker of their own.
    pub(super) stuck: Vec<Assessed<'a>>,
    /// What `site.others` bear already.
    pub(super) loads: Vec<Load>,
    pub(super) kept: Vec<Load>,
    pub(super) blockers: Vec<Blocker>,
    pub(super) notes: Vec<String>,
}

impl<'s, 'a> Draft<'s, 'a> {
    fn new(site: &'s Site<'a>, source: &'a NodeFacts, leaving: Vec<&'a GuestFacts>) -> Self {
        let (ours, by_ha, stuck) = (Vec::new(), Vec::new(), Vec::new());
        let kept = vec![Load::default(); site.others.len()];
        let loads = site.loads(false);
        let mut draft = Self { site, source, ours, by_ha, stuck, loads, kept, blockers: Vec::new(), notes: Vec::new() };
        let mut all: Vec<Assessed> = leaving.into_iter().map(|guest| assess(site, source, guest)).collect();
        // The HA manager's first: what is kept for them limits ours.
        all.sort_by_key(|a| (!a.by_ha, a.guest.vmid));
        let (for_ha, for_us): (Vec<Assessed>, Vec<Assessed>) = all.into_iter().partition(|a| a.by_ha);
        for assessed in for_ha {
            draft.add_ha(assessed);
        }
        let owned: Vec<(&GuestFacts, NodeSet)> = draft.by_ha.iter().map(|(m, on)| (m.assessed.guest, *on)).collect();
        let most = ha::kept(site, &owned);
        if site.settings.ha_room == HaRoom::Everywhere {
            draft.kept = most;
        }
        for assessed in for_us {
            draft.add_ours(assessed);
        }
        draft
    }

    pub(super) fn all(&self) -> Vec<&Assessed<'a>> {
        let ha = self.by_ha.iter().map(|(m, _)| &m.assessed);
        self.stuck.iter().chain(ha).chain(self.ours.iter().map(|m| &m.assessed)).collect()
    }

    fn add_ha(&mut self, mut assessed: Assessed<'a>) {
        let choices = ha::choices(self.site, assessed.guest);
        let mut works = NodeSet::default();
        let mut per_node = Vec::new();
        for (i, node) in self.site.others.iter().enumerate() {
            let reasons = match obstacles(self.site, self.source, &assessed, node) {
                none if none.is_empty() && !choices.contains(i) => vec!["HA rules prefer other nodes".to_owned()],
                reasons => reasons,
            };
            if reasons.is_empty() {
                works.insert(i);
                continue;
            }
            if choices.contains(i) {
                let (who, name) = (self.site.named(assessed.guest.vmid), &node.name);
                self.notes.push(format!(
                    "the HA manager may try {who} on {name}, where it cannot run: {}",
                    reasons.join("; ")
                ));
            }
            per_node.push((node.name.clone(), reasons.join("; ")));
        }
        if works.is_empty() {
            let detail = "the HA manager owns it".to_owned();
            let remedy = "change its HA rules, or set its HA state to ignored and list it in stay".to_owned();
            let nowhere = blocker(assessed.guest, Limit::NoTarget, detail, remedy);
            assessed.blockers.push(Blocker { per_node, ..nowhere });
        }
        self.sort_in(assessed, |draft, assessed| draft.by_ha.push((Mover { assessed, allowed: works }, choices)));
    }

    fn add_ours(&mut self, mut assessed: Assessed<'a>) {
        let need = self.site.demand(assessed.guest, false);
        let (mut allowed, mut with_room, mut per_node) = (NodeSet::default(), false, Vec::new());
        for (i, node) in self.site.others.iter().enumerate() {
            let mut held = self.loads[i];
            held.add(self.kept[i]);
            let mut reasons = obstacles(self.site, self.source, &assessed, node);
            if reasons.is_empty() {
                allowed.insert(i);
            }
            // Room is told even where something else forbids the node: it is what else would have to change.
            if node.online {
                reasons.extend(self.site.no_room(need, node, held, self.kept[i].memory));
                reasons.extend(no_disk_room(&assessed, node));
            }
            with_room |= reasons.is_empty();
            per_node.push((node.name.clone(), reasons.join("; ")));
        }
        if !with_room {
            let remedy = nowhere_remedy(self.kept.iter().any(|k| k.memory > 0));
            let nowhere = blocker(assessed.guest, Limit::NoTarget, String::new(), remedy);
            assessed.blockers.push(Blocker { per_node, ..nowhere });
        }
        self.sort_in(assessed, |draft, assessed| draft.ours.push(Mover { assessed, allowed }));
    }

    fn sort_in(&mut self, mut assessed: Assessed<'a>, keep: impl FnOnce(&mut Self, Assessed<'a>)) {
        if assessed.blockers.is_empty() {
            return keep(self, assessed);
        }
        self.blockers.append(&mut assessed.blockers);
        self.stuck.push(assessed);
    }

    /// A place for each of ours; indexes of `site.others`.
    fn place(&mut self) -> Result<Vec<usize>, Vec<Blocker>> {
        let ours = self.ours.len();
        if !self.by_ha.is_empty() {
            // Whatever the HA manager will choose, there must be one choice in which all fit.
            let mut movers = std::mem::take(&mut self.ours);
            let choices: Vec<NodeSet> = self.by_ha.iter().map(|(_, on)| *on).collect();
            movers.extend(std::mem::take(&mut self.by_ha).into_iter().map(|(m, _)| m));
            let joint = fit(self.site, &movers, &vec![Load::default(); self.site.others.len()]);
            let result = self.verdict(joint, &movers, &[]);
            self.by_ha = movers.split_off(ours).into_iter().zip(choices).collect();
            self.ours = movers;
            let joint = result?;
            if self.site.settings.ha_room == HaRoom::Once {
                for ((m, _), &to) in self.by_ha.iter().zip(&joint[ours..]) {
                    self.kept[to].add(self.site.demand(m.assessed.guest, false));
                }
                return Ok(joint[..ours].to_vec());
            }
        }
        let alone = fit(self.site, &self.ours, &self.kept);
        self.verdict(alone, &self.ours, &self.kept)
    }

    fn verdict(&self, fit: Fit, movers: &[Mover<'a>], kept: &[Load]) -> Result<Vec<usize>, Vec<Blocker>> {
        let (proof, partial) = match fit {
            Fit::Placed(targets) => return Ok(targets),
            Fit::Failed { proof, partial } => (proof, partial),
        };
        let mut held = self.loads.clone();
        for (load, kept) in held.iter_mut().zip(kept) {
            load.add(*kept);
        }
        for (m, to) in movers.iter().zip(&partial.targets) {
            if let Some(to) = *to {
                held[to].add(self.site.demand(m.assessed.guest, false));
            }
        }
        let each = partial.unplaced.iter();
        let proof = proof.map(|proof| in_words(self.site, movers, &proof));
        Err(each.map(|&i| self.left_over(&movers[i], &held, kept, proof.as_deref())).collect())
    }

    /// A guest that found no place once the others had theirs.
    fn left_over(&self, m: &Mover, held: &[Load], kept: &[Load], proof: Option<&str>) -> Blocker {
        let need = self.site.demand(m.assessed.guest, false);
        let mut per_node = Vec::new();
        for (i, node) in self.site.others.iter().enumerate() {
            let mut reasons = obstacles(self.site, self.source, &m.assessed, node);
            if node.online {
                let kept = kept.get(i).map_or(0, |k| k.memory);
                reasons.extend(self.site.no_room(need, node, held[i], kept));
                reasons.extend(no_disk_room(&m.assessed, node));
            }
            if reasons.is_empty() {
                reasons.push("taken by guests it must be apart from, or its partners do not fit".to_owned());
            }
            per_node.push((node.name.clone(), reasons.join("; ")));
        }
        let limit = if proof.is_some() { Limit::Impossible } else { Limit::NotFound };
        let detail = proof.unwrap_or("beside the others, once they have their places").to_owned();
        let remedy = nowhere_remedy(kept.iter().any(|k| k.memory > 0));
        Blocker { per_node, ..blocker(m.assessed.guest, limit, detail, remedy) }
    }
}

fn nowhere_remedy(kept: bool) -> String {
    let ha = if kept { ", keep room for the HA manager only once (ha_room)" } else { "" };
    format!(
        "make room on one of these nodes, shut a guest down, lower keep_free or host_reserve{ha}, or list it in stay"
    )
}

/// Storages of the node that are too small for the guest's disks alone.
pub(super) fn no_disk_room(assessed: &Assessed, node: &NodeFacts) -> Vec<String> {
    let mut needs: BTreeMap<usize, u64> = BTreeMap::new();
    for (class, bytes) in &assessed.disks {
        if let Ok((room, _)) = landing(class, node) {
            *needs.entry(room).or_default() += bytes.div_ceil(MIB);
        }
    }
    let each = needs.into_iter().filter_map(|(room, need)| {
        let storage = &node.storages[room];
        let free = storage.avail / MIB;
        let short = need.checked_sub(free).filter(|short| *short > 0)?;
        let (need, free, short) = (gib_of_mib(need), gib_of_mib(free), short_of_mib(short));
        Some(format!("{} has {free} free, its disks need {need}: {short} short", storage.id))
    });
    each.collect()
}
