//! `proxmox.task_wait`: waits until a task has ended well.

use async_trait::async_trait;
use serde_json::json;
use tokio::time::Instant;

use super::log::upid;
use crate::actions::deps::Timing;
use crate::actions::proxmox::look;
use crate::actions::proxmox::object::Task;
use crate::actions::proxmox::resource::Resource;
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::param::{Param, ValueType};

/// The action.
pub struct TaskWait {
    spec: ActionSpec,
    timing: Timing,
}

impl TaskWait {
    pub fn new(timing: Timing) -> Self {
        let spec = ActionSpec::new("proxmox.task_wait", Effect::Read, "Wait until a task has ended well")
            .param(Param::new("upid", ValueType::String).required().help("The task, as proxmox.tasks lists it"))
            .param(Param::new("within", ValueType::Duration).default_value("1h").help("How long it may still take"))
            .output("upid", ValueType::String, "The task")
            .needs_privilege("Sys.Audit on /nodes (a task of somebody else)");
        Self { spec, timing }
    }
}

#[async_trait]
impl Action for TaskWait {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let upid = upid(call)?;
        let fail = |class, cause: String| Failure::new(class, format!("wait for task {upid}"), cause);
        let until = look::duration(call.get("within")).map(|within| Instant::now() + within);
        let mut unseen_since = None;
        loop {
            let task = match look::read::<Option<Task>>(world, Resource::Task(upid.clone())).await {
                Err(Unreadable::Failed(failure)) if look::may_pass(&failure) && call.run.is_some() => {
                    if unseen_since.get_or_insert_with(Instant::now).elapsed() >= self.timing.patience {
                        return Err(failure.into());
                    }
                    tokio::time::sleep(self.timing.poll).await;
                    continue;
                }
                task => task?,
            };
            unseen_since = None;
            match task {
                None => return Err(fail(Class::Precondition, "its node does not know it".into()).into()),
                Some(task) if task.running && call.run.is_none() => {
                    return Err(Unreadable::Unknown(format!("task {upid} still runs")));
                }
                Some(task) if task.running => {}
                Some(task) if task.outcome.as_deref() == Some("ok") => {
                    let (outputs, summary) = (json!({"upid": upid}), format!("task {upid} has ended well"));
                    return Ok(Reading { outputs, summary, guards: Vec::new(), notes: Vec::new() });
                }
                Some(task) => {
                    let cause = task.cause.unwrap_or_else(|| "it did not end well".into());
                    return Err(fail(Class::Failed, cause).details(task.log).into());
                }
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return Err(fail(Class::Timeout, "it still runs".into()).into());
            }
            tokio::time::sleep(self.timing.poll).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::proxmox::testing::{FakeWorld, call};

    const UPID: &str = "UPID:pve2:0001ABCD:00A1B2C3:67400000:vzdump:104:ops@pve!runbook:";

    fn task(running: bool, outcome: Option<&str>) -> serde_json::Value {
        json!({"upid": UPID, "kind": "vzdump", "running": running, "outcome": outcome, "cause": "job errors"})
    }

    async fn wait(run: bool, states: Vec<serde_json::Value>) -> Result<Reading, Unreadable> {
        let world = FakeWorld::default().in_turn(&format!("proxmox/task/{UPID}"), states);
        let with = call(json!({"upid": UPID, "within": "10s"}));
        let with = Call { run: run.then(|| "abc".into()), ..with };
        TaskWait::new(Timing::default()).read(&with, &world).await
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_in_a_run_and_never_while_planning() {
        let states = || vec![task(true, None), task(true, None), task(false, Some("ok"))];
        assert!(wait(true, states()).await.is_ok());
        assert!(matches!(wait(false, states()).await, Err(Unreadable::Unknown(_))));
        let late = wait(true, vec![task(true, None)]).await.unwrap_err().to_string();
        assert!(late.contains("it still runs"), "{late}");
        let failed = wait(true, vec![task(false, Some("failed"))]).await.unwrap_err().to_string();
        assert!(failed.contains("job errors"), "{failed}");
    }
}
