//! `proxmox.guest_start`: starts a guest and sees that it runs.

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Request, Seen};
use crate::actions::proxmox::look::{self, live};
use crate::actions::proxmox::object::Guest;
use crate::actions::proxmox::resource::{Resource, all_placements};
use crate::actions::proxmox::typed;
use crate::clients::proxmox::{Params, seg};
use crate::engine::ports::{Call, Prediction, Probe, Unreadable, World};
use crate::event::Invocation;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::param::{Param, ValueType};
use crate::model::world::{Delta, Predicate};

/// The act.
pub struct GuestStart {
    spec: ActionSpec,
    timing: Timing,
}

impl GuestStart {
    pub fn new(timing: Timing) -> Self {
        let spec = ActionSpec::new("proxmox.guest_start", Effect::Change, "Start a guest")
            .param(Param::new("guest", ValueType::Guest).required().help("The guest"))
            .param(
                Param::new("timeout", ValueType::Duration).help("How long it may take; VMs only").default_value("5m"),
            )
            .output("vmid", ValueType::Vmid, "The guest")
            .output("node", ValueType::Node, "Where it runs")
            .needs_privilege("VM.Audit on /vms/{guest}")
            .needs_privilege("VM.PowerMgmt on /vms/{guest}")
            .undoable();
        Self { spec, timing }
    }
}

/// What stands in the way.
fn possible(guest: &Guest) -> Result<(), Failure> {
    let fail = |class, cause: String| Failure::new(class, format!("start {}", guest.title()), cause);
    if guest.template {
        let cause = format!("{} is a template", guest.title());
        return Err(fail(Class::Precondition, cause).remedy("clone it and start the clone"));
    }
    if let Some(lock) = guest.lock.as_deref().filter(|lock| *lock != "suspended") {
        let cause = format!("{} is locked ({lock})", guest.title());
        return Err(fail(Class::Locked, cause).remedy(format!("wait until the {lock} has ended")));
    }
    Ok(())
}

#[async_trait]
impl Act for GuestStart {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, _: &Call, before: &Value) -> String {
        look::before::<Guest>(before)
            .map_or_else(|_| "start a guest".into(), |g| format!("start {} on {}", g.title(), g.node))
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let guest = look::guest(world, call.arg("guest")?).await?;
        let mut probe = Probe::new(format!("{}: start on {}", guest.title(), guest.node), json!(guest));
        probe.identities = vec![look::identity(&guest)];
        if guest.is_running() {
            probe.summary = format!("{}: runs already on {}", guest.title(), guest.node);
            probe.satisfied = true;
            return Ok(probe);
        }
        possible(&guest)?;
        if guest.is_owned_by_ha() {
            probe.notes.push(format!("the HA manager starts {}: on which node is its choice", guest.title()));
        }
        let (at, text) = (Resource::Guest(guest.vmid), format!("{} is stopped", guest.title()));
        probe.guards = vec![look::guard(text, at, "/status", Predicate::Equals, json!("stopped"))];
        Ok(probe)
    }

    fn request(&self, call: &Call, before: &Value) -> Result<Request, Failure> {
        let guest: Guest = look::before(before)?;
        let path = format!("/nodes/{}/{}/{}/status/start", seg(&guest.node), guest.kind, guest.vmid);
        let timeout = look::duration(call.get("timeout")).filter(|_| guest.kind == crate::model::ids::GuestKind::Qemu);
        let params = Params::new().opt("timeout", timeout.map(|time| time.as_secs()));
        Ok(Request::about_guest(&guest.node, guest.vmid, path, params, &["qmstart", "vzstart", "hastart"]))
    }

    async fn judge(&self, _: &Call, before: &Value, _: Option<&Value>, world: &dyn World) -> Result<Seen, Failure> {
        let before: Guest = look::before(before)?;
        Ok(match live::<Option<Guest>>(world, Resource::Guest(before.vmid)).await? {
            None => Seen::Strange(format!("{} is on no node", before.title())),
            Some(now) if !now.is_same_as(&before) => {
                Seen::Strange(format!("{} is another guest now: {}", before.vmid, now.title()))
            }
            Some(now) if now.is_running() && now.lock.is_none() => {
                Seen::Done(json!({"vmid": now.vmid, "node": now.node}))
            }
            Some(now) if now.is_running() => {
                Seen::Partial(format!("{} runs and is locked ({})", now.title(), now.lock.as_deref().unwrap_or("")))
            }
            Some(now) => Seen::Untouched(format!("{} is {} on {}", now.title(), now.status, now.node)),
        })
    }

    fn looks(&self) -> u32 {
        2
    }

    fn settles_in(&self, _: &Call) -> std::time::Duration {
        // The HA manager's round and then the start itself.
        self.timing.settle + self.timing.late_command
    }

    fn predict(&self, _: &Call, before: &Probe) -> Prediction {
        let Ok(guest) = look::before::<Guest>(&before.before) else { return Prediction::default() };
        let outputs = [("vmid".to_owned(), json!(guest.vmid)), ("node".to_owned(), json!(guest.node))].into();
        if before.satisfied {
            return Prediction { outputs, ..Prediction::default() };
        }
        let id = guest.vmid.to_string();
        let mut state = json!({"status": "running"});
        if guest.qmpstatus.is_some() {
            state["qmpstatus"] = json!("running");
        }
        let deltas = vec![
            Delta { resource: Resource::Guest(guest.vmid).key(), patch: state },
            Delta { resource: Resource::Guests.key(), patch: json!({id: {"status": "running"}}) },
        ];
        let why = format!("{} starts", guest.title());
        let taints = vec![
            (Resource::NodeMemory(guest.node.clone()).key(), why.clone()),
            (Resource::GuestEvacuation(guest.vmid).key(), why.clone()),
            (all_placements(), why),
        ];
        Prediction { deltas, taints, outputs }
    }

    fn undo(&self, _: &Call, before: &Value, _: Option<&Value>) -> Option<Invocation> {
        let guest: Guest = look::before(before).ok()?;
        Some(Invocation { uses: "proxmox.guest_shutdown".into(), with: json!({"guest": guest.vmid}) })
    }

    fn undo_summary(&self, _: &Call, before: &Probe) -> Option<String> {
        let guest: Guest = look::before(&before.before).ok()?;
        Some(format!("shut {} down", guest.title()))
    }

    fn check(&self, _: &Call, before: &Value) -> Option<String> {
        let guest: Guest = look::before(before).ok()?;
        Some(typed::check_guest(&guest.node, guest.kind, guest.vmid, "running"))
    }
}
