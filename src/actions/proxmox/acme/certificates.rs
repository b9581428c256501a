//! `proxmox.certificates`: what nodes have, how long it is good for, and whether the configuration has us believe it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Map, json};

use super::CUSTOM;
use super::order::{OWN, advice, certificates, now};
use crate::actions::proxmox::look;
use crate::actions::proxmox::object::{Node, ShownCertificate};
use crate::actions::proxmox::resource::Resource;
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::ids::NodeName;
use crate::model::param::{Param, ValueType};

const DAY: i64 = 86_400;

/// The action.
pub struct Certificates {
    spec: ActionSpec,
}

impl Default for Certificates {
    fn default() -> Self {
        let spec = ActionSpec::new("proxmox.certificates", Effect::Read, "List the certificates of nodes")
            .param(Param::new("node", ValueType::Node).help("Only of this node"))
            .output(
                "certificates",
                ValueType::List,
                "Maps of node, file, subject, issuer, san, notbefore, notafter (seconds since 1970), days_left, fingerprint, and in_use: whether the node's API is served with it",
            )
            .output("days_left", ValueType::Map, "Of the one in use, by node")
            .output("fingerprints", ValueType::Map, "Of the one in use, by node")
            .output("untrusted", ValueType::List, "Nodes that show new connections one that the configuration does not have us believe")
            .output("advice", ValueType::List, "What to change in the configuration")
            .output("unread", ValueType::List, "Nodes that are offline, or do not answer us themselves")
            .needs_privilege("Sys.Audit on /");
        Self { spec }
    }
}

#[async_trait]
impl Action for Certificates {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let only: Option<NodeName> = call.arg("node")?;
        let nodes: BTreeMap<NodeName, Node> = look::read(world, Resource::Nodes).await?;
        let (mut rows, mut unread, mut untrusted, mut advices) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut days, mut prints) = (Map::new(), Map::new());
        for (name, node) in nodes.iter().filter(|(name, _)| only.as_ref().is_none_or(|only| only == *name)) {
            if !node.online {
                unread.push(name.clone());
                continue;
            }
            let (all, time) = (certificates(world, name).await?, now(world, name).await?);
            let used = if all.contains_key(CUSTOM) { CUSTOM } else { OWN };
            for (file, of) in all {
                let left = (of.notafter - time).div_euclid(DAY);
                if file == used {
                    days.insert(name.to_string(), json!(left));
                    prints.insert(name.to_string(), json!(of.fingerprint));
                }
                let mut row = json!(of);
                row["node"] = json!(name);
                row["in_use"] = json!(file == used);
                row["days_left"] = json!(left);
                row["file"] = json!(file);
                rows.push(row);
            }
            let shown: Option<ShownCertificate> = match look::read(world, Resource::Shown(name.clone())).await {
                Ok(shown) => shown,
                Err(Unreadable::Failed(failure)) if look::may_pass(&failure) => {
                    unread.push(name.clone());
                    None
                }
                Err(other) => return Err(other),
            };
            if let Some(shown) = shown.filter(|shown| !shown.trusted) {
                untrusted.push(name.clone());
                advices.extend(advice(name, &shown));
            }
        }
        let soonest = days.iter().filter_map(|(name, left)| Some((left.as_i64()?, name))).min();
        let mut summary = match soonest {
            Some((left, name)) => format!("the first certificate to end is that of {name}, in {left} days"),
            None => "no node was asked".to_owned(),
        };
        advices.iter().for_each(|advice: &String| summary += &format!("; {advice}"));
        let outputs = json!({"certificates": rows, "days_left": days, "fingerprints": prints, "untrusted": untrusted,
            "advice": advices, "unread": unread});
        Ok(Reading { outputs, summary, guards: Vec::new(), notes: Vec::new() })
    }
}
