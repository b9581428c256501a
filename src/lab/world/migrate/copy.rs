//! Local volumes that go along with a guest: what they become on the target, and their transfer.

use super::{DISK_RATE, Migration, TICK_MS, human};
use crate::lab::world::World;
use crate::lab::world::config::{self, Disk};
use crate::lab::world::guest::Guest;
use crate::lab::world::task::TaskKey;

/// One volume on its way.
#[derive(Debug, Clone)]
pub(in crate::lab::world) struct Copy {
    pub key: String,
    pub volid: String,
    pub new_volid: String,
    pub size: u64,
    pub done: u64,
    /// World milliseconds at its start.
    pub began: u64,
}

/// The copies that a migration has to make.
pub(super) fn plan(world: &World, guest: &Guest, m: &Migration, local: &[Disk]) -> Vec<Copy> {
    let mut copies: Vec<Copy> = Vec::new();
    for disk in local.iter().filter(|disk| !disk.cdrom || disk.cloudinit) {
        let to = m.map.target(&disk.storage);
        let (_, volume) = disk.volid.split_once(':').unwrap_or_default();
        let new_volid = if *to == disk.storage {
            disk.volid.clone()
        } else if disk.cloudinit {
            format!("{to}:{volume}")
        } else {
            let names = (0..).map(|n| config::volume_name(world.plugin(to.as_str()), guest.kind, m.vmid, n));
            let free = names
                .map(|name| format!("{to}:{name}"))
                .find(|volid| !copies.iter().any(|copy| copy.new_volid == *volid));
            free.expect("an endless list has a free name")
        };
        copies.push(Copy {
            key: disk.key.clone(),
            volid: disk.volid.clone(),
            new_volid,
            size: disk.size,
            done: 0,
            began: 0,
        });
    }
    copies
}

/// Whether the target's storages can take the copies.
pub(super) fn room(world: &World, m: &Migration) -> Result<(), String> {
    let usage = world.usage();
    for copy in &m.copies {
        let Some((to, volume)) = copy.new_volid.split_once(':') else { continue };
        let Some(storage) = world.storages.get(to) else { continue };
        let used = world.used(&usage, &storage.spec.id, &m.target);
        if storage.size_on(&m.target) - used < copy.size {
            return Err(full(&storage.spec.plugin, copy, to, volume));
        }
    }
    Ok(())
}

/// What is said of a storage that has no room; the text is the tool's own.
fn full(plugin: &str, copy: &Copy, to: &str, volume: &str) -> String {
    let why = match plugin {
        "lvmthin" => format!(
            "lvcreate 'pve/{volume}' error: Cannot create new thin volume, free space in thin pool reached threshold."
        ),
        "zfspool" => format!("zfs error: cannot create 'rpool/data/{volume}': out of space"),
        _ => "No space left on device".into(),
    };
    format!("storage migration for '{}' to storage '{to}' failed - {why}", copy.volid)
}

/// The copy that a full storage ends half-way: what is written to it then has no room, whatever its kind.
pub(super) fn no_room_left(m: &Migration) -> Option<String> {
    let copy = m.copies.iter().find(|copy| copy.began > 0 && copy.done * 2 >= copy.size)?;
    let (to, volume) = copy.new_volid.split_once(':').unwrap_or_default();
    Some(full("dir", copy, to, volume))
}

/// One second of copying; false when all is done.
pub(super) fn tick(world: &mut World, key: TaskKey, m: &mut Migration) -> bool {
    let rate = world.share(m, DISK_RATE);
    let now = world.now;
    let live = m.live;
    let Some(copy) = m.copies.iter_mut().find(|copy| copy.done < copy.size || copy.began == 0) else { return false };
    if copy.began == 0 {
        copy.began = now;
        let line = if live {
            format!(
                "{}: start migration to nbd:unix:/run/qemu-server/{}_nbd.migrate:exportname=drive-{}",
                copy.key, m.vmid, copy.key
            )
        } else {
            format!("copying disk '{}' to '{}'", copy.volid, copy.new_volid)
        };
        world.say_at(key, &line);
        return true;
    }
    copy.done = (copy.done + rate * TICK_MS / 1000).min(copy.size);
    let percent = copy.done as f64 / copy.size.max(1) as f64 * 100.0;
    let seconds = (now - copy.began) / 1000;
    let name = if live { format!("mirror-{}", copy.key) } else { copy.volid.clone() };
    let line = format!(
        "{name}: transferred {} of {} ({percent:.2}%) in {seconds}s{}",
        human(copy.done),
        human(copy.size),
        if copy.done == copy.size && live { ", ready" } else { "" }
    );
    world.say(key, line);
    m.copies.iter().any(|copy| copy.done < copy.size || copy.began == 0)
}
