//! High availability: resources, rules (9.x), groups (8.x) and the manager's state.

use std::collections::BTreeMap;

use crate::clients::proxmox::loose::Row;
use crate::clients::proxmox::{Answer, ProxmoxError, Site};
use crate::model::ids::NodeName;

/// A guest that HA manages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaResource {
    /// `vm:100`, `ct:101`.
    pub sid: String,
    /// Requested: `started`, `stopped`, `disabled`, `ignored`.
    pub state: String,
    /// 8.x, before groups became rules.
    pub group: Option<String>,
    pub max_restart: Option<u64>,
    pub max_relocate: Option<u64>,
    pub failback: Option<bool>,
    pub digest: Option<String>,
}

/// What a rule asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HaRuleKind {
    /// Nodes with their priority (0 when none is given).
    NodeAffinity { nodes: BTreeMap<NodeName, i64>, strict: bool },
    /// Together (`positive`) or apart.
    ResourceAffinity { positive: bool },
    /// A kind this program does not know.
    Other(String),
}

/// A rule of 9.x.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaRule {
    pub rule: String,
    pub kind: HaRuleKind,
    /// Service ids.
    pub resources: Vec<String>,
    pub disabled: bool,
    pub comment: Option<String>,
}

/// A group of 8.x.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaGroup {
    pub group: String,
    pub nodes: BTreeMap<NodeName, i64>,
    pub restricted: bool,
    pub nofailback: bool,
}

/// A row of `status/current`: `quorum`, `master`, `fencing`, `lrm:<node>`, `service:<sid>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaStatusRow {
    pub id: String,
    pub kind: String,
    pub node: Option<NodeName>,
    /// Free text.
    pub status: Option<String>,
    pub sid: Option<String>,
    /// What is asked for, and what HA makes of it.
    pub request_state: Option<String>,
    pub state: Option<String>,
    pub crm_state: Option<String>,
}

/// A node to HA.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HaNode {
    /// The CRM's: `online`, `maintenance`, `unknown`, `fence`, `gone`.
    pub state: Option<String>,
    /// Whether maintenance is asked for; the state follows at the CRM's next round.
    pub maintenance_requested: bool,
    /// The LRM's: `active`, `maintenance`, `restart`, …
    pub lrm_mode: Option<String>,
    pub lrm_state: Option<String>,
    /// Seconds since 1970 when the LRM last wrote.
    pub lrm_timestamp: Option<i64>,
}

/// A service to the CRM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaService {
    pub node: Option<NodeName>,
    pub state: String,
    /// Where it is on its way to.
    pub target: Option<NodeName>,
    /// Where it goes back to when that node leaves maintenance.
    pub maintenance_node: Option<NodeName>,
    pub running: bool,
}

/// The structured truth behind `status/current`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HaManagerStatus {
    /// `None` where HA was never used.
    pub master_node: Option<NodeName>,
    pub timestamp: Option<i64>,
    pub quorate: bool,
    pub nodes: BTreeMap<NodeName, HaNode>,
    pub services: BTreeMap<String, HaService>,
}

impl HaResource {
    fn read(row: &Row<'_>) -> Result<Self, ProxmoxError> {
        let state = row.opt_text("state")?.unwrap_or_else(|| "started".into());
        Ok(Self {
            sid: row.text("sid")?,
            // "enabled" is an older word for the same.
            state: if state == "enabled" { "started".into() } else { state },
            group: row.opt_text("group")?,
            max_restart: row.opt_uint("max_restart")?,
            max_relocate: row.opt_uint("max_relocate")?,
            failback: row.opt_flag("failback")?,
            digest: row.opt_text("digest")?,
        })
    }
}

/// `pve1:2,pve2`: nodes with priorities.
fn priorities(row: &Row<'_>, field: &str) -> Result<BTreeMap<NodeName, i64>, ProxmoxError> {
    row.texts(field)?
        .iter()
        .map(|item| match item.split_once(':') {
            None => Ok((NodeName::from(item.as_str()), 0)),
            Some((node, priority)) => match priority.parse() {
                Ok(priority) => Ok((NodeName::from(node), priority)),
                Err(_) => Err(row.error(field, "NODE or NODE:PRIORITY, joined by commas")),
            },
        })
        .collect()
}

impl HaRule {
    fn read(row: &Row<'_>) -> Result<Self, ProxmoxError> {
        let kind = match row.text("type")?.as_str() {
            "node-affinity" => {
                HaRuleKind::NodeAffinity { nodes: priorities(row, "nodes")?, strict: row.flag("strict")? }
            }
            "resource-affinity" => {
                HaRuleKind::ResourceAffinity { positive: row.text("affinity")?.as_str() == "positive" }
            }
            other => HaRuleKind::Other(other.to_owned()),
        };
        Ok(Self {
            rule: row.text("rule")?,
            kind,
            resources: row.texts("resources")?,
            disabled: row.flag("disable")?,
            comment: row.opt_text("comment")?,
        })
    }
}

fn group(row: &Row<'_>) -> Result<HaGroup, ProxmoxError> {
    Ok(HaGroup {
        group: row.text("group")?,
        nodes: priorities(row, "nodes")?,
        restricted: row.flag("restricted")?,
        nofailback: row.flag("nofailback")?,
    })
}

fn status_row(row: &Row<'_>) -> Result<HaStatusRow, ProxmoxError> {
    Ok(HaStatusRow {
        id: row.text("id")?,
        kind: row.text("type")?,
        node: row.opt_text("node")?.map(NodeName::from),
        status: row.opt_text("status")?,
        sid: row.opt_text("sid")?,
        request_state: row.opt_text("request_state")?,
        state: row.opt_text("state")?,
        crm_state: row.opt_text("crm_state")?,
    })
}

