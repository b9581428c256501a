//! `proxmox.guest_migrate`: moves a guest to another node and sees that it is there as it was.
//!
//! One migrate call, never repeated by itself. A running VM that may not move live (`mode: restart`) is shut down,
//! moved and started: three tasks, each durable before it is waited for.

mod apply;
mod order;
mod probe;
mod recover;
#[cfg(test)]
mod tests;
mod verdict;

use async_trait::async_trait;
use serde_json::Value;

use crate::actions::deps::Timing;
use crate::actions::proxmox::look::{self, live};
use crate::actions::proxmox::object::{Guest, TaskEntry};
use crate::actions::proxmox::resource::Resource;
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::{Intent, Invocation};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::ids::{NodeName, Upid};
use crate::model::param::{Param, ValueType};
use order::Order;
use verdict::{Verdict, judge};

pub(super) const NAME: &str = "proxmox.guest_migrate";

/// The action.
pub struct GuestMigrate {
    spec: ActionSpec,
    timing: Timing,
}

impl GuestMigrate {
    pub fn new(timing: Timing) -> Self {
        Self { spec: spec(), timing }
    }
}

fn spec() -> ActionSpec {
    let param = Param::new;
    ActionSpec::new(NAME, Effect::Change, "Move a guest to another node")
        .param(param("guest", ValueType::Guest).required().help("The guest to move"))
        .param(param("to", ValueType::Node).required().help("The node it goes to"))
        .param(param("mode", ValueType::String).choices(&["live", "offline", "restart"]).help(
            "live: a running VM; offline: a stopped guest; restart: down for the move. Default: live for a running VM, \
             offline for what is stopped; a running container needs restart",
        ))
        .param(param("storages", ValueType::Map).help("Source storage to target storage, for disks on local storage"))
        .param(
            param("status", ValueType::String)
                .choices(&["running", "stopped"])
                .help("What it must be afterwards; default: as it was. `running` starts a guest that is stopped"),
        )
        .param(
            param("into_maintenance", ValueType::Bool)
                .help("true: the target may be in HA maintenance, which is where a move back from an evacuation goes"),
        )
        .output("vmid", ValueType::Vmid, "The guest")
        .output("from", ValueType::Node, "Where it was")
        .output("to", ValueType::Node, "Where it is")
        .output("status", ValueType::String, "running or stopped")
        .needs_privilege("VM.Audit on /vms/{guest}")
        .needs_privilege("VM.Migrate on /vms/{guest}")
        .needs_privilege("VM.PowerMgmt on /vms/{guest} (mode restart of a VM)")
        .needs_privilege("Datastore.AllocateSpace on /storage/{target} (storages)")
        .undoable()
}

/// The guest as the probe found it.
fn before(intent: &Intent) -> Result<Guest, Failure> {
    serde_json::from_value(intent.before.clone())
        .map_err(|e| Failure::new(Class::Internal, "read the intent of a move", e.to_string()))
}

