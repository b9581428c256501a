//! `GET /cluster/status`, `/cluster/nextid`.

use crate::clients::proxmox::{Answer, ProxmoxError, Site};
use crate::model::ids::{NodeName, Vmid};

/// The cluster itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterInfo {
    pub name: String,
    pub nodes: u64,
    pub quorate: bool,
    /// Counts changes of the membership configuration.
    pub version: Option<u64>,
}

/// A member, as the node that answers sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterNode {
    pub name: NodeName,
    pub nodeid: Option<u64>,
    pub ip: Option<String>,
    pub online: bool,
    /// Whether this is the node that answered.
    pub local: bool,
}

/// Membership and quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterStatus {
    /// `None` on a node that is in no cluster.
    pub cluster: Option<ClusterInfo>,
    pub nodes: Vec<ClusterNode>,
}

impl ClusterStatus {
    /// A node alone is always quorate.
    pub fn is_quorate(&self) -> bool {
        self.cluster.as_ref().is_none_or(|c| c.quorate)
    }

    fn read(answer: &Answer) -> Result<Self, ProxmoxError> {
        let mut status = Self { cluster: None, nodes: Vec::new() };
        for row in answer.rows()? {
            match row.text("type")?.as_str() {
                "cluster" => {
                    status.cluster = Some(ClusterInfo {
                        name: row.text("name")?,
                        nodes: row.uint("nodes")?,
                        quorate: row.flag("quorate")?,
                        version: row.opt_uint("version")?,
                    });
                }
                "node" => status.nodes.push(ClusterNode {
                    name: row.text("name")?.into(),
                    nodeid: row.opt_uint("nodeid")?,
                    ip: row.opt_text("ip")?,
                    online: row.flag("online")?,
                    local: row.flag("local")?,
                }),
                _ => {}
            }
        }
        Ok(status)
    }
}

impl Site {
    pub async fn cluster_status(&self) -> Result<ClusterStatus, ProxmoxError> {
        ClusterStatus::read(&self.get("/cluster/status", &[]).await?)
    }

    /// A VMID that is free now, the lowest in the datacenter's range. No reservation: whoever creates first has it.
    pub async fn next_id(&self) -> Result<Vmid, ProxmoxError> {
        let answer = self.get("/cluster/nextid", &[]).await?;
        let id = crate::clients::proxmox::loose::as_text(&answer.data).and_then(|text| text.parse().ok());
        id.ok_or_else(|| answer.shape("a VMID"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{answer, recorded};
    use super::*;
    use serde_json::json;

    #[test]
    fn a_recorded_cluster_is_read() {
        let status = ClusterStatus::read(&recorded("gp-cluster-status.json")).unwrap();
        assert!(status.is_quorate());
        assert_eq!(status.cluster.unwrap().nodes, 4);
        let local: Vec<_> = status.nodes.iter().filter(|n| n.local).map(|n| n.name.as_str()).collect();
        assert_eq!((local, status.nodes.len()), (vec!["node1"], 4));
    }

    #[test]
    fn a_single_node_is_quorate() {
        let data = json!([{"type": "node", "name": "pve", "id": "node/pve", "local": 1, "online": 1}]);
        let status = ClusterStatus::read(&answer(data)).unwrap();
        assert!(status.is_quorate() && status.cluster.is_none());
    }
}
