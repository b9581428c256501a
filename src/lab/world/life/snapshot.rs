//! Snapshots: taken, gone back to, taken away. What cannot be is found out by the task.

use super::{Work, forked};
use crate::lab::call::{Call, PveError, Reply};
use crate::lab::world::config::Config;
use crate::lab::world::guest::{Guest, Snapshot};
use crate::lab::world::jobs::Next;
use crate::lab::world::task::TaskKey;
use crate::lab::world::{World, config};
use crate::model::ids::{GuestKind, Vmid};

/// What is done with a snapshot.
#[derive(Debug, Clone)]
pub(in crate::lab::world) struct Change {
    pub vmid: Vmid,
    name: String,
    act: Act,
}

#[derive(Debug, Clone)]
enum Act {
    Take { description: String, vmstate: bool },
    Delete,
    Rollback { start: bool },
}

impl Act {
    fn lock(&self) -> &'static str {
        match self {
            Self::Take { .. } => "snapshot",
            Self::Delete => "snapshot-delete",
            Self::Rollback { .. } => "rollback",
        }
    }

    fn task(&self, kind: GuestKind) -> &'static str {
        match (self, kind) {
            (Self::Take { .. }, GuestKind::Qemu) => "qmsnapshot",
            (Self::Take { .. }, GuestKind::Lxc) => "vzsnapshot",
            (Self::Delete, GuestKind::Qemu) => "qmdelsnapshot",
            (Self::Delete, GuestKind::Lxc) => "vzdelsnapshot",
            (Self::Rollback { .. }, GuestKind::Qemu) => "qmrollback",
            (Self::Rollback { .. }, GuestKind::Lxc) => "vzrollback",
        }
    }
}

fn begun(world: &mut World, call: &Call, name: &str, act: Act) -> Result<Reply, PveError> {
    let guest = world.guest_of(call)?;
    let (vmid, node, task) = (guest.vmid, guest.node.clone(), act.task(guest.kind));
    let work = Work::Snapshot(Change { vmid, name: name.to_owned(), act });
    Ok(forked(world, call, &node, task, vmid.to_string(), work))
}

pub(in crate::lab::world) fn take(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let name = call.params.get("snapname").cloned().unwrap_or_default();
    if matches!(name.as_str(), "current" | "pending") {
        return Err(PveError::die(format!("unable to use snapshot name '{name}' (reserved name)")));
    }
    let description = call.params.get("description").cloned().unwrap_or_default();
    begun(world, call, &name, Act::Take { description, vmstate: call.flag("vmstate") })
}

fn named(call: &Call) -> &str {
    call.path.get("snapname").map(String::as_str).unwrap_or_default()
}

pub(in crate::lab::world) fn delete(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    begun(world, call, named(call), Act::Delete)
}

pub(in crate::lab::world) fn rollback(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    begun(world, call, named(call), Act::Rollback { start: call.flag("start") })
}

/// Why it cannot be.
fn trouble(world: &World, guest: &Guest, change: &Change) -> Option<String> {
    let there = guest.snapshots.iter().any(|one| one.name == change.name);
    let plugins = || {
        let disks = guest.config.disks().into_iter().filter(|disk| !disk.cdrom);
        disks.map(|disk| (world.plugin(disk.storage.as_str()).to_owned(), disk.volid))
    };
    match &change.act {
        Act::Take { .. } if guest.is_template() => Some("you can't take a snapshot if it's a template".into()),
        Act::Take { .. } if there => Some(format!("snapshot name '{}' already used", change.name)),
        Act::Take { .. } => {
            let cannot = |(plugin, volid): (String, String)| plugin == "lvm" || volid.ends_with(".raw");
            plugins().any(cannot).then(|| "snapshot feature is not available".to_owned())
        }
        _ if !there => Some(format!("snapshot '{}' does not exist", change.name)),
        Act::Rollback { .. } if guest.is_template() => Some("you can't rollback if vm is a template".into()),
        Act::Rollback { .. } => {
            let newest = guest.snapshots.last().is_some_and(|last| last.name == change.name);
            let (_, volid) = plugins().find(|(plugin, _)| plugin == "zfspool").filter(|_| !newest)?;
            Some(format!("can't rollback, '{}' is not most recent snapshot on '{volid}'", change.name))
        }
        Act::Delete => None,
    }
}

pub(super) fn step(world: &mut World, key: TaskKey, change: &mut Change, first: bool) -> Next {
    let vmid = change.vmid;
    let Some(guest) = world.guests.get(&vmid) else {
        return Next::Done(Err(format!("unable to find configuration file for VM {vmid} - no such machine")));
    };
    if first {
        if let Err(error) = guest.check_lock() {
            return Next::Done(Err(error.message));
        }
        if let Some(why) = trouble(world, guest, change) {
            return Next::Done(Err(why));
        }
        let state = matches!(change.act, Act::Take { vmstate: true, .. }) && guest.running();
        let ms = if state { 1000 + guest.memory() * 1000 / super::COPY_RATE } else { 1000 };
        if let Some(guest) = world.guests.get_mut(&vmid) {
            guest.config.set("lock", change.act.lock());
        }
        return Next::In(ms);
    }
    let now = world.seconds();
    let (mut start, generation) = (false, world.rng.uuid());
    if let Some(guest) = world.guests.get_mut(&vmid) {
        match &change.act {
            Act::Take { description, vmstate } => taken(guest, &change.name, description, *vmstate, now),
            Act::Delete => deleted(guest, &change.name),
            Act::Rollback { start: asked } => {
                start = *asked;
                start |= gone_back(guest, &change.name);
                if guest.config.get("vmgenid").is_some() {
                    guest.config.set("vmgenid", generation);
                }
            }
        }
    }
    if start {
        world.power_on(vmid);
    }
    world.unlock_after(key, vmid);
    Next::Done(Ok(()))
}

fn taken(guest: &mut Guest, name: &str, description: &str, vmstate: bool, time: i64) {
    let mut config = guest.config.clone();
    config.remove("lock");
    let parent = config.get("parent").map(str::to_owned);
    let vmstate = vmstate && guest.kind == GuestKind::Qemu && guest.running();
    let description = description.to_owned();
    guest.snapshots.push(Snapshot { name: name.to_owned(), parent, time, description, vmstate, config });
    guest.config.set("parent", name);
}

fn deleted(guest: &mut Guest, name: &str) {
    let Some(place) = guest.snapshots.iter().position(|one| one.name == name) else { return };
    let gone = guest.snapshots.remove(place);
    for other in guest.snapshots.iter_mut().filter(|other| other.parent.as_deref() == Some(name)) {
        other.parent.clone_from(&gone.parent);
    }
    if guest.config.get("parent") == Some(name) {
        match &gone.parent {
            Some(parent) => guest.config.set("parent", parent.clone()),
            None => guest.config.remove("parent"),
        }
    }
}

/// Whether it ran then, with its memory kept.
fn gone_back(guest: &mut Guest, name: &str) -> bool {
    let Some(snapshot) = guest.snapshots.iter().find(|one| one.name == name).cloned() else { return false };
    let mut config: Config = snapshot.config;
    config.set("parent", name);
    guest.run = None;
    guest.pending.clear();
    // A disk's volume is the same; what the snapshot's lines say of it holds.
    for (key, value) in &guest.config.0 {
        if config::stem(key) == "unused" {
            config.set(key, value.clone());
        }
    }
    config.set("lock", "rollback");
    guest.config = config;
    snapshot.vmstate
}
