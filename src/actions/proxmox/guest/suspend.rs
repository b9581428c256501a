//! `proxmox.guest_suspend` and `proxmox.guest_resume`: a VM stands still and goes on.

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

/// The act that makes it stand still.
pub struct GuestSuspend {
    spec: ActionSpec,
    timing: Timing,
}

/// The act that lets it go on.
pub struct GuestResume {
    spec: ActionSpec,
    timing: Timing,
}

impl GuestSuspend {
    pub fn new(timing: Timing) -> Self {
        let to_disk = "Write its memory to disk and switch it off; without, it keeps its memory and stands still";
        let spec = power::spec("proxmox.guest_suspend", Effect::Disrupt, "Let a VM stand still")
            .param(Param::new("to_disk", ValueType::Bool).default_value(false).help(to_disk))
            .undoable();
        Self { spec, timing }
    }
}

impl GuestResume {
    pub fn new(timing: Timing) -> Self {
        let spec = power::spec("proxmox.guest_resume", Effect::Change, "Let a VM that stands still go on").undoable();
        Self { spec, timing }
    }
}

fn paused(guest: &Guest) -> bool {
    guest.is_running() && guest.qmpstatus.as_deref() == Some("paused")
}

fn on_disk(guest: &Guest) -> bool {
    !guest.is_running() && guest.lock.as_deref() == Some("suspended")
}

fn to_disk(call: &Call) -> Result<bool, Failure> {
    Ok(call.arg::<Option<bool>>("to_disk")?.unwrap_or(false))
}

fn is_vm(verb: &str, guest: &Guest) -> Result<(), Failure> {
    if guest.kind == GuestKind::Qemu {
        return Ok(());
    }
    let cause = format!("{} is a container, and only VMs can stand still", guest.title());
    Err(power::impossible(verb, guest, cause, "shut it down instead"))
}

/// What is seen of one that should be on disk.
fn on_disk_seen(now: &Guest) -> Seen {
    match (now.is_running(), now.lock.as_deref()) {
        (false, Some("suspended")) => Seen::Done(power::outputs(now)),
        (false, lock) => {
            let lock = lock.map_or_else(String::new, |lock| format!(" and locked ({lock})"));
            Seen::Partial(format!("{} is off{lock}, and its memory is not known to be on disk", now.title()))
        }
        (true, Some(lock)) => Seen::Partial(format!("{} runs and is locked ({lock})", now.title())),
        (true, None) => power::seen(now, false),
    }
}

#[async_trait]
impl Act for GuestSuspend {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, _: &Call, before: &Value) -> String {
        power::attempted("suspend", before)
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let (guest, to_disk) = (look::guest(world, call.arg("guest")?).await?, to_disk(call)?);
        is_vm("suspend", &guest)?;
        if (to_disk && on_disk(&guest)) || (!to_disk && paused(&guest)) {
            return Ok(power::satisfied(&guest, format!("{}: stands still already", guest.title())));
        }
        if !guest.is_running() {
            let cause = format!("{} is {}", guest.title(), guest.status);
            return Err(power::impossible("suspend", &guest, cause, "only what runs can be suspended").into());
        }
        power::unlocked("suspend", &guest, None)?;
        if to_disk {
            power::not_of_ha("suspend", &guest)?;
        }
        let how = if to_disk { "write its memory to disk and switch it off" } else { "let it stand still" };
        Ok(power::probe(&guest, format!("{}: {how}, on {}", guest.title(), guest.node)))
    }

    fn request(&self, call: &Call, before: &Value) -> Result<Request, Failure> {
        let guest: Guest = look::before(before)?;
        let params = if to_disk(call)? { Params::new().flag("todisk", true) } else { Params::new() };
        Ok(power::request(&guest, "suspend", params, &["qmsuspend", "qmpause"]))
    }

    async fn judge(&self, call: &Call, before: &Value, _: Option<&Value>, world: &dyn World) -> Result<Seen, Failure> {
        Ok(match power::now(&look::before(before)?, world).await? {
            Ok(now) if to_disk(call)? => on_disk_seen(&now),
            Ok(now) if !now.is_running() => Seen::Partial(format!("{} is off, not suspended", now.title())),
            Ok(now) => power::seen(&now, paused(&now)),
            Err(strange) => strange,
        })
    }

    fn looks(&self) -> u32 {
        2
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        power::predict(before, "stands still", |guest| match to_disk(call) {
            Ok(true) => {
                json!({"status": "stopped", "qmpstatus": "stopped", "lock": "suspended", "digest": null})
            }
            _ => power::state(guest, "running", "paused"),
        })
    }

    fn undo(&self, _: &Call, before: &Value, _: Option<&Value>) -> Option<Invocation> {
        power::undo(before, "proxmox.guest_resume", json!({}))
    }

    fn undo_summary(&self, _: &Call, before: &Probe) -> Option<String> {
        power::undo_summary(before, "let {} go on")
    }

    fn check(&self, call: &Call, before: &Value) -> Option<String> {
        let to_disk = matches!(to_disk(call), Ok(true));
        power::check(before, if to_disk { "stopped, lock suspended" } else { "qmpstatus paused" })
    }
}

