//! What the source finds before anything moves: devices and volumes that cannot come along.

use super::Migration;
use crate::lab::world::World;
use crate::lab::world::config::{self, Disk};
use crate::lab::world::guest::Guest;
use crate::model::ids::{GuestKind, NodeName};

/// Storage kinds whose volumes the server knows how to copy.
const COPIED: [&str; 5] = ["dir", "btrfs", "zfspool", "lvmthin", "lvm"];

/// Keys of devices of the host that the guest uses directly.
pub(in crate::lab::world) fn local_devices(guest: &Guest) -> Vec<String> {
    let device = |key: &str, value: &str| match config::stem(key) {
        "hostpci" => config::option(value, "mapping").is_none(),
        "usb" => config::option(value, "mapping").is_none() && !value.starts_with("spice"),
        "serial" | "parallel" => value != "socket",
        "virtiofs" => key != "virtiofs",
        _ => key == "ivshmem",
    };
    guest.config.0.iter().filter(|(key, value)| device(key, value)).map(|(key, _)| key.clone()).collect()
}

/// Disks on storages that are not shared, ISO images included.
pub(in crate::lab::world) fn local_disks(world: &World, guest: &Guest) -> Vec<Disk> {
    guest.config.disks().into_iter().filter(|disk| !world.is_shared(disk.storage.as_str())).collect()
}

/// Whether a linked clone of this guest's base image exists.
fn has_clones(world: &World, guest: &Guest, disk: &Disk) -> bool {
    let Some((_, base)) = disk.volid.split_once(':') else { return false };
    let others = world.guests.values().filter(|other| other.vmid != guest.vmid && other.node == guest.node);
    guest.is_template()
        && others.into_iter().any(|other| {
            other.config.disks().iter().any(|theirs| theirs.storage == disk.storage && theirs.clone_of() == Some(base))
        })
}

/// Devices, own and mapped, that stop the migration; checked before the guest is locked.
pub(super) fn devices(world: &World, guest: &Guest, m: &Migration) -> Result<(), String> {
    let own = local_devices(guest);
    if !own.is_empty() && (m.live || !m.force) {
        return Err(format!("can't migrate VM which uses local devices: {}", own.join(", ")));
    }
    let mapped = world.mapped_devices(guest);
    let lacking: Vec<&str> = mapped
        .iter()
        .filter(|(_, id, class)| !world.has_mapping(class, id, m.target.as_str()))
        .map(|(key, _, _)| key.as_str())
        .collect();
    if !lacking.is_empty() {
        return Err(format!("can't migrate to '{}': missing mapped devices {}", m.target, lacking.join(", ")));
    }
    if m.live && !mapped.is_empty() {
        let keys: Vec<&str> = mapped.iter().map(|(key, _, _)| key.as_str()).collect();
        return Err(format!("can't live migrate running VM which uses following mapped devices: {}", keys.join(", ")));
    }
    Ok(())
}

/// Volumes of a VM: log lines, and the cause if they stop it.
pub(super) fn volumes(
    world: &World,
    guest: &Guest,
    m: &Migration,
    local: &[Disk],
) -> (Vec<String>, Result<(), String>) {
    let mut lines = Vec::new();
    for disk in guest.config.disks() {
        let to = m.map.target(&disk.storage);
        let shared = world.is_shared(disk.storage.as_str());
        if !world.available(if shared { disk.storage.as_str() } else { to.as_str() }, &m.target) {
            let storage = if shared { &disk.storage } else { to };
            return (lines, Err(wrapped(&format!("storage '{storage}' is not available on node '{}'", m.target))));
        }
    }
    let mut blocked = false;
    for disk in local {
        if let Some(why) = one_volume(world, guest, m, disk) {
            match why {
                Trouble::Logged(text) => {
                    lines.push(format!("ERROR: can't migrate local disk '{}': {text}", disk.volid));
                    blocked = true;
                }
                Trouble::Fatal(text) => return (lines, Err(wrapped(&text))),
            }
        } else {
            let how = if disk.unused {
                "unused"
            } else if disk.cloudinit {
                "generated"
            } else {
                "attached"
            };
            lines.push(format!("found local disk '{}' ({how})", disk.volid));
        }
    }
    if blocked {
        return (lines, Err(wrapped("can't migrate VM - check log")));
    }
    let attached = local.iter().any(|disk| !disk.cdrom && !disk.unused);
    if m.live && attached && !m.with_local_disks {
        return (lines, Err(wrapped("can't live migrate attached local disks without with-local-disks option")));
    }
    (lines, Ok(()))
}

fn wrapped(text: &str) -> String {
    format!("Problem found while scanning volumes - {text}")
}

enum Trouble {
    /// One error line for each volume, one cause for all.
    Logged(String),
    Fatal(String),
}

fn one_volume(world: &World, guest: &Guest, m: &Migration, disk: &Disk) -> Option<Trouble> {
    let plugin = world.plugin(disk.storage.as_str());
    if disk.cdrom && !disk.cloudinit {
        return Some(Trouble::Logged("local cdrom image".into()));
    }
    if let Some(base) = disk.clone_of() {
        return Some(Trouble::Fatal(format!("can't migrate '{}' as it's a clone of '{base}'", disk.volid)));
    }
    if has_clones(world, guest, disk) {
        return Some(Trouble::Fatal(format!("can't migrate '{}' - referenced by linked clone(s)", disk.volid)));
    }
    if !guest.snapshots.is_empty() && !disk.cloudinit {
        if m.live {
            let text = "online storage migration not possible if non-replicated snapshot exists";
            return Some(Trouble::Logged(text.into()));
        }
        if !matches!(plugin, "zfspool" | "btrfs") && !disk.volid.ends_with(".qcow2") {
            return Some(Trouble::Logged("non-migratable snapshot exists".into()));
        }
    }
    if !COPIED.contains(&plugin) {
        return Some(Trouble::Fatal(format!("can't migrate '{}' - storage type '{plugin}' not supported", disk.volid)));
    }
    None
}

/// Volumes and mounts of a container.
pub(super) fn container(world: &World, guest: &Guest, m: &Migration, local: &[Disk]) -> Result<(), String> {
    if let Some((key, _)) = guest.config.bind_mounts().into_iter().find(|(_, shared)| !shared) {
        return Err(format!("cannot migrate local bind mount point '{key}'"));
    }
    for disk in guest.config.disks() {
        let to = if world.is_shared(disk.storage.as_str()) { &disk.storage } else { m.map.target(&disk.storage) };
        if !world.available(to.as_str(), &m.target) {
            return Err(format!("storage '{to}' is not available on node '{}'", m.target));
        }
    }
    for disk in local {
        match one_volume(world, guest, m, disk) {
            Some(Trouble::Fatal(text)) => return Err(text),
            Some(Trouble::Logged(text)) => return Err(format!("can't migrate local volume '{}': {text}", disk.volid)),
            None => {}
        }
    }
    Ok(())
}

/// Storages that a VM needs and a node has not, for the precondition: local disks count under their own names.
pub(super) fn unavailable_storages(world: &World, guest: &Guest, node: &NodeName) -> Vec<String> {
    let mut missing: Vec<String> = guest
        .config
        .disks()
        .into_iter()
        .filter(|disk| guest.kind == GuestKind::Qemu && !world.available(disk.storage.as_str(), node))
        .map(|disk| disk.storage.to_string())
        .collect();
    missing.sort();
    missing.dedup();
    missing
}
