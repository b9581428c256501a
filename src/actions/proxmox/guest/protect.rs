//! `proxmox.guest_protect`: whether a guest and its disks can be deleted.

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::{change, power};
use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Request, Seen};
use crate::actions::proxmox::look;
use crate::actions::proxmox::object::Guest;
use crate::clients::proxmox::Params;
use crate::engine::ports::{Call, Prediction, Probe, Unreadable, World};
use crate::event::Invocation;
use crate::model::action_spec::ActionSpec;
use crate::model::failure::Failure;
use crate::model::param::{Param, ValueType};

/// The act.
pub struct GuestProtect {
    spec: ActionSpec,
    timing: Timing,
}

impl GuestProtect {
    pub fn new(timing: Timing) -> Self {
        let title = "Protect a guest and its disks from being deleted, or no longer";
        let spec = change::spec("proxmox.guest_protect", title, "VM.Config.Options on /vms/{guest}")
            .param(Param::new("enabled", ValueType::Bool).required().help("Whether it is protected"))
            .output("protection", ValueType::Bool, "Whether it is protected")
            .undoable();
        Self { spec, timing }
    }
}

fn wanted(call: &Call) -> Result<bool, Failure> {
    call.arg("enabled")
}

fn words(enabled: bool) -> &'static str {
    if enabled { "protected" } else { "not protected" }
}

#[async_trait]
impl Act for GuestProtect {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, _: &Call, before: &Value) -> String {
        power::attempted("set the protection of", before)
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let (guest, wanted) = (look::guest(world, call.arg("guest")?).await?, wanted(call)?);
        if guest.protection == wanted {
            return Ok(power::satisfied(&guest, format!("{}: {} already", guest.title(), words(wanted))));
        }
        power::unlocked("protect", &guest, None)?;
        let (is, then) = (words(guest.protection), words(wanted));
        let mut probe = power::probe(&guest, format!("{}: {is} -> {then}", guest.title()));
        probe.guards.clear();
        Ok(probe)
    }

    fn request(&self, call: &Call, before: &Value) -> Result<Request, Failure> {
        let guest: Guest = look::before(before)?;
        let params = Params::new().flag("protection", wanted(call)?);
        Ok(change::request(&guest, guest.digest.as_deref(), params))
    }

    async fn judge(&self, call: &Call, before: &Value, _: Option<&Value>, world: &dyn World) -> Result<Seen, Failure> {
        let wanted = wanted(call)?;
        Ok(match change::now(before, world).await? {
            Ok(now) => {
                let is = format!("{} is {}", now.title(), words(now.protection));
                let outputs = || json!({"vmid": now.vmid, "protection": now.protection});
                change::seen(outputs, usize::from(now.protection == wanted), 1, is)
            }
            Err(strange) => strange,
        })
    }

    fn looks_again(&self) -> bool {
        true
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        let (Ok(guest), Ok(wanted)) = (look::before::<Guest>(&before.before), wanted(call)) else {
            return Prediction::default();
        };
        let outputs = json!({"vmid": guest.vmid, "protection": wanted});
        let patch = Map::from_iter([("protection".to_owned(), json!(wanted))]);
        let lines = Map::from_iter([("protection".to_owned(), json!(u8::from(wanted).to_string()))]);
        change::predict(before, outputs, patch, lines, Map::new())
    }

    fn undo(&self, _: &Call, before: &Value, _: Option<&Value>) -> Option<Invocation> {
        let guest: Guest = look::before(before).ok()?;
        power::undo(before, "proxmox.guest_protect", json!({"enabled": guest.protection}))
    }

    fn undo_summary(&self, call: &Call, before: &Probe) -> Option<String> {
        power::undo_summary(before, if wanted(call).ok()? { "protect {} no longer" } else { "protect {} again" })
    }

    fn check(&self, call: &Call, before: &Value) -> Option<String> {
        change::check(before, &format!("protection: {}", u8::from(wanted(call).ok()?)))
    }

    fn remedy(&self, cause: &str) -> Option<String> {
        change::remedy(cause)
    }
}
