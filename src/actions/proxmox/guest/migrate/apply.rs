//! The work itself: phase after phase, each asked for once, followed to its end, and judged by the object.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::order::{Order, Phase};
use super::{attempted, done_as_seen, outputs};
use crate::actions::proxmox::object::Guest;
use crate::actions::proxmox::source::ProxmoxSource;
use crate::actions::proxmox::work::Work;
use crate::engine::ports::Mutate;
use crate::model::effect::Done;
use crate::model::failure::{Class, Failure};
use crate::model::ids::Upid;

/// What is journalled before a task is waited for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Handle {
    pub upid: Upid,
    pub phase: Phase,
}

impl Handle {
    pub fn new(upid: &Upid, phase: Phase) -> Self {
        Self { upid: upid.clone(), phase }
    }

    pub fn read(value: &Value) -> Result<Self, Failure> {
        Self::deserialize(value)
            .map_err(|e| Failure::new(Class::Internal, "read the handle of a move", e.to_string()).done(Done::Unknown))
    }

    pub fn json(&self) -> Value {
        json!({"upid": self.upid, "phase": self.phase})
    }
}

pub(super) async fn run(
    order: &Order,
    before: &Guest,
    handle: Option<&Value>,
    mutate: &Mutate,
) -> Result<Value, Failure> {
    let work = Work::new(mutate, attempted(before, &order.to))?;
    let source = ProxmoxSource::new((*work.site).clone());
    let runner = Runner { order, before, work, source };
    match handle {
        None => runner.go_on(None).await,
        Some(handle) => {
            let handle = Handle::read(handle)?;
            runner.finish(&handle).await?;
            runner.go_on(Some(handle.phase)).await
        }
    }
}

struct Runner<'a> {
    order: &'a Order,
    before: &'a Guest,
    work: Work<'a>,
    source: ProxmoxSource,
}

impl Runner<'_> {
    /// Goes on after the phase `last`, which has ended well.
    async fn go_on(&self, mut last: Option<Phase>) -> Result<Value, Failure> {
        loop {
            // Where the move is all there is, verify looks at the object; a look here would say nothing more.
            if last == Some(Phase::Migrate) && self.order.is_one_task(self.before) {
                return Ok(outputs(self.order, self.before));
            }
            let now = self.look().await.map_err(|f| after(last, f))?;
            let Some(phase) = self.order.next(self.before, &now) else {
                return Ok(outputs(self.order, self.before));
            };
            if last.is_some_and(|last| last >= phase) {
                let cause = format!("the task ended well, and yet {} is {}", now.title(), super::verdict::seen(&now));
                return Err(self.work.failure(Class::Failed, cause).done(Done::Partial));
            }
            self.step(phase, &now).await.map_err(|f| after(last, f))?;
            last = Some(phase);
        }
    }

    async fn look(&self) -> Result<Guest, Failure> {
        let now = self.source.guest(self.order.vmid).await?;
        match now.filter(|now| now.is_same_as(self.before)) {
            Some(now) => Ok(now),
            None => {
                let cause = format!("{} is not there any more, or another guest has its number", self.before.title());
                Err(self.work.failure(Class::Precondition, cause))
            }
        }
    }

    async fn step(&self, phase: Phase, now: &Guest) -> Result<(), Failure> {
        let (path, params) = self.order.request(phase, now);
        let upid = self.work.start(&path, &params, |upid| Handle::new(upid, phase).json()).await?;
        self.finish(&Handle::new(&upid, phase)).await
    }

    /// Waits for a task; after a failed one the object says how much was done.
    async fn finish(&self, handle: &Handle) -> Result<(), Failure> {
        let end = self.work.follow(&handle.upid).await?;
        if end.is_success() {
            return Ok(());
        }
        let now = self.source.guest(self.order.vmid).await;
        let failure = self.work.failed(&end).done(done_as_seen(self.order, self.before, &now));
        let lock = now.ok().flatten().and_then(|guest| guest.lock);
        Err(match lock {
            Some(lock) => {
                let remedy =
                    format!("the lock ({lock}) remains: once nothing is at work on it, use proxmox.guest_unlock");
                failure.remedy(remedy)
            }
            None => failure,
        })
    }
}

/// A failure that changed nothing by itself leaves behind what the phases before it did.
fn after(last: Option<Phase>, failure: Failure) -> Failure {
    match (last, failure.done) {
        (Some(_), Done::None) => failure.done(Done::Partial),
        _ => failure,
    }
}
