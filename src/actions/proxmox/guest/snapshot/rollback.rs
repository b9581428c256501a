//! `proxmox.guest_rollback`: back to a snapshot; what was written since is lost.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::Target;
use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Request, Seen};
use crate::actions::proxmox::look::{self, read};
use crate::actions::proxmox::object::{NodeStorage, Snapshots};
use crate::actions::proxmox::resource::Resource;
use crate::actions::proxmox::typed;
use crate::clients::proxmox::{Params, seg};
use crate::engine::ports::{Call, Prediction, Probe, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::StorageId;
use crate::model::param::{Param, ValueType};
use crate::model::world::Delta;

/// The act.
pub struct GuestRollback {
    spec: ActionSpec,
    timing: Timing,
}

impl GuestRollback {
    pub fn new(timing: Timing) -> Self {
        let title = "Go back to a snapshot; what was written since is lost";
        let spec = ActionSpec::new("proxmox.guest_rollback", Effect::Destroy, title)
            .param(Param::new("guest", ValueType::Guest).required().help("The guest; it is stopped"))
            .param(Param::new("name", ValueType::String).required().help("The snapshot"))
            .param(Param::new("start", ValueType::Bool).default_value(false).help("Start it afterwards"))
            .output("vmid", ValueType::Vmid, "The guest")
            .output("name", ValueType::String, "The snapshot")
            .needs_privilege("VM.Audit on /vms/{guest}")
            .needs_privilege("VM.Snapshot.Rollback on /vms/{guest} (or VM.Snapshot)");
        Self { spec, timing }
    }
}

/// What stands in the way; ZFS only goes back to the newest.
async fn possible(target: &Target, found: &Snapshots, world: &dyn World) -> Result<(), Unreadable> {
    let (guest, name) = (&target.guest, &target.name);
    let attempted = format!("bring {} back to the snapshot {name}", guest.title());
    let fail = |cause: String| Failure::new(Class::Precondition, attempted.clone(), cause);
    let Some(snapshot) = &target.snapshot else {
        let has = found.list.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let has = if has.is_empty() { "it has none".to_owned() } else { format!("it has {has}") };
        return Err(fail(format!("there is no such snapshot; {has}")).into());
    };
    if guest.template {
        return Err(fail("it is a template".into()).into());
    }
    look::unlocked(guest, &attempted)?;
    let newer = found.list.iter().find(|(_, other)| other.taken > snapshot.taken);
    if let Some((newer, _)) = newer {
        let storages: BTreeMap<StorageId, NodeStorage> = read(world, Resource::Storages(guest.node.clone())).await?;
        let zfs = |id: &StorageId| storages.get(id).is_some_and(|storage| storage.kind == "zfspool");
        if let Some((_, volid)) = guest.volumes().find(|(id, _)| zfs(id)) {
            let cause = format!("{newer} is newer, and {volid} is on ZFS, which goes back to the newest only");
            return Err(fail(cause).remedy("delete the newer snapshots first, or go back to the newest").into());
        }
    }
    Ok(())
}

#[async_trait]
impl Act for GuestRollback {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, _: &Call, before: &Value) -> String {
        look::before::<Target>(before).map_or_else(
            |_| "go back to a snapshot".into(),
            |t| format!("bring {} on {} back to the snapshot {}", t.guest.title(), t.guest.node, t.name),
        )
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let found = super::found(call, world).await?;
        let target = super::target(call, &found)?;
        possible(&target, &found, world).await?;
        let running = if target.guest.is_running() { ", which stops it" } else { "" };
        let summary = format!("{}: back to the snapshot {}{running}", target.guest.title(), target.name);
        let mut probe = Probe::new(summary, json!(target));
        // What the guest has written is lost: it is the guest that counts, for policy too.
        probe.identities = vec![look::identity(&target.guest), super::identity(&target)];
        Ok(probe)
    }

    fn request(&self, call: &Call, before: &Value) -> Result<Request, Failure> {
        let Target { guest, name, .. } = look::before(before)?;
        let base = format!("/nodes/{}/{}/{}", seg(&guest.node), guest.kind, guest.vmid);
        let path = format!("{base}/snapshot/{}/rollback", seg(&name));
        let params = Params::new().opt("start", Some(1).filter(|_| call.get("start") == &json!(true)));
        Ok(Request::about_guest(&guest.node, guest.vmid, path, params, &["qmrollback", "vzrollback"]))
    }

    async fn judge(
        &self,
        call: &Call,
        before: &Value,
        answer: Option<&Value>,
        world: &dyn World,
    ) -> Result<Seen, Failure> {
        let before: Target = look::before(before)?;
        let now = match super::now(&before, world).await? {
            Ok(now) => now.guest,
            Err(seen) => return Ok(seen),
        };
        let (title, name) = (now.title(), &before.name);
        if let Some(lock) = &now.lock {
            return Ok(Seen::Partial(format!("{title} is locked ({lock})")));
        }
        let back = now.parent.as_deref() == Some(name.as_str());
        // A VM is told each time that its clock went back; of a container nothing is seen but what the task said.
        let again = now.generation.is_some() && now.generation != before.guest.generation;
        let wanted = call.get("start") == &json!(true) || before.snapshot.is_some_and(|snapshot| snapshot.vmstate);
        Ok(match (back, again || answer.is_some()) {
            (true, true) if wanted && !now.is_running() => Seen::Partial(format!("{title} is back, and does not run")),
            (true, true) => Seen::Done(json!({"vmid": now.vmid, "name": name})),
            (_, false) if now.generation.is_some() => Seen::Untouched(format!("{title} did not go back")),
            (false, _) => Seen::Untouched(format!("the state of {title} does not come from {name}")),
            (true, false) => Seen::Strange(format!("whether {title} went back to {name} cannot be seen on it")),
        })
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        let Ok(target) = look::before::<Target>(&before.before) else { return Prediction::default() };
        let vmstate = target.snapshot.as_ref().is_some_and(|snapshot| snapshot.vmstate);
        let runs = vmstate || call.get("start") == &json!(true);
        let (vmid, name) = (target.guest.vmid, target.name);
        let patch = json!({"status": if runs { "running" } else { "stopped" }, "digest": null, "lock": null});
        let deltas = vec![
            Delta { resource: Resource::Guests.key(), patch: json!({vmid.to_string(): patch}) },
            Delta { resource: Resource::Guest(vmid).key(), patch },
        ];
        // Its configuration is the one of that time.
        let why = format!("{} goes back to {name}", target.guest.title());
        let taints = vec![(Resource::Guest(vmid).key(), why)];
        let outputs = [("vmid".to_owned(), json!(vmid)), ("name".to_owned(), json!(name))].into();
        Prediction { deltas, taints, outputs }
    }

    fn check(&self, _: &Call, before: &Value) -> Option<String> {
        let Target { guest, name, .. } = look::before(before).ok()?;
        let path = format!("pvesh get /nodes/{}/{}/{}/snapshot", seg(&guest.node), guest.kind, guest.vmid);
        Some(typed::check(&path, &format!("current has the parent {name}")))
    }
}
