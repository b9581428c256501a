//! The traits through which the engine meets everything outside it, and the plain values that they pass.
//!
//! An action is in the catalogue only with all of [`Action`]'s parts. Probes, predictions and checks see only the
//! [`World`], so a plan cannot change anything: a client that can reaches an action through [`Mutate`] alone.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::Notify as Bell;

use crate::event::{Decision, Event, Intent, Invocation, Question};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::ids::{ResourceKey, RunId, StepPath};
use crate::model::plan::Change;
use crate::model::world::{Delta, Guard, Identity};

/// One call of an action: what a step hands over.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// `None` while planning: the run is not there yet.
    pub run: Option<RunId>,
    pub path: StepPath,
    /// Counts from 1.
    pub attempt: u32,
    /// The parameters, of the declared types, defaults filled in: always an object.
    pub with: Value,
}

impl Call {
    /// The parameter `name`, or null.
    pub fn get(&self, name: &str) -> &Value {
        &self.with[name]
    }

    /// The parameter `name` as `T`.
    ///
    /// # Errors
    /// An internal failure where the value is not of that shape (types are checked before a call is made).
    pub fn arg<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, Failure> {
        serde_json::from_value(self.with[name].clone()).map_err(|e| {
            Failure::new(Class::Internal, format!("read parameter {name:?} of step {}", self.path), e.to_string())
        })
    }
}

/// What the world says of a resource.
#[derive(Debug, Clone, PartialEq)]
pub enum Observed {
    /// As read, with the predicted changes of earlier steps laid over it. Null: there is no such thing.
    Known(Arc<Value>),
    /// An earlier step disturbs it, in a way that cannot be predicted: why.
    Unknown(String),
}

impl Observed {
    /// The value, or a failure of the kind that shows as *unknown* in a plan and cannot happen in a run.
    ///
    /// # Errors
    /// [`Unreadable::Unknown`]: planning shows the step as known later.
    pub fn known(self, reading: &str) -> Result<Arc<Value>, Unreadable> {
        match self {
            Self::Known(value) => Ok(value),
            Self::Unknown(why) => Err(Unreadable::Unknown(format!("{reading}: {why}"))),
        }
    }
}

/// Why a reading gave no value.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Unreadable {
    /// Only while planning: known once earlier steps have run.
    #[error("known later: {0}")]
    Unknown(String),
    /// Only while planning: it waits or asks, so it is done when its turn comes. The plan's line.
    #[error("{0}")]
    Later(String),
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// Everything that can be read, through one port.
#[async_trait]
pub trait World: Send + Sync {
    /// # Errors
    /// The reading failed: unreachable, refused, of a wrong shape. A thing that does not exist is null.
    async fn read(&self, resource: &ResourceKey) -> Result<Observed, Failure>;

    /// Whether earlier steps of the plan are expected to have changed anything at all. Never in a run.
    fn is_disturbed(&self) -> bool {
        false
    }

    /// Whether it is a plan's: then nothing is waited for, since earlier steps have not been done.
    fn is_planned(&self) -> bool {
        false
    }
}

/// Reads resources from where they really are; the World lays its caching and predictions over it.
#[async_trait]
pub trait Source: Send + Sync {
    /// # Errors
    /// As [`World::read`].
    async fn fetch(&self, resource: &ResourceKey) -> Result<Value, Failure>;
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// The object as it is: what undo will go back to.
    pub before: Value,
    /// It is as the step wants it already: nothing will be sent.
    pub satisfied: bool,
    /// The effect here, where it is more than the catalogue's.
    pub effect: Option<Effect>,
    /// For the plan's symbol; what the effect says where absent.
    pub change: Option<Change>,
    /// One line for the plan: `VM 104 (web-1): pve2 -> pve3, live, 8.0 GiB, about 30 s`.
    pub summary: String,
    pub guards: Vec<Guard>,
    pub identities: Vec<Identity>,
    /// What a person should know before saying yes.
    pub notes: Vec<String>,
}

impl Probe {
    pub fn new(summary: impl Into<String>, before: Value) -> Self {
        Self {
            before,
            satisfied: false,
            effect: None,
            change: None,
            summary: summary.into(),
            guards: Vec::new(),
            identities: Vec::new(),
            notes: Vec::new(),
        }
    }
}

/// What a step is expected to bring about.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Prediction {
    pub deltas: Vec<Delta>,
    /// Resources (and all below them) that become unknown, and why.
    pub taints: Vec<(ResourceKey, String)>,
    /// As far as known; an absent declared output is unknown.
    pub outputs: BTreeMap<String, Value>,
}

/// What reading an object again says of an attempt whose end was not seen.
#[derive(Debug, Clone, PartialEq)]
pub enum Recovery {
    /// It was done: its outputs.
    Done(Value),
    /// Certainly nothing was done, nothing is under way, and nothing will be.
    NotApplied,
    /// Nothing of it is seen: what was looked at, for how long, and how the object is now. Whoever was asked may still
    /// carry it out where it was not answered.
    Unseen {
        /// `None`, or `Partial` where it was done in several acts.
        done: Done,
        evidence: String,
    },
    /// Some of it: what, as a person reads it.
    Partial(String),
    /// It is under way: wait on this.
    Running(Value),
    /// It cannot be told: what was seen.
    InDoubt(String),
}

