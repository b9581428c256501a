//! `proxmox.guest_snapshot`: takes a snapshot.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::Target;
use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Request, Seen};
use crate::actions::proxmox::look;
use crate::actions::proxmox::resource::Resource;
use crate::actions::proxmox::typed;
use crate::clients::proxmox::{Params, seg};
use crate::engine::ports::{Call, Prediction, Probe, Unreadable, World};
use crate::event::Invocation;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::GuestKind;
use crate::model::param::{Param, ValueType};
use crate::model::world::Delta;

/// The act.
pub struct GuestSnapshot {
    spec: ActionSpec,
    timing: Timing,
}

impl GuestSnapshot {
    pub fn new(timing: Timing) -> Self {
        let spec = ActionSpec::new("proxmox.guest_snapshot", Effect::Change, "Take a snapshot of a guest")
            .param(Param::new("guest", ValueType::Guest).required().help("The guest"))
            .param(Param::new("name", ValueType::String).required().help("What the snapshot is called"))
            .param(Param::new("description", ValueType::String).help("Notes"))
            .param(
                Param::new("vmstate", ValueType::Bool)
                    .default_value(false)
                    .help("With the memory of a running VM, so that going back finds it running"),
            )
            .output("name", ValueType::String, "The snapshot")
            .output("taken", ValueType::Int, "When, in seconds since 1970")
            .needs_privilege("VM.Audit on /vms/{guest}")
            .needs_privilege("VM.Snapshot on /vms/{guest}")
            .creates();
        Self { spec, timing }
    }
}

fn possible(target: &Target) -> Result<(), Failure> {
    let (guest, name) = (&target.guest, &target.name);
    let attempted = format!("take a snapshot of {}", guest.title());
    let fail = |cause: String| Failure::new(Class::Precondition, attempted.clone(), cause);
    let first = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let fits =
        (2..=40).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if !first || !fits || matches!(name.as_str(), "current" | "pending") {
        let remedy = "a letter, then letters, digits, - and _; 2 to 40 of them, and not current or pending";
        return Err(fail(format!("{name:?} is no name for a snapshot")).remedy(remedy));
    }
    if guest.template {
        return Err(fail(format!("{} is a template", guest.title())));
    }
    look::unlocked(guest, &attempted)
}

#[async_trait]
impl Act for GuestSnapshot {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, _: &Call, before: &Value) -> String {
        look::before::<Target>(before).map_or_else(
            |_| "take a snapshot".into(),
            |t| format!("take the snapshot {} of {} on {}", t.name, t.guest.title(), t.guest.node),
        )
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let target = super::target(call, &super::found(call, world).await?)?;
        let mut probe = Probe::new(format!("{}: snapshot {}", target.guest.title(), target.name), json!(target));
        probe.change = Some(crate::model::plan::Change::Create);
        probe.identities = vec![super::identity(&Target { snapshot: None, ..target.clone() })];
        if target.snapshot.is_some() && target.guest.lock.is_none() {
            probe.summary = format!("{}: has a snapshot {} already", target.guest.title(), target.name);
            probe.satisfied = true;
            return Ok(probe);
        }
        possible(&target)?;
        Ok(probe)
    }

    fn request(&self, call: &Call, before: &Value) -> Result<Request, Failure> {
        let Target { guest, name, .. } = look::before(before)?;
        let vmstate = Some(1).filter(|_| guest.kind == GuestKind::Qemu && call.get("vmstate") == &json!(true));
        let params = Params::new()
            .set("snapname", name)
            .opt("description", call.get("description").as_str().map(ToOwned::to_owned))
            .opt("vmstate", vmstate);
        let path = format!("/nodes/{}/{}/{}/snapshot", seg(&guest.node), guest.kind, guest.vmid);
        Ok(Request::about_guest(&guest.node, guest.vmid, path, params, &["qmsnapshot", "vzsnapshot"]))
    }

    async fn judge(&self, _: &Call, before: &Value, _: Option<&Value>, world: &dyn World) -> Result<Seen, Failure> {
        let before: Target = look::before(before)?;
        let now = match super::now(&before, world).await? {
            Ok(now) => now,
            Err(seen) => return Ok(seen),
        };
        let (title, name) = (now.guest.title(), &before.name);
        Ok(match (now.list.get(name), now.guest.lock.as_deref()) {
            (Some(snapshot), None) => Seen::Done(json!({"name": name, "taken": snapshot.taken})),
            (Some(_), Some(lock)) => Seen::Partial(format!("{title} has the snapshot {name} and is locked ({lock})")),
            (None, Some("snapshot")) => Seen::Partial(format!("{title} is locked (snapshot), and has no {name}")),
            (None, _) => Seen::Untouched(format!("{title} has no snapshot {name}")),
        })
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        let Ok(target) = look::before::<Target>(&before.before) else { return Prediction::default() };
        let mut outputs = std::collections::BTreeMap::from([("name".to_owned(), json!(target.name))]);
        if let Some(snapshot) = target.snapshot.filter(|_| before.satisfied) {
            outputs.insert("taken".to_owned(), json!(snapshot.taken));
            return Prediction { outputs, ..Prediction::default() };
        }
        let running = target.guest.kind == GuestKind::Qemu && target.guest.is_running();
        let snapshot = json!({"description": call.get("description").as_str().unwrap_or_default(),
            "vmstate": running && call.get("vmstate") == &json!(true)});
        let (at, name) = (Resource::GuestSnapshots(target.guest.vmid).key(), target.name);
        let unlocked = Delta { resource: Resource::Guest(target.guest.vmid).key(), patch: json!({"lock": null}) };
        let deltas = vec![Delta { resource: at, patch: json!({"list": {name: snapshot}}) }, unlocked];
        Prediction { deltas, taints: Vec::new(), outputs }
    }

    fn undo(&self, _: &Call, before: &Value, outputs: Option<&Value>) -> Option<Invocation> {
        let target: Target = look::before(before).ok()?;
        let mut with = json!({"guest": target.guest.vmid, "name": target.name});
        if let Some(taken) = outputs.and_then(|outputs| outputs["taken"].as_i64()) {
            with["taken"] = json!(taken);
        }
        Some(Invocation { uses: "proxmox.guest_snapshot_delete".into(), with })
    }

    fn undo_summary(&self, _: &Call, before: &Probe) -> Option<String> {
        let target: Target = look::before(&before.before).ok()?;
        Some(format!("delete the snapshot {} of {}", target.name, target.guest.title()))
    }

    fn check(&self, _: &Call, before: &Value) -> Option<String> {
        let Target { guest, name, .. } = look::before(before).ok()?;
        let path = format!("pvesh get /nodes/{}/{}/{}/snapshot", seg(&guest.node), guest.kind, guest.vmid);
        Some(typed::check(&path, &format!("a row {name}")))
    }

    fn class(&self, _: &Call, cause: &str) -> Option<Class> {
        cause.contains("snapshot feature is not available").then_some(Class::Precondition)
    }

    fn remedy(&self, cause: &str) -> Option<String> {
        let cannot = cause.contains("snapshot feature is not available");
        cannot.then(|| "one of its disks is on a storage or in a format without snapshots: back it up instead".into())
    }
}
