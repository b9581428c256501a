//! Guests that come and go: made, cloned, made into templates, destroyed; their snapshots; images on storages.

pub(super) mod clone;
pub(super) mod create;
pub(super) mod destroy;
pub(super) mod image;
pub(super) mod snapshot;
pub(super) mod template;
mod volume;

use super::World;
use super::jobs::{Job, Next};
use super::task::{Start, TaskKey};
use crate::lab::call::{Call, Reply};
use crate::model::ids::{NodeName, Vmid};

/// Bytes a second that a disk is copied with.
const COPY_RATE: u64 = 400 << 20;

/// What such a task does.
#[derive(Debug, Clone)]
pub(super) enum Work {
    Create(create::Create),
    Clone(clone::Copying),
    Destroy { vmid: Vmid },
    Template { vmid: Vmid },
    Snapshot(snapshot::Change),
    Download(image::Download),
    Copy(image::Copy),
    Remove(image::Remove),
}

pub(super) fn step(world: &mut World, key: TaskKey, work: &mut Work, first: bool) -> Next {
    match work {
        Work::Create(create) => create::step(world, key, create, first),
        Work::Clone(copying) => clone::step(world, key, copying, first),
        Work::Destroy { vmid } => destroy::step(world, *vmid, first),
        Work::Template { vmid } => template::step(world, *vmid, first),
        Work::Snapshot(change) => snapshot::step(world, key, change, first),
        Work::Download(download) => image::download_step(world, key, download, first),
        Work::Copy(copy) => image::copy_step(world, key, copy, first),
        Work::Remove(remove) => image::remove_step(world, remove, first),
    }
}

/// A worker that ends badly takes back what it has reserved.
pub(super) fn give_up(world: &mut World, key: TaskKey, work: &Work) {
    match work {
        Work::Create(create::Create { vmid, .. }) | Work::Clone(clone::Copying { newid: vmid, doomed: None, .. }) => {
            world.guests.remove(vmid);
        }
        Work::Snapshot(change) => world.unlock_after(key, change.vmid),
        Work::Destroy { vmid } => {
            if let Some(guest) =
                world.guests.get_mut(vmid).filter(|guest| guest.config.get("lock") == Some("destroyed"))
            {
                guest.config.remove("lock");
            }
        }
        Work::Clone(_) | Work::Template { .. } | Work::Download(_) | Work::Copy(_) | Work::Remove(_) => {}
    }
}

fn forked(world: &mut World, call: &Call, node: &NodeName, kind: &str, id: String, work: Work) -> Reply {
    let key = world.fork(Start { node, kind, id, user: &call.user }, Job::Life(Box::new(work)));
    Reply::changed(world.upid(key))
}

/// A description as the file's comment lines give it back: each line with its end.
fn described(text: &str) -> String {
    if text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") }
}