impl HaManagerStatus {
    fn read(answer: &Answer) -> Result<Self, ProxmoxError> {
        let row = answer.row()?;
        let mut status = Self {
            quorate: row.opt_object("quorum")?.map(|q| q.flag("quorate")).transpose()?.unwrap_or(false),
            ..Self::default()
        };
        if let Some(manager) = row.opt_object("manager_status")? {
            status.manager(&manager)?;
        }
        for (node, lrm) in row.map("lrm_status")? {
            let entry = status.nodes.entry(node.into()).or_default();
            entry.lrm_mode = lrm.opt_text("mode")?;
            entry.lrm_state = lrm.opt_text("state")?;
            entry.lrm_timestamp = lrm.opt_int("timestamp")?;
        }
        Ok(status)
    }

    fn manager(&mut self, manager: &Row<'_>) -> Result<(), ProxmoxError> {
        self.master_node = manager.opt_text("master_node")?.filter(|n| !n.is_empty()).map(NodeName::from);
        self.timestamp = manager.opt_int("timestamp")?;
        if let Some(states) = manager.opt_object("node_status")? {
            for node in states.fields().keys() {
                self.nodes.entry(node.as_str().into()).or_default().state = states.opt_text(node)?;
            }
        }
        for (node, request) in manager.map("node_request")? {
            self.nodes.entry(node.into()).or_default().maintenance_requested = request.flag("maintenance")?;
        }
        for (sid, service) in manager.map("service_status")? {
            let service = HaService {
                node: service.opt_text("node")?.map(NodeName::from),
                state: service.text("state")?,
                target: service.opt_text("target")?.map(NodeName::from),
                maintenance_node: service.opt_text("maintenance_node")?.map(NodeName::from),
                running: service.flag("running")?,
            };
            self.services.insert(sid, service);
        }
        Ok(())
    }
}

impl Site {
    pub async fn ha_resources(&self) -> Result<Vec<HaResource>, ProxmoxError> {
        self.get("/cluster/ha/resources", &[]).await?.each(HaResource::read)
    }

    /// `None` on servers before 9.0, which have groups; where the version is known, they are not even asked.
    pub async fn ha_rules(&self) -> Result<Option<Vec<HaRule>>, ProxmoxError> {
        if self.is_before(9) {
            return Ok(None);
        }
        match self.get("/cluster/ha/rules", &[]).await {
            Err(ProxmoxError::NotImplemented { .. }) => Ok(None),
            answer => answer?.each(HaRule::read).map(Some),
        }
    }

    /// `None` where groups have become rules.
    pub async fn ha_groups(&self) -> Result<Option<Vec<HaGroup>>, ProxmoxError> {
        match self.get("/cluster/ha/groups", &[]).await {
            Err(ProxmoxError::Server { message, .. }) if message.contains("migrated to rules") => Ok(None),
            Err(ProxmoxError::NotImplemented { .. }) => Ok(None),
            answer => answer?.each(group).map(Some),
        }
    }

    pub async fn ha_status(&self) -> Result<Vec<HaStatusRow>, ProxmoxError> {
        self.get("/cluster/ha/status/current", &[]).await?.each(status_row)
    }

    pub async fn ha_manager_status(&self) -> Result<HaManagerStatus, ProxmoxError> {
        HaManagerStatus::read(&self.get("/cluster/ha/status/manager_status", &[]).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{answer, recorded};
    use super::*;
    use serde_json::json;

    #[test]
    fn recorded_maintenance_is_seen() {
        let status = HaManagerStatus::read(&recorded("pp-ha-manager-status-maintenance.json")).unwrap();
        assert!(status.quorate, "the text \"1\"");
        let c1 = &status.nodes["pve-node-c1"];
        assert!(c1.maintenance_requested);
        assert_eq!((c1.state.as_deref(), c1.lrm_mode.as_deref()), (Some("maintenance"), Some("maintenance")));
        assert!(!status.nodes["pve-node-a1"].maintenance_requested);
    }

    #[test]
    fn recorded_status_rows_are_read() {
        let rows = recorded("pp-ha-status-current-maintenance.json").each(status_row).unwrap();
        let service = rows.iter().find(|r| r.sid.as_deref() == Some("vm:100")).unwrap();
        assert_eq!(
            (service.state.as_deref(), service.node.as_ref().unwrap().as_str()),
            (Some("started"), "pve-node-a2")
        );
        assert_eq!(rows.iter().filter(|r| r.kind == "lrm").count(), 6);
    }

    #[test]
    fn rules_of_both_kinds_are_read() {
        let rules = recorded("fs-ha-rules.json").each(HaRule::read).unwrap();
        assert_eq!(rules[0].resources, ["vm:301", "vm:302"]);
        assert_eq!(rules[0].kind, HaRuleKind::ResourceAffinity { positive: false });
        let data = json!([{"rule": "r", "type": "node-affinity", "nodes": "pve1:2,pve2", "strict": 1,
            "resources": "vm:1"}]);
        let rules = answer(data).each(HaRule::read).unwrap();
        let nodes = BTreeMap::from([("pve1".into(), 2), ("pve2".into(), 0)]);
        assert_eq!(rules[0].kind, HaRuleKind::NodeAffinity { nodes, strict: true });
    }

    #[test]
    fn ha_that_was_never_used_is_empty() {
        let data = json!({"manager_status": {}, "lrm_status": {}, "quorum": {"node": "pve1", "quorate": "1"}});
        let status = HaManagerStatus::read(&answer(data)).unwrap();
        assert!(status.master_node.is_none() && status.services.is_empty());
    }
}
