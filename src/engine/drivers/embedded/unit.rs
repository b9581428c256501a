//! One attempt of one step, or its recovery: probe, prepare, intent, apply, verify.
//!
//! It knows one step and nothing of the run; what it learns it tells the dispatcher, and it goes on only when the
//! dispatcher says that what must be durable is.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::engine::check::{PreparedCheck, Seen};
use crate::engine::guard::{check_guard, check_identity};
use crate::engine::machine::StepIx;
use crate::engine::ports::{
    Action, Call, Capabilities, Channel, Clock, Doing, Mutate, Policy, Probe, Reading, Recovery, Stop, Unreadable,
    World,
};
use crate::event::{Ending, Intent, Note};
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::world::{Guard, Identity};

/// What a unit says to the dispatcher.
pub enum Said {
    /// The intent; answered once it is durable.
    Started(Intent, oneshot::Sender<Result<(), Failure>>),
    Checkpoint(Value, oneshot::Sender<Result<(), Failure>>),
    Note(Note),
    Finished(Ending),
}

pub type Ear = mpsc::UnboundedSender<(StepIx, u32, Said)>;

/// Everything that one attempt needs.
pub struct Unit {
    pub ix: StepIx,
    pub call: Call,
    pub action: Arc<dyn Action>,
    pub effect: Effect,
    pub world: Arc<dyn World>,
    pub clock: Arc<dyn Clock>,
    pub clients: Capabilities,
    pub ear: Ear,
    pub stop: Stop,
    /// Milliseconds.
    pub timeout: Option<u64>,
    pub identities: Vec<Identity>,
    pub guards: Vec<Guard>,
    pub policy: Arc<dyn Policy>,
    /// Outputs that the plan has pinned: a reading that is not made again.
    pub pinned: Option<Value>,
    pub verify: Vec<PreparedCheck>,
    /// A failure asked for by `--inject`.
    pub injected: Option<Failure>,
    /// Look again after it is done: nothing may be left to do (`--inject repeat`).
    pub repeat: bool,
}

impl Unit {
    /// A first or further attempt.
    pub async fn attempt(self) {
        let ending = match self.try_once().await {
            Ok(ending) => ending,
            // Told to stop, and nothing was done: it is still to do, not failed.
            Err(failure) if self.told_to_stop(&failure) => {
                self.say(Said::Note(Note::Log { path: self.call.path.clone(), line: failure.to_string() }));
                Ending::Cancelled
            }
            Err(failure) => Ending::Failed { failure },
        };
        self.say(Said::Finished(ending));
    }

    /// Finds out what became of an attempt whose end was not seen, and waits for it where it still goes on.
    /// `lost`: the failure that it ended with, where its answer was lost.
    pub async fn recover(self, intent: Intent, handle: Option<Value>, lost: Option<Failure>) {
        let ending = match self.recover_once(&intent, handle.as_ref(), lost.as_ref()).await {
            Ok(ending) => ending,
            Err(failure) => Ending::Failed { failure: failure.done(Done::Unknown) },
        };
        self.say(Said::Finished(ending));
    }

    fn told_to_stop(&self, failure: &Failure) -> bool {
        self.stop.is_set() && failure.done == Done::None && failure.class != Class::Timeout
    }

    async fn try_once(&self) -> Result<Ending, Failure> {
        if let Some(failure) = &self.injected {
            return Err(failure.clone());
        }
        if let Some(outputs) = &self.pinned {
            return Ok(Ending::Ok { outputs: outputs.clone() });
        }
        if self.effect == Effect::Read {
            let reading = self.reading().await?;
            for line in std::iter::once(reading.summary).chain(reading.notes) {
                self.say(Said::Note(Note::Log { path: self.call.path.clone(), line }));
            }
            self.check(None, &reading.outputs).await?;
            return Ok(Ending::Ok { outputs: reading.outputs });
        }
        self.make_sure().await?;
        let probe = self.action.probe(&self.call, &*self.world).await.map_err(known_in_a_run)?;
        if probe.satisfied {
            let outputs = predicted(&*self.action, &self.call, &probe);
            return Ok(Ending::Unchanged { outputs });
        }
        let effect = self.effect.max(probe.effect.unwrap_or(Effect::Read));
        let doing = Doing { path: &self.call.path, effect, identities: &probe.identities };
        let _permit = self.policy.permit(doing, &*self.world, &self.stop).await?;
        // After a turn was waited for: it is to be read immediately before the intent.
        let prepared = self.action.prepare(&self.call, &*self.world).await?;
        if self.stop.is_set() {
            return Ok(Ending::Cancelled);
        }
        let intent = Intent { before: probe.before, prepared, effect };
        self.durable(|answer| Said::Started(intent.clone(), answer)).await?;
        let began = self.clock.now();
        let applied = self.bounded(self.action.apply(&self.call, &intent, &self.mutate())).await;
        let outputs = applied.map_err(|failure| dated(failure, began))?;
        self.see_that_it_is_so(&intent, &outputs).await?;
        Ok(Ending::Ok { outputs })
    }

