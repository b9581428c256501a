//! `proxmox.guest_unlock`: takes away a lock that an ended task has left behind (`qm unlock`, `pct unlock`).
//!
//! The API lets only root@pam's own ticket do that, so it goes by SSH. Only the lock that the step names is taken
//! away, and only while nothing is at work on the guest.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::actions::deps::Timing;
use crate::actions::proxmox::look::{self, live};
use crate::actions::proxmox::object::{Guest, Node, TaskEntry};
use crate::actions::proxmox::resource::Resource;
use crate::actions::proxmox::typed;
use crate::actions::proxmox::work::Work;
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::Intent;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::ids::{GuestKind, NodeName, Vmid};
use crate::model::param::{Param, ValueType};
use crate::model::shell;
use crate::model::world::{Delta, Predicate};

/// How long the command may still be at work when nobody waits for it any more: it gives up on the lock of the
/// configuration's file after 10 s.
const LATE: Duration = Duration::from_secs(15);

/// The action.
pub struct GuestUnlock {
    spec: ActionSpec,
    timing: Timing,
}

impl GuestUnlock {
    pub fn new(timing: Timing) -> Self {
        let spec = ActionSpec::new("proxmox.guest_unlock", Effect::Change, "Take a left-over lock off a guest")
            .param(Param::new("guest", ValueType::Guest).required().help("The guest"))
            .param(
                Param::new("lock", ValueType::String)
                    .help("The lock that it must have (migrate, backup, ...); default: the one that the plan finds"),
            )
            .output("vmid", ValueType::Vmid, "The guest")
            .needs_privilege("VM.Audit on /vms/{guest}")
            .needs_privilege("SSH to the guest's node as root (the API has this for root@pam only)");
        Self { spec, timing }
    }
}

fn attempted(guest: &Guest, lock: &str) -> String {
    format!("take the lock `{lock}` off {}", guest.title())
}

/// A task that is at work on the guest, on any node: once a migration has handed the guest over, its task is still on
/// the node that the guest came from.
async fn at_work(world: &dyn World, guest: &Guest) -> Result<Option<TaskEntry>, Unreadable> {
    let nodes: BTreeMap<NodeName, Node> = look::read(world, Resource::Nodes).await?;
    let others = nodes.values().filter(|node| node.online && node.name != guest.node).map(|node| &node.name);
    for node in std::iter::once(&guest.node).chain(others) {
        let tasks: Vec<TaskEntry> = look::read(world, Resource::GuestTasks(node.clone(), guest.vmid)).await?;
        if let Some(task) = tasks.into_iter().find(|task| task.running) {
            return Ok(Some(task));
        }
    }
    Ok(None)
}

/// The command, on the guest's node.
fn argv(guest: &Guest) -> [String; 3] {
    let tool = match guest.kind {
        GuestKind::Qemu => "qm",
        GuestKind::Lxc => "pct",
    };
    [tool.to_owned(), "unlock".to_owned(), guest.vmid.to_string()]
}

