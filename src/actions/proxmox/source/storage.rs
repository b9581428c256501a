//! Storages of a node, and what is on them, and the snapshots of guests.

use std::collections::BTreeMap;

use super::ProxmoxSource;
use crate::actions::proxmox::object::{NodeStorage, Snapshot, Snapshots, Volume};
use crate::clients::proxmox::{ContentRow, NodeStorage as StorageRow};
use crate::model::failure::Failure;
use crate::model::ids::{NodeName, StorageId, Vmid};

impl ProxmoxSource {
    pub(super) async fn storages(&self, node: &NodeName) -> Result<BTreeMap<StorageId, NodeStorage>, Failure> {
        let rows = self.site.node_storages(node).await.map_err(self.failed(format!("list the storages of {node}")))?;
        let of = |row: StorageRow| {
            let active = row.active && row.enabled;
            let (kind, shared, content) = (row.kind, row.shared, row.content);
            let (avail, used, total) = (row.avail, row.used, row.total);
            (row.storage, NodeStorage { kind, shared, active, content, avail, used, total })
        };
        Ok(rows.into_iter().map(of).collect())
    }

    pub(super) async fn content(
        &self,
        node: &NodeName,
        storage: &StorageId,
    ) -> Result<BTreeMap<String, Volume>, Failure> {
        let attempted = format!("list what is on {storage} of {node}");
        let rows = self.site.storage_content(node, storage, None).await.map_err(self.failed(attempted))?;
        let of = |row: ContentRow| {
            let (content, format, size, vmid) = (row.content, row.format, row.size, row.vmid);
            let (made, notes, protected) = (row.ctime, row.notes, row.protected);
            (row.volid.clone(), Volume { volid: row.volid, content, format, size, vmid, made, notes, protected })
        };
        Ok(rows.into_iter().map(of).collect())
    }

    pub(super) async fn guest_snapshots(&self, vmid: Vmid) -> Result<Option<Snapshots>, Failure> {
        let Some(guest) = self.guest(vmid).await? else { return Ok(None) };
        let rows = self.site.snapshots(&guest.node, guest.kind, vmid).await;
        let rows = rows.map_err(self.failed(format!("list the snapshots of {}", guest.title())))?;
        let of = |row: crate::clients::proxmox::Snapshot| {
            let description = row.description.unwrap_or_default().trim_end().to_owned();
            (row.name, Snapshot { description, parent: row.parent, taken: row.snaptime, vmstate: row.vmstate })
        };
        Ok(Some(Snapshots { guest, list: rows.into_iter().map(of).collect() }))
    }
}