    /// A reading that waits is given up at the step's timeout or when it is told to stop: there is nothing to end in
    /// order.
    async fn reading(&self) -> Result<Reading, Failure> {
        let given_up = |class, cause: String| Err(Failure::new(class, format!("step {}", self.call.path), cause));
        let limit = async {
            match self.timeout {
                Some(timeout) => tokio::time::sleep(Duration::from_millis(timeout)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            read = self.action.read(&self.call, &*self.world) => read.map_err(known_in_a_run),
            () = self.stop.wait() => given_up(Class::Failed, "told to stop before it was read".into()),
            () = limit => {
                let timeout = self.timeout.unwrap_or_default() as f64 / 1000.0;
                given_up(Class::Timeout, format!("not read within {timeout} s"))
            }
        }
    }

    /// The object is still the planned one, and what the plan rests on still holds.
    async fn make_sure(&self) -> Result<(), Failure> {
        for identity in &self.identities {
            check_identity(identity, &*self.world).await?;
        }
        for guard in &self.guards {
            check_guard(guard, &*self.world).await?;
        }
        Ok(())
    }

    async fn see_that_it_is_so(&self, intent: &Intent, outputs: &Value) -> Result<(), Failure> {
        let seen = self.action.verify(&self.call, &intent.before, outputs, &*self.world).await;
        // It was done; what success means was not seen.
        seen.map_err(|failure| failure.done(Done::Whole))?;
        let checked = self.check(Some(&intent.before), outputs).await;
        // A check that was told to stop waiting has not said no.
        let done = if self.stop.is_set() { Done::Unknown } else { Done::Whole };
        checked.map_err(|failure| failure.done(done))?;
        if self.repeat {
            let again = self.action.probe(&self.call, &*self.world).await;
            let again = again.map_err(|why| known_in_a_run(why).done(Done::Whole))?;
            if !again.satisfied {
                let cause = "looked at again, it is not as the step wants it (--inject repeat)";
                return Err(Failure::new(Class::Verify, again.summary, cause).done(Done::Whole));
            }
        }
        Ok(())
    }

    async fn check(&self, before: Option<&Value>, outputs: &Value) -> Result<(), Failure> {
        for check in &self.verify {
            check.run(Seen { before, result: Some(outputs) }, &*self.world, &*self.clock, &self.stop).await?;
        }
        Ok(())
    }

    async fn recover_once(
        &self,
        intent: &Intent,
        handle: Option<&Value>,
        lost: Option<&Failure>,
    ) -> Result<Ending, Failure> {
        match self.action.recover(&self.call, intent, handle, &*self.world).await? {
            Recovery::Done(outputs) => Ok(self.seen_or_failed(intent, outputs).await),
            Recovery::NotApplied => Ok(Ending::NotApplied),
            Recovery::Unseen { evidence, .. } if lost.is_some() => {
                let asked = lost.map(ToString::to_string).unwrap_or_default();
                Ok(Ending::InDoubt { evidence: may_still_be_done(&asked, &evidence) })
            }
            Recovery::Unseen { done: Done::None, .. } => Ok(Ending::NotApplied),
            Recovery::Unseen { evidence, .. } | Recovery::Partial(evidence) => {
                let failure =
                    Failure::new(Class::Failed, format!("step {}", self.call.path), evidence).done(Done::Partial);
                Ok(Ending::Failed { failure })
            }
            Recovery::Running(handle) => {
                self.durable(|answer| Said::Checkpoint(handle.clone(), answer)).await?;
                let mutate = self.mutate();
                match self.bounded(self.action.attach(&self.call, intent, &handle, &mutate)).await {
                    Ok(outputs) => Ok(self.seen_or_failed(intent, outputs).await),
                    Err(mut failure) => {
                        if failure.done == Done::Unknown {
                            // Whoever has to find out what became of it must know what to look for.
                            failure.cause = format!("{}; it was left as {handle}", failure.cause);
                        }
                        Ok(Ending::Failed { failure })
                    }
                }
            }
            Recovery::InDoubt(evidence) => Ok(Ending::InDoubt { evidence }),
        }
    }

    async fn seen_or_failed(&self, intent: &Intent, outputs: Value) -> Ending {
        match self.see_that_it_is_so(intent, &outputs).await {
            Ok(()) => Ending::Ok { outputs },
            Err(failure) => Ending::Failed { failure },
        }
    }

    /// Runs what may take long under the step's timeout. At the deadline it is first told to stop, so that what can
    /// end in order does.
    async fn bounded<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        const GRACE: Duration = Duration::from_secs(5);
        tokio::pin!(work);
        let Some(timeout) = self.timeout else { return work.await };
        tokio::select! {
            ended = &mut work => return ended,
            () = tokio::time::sleep(Duration::from_millis(timeout)) => self.stop.set(),
        }
        let ended = tokio::time::timeout(GRACE, work).await;
        // It may have ended by then, waiting for an answer that was lost, or not have ended at all.
        let lost = match ended {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(failure)) => failure.lost,
            Err(_) => true,
        };
        let cause = format!("not done within {} s", timeout as f64 / 1000.0);
        let failure = Failure::new(Class::Timeout, format!("step {}", self.call.path), cause);
        Err(if lost { failure.lost() } else { failure.done(Done::Unknown) })
    }

