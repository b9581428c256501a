//! One guest by itself: how it would move, what of it is local, and what forbids any move.

use std::collections::BTreeSet;

use super::facts::{DiskFacts, GuestFacts, HaState, NodeFacts, Precondition};
use super::outcome::{Blocker, Limit, Mode};
use super::site::Site;
use super::storage::{Class, Disks, Like, content_of, movable};
use super::text::list;
use crate::model::ids::{GuestKind, StorageId, Vmid};

/// What is known of a guest before any target is considered.
pub(super) struct Assessed<'a> {
    pub guest: &'a GuestFacts,
    pub by_ha: bool,
    pub mode: Mode,
    /// Why it cannot go live; absent for stopped guests.
    pub reason: Option<String>,
    pub disks: Disks,
    /// Shared storages that a target must have too.
    pub shared: BTreeSet<StorageId>,
    pub blockers: Vec<Blocker>,
}

impl Assessed<'_> {
    pub fn downtime(&self) -> bool {
        self.mode == Mode::Restart
    }
}

pub(super) fn blocker(guest: &GuestFacts, limit: Limit, detail: String, remedy: String) -> Blocker {
    Blocker { vmid: Some(guest.vmid), name: guest.name.clone(), limit, detail, per_node: Vec::new(), remedy }
}

/// Assess a guest of the node that is emptied.
pub(super) fn assess<'a>(site: &Site<'a>, source: &NodeFacts, guest: &'a GuestFacts) -> Assessed<'a> {
    let by_ha = guest.ha.as_ref().is_some_and(|ha| ha.state == HaState::Started);
    let mut blockers = Vec::new();
    blockers.extend(locked(guest));
    blockers.extend(ha_state(guest));
    let local = local_disks(source, guest, &mut blockers);
    blockers.extend(device(guest));
    blockers.extend(clones(site, guest, &local));
    let replicated = site.facts.replication.contains_key(&guest.vmid);
    blockers.extend(snapshots(source, guest, &local, replicated));
    let (mode, reason) = mode(guest, !local.is_empty() && !replicated);
    if mode == Mode::Restart {
        let why = reason.as_deref().unwrap_or_default();
        if by_ha && guest.kind == GuestKind::Qemu {
            let detail = format!("{why}; the HA manager moves VMs only live and would fail");
            let remedy = "set its HA state to ignored: then it is ours to stop and move; or detach what holds it";
            blockers.push(blocker(guest, Limit::HaOwner, detail, remedy.to_owned()));
        } else if !site.settings.allow_stop {
            blockers.push(needs_stop(guest, why, by_ha));
        }
    }
    let mut disks = Disks::new();
    for disk in &local {
        let like = match source.storage(&disk.storage) {
            _ if by_ha || replicated => Like::SameId,
            Some(s) if mode != Mode::Live && (s.kind == "zfspool" || guest.snapshots) => Like::SameType(s.kind.clone()),
            _ if mode != Mode::Live => Like::Raw,
            _ => Like::Any,
        };
        let class = Class { from: disk.storage.clone(), content: content_of(guest.kind), like };
        // A replica is there already; only what changed since is copied.
        *disks.entry(class).or_default() += if replicated { 0 } else { disk.bytes };
    }
    let is_shared = |id: &StorageId| source.storage(id).is_some_and(|s| s.shared);
    let shared = guest.disks.iter().map(|d| d.storage.clone()).filter(is_shared).collect();
    Assessed { guest, by_ha, mode, reason, disks, shared, blockers }
}

fn locked(guest: &GuestFacts) -> Option<Blocker> {
    let lock = guest.lock.as_ref()?;
    let remedy = format!("wait until the {lock} has ended; if none is running any more, unlock it on the node");
    Some(blocker(guest, Limit::Lock, format!("lock `{lock}`"), remedy))
}

fn ha_state(guest: &GuestFacts) -> Option<Blocker> {
    let state = &guest.ha.as_ref()?.state;
    let remedy = match state {
        HaState::Started | HaState::Ignored => return None,
        HaState::Error => "look at why it failed, then set its HA state to disabled and to started again",
        HaState::Stopped | HaState::Disabled => {
            "decide: HA state started (the HA manager moves it), ignored (we move it), or list it in stay"
        }
        HaState::Other(_) => "wait until the HA manager is done with it",
    };
    Some(blocker(guest, Limit::HaState, format!("HA state `{state}`"), remedy.to_owned()))
}