/// An act that a runbook can use, with all that makes it safe.
#[async_trait]
pub trait Action: Send + Sync {
    fn spec(&self) -> &ActionSpec;

    /// Effect `read` only: its outputs, and a line for the plan.
    ///
    /// # Errors
    /// As any reading; a precondition that does not hold is a failure of that class.
    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let _ = world;
        Err(Failure::new(Class::Internal, format!("read for step {}", call.path), "this action is not a reading")
            .into())
    }

    /// Looks at the object. Sees only the World.
    ///
    /// # Errors
    /// What makes the step impossible, as a precondition.
    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let reading = self.read(call, world).await?;
        Ok(Probe::new(reading.summary, Value::Null))
    }

    /// What will be different after it.
    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        let _ = (call, before);
        Prediction::default()
    }

    /// What recovery will need, read immediately before the intent is journalled.
    ///
    /// # Errors
    /// As any reading.
    async fn prepare(&self, call: &Call, world: &dyn World) -> Result<Value, Failure> {
        let _ = (call, world);
        Ok(Value::Null)
    }

    /// Does it, and journals the outside handle before waiting on it. `Failure::done` says how much was changed.
    ///
    /// # Errors
    /// What came back, with the last lines of the task's log.
    async fn apply(&self, call: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let _ = (intent, mutate);
        Err(Failure::new(Class::Internal, format!("apply step {}", call.path), "a reading changes nothing"))
    }

    /// Waits again on work that goes on outside.
    ///
    /// # Errors
    /// As [`Action::apply`].
    async fn attach(&self, call: &Call, intent: &Intent, handle: &Value, mutate: &Mutate) -> Result<Value, Failure> {
        let _ = (intent, handle, mutate);
        Err(Failure::new(Class::Internal, format!("attach to step {}", call.path), "this action leaves no handle"))
    }

    /// What success means, observed on the object. `before` is the probe's.
    ///
    /// # Errors
    /// Class `verify`, with what was expected and what was seen.
    async fn verify(&self, call: &Call, before: &Value, outputs: &Value, world: &dyn World) -> Result<(), Failure> {
        let _ = (call, before, outputs, world);
        Ok(())
    }

    /// Finds out what became of an attempt whose end was not seen. `handle` is the last journalled one.
    ///
    /// # Errors
    /// The reading failed: the step stays in doubt.
    async fn recover(
        &self,
        call: &Call,
        intent: &Intent,
        handle: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        let _ = (call, intent, handle, world);
        Ok(Recovery::NotApplied)
    }

    /// The inverse, as data, where there is one. It reads the object first and does nothing where there is nothing to undo.
    fn undo(&self, call: &Call, before: &Value, outputs: Option<&Value>) -> Option<Invocation> {
        let _ = (call, before, outputs);
        None
    }

    /// What a person would type to do the same by hand (`pvesh …`, `talosctl …`), for `plan --as commands`.
    /// Empty: nothing equal can be typed.
    fn commands(&self, call: &Call, before: &Probe) -> Vec<String> {
        let _ = (call, before);
        Vec::new()
    }

    /// The inverse in words, for the plan.
    fn undo_summary(&self, call: &Call, before: &Probe) -> Option<String> {
        let _ = (call, before);
        None
    }
}

/// What a reading gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    pub outputs: Value,
    pub summary: String,
    pub guards: Vec<Guard>,
    pub notes: Vec<String>,
}

/// The actions that there are.
pub type Actions = BTreeMap<String, Arc<dyn Action>>;

