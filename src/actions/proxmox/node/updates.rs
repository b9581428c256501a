//! `proxmox.updates`: which packages of nodes could be updated, as their last `apt update` knew it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::actions::proxmox::look;
use crate::actions::proxmox::object::Node;
use crate::actions::proxmox::resource::Resource;
use crate::clients::proxmox::seg;
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::ids::NodeName;
use crate::model::param::{Param, ValueType};

/// The action.
pub struct Updates {
    spec: ActionSpec,
}

impl Default for Updates {
    fn default() -> Self {
        let spec = ActionSpec::new("proxmox.updates", Effect::Read, "List packages that can be updated")
            .param(Param::new("node", ValueType::Node).help("Only of this node"))
            .output("updates", ValueType::List, "Maps of node, package, installed, available, origin")
            .output("counts", ValueType::Map, "How many, by node")
            .output("unread", ValueType::List, "Nodes that could not be asked")
            .needs_privilege("Sys.Audit on /")
            .needs_privilege("Sys.Modify on /nodes (Proxmox asks for it, although nothing is changed)");
        Self { spec }
    }
}

fn row(node: &NodeName, package: &Value) -> Value {
    json!({"node": node, "package": package["Package"], "installed": package["OldVersion"],
        "available": package["Version"], "origin": package["Origin"]})
}

#[async_trait]
impl Action for Updates {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let only: Option<NodeName> = call.arg("node")?;
        let nodes: BTreeMap<NodeName, Node> = look::read(world, Resource::Nodes).await?;
        let (mut rows, mut counts, mut unread) = (Vec::new(), serde_json::Map::new(), Vec::new());
        for (name, node) in nodes.iter().filter(|(name, _)| only.as_ref().is_none_or(|only| only == *name)) {
            if !node.online {
                unread.push(name.clone());
                continue;
            }
            let answer = look::api(world, format!("/nodes/{}/apt/update", seg(name)), &[]).await?;
            let own: Vec<Value> = answer.as_array().into_iter().flatten().map(|package| row(name, package)).collect();
            counts.insert(name.to_string(), json!(own.len()));
            rows.extend(own);
        }
        let summary = format!("{} packages can be updated", rows.len());
        let outputs = json!({"updates": rows, "counts": counts, "unread": unread});
        Ok(Reading { outputs, summary, guards: Vec::new(), notes: Vec::new() })
    }
}
