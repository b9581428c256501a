//! `proxmox.guest_shutdown`: asks a guest to shut down and sees that it has.

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::trace::{Trace, known_before, new_tasks, trace};
use crate::actions::deps::Timing;
use crate::actions::proxmox::look::{self, live};
use crate::actions::proxmox::object::{Guest, TaskEntry};
use crate::actions::proxmox::resource::Resource;
use crate::actions::proxmox::source::ProxmoxSource;
use crate::actions::proxmox::typed;
use crate::actions::proxmox::work::Work;
use crate::clients::proxmox::{Params, TaskOutcome, seg};
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::Intent;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::ids::{Upid, Vmid};
use crate::model::param::{Param, ValueType};
use crate::model::world::{Delta, Predicate};

const KINDS: [&str; 4] = ["qmshutdown", "vzshutdown", "qmstop", "vzstop"];

/// The action.
pub struct GuestShutdown {
    spec: ActionSpec,
    timing: Timing,
}

impl GuestShutdown {
    pub fn new(timing: Timing) -> Self {
        let spec = ActionSpec::new("proxmox.guest_shutdown", Effect::Disrupt, "Shut a guest down")
            .param(Param::new("guest", ValueType::Guest).required().help("The guest"))
            .param(Param::new("timeout", ValueType::Duration).default_value("3m").help("How long it may take"))
            .param(Param::new("force", ValueType::Bool).default_value(false).help("Stop it hard when its time is over"))
            .output("vmid", ValueType::Vmid, "The guest")
            .output("node", ValueType::Node, "Where it is")
            .needs_privilege("VM.Audit on /vms/{guest}")
            .needs_privilege("VM.PowerMgmt on /vms/{guest}");
        Self { spec, timing }
    }
}

fn before(intent: &Intent) -> Result<Guest, Failure> {
    serde_json::from_value(intent.before.clone())
        .map_err(|e| Failure::new(Class::Internal, "read the intent of a shutdown", e.to_string()))
}

fn attempted(guest: &Guest) -> String {
    format!("shut {} down on {}", guest.title(), guest.node)
}

/// The call: its path and parameters.
fn request(call: &Call, guest: &Guest) -> Result<(String, Params), Failure> {
    let timeout = look::duration(call.get("timeout")).unwrap_or(std::time::Duration::from_secs(180));
    let force: Option<bool> = call.arg("force")?;
    let path = format!("/nodes/{}/{}/{}/status/shutdown", seg(&guest.node), guest.kind, guest.vmid);
    let params = Params::new().set("timeout", timeout.as_secs());
    Ok((path, if force == Some(true) { params.flag("forceStop", true) } else { params }))
}

fn outputs(guest: &Guest) -> Value {
    json!({"vmid": guest.vmid, "node": guest.node})
}

/// What stands in the way.
fn possible(guest: &Guest) -> Result<(), Failure> {
    let fail = |class, cause: String| Failure::new(class, attempted(guest), cause);
    if let Some(lock) = &guest.lock {
        let cause = format!("{} is locked ({lock})", guest.title());
        return Err(fail(Class::Locked, cause).remedy(format!("wait until the {lock} has ended")));
    }
    if guest.is_owned_by_ha() {
        let cause = format!("the HA manager owns {}: it would start it again or only be asked", guest.title());
        return Err(fail(Class::Precondition, cause).remedy("set its HA state to stopped, or to ignored first"));
    }
    if guest.qmpstatus.as_deref() == Some("paused") {
        let cause = format!("{} is paused and cannot hear the request", guest.title());
        return Err(fail(Class::Precondition, cause).remedy("resume it first"));
    }
    Ok(())
}

/// What a look at the guest says once nothing is under way.
fn judge(before: &Guest, now: Option<&Guest>) -> Recovery {
    match now {
        None => Recovery::InDoubt(format!("{} is on no node", before.title())),
        Some(now) if !now.is_same_as(before) => {
            Recovery::InDoubt(format!("{} is another guest now: {}", before.vmid, now.title()))
        }
        Some(now) if !now.is_running() && now.lock.is_none() => Recovery::Done(outputs(now)),
        Some(now) if !now.is_running() => {
            Recovery::Partial(format!("{} is stopped and locked ({})", now.title(), now.lock.as_deref().unwrap_or("")))
        }
        Some(_) => Recovery::NotApplied,
    }
}

