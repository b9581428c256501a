//! Restoring backups: to a new guest, or over one that is there.
//!
//! Source of the texts: PVE::API2::Qemu and PVE::API2::LXC `create_vm`.

use std::collections::BTreeMap;

use super::{RATE, Work, forked, may};
use crate::lab::call::{Call, PveError, Reply};
use crate::lab::scenario::AgentSpec;
use crate::lab::world::World;
use crate::lab::world::config::{self, Config, Disk};
use crate::lab::world::guest::{Guest, Load};
use crate::lab::world::jobs::Next;
use crate::lab::world::lifecycle;
use crate::lab::world::task::TaskKey;
use crate::model::ids::{GuestKind, NodeName, Vmid};

/// A restore under way.
#[derive(Debug, Clone)]
pub(in crate::lab::world) struct Restore {
    vmid: Vmid,
    config: Config,
    size: u64,
    /// Whether a guest was there before.
    over: bool,
    start: bool,
}

/// The guest's configuration as the backup has it.
pub(in crate::lab::world) fn config(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let (node, _) = world.node_of(call)?;
    let backup = world.backup(call.params.get("volume").map(String::as_str).unwrap_or_default(), &node)?;
    may(call, &format!("/storage/{}", backup.storage), "Datastore.AllocateSpace")?;
    let lines = backup.config.0.iter().map(|(key, value)| format!("{key}: {value}\n"));
    Ok(Reply::read(lines.collect::<String>().into()))
}

pub(in crate::lab::world) fn take(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let (node, _) = world.node_of(call)?;
    let kind = if call.template.ends_with("/lxc") { GuestKind::Lxc } else { GuestKind::Qemu };
    let from = if kind == GuestKind::Qemu { "archive" } else { "ostemplate" };
    let missing = || PveError::parameter(from, "property is missing and it is not optional");
    let from = call.params.get(from).ok_or_else(missing)?;
    let vmid = call.params.get("vmid").and_then(|id| id.parse::<Vmid>().ok());
    let vmid = vmid.ok_or_else(|| PveError::parameter("vmid", "property is missing and it is not optional"))?;
    let over = free(world, call, &node, kind, vmid)?;
    let backup = world.backup(from, &node)?;
    if backup.kind != kind {
        return Err(PveError::die(format!("unable to restore: '{from}' is no backup of that type")));
    }
    let (size, config) = (backup.size, backup.config.clone());
    let config = restored(world, call, config, kind, vmid);
    reserve(world, &node, kind, vmid);
    let task = if kind == GuestKind::Qemu { "qmrestore" } else { "vzrestore" };
    let restore = Restore { vmid, config, size, over, start: call.flag("start") };
    Ok(forked(world, call, &node, task, vmid.to_string(), Work::Restore(restore)))
}

/// Whether a guest is there that may be overwritten.
fn free(world: &World, call: &Call, node: &NodeName, kind: GuestKind, vmid: Vmid) -> Result<bool, PveError> {
    let what = if kind == GuestKind::Qemu { "VM" } else { "CT" };
    let Some(there) = world.guests.get(&vmid) else { return Ok(false) };
    if there.kind != kind || there.node != *node || !call.flag("force") {
        let old = if there.kind == GuestKind::Qemu { "VM" } else { "CT" };
        let text = format!("unable to restore {what} {vmid} - {old} {vmid} already exists on node '{}'", there.node);
        return Err(PveError::die(text));
    }
    there.check_lock()?;
    if there.config.flag("protection") {
        return Err(PveError::die(format!("unable to restore {what} {vmid} - protection mode enabled")));
    }
    match (there.running(), kind) {
        (false, _) => Ok(true),
        (true, GuestKind::Qemu) => Err(PveError::die(format!("unable to restore VM {vmid} - vm is running"))),
        (true, GuestKind::Lxc) => Err(PveError::die("can't overwrite running container")),
    }
}

/// Volumes of the guest that is there whose names are not free for the restored ones: a VM's are destroyed before where
/// the backup has the same key, a container's after.
fn taken(world: &World, config: &Config, kind: GuestKind, vmid: Vmid) -> Vec<Disk> {
    let there = world.guests.get(&vmid).map(|guest| guest.config.disks()).unwrap_or_default();
    let stays = |disk: &Disk| !disk.cdrom && (kind == GuestKind::Lxc || config.get(&disk.key).is_none());
    there.into_iter().filter(stays).collect()
}

