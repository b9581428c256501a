//! `proxmox.task_stop`: stops a task that runs.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::log::upid;
use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Request, Seen};
use crate::actions::proxmox::look;
use crate::actions::proxmox::object::Task;
use crate::actions::proxmox::resource::Resource;
use crate::actions::proxmox::typed;
use crate::clients::proxmox::{Params, Verb, seg};
use crate::engine::ports::{Call, Prediction, Probe, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::Upid;
use crate::model::param::{Param, ValueType};
use crate::model::world::Delta;

/// The act.
pub struct TaskStop {
    spec: ActionSpec,
    timing: Timing,
}

impl TaskStop {
    pub fn new(timing: Timing) -> Self {
        let spec = ActionSpec::new("proxmox.task_stop", Effect::Disrupt, "Stop a task that runs")
            .param(Param::new("upid", ValueType::String).required().help("The task, as proxmox.tasks lists it"))
            .output("upid", ValueType::String, "The task")
            .output("cause", ValueType::String, "How it ended, in its own words; null where it ended well")
            .needs_privilege("Sys.Audit on /nodes (a task of somebody else)")
            .needs_privilege("Sys.Modify on /nodes (a task of somebody else)");
        Self { spec, timing }
    }
}

fn path(upid: &Upid) -> String {
    format!("/nodes/{}/tasks/{}", seg(upid.node()), seg(upid))
}

#[async_trait]
impl Act for TaskStop {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, _: &Call, before: &Value) -> String {
        look::before::<Task>(before).map_or_else(|_| "stop a task".into(), |task| format!("stop task {}", task.upid))
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let upid = upid(call)?;
        let task: Option<Task> = look::read(world, Resource::Task(upid.clone())).await?;
        let none = || {
            let failure = Failure::new(Class::Precondition, format!("stop task {upid}"), "its node does not know it");
            failure.remedy("`runbook do proxmox.tasks running=true` lists what runs")
        };
        let task = task.ok_or_else(none)?;
        let mut probe = Probe::new(format!("task {upid}: stop"), json!(task));
        if !task.running {
            probe.summary = format!("task {upid}: has ended already");
            probe.satisfied = true;
            return Ok(probe);
        }
        // Its id is of one process, so that it is no other task under the same name.
        probe.notes.push(format!("what the {} task was at stays as it is at that moment, a lock included", task.kind));
        Ok(probe)
    }

    fn request(&self, _: &Call, before: &Value) -> Result<Request, Failure> {
        Ok(Request::at_once(Verb::Delete, path(&look::before::<Task>(before)?.upid), Params::new()))
    }

    async fn judge(&self, _: &Call, before: &Value, _: Option<&Value>, world: &dyn World) -> Result<Seen, Failure> {
        let upid = look::before::<Task>(before)?.upid;
        Ok(match look::live::<Option<Task>>(world, Resource::Task(upid.clone())).await? {
            None => Seen::Strange(format!("the node of task {upid} does not know it any more")),
            Some(task) if task.running => Seen::Untouched(format!("task {upid} runs")),
            Some(task) => Seen::Done(json!({"upid": upid, "cause": task.cause})),
        })
    }

    fn predict(&self, _: &Call, before: &Probe) -> Prediction {
        let Ok(task) = look::before::<Task>(&before.before) else { return Prediction::default() };
        let outputs = [("upid".to_owned(), json!(task.upid))].into();
        if before.satisfied {
            return Prediction { outputs, ..Prediction::default() };
        }
        let patch = json!({"running": false, "outcome": "failed"});
        let deltas = vec![Delta { resource: Resource::Task(task.upid.clone()).key(), patch }];
        let why = format!("task {} is stopped", task.upid);
        let guest = task.upid.object().split('@').next().and_then(|id| id.parse().ok());
        let mut taints = vec![(Resource::ActiveTasks(task.upid.node()).key(), why.clone())];
        taints.extend(guest.map(|vmid| (Resource::Guest(vmid).key(), why)));
        Prediction { deltas, taints, outputs }
    }

    fn check(&self, _: &Call, before: &Value) -> Option<String> {
        let upid = look::before::<Task>(before).ok()?.upid;
        Some(typed::check(&typed::call(Verb::Get, &format!("{}/status", path(&upid)), &Params::new()), "it is stopped"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::proxmox::testing::{FakeWorld, call};

    const UPID: &str = "UPID:pve2:0001ABCD:00A1B2C3:67400000:vzdump:104:ops@pve!runbook:";

    fn world(task: Value) -> FakeWorld {
        FakeWorld::default().with(&format!("proxmox/task/{UPID}"), task)
    }

    #[tokio::test]
    async fn what_runs_is_stopped_and_what_has_ended_is_left_alone() {
        let (act, with) = (TaskStop::new(Timing::default()), call(json!({"upid": UPID})));
        let task = |running: bool| json!({"upid": UPID, "kind": "vzdump", "running": running, "cause": "interrupted"});
        let probe = act.look(&with, &world(task(true))).await.unwrap();
        assert!(!probe.satisfied);
        assert!(act.look(&with, &world(task(false))).await.unwrap().satisfied);
        let gone = act.look(&with, &world(Value::Null)).await.unwrap_err().to_string();
        assert!(gone.contains("does not know it"), "{gone}");
        let judge = async |task: Value| act.judge(&with, &probe.before, None, &world(task)).await.unwrap();
        assert!(matches!(judge(task(true)).await, Seen::Untouched(_)));
        assert_eq!(judge(task(false)).await, Seen::Done(json!({"upid": UPID, "cause": "interrupted"})));
        assert!(matches!(judge(Value::Null).await, Seen::Strange(_)));
        let guests = act.predict(&with, &probe).taints;
        assert!(guests.iter().any(|(key, _)| key.as_str() == "proxmox/guest/104"), "{guests:?}");
    }
}