    fn mutate(&self) -> Mutate {
        let channel = UnitChannel { ix: self.ix, call: self.call.clone(), ear: self.ear.clone() };
        Mutate::grant(self.clients.clone(), self.stop.clone(), Arc::new(channel))
    }

    fn say(&self, said: Said) {
        // The dispatcher is gone only when the run is being given up.
        let _ = self.ear.send((self.ix, self.call.attempt, said));
    }

    async fn durable(&self, said: impl FnOnce(oneshot::Sender<Result<(), Failure>>) -> Said) -> Result<(), Failure> {
        let (answer, durable) = oneshot::channel();
        self.say(said(answer));
        durable.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// What an action's capability says to the dispatcher.
struct UnitChannel {
    ix: StepIx,
    call: Call,
    ear: Ear,
}

#[async_trait]
impl Channel for UnitChannel {
    async fn checkpoint(&self, handle: Value) -> Result<(), Failure> {
        let (answer, durable) = oneshot::channel();
        let _ = self.ear.send((self.ix, self.call.attempt, Said::Checkpoint(handle, answer)));
        durable.await.unwrap_or_else(|_| Err(gone()))
    }

    fn progress(&self, line: &str, share: Option<f64>) {
        let note = Note::Progress { path: self.call.path.clone(), line: line.to_owned(), share };
        let _ = self.ear.send((self.ix, self.call.attempt, Said::Note(note)));
    }

    fn log(&self, line: &str) {
        let note = Note::Log { path: self.call.path.clone(), line: line.to_owned() };
        let _ = self.ear.send((self.ix, self.call.attempt, Said::Note(note)));
    }
}

/// When it was asked for belongs to what a person needs who has to find out what became of it.
fn dated(failure: Failure, began: u64) -> Failure {
    if !failure.lost {
        return failure;
    }
    let began = i64::try_from(began).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let began = began.map(|at| format!(" (the step began at {at:.0})")).unwrap_or_default();
    Failure { cause: format!("{}{began}", failure.cause), ..failure }
}

/// A request without an answer that has left no trace: its absence proves nothing.
fn may_still_be_done(asked: &str, seen: &str) -> String {
    format!("{asked}; {seen}. This is no proof that it will not be done: who was asked may still carry it out")
}

/// Outputs of a step that had nothing to do: what it would have been expected to put out.
fn predicted(action: &dyn Action, call: &Call, probe: &Probe) -> Value {
    Value::Object(action.predict(call, probe).outputs.into_iter().collect())
}

fn known_in_a_run(why: Unreadable) -> Failure {
    match why {
        Unreadable::Failed(failure) => failure,
        Unreadable::Unknown(why) | Unreadable::Later(why) => Failure::new(Class::Internal, "read the world", why),
    }
}

fn gone() -> Failure {
    Failure::new(Class::Internal, "make it durable", "the run is being given up").done(Done::Unknown)
}
