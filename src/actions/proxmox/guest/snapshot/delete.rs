//! `proxmox.guest_snapshot_delete`: what the snapshot kept is lost.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::Target;
use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Request, Seen};
use crate::actions::proxmox::look;
use crate::actions::proxmox::resource::Resource;
use crate::actions::proxmox::typed;
use crate::clients::proxmox::{Params, Verb, seg};
use crate::engine::ports::{Call, Prediction, Probe, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::param::{Param, ValueType};
use crate::model::world::Delta;

/// The act.
pub struct GuestSnapshotDelete {
    spec: ActionSpec,
    timing: Timing,
}

impl GuestSnapshotDelete {
    pub fn new(timing: Timing) -> Self {
        let title = "Delete a snapshot of a guest";
        let spec = ActionSpec::new("proxmox.guest_snapshot_delete", Effect::Destroy, title)
            .param(Param::new("guest", ValueType::Guest).required().help("The guest"))
            .param(Param::new("name", ValueType::String).required().help("The snapshot"))
            .param(
                Param::new("taken", ValueType::Int)
                    .help("When it was taken, in seconds since 1970: another one of that name is left alone"),
            )
            .output("name", ValueType::String, "The snapshot that is gone")
            .needs_privilege("VM.Audit on /vms/{guest}")
            .needs_privilege("VM.Snapshot on /vms/{guest}");
        Self { spec, timing }
    }
}

#[async_trait]
impl Act for GuestSnapshotDelete {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, _: &Call, before: &Value) -> String {
        look::before::<Target>(before).map_or_else(
            |_| "delete a snapshot".into(),
            |t| format!("delete the snapshot {} of {} on {}", t.name, t.guest.title(), t.guest.node),
        )
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let target = super::target(call, &super::found(call, world).await?)?;
        let title = target.guest.title();
        let mut probe = Probe::new(format!("{title}: delete the snapshot {}", target.name), json!(target));
        probe.identities = vec![super::identity(&target)];
        let attempted = format!("delete the snapshot {} of {title}", target.name);
        let Some(snapshot) = &target.snapshot else {
            probe.summary = format!("{title}: has no snapshot {} any more", target.name);
            probe.satisfied = true;
            return Ok(probe);
        };
        let wanted = call.get("taken").as_i64();
        if wanted.is_some() && snapshot.taken != wanted {
            let cause = "another snapshot has that name now";
            return Err(Failure::new(Class::Precondition, attempted, cause).remedy("look at its snapshots").into());
        }
        look::unlocked(&target.guest, &attempted)?;
        Ok(probe)
    }

    fn request(&self, _: &Call, before: &Value) -> Result<Request, Failure> {
        let Target { guest, name, .. } = look::before(before)?;
        let path = format!("/nodes/{}/{}/{}/snapshot/{}", seg(&guest.node), guest.kind, guest.vmid, seg(&name));
        let kinds = &["qmdelsnapshot", "vzdelsnapshot"];
        Ok(Request::about_guest(&guest.node, guest.vmid, path, Params::new(), kinds).with_verb(Verb::Delete))
    }

    async fn judge(&self, _: &Call, before: &Value, _: Option<&Value>, world: &dyn World) -> Result<Seen, Failure> {
        let before: Target = look::before(before)?;
        let now = match super::now(&before, world).await? {
            Ok(now) => now,
            Err(seen) => return Ok(seen),
        };
        let (title, name) = (now.guest.title(), &before.name);
        let taken = before.snapshot.and_then(|snapshot| snapshot.taken);
        Ok(match (now.list.get(name), now.guest.lock.as_deref()) {
            (None, None) => Seen::Done(json!({"name": name})),
            (None, Some(lock)) => Seen::Partial(format!("{title} has no {name} and is locked ({lock})")),
            (Some(_), Some("snapshot-delete")) => Seen::Partial(format!("{title} is locked (snapshot-delete)")),
            (Some(now), _) if now.taken != taken => Seen::Strange(format!("{name} of {title} is another one now")),
            (Some(_), _) => Seen::Untouched(format!("{title} has the snapshot {name}")),
        })
    }

    fn predict(&self, _: &Call, before: &Probe) -> Prediction {
        let Ok(target) = look::before::<Target>(&before.before) else { return Prediction::default() };
        let outputs = [("name".to_owned(), json!(target.name))].into();
        if before.satisfied {
            return Prediction { outputs, ..Prediction::default() };
        }
        let at = Resource::GuestSnapshots(target.guest.vmid).key();
        let unlocked = Delta { resource: Resource::Guest(target.guest.vmid).key(), patch: json!({"lock": null}) };
        let deltas = vec![Delta { resource: at, patch: json!({"list": {target.name: null}}) }, unlocked];
        Prediction { deltas, taints: Vec::new(), outputs }
    }

    fn check(&self, _: &Call, before: &Value) -> Option<String> {
        let Target { guest, name, .. } = look::before(before).ok()?;
        let path = format!("pvesh get /nodes/{}/{}/{}/snapshot", seg(&guest.node), guest.kind, guest.vmid);
        Some(typed::check(&path, &format!("no row {name}")))
    }
}