/// The configuration with volumes of its own, and with other addresses and identity where it is to be unique.
fn restored(world: &World, call: &Call, mut config: Config, kind: GuestKind, vmid: Vmid) -> Config {
    // What is not of the state that was backed up.
    config.0.retain(|key, _| config::stem(key) != "unused" && key != "parent");
    let mut names: Vec<String> = taken(world, &config, kind, vmid).into_iter().map(|disk| disk.volid).collect();
    let disks = config.disks().into_iter().filter(|disk| !disk.cdrom);
    for disk in disks.collect::<Vec<_>>() {
        let storage = call.params.get("storage").cloned().unwrap_or_else(|| disk.storage.to_string());
        let each = (0..).map(|n| format!("{storage}:{}", config::volume_name(world.plugin(&storage), kind, vmid, n)));
        let Some(volid) = each.into_iter().find(|volid| !names.contains(volid)) else { continue };
        let line = config.get(&disk.key).unwrap_or_default().replacen(&disk.volid, &volid, 1);
        config.set(&disk.key, line);
        names.push(volid);
    }
    if kind == GuestKind::Qemu {
        let generation = unlike_any(world, vmid, "generation");
        config.set("vmgenid", generation);
    }
    if call.flag("unique") {
        let nets: Vec<(String, String)> = config
            .0
            .iter()
            .filter(|(key, _)| config::stem(key) == "net")
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        for (key, line) in nets {
            let digits = unlike_any(world, vmid, &key).to_uppercase();
            let mac = format!("BC:24:11:{}:{}:{}", &digits[..2], &digits[2..4], &digits[4..6]);
            let parts = line.split(',').map(|part| match part.split_once('=') {
                Some((name, old)) if old.len() == 17 && old.matches(':').count() == 5 => format!("{name}={mac}"),
                _ => part.to_owned(),
            });
            let line = parts.collect::<Vec<_>>().join(",");
            config.set(&key, line);
        }
        if kind == GuestKind::Qemu {
            let uuid = unlike_any(world, vmid, "uuid");
            config.set("smbios1", format!("uuid={uuid}"));
        }
    }
    config
}

/// A UUID for this restore: another at each, and the same whatever else has happened in the lab.
fn unlike_any(world: &World, vmid: Vmid, what: &str) -> String {
    let id = vmid.to_string();
    let restores = world.tasks.all.values().filter(|task| task.id == id && task.kind.ends_with("restore")).count();
    let hex = config::short_hash(&format!("{vmid} {what} {restores}"));
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[12..15], &hex[15..18], &hex[18..30])
}

fn reserve(world: &mut World, node: &NodeName, kind: GuestKind, vmid: Vmid) {
    if let Some(guest) = world.guests.get_mut(&vmid) {
        guest.config.set("lock", "create");
        return;
    }
    let mut config = Config::default();
    config.set("lock", "create");
    let guest = Guest {
        vmid,
        kind,
        node: node.clone(),
        config,
        pending: BTreeMap::new(),
        snapshots: Vec::new(),
        run: None,
        pool: None,
        ip: None,
        agent: AgentSpec::default(),
        inside: Vec::new(),
        shutdown_ms: if kind == GuestKind::Qemu { 8000 } else { 4000 },
        held_by: None,
        load: Load { cpu: 0.02, memory: 0.5, ..Load::default() },
    };
    world.guests.insert(vmid, guest);
}

pub(super) fn step(world: &mut World, key: TaskKey, restore: &mut Restore, first: bool) -> Next {
    if first {
        return Next::In(1000 + restore.size * 1000 / RATE);
    }
    let vmid = restore.vmid;
    let kind = world.guests.get(&vmid).map_or(GuestKind::Qemu, |guest| guest.kind);
    let left = taken(world, &restore.config, kind, vmid);
    let Some(guest) = world.guests.get_mut(&vmid) else {
        return Next::Done(Err(format!("unable to find configuration file for VM {vmid} - no such machine")));
    };
    guest.config = restore.config.clone();
    // A VM's disks that the backup has not stay, for nobody's use.
    for (n, disk) in (0..).zip(left).filter(|_| kind == GuestKind::Qemu) {
        guest.config.set(&format!("unused{n}"), disk.volid);
    }
    guest.snapshots.clear();
    guest.pending.clear();
    guest.config.set("lock", "create");
    world.unlock_after(key, vmid);
    if restore.start
        && let Some(guest) = world.guests.get(&vmid)
        && lifecycle::start_trouble(world, guest, &guest.node).is_none()
    {
        world.power_on(vmid);
    }
    Next::Done(Ok(()))
}

pub(super) fn give_up(world: &mut World, restore: &Restore) {
    if !restore.over {
        world.guests.remove(&restore.vmid);
    } else if let Some(guest) = world.guests.get_mut(&restore.vmid) {
        guest.config.remove("lock");
    }
}