/// The clients that `apply` and `attach` may use, by type.
#[derive(Default, Clone)]
pub struct Capabilities(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl Capabilities {
    pub fn with<T: Any + Send + Sync>(mut self, client: Arc<T>) -> Self {
        self.0.insert(TypeId::of::<T>(), client);
        self
    }
}

/// The right to change the world, given to `apply` and `attach` alone. Only a driver of runs makes one.
pub struct Mutate {
    clients: Capabilities,
    pub stop: Stop,
    channel: Arc<dyn Channel>,
}

impl Mutate {
    pub(in crate::engine) fn grant(clients: Capabilities, stop: Stop, channel: Arc<dyn Channel>) -> Self {
        Self { clients, stop, channel }
    }

    /// The client of type `T`.
    ///
    /// # Errors
    /// The site is not configured for it.
    pub fn client<T: Any + Send + Sync>(&self) -> Result<Arc<T>, Failure> {
        let found = self.clients.0.get(&TypeId::of::<T>()).cloned().and_then(|any| any.downcast::<T>().ok());
        found.ok_or_else(|| {
            Failure::new(
                Class::Precondition,
                "use a client",
                format!("{} is not configured", std::any::type_name::<T>()),
            )
        })
    }

    /// Makes the handle of outside work durable; call it before waiting on the work.
    ///
    /// # Errors
    /// The journal failed, or the run has another owner now: stop at once.
    pub async fn checkpoint(&self, handle: Value) -> Result<(), Failure> {
        self.channel.checkpoint(handle).await
    }

    /// Tells people how far it is; costs nothing and may be dropped.
    pub fn progress(&self, line: &str, share: Option<f64>) {
        self.channel.progress(line, share);
    }

    /// Keeps a line of the step's log.
    pub fn log(&self, line: &str) {
        self.channel.log(line);
    }
}

/// How a unit's capability talks back to its driver.
#[async_trait]
pub trait Channel: Send + Sync {
    async fn checkpoint(&self, handle: Value) -> Result<(), Failure>;
    fn progress(&self, line: &str, share: Option<f64>);
    fn log(&self, line: &str);
}

/// Tells work that it should stop; cheap to clone and to ask.
#[derive(Clone, Default)]
pub struct Stop(Arc<(AtomicBool, Bell)>);

impl Stop {
    pub fn set(&self) {
        self.0.0.store(true, Ordering::SeqCst);
        self.0.1.notify_waiters();
    }

    pub fn is_set(&self) -> bool {
        self.0.0.load(Ordering::SeqCst)
    }

    /// Returns when it is set.
    pub async fn wait(&self) {
        let bell = self.0.1.notified();
        tokio::pin!(bell);
        // Registered before the flag is read, so that a `set` in between is not missed.
        bell.as_mut().enable();
        if !self.is_set() {
            bell.await;
        }
    }

    /// Sleeps, or returns `true` at once when told to stop.
    pub async fn sleep(&self, time: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(time) => self.is_set(),
            () = self.wait() => true,
        }
    }
}

/// Why the journal did not take an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    #[error("the journal cannot be written: {0}")]
    Unwritable(String),
    #[error("run {0} has another owner now")]
    LostOwnership(RunId),
    /// The lock could be neither had nor refused: whoever keeps it cannot be asked.
    #[error("{0}")]
    Lock(String),
    /// By injection: the process is to be taken for dead.
    #[error("crashed, as asked for by --inject")]
    Crashed,
}

/// One run's history. A driver is its only writer.
pub trait Journal: Send {
    /// Appends all or nothing; durable when it returns. Checks in the same transaction that the run is still ours.
    ///
    /// # Errors
    /// Nothing was appended.
    fn append(&mut self, events: &[Event]) -> Result<(), JournalError>;
}

/// Locks belong to runs, not to processes.
#[async_trait]
pub trait Locks: Send + Sync {
    /// `Ok(Err(holder))`: another run holds it, as a person reads it.
    ///
    /// # Errors
    /// The store of locks failed.
    async fn acquire(&self, name: &str, run: &RunId) -> Result<Result<(), String>, JournalError>;
    /// # Errors
    /// As `acquire`.
    async fn release(&self, name: &str, run: &RunId) -> Result<(), JournalError>;
    /// Why the run does not have the lock any more, which is not its own doing; `None` where it has, or where that cannot
    /// be told. Asked again and again: it may answer from what was seen a moment ago.
    ///
    /// # Errors
    /// The store of locks failed.
    async fn lost(&self, name: &str, run: &RunId) -> Result<Option<String>, JournalError> {
        let _ = (name, run);
        Ok(None)
    }
    /// What happened on the way that a person should know, told once.
    fn take_notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A change that is about to be made.
#[derive(Debug, Clone, Copy)]
pub struct Doing<'a> {
    pub path: &'a StepPath,
    pub effect: Effect,
    /// The objects that it touches, as the probe made immediately before found them.
    pub identities: &'a [Identity],
}

/// The leave to make one change; given back when it is dropped, which is when the step's attempt is over.
pub type Permit = Box<dyn Any + Send>;

/// What the site's policy says of a change, asked immediately before its intent, whatever the plan said.
#[async_trait]
pub trait Policy: Send + Sync {
    /// May wait: members of a quorum group are not in flight together. Returns early when `stop` is set.
    ///
    /// # Errors
    /// Policy forbids it, or what it rests on cannot be read.
    async fn permit(&self, doing: Doing<'_>, world: &dyn World, stop: &Stop) -> Result<Permit, Failure>;
}

/// No policy at all, for tests and places that change nothing.
pub struct Anything;

#[async_trait]
impl Policy for Anything {
    async fn permit(&self, _: Doing<'_>, _: &dyn World, _: &Stop) -> Result<Permit, Failure> {
        Ok(Box::new(()))
    }
}

/// Time as runs see it: milliseconds since 1970.
pub trait Clock: Send + Sync {
    fn now(&self) -> u64;
}

/// What a person answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Approved {
        who: String,
        word: Option<String>,
    },
    Declined {
        who: String,
        why: String,
    },
    /// About a failed step, where the question has options.
    Decided {
        who: String,
        decision: Decision,
    },
    /// There is nobody here to ask: the run waits for an answer from elsewhere.
    Nobody,
}

/// Asks a person.
#[async_trait]
pub trait Approver: Send + Sync {
    async fn ask(&self, path: &StepPath, question: &Question) -> Answer;
}

/// Sees each event once it is durable, and each note as it comes.
pub trait Observer: Send {
    fn see(&mut self, event: &Event);
}
