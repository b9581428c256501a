//! Making backups: guests one after another, one job at a time on a node.
//!
//! Source of the texts: PVE::VZDump, PVE::API2::VZDump (pve-manager 9.1).

use super::{Backup, RATE, Work, forked, may};
use crate::lab::call::{Call, PveError, Reply};
use crate::lab::world::World;
use crate::lab::world::jobs::Next;
use crate::lab::world::task::{TaskKey, log_time};
use crate::model::ids::{GuestKind, NodeName, StorageId, Vmid};

/// What a compressed image keeps of a disk's size.
const SHARE: f64 = 0.2;

/// A job under way.
#[derive(Debug, Clone)]
pub(in crate::lab::world) struct Dump {
    node: NodeName,
    storage: StorageId,
    mode: String,
    compress: String,
    notes: String,
    protected: bool,
    left: Vec<Vmid>,
    /// Whose configuration it has locked, and since when: its archive is named by that.
    holds: Option<(Vmid, i64)>,
    failed: bool,
}

pub(in crate::lab::world) fn take(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let (node, _) = world.node_of(call)?;
    let param = |name: &str, default: &str| call.params.get(name).cloned().unwrap_or_else(|| default.to_owned());
    let vmids: Vec<Vmid> = call.list("vmid").filter_map(|id| id.parse().ok()).collect();
    if vmids.is_empty() {
        return Err(PveError::parameter("vmid", "property is missing"));
    }
    let storage = param("storage", "local");
    may(call, &format!("/storage/{storage}"), "Datastore.AllocateSpace")?;
    for vmid in &vmids {
        may(call, &format!("/vms/{vmid}"), "VM.Backup")?;
    }
    let here = |vmid: &Vmid| world.guests.get(vmid).is_some_and(|guest| guest.node == node);
    let left: Vec<Vmid> = vmids.into_iter().filter(here).collect();
    if left.is_empty() {
        // Guests on other nodes are another node's work.
        return Ok(Reply::changed("OK".into()));
    }
    let id = if let [only] = left[..] { only.to_string() } else { String::new() };
    let dump = Dump {
        node: node.clone(),
        storage: storage.into(),
        mode: param("mode", "snapshot"),
        compress: param("compress", "0"),
        notes: param("notes-template", ""),
        protected: call.flag("protected"),
        left,
        holds: None,
        failed: false,
    };
    Ok(forked(world, call, &node, "vzdump", id, Work::Dump(dump)))
}

pub(super) fn step(world: &mut World, key: TaskKey, dump: &mut Dump, first: bool) -> Next {
    if first {
        if let Err(text) = usable(world, dump) {
            return Next::Done(Err(text));
        }
        let ids: Vec<String> = dump.left.iter().map(ToString::to_string).collect();
        let line = format!(
            "INFO: starting new backup job: vzdump {} --storage {} --mode {} --compress {}",
            ids.join(" "),
            dump.storage,
            dump.mode,
            dump.compress
        );
        world.say(key, line);
    }
    let before_us = |other: TaskKey, task: &crate::lab::world::task::Task| {
        other < key && task.node == dump.node && task.kind == "vzdump" && task.begun
    };
    if world.running_tasks().any(|(other, task)| before_us(other, task)) {
        if first {
            world.say(key, "INFO: trying to get global lock - waiting...");
        }
        return Next::In(1000);
    }
    if let Some((vmid, began)) = dump.holds.take() {
        written(world, key, dump, vmid, began);
    }
    while !dump.left.is_empty() {
        let vmid = dump.left.remove(0);
        match begin(world, key, dump, vmid) {
            Ok(ms) => return Next::In(ms),
            Err(text) => {
                dump.failed = true;
                world.say(key, format!("ERROR: Backup of VM {vmid} failed - {text}"));
            }
        }
    }
    if dump.failed {
        world.say(key, "INFO: Backup job finished with errors");
        return Next::Done(Err("job errors".into()));
    }
    world.say(key, "INFO: Backup job finished successfully");
    Next::Done(Ok(()))
}

fn usable(world: &World, dump: &Dump) -> Result<(), String> {
    let id = &dump.storage;
    let storage = world.storages.get(id).ok_or_else(|| format!("storage '{id}' does not exist"))?;
    if !storage.on(dump.node.as_str()) {
        return Err(format!(
            "could not activate storage '{id}': storage '{id}' is not available on node '{}'",
            dump.node
        ));
    }
    if !storage.has_content("backup") {
        return Err(format!("can't use storage '{id}' for backups - wrong content type"));
    }
    Ok(())
}

