//! `proxmox.nodes`: the nodes, and how they are.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::json;

use crate::actions::proxmox::look;
use crate::actions::proxmox::object::Node;
use crate::actions::proxmox::resource::Resource;
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::ids::NodeName;
use crate::model::param::ValueType;

/// The action.
pub struct Nodes {
    spec: ActionSpec,
}

impl Default for Nodes {
    fn default() -> Self {
        let spec = ActionSpec::new("proxmox.nodes", Effect::Read, "List nodes and how they are")
            .output(
                "nodes",
                ValueType::List,
                "Maps of name, online, maintenance, version, memory_total, memory_used (bytes), threads, cpu_model, uptime (seconds); absent: not known",
            )
            .output("online", ValueType::List, "Names of those that are online")
            .output("offline", ValueType::List, "Names of the others")
            .needs_privilege("Sys.Audit on /");
        Self { spec }
    }
}

#[async_trait]
impl Action for Nodes {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, _: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let nodes: BTreeMap<NodeName, Node> = look::read(world, Resource::Nodes).await?;
        let names = |online: bool| nodes.values().filter(|n| n.online == online).map(|n| &n.name).collect::<Vec<_>>();
        let summary = format!("{} of {} nodes are online", names(true).len(), nodes.len());
        let outputs =
            json!({"nodes": nodes.values().collect::<Vec<_>>(), "online": names(true), "offline": names(false)});
        Ok(Reading { outputs, summary, guards: Vec::new(), notes: Vec::new() })
    }
}
