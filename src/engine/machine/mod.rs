//! The pure machine: `step(&mut State, at, Fact) -> Vec<Command>`.
//!
//! No I/O, no clock, no randomness, ordered collections only. A run's state is nothing but the fold of its facts,
//! live and on recovery alike. Issuing a command marks it in the same transition, so what is outstanding is always
//! what was issued less what was answered.

mod build;
mod call;
mod deadline;
mod decide;
mod halt;
mod node;
mod transitions;
mod unwind;

#[cfg(test)]
pub(in crate::engine) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::event::{Fact, Outcome, RunStatus};
use crate::graph::{Flow, Point};
use crate::model::ids::{RunId, StepPath};
use crate::model::plan::Plan;
use crate::model::runbook::{LockScope, Verb};

pub use node::{Awaiting, Bindings, Body, Kind, Manual, Node, Part, Region, StepIx};

/// What the driver is asked to do; each is answered by a fact.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Answered by `LockGranted` or `LockRefused`.
    AcquireLock,
    ReleaseLock,
    /// Evaluate a step's expressions: `Evaluated`, or `Expanded` for a fan-out.
    Evaluate(StepIx),
    /// One attempt: `Started`, any number of `Checkpoint`s, `Finished`.
    Attempt(StepIx),
    /// Find out what became of an attempt: `Finished`.
    Recover(StepIx),
    /// `TimerFired` at this time (milliseconds since 1970).
    StartTimer(StepIx, u64),
    /// `DeadlinePassed` at this time, of a step or scope, or of the run.
    StartDeadline(Option<StepIx>, u64),
    /// `Approved` or `Declined`; for a step that failed, `Decided`.
    Ask(StepIx),
    /// Tell an attempt under way to stop; its `Finished` comes all the same.
    Stop(StepIx),
    /// Nothing more can be done by this process; the run keeps its lock and waits to be resumed.
    Park,
    /// Answered by `RunFinished`.
    Finish(RunStatus),
}

/// A fact that cannot follow from what was asked: a bug when live, corruption when loading.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("fact {kind} for {path:?} does not follow from the run's history: {why}")]
pub struct BadFact {
    pub kind: &'static str,
    pub path: Option<StepPath>,
    pub why: &'static str,
}

/// Why nothing new starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Halt {
    Failed {
        rollback: Option<StepIx>,
    },
    Cancelled {
        level: u8,
        rollback: bool,
    },
    Declined,
    /// A step is in doubt and must be resolved first.
    InDoubt,
    /// Until somebody says that it goes on.
    Paused,
}

/// How far the run as a whole is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    New,
    Locking,
    Requiring,
    Main,
    Unwinding,
    Finally,
    Unlocking,
    Finishing(RunStatus),
    Finished(RunStatus),
}

/// Everything that is known of a run, as the fold of its facts.
#[derive(Clone)]
pub struct State {
    plan: Option<Arc<Plan>>,
    library: BTreeMap<String, Arc<Manual>>,
    auto_expand: bool,
    /// Of what is known to be done: the plan's, or that of the last expansion.
    hash: String,
    run: Option<RunId>,
    created_at: u64,
    stage: Stage,
    flow: Flow,
    nodes: Vec<Node>,
    by_path: BTreeMap<StepPath, StepIx>,
    by_point: BTreeMap<Point, StepIx>,
    /// Steps with something outstanding.
    active: BTreeSet<StepIx>,
    halt: Option<Halt>,
    /// A failure that nothing bears: the run has failed, whatever else succeeds.
    failed: bool,
    finally_failed: bool,
    /// The run's own deadline has passed.
    overdue: bool,
    /// Somebody gave the run up: it comes to its end whatever is in doubt.
    abandoned: bool,
    /// A rollback was asked for while the run was not over.
    rollback_asked: bool,
    /// How the run had ended before its rollback was asked for.
    reopened: Option<RunStatus>,
    stop_level: u8,
    /// How many steps are being recovered; nothing new starts meanwhile.
    recovering: usize,
    /// How many steps wait for a time or a person.
    waiting: usize,
    /// How many failed steps a person is to decide about; nothing new starts meanwhile.
    asking: usize,
    /// Steps that were stopped before anything was sent, or gave up waiting: still to do, should the run go on.
    cancelled: BTreeSet<StepIx>,
    /// Ready points that a halt holds back.
    held: Vec<Point>,
    finish_issued: bool,
    lock_held: bool,
    parked: bool,
    /// Counts the starts, for unwinding in reverse.
    starts: u64,
    unwind: unwind::Unwind,
    /// Calls whose `finally` is still to come, the last one first; filled when the run's end begins.
    due_finally: Option<Vec<StepIx>>,
    signals_seen: BTreeSet<String>,
    regions: [Option<StepIx>; 4],
    now: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            plan: None,
            library: BTreeMap::new(),
            auto_expand: false,
            hash: String::new(),
            run: None,
            created_at: 0,
            stage: Stage::New,
            flow: Flow::default(),
            nodes: Vec::new(),
            by_path: BTreeMap::new(),
            by_point: BTreeMap::new(),
            active: BTreeSet::new(),
            halt: None,
            failed: false,
            finally_failed: false,
            overdue: false,
            abandoned: false,
            rollback_asked: false,
            reopened: None,
            stop_level: 0,
            recovering: 0,
            waiting: 0,
            asking: 0,
            cancelled: BTreeSet::new(),
            held: Vec::new(),
            finish_issued: false,
            lock_held: false,
            parked: false,
            starts: 0,
            unwind: unwind::Unwind::default(),
            due_finally: None,
            signals_seen: BTreeSet::new(),
            regions: [None; 4],
            now: 0,
        }
    }
}