#[async_trait]
impl Act for GuestResume {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, _: &Call, before: &Value) -> String {
        power::attempted("resume", before)
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let guest = look::guest(world, call.arg("guest")?).await?;
        is_vm("resume", &guest)?;
        if guest.is_running() && !paused(&guest) {
            return Ok(power::satisfied(&guest, format!("{}: runs already on {}", guest.title(), guest.node)));
        }
        power::unlocked("resume", &guest, Some("suspended"))?;
        if !guest.is_running() && !on_disk(&guest) {
            let cause = format!("{} is off, and no memory of it is on disk", guest.title());
            return Err(power::impossible("resume", &guest, cause, "start it instead").into());
        }
        let from = if on_disk(&guest) { "start with the memory on disk" } else { "let it go on" };
        Ok(power::probe(&guest, format!("{}: {from}, on {}", guest.title(), guest.node)))
    }

    fn request(&self, _: &Call, before: &Value) -> Result<Request, Failure> {
        let guest: Guest = look::before(before)?;
        Ok(power::request(&guest, "resume", Params::new(), &["qmresume", "qmstart"]))
    }

    async fn judge(&self, _: &Call, before: &Value, _: Option<&Value>, world: &dyn World) -> Result<Seen, Failure> {
        let before: Guest = look::before(before)?;
        Ok(match power::now(&before, world).await? {
            Ok(now) if !now.is_running() && !on_disk(&now) => {
                Seen::Partial(format!("{} is off, and no memory of it is on disk", now.title()))
            }
            Ok(now) if on_disk(&before) && paused(&now) => Seen::Partial(format!("{} is paused", now.title())),
            Ok(now) => power::seen(&now, now.is_running() && !paused(&now)),
            Err(strange) => strange,
        })
    }

    fn looks(&self) -> u32 {
        2
    }

    fn predict(&self, _: &Call, before: &Probe) -> Prediction {
        power::predict(before, "goes on", |guest| match on_disk(guest) {
            true => json!({"status": "running", "qmpstatus": "running", "lock": null, "digest": null}),
            false => power::state(guest, "running", "running"),
        })
    }

    fn undo(&self, _: &Call, before: &Value, _: Option<&Value>) -> Option<Invocation> {
        let guest: Guest = look::before(before).ok()?;
        power::undo(before, "proxmox.guest_suspend", json!({"to_disk": on_disk(&guest)}))
    }

    fn undo_summary(&self, _: &Call, before: &Probe) -> Option<String> {
        power::undo_summary(before, "suspend {} again")
    }

    fn check(&self, _: &Call, before: &Value) -> Option<String> {
        power::check(before, "running")
    }
}
