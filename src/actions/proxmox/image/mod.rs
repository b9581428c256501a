//! Images on storages: ISO files, container templates, disks to import.

mod delete;
mod download;
mod list;
mod upload;

pub use delete::ImageDelete;
pub use download::ImageDownload;
pub use list::Images;
pub use upload::ImageUpload;

use std::collections::BTreeMap;

use super::look::read;
use super::object::{Node, NodeStorage, Volume};
use super::resource::Resource;
use crate::engine::ports::{Unreadable, World};
use crate::model::failure::{Class, Failure};
use crate::model::ids::{NodeName, StorageId};

/// The storage as the node has it, or that it has none of that name.
pub(super) async fn storage(
    world: &dyn World,
    node: &NodeName,
    storage: &StorageId,
    attempted: &str,
) -> Result<NodeStorage, Unreadable> {
    let mut all: BTreeMap<StorageId, NodeStorage> = read(world, Resource::Storages(node.clone())).await?;
    let none = || Failure::new(Class::Precondition, attempted, format!("{node} has no storage {storage}"));
    let found = all.remove(storage).ok_or_else(|| none().remedy("check its name"))?;
    if !found.active {
        return Err(Failure::new(Class::Precondition, attempted, format!("{storage} is not active on {node}")).into());
    }
    Ok(found)
}

/// A name as Proxmox keeps it, of a kind that it takes; else why not.
fn filename(name: &str, content: &str) -> Result<String, String> {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+') { c } else { '_' };
    let name: String = name.chars().map(plain).collect();
    let ends: &[&str] = match content {
        "import" => &[".ova", ".qcow2", ".raw", ".vmdk"],
        "vztmpl" => &[".tar", ".tar.gz", ".tar.xz", ".tar.zst", ".tar.bz2"],
        _ => &[".iso", ".img"],
    };
    match ends.iter().any(|end| name.ends_with(end) && name.len() > end.len()) {
        true => Ok(name),
        false => Err(format!("{name:?} ends with none of {}", ends.join(", "))),
    }
}

pub(super) async fn volume(
    world: &dyn World,
    node: &NodeName,
    storage: &StorageId,
    volid: &str,
) -> Result<Option<Volume>, Unreadable> {
    let mut all: BTreeMap<String, Volume> = read(world, Resource::Content(node.clone(), storage.clone())).await?;
    Ok(all.remove(volid))
}

/// Where a change of this storage shows: on its node, or on every node that is up.
pub(super) async fn seen_on(world: &dyn World, node: &NodeName, shared: bool) -> Result<Vec<NodeName>, Unreadable> {
    if !shared {
        return Ok(vec![node.clone()]);
    }
    let nodes: BTreeMap<NodeName, Node> = read(world, Resource::Nodes).await?;
    Ok(nodes.into_values().filter(|node| node.online).map(|node| node.name).collect())
}
