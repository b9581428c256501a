//! Backups of guests: made, listed, restored, pruned.

mod create;
mod list;
mod prune;
mod restore;
#[cfg(test)]
mod tests;

use serde_json::Value;

use super::look;
use super::object::{NodeStorage, Volume};
use super::resource::Resource;
use crate::engine::ports::{Unreadable, World};
use crate::model::failure::{Class, Failure};
use crate::model::ids::{GuestKind, NodeName, StorageId, Vmid};

pub use create::GuestBackup;
pub use list::Backups;
pub use prune::BackupsPrune;
pub use restore::GuestRestore;

/// A guest's backups on a storage, oldest first.
async fn of_guest(
    world: &dyn World,
    node: &NodeName,
    storage: &StorageId,
    vmid: Vmid,
) -> Result<Vec<Volume>, Unreadable> {
    let all: std::collections::BTreeMap<String, Volume> =
        look::read(world, Resource::Content(node.clone(), storage.clone())).await?;
    let mut own: Vec<Volume> =
        all.into_values().filter(|volume| volume.content == "backup" && volume.vmid == Some(vmid)).collect();
    own.sort_by(|a, b| (a.made, &a.volid).cmp(&(b.made, &b.volid)));
    Ok(own)
}

/// That the node has the storage, and that backups may be there.
async fn takes_backups(
    world: &dyn World,
    node: &NodeName,
    storage: &StorageId,
    attempted: &str,
) -> Result<NodeStorage, Unreadable> {
    let all: std::collections::BTreeMap<StorageId, NodeStorage> =
        look::read(world, Resource::Storages(node.clone())).await?;
    let fit = |of: &NodeStorage| of.active && of.content.iter().any(|content| content == "backup");
    let there: Vec<&str> = all.iter().filter(|(_, of)| fit(of)).map(|(id, _)| id.as_str()).collect();
    let others = match there[..] {
        [] => format!("no storage of {node} takes backups: give one the content type `backup`"),
        _ => format!("on {node} these take backups: {}", there.join(", ")),
    };
    let refuse = |cause: String| Failure::new(Class::Precondition, attempted, cause).remedy(others.clone());
    let found = all.get(storage).ok_or_else(|| refuse(format!("{node} has no storage {storage}")))?;
    if !found.active {
        return Err(refuse(format!("{storage} is not active on {node}")).into());
    }
    if !fit(found) {
        return Err(refuse(format!("{storage} takes no backups")).into());
    }
    Ok(found.clone())
}

/// The storage of `local:backup/vzdump-…`.
fn storage_of(volid: &str) -> StorageId {
    volid.split(':').next().unwrap_or_default().into()
}

/// What kind of guest a backup is of, by its name: a file's, or a backup server's.
fn kind_of(volid: &str) -> Option<GuestKind> {
    let name = volid.split_once(':')?.1;
    [
        ("vzdump-qemu-", GuestKind::Qemu),
        ("backup/vm/", GuestKind::Qemu),
        ("vzdump-lxc-", GuestKind::Lxc),
        ("backup/ct/", GuestKind::Lxc),
    ]
    .into_iter()
    .find(|(mark, _)| name.contains(mark))
    .map(|(_, kind)| kind)
}

/// A parameter that may be absent or empty.
fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}
