//! `proxmox.backups`: which backups there are.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::text;
use crate::actions::proxmox::look;
use crate::actions::proxmox::object::{Node, NodeStorage, Volume};
use crate::actions::proxmox::resource::Resource;
use crate::clients::proxmox::loose::as_i64;
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::{NodeName, StorageId, Vmid};
use crate::model::param::{Param, ValueType};

/// The action.
pub struct Backups {
    spec: ActionSpec,
}

impl Default for Backups {
    fn default() -> Self {
        let spec = ActionSpec::new("proxmox.backups", Effect::Read, "List backups")
            .param(
                Param::new("guest", ValueType::Vmid).help("Only of this VMID, whether the guest is still there or not"),
            )
            .param(Param::new("storage", ValueType::String).help("Only on this storage"))
            .param(Param::new("older_than", ValueType::Duration).help("Only those made before then"))
            .param(Param::new("newer_than", ValueType::Duration).help("Only those made since then"))
            .output(
                "backups",
                ValueType::List,
                "Newest first: maps of volid, vmid, node, storage, size, made (seconds since 1970), notes, protected",
            )
            .output("count", ValueType::Int, "How many")
            .output(
                "unread",
                ValueType::List,
                "Nodes that could not be asked: what is on their own storages is not known",
            )
            .needs_privilege("Datastore.Audit on /storage")
            .needs_privilege("Sys.Audit on /");
        Self { spec }
    }
}

/// The node's clock, seconds since 1970: ages are told by the clock that stamped the backups.
async fn now(world: &dyn World, node: &NodeName) -> Result<i64, Unreadable> {
    let answer = look::api(world, format!("/nodes/{}/time", crate::clients::proxmox::seg(node)), &[]).await?;
    let shape = || Failure::new(Class::Failed, format!("read the time of {node}"), format!("it answers {answer}"));
    Ok(as_i64(&answer["time"]).ok_or_else(shape)?)
}

#[async_trait]
impl Action for Backups {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let guest: Option<Vmid> = call.arg("guest")?;
        let only = text(call.get("storage"));
        let (older, newer) = (look::duration(call.get("older_than")), look::duration(call.get("newer_than")));
        let nodes: BTreeMap<NodeName, Node> = look::read(world, Resource::Nodes).await?;
        let (mut rows, mut unread, mut shared) = (Vec::new(), Vec::new(), BTreeSet::new());
        for name in nodes.keys() {
            if !nodes[name].online {
                unread.push(name.clone());
                continue;
            }
            let clock = if older.or(newer).is_some() { now(world, name).await? } else { 0 };
            let fits_age = |volume: &Volume| {
                let age = volume.made.map(|made| (clock - made).max(0) as u64);
                older.is_none_or(|limit| age.is_some_and(|age| age > limit.as_secs()))
                    && newer.is_none_or(|limit| age.is_some_and(|age| age <= limit.as_secs()))
            };
            let storages: BTreeMap<StorageId, NodeStorage> =
                look::read(world, Resource::Storages(name.clone())).await?;
            for (id, storage) in storages {
                let wanted = only.is_none_or(|only| only == id.as_str());
                let takes = storage.active && storage.content.iter().any(|content| content == "backup");
                if !wanted || !takes || (storage.shared && !shared.insert(id.clone())) {
                    continue;
                }
                let content: BTreeMap<String, Volume> =
                    look::read(world, Resource::Content(name.clone(), id.clone())).await?;
                let own = content.into_values().filter(|volume| volume.content == "backup");
                let own = own.filter(|volume| guest.is_none() || volume.vmid == guest).filter(fits_age);
                rows.extend(own.map(|volume| row(volume, name, &id)));
            }
        }
        rows.sort_by_key(|row| std::cmp::Reverse(row["made"].as_i64()));
        let count = rows.len();
        let summary = if count == 1 { "1 backup".to_owned() } else { format!("{count} backups") };
        let notes = match unread.is_empty() {
            true => Vec::new(),
            false => vec![format!("not asked, being offline: {}", names(&unread))],
        };
        Ok(Reading {
            outputs: json!({"backups": rows, "count": count, "unread": unread}),
            summary,
            guards: Vec::new(),
            notes,
        })
    }
}

fn names(nodes: &[NodeName]) -> String {
    nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ")
}

fn row(volume: Volume, node: &NodeName, storage: &StorageId) -> Value {
    json!({"volid": volume.volid, "vmid": volume.vmid, "node": node, "storage": storage, "size": volume.size,
        "made": volume.made, "notes": volume.notes.unwrap_or_default(), "protected": volume.protected})
}
