//! `GET /nodes/{node}/network`: bridges and what they are made of.

use crate::clients::proxmox::{Answer, ProxmoxError, Site, seg};
use crate::model::ids::NodeName;

/// An interface of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkRow {
    pub iface: String,
    /// `bridge`, `OVSBridge`, `bond`, `eth`, `vlan`, …
    pub kind: String,
    pub active: bool,
    pub autostart: bool,
    pub bridge_ports: Vec<String>,
    pub vlan_aware: bool,
    pub cidr: Option<String>,
    pub cidr6: Option<String>,
    pub gateway: Option<String>,
    pub mtu: Option<u64>,
}

impl NetworkRow {
    /// Whether a guest's network device can be attached to it.
    pub fn is_bridge(&self) -> bool {
        matches!(self.kind.as_str(), "bridge" | "OVSBridge")
    }

    fn list(answer: &Answer) -> Result<Vec<Self>, ProxmoxError> {
        answer.each(|row| {
            Ok(Self {
                iface: row.text("iface")?,
                kind: row.opt_text("type")?.unwrap_or_else(|| "unknown".into()),
                active: row.flag("active")?,
                autostart: row.flag("autostart")?,
                bridge_ports: row.texts("bridge_ports")?,
                vlan_aware: row.flag("bridge_vlan_aware")?,
                cidr: row.opt_text("cidr")?,
                cidr6: row.opt_text("cidr6")?,
                gateway: row.opt_text("gateway")?,
                mtu: row.opt_uint("mtu")?,
            })
        })
    }
}

impl Site {
    /// Every interface in the node's configuration; [`NetworkRow::is_bridge`] picks the bridges.
    pub async fn node_network(&self, node: &NodeName) -> Result<Vec<NetworkRow>, ProxmoxError> {
        NetworkRow::list(&self.get(&format!("/nodes/{}/network", seg(node)), &[]).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::recorded;
    use super::*;

    #[test]
    fn recorded_bridges_are_read() {
        let rows = NetworkRow::list(&recorded("gp-node-network.json")).unwrap();
        let bridge = rows.iter().find(|r| r.iface == "vmbr2").unwrap();
        assert!(bridge.is_bridge() && bridge.vlan_aware && bridge.active);
        assert_eq!((bridge.mtu, bridge.bridge_ports.as_slice()), (Some(1500), &["enp8s0".to_owned()][..]));
    }
}
