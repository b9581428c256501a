//! `proxmox.guest_stop`: switches a guest off, as pulling its plug does.

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

/// The act.
pub struct GuestStop {
    spec: ActionSpec,
    timing: Timing,
}

impl GuestStop {
    pub fn new(timing: Timing) -> Self {
        let title = "Switch a guest off without asking it: what it has not written is lost";
        let spec = power::spec("proxmox.guest_stop", Effect::Disrupt, title).undoable();
        Self { spec, timing }
    }
}

#[async_trait]
impl Act for GuestStop {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, _: &Call, before: &Value) -> String {
        power::attempted("stop", before)
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let guest = look::guest(world, call.arg("guest")?).await?;
        if !guest.is_running() {
            return Ok(power::satisfied(&guest, format!("{}: stopped already", guest.title())));
        }
        power::unlocked("stop", &guest, None)?;
        power::not_of_ha("stop", &guest)?;
        Ok(power::probe(&guest, format!("{}: switch off on {}, without asking it", guest.title(), guest.node)))
    }

    fn request(&self, _: &Call, before: &Value) -> Result<Request, Failure> {
        let guest: Guest = look::before(before)?;
        Ok(power::request(&guest, "stop", Params::new(), &["qmstop", "vzstop"]))
    }

    async fn judge(&self, _: &Call, before: &Value, _: Option<&Value>, world: &dyn World) -> Result<Seen, Failure> {
        Ok(match power::now(&look::before(before)?, world).await? {
            Ok(now) => power::seen(&now, !now.is_running()),
            Err(strange) => strange,
        })
    }

    fn looks(&self) -> u32 {
        2
    }

    fn predict(&self, _: &Call, before: &Probe) -> Prediction {
        power::predict(before, "stops", |guest| power::state(guest, "stopped", "stopped"))
    }

    fn undo(&self, _: &Call, before: &Value, _: Option<&Value>) -> Option<Invocation> {
        power::undo(before, "proxmox.guest_start", json!({}))
    }

    fn undo_summary(&self, _: &Call, before: &Probe) -> Option<String> {
        power::undo_summary(before, "start {} again; what it had not written stays lost")
    }

    fn check(&self, _: &Call, before: &Value) -> Option<String> {
        power::check(before, "stopped")
    }

    fn remedy(&self, cause: &str) -> Option<String> {
        let held = cause.contains("can't lock file");
        held.then(|| "another task holds the guest, such as a shutdown that waits: let it end or stop that task".into())
    }
}
