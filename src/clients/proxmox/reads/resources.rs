//! `GET /cluster/resources`: everything at a glance. Numbers and status are up to 10 s old (pvestatd's round); node,
//! lock, tags, pool and HA state are live. `status/current` has the truth about one guest.

use crate::clients::proxmox::loose::{Row, split_list};
use crate::clients::proxmox::reply::{self, Reply};
use crate::clients::proxmox::{At, NodeRow, ProxmoxError, Site};
use crate::model::ids::{GuestKind, NodeName, StorageId, Vmid};

/// A guest in the list.
#[derive(Debug, Clone, PartialEq)]
pub struct GuestRow {
    pub vmid: Vmid,
    pub kind: GuestKind,
    pub node: NodeName,
    /// `running`, `stopped`, `unknown`; a paused VM is `running`.
    pub status: String,
    /// Absent right after creation.
    pub name: Option<String>,
    pub template: bool,
    pub tags: Vec<String>,
    pub pool: Option<String>,
    pub lock: Option<String>,
    /// HA's state of the guest, if HA manages it.
    pub hastate: Option<String>,
    /// Share of its own cores in use, 0 to 1.
    pub cpu: Option<f64>,
    pub maxcpu: Option<f64>,
    /// Bytes.
    pub mem: Option<u64>,
    pub maxmem: Option<u64>,
    /// What the node spends on it, bytes; 9.x.
    pub memhost: Option<u64>,
    pub disk: Option<u64>,
    pub maxdisk: Option<u64>,
    /// Seconds.
    pub uptime: Option<u64>,
}

/// A storage as one node sees it; a shared one has a row for each node.
#[derive(Debug, Clone, PartialEq)]
pub struct StorageRow {
    pub storage: StorageId,
    pub node: NodeName,
    /// `available` or `unknown`.
    pub status: String,
    pub plugintype: Option<String>,
    pub shared: bool,
    pub content: Vec<String>,
    /// Bytes used and in all.
    pub disk: Option<u64>,
    pub maxdisk: Option<u64>,
}

/// All rows; kinds that are not used here (pools, networks) are left out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Resources {
    pub guests: Vec<GuestRow>,
    pub nodes: Vec<NodeRow>,
    pub storages: Vec<StorageRow>,
}

impl Resources {
    /// Row by row: of a site of ten thousand guests the whole answer would be forty megabytes as a tree.
    fn read(at: At, reply: &Reply) -> Result<Self, ProxmoxError> {
        let mut all = Self::default();
        reply::rows(&at, reply, &mut |place, row| all.add(&Row::new(&at, format!("data[{place}]"), row)?))?;
        all.guests.sort_by_key(|g| g.vmid);
        Ok(all)
    }

    fn add(&mut self, row: &Row<'_>) -> Result<(), ProxmoxError> {
        match row.text("type")?.as_str() {
            "qemu" => self.guests.push(guest(row, GuestKind::Qemu)?),
            "lxc" => self.guests.push(guest(row, GuestKind::Lxc)?),
            "node" => self.nodes.push(NodeRow::read(row)?),
            "storage" => self.storages.push(storage(row)?),
            _ => {}
        }
        Ok(())
    }

    pub fn guest(&self, vmid: Vmid) -> Option<&GuestRow> {
        self.guests.binary_search_by_key(&vmid, |g| g.vmid).ok().map(|i| &self.guests[i])
    }
}

fn guest(row: &Row<'_>, kind: GuestKind) -> Result<GuestRow, ProxmoxError> {
    Ok(GuestRow {
        vmid: row.parsed("vmid", "a VMID")?,
        kind,
        node: row.text("node")?.into(),
        status: row.opt_text("status")?.unwrap_or_else(|| "unknown".into()),
        name: row.opt_text("name")?,
        template: row.flag("template")?,
        tags: row.opt_text("tags")?.map(|t| split_list(&t)).unwrap_or_default(),
        pool: row.opt_text("pool")?,
        lock: row.opt_text("lock")?,
        hastate: row.opt_text("hastate")?,
        cpu: row.opt_float("cpu")?,
        maxcpu: row.opt_float("maxcpu")?,
        mem: row.opt_uint("mem")?,
        maxmem: row.opt_uint("maxmem")?,
        memhost: row.opt_uint("memhost")?,
        disk: row.opt_uint("disk")?,
        maxdisk: row.opt_uint("maxdisk")?,
        uptime: row.opt_uint("uptime")?,
    })
}

