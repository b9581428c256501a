//! Backups on storages: made by vzdump, restored, pruned.

pub(super) mod dump;
pub(super) mod prune;
pub(super) mod restore;

use serde_json::{Value, json};

use super::World;
use super::config::Config;
use super::jobs::{Job, Next};
use super::task::{Start, TaskKey};
use crate::lab::call::{Call, PveError, Reply};
use crate::lab::scenario::BackupSpec;
use crate::model::ids::{GuestKind, NodeName, StorageId, Vmid};

/// Bytes a second that are read or written for a backup.
const RATE: u64 = 400 << 20;

/// A backup that is there.
#[derive(Debug, Clone)]
pub(super) struct Backup {
    pub storage: StorageId,
    /// Where it is; nothing on a shared storage.
    pub node: Option<NodeName>,
    /// `backup/vzdump-qemu-104-2026_11_21-12_00_00.vma.zst`
    pub path: String,
    pub format: &'static str,
    pub kind: GuestKind,
    pub vmid: Vmid,
    pub size: u64,
    /// Seconds since 1970.
    pub made: i64,
    pub notes: String,
    pub protected: bool,
    pub config: Config,
}

impl Backup {
    pub fn volid(&self) -> String {
        format!("{}:{}", self.storage, self.path)
    }

    fn is_on(&self, storage: &str, node: &NodeName) -> bool {
        self.storage.as_str() == storage && self.node.as_ref().is_none_or(|at| at == node)
    }

    fn row(&self) -> Value {
        let mut row = json!({"volid": self.volid(), "content": "backup", "format": self.format, "size": self.size,
            "ctime": self.made, "vmid": self.vmid.0, "subtype": self.kind.as_str()});
        if !self.notes.is_empty() {
            row["notes"] = json!(self.notes);
        }
        if self.protected {
            row["protected"] = json!(1);
        }
        row
    }
}

/// Backups that a scenario has from the beginning; one of a guest that it does not have is left out.
pub(super) fn from_spec(specs: &[BackupSpec], world: &World) -> Vec<Backup> {
    let each = specs.iter().filter_map(|spec| {
        let guest = world.guests.get(&spec.guest)?;
        let made = spec.made.parse::<jiff::Timestamp>().ok()?.as_second();
        let format = dump::format_of(guest.kind, "zstd");
        Some(Backup {
            storage: spec.storage.clone(),
            node: (!world.is_shared(spec.storage.as_str())).then(|| guest.node.clone()),
            path: dump::path(guest.kind, spec.guest, made, format),
            format,
            kind: guest.kind,
            vmid: spec.guest,
            size: spec.size_mib << 20,
            made,
            notes: guest.name(),
            protected: spec.protected,
            config: guest.config.clone(),
        })
    });
    each.collect()
}

/// What a task does.
#[derive(Debug, Clone)]
pub(super) enum Work {
    Dump(dump::Dump),
    Restore(restore::Restore),
    Prune(prune::Prune),
}

pub(super) fn step(world: &mut World, key: TaskKey, work: &mut Work, first: bool) -> Next {
    match work {
        Work::Dump(dump) => dump::step(world, key, dump, first),
        Work::Restore(restore) => restore::step(world, key, restore, first),
        Work::Prune(prune) => prune::step(world, key, prune, first),
    }
}

/// A worker that ends badly takes back what it holds.
pub(super) fn give_up(world: &mut World, work: &Work) {
    match work {
        Work::Dump(dump) => dump::give_up(world, dump),
        Work::Restore(restore) => restore::give_up(world, restore),
        Work::Prune(_) => {}
    }
}

fn forked(world: &mut World, call: &Call, node: &NodeName, kind: &str, id: String, work: Work) -> Reply {
    let key = world.fork(Start { node, kind, id, user: &call.user }, Job::Backup(Box::new(work)));
    Reply::changed(world.upid(key))
}

fn may(call: &Call, path: &str, privilege: &str) -> Result<(), PveError> {
    match call.privileges.may(path, privilege) {
        true => Ok(()),
        false => Err(PveError::status(403, format!("Permission check failed ({path}, {privilege})"))),
    }
}

impl World {
    /// What the storage lists of backups, as seen on this node.
    pub(super) fn backup_rows<'a>(
        &'a self,
        storage: &'a StorageId,
        node: &'a NodeName,
        vmid: Option<&'a str>,
    ) -> impl Iterator<Item = Value> + 'a {
        let here = self.backups.iter().filter(move |backup| backup.is_on(storage.as_str(), node));
        here.filter(move |backup| vmid.is_none_or(|id| id == backup.vmid.to_string())).map(Backup::row)
    }

    fn backup(&self, volid: &str, node: &NodeName) -> Result<&Backup, PveError> {
        let (storage, _) = volid.split_once(':').unwrap_or((volid, ""));
        let found = self.backups.iter().find(|backup| backup.volid() == volid && backup.is_on(storage, node));
        found.ok_or_else(|| PveError::die(format!("volume '{volid}' does not exist")))
    }
}
