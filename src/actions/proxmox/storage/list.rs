//! `proxmox.storages`: the storages of each node, and how full they are.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::actions::proxmox::look;
use crate::actions::proxmox::object::{Node, NodeStorage};
use crate::actions::proxmox::resource::Resource;
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::ids::{NodeName, StorageId};
use crate::model::param::{Param, ValueType};

/// The action.
pub struct Storages {
    spec: ActionSpec,
}

impl Default for Storages {
    fn default() -> Self {
        let spec = ActionSpec::new("proxmox.storages", Effect::Read, "List storages and how full they are")
            .param(Param::new("node", ValueType::Node).help("Only of this node"))
            .param(Param::new("content", ValueType::String).help("Only those for this: images, rootdir, backup, iso, …"))
            .output(
                "storages",
                ValueType::List,
                "Maps of storage, node, type, shared, active, content, total, used, avail (bytes), used_percent; null: not known",
            )
            .output("unread", ValueType::List, "Nodes that could not be asked")
            .needs_privilege("Datastore.Audit on /storage")
            .needs_privilege("Sys.Audit on /");
        Self { spec }
    }
}

fn row(node: &NodeName, id: &StorageId, of: &NodeStorage) -> Value {
    let percent = match (of.used, of.total) {
        (Some(used), Some(total)) if total > 0 => json!((used as f64 * 1000.0 / total as f64).round() / 10.0),
        _ => Value::Null,
    };
    json!({"storage": id, "node": node, "type": of.kind, "shared": of.shared, "active": of.active, "content": of.content,
        "total": of.total, "used": of.used, "avail": of.avail, "used_percent": percent})
}

#[async_trait]
impl Action for Storages {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let only: Option<NodeName> = call.arg("node")?;
        let content: Option<String> = call.arg("content")?;
        let nodes: BTreeMap<NodeName, Node> = look::read(world, Resource::Nodes).await?;
        let (mut rows, mut unread) = (Vec::new(), Vec::new());
        for (name, node) in nodes.iter().filter(|(name, _)| only.as_ref().is_none_or(|only| only == *name)) {
            if !node.online {
                unread.push(name.clone());
                continue;
            }
            let all: BTreeMap<StorageId, NodeStorage> = look::read(world, Resource::Storages(name.clone())).await?;
            let wanted = |of: &NodeStorage| content.as_ref().is_none_or(|wanted| of.content.contains(wanted));
            rows.extend(all.iter().filter(|(_, of)| wanted(of)).map(|(id, of)| row(name, id, of)));
        }
        let summary = format!("{} storages of {} nodes", rows.len(), nodes.len() - unread.len());
        let outputs = json!({"storages": rows, "unread": unread});
        Ok(Reading { outputs, summary, guards: Vec::new(), notes: Vec::new() })
    }
}
