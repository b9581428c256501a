//! Migrations inside the cluster: the work of `qmigrate` and `vzmigrate` tasks. What a request is refused for is in
//! `request`, what the source's scan finds in `scan`.

pub(super) mod container;
pub(super) mod copy;
pub(super) mod precondition;
pub(super) mod request;
pub(super) mod scan;
pub(super) mod vm;

use std::collections::BTreeMap;

use self::copy::Copy;
use super::World;
use super::jobs::Next;
use super::task::TaskKey;
use crate::model::ids::{GuestKind, NodeName, StorageId, Vmid};

/// Bytes a second over one node's link, memory and disks.
pub(super) const MEMORY_RATE: u64 = 400 << 20;
pub(super) const DISK_RATE: u64 = 100 << 20;
pub(super) const TICK_MS: u64 = 1000;

/// One migration and how far it is.
#[derive(Debug, Clone)]
pub(super) struct Migration {
    pub vmid: Vmid,
    pub kind: GuestKind,
    pub source: NodeName,
    pub target: NodeName,
    /// Whether the VM is to stay up meanwhile.
    pub live: bool,
    /// Whether a container is stopped here and started there.
    pub restart: bool,
    /// How long its shutdown may take, milliseconds.
    pub timeout: u64,
    pub with_local_disks: bool,
    /// The HA manager's own, and `root@pam`'s `force`: local devices do not count for a guest that is off.
    pub force: bool,
    pub map: StorageMap,
    pub began: u64,
    pub phase: Phase,
    pub copies: Vec<Copy>,
    pub memory_done: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Begin,
    Shutdown,
    Scan,
    RemoteStart,
    Disks,
    Memory,
    Switch,
    Cleanup,
}

/// `targetstorage`: where the volumes of a storage go.
#[derive(Debug, Clone, Default)]
pub(super) struct StorageMap {
    pub default: Option<StorageId>,
    pub pairs: BTreeMap<StorageId, StorageId>,
}

impl StorageMap {
    /// Reads `1`, `sid` or `a:b,c:d`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut map = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            match part.split_once(':') {
                Some((from, to)) if map.pairs.insert(from.into(), to.into()).is_some() => {
                    return Err(format!("duplicate mapping for source '{from}'"));
                }
                Some(_) => {}
                None if part == "1" => {}
                None if map.default.is_some() => return Err("multiple default targets".into()),
                None => map.default = Some(part.into()),
            }
        }
        Ok(map)
    }

    /// Where a storage's volumes go; without a word on it, to the storage of the same name.
    pub fn target<'a>(&'a self, storage: &'a StorageId) -> &'a StorageId {
        self.pairs.get(storage).or(self.default.as_ref()).unwrap_or(storage)
    }

    pub fn names(&self, storage: &StorageId) -> bool {
        self.default.is_some() || self.pairs.contains_key(storage)
    }
}

/// What a migration holds of its two nodes while it lasts.
#[derive(Debug, Clone)]
pub(super) struct Transfer {
    source: NodeName,
    target: NodeName,
    /// Memory that the target has promised, bytes.
    promised: u64,
}

impl World {
    /// Memory promised to guests on their way to this node, bytes.
    pub(super) fn incoming_memory(&self, node: &NodeName) -> u64 {
        self.transfers.values().filter(|transfer| transfer.target == *node).map(|transfer| transfer.promised).sum()
    }

    /// What one migration gets of a link's rate: all that leave one node, or come to one, share it.
    fn share(&self, migration: &Migration, rate: u64) -> u64 {
        let count = |test: &dyn Fn(&Transfer) -> bool| self.transfers.values().filter(|t| test(t)).count().max(1);
        let out = count(&|transfer| transfer.source == migration.source);
        let into = count(&|transfer| transfer.target == migration.target);
        rate / out.max(into) as u64
    }

    fn promise(&mut self, key: TaskKey, bytes: u64) {
        if let Some(transfer) = self.transfers.get_mut(&key) {
            transfer.promised = bytes;
        }
    }
}

