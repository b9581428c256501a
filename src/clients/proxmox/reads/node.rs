//! `GET /nodes/{node}/status`.

use crate::clients::proxmox::loose::Row;
use crate::clients::proxmox::{Answer, ProxmoxError, Site, seg};
use crate::model::ids::NodeName;

/// Bytes in all, used and free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    pub total: u64,
    pub used: u64,
    pub free: u64,
}

impl Amount {
    fn read(row: &Row<'_>) -> Result<Self, ProxmoxError> {
        let free = row.opt_uint("free")?.or(row.opt_uint("avail")?).unwrap_or_default();
        Ok(Self { total: row.uint("total")?, used: row.uint("used")?, free })
    }
}

/// A node as it sees itself.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeStatus {
    /// Share of all cores in use, 0 to 1.
    pub cpu: Option<f64>,
    /// Threads.
    pub cpus: Option<u64>,
    pub cpu_model: Option<String>,
    /// The physical memory with what is really used: includes caches of ZFS, excludes the page cache.
    pub memory: Amount,
    pub swap: Amount,
    pub rootfs: Amount,
    /// 1, 5 and 15 minutes.
    pub loadavg: Vec<f64>,
    /// Seconds; starts anew with each boot.
    pub uptime: u64,
    pub kversion: Option<String>,
    /// `pve-manager/9.2.11/hash`
    pub pveversion: Option<String>,
}

impl NodeStatus {
    fn read(answer: &Answer) -> Result<Self, ProxmoxError> {
        let row = answer.row()?;
        let cpuinfo = row.opt_object("cpuinfo")?;
        let optional = |field: &str| -> Result<Amount, ProxmoxError> {
            Ok(row.opt_object(field)?.map(|r| Amount::read(&r)).transpose()?.unwrap_or_default())
        };
        let loads = row.texts("loadavg")?;
        let loadavg: Result<Vec<f64>, _> = loads.iter().map(|t| t.parse::<f64>()).collect();
        Ok(Self {
            cpu: row.opt_float("cpu")?,
            cpus: cpuinfo.as_ref().map(|c| c.opt_uint("cpus")).transpose()?.flatten(),
            cpu_model: cpuinfo.as_ref().map(|c| c.opt_text("model")).transpose()?.flatten(),
            memory: Amount::read(&row.object("memory")?)?,
            swap: optional("swap")?,
            rootfs: optional("rootfs")?,
            loadavg: loadavg.map_err(|_| row.error("loadavg", "a list of numbers"))?,
            uptime: row.uint("uptime")?,
            kversion: row.opt_text("kversion")?,
            pveversion: row.opt_text("pveversion")?,
        })
    }
}

impl Site {
    /// A node's clock: seconds since 1970. Needs Sys.Audit on it.
    pub async fn node_time(&self, node: &NodeName) -> Result<u64, ProxmoxError> {
        self.get(&format!("/nodes/{}/time", seg(node)), &[]).await?.row()?.uint("time")
    }

    pub async fn node_status(&self, node: &NodeName) -> Result<NodeStatus, ProxmoxError> {
        NodeStatus::read(&self.get(&format!("/nodes/{}/status", seg(node)), &[]).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::recorded;
    use super::*;

    #[test]
    fn a_recorded_node_is_read() {
        let status = NodeStatus::read(&recorded("gp-node-status.json")).unwrap();
        assert!(status.memory.total >= status.memory.used && status.memory.total > 1 << 30);
        assert_eq!((status.loadavg.len(), status.uptime), (3, 2_501_631));
        assert_eq!(status.pveversion.as_deref(), Some("pve-manager/7.4-16/0f39f621"));
        assert!(status.cpus.unwrap() > 1);
    }
}
