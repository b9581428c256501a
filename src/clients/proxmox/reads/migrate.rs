//! `GET …/migrate`: what stands in the way of moving a guest.
//!
//! Source: qemu-server `API2/Qemu.pm`, pve-container `API2/LXC.pm`. VMs spell with underscores, containers (9.x only)
//! with hyphens. Allowed nodes are listed whether or not they are online, in maintenance or short of memory.

use std::collections::BTreeMap;

use crate::clients::proxmox::loose::Row;
use crate::clients::proxmox::{Answer, ProxmoxError, Site, seg};
use crate::model::ids::{GuestKind, NodeName, StorageId, Vmid};

/// An HA resource that would be in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockingResource {
    pub sid: String,
    /// `resource-affinity`.
    pub cause: Option<String>,
}

/// Why a node is out of the question. Each may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NotAllowed {
    pub unavailable_storages: Vec<StorageId>,
    pub unavailable_resources: Vec<String>,
    pub blocking_ha_resources: Vec<BlockingResource>,
}

impl NotAllowed {
    fn read(row: &Row<'_>) -> Result<Self, ProxmoxError> {
        let blocking = |r: &Row<'_>| Ok(BlockingResource { sid: r.text("sid")?, cause: r.opt_text("cause")? });
        Ok(Self {
            unavailable_storages: row.texts("unavailable_storages")?.into_iter().map(StorageId::from).collect(),
            unavailable_resources: row.texts("unavailable-resources")?,
            blocking_ha_resources: row.list("blocking-ha-resources")?.iter().map(blocking).collect::<Result<_, _>>()?,
        })
    }

    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// A disk that would have to be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalDisk {
    pub volid: String,
    pub cdrom: bool,
    pub is_unused: bool,
    /// Bytes.
    pub size: Option<u64>,
}

/// The whole answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MigratePrecondition {
    pub running: bool,
    pub allowed_nodes: Vec<NodeName>,
    /// Only nodes with a reason: Proxmox lists the allowed ones, too, with an empty object.
    pub not_allowed_nodes: BTreeMap<NodeName, NotAllowed>,
    pub local_disks: Vec<LocalDisk>,
    /// `usb0`, `hostpci0`, `serial0`, …
    pub local_resources: Vec<String>,
    pub mapped_resources: Vec<String>,
    /// Mapped devices that cannot move with a running VM.
    pub mapped_not_live: Vec<String>,
    pub has_dbus_vmstate: bool,
    /// HA resources that move along.
    pub dependent_ha_resources: Vec<String>,
}

impl MigratePrecondition {
    fn read(answer: &Answer) -> Result<Self, ProxmoxError> {
        let row = answer.row()?;
        let either = |a: &'static str, b: &'static str| if row.value(a).is_some() { a } else { b };
        let mut not_allowed_nodes = BTreeMap::new();
        for (node, inner) in row.map(either("not_allowed_nodes", "not-allowed-nodes"))? {
            let why = NotAllowed::read(&inner)?;
            if !why.is_nothing() {
                not_allowed_nodes.insert(NodeName::from(node), why);
            }
        }
        let mut mapped_not_live = Vec::new();
        for (key, info) in row.map("mapped-resource-info")? {
            if !info.flag("live-migration")? {
                mapped_not_live.push(key);
            }
        }
        let allowed = row.texts(either("allowed_nodes", "allowed-nodes"))?;
        Ok(Self {
            running: row.flag("running")?,
            allowed_nodes: allowed.into_iter().map(NodeName::from).collect(),
            not_allowed_nodes,
            local_disks: row.list("local_disks")?.iter().map(local_disk).collect::<Result<_, _>>()?,
            local_resources: row.texts("local_resources")?,
            mapped_resources: row.texts("mapped-resources")?,
            mapped_not_live,
            has_dbus_vmstate: row.flag("has-dbus-vmstate")?,
            dependent_ha_resources: row.texts("dependent-ha-resources")?,
        })
    }
}

fn local_disk(row: &Row<'_>) -> Result<LocalDisk, ProxmoxError> {
    Ok(LocalDisk {
        volid: row.text("volid")?,
        cdrom: row.flag("cdrom")?,
        is_unused: row.flag("is_unused")?,
        size: row.opt_uint("size")?,
    })
}

impl Site {
    /// `None` where the server does not have the call: containers before 9.0.
    pub async fn migrate_precondition(
        &self,
        node: &NodeName,
        kind: GuestKind,
        vmid: Vmid,
    ) -> Result<Option<MigratePrecondition>, ProxmoxError> {
        if kind == GuestKind::Lxc && self.is_before(9) {
            return Ok(None);
        }
        match self.get(&format!("/nodes/{}/{kind}/{vmid}/migrate", seg(node)), &[]).await {
            Err(ProxmoxError::NotImplemented { .. }) if kind == GuestKind::Lxc => Ok(None),
            answer => MigratePrecondition::read(&answer?).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{answer, recorded};
    use super::*;
    use serde_json::json;

    #[test]
    fn a_recorded_vm_with_local_things_is_read() {
        let got = MigratePrecondition::read(&recorded("fs-qemu-migrate-precond.json")).unwrap();
        assert!(got.running && got.allowed_nodes.is_empty());
        assert_eq!(got.local_resources, ["usb0"]);
        assert_eq!(got.local_disks.iter().filter(|d| d.cdrom).count(), 1);
        let why = &got.not_allowed_nodes[&NodeName::from("FwNode")];
        assert_eq!(why.unavailable_storages, [StorageId::from("docker-data")]);
    }

    #[test]
    fn true_booleans_and_blocking_resources_are_read() {
        let got = MigratePrecondition::read(&recorded("hand-qemu-migrate-precond-9x.json")).unwrap();
        assert!(got.running && got.has_dbus_vmstate);
        assert_eq!(got.not_allowed_nodes[&NodeName::from("node4")].blocking_ha_resources[0].sid, "vm:101");
    }

    #[test]
    fn containers_use_hyphens_and_empty_reasons_are_none() {
        let data = json!({"running": "1", "allowed-nodes": ["pve2"], "not-allowed-nodes": {"pve2": {}, "pve3":
            {"blocking-ha-resources": [{"sid": "ct:9", "cause": "resource-affinity"}]}}});
        let got = MigratePrecondition::read(&answer(data)).unwrap();
        assert_eq!(got.not_allowed_nodes.keys().map(NodeName::as_str).collect::<Vec<_>>(), ["pve3"]);
        assert_eq!(got.allowed_nodes, [NodeName::from("pve2")]);
        let empty = json!({"running": 0, "allowed_nodes": ["pve2"], "not_allowed_nodes": []});
        assert!(MigratePrecondition::read(&answer(empty)).unwrap().not_allowed_nodes.is_empty());
    }
}
