//! `GET /nodes`.

use crate::clients::proxmox::loose::Row;
use crate::clients::proxmox::{Answer, ProxmoxError, Site};
use crate::model::ids::NodeName;

/// A node in a list. Numbers are absent for a node that is offline, or without Sys.Audit.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeRow {
    pub node: NodeName,
    /// `online`, `offline`, `unknown`; stays `online` in HA maintenance.
    pub status: String,
    /// Share of all cores in use, 0 to 1.
    pub cpu: Option<f64>,
    pub maxcpu: Option<u64>,
    /// Bytes.
    pub mem: Option<u64>,
    pub maxmem: Option<u64>,
    /// Root file system, bytes.
    pub disk: Option<u64>,
    pub maxdisk: Option<u64>,
    /// Seconds.
    pub uptime: Option<u64>,
    /// As Proxmox writes it; only in `/nodes`.
    pub ssl_fingerprint: Option<String>,
    /// HA's state of the node (`online`, `maintenance`, `fence`, …); only in `/cluster/resources` and while HA runs.
    pub hastate: Option<String>,
}

impl NodeRow {
    pub fn is_online(&self) -> bool {
        self.status == "online"
    }

    pub(super) fn read(row: &Row<'_>) -> Result<Self, ProxmoxError> {
        Ok(Self {
            node: row.text("node")?.into(),
            status: row.opt_text("status")?.unwrap_or_else(|| "unknown".into()),
            cpu: row.opt_float("cpu")?,
            maxcpu: row.opt_uint("maxcpu")?,
            mem: row.opt_uint("mem")?,
            maxmem: row.opt_uint("maxmem")?,
            disk: row.opt_uint("disk")?,
            maxdisk: row.opt_uint("maxdisk")?,
            uptime: row.opt_uint("uptime")?,
            ssl_fingerprint: row.opt_text("ssl_fingerprint")?,
            hastate: row.opt_text("hastate")?,
        })
    }

    fn list(answer: &Answer) -> Result<Vec<Self>, ProxmoxError> {
        answer.each(Self::read)
    }
}

impl Site {
    pub async fn nodes(&self) -> Result<Vec<NodeRow>, ProxmoxError> {
        NodeRow::list(&self.get("/nodes", &[]).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::recorded;
    use super::*;
    use crate::model::ids::Fingerprint;

    #[test]
    fn recorded_nodes_are_read() {
        let nodes = NodeRow::list(&recorded("gp-nodes.json")).unwrap();
        assert_eq!(nodes.len(), 4);
        assert!(nodes.iter().all(NodeRow::is_online));
        let node1 = nodes.iter().find(|n| n.node.as_str() == "node1").unwrap();
        assert_eq!((node1.maxmem, node1.maxcpu), (Some(33_568_288_768), Some(12)));
        assert!(node1.ssl_fingerprint.as_deref().unwrap().parse::<Fingerprint>().is_ok());
    }
}