fn storage(row: &Row<'_>) -> Result<StorageRow, ProxmoxError> {
    Ok(StorageRow {
        storage: row.text("storage")?.into(),
        node: row.text("node")?.into(),
        status: row.opt_text("status")?.unwrap_or_else(|| "unknown".into()),
        plugintype: row.opt_text("plugintype")?,
        shared: row.flag("shared")?,
        content: row.texts("content")?,
        disk: row.opt_uint("disk")?,
        maxdisk: row.opt_uint("maxdisk")?,
    })
}

impl Site {
    /// Lists only what the user may see: empty for a user without rights. [`Site::permissions`] tells that apart.
    pub async fn resources(&self) -> Result<Resources, ProxmoxError> {
        self.get_by("/cluster/resources", Resources::read).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::recorded;
    use super::*;
    use crate::clients::proxmox::{Answer, Verb};
    use serde_json::json;

    fn read(status: u16, body: &str) -> Result<Resources, ProxmoxError> {
        let at = At { verb: Verb::Get, path: "/cluster/resources".into(), node: "pve1".into() };
        Resources::read(at, &Reply { status, reason: None, body: body.as_bytes().to_vec() })
    }

    fn of(answer: Answer) -> Result<Resources, ProxmoxError> {
        read(200, &json!({"data": answer.data, "total": 1}).to_string())
    }

    #[test]
    fn a_body_of_another_shape_is_an_error_and_null_an_empty_list() {
        assert_eq!(read(200, "{\"data\": null}").unwrap(), Resources::default());
        assert_eq!(read(200, "{}").unwrap(), Resources::default());
        for body in ["", "[]", "null", "{\"data\": {}}", "{\"data\": [", "{\"data\": []} x", "<html>"] {
            let error = read(200, body).unwrap_err().to_string();
            assert!(error.contains("the body: expected an object with a list"), "{body}: {error}");
        }
        assert!(matches!(read(401, "").unwrap_err(), ProxmoxError::Unauthorized { .. }));
        assert!(read(200, "{\"data\": [1]}").unwrap_err().to_string().contains("data[0]: expected an object"));
    }

    #[test]
    fn recorded_resources_are_read() {
        let all = of(recorded("gp-cluster-resources.json")).unwrap();
        let guest = all.guest(Vmid(102)).unwrap();
        assert_eq!((guest.name.as_deref(), guest.status.as_str()), (Some("machine-test"), "stopped"));
        assert_eq!(guest.tags, ["go-proxmox+cloud-init"]);
        assert!(!all.nodes.is_empty() && all.nodes.iter().all(|n| n.hastate.is_none()));
        let zfs = all.storages.iter().find(|s| s.storage.as_str() == "local-zfs").unwrap();
        assert_eq!((zfs.content.len(), zfs.shared), (2, false));
    }

    #[test]
    fn an_older_container_has_text_numbers() {
        let recorded = recorded("tg-lxc-list-legacy.json");
        let mut row = recorded.data[0].clone();
        row["node"] = json!("pve1");
        let all = read(200, &json!({"data": [row]}).to_string()).unwrap();
        assert_eq!((all.guests[0].vmid, all.guests[0].disk), (Vmid(111), Some(744_189_952)));
    }

    #[test]
    fn a_wrong_row_is_named() {
        let error = read(200, r#"{"data": [{"type": "qemu", "vmid": "abc"}]}"#).unwrap_err();
        assert!(error.to_string().contains(r#"data[0].vmid: expected a VMID, got "abc""#), "{error}");
    }
}