pub(super) fn step(world: &mut World, key: TaskKey, m: &mut Migration) -> Next {
    if m.phase > Phase::Scan && m.phase < Phase::Cleanup && !world.node_up(&m.target) {
        if m.live {
            return problems(world, key, m, "online migrate failure - Broken pipe");
        }
        return fail(world, key, m, "Broken pipe");
    }
    if m.phase == Phase::Begin {
        m.began = world.now;
        let transfer = Transfer { source: m.source.clone(), target: m.target.clone(), promised: 0 };
        world.transfers.insert(key, transfer);
    }
    match m.kind {
        GuestKind::Qemu => vm::step(world, key, m),
        GuestKind::Lxc => container::step(world, key, m),
    }
}

/// The first lines, and the checks that come before the guest is locked.
fn begin(world: &mut World, key: TaskKey, m: &Migration) -> Result<(), String> {
    let what = if m.kind == GuestKind::Qemu { "VM" } else { "CT" };
    let line = format!("starting migration of {what} {} to node '{}' ({})", m.vmid, m.target, world.ip_of(&m.target));
    world.say_at(key, &line);
    let guest = world.guests.get_mut(&m.vmid).filter(|guest| guest.node == m.source);
    let guest = guest.ok_or_else(|| format!("no such {what}: {}", m.vmid))?;
    guest.check_lock().map_err(|error| error.message)?;
    guest.config.set("lock", "migrate");
    Ok(())
}

/// Ends it before the guest has moved, in the first phase: the status says no more than `migration aborted`.
pub(super) fn abort(world: &mut World, key: TaskKey, m: &Migration, cause: &str) -> String {
    let locked_by_us = m.phase > Phase::Begin;
    if locked_by_us && m.phase < Phase::Cleanup {
        let phase = if m.phase >= Phase::RemoteStart && m.live { 2 } else { 1 };
        world.say_at(key, &format!("aborting phase {phase} - cleanup resources"));
        world.unlock_after(key, m.vmid);
    }
    let took = duration(world.now - m.began);
    world.say_at(key, &format!("ERROR: migration aborted (duration {took}): {cause}"));
    "migration aborted".into()
}

fn fail(world: &mut World, key: TaskKey, m: &Migration, cause: &str) -> Next {
    Next::Done(Err(abort(world, key, m, cause)))
}

/// Ends it after the other side was asked to start: the server goes on to its third phase and only then gives up, so
/// that the status is `migration problems` although the guest is where it was. Seen in many published logs.
fn problems(world: &mut World, key: TaskKey, m: &Migration, cause: &str) -> Next {
    world.say_at(key, &format!("ERROR: {cause}"));
    world.say_at(key, "aborting phase 2 - cleanup resources");
    world.say_at(key, "migrate_cancel");
    world.unlock_after(key, m.vmid);
    let took = duration(world.now - m.began);
    world.say_at(key, &format!("ERROR: migration finished with problems (duration {took})"));
    Next::Done(Err("migration problems".into()))
}

/// Moves the configuration to the target, with the volumes' new names.
fn move_config(world: &mut World, m: &Migration) {
    let Some(guest) = world.guests.get_mut(&m.vmid) else { return };
    guest.node = m.target.clone();
    for copy in &m.copies {
        if let Some(line) = guest.config.0.get_mut(&copy.key) {
            *line = line.replacen(&copy.volid, &copy.new_volid, 1);
        }
    }
}

fn succeed(world: &mut World, key: TaskKey, m: &Migration) -> Next {
    if !world.node_up(&m.target) {
        // The guest has moved and nobody is there to take its lock off.
        let took = duration(world.now - m.began);
        world.say_at(key, "ERROR: failed to clear migrate lock: Broken pipe");
        world.say_at(key, &format!("ERROR: migration finished with problems (duration {took})"));
        return Next::Done(Err("migration problems".into()));
    }
    world.unlock_after(key, m.vmid);
    let took = duration(world.now - m.began);
    world.say_at(key, &format!("migration finished successfully (duration {took})"));
    Next::Done(Ok(()))
}

/// `00:01:07`.
fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// `1.2 GiB`, as the server renders bytes.
pub(super) fn human(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit < 4 {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", ["B", "KiB", "MiB", "GiB", "TiB"][unit])
}
