//! `proxmox.templates` and `proxmox.template_ensure`: which templates there are, and where one is missing.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde::Serialize;
use serde_json::{Value, json};

use crate::actions::proxmox::look::read;
use crate::actions::proxmox::object::{Guest, GuestEntry, Node, NodeStorage};
use crate::actions::proxmox::resource::Resource;
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::ids::{NodeName, StorageId, Vmid};
use crate::model::param::{Param, ValueType};

/// The line of a template's description that says what it was made of.
const SOURCE: &str = "source: ";

/// The list.
pub struct Templates {
    spec: ActionSpec,
}

/// What is missing where.
pub struct TemplateEnsure {
    spec: ActionSpec,
}

fn tags() -> Param {
    Param::new("tags", ValueType::List)
        .items(ValueType::String)
        .default_value(json!([]))
        .help("Tags that a template must have, all of them")
}

impl Default for Templates {
    fn default() -> Self {
        let spec = ActionSpec::new("proxmox.templates", Effect::Read, "List templates")
            .param(tags())
            .param(Param::new("node", ValueType::Node).help("Only those of this node"))
            .output("templates", ValueType::List, "vmid, name, node, kind, tags, source, shared")
            .needs_privilege("VM.Audit on /vms")
            .needs_privilege("Datastore.Audit on /storage");
        Self { spec }
    }
}

impl Default for TemplateEnsure {
    fn default() -> Self {
        let title = "Find out where a template is missing or made of something else";
        let spec = ActionSpec::new("proxmox.template_ensure", Effect::Read, title)
            .param(Param::new("name", ValueType::String).required().help("What it is called"))
            .param(tags())
            .param(
                Param::new("source", ValueType::String)
                    .help("What it must be made of: the line `source: …` of its description, a checksum or an address"),
            )
            .param(
                Param::new("nodes", ValueType::List)
                    .items(ValueType::Node)
                    .help("Where it is needed; every node that is up where absent"),
            )
            .output("present", ValueType::List, "vmid and node; one on shared storage is there for every node")
            .output("missing", ValueType::List, "Nodes without it")
            .output(
                "stale",
                ValueType::List,
                "Of that name and tags, and made of something else: vmid, name, node, source",
            )
            .needs_privilege("VM.Audit on /vms")
            .needs_privilege("Datastore.Audit on /storage");
        Self { spec }
    }
}

/// A template.
#[derive(Debug, Clone, Serialize)]
struct Template {
    vmid: Vmid,
    name: String,
    node: NodeName,
    kind: crate::model::ids::GuestKind,
    tags: Vec<String>,
    source: Option<String>,
    /// Whether each node can make linked clones of it.
    shared: bool,
}

fn source(guest: &Guest) -> Option<String> {
    let mut lines = guest.description.as_deref().unwrap_or_default().lines();
    lines.find_map(|line| line.trim().strip_prefix(SOURCE)).map(|text| text.trim().to_owned())
}

async fn all(call: &Call, world: &dyn World) -> Result<Vec<Template>, Unreadable> {
    let wanted: Vec<String> = call.arg("tags")?;
    let guests: BTreeMap<Vmid, GuestEntry> = read(world, Resource::Guests).await?;
    let mut storages: BTreeMap<NodeName, BTreeMap<StorageId, NodeStorage>> = BTreeMap::new();
    let mut templates = Vec::new();
    for entry in guests.values().filter(|guest| guest.template && wanted.iter().all(|tag| guest.tags.contains(tag))) {
        let Some(guest) = read::<Option<Guest>>(world, Resource::Guest(entry.vmid)).await? else { continue };
        if !storages.contains_key(&guest.node) {
            storages.insert(guest.node.clone(), read(world, Resource::Storages(guest.node.clone())).await?);
        }
        let of_node = storages.get(&guest.node);
        let is_shared = |id: &StorageId| of_node.and_then(|all| all.get(id)).is_some_and(|storage| storage.shared);
        let shared = guest.volumes().all(|(id, _)| is_shared(id));
        let (source, vmid, kind) = (source(&guest), guest.vmid, guest.kind);
        templates.push(Template { vmid, name: guest.name, node: guest.node, kind, tags: guest.tags, source, shared });
    }
    Ok(templates)
}

#[async_trait]
impl Action for Templates {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let node = call.get("node").as_str();
        let mut templates = all(call, world).await?;
        templates.retain(|template| node.is_none_or(|node| template.node.as_str() == node));
        let summary = format!("{} templates", templates.len());
        let outputs = json!({"templates": templates});
        Ok(Reading { outputs, summary, guards: Vec::new(), notes: Vec::new() })
    }
}

#[async_trait]
impl Action for TemplateEnsure {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let (name, wanted): (String, Option<String>) = (call.arg("name")?, call.arg("source")?);
        let nodes: BTreeMap<NodeName, Node> = read(world, Resource::Nodes).await?;
        let needed: BTreeSet<NodeName> = match call.get("nodes") {
            Value::Null => nodes.values().filter(|node| node.online).map(|node| node.name.clone()).collect(),
            _ => call.arg("nodes")?,
        };
        let (mut present, mut stale) = (Vec::new(), Vec::new());
        for template in all(call, world).await?.into_iter().filter(|template| template.name == name) {
            let fits = wanted.is_none() || template.source == wanted;
            if fits { present.push(template) } else { stale.push(template) }
        }
        let has = |node: &NodeName| present.iter().any(|template| template.shared || template.node == *node);
        let missing: Vec<&NodeName> = needed.iter().filter(|node| !has(node)).collect();
        let summary = match missing.len() {
            0 => format!("template {name}: there for all of {} nodes", needed.len()),
            n => format!("template {name}: missing on {n} of {} nodes", needed.len()),
        };
        let outputs = json!({"present": present, "missing": missing, "stale": stale});
        Ok(Reading { outputs, summary, guards: Vec::new(), notes: Vec::new() })
    }
}
