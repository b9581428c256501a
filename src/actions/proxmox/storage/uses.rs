//! Who names a volume: in a configuration, or in a snapshot's.

use std::collections::BTreeMap;

use crate::actions::proxmox::look;
use crate::actions::proxmox::object::{Guest, GuestEntry, Node, Snapshots, Volume};
use crate::actions::proxmox::resource::Resource;
use crate::actions::proxmox::source::{disk, is_disk};
use crate::clients::proxmox::{loose, seg};
use crate::engine::ports::{Unreadable, World};
use crate::model::failure::{Class, Failure};
use crate::model::ids::{NodeName, Vmid};

/// One place where a volume is named.
pub(super) struct Use {
    pub guest: Guest,
    /// `scsi0`, `unused1`
    pub key: String,
    /// The snapshot whose configuration it is.
    pub snapshot: Option<String>,
}

impl Use {
    /// As a disk that the guest has and does not use; in a snapshot it counts as used.
    pub fn unused(&self) -> bool {
        self.snapshot.is_none() && self.key.starts_with("unused")
    }

    pub fn text(&self) -> String {
        let of = self.snapshot.as_ref().map(|name| format!(" of the snapshot {name}")).unwrap_or_default();
        format!("{} as {}{of}", self.guest.title(), self.key)
    }
}

/// A linked clone names its base, too: `local-lvm:base-900-disk-0/vm-104-disk-0`.
fn names(named: &str, volid: &str) -> bool {
    named.strip_prefix(volid).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// All that name it. Of a local storage only guests of its node and its owner can; of a shared one every guest can.
pub(super) async fn uses(
    world: &dyn World,
    volume: &Volume,
    node: &NodeName,
    shared: bool,
    attempted: &str,
) -> Result<Vec<Use>, Unreadable> {
    let guests: BTreeMap<Vmid, GuestEntry> = look::read(world, Resource::Guests).await?;
    let nodes: BTreeMap<NodeName, Node> = look::read(world, Resource::Nodes).await?;
    let may = |entry: &&GuestEntry| {
        shared || entry.node.as_ref().is_none_or(|at| at == node) || Some(entry.vmid) == volume.vmid
    };
    let mut found = Vec::new();
    for entry in guests.values().filter(may) {
        let away = entry.node.as_ref().filter(|at| nodes.get(*at).is_none_or(|node| !node.online));
        if let Some(away) = away {
            let cause = format!("{away} does not answer, so that what {} names cannot be read", entry.title());
            let failure = Failure::new(Class::Precondition, attempted, cause);
            return Err(failure.remedy("wait until every node is back").into());
        }
        let Some(guest) = look::read::<Option<Guest>>(world, Resource::Guest(entry.vmid)).await? else { continue };
        let own = guest.disks.iter().filter(|(_, disk)| names(&disk.volid, &volume.volid));
        found.extend(own.map(|(key, _)| Use { guest: guest.clone(), key: key.clone(), snapshot: None }));
        found.extend(in_snapshots(world, &guest, &volume.volid).await?);
    }
    Ok(found)
}

async fn in_snapshots(world: &dyn World, guest: &Guest, volid: &str) -> Result<Vec<Use>, Unreadable> {
    let all: Option<Snapshots> = look::read(world, Resource::GuestSnapshots(guest.vmid)).await?;
    let mut found = Vec::new();
    for name in all.into_iter().flat_map(|all| all.list.into_keys()) {
        let path = format!("/nodes/{}/{}/{}/config", seg(&guest.node), guest.kind, guest.vmid);
        let config = look::api(world, path, &[("snapshot", &name)]).await?;
        let lines = config.as_object().into_iter().flatten();
        let holds = |key: &str| is_disk(guest.kind, key) || key == "vmstate";
        let own = lines.filter(|(key, line)| holds(key) && names(&disk(&loose::plain(line)).volid, volid));
        let one = |key: &String| Use { guest: guest.clone(), key: key.clone(), snapshot: Some(name.clone()) };
        found.extend(own.map(|(key, _)| one(key)));
    }
    Ok(found)
}
