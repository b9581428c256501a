//! Where a local disk would land on another node.

use std::collections::BTreeMap;

use super::facts::{NodeFacts, StorageFacts};
use crate::model::ids::{GuestKind, StorageId};

/// Types whose volumes Proxmox can copy to another node (PVE/Storage.pm and the plugins).
const MOVABLE: [&str; 5] = ["dir", "btrfs", "zfspool", "lvmthin", "lvm"];

pub(super) fn movable(kind: &str) -> bool {
    MOVABLE.contains(&kind)
}

/// What a storage must share with the one the disk comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Like {
    /// The HA manager passes no map, and replicas have theirs already.
    SameId,
    /// Offline copies of ZFS, and snapshots, travel only within a type.
    SameType(String),
    /// Other offline copies are raw streams, which ZFS does not take (PVE/Storage/ZFSPoolPlugin.pm).
    Raw,
    Any,
}

/// Disks with equal classes go to the same storage of a target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Class {
    pub from: StorageId,
    pub content: &'static str,
    pub like: Like,
}

/// Bytes by class.
pub(super) type Disks = BTreeMap<Class, u64>;

pub(super) fn content_of(kind: GuestKind) -> &'static str {
    match kind {
        GuestKind::Qemu => "images",
        GuestKind::Lxc => "rootdir",
    }
}

/// The storage that takes disks of that class: the one of the same name, else the roomiest local one.
///
/// Never a shared one: that would change what the guest lives on, which is the operator's decision.
///
/// # Errors
/// Why none does, in words.
pub(super) fn landing<'n>(class: &Class, node: &'n NodeFacts) -> Result<(usize, &'n StorageFacts), String> {
    let takes = |s: &StorageFacts| s.active && s.content.contains(class.content);
    let fits_type = |s: &StorageFacts| match &class.like {
        Like::SameType(kind) => kind == &s.kind,
        Like::Raw => s.kind != "zfspool",
        Like::SameId | Like::Any => true,
    };
    let each = || node.storages.iter().enumerate();
    let same = each().find(|(_, s)| s.id == class.from);
    if let Some(found) = same.filter(|(_, s)| takes(s) && fits_type(s)) {
        return Ok(found);
    }
    let other = each().filter(|(_, s)| !s.shared && movable(&s.kind) && takes(s) && fits_type(s));
    let roomiest = other.max_by(|(_, a), (_, b)| a.avail.cmp(&b.avail).then(b.id.cmp(&a.id)));
    if let (Some(found), true) = (roomiest, class.like != Like::SameId) {
        return Ok(found);
    }
    Err(match (same, &class.like) {
        (Some((_, s)), _) if !s.active => format!("storage {} is not active", s.id),
        (Some((_, s)), _) if !s.content.contains(class.content) => {
            format!("storage {} does not hold {}", s.id, class.content)
        }
        (_, Like::SameId) => format!("no storage {}", class.from),
        (_, Like::SameType(kind)) => format!("no {kind} storage that could take disks of {}", class.from),
        (_, Like::Raw) => format!("no local storage other than ZFS that could take disks of {}", class.from),
        (_, Like::Any) => format!("no local storage that could take disks of {}", class.from),
    })
}
