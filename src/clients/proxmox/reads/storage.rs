//! Storages: configured ones, a node's view of them, and what is in them.

use crate::clients::proxmox::{Answer, ProxmoxError, Site, seg};
use crate::model::ids::{NodeName, StorageId, Vmid};

/// A storage as a node sees it now (`GET /nodes/{node}/storage`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStorage {
    pub storage: StorageId,
    /// The plugin: `dir`, `lvmthin`, `zfspool`, `nfs`, …
    pub kind: String,
    pub content: Vec<String>,
    pub active: bool,
    pub enabled: bool,
    pub shared: bool,
    /// Bytes; absent while it is not active. Thin pools promise more than they have.
    pub avail: Option<u64>,
    pub used: Option<u64>,
    pub total: Option<u64>,
}

impl NodeStorage {
    fn list(answer: &Answer) -> Result<Vec<Self>, ProxmoxError> {
        answer.each(|row| {
            Ok(Self {
                storage: row.text("storage")?.into(),
                kind: row.text("type")?,
                content: row.texts("content")?,
                active: row.flag("active")?,
                enabled: row.opt_flag("enabled")?.unwrap_or(true),
                shared: row.flag("shared")?,
                avail: row.opt_uint("avail")?,
                used: row.opt_uint("used")?,
                total: row.opt_uint("total")?,
            })
        })
    }
}

/// A storage as configured for the site (`GET /storage`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageConfig {
    pub storage: StorageId,
    pub kind: String,
    pub content: Vec<String>,
    pub shared: bool,
    pub disabled: bool,
    /// The nodes that have it; all when empty.
    pub nodes: Vec<NodeName>,
    pub path: Option<String>,
}

impl StorageConfig {
    fn list(answer: &Answer) -> Result<Vec<Self>, ProxmoxError> {
        answer.each(|row| {
            Ok(Self {
                storage: row.text("storage")?.into(),
                kind: row.text("type")?,
                content: row.texts("content")?,
                shared: row.flag("shared")?,
                disabled: row.flag("disable")?,
                nodes: row.texts("nodes")?.into_iter().map(NodeName::from).collect(),
                path: row.opt_text("path")?,
            })
        })
    }
}

/// A volume (`GET /nodes/{node}/storage/{storage}/content`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentRow {
    pub volid: String,
    pub content: String,
    pub format: Option<String>,
    /// Bytes.
    pub size: Option<u64>,
    pub used: Option<u64>,
    /// Seconds since 1970.
    pub ctime: Option<i64>,
    /// The guest it belongs to.
    pub vmid: Option<Vmid>,
    pub parent: Option<String>,
    pub notes: Option<String>,
    pub protected: bool,
}

impl ContentRow {
    fn list(answer: &Answer) -> Result<Vec<Self>, ProxmoxError> {
        answer.each(|row| {
            // Some plugins give a VMID of 0 for volumes of nobody.
            let vmid = row.opt_text("vmid")?.and_then(|text| text.parse().ok());
            Ok(Self {
                volid: row.text("volid")?,
                content: row.opt_text("content")?.unwrap_or_default(),
                format: row.opt_text("format")?,
                size: row.opt_uint("size")?,
                used: row.opt_uint("used")?,
                ctime: row.opt_int("ctime")?,
                vmid,
                parent: row.opt_text("parent")?,
                notes: row.opt_text("notes")?,
                protected: row.flag("protected")?,
            })
        })
    }
}

impl Site {
    pub async fn node_storages(&self, node: &NodeName) -> Result<Vec<NodeStorage>, ProxmoxError> {
        NodeStorage::list(&self.get(&format!("/nodes/{}/storage", seg(node)), &[]).await?)
    }

    pub async fn storage_configs(&self) -> Result<Vec<StorageConfig>, ProxmoxError> {
        StorageConfig::list(&self.get("/storage", &[]).await?)
    }

    /// `content`: one kind only (`iso`, `import`, `images`, …).
    pub async fn storage_content(
        &self,
        node: &NodeName,
        storage: &StorageId,
        content: Option<&str>,
    ) -> Result<Vec<ContentRow>, ProxmoxError> {
        let path = format!("/nodes/{}/storage/{}/content", seg(node), seg(storage));
        let params: Vec<(&str, &str)> = content.map(|c| ("content", c)).into_iter().collect();
        ContentRow::list(&self.get(&path, &params).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{answer, recorded};
    use super::*;
    use serde_json::json;

    #[test]
    fn recorded_storages_are_read() {
        let here = NodeStorage::list(&recorded("gp-node-storage.json")).unwrap();
        assert_eq!((here[1].kind.as_str(), here[1].avail, here[1].active), ("lvmthin", Some(100_000_000_000), true));
        let all = StorageConfig::list(&recorded("gp-storage-config.json")).unwrap();
        assert_eq!(all[2].nodes, [NodeName::from("node1"), NodeName::from("node2")]);
        assert!(all[2].shared && all[0].nodes.is_empty());
        let content = ContentRow::list(&recorded("gp-storage-content.json")).unwrap();
        assert_eq!((content[0].content.as_str(), content[0].size), ("iso", Some(654_311_424)));
    }

    #[test]
    fn older_rows_have_a_text_vmid() {
        let rows = json!([{"volid": "l:vm-100-disk-0", "vmid": "100", "size": "5", "content": "images"}]);
        assert_eq!(ContentRow::list(&answer(rows)).unwrap()[0].vmid, Some(Vmid(100)));
    }
}