/// The same where its task was taken and has ended: a guest that still runs is then no leave to ask again. `failed`:
/// whether it did; `None`: its node does not remember it.
fn once_taken(before: &Guest, now: Option<&Guest>, handle: &Value, failed: Option<bool>) -> Recovery {
    let how = match (judge(before, now), failed) {
        // Attaching to it reads why from its log, and the step's policy decides about another attempt.
        (Recovery::NotApplied, Some(true)) => return Recovery::Running(handle.clone()),
        (Recovery::NotApplied, Some(false)) => "has ended well",
        (Recovery::NotApplied, None) => "is not known to its node any more",
        (answer, _) => return answer,
    };
    let upid = handle["upid"].as_str().unwrap_or_default();
    Recovery::InDoubt(format!("task {upid} was taken and {how}, and {} runs", before.title()))
}

impl GuestShutdown {
    async fn finish(&self, work: &Work<'_>, before: &Guest, upid: &Upid) -> Result<Value, Failure> {
        let end = work.follow(upid).await?;
        if end.is_success() {
            return Ok(outputs(before));
        }
        let now = ProxmoxSource::new((*work.site).clone()).guest(before.vmid).await;
        let done = match now.map(|now| judge(before, now.as_ref())) {
            Ok(Recovery::Done(_)) => Done::Whole,
            Ok(Recovery::NotApplied) => Done::None,
            Ok(Recovery::Partial(_)) => Done::Partial,
            _ => Done::Unknown,
        };
        let failure = work.failed(&end).done(done);
        let timed_out = failure.cause.contains("got timeout");
        Err(if timed_out {
            failure.remedy("give it more time (timeout), or force: true to stop it hard")
        } else {
            failure
        })
    }

    /// Looks for a shutdown that was not there before the intent, for as long as it may take to show.
    async fn search(&self, before: &Guest, intent: &Intent, world: &dyn World) -> Result<Recovery, Failure> {
        let (known, until) = (known_before(intent), Instant::now() + self.timing.late_task);
        let nodes = [before.node.clone()];
        loop {
            let now: Option<Guest> = live(world, Resource::Guest(before.vmid)).await?;
            let verdict = judge(before, now.as_ref());
            if matches!(verdict, Recovery::Done(_)) {
                return Ok(verdict);
            }
            let tasks = match new_tasks(world, &nodes, before.vmid, &known).await? {
                Ok(tasks) => tasks,
                Err(why) => return Ok(Recovery::InDoubt(format!("the node's tasks cannot be read: {why}"))),
            };
            let ours: Vec<&TaskEntry> = tasks.iter().filter(|t| KINDS.contains(&t.kind.as_str())).collect();
            if let Some(task) = ours.iter().find(|t| t.running) {
                return Ok(Recovery::Running(json!({"upid": task.upid})));
            }
            if let Some(task) = ours.first() {
                let now: Option<Guest> = live(world, Resource::Guest(before.vmid)).await?;
                let failed = task.status.as_deref().is_some_and(|s| !TaskOutcome::from_exitstatus(s).is_success());
                return Ok(once_taken(before, now.as_ref(), &json!({"upid": task.upid}), Some(failed)));
            }
            if Instant::now() >= until {
                return Ok(match verdict {
                    Recovery::NotApplied => {
                        let (title, node, waited) = (before.title(), &before.node, self.timing.late_task.as_secs());
                        let evidence = format!("{title} runs, and no task has shown on {node} within {waited} s");
                        Recovery::Unseen { done: Done::None, evidence }
                    }
                    verdict => verdict,
                });
            }
            tokio::time::sleep(self.timing.poll).await;
        }
    }
}

fn upid(handle: &Value) -> Result<Upid, Failure> {
    serde_json::from_value(handle["upid"].clone())
        .map_err(|e| Failure::new(Class::Internal, "read the handle of a shutdown", e.to_string()).done(Done::Unknown))
}

