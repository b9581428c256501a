//! The one contract between the engine and everything that shows or stores a run.
//!
//! Facts are folded into the machine's state; notes are for people and are never folded. Facts say what
//! happened, never what to do about it: deciding is the machine's.

mod course;
mod status;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::effect::Effect;
use crate::model::failure::Failure;
use crate::model::ids::{RunId, StepPath};
use crate::model::plan::Plan;

pub use status::{Outcome, RunStatus, UndoStatus};

/// The version of the facts below; a journal that says a higher one is read, never written.
pub const FORMAT: u32 = 2;

/// One line of a run's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Counts from 1 within the run, without gaps.
    pub seq: u64,
    /// When it was recorded: milliseconds since 1970.
    pub at: u64,
    /// Who caused it: `engine`, `user@host`.
    pub actor: String,
    pub body: Body,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(
    clippy::large_enum_variant,
    reason = "most events are facts: a box for each would cost more than short notes save"
)]
pub enum Body {
    Fact(Fact),
    Note(Note),
}

impl Event {
    pub fn fact(&self) -> Option<&Fact> {
        match &self.body {
            Body::Fact(fact) => Some(fact),
            Body::Note(_) => None,
        }
    }

    /// The step that it is about, if it is about one.
    pub fn path(&self) -> Option<&StepPath> {
        match &self.body {
            Body::Fact(fact) => fact.path(),
            Body::Note(note) => note.path(),
        }
    }
}

/// Something for people that no decision rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// How far a step is: a line, and a share from 0 to 1 where one is known.
    Progress { path: StepPath, line: String, share: Option<f64> },
    /// A line of a step's log.
    Log { path: StepPath, line: String },
    /// About the run as a whole.
    Message { line: String },
}

impl Note {
    pub fn path(&self) -> Option<&StepPath> {
        match self {
            Self::Progress { path, .. } | Self::Log { path, .. } => Some(path),
            Self::Message { .. } => None,
        }
    }
}

/// What happened. Answers name the attempt that they answer, so that a late or repeated one is known as such.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    RunCreated {
        run: RunId,
        plan: Arc<Plan>,
        /// Lists that become known only later are gone through without asking.
        #[serde(default)]
        auto_expand: bool,
    },
    LockGranted,
    /// Who holds it and since when, as a person reads it.
    LockRefused {
        holder: String,
    },
    LockLost {
        why: String,
    },
    LockReleased,
    /// What a fan-out's list holds, how many items go at once, how many in a lane, and how many may fail.
    Expanded {
        path: StepPath,
        items: Vec<Item>,
        width: usize,
        lane_width: usize,
        borne: usize,
        /// How many items each wave has; empty: one wave of all.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        waves: Vec<usize>,
        /// The run's hash with this expansion: over the hash before it and the items. `None` where the plan shows them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hash: Option<String>,
    },
    /// What a step's expressions said.
    Evaluated {
        path: StepPath,
        verdict: Verdict,
    },
    /// The intent: durable before anything is sent.
    Started {
        path: StepPath,
        attempt: u32,
        intent: Intent,
    },
    /// The handle of work that goes on outside (a UPID), durable before it is waited for.
    Checkpoint {
        path: StepPath,
        attempt: u32,
        handle: Value,
    },
    Finished {
        path: StepPath,
        attempt: u32,
        ending: Ending,
    },
    /// The wait before a retry is over.
    TimerFired {
        path: StepPath,
        attempt: u32,
    },
    /// The deadline of a step or scope (`None`: of the run) has passed.
    DeadlinePassed {
        path: Option<StepPath>,
    },
    /// A person is being asked; journalled for those who look on.
    Asked {
        path: StepPath,
        question: Question,
    },
    Approved {
        path: StepPath,
        who: String,
        word: Option<String>,
        /// The run's hash that was approved: the plan's, or that of the last expansion.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hash: Option<String>,
    },
    Declined {
        path: StepPath,
        who: String,
        why: String,
    },
    /// What a person wants to become of a step that failed.
    Decided {
        path: StepPath,
        /// The attempt that failed.
        attempt: u32,
        who: String,
        decision: Decision,
    },
    /// A person's word; the key makes it count once.
    Signalled {
        key: String,
        signal: Signal,
    },
    /// Another process took the run over: what was outstanding is asked again or recovered.
    DriverRestarted {
        host: String,
        process: u32,
    },
    /// Nothing more can be done by this process: the run keeps its lock and waits to be resumed.
    Parked,
    RunFinished {
        status: RunStatus,
    },
}

impl Fact {
    pub fn path(&self) -> Option<&StepPath> {
        match self {
            Self::Expanded { path, .. }
            | Self::Evaluated { path, .. }
            | Self::Started { path, .. }
            | Self::Checkpoint { path, .. }
            | Self::Finished { path, .. }
            | Self::TimerFired { path, .. }
            | Self::Asked { path, .. }
            | Self::Approved { path, .. }
            | Self::Declined { path, .. }
            | Self::Decided { path, .. } => Some(path),
            Self::DeadlinePassed { path } => path.as_ref(),
            _ => None,
        }
    }