/// Folds one fact into the state and says what to do next.
///
/// # Errors
/// The fact cannot follow from what was asked; the state is unchanged.
pub fn step(state: &mut State, at: u64, fact: &Fact) -> Result<Vec<Command>, BadFact> {
    state.now = state.now.max(at);
    let mut commands = Vec::new();
    state.take(fact, &mut commands)?;
    state.decide(&mut commands);
    Ok(commands)
}

impl State {
    /// The fold of a journal.
    ///
    /// # Errors
    /// The journal is corrupt.
    pub fn replay<'a>(facts: impl IntoIterator<Item = (u64, &'a Fact)>) -> Result<Self, BadFact> {
        let mut state = Self::default();
        for (at, fact) in facts {
            step(&mut state, at, fact)?;
        }
        Ok(state)
    }

    pub fn plan(&self) -> Option<&Arc<Plan>> {
        self.plan.as_ref()
    }

    pub fn run(&self) -> Option<&RunId> {
        self.run.as_ref()
    }

    /// When the run was created: milliseconds since 1970.
    pub fn created_at(&self) -> u64 {
        self.created_at
    }

    pub fn node(&self, ix: StepIx) -> &Node {
        &self.nodes[ix.0]
    }

    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    pub fn find(&self, path: &StepPath) -> Option<StepIx> {
        self.by_path.get(path).copied()
    }

    /// The step that `steps.ID` means, seen from `from`: the nearest one so named among siblings and outward.
    pub fn sibling(&self, from: StepIx, id: &str) -> Option<StepIx> {
        let mut scope = self.outward(from);
        while let Some(ix) = scope {
            let node = self.node(ix);
            if let Some(found) = self.find(&node.path.child(id)) {
                return Some(found);
            }
            // What is called sees nothing of its caller.
            if matches!(node.kind, Kind::Procedure) {
                return None;
            }
            scope = self.outward(ix);
        }
        self.find(&StepPath::new(id))
    }

    /// The scope round a step; for an undo, what it undoes.
    fn outward(&self, ix: StepIx) -> Option<StepIx> {
        let node = self.node(ix);
        node.parent.or(node.undoes)
    }

    /// The innermost call that a step is part of: its parameters and variables are what the step sees.
    pub fn call_round(&self, ix: StepIx) -> Option<StepIx> {
        let mut scope = self.outward(ix);
        while let Some(ix) = scope {
            if matches!(self.node(ix).kind, Kind::Procedure) {
                return Some(ix);
            }
            scope = self.outward(ix);
        }
        None
    }

    /// The procedure that a call is of.
    pub fn manual(&self, call: StepIx) -> Option<Arc<Manual>> {
        match self.node(call).step().map(|step| &step.verb) {
            Some(Verb::Call { procedure, .. }) => self.library.get(procedure).cloned(),
            _ => None,
        }
    }

    /// The fan-outs round a step, innermost first.
    pub fn fans_round(&self, ix: StepIx) -> impl Iterator<Item = &Node> {
        std::iter::successors(self.outward(ix), |ix| self.outward(*ix))
            .map(|ix| self.node(ix))
            .filter(|node| matches!(node.kind, Kind::FanOut))
    }

    /// What approvals are given for: the plan's hash, or that of the last list that became known.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The step `id` inside the scope `ix`: what the scope's own outputs may name.
    pub fn inner(&self, ix: StepIx, id: &str) -> Option<StepIx> {
        let node = self.node(ix);
        if node.kind.is_scope() { self.find(&node.path.child(id)) } else { None }
    }

    /// Steps with something outstanding.
    pub fn active(&self) -> impl Iterator<Item = StepIx> + '_ {
        self.active.iter().copied()
    }

    pub fn stage(&self) -> Stage {
        self.stage
    }

    pub fn lock_held(&self) -> bool {
        self.lock_held
    }

    /// Whether something failed that nothing bears.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    pub fn is_parked(&self) -> bool {
        self.parked
    }

    /// How the run stands, in the words that people see.
    pub fn status(&self) -> RunStatus {
        match self.stage {
            Stage::Finished(status) => status,
            _ if self.parked => RunStatus::Paused,
            Stage::Unwinding => RunStatus::RollingBack,
            _ if self.is_waiting() => RunStatus::Waiting,
            _ => RunStatus::Running,
        }
    }

    fn is_waiting(&self) -> bool {
        !self.active.is_empty()
            && self.active.iter().all(|ix| matches!(self.node(*ix).awaiting, Awaiting::Answer | Awaiting::Decision))
    }

    /// Steps whose end is not known.
    pub fn in_doubt(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|n| matches!(n.outcome, Outcome::InDoubt(_)))
    }

    fn wants_lock(&self) -> bool {
        self.plan.as_ref().is_some_and(|p| p.procedure.lock == LockScope::Site)
    }
}
