//! Pruning: which backups of a guest are kept, and deleting the rest.
//!
//! Source: PVE::Storage::prune_mark_backup_group and PVE::API2::Storage::PruneBackups (pve-storage 9).

use std::collections::BTreeSet;

use serde_json::json;

use super::{Backup, Work, forked, may};
use crate::lab::call::{Call, PveError, Reply};
use crate::lab::world::World;
use crate::lab::world::config::option;
use crate::lab::world::jobs::Next;
use crate::lab::world::task::{TaskKey, log_time};
use crate::model::ids::{GuestKind, NodeName, Vmid};

/// Deleting under way.
#[derive(Debug, Clone)]
pub(in crate::lab::world) struct Prune {
    what: Wanted,
}

#[derive(Debug, Clone)]
struct Wanted {
    node: NodeName,
    storage: String,
    vmid: Option<Vmid>,
    kind: Option<GuestKind>,
    /// `keep-last=3,keep-daily=7`
    keep: String,
}

fn wanted(world: &World, call: &Call) -> Result<Wanted, PveError> {
    let (node, _) = world.node_of(call)?;
    let id = call.path.get("storage").cloned().unwrap_or_default();
    let storage = world.storages.get(id.as_str());
    let storage = storage.ok_or_else(|| PveError::die(format!("storage '{id}' does not exist")))?;
    if !storage.on(node.as_str()) {
        return Err(PveError::die(format!("storage '{id}' is not available on node '{node}'")));
    }
    let own = storage.spec.options.get("prune-backups");
    let keep = call.params.get("prune-backups").or(own).cloned();
    let keep = keep.ok_or_else(|| PveError::die("no prune-backups options configured for storage"))?;
    let vmid = call.params.get("vmid").and_then(|id| id.parse().ok());
    let kind = match call.params.get("type").map(String::as_str) {
        Some("qemu") => Some(GuestKind::Qemu),
        Some("lxc") => Some(GuestKind::Lxc),
        _ => None,
    };
    Ok(Wanted { node, storage: id, vmid, kind, keep })
}

/// `keep`, `remove` or `protected` for each, newest first of each guest.
fn marks<'a>(world: &'a World, wanted: &Wanted) -> Vec<(&'a Backup, &'static str)> {
    let fits = |backup: &&Backup| {
        backup.is_on(&wanted.storage, &wanted.node)
            && wanted.vmid.is_none_or(|vmid| vmid == backup.vmid)
            && wanted.kind.is_none_or(|kind| kind == backup.kind)
    };
    let mut groups: std::collections::BTreeMap<Vmid, Vec<&Backup>> = Default::default();
    world.backups.iter().filter(fits).for_each(|backup| groups.entry(backup.vmid).or_default().push(backup));
    groups.into_values().flat_map(|group| mark_group(group, &wanted.keep)).collect()
}

/// What backups of one hour, day, … have in common.
type Period = fn(i64) -> String;

fn mark_group<'a>(mut group: Vec<&'a Backup>, keep: &str) -> Vec<(&'a Backup, &'static str)> {
    group.sort_by_key(|backup| std::cmp::Reverse(backup.made));
    let mut marks: Vec<Option<&'static str>> =
        group.iter().map(|backup| backup.protected.then_some("protected")).collect();
    if option(keep, "keep-all") == Some("1") {
        marks.iter_mut().for_each(|mark| *mark = mark.or(Some("keep")));
    }
    let periods: [(&str, Period); 6] = [
        ("keep-last", |made| made.to_string()),
        ("keep-hourly", |made| log_time(made)[..13].to_owned()),
        ("keep-daily", |made| log_time(made)[..10].to_owned()),
        // Weeks begin on Mondays; 1970 began on a Thursday.
        ("keep-weekly", |made| ((made / 86_400 + 3) / 7).to_string()),
        ("keep-monthly", |made| log_time(made)[..7].to_owned()),
        ("keep-yearly", |made| log_time(made)[..4].to_owned()),
    ];
    for (name, period) in periods {
        let count: usize = option(keep, name).and_then(|n| n.parse().ok()).unwrap_or(0);
        if count > 0 {
            mark(&group, &mut marks, count, period);
        }
    }
    group.into_iter().zip(marks).map(|(backup, mark)| (backup, mark.unwrap_or("remove"))).collect()
}

fn mark(group: &[&Backup], marks: &mut [Option<&'static str>], count: usize, period: Period) {
    let kept = group.iter().zip(marks.iter()).filter(|(_, mark)| **mark == Some("keep"));
    let already: BTreeSet<String> = kept.map(|(backup, _)| period(backup.made)).collect();
    let mut newly = BTreeSet::new();
    for (backup, mark) in group.iter().zip(marks.iter_mut()) {
        let id = period(backup.made);
        if mark.is_some() || already.contains(&id) {
            continue;
        }
        if newly.contains(&id) {
            *mark = Some("remove");
            continue;
        }
        if newly.len() >= count {
            return;
        }
        newly.insert(id);
        *mark = Some("keep");
    }
}

pub(in crate::lab::world) fn preview(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let wanted = wanted(world, call)?;
    let rows = marks(world, &wanted).into_iter().map(|(backup, mark)| {
        json!({"volid": backup.volid(), "ctime": backup.made, "type": backup.kind.as_str(), "vmid": backup.vmid.0,
            "mark": mark})
    });
    Ok(Reply::read(rows.collect()))
}

pub(in crate::lab::world) fn take(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let what = wanted(world, call)?;
    let (storage, node) = (&what.storage, what.node.clone());
    match what.vmid {
        // For one's own guest the right to back it up is enough.
        Some(vmid) => {
            may(call, &format!("/vms/{vmid}"), "VM.Backup")?;
            may(call, &format!("/storage/{storage}"), "Datastore.AllocateSpace")?;
        }
        None => may(call, &format!("/storage/{storage}"), "Datastore.Allocate")?,
    }
    let id = what.vmid.map_or_else(|| storage.clone(), |vmid| format!("{vmid}@{storage}"));
    Ok(forked(world, call, &node, "prunebackups", id, Work::Prune(Prune { what })))
}

pub(super) fn step(world: &mut World, key: TaskKey, prune: &mut Prune, first: bool) -> Next {
    if first {
        return Next::In(1000);
    }
    let doomed: BTreeSet<String> = marks(world, &prune.what)
        .into_iter()
        .filter(|(_, mark)| *mark == "remove")
        .map(|(backup, _)| backup.volid())
        .collect();
    for volid in &doomed {
        world.say(key, format!("removing backup '{volid}'"));
    }
    let node = prune.what.node.clone();
    world.backups.retain(|backup| !(doomed.contains(&backup.volid()) && backup.is_on(&prune.what.storage, &node)));
    Next::Done(Ok(()))
}