    pub fn attempt(&self) -> u32 {
        match self {
            Self::Started { attempt, .. }
            | Self::Checkpoint { attempt, .. }
            | Self::Finished { attempt, .. }
            | Self::Decided { attempt, .. }
            | Self::TimerFired { attempt, .. } => *attempt,
            _ => 0,
        }
    }

    /// The word under which a journal files it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RunCreated { .. } => "run_created",
            Self::LockGranted => "lock_granted",
            Self::LockRefused { .. } => "lock_refused",
            Self::LockLost { .. } => "lock_lost",
            Self::LockReleased => "lock_released",
            Self::Expanded { .. } => "expanded",
            Self::Evaluated { .. } => "evaluated",
            Self::Started { .. } => "started",
            Self::Checkpoint { .. } => "checkpoint",
            Self::Finished { .. } => "finished",
            Self::TimerFired { .. } => "timer_fired",
            Self::DeadlinePassed { .. } => "deadline_passed",
            Self::Asked { .. } => "asked",
            Self::Approved { .. } => "approved",
            Self::Declined { .. } => "declined",
            Self::Decided { .. } => "decided",
            Self::Signalled { .. } => "signalled",
            Self::DriverRestarted { .. } => "driver_restarted",
            Self::Parked => "parked",
            Self::RunFinished { .. } => "run_finished",
        }
    }
}

/// One item of a fan-out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    pub key: String,
    pub value: Value,
    /// The value of `limit.by`, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
}

/// What an action is to be called with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Invocation {
    pub uses: String,
    pub with: Value,
}

/// What a step's `when`, `skip_if` and parameters came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Go on. A group has no invocation; a gate has its question.
    Run {
        invocation: Option<Invocation>,
        effect: Effect,
        question: Option<Question>,
    },
    Skip {
        reason: String,
    },
    /// `skip_if` said that it is done already.
    Satisfied,
    /// An undo that is a person's to do: what, in a line.
    Listed {
        manual: String,
    },
    /// An undo that has nothing to undo, and why.
    Nothing {
        why: String,
    },
    /// An expression failed.
    Broken {
        failure: Failure,
    },
}

/// What a gate asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Question {
    pub message: String,
    pub show: Value,
    /// The word to type; none: yes or no.
    pub word: Option<String>,
    /// What can be done about a failed step; empty for a gate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<Decision>,
    /// It is about a list that the plan did not show: a yes that was given to the plan is none to this.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expands: bool,
}

/// What can become of a step that failed, where its author has said `on_failure: ask`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Another attempt.
    Retry,
    /// Go on without it.
    Skip,
    /// A person has done it by hand: it counts as done.
    Done,
    /// Roll the scope back.
    RollBack,
    Stop,
}

impl Decision {
    pub const ALL: [Self; 5] = [Self::Retry, Self::Skip, Self::Done, Self::RollBack, Self::Stop];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Skip => "skip",
            Self::Done => "done",
            Self::RollBack => "roll-back",
            Self::Stop => "stop",
        }
    }
}

/// What a person says to a run from another process: kept in the journal until the run's owner takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    Signal(Signal),
    /// Answers the question of the step (`None`: of the only step that waits). `attempt` is the one after which it was
    /// asked: told again after a crash, an answer is none to a later question of the same step. `None`: an older
    /// version said it, of whatever is asked.
    Approve {
        path: Option<StepPath>,
        #[serde(default)]
        attempt: Option<u32>,
        word: Option<String>,
    },
    Decline {
        path: Option<StepPath>,
        #[serde(default)]
        attempt: Option<u32>,
        why: String,
    },
    Decide {
        path: Option<StepPath>,
        #[serde(default)]
        attempt: Option<u32>,
        decision: Decision,
    },
}

/// What recovery and undo will need, written down before anything is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// The object as the probe found it.
    pub before: Value,
    /// What the action read immediately before (the task ids that exist, the boot id).
    pub prepared: Value,
    /// How much it may do, raised by what the probe found.
    pub effect: Effect,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Done, and observed to be done.
    Ok { outputs: Value },
    /// It was so already; nothing was sent.
    Unchanged { outputs: Value },
    /// `failure.done` says how much was changed; `Unknown` is recovered before anything else.
    Failed { failure: Failure },
    /// Recovery: nothing was done by the attempt.
    NotApplied,
    /// Recovery: it cannot be told.
    InDoubt { evidence: String },
    /// Stopped before anything was sent.
    Cancelled,
}

/// What a person can say to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// 1: start nothing new. 2: also stop what can be stopped.
    Cancel { level: u8, rollback: bool },
    /// Start nothing new; when what is under way is over, park.
    Pause,
    /// Goes on with a paused run.
    Resume,
    /// Give up: what is in doubt is looked at once more, `finally` runs, the lock is given back.
    Abandon,
    /// Undo what a run that is over has done.
    RollBack,
    /// What a person found out about a step in doubt.
    Resolve { path: StepPath, done: bool },
}
