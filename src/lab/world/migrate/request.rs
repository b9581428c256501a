//! `POST …/migrate`: what is refused before any task starts, and the task.

use super::{Migration, Phase, StorageMap};
use crate::lab::call::{Call, PveError, Reply};
use crate::lab::world::World;
use crate::lab::world::guest::Guest;
use crate::lab::world::ha;
use crate::lab::world::jobs::Job;
use crate::lab::world::task::Start;
use crate::model::ids::GuestKind;

/// Options that only `root@pam` itself may give.
const ROOT_ONLY: [&str; 3] = ["force", "migration_type", "migration_network"];

pub(in crate::lab::world) fn take(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let target = call.params.get("target").map(String::as_str).unwrap_or_default();
    if call.path.get("node").is_some_and(|node| node == target) {
        return Err(PveError::parameter("target", "target is local node."));
    }
    let target = world.check_node_exists(target)?;
    if let Some(name) = ROOT_ONLY.iter().find(|name| call.params.contains_key(**name) && !call.root_ticket) {
        return Err(PveError::parameter(name, "Only root may use this option."));
    }
    let guest = world.guest_of(call)?;
    guest.check_lock()?;
    let map_key = if guest.kind == GuestKind::Qemu { "targetstorage" } else { "target-storage" };
    let map = StorageMap::parse(call.params.get(map_key).map(String::as_str).unwrap_or_default())
        .map_err(|why| PveError::parameter(map_key, format!("failed to parse storage map: {why}")))?;
    let (online, restart) = (call.flag("online"), call.flag("restart"));
    let managed = world.ha.manages(&guest.sid());
    match guest.kind {
        GuestKind::Qemu if guest.running() && !online => {
            return Err(PveError::die("can't migrate running VM without --online"));
        }
        GuestKind::Qemu => check_storages(world, guest, &map, &target)?,
        GuestKind::Lxc if guest.running() && !online && !restart && !managed => {
            return Err(PveError::die("can't migrate running container without --online or --restart"));
        }
        GuestKind::Lxc => {}
    }
    let (vmid, kind, node, sid) = (guest.vmid, guest.kind, guest.node.clone(), guest.sid());
    if managed {
        let start = Start { node: &node, kind: "hamigrate", id: vmid.to_string(), user: &call.user };
        let key = world.fork(start, Job::HaQueue(ha::Request::Migrate { sid, target }));
        return Ok(Reply::changed(world.upid(key)));
    }
    let migration = Migration {
        vmid,
        kind,
        source: node.clone(),
        target,
        live: online,
        restart,
        timeout: call.params.get("timeout").and_then(|n| n.parse().ok()).unwrap_or(180_u64).saturating_mul(1000),
        with_local_disks: call.flag("with-local-disks"),
        force: call.flag("force"),
        map,
        began: world.now,
        phase: Phase::Begin,
        copies: Vec::new(),
        memory_done: 0,
    };
    let start = Start { node: &node, kind: task_type(kind), id: vmid.to_string(), user: &call.user };
    let key = world.fork(start, Job::Migrate(Box::new(migration)));
    Ok(Reply::changed(world.upid(key)))
}

pub(in crate::lab::world) fn task_type(kind: GuestKind) -> &'static str {
    if kind == GuestKind::Qemu { "qmigrate" } else { "vzmigrate" }
}

/// Storages of the guest's volumes on the target: mapped ones must exist there, the others under their own name.
fn check_storages(
    world: &World,
    guest: &Guest,
    map: &StorageMap,
    target: &crate::model::ids::NodeName,
) -> Result<(), PveError> {
    for disk in guest.config.disks() {
        let local_iso = disk.cdrom && !disk.cloudinit;
        let mapped = !world.is_shared(disk.storage.as_str()) && map.names(&disk.storage) && !local_iso;
        let needed = if mapped { map.target(&disk.storage) } else { &disk.storage };
        if !world.storages.contains_key(needed) {
            return Err(PveError::die(format!("storage '{needed}' does not exist")));
        }
        if !world.available(needed.as_str(), target) {
            return Err(PveError::die(format!("storage '{needed}' is not available on node '{target}'")));
        }
    }
    Ok(())
}