/// Locks a guest: how long its backup takes, milliseconds.
fn begin(world: &mut World, key: TaskKey, dump: &mut Dump, vmid: Vmid) -> Result<u64, String> {
    let (now, id) = (world.seconds(), dump.storage.clone());
    let Some(guest) = world.guests.get_mut(&vmid).filter(|guest| guest.node == dump.node) else {
        return Err(format!("unable to find VM '{vmid}'"));
    };
    guest.check_lock().map_err(|error| error.message)?;
    guest.config.set("lock", "backup");
    dump.holds = Some((vmid, now));
    let (kind, status, name) = (guest.kind, guest.status(), guest.name());
    let bytes: u64 = guest.config.disk_lines().filter(|disk| !disk.cdrom).map(|disk| disk.size).sum();
    world.say(key, format!("INFO: Starting Backup of VM {vmid} ({kind})"));
    world.say(key, format!("INFO: Backup started at {}", log_time(now)));
    world.say(key, format!("INFO: status = {status}"));
    let label = if kind == GuestKind::Qemu { "VM Name" } else { "CT Name" };
    world.say(key, format!("INFO: {label}: {name}"));
    world.say(key, format!("INFO: backup mode: {}", dump.mode));
    let archive = path(kind, vmid, now, format_of(kind, &dump.compress)).replacen("backup/", "dump/", 1);
    let folder = world.storages.get(&id).and_then(|storage| storage.spec.options.get("path").cloned());
    world.say(key, format!("INFO: creating vzdump archive '{}/{archive}'", folder.unwrap_or_default()));
    Ok(1000 + bytes * 1000 / RATE)
}

/// The file gets its name when all of it is there.
fn written(world: &mut World, key: TaskKey, dump: &Dump, vmid: Vmid, made: i64) {
    let shared = world.is_shared(dump.storage.as_str());
    let Some(guest) = world.guests.get(&vmid) else { return };
    let format = format_of(guest.kind, &dump.compress);
    let mut config = guest.config.clone();
    config.remove("lock");
    let bytes: u64 = guest.config.disk_lines().filter(|disk| !disk.cdrom).map(|disk| disk.size).sum();
    let backup = Backup {
        storage: dump.storage.clone(),
        node: (!shared).then(|| dump.node.clone()),
        path: path(guest.kind, vmid, made, format),
        format,
        kind: guest.kind,
        vmid,
        size: (bytes as f64 * SHARE) as u64,
        made,
        notes: dump.notes.replace("{{guestname}}", &guest.name()),
        protected: dump.protected,
        config,
    };
    let took = world.seconds() - made;
    let time = format!("{:02}:{:02}:{:02}", took / 3600, took / 60 % 60, took % 60);
    world.say(key, format!("INFO: Finished Backup of VM {vmid} ({time})"));
    world.backups.push(backup);
    world.unlock_after(key, vmid);
}

/// `backup/vzdump-qemu-104-2026_11_21-12_00_00.vma.zst`
pub(super) fn path(kind: GuestKind, vmid: Vmid, made: i64, format: &str) -> String {
    let stamp = log_time(made).replace('-', "_").replace(' ', "-").replace(':', "_");
    format!("backup/vzdump-{kind}-{vmid}-{stamp}.{format}")
}

pub(super) fn format_of(kind: GuestKind, compress: &str) -> &'static str {
    match (kind, compress) {
        (GuestKind::Qemu, "zstd") => "vma.zst",
        (GuestKind::Qemu, "gzip") => "vma.gz",
        (GuestKind::Qemu, "lzo" | "1") => "vma.lzo",
        (GuestKind::Qemu, _) => "vma",
        (GuestKind::Lxc, "zstd") => "tar.zst",
        (GuestKind::Lxc, "gzip") => "tar.gz",
        (GuestKind::Lxc, "lzo" | "1") => "tar.lzo",
        (GuestKind::Lxc, _) => "tar",
    }
}

pub(super) fn give_up(world: &mut World, dump: &Dump) {
    if let Some(guest) = dump.holds.and_then(|(vmid, _)| world.guests.get_mut(&vmid)) {
        guest.config.remove("lock");
    }
}