#[async_trait]
impl Action for GuestShutdown {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let guest = look::guest(world, call.arg("guest")?).await?;
        let mut probe = Probe::new(format!("{}: shut down on {}", guest.title(), guest.node), json!(guest));
        probe.identities = vec![look::identity(&guest)];
        if !guest.is_running() {
            probe.summary = format!("{}: stopped already", guest.title());
            probe.satisfied = true;
            return Ok(probe);
        }
        possible(&guest)?;
        let (at, text) = (Resource::Guest(guest.vmid), format!("{} is running", guest.title()));
        probe.guards = vec![look::guard(text, at, "/status", Predicate::Equals, json!("running"))];
        Ok(probe)
    }

    fn predict(&self, _: &Call, before: &Probe) -> Prediction {
        let Ok(guest) = serde_json::from_value::<Guest>(before.before.clone()) else { return Prediction::default() };
        let outputs = [("vmid".to_owned(), json!(guest.vmid)), ("node".to_owned(), json!(guest.node))].into();
        if before.satisfied {
            return Prediction { outputs, ..Prediction::default() };
        }
        let id = guest.vmid.to_string();
        let deltas = vec![
            Delta {
                resource: Resource::Guest(guest.vmid).key(),
                patch: json!({"status": "stopped", "qmpstatus": "stopped"}),
            },
            Delta { resource: Resource::Guests.key(), patch: json!({id: {"status": "stopped"}}) },
        ];
        let why = format!("{} stops", guest.title());
        let taints = vec![
            (Resource::NodeMemory(guest.node.clone()).key(), why.clone()),
            (Resource::GuestEvacuation(guest.vmid).key(), why.clone()),
            (crate::actions::proxmox::resource::all_placements(), why),
        ];
        Prediction { deltas, taints, outputs }
    }

    fn commands(&self, call: &Call, before: &Probe) -> Vec<String> {
        let Ok(guest) = serde_json::from_value::<Guest>(before.before.clone()) else { return Vec::new() };
        let Ok((path, params)) = request(call, &guest) else { return Vec::new() };
        vec![typed::create(&path, &params), typed::check_guest(&guest.node, guest.kind, guest.vmid, "stopped")]
    }

    async fn prepare(&self, call: &Call, world: &dyn World) -> Result<Value, Failure> {
        let vmid: Vmid = call.arg("guest")?;
        let guest = look::guest(world, vmid).await.map_err(look::settled)?;
        let tasks: Vec<TaskEntry> = live(world, Resource::GuestTasks(guest.node, vmid)).await?;
        Ok(json!({"tasks": tasks.into_iter().map(|t| t.upid).collect::<Vec<_>>()}))
    }

    async fn apply(&self, call: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let guest = before(intent)?;
        let work = Work::new(mutate, attempted(&guest))?;
        let (path, params) = request(call, &guest)?;
        let upid = work.start(&path, &params, |upid| json!({"upid": upid})).await?;
        self.finish(&work, &guest, &upid).await
    }

    async fn attach(&self, _: &Call, intent: &Intent, handle: &Value, mutate: &Mutate) -> Result<Value, Failure> {
        let guest = before(intent)?;
        let work = Work::new(mutate, attempted(&guest))?;
        self.finish(&work, &guest, &upid(handle)?).await
    }

    async fn verify(&self, call: &Call, _: &Value, _: &Value, world: &dyn World) -> Result<(), Failure> {
        let vmid: Vmid = call.arg("guest")?;
        let until = Instant::now() + self.timing.settle;
        let mut good = 0;
        loop {
            let seen = match live::<Option<Guest>>(world, Resource::Guest(vmid)).await {
                Ok(Some(guest)) if !guest.is_running() => None,
                Ok(Some(guest)) => Some(format!("{} on {}", guest.status, guest.node)),
                Ok(None) => Some("it is on no node".to_owned()),
                Err(failure) if look::may_pass(&failure) => Some(failure.to_string()),
                Err(failure) => return Err(failure),
            };
            good = if seen.is_none() { good + 1 } else { 0 };
            if good == 2 {
                return Ok(());
            }
            if let Some(seen) = seen.filter(|_| Instant::now() >= until) {
                let cause = format!("expected it stopped, twice in a row; seen last: {seen}");
                return Err(Failure::new(Class::Verify, format!("verify that guest {vmid} is stopped"), cause));
            }
            tokio::time::sleep(self.timing.poll).await;
        }
    }

    async fn recover(
        &self,
        _: &Call,
        intent: &Intent,
        handle: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        let guest = before(intent)?;
        let Some(handle) = handle else { return self.search(&guest, intent, world).await };
        let seen = trace(world, &upid(handle)?).await?;
        let now = live::<Option<Guest>>(world, Resource::Guest(guest.vmid)).await;
        match (seen, now) {
            (Trace::Unseen(why), Err(_)) => Ok(Recovery::InDoubt(format!("its task cannot be asked about: {why}"))),
            (Trace::Unseen(why), Ok(now)) => Ok(match judge(&guest, now.as_ref()) {
                Recovery::NotApplied => {
                    Recovery::InDoubt(format!("it runs, and its task cannot be asked about: {why}"))
                }
                answer => answer,
            }),
            (Trace::Ended(task), now) => {
                let failed = task.map(|task| task.outcome.as_deref() != Some("ok"));
                Ok(once_taken(&guest, now?.as_ref(), handle, failed))
            }
            (Trace::Running, _) => Ok(Recovery::Running(handle.clone())),
        }
    }
}
