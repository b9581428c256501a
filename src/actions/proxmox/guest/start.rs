//! `proxmox.guest_start`: starts a guest and sees that it runs.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::power;
use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Request, Seen};
use crate::actions::proxmox::look;
use crate::actions::proxmox::object::Guest;
use crate::clients::proxmox::Params;
use crate::engine::ports::{Call, Prediction, Probe, Unreadable, World};
use crate::event::Invocation;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::Failure;
use crate::model::ids::GuestKind;
use crate::model::param::{Param, ValueType};

/// The act.
pub struct GuestStart {
    spec: ActionSpec,
    timing: Timing,
}

impl GuestStart {
    pub fn new(timing: Timing) -> Self {
        let spec = power::spec("proxmox.guest_start", Effect::Change, "Start a guest")
            .param(
                Param::new("timeout", ValueType::Duration).help("How long it may take; VMs only").default_value("5m"),
            )
            .param(
                Param::new("steady", ValueType::Duration)
                    .help("How long it must go on running without a break before the step is done")
                    .default_value("0s"),
            )
            .undoable();
        Self { spec, timing }
    }
}

/// What stands in the way.
fn possible(guest: &Guest) -> Result<(), Failure> {
    if guest.template {
        let cause = format!("{} is a template", guest.title());
        return Err(power::impossible("start", guest, cause, "clone it and start the clone"));
    }
    power::unlocked("start", guest, Some("suspended"))
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
        power::attempted("start", before)
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let guest = look::guest(world, call.arg("guest")?).await?;
        if guest.is_running() {
            return Ok(power::satisfied(&guest, format!("{}: runs already on {}", guest.title(), guest.node)));
        }
        possible(&guest)?;
        let mut probe = power::probe(&guest, format!("{}: start on {}", guest.title(), guest.node));
        if guest.is_owned_by_ha() {
            probe.notes.push(format!("the HA manager starts {}: on which node is its choice", guest.title()));
        }
        Ok(probe)
    }

    fn request(&self, call: &Call, before: &Value) -> Result<Request, Failure> {
        let guest: Guest = look::before(before)?;
        let timeout = power::seconds(call, "timeout").filter(|_| guest.kind == GuestKind::Qemu);
        let params = Params::new().opt("timeout", timeout);
        Ok(power::request(&guest, "start", params, &["qmstart", "vzstart", "hastart"]))
    }

    async fn judge(&self, _: &Call, before: &Value, _: Option<&Value>, world: &dyn World) -> Result<Seen, Failure> {
        Ok(match power::now(&look::before(before)?, world).await? {
            Ok(now) => power::seen(&now, now.is_running()),
            Err(strange) => strange,
        })
    }

    fn looks(&self) -> u32 {
        2
    }

    fn steady(&self, call: &Call) -> Duration {
        look::duration(call.get("steady")).unwrap_or_default()
    }

    fn settles_in(&self, _: &Call) -> Duration {
        // The HA manager's round and then the start itself.
        self.timing.settle + self.timing.late_command
    }

    fn predict(&self, _: &Call, before: &Probe) -> Prediction {
        power::predict(before, "starts", |guest| {
            let mut state = power::state(guest, "running", "running");
            if guest.lock.is_some() {
                // Its memory was on disk: the lock goes with it.
                (state["lock"], state["digest"]) = (Value::Null, Value::Null);
            }
            state
        })
    }

    fn undo(&self, _: &Call, before: &Value, _: Option<&Value>) -> Option<Invocation> {
        power::undo(before, "proxmox.guest_shutdown", json!({}))
    }

    fn undo_summary(&self, _: &Call, before: &Probe) -> Option<String> {
        power::undo_summary(before, "shut {} down")
    }

    fn check(&self, _: &Call, before: &Value) -> Option<String> {
        power::check(before, "running")
    }
}