/// The disks that only this node has; what cannot be moved at all becomes a blocker.
fn local_disks<'g>(source: &NodeFacts, guest: &'g GuestFacts, blockers: &mut Vec<Blocker>) -> Vec<&'g DiskFacts> {
    let mut local = Vec::new();
    for disk in guest.disks.iter().filter(|d| d.volid != "none") {
        let (key, volid) = (&disk.key, &disk.volid);
        if volid.starts_with('/') {
            if !disk.shared_mount {
                let remedy = format!("set shared=1 on {key} if every node has that path, or list it in stay");
                blockers.push(blocker(guest, Limit::Storage, format!("{key} is a mount of {volid}"), remedy));
            }
            continue;
        }
        if disk.cdrom && volid == "cdrom" {
            let detail = format!("{key} is the node's own CD drive");
            blockers.push(blocker(guest, Limit::LocalIso, detail, format!("eject {key}")));
            continue;
        }
        match source.storage(&disk.storage) {
            Some(s) if s.shared => {}
            Some(_) if disk.cdrom && !disk.cloudinit => {
                blockers.push(blocker(
                    guest,
                    Limit::LocalIso,
                    format!("{key} holds {volid}"),
                    format!("eject {volid}"),
                ));
            }
            Some(s) if movable(&s.kind) => local.push(disk),
            Some(s) => {
                let detail = format!("{key} is on {}, of type {}, which Proxmox cannot copy", s.id, s.kind);
                let remedy = format!("move {key} to another storage first, or list it in stay");
                blockers.push(blocker(guest, Limit::Storage, detail, remedy));
            }
            None => {
                let detail = format!("{key} is on {}, which {} does not list", disk.storage, source.name);
                let remedy = format!("check storage {}, then plan again", disk.storage);
                blockers.push(blocker(guest, Limit::Storage, detail, remedy));
            }
        }
    }
    local
}

/// Raw devices: Proxmox moves such a guest, even stopped, only for root@pam with `force`.
fn device(guest: &GuestFacts) -> Option<Blocker> {
    let mapped = |name: &str| guest.mapped.iter().any(|m| m.name == name);
    let key = |text: &str| text.split([':', '=']).next().unwrap_or_default().trim().to_owned();
    let mut raw: BTreeSet<String> = guest.passthrough.iter().map(|p| key(p)).collect();
    if let Some(Precondition::Known(known)) = &guest.precondition {
        raw.extend(known.local_resources.iter().map(|r| key(r)));
    }
    raw.retain(|name| !mapped(name));
    if raw.is_empty() {
        return None;
    }
    let what = list(&raw);
    let detail = format!("{what}: an API token cannot move such a guest, live or stopped");
    let remedy = format!("list it in stay and shut it down with the node, or detach {what}, or use a resource mapping");
    Some(blocker(guest, Limit::Passthrough, detail, remedy))
}

/// Linked clones and their bases hang together on a local storage.
fn clones<'a>(site: &Site<'a>, guest: &GuestFacts, local: &[&'a DiskFacts]) -> Option<Blocker> {
    if let Some((disk, base)) = local.iter().find_map(|d| d.linked_clone_of.as_ref().map(|base| (d, base))) {
        let detail = format!("{} is a linked clone of {base}", disk.key);
        let remedy = "make a full clone of it, or list it in stay".to_owned();
        return Some(blocker(guest, Limit::LinkedClone, detail, remedy));
    }
    let children: BTreeSet<Vmid> = local.iter().flat_map(|d| site.clones_of(&d.volid)).copied().collect();
    if children.is_empty() {
        return None;
    }
    let detail = format!("linked clones of it are on this node: {}", list(children.into_iter().map(|v| site.named(v))));
    let remedy = "make full clones of them, or list it in stay".to_owned();
    Some(blocker(guest, Limit::LinkedClone, detail, remedy))
}

/// Snapshots on local disks travel only offline, and only on some storages.
fn snapshots(source: &NodeFacts, guest: &GuestFacts, local: &[&DiskFacts], replicated: bool) -> Option<Blocker> {
    if !guest.snapshots || replicated {
        return None;
    }
    let carries = |disk: &&&DiskFacts| {
        let kind = source.storage(&disk.storage).map_or("", |s| s.kind.as_str());
        let in_file = kind == "dir" && disk.volid.ends_with(".qcow2") && guest.kind == GuestKind::Qemu;
        disk.cloudinit || matches!(kind, "zfspool" | "btrfs") || in_file
    };
    let stuck = local.iter().find(|disk| !carries(disk))?;
    let detail = format!("{} is on {}, which cannot copy snapshots", stuck.key, stuck.storage);
    Some(blocker(guest, Limit::Snapshot, detail, "delete its snapshots, or list it in stay".to_owned()))
}

fn mode(guest: &GuestFacts, local: bool) -> (Mode, Option<String>) {
    if guest.template || !guest.running {
        return (Mode::Offline, None);
    }
    let fixed: Vec<&str> = guest.mapped.iter().filter(|m| !m.live).map(|m| m.name.as_str()).collect();
    let reason = match guest.kind {
        GuestKind::Lxc => "container: Proxmox has no live migration for containers".to_owned(),
        GuestKind::Qemu if !fixed.is_empty() => format!("the mapped device {} cannot move live", list(fixed)),
        GuestKind::Qemu if guest.snapshots && local => {
            "snapshots on local disks: Proxmox moves them only while the guest is off".to_owned()
        }
        GuestKind::Qemu => return (Mode::Live, None),
    };
    (Mode::Restart, Some(reason))
}

fn needs_stop(guest: &GuestFacts, reason: &str, by_ha: bool) -> Blocker {
    let done = match (by_ha, guest.kind) {
        (true, _) => "the HA manager would shut it down, move it and start it again",
        (false, GuestKind::Lxc) => "a restart migration: shut down, moved, started on the target",
        (false, GuestKind::Qemu) => "shut down, moved offline, started on the target",
    };
    let remedy = "allow_stop=true accepts the downtime, or list it in stay".to_owned();
    blocker(guest, Limit::NeedsStop, format!("{reason}; what would be done: {done}"), remedy)
}
