//! The site and its nodes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::ProxmoxSource;
use super::each::each;
use crate::actions::proxmox::object::{Node, SiteInfo};
use crate::clients::proxmox::{NodeRow, NodeStatus};
use crate::model::failure::{Class, Failure};
use crate::model::ids::NodeName;

/// `9.2.11` of `pve-manager/9.2.11/hash`.
pub(super) fn version(pveversion: &str) -> String {
    pveversion.split('/').nth(1).unwrap_or(pveversion).to_owned()
}

fn node(row: &NodeRow, status: Option<&NodeStatus>) -> Node {
    Node {
        name: row.node.clone(),
        online: row.is_online(),
        maintenance: row.hastate.as_deref() == Some("maintenance"),
        version: status.and_then(|s| s.pveversion.as_deref()).map(version),
        memory_total: status.map(|s| s.memory.total).or(row.maxmem),
        memory_used: status.map(|s| s.memory.used).or(row.mem),
        threads: status.and_then(|s| s.cpus).or(row.maxcpu),
        cpu_model: status.and_then(|s| s.cpu_model.clone()),
        uptime: status.map(|s| s.uptime).or(row.uptime),
    }
}

impl ProxmoxSource {
    pub(super) async fn site_info(&self) -> Result<SiteInfo, Failure> {
        let version = self.site.version().await.map_err(self.failed("read the version"))?;
        let status = self.site.cluster_status().await.map_err(self.failed("read the cluster's status"))?;
        let name = status.cluster.as_ref().map_or_else(|| self.site.name().to_owned(), |c| c.name.clone());
        let quorate = status.is_quorate();
        let nodes = status.nodes.into_iter().map(|n| n.name).collect();
        Ok(SiteInfo { name, version: version.version, quorate, nodes })
    }

    async fn node_rows(&self) -> Result<Vec<NodeRow>, Failure> {
        let rows = self.listing().await.map_err(self.failed("list the nodes"))?.nodes.clone();
        if rows.is_empty() {
            let cause = "the server lists no node at all";
            return Err(Failure::new(Class::Failed, "list the nodes", cause));
        }
        Ok(rows)
    }

    /// The node's row with its own report; one that is online and does not answer has the row's figures alone.
    async fn reported(&self, row: NodeRow) -> Node {
        let status = if row.is_online() { self.site.node_status(&row.node).await } else { return node(&row, None) };
        match status {
            Ok(status) => node(&row, Some(&status)),
            Err(error) => {
                tracing::debug!(node = %row.node, %error, "no report");
                node(&row, None)
            }
        }
    }

    pub(super) async fn nodes(&self) -> Result<BTreeMap<NodeName, Node>, Failure> {
        let nodes = each(self.node_rows().await?, |row| {
            let source = self.clone();
            async move { Ok(source.reported(row).await) }
        });
        Ok(nodes.await?.into_iter().map(|n| (n.name.clone(), n)).collect())
    }

    pub(super) async fn node(&self, name: &NodeName) -> Result<Option<Node>, Failure> {
        let row = self.node_rows().await?.into_iter().find(|row| &row.node == name);
        Ok(match row {
            Some(row) => Some(self.reported(row).await),
            None => None,
        })
    }

    pub(super) async fn node_memory(&self, name: &NodeName) -> Result<Value, Failure> {
        let attempted = format!("read the memory of {name}");
        let memory = self.site.node_status(name).await.map_err(self.failed(attempted))?.memory;
        let free = memory.total.saturating_sub(memory.used);
        Ok(json!({"total": memory.total, "used": memory.used, "free": free}))
    }

    /// Nodes that are up, by name.
    pub(in crate::actions) async fn online_nodes(&self) -> Result<Vec<NodeName>, Failure> {
        let mut names: Vec<NodeName> =
            self.node_rows().await?.into_iter().filter(NodeRow::is_online).map(|r| r.node).collect();
        names.sort();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_in_the_middle() {
        assert_eq!(version("pve-manager/9.2.11/0123abcd"), "9.2.11");
        assert_eq!(version("9.2.11"), "9.2.11");
    }

    #[test]
    fn what_is_not_known_is_absent() {
        let row: NodeRow = NodeRow {
            node: "pve2".into(),
            status: "offline".into(),
            cpu: None,
            maxcpu: None,
            mem: None,
            maxmem: None,
            disk: None,
            maxdisk: None,
            uptime: None,
            ssl_fingerprint: None,
            hastate: Some("maintenance".into()),
        };
        let value = serde_json::to_value(node(&row, None)).unwrap();
        assert_eq!(value, json!({"name": "pve2", "online": false, "maintenance": true}));
    }
}
