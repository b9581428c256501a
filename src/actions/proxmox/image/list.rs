//! `proxmox.images`: what can be installed or imported from.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::json;

use crate::actions::proxmox::look::read;
use crate::actions::proxmox::object::{NodeStorage, Volume};
use crate::actions::proxmox::resource::Resource;
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::ids::{NodeName, StorageId};
use crate::model::param::{Param, ValueType};

/// The action.
pub struct Images {
    spec: ActionSpec,
}

impl Default for Images {
    fn default() -> Self {
        let spec = ActionSpec::new("proxmox.images", Effect::Read, "List images on a node's storages")
            .param(Param::new("node", ValueType::Node).required().help("The node"))
            .param(Param::new("storage", ValueType::String).help("Only this storage"))
            .param(
                Param::new("content", ValueType::List)
                    .items(ValueType::String)
                    .default_value(json!(["iso", "import", "vztmpl"]))
                    .help("Which kinds: iso, import, vztmpl"),
            )
            .output("images", ValueType::List, "volid, storage, content, format, size in bytes, shared")
            .needs_privilege("Datastore.Audit on /storage");
        Self { spec }
    }
}

#[async_trait]
impl Action for Images {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let (node, content): (NodeName, Vec<String>) = (call.arg("node")?, call.arg("content")?);
        let wanted = call.get("storage").as_str();
        let storages: BTreeMap<StorageId, NodeStorage> = read(world, Resource::Storages(node.clone())).await?;
        let mut images = Vec::new();
        for (id, storage) in storages {
            let holds = storage.content.iter().any(|kind| content.contains(kind));
            if !holds || !storage.active || wanted.is_some_and(|wanted| wanted != id.as_str()) {
                continue;
            }
            let volumes: BTreeMap<String, Volume> = read(world, Resource::Content(node.clone(), id.clone())).await?;
            for volume in volumes.into_values().filter(|volume| content.contains(&volume.content)) {
                images.push(json!({"volid": volume.volid, "storage": id, "content": volume.content,
                    "format": volume.format, "size": volume.size, "shared": storage.shared}));
            }
        }
        let summary = format!("{} images on {node}", images.len());
        Ok(Reading { outputs: json!({"images": images}), summary, guards: Vec::new(), notes: Vec::new() })
    }
}