#[async_trait]
impl Action for GuestUnlock {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let guest = look::guest(world, call.arg("guest")?).await?;
        let named: Option<String> = call.arg("lock")?;
        let lock = named.or_else(|| guest.lock.clone()).unwrap_or_default();
        let mut probe = Probe::new(format!("{}: take off the lock `{lock}`", guest.title()), json!(guest));
        probe.identities = vec![look::identity(&guest)];
        let fail = |cause: String| Failure::new(Class::Precondition, attempted(&guest, &lock), cause);
        match &guest.lock {
            None => {
                probe.satisfied = true;
                probe.summary = format!("{}: not locked", guest.title());
                return Ok(probe);
            }
            Some(held) if *held != lock => {
                let remedy = format!("name the lock that is to go (lock: {held}), if nothing holds it any more");
                return Err(fail(format!("its lock is `{held}`")).remedy(remedy).into());
            }
            Some(_) => {}
        }
        if let Some(task) = at_work(world, &guest).await? {
            let cause = format!("task {} ({}) is still at work on it", task.upid, task.kind);
            return Err(fail(cause).remedy("wait until it has ended").into());
        }
        let (at, text) = (Resource::Guest(guest.vmid), format!("{} is locked ({lock})", guest.title()));
        probe.guards = vec![look::guard(text, at, "/lock", Predicate::Equals, json!(lock))];
        Ok(probe)
    }

    fn predict(&self, _: &Call, before: &Probe) -> Prediction {
        let Ok(guest) = serde_json::from_value::<Guest>(before.before.clone()) else { return Prediction::default() };
        let id = guest.vmid.to_string();
        Prediction {
            deltas: vec![
                Delta { resource: Resource::Guest(guest.vmid).key(), patch: json!({"lock": null}) },
                Delta { resource: Resource::Guests.key(), patch: json!({id: {"lock": null}}) },
            ],
            taints: Vec::new(),
            outputs: [("vmid".to_owned(), json!(guest.vmid))].into(),
        }
    }

    fn commands(&self, _: &Call, before: &Probe) -> Vec<String> {
        let Ok(guest) = serde_json::from_value::<Guest>(before.before.clone()) else { return Vec::new() };
        let there = ["ssh".to_owned(), format!("root@{}", guest.node)];
        let command = shell::line(there.into_iter().chain(argv(&guest)));
        vec![command, typed::check_guest(&guest.node, guest.kind, guest.vmid, "no lock")]
    }

    async fn apply(&self, _: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let guest: Guest = serde_json::from_value(intent.before.clone())
            .map_err(|e| Failure::new(Class::Internal, "read the intent of an unlock", e.to_string()))?;
        let lock = guest.lock.clone().unwrap_or_default();
        let work = Work::new(mutate, attempted(&guest, &lock))?;
        let argv = argv(&guest);
        work.command(&guest.node, &argv.each_ref().map(String::as_str), self.timing.command).await?;
        Ok(json!({"vmid": guest.vmid}))
    }

    async fn verify(&self, call: &Call, _: &Value, _: &Value, world: &dyn World) -> Result<(), Failure> {
        let vmid: Vmid = call.arg("guest")?;
        let until = Instant::now() + self.timing.settle;
        loop {
            let seen = match live::<Option<Guest>>(world, Resource::Guest(vmid)).await {
                Ok(now) => match now.and_then(|guest| guest.lock) {
                    None => return Ok(()),
                    Some(lock) => (Instant::now(), lock),
                },
                Err(failure) if look::may_pass(&failure) => (until, failure.to_string()),
                Err(failure) => return Err(failure),
            };
            // Another lock may be taken at any time; only what cannot be seen is waited for.
            if Instant::now() >= seen.0 {
                let cause = format!("expected no lock, seen: {}", seen.1);
                return Err(Failure::new(Class::Verify, format!("verify that guest {vmid} is not locked"), cause));
            }
            tokio::time::sleep(self.timing.poll).await;
        }
    }

    async fn recover(
        &self,
        call: &Call,
        _: &Intent,
        _: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        let (vmid, until) = (call.arg::<Vmid>("guest")?, Instant::now() + LATE);
        loop {
            match live::<Option<Guest>>(world, Resource::Guest(vmid)).await? {
                None => return Ok(Recovery::InDoubt(format!("guest {vmid} is on no node"))),
                Some(guest) if guest.lock.is_none() => return Ok(Recovery::Done(json!({"vmid": vmid}))),
                // Taking it off twice is the same as once.
                Some(guest) if Instant::now() >= until => {
                    let (lock, waited) = (guest.lock.as_deref().unwrap_or_default(), LATE.as_secs());
                    let evidence = format!("{} is locked ({lock}) after {waited} s more", guest.title());
                    return Ok(Recovery::Unseen { done: Done::None, evidence });
                }
                Some(_) => tokio::time::sleep(self.timing.poll).await,
            }
        }
    }
}
