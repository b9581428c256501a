//! What became of a move whose end was not seen: its task, tasks that were not there before, and the guest itself.

use tokio::time::Instant;

use super::apply::Handle;
use super::order::{Order, Phase};
use super::outputs;
use super::verdict::{Verdict, judge};
use crate::actions::deps::Timing;
use crate::actions::proxmox::guest::trace::{Trace, known_before, new_tasks, trace};
use crate::actions::proxmox::look::live;
use crate::actions::proxmox::object::{Guest, TaskEntry};
use crate::actions::proxmox::resource::Resource;
use crate::clients::proxmox::TaskOutcome;
use crate::engine::ports::{Recovery, World};
use crate::event::Intent;
use crate::model::effect::Done;
use crate::model::failure::Failure;
use crate::model::ids::NodeName;

pub(super) async fn recover(
    order: &Order,
    before: &Guest,
    intent: &Intent,
    handle: Option<&serde_json::Value>,
    world: &dyn World,
    timing: &Timing,
) -> Result<Recovery, Failure> {
    let search = Search { order, before, intent, world, timing };
    let Some(handle) = handle else { return search.for_a_task(None).await };
    let known = Handle::read(handle)?;
    match trace(world, &known.upid).await? {
        Trace::Running => Ok(Recovery::Running(handle.clone())),
        Trace::Unseen(why) => search.without_its_node(&known, &why).await,
        // The HA manager has taken it over: its task only asks, and the work comes later.
        Trace::Ended(_) if known.upid.task_type() == "hamigrate" => search.after_asking_ha().await,
        Trace::Ended(Some(task)) if task.outcome.as_deref() != Some("ok") => {
            let cause = task.cause.map(|c| format!(" (its task: {c})")).unwrap_or_default();
            search.after_a_failed_task(&known, &cause).await
        }
        Trace::Ended(task) if order.is_one_task(before) => {
            Ok(search.by_object_once_taken(search.look().await?, &known, task.is_some()))
        }
        // One of several tasks: the answer to the next call may have been lost, too.
        Trace::Ended(task) => Ok(match search.for_a_task(Some(&known)).await? {
            Recovery::NotApplied | Recovery::Unseen { done: Done::None, .. } => {
                search.by_object_once_taken(Verdict::Untouched, &known, task.is_some())
            }
            answer => answer,
        }),
    }
}

struct Search<'a> {
    order: &'a Order,
    before: &'a Guest,
    intent: &'a Intent,
    world: &'a dyn World,
    timing: &'a Timing,
}

