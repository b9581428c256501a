//! `proxmox.guest_snapshots`: which snapshots guests have, and which of them are old.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::json;

use crate::actions::proxmox::look::read;
use crate::actions::proxmox::object::{GuestEntry, Snapshot, Snapshots};
use crate::actions::proxmox::resource::Resource;
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::Vmid;
use crate::model::param::{Param, ValueType};

/// The action.
pub struct GuestSnapshots {
    spec: ActionSpec,
}

impl Default for GuestSnapshots {
    fn default() -> Self {
        let text = |name: &str| Param::new(name, ValueType::String);
        let spec = ActionSpec::new("proxmox.guest_snapshots", Effect::Read, "List snapshots of guests")
            .param(Param::new("guest", ValueType::Guest).help("One guest"))
            .param(
                Param::new("tags", ValueType::List)
                    .items(ValueType::String)
                    .default_value(json!([]))
                    .help("All guests with all of these tags, templates left out"),
            )
            .param(text("prefix").default_value("").help("Only snapshots whose name begins so"))
            .param(Param::new("keep", ValueType::Int).help("How many of these each guest keeps: older ones are `old`"))
            .output("guests", ValueType::List, "The guests: vmid, name, node, status")
            .output("snapshots", ValueType::List, "Their snapshots: vmid, guest, name, taken, description, vmstate")
            .output("old", ValueType::List, "Those beyond `keep`, oldest first")
            .needs_privilege("VM.Audit on /vms");
        Self { spec }
    }
}

/// The guests that are meant.
async fn meant(call: &Call, world: &dyn World) -> Result<Vec<Vmid>, Unreadable> {
    let tags: Vec<String> = call.arg("tags")?;
    if !call.get("guest").is_null() {
        return Ok(vec![call.arg("guest")?]);
    }
    if tags.is_empty() {
        let cause = "neither a guest nor tags are given";
        return Err(Failure::new(Class::Precondition, "list snapshots", cause).remedy("give one of them").into());
    }
    let guests: BTreeMap<Vmid, GuestEntry> = read(world, Resource::Guests).await?;
    let has_all = |guest: &GuestEntry| tags.iter().all(|tag| guest.tags.contains(tag));
    Ok(guests.into_values().filter(|guest| !guest.template && has_all(guest)).map(|guest| guest.vmid).collect())
}

#[async_trait]
impl Action for GuestSnapshots {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let prefix = call.get("prefix").as_str().unwrap_or_default();
        let keep = call.get("keep").as_u64().and_then(|n| usize::try_from(n).ok());
        let (mut guests, mut snapshots, mut old) = (Vec::new(), Vec::new(), Vec::new());
        for vmid in meant(call, world).await? {
            let Some(found) = read::<Option<Snapshots>>(world, Resource::GuestSnapshots(vmid)).await? else { continue };
            let guest = &found.guest;
            guests.push(json!({"vmid": vmid, "name": guest.name, "node": guest.node, "status": guest.status}));
            let mut own: Vec<(&String, &Snapshot)> =
                found.list.iter().filter(|(name, _)| name.starts_with(prefix)).collect();
            own.sort_by_key(|(name, snapshot)| (snapshot.taken, (*name).clone()));
            let row = |(name, one): &(&String, &Snapshot)| {
                json!({"vmid": vmid, "guest": guest.name, "name": name, "taken": one.taken,
                    "description": one.description, "vmstate": one.vmstate})
            };
            let beyond = keep.map_or(0, |keep| own.len().saturating_sub(keep));
            old.extend(own.iter().take(beyond).map(row));
            snapshots.extend(own.iter().map(row));
        }
        let summary = format!("guests: {}, snapshots: {}, old: {}", guests.len(), snapshots.len(), old.len());
        let outputs = json!({"guests": guests, "snapshots": snapshots, "old": old});
        Ok(Reading { outputs, summary, guards: Vec::new(), notes: Vec::new() })
    }
}