#[async_trait]
impl Action for GuestMigrate {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let order = Order::of(call)?;
        let guest = look::guest(world, order.vmid).await?;
        let target = look::node(world, &order.to).await?;
        Ok(probe::probe(&order, &guest, &target)?)
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        probe::predict(call, before)
    }

    async fn prepare(&self, call: &Call, world: &dyn World) -> Result<Value, Failure> {
        let order = Order::of(call)?;
        let guest = look::guest(world, order.vmid).await.map_err(look::settled)?;
        let mut known: Vec<Upid> = Vec::new();
        for node in order.nodes_with_tasks(&guest) {
            let tasks: Vec<TaskEntry> = live(world, Resource::GuestTasks(node, order.vmid)).await?;
            known.extend(tasks.into_iter().map(|task| task.upid));
        }
        Ok(serde_json::json!({"tasks": known}))
    }

    async fn apply(&self, call: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        apply::run(&Order::of(call)?, &before(intent)?, None, mutate).await
    }

    async fn attach(&self, call: &Call, intent: &Intent, handle: &Value, mutate: &Mutate) -> Result<Value, Failure> {
        apply::run(&Order::of(call)?, &before(intent)?, Some(handle), mutate).await
    }

    /// The guest's own node says: there, as it was, unlocked, twice in a row.
    async fn verify(&self, call: &Call, _: &Value, outputs: &Value, world: &dyn World) -> Result<(), Failure> {
        let order = Order::of(call)?;
        let wanted = outputs["status"].as_str().unwrap_or("running").to_owned();
        let until = tokio::time::Instant::now() + self.timing.settle;
        let mut good = 0;
        loop {
            let seen = match live::<Option<Guest>>(world, Resource::Guest(order.vmid)).await {
                Ok(guest) => verdict::amiss(guest.as_ref(), &order.to, &wanted),
                Err(failure) if look::may_pass(&failure) => Some(failure.to_string()),
                Err(failure) => return Err(failure),
            };
            good = if seen.is_none() { good + 1 } else { 0 };
            if good == 2 {
                return Ok(());
            }
            if let Some(seen) = seen.filter(|_| tokio::time::Instant::now() >= until) {
                return Err(unverified(&order, &wanted, &seen, self.timing.settle));
            }
            tokio::time::sleep(self.timing.poll).await;
        }
    }

    async fn recover(
        &self,
        call: &Call,
        intent: &Intent,
        handle: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        recover::recover(&Order::of(call)?, &before(intent)?, intent, handle, world, &self.timing).await
    }

    fn undo(&self, call: &Call, before: &Value, _: Option<&Value>) -> Option<Invocation> {
        let (order, guest) = (Order::of(call).ok()?, serde_json::from_value::<Guest>(before.clone()).ok()?);
        order.inverse(&guest).map(|with| Invocation { uses: NAME.to_owned(), with })
    }

    fn commands(&self, call: &Call, before: &Probe) -> Vec<String> {
        let Ok(guest) = serde_json::from_value::<Guest>(before.before.clone()) else { return Vec::new() };
        Order::of(call).map_or_else(|_| Vec::new(), |order| order.commands(&guest))
    }

    fn undo_summary(&self, call: &Call, before: &Probe) -> Option<String> {
        let (order, guest) = (Order::of(call).ok()?, serde_json::from_value::<Guest>(before.before.clone()).ok()?);
        order.inverse(&guest).map(|_| format!("move {} back to {}", guest.title(), guest.node))
    }
}

fn unverified(order: &Order, wanted: &str, seen: &str, waited: std::time::Duration) -> Failure {
    let (vmid, to, seconds) = (order.vmid, &order.to, waited.as_secs());
    let cause =
        format!("expected it on {to}, {wanted} and unlocked, twice in a row within {seconds} s; seen last: {seen}");
    Failure::new(Class::Verify, format!("verify that guest {vmid} runs on {to}"), cause)
        .remedy(format!("look at guest {vmid} on {to}; then resume or roll back the run"))
}

/// The words of a move.
fn attempted(guest: &Guest, to: &NodeName) -> String {
    format!("migrate {} from {} to {to}", guest.title(), guest.node)
}

/// What a finished move hands on.
fn outputs(order: &Order, before: &Guest) -> Value {
    serde_json::json!({
        "vmid": order.vmid,
        "from": before.node,
        "to": order.to,
        "status": order.wanted(before),
    })
}

/// Only the done-ness of a verdict.
fn how_much(verdict: &Verdict) -> Done {
    match verdict {
        Verdict::Done => Done::Whole,
        Verdict::Untouched => Done::None,
        Verdict::Partial { .. } => Done::Partial,
        Verdict::Unclear(_) => Done::Unknown,
    }
}

/// Looks at the object after trouble.
fn done_as_seen(order: &Order, before: &Guest, now: &Result<Option<Guest>, Failure>) -> Done {
    match now {
        Ok(now) => how_much(&judge(order, before, now.as_ref())),
        Err(_) => Done::Unknown,
    }
}