impl Search<'_> {
    async fn look(&self) -> Result<Verdict, Failure> {
        let now: Option<Guest> = live(self.world, Resource::Guest(self.order.vmid)).await?;
        Ok(judge(self.order, self.before, now.as_ref()))
    }

    /// Nothing is under way any more: the object has the last word.
    fn by_object(&self, verdict: Verdict, cause: &str) -> Recovery {
        match verdict {
            Verdict::Done => Recovery::Done(outputs(self.order, self.before)),
            Verdict::Untouched => Recovery::NotApplied,
            Verdict::Partial { what, .. } => Recovery::Partial(format!("{what}{cause}")),
            Verdict::Unclear(what) => Recovery::InDoubt(format!("{what}{cause}")),
        }
    }

    /// The same where its task was taken and has not failed, as far as its node knows (`remembered`): a guest that is
    /// where it was is then no proof that nothing was done, and nothing may be sent again.
    fn by_object_once_taken(&self, verdict: Verdict, handle: &Handle, remembered: bool) -> Recovery {
        if verdict != Verdict::Untouched {
            return self.by_object(verdict, "");
        }
        let (upid, title) = (&handle.upid, self.before.title());
        let task = if remembered { "has ended well" } else { "is not known to its node any more" };
        Recovery::InDoubt(format!("task {upid} was taken and {task}, and {title} is where and as it was"))
    }

    /// It was taken and has failed, which is not the same as never having been sent: attaching to it reads why from its
    /// log, and the step's policy decides about another attempt.
    async fn after_a_failed_task(&self, handle: &Handle, cause: &str) -> Result<Recovery, Failure> {
        Ok(match self.look().await? {
            Verdict::Untouched => Recovery::Running(handle.json()),
            verdict => self.by_object(verdict, cause),
        })
    }

    /// The task's node is down: only a guest that has arrived is an answer.
    async fn without_its_node(&self, handle: &Handle, why: &str) -> Result<Recovery, Failure> {
        let upid = &handle.upid;
        let seen = match self.look().await {
            Ok(Verdict::Done) => return Ok(Recovery::Done(outputs(self.order, self.before))),
            Ok(Verdict::Untouched) => format!("{} seems to be where it was", self.before.title()),
            Ok(Verdict::Partial { what, .. } | Verdict::Unclear(what)) => what,
            Err(failure) => format!("{} cannot be read: {}", self.before.title(), failure.cause),
        };
        Ok(Recovery::InDoubt(format!("task {upid} cannot be asked about ({why}); {seen}")))
    }

    async fn after_asking_ha(&self) -> Result<Recovery, Failure> {
        Ok(match self.look().await? {
            Verdict::Untouched => {
                let title = self.before.title();
                Recovery::InDoubt(format!("{title}: the HA manager was asked to move it and has not; it may still"))
            }
            verdict => self.by_object(verdict, ""),
        })
    }

    /// Looks for a task that was not there before the intent. It may show late, so that its absence is believed only
    /// after a while; the object may answer at once.
    async fn for_a_task(&self, ended: Option<&Handle>) -> Result<Recovery, Failure> {
        let mut known = known_before(self.intent);
        known.extend(ended.map(|handle| handle.upid.to_string()));
        let until = Instant::now() + self.timing.late_task;
        loop {
            let verdict = self.look().await?;
            if verdict == Verdict::Done {
                return Ok(self.by_object(verdict, ""));
            }
            let nodes = self.order.nodes_with_tasks(self.before);
            let tasks = match new_tasks(self.world, &nodes, self.order.vmid, &known).await? {
                Ok(tasks) => tasks,
                Err(why) => return Ok(Recovery::InDoubt(format!("the node's tasks cannot be read: {why}"))),
            };
            if let Some(answer) = self.by_tasks(&tasks) {
                // What was seen before the list may be older than the task's end.
                return Ok(match answer {
                    Found::Running(handle) => Recovery::Running(handle.json()),
                    Found::Several(what) => Recovery::InDoubt(what),
                    Found::Failed(handle, cause) => self.after_a_failed_task(&handle, &cause).await?,
                    Found::Ended(cause) => self.by_object(self.look().await?, &cause),
                });
            }
            if Instant::now() >= until {
                return Ok(self.without_a_task(verdict));
            }
            tokio::time::sleep(self.timing.poll).await;
        }
    }

    fn by_tasks(&self, tasks: &[TaskEntry]) -> Option<Found> {
        let ours: Vec<(&TaskEntry, Phase)> =
            tasks.iter().filter_map(|task| Some((task, Phase::of_task(&task.kind)?))).collect();
        let running: Vec<&(&TaskEntry, Phase)> = ours.iter().filter(|(task, _)| task.running).collect();
        match (&running[..], &ours[..]) {
            ([], []) => None,
            ([], [(task, phase)]) if task.status.as_deref().is_some_and(failed) => {
                let said = format!(" (its task: {})", task.status.as_deref().unwrap_or_default());
                Some(Found::Failed(Handle::new(&task.upid, *phase), said))
            }
            ([], _) => {
                let said = ours.iter().filter_map(|(task, _)| task.status.clone()).collect::<Vec<_>>().join("; ");
                Some(Found::Ended(format!(" (its task: {said})")))
            }
            ([(task, phase)], _) => Some(Found::Running(Handle::new(&task.upid, *phase))),
            (several, _) => {
                let upids: Vec<&str> = several.iter().map(|(task, _)| task.upid.as_str()).collect();
                Some(Found::Several(format!(
                    "{} tasks run, and which is ours is open: {}",
                    upids.len(),
                    upids.join(", ")
                )))
            }
        }
    }

    /// No task has shown in all that time.
    fn without_a_task(&self, verdict: Verdict) -> Recovery {
        let nodes = self.order.nodes_with_tasks(self.before);
        let nodes: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
        let waited =
            format!("no task has shown on {} within {} s", nodes.join(" or "), self.timing.late_task.as_secs());
        match verdict {
            Verdict::Partial { what, locked: true } => Recovery::InDoubt(format!("{what}, and {waited}")),
            Verdict::Partial { what, locked: false } => {
                Recovery::Unseen { done: Done::Partial, evidence: format!("{what}, and {waited}") }
            }
            Verdict::Untouched => {
                let evidence = format!("{} is where and as it was, and {waited}", self.before.title());
                Recovery::Unseen { done: Done::None, evidence }
            }
            verdict => self.by_object(verdict, ""),
        }
    }
}

fn failed(exitstatus: &str) -> bool {
    !TaskOutcome::from_exitstatus(exitstatus).is_success()
}

enum Found {
    Running(Handle),
    /// Our one task, which was taken and has failed.
    Failed(Handle, String),
    /// What the tasks said, for evidence.
    Ended(String),
    Several(String),
}
