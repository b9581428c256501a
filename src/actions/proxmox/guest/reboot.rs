//! `proxmox.guest_reboot`: shuts a guest down and starts it again, and sees that it is another boot.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::power;
use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Request, Seen};
use crate::actions::proxmox::look::{self, live, read};
use crate::actions::proxmox::object::Guest;
use crate::actions::proxmox::resource::Resource;
use crate::actions::proxmox::state::GuestState;
use crate::clients::proxmox::Params;
use crate::engine::ports::{Call, Prediction, Probe, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::param::{Param, ValueType};

/// Below so many seconds since its start, less time on is no proof of another boot.
const TOO_YOUNG: u64 = 30;

/// The act.
pub struct GuestReboot {
    spec: ActionSpec,
    timing: Timing,
}

/// What the probe found: the guest, and which boot of it this is.
#[derive(Debug, Serialize, Deserialize)]
struct Before {
    #[serde(flatten)]
    guest: Guest,
    boot: GuestState,
}

impl GuestReboot {
    pub fn new(timing: Timing) -> Self {
        let spec = power::spec("proxmox.guest_reboot", Effect::Disrupt, "Shut a guest down and start it again").param(
            Param::new("timeout", ValueType::Duration).default_value("3m").help("How long its shutdown may take"),
        );
        Self { spec, timing }
    }
}

fn possible(guest: &Guest, boot: &GuestState) -> Result<(), Failure> {
    if !guest.is_running() {
        let cause = format!("{} is {}", guest.title(), guest.status);
        return Err(power::impossible("reboot", guest, cause, "start it instead"));
    }
    power::unlocked("reboot", guest, None)?;
    if guest.qmpstatus.as_deref() == Some("paused") {
        let cause = format!("{} is paused and cannot hear the request", guest.title());
        return Err(power::impossible("reboot", guest, cause, "resume it first"));
    }
    if boot.pid.is_none() && boot.uptime < TOO_YOUNG {
        let cause =
            format!("{} was started {} s ago: another boot could not be told from this", guest.title(), boot.uptime);
        return Err(Failure::new(Class::Transient, format!("reboot {}", guest.title()), cause)
            .remedy(format!("wait until it is up for {TOO_YOUNG} s")));
    }
    Ok(())
}

#[async_trait]
impl Act for GuestReboot {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, _: &Call, before: &Value) -> String {
        power::attempted("reboot", before)
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let guest = look::guest(world, call.arg("guest")?).await?;
        let boot: Option<GuestState> = read(world, Resource::GuestState(guest.vmid)).await?;
        let none = || power::impossible("reboot", &guest, "no node has it any more", "check the VMID");
        let boot = boot.ok_or_else(none)?;
        possible(&guest, &boot)?;
        let mut probe = power::probe(&guest, format!("{}: reboot on {}", guest.title(), guest.node));
        if guest.is_owned_by_ha() {
            probe.notes.push(format!("the HA manager owns {}: it may start it itself once it is off", guest.title()));
        }
        probe.before = json!(Before { guest, boot });
        Ok(probe)
    }

    fn request(&self, call: &Call, before: &Value) -> Result<Request, Failure> {
        let guest: Guest = look::before(before)?;
        let params = Params::new().opt("timeout", power::seconds(call, "timeout"));
        Ok(power::request(&guest, "reboot", params, &["qmreboot", "vzreboot"]))
    }

    async fn judge(&self, _: &Call, before: &Value, _: Option<&Value>, world: &dyn World) -> Result<Seen, Failure> {
        let before: Before = look::before(before)?;
        let now = match power::now(&before.guest, world).await? {
            Ok(now) => now,
            Err(strange) => return Ok(strange),
        };
        if !now.is_running() {
            return Ok(Seen::Partial(format!("{} is off and has not been started again", now.title())));
        }
        let Some(boot) = live::<Option<GuestState>>(world, Resource::GuestState(now.vmid)).await? else {
            return Ok(Seen::Strange(format!("{} is on no node", now.title())));
        };
        if !boot.is_running() {
            return Ok(Seen::Partial(format!("{} is off and has not been started again", now.title())));
        }
        if boot.is_another_boot_than(&before.boot) {
            return Ok(power::seen(&now, true));
        }
        Ok(Seen::Untouched(format!("{} is up for {} s: the same boot", now.title(), boot.uptime)))
    }

    fn settles_in(&self, _: &Call) -> Duration {
        // A VM's task ends with the shutdown; what starts it again comes after it.
        self.timing.settle + self.timing.late_command
    }

    fn predict(&self, _: &Call, before: &Probe) -> Prediction {
        power::predict(before, "reboots", |guest| power::state(guest, "running", "running"))
    }

    fn check(&self, _: &Call, before: &Value) -> Option<String> {
        power::check(before, "running, and its uptime small")
    }

    fn remedy(&self, cause: &str) -> Option<String> {
        let slow = cause.contains("got timeout") || cause.contains("powerdown failed");
        slow.then(|| "give it more time (timeout), or stop it hard and start it".into())
    }
}
