//! One step of the expanded graph: where it stands and what it is waiting for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use crate::event::{Intent, Invocation, Outcome, Question, UndoStatus};
use crate::graph::Point;
use crate::model::effect::Effect;
use crate::model::failure::Failure;
use crate::model::ids::StepPath;
use crate::model::runbook::{Check, Rollback, Step, Verb};

/// A step's place in the state, in the order in which steps came into being.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepIx(pub usize);

/// A step of the runbook with its children, shared by all nodes made from it.
#[derive(Debug)]
pub struct Body {
    pub step: Step,
    pub children: Vec<Arc<Body>>,
    pub rollback: Vec<Arc<Body>>,
}

impl Body {
    pub fn of(steps: &[Step]) -> Vec<Arc<Self>> {
        steps.iter().map(|step| Arc::new(Self::new(step))).collect()
    }

    fn new(step: &Step) -> Self {
        let children = match &step.verb {
            Verb::Steps(steps) | Verb::Parallel(steps) => Self::of(steps),
            Verb::Uses { .. } | Verb::Call { .. } | Verb::Confirm(_) => Vec::new(),
        };
        let rollback = match &step.rollback {
            Rollback::Steps(steps) => Self::of(steps),
            Rollback::Auto | Rollback::None(_) => Vec::new(),
        };
        Self { step: step.clone(), children, rollback }
    }
}

/// The items of the fan-outs that a step is in, innermost first.
pub type Bindings = Option<Arc<Binding>>;

/// One item's name and value.
#[derive(Debug, PartialEq)]
pub struct Binding {
    pub name: String,
    pub value: Value,
    pub outer: Bindings,
}

/// The parts of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Region {
    Require,
    Main,
    Undo,
    Finally,
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// One of the run's parts: the scope round all of its steps.
    Region,
    Action,
    Confirm,
    Check(Arc<Check>),
    Group,
    FanOut,
    /// The action's own inverse of that step.
    Undo(StepIx),
}

impl Kind {
    pub fn is_scope(&self) -> bool {
        matches!(self, Self::Region | Self::Group | Self::FanOut)
    }
}

/// What is outstanding for a node: issued and not yet answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaiting {
    Nothing,
    Evaluation,
    /// An attempt; whether its intent is journalled.
    Attempt {
        intent: bool,
    },
    Recovery,
    /// The time (milliseconds since 1970) of the next attempt.
    Timer(u64),
    Answer,
}

impl Awaiting {
    pub(super) fn is_for_time_or_person(self) -> bool {
        matches!(self, Self::Timer(_) | Self::Answer)
    }
}

/// A scope's children and, for a fan-out, who may go.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    pub children: Vec<StepIx>,
    /// The failure of the first child that failed and was not optional.
    pub failure: Option<Box<Failure>>,
    pub not_run: Option<StepPath>,
    pub fan: Fan,
}

/// Admission to a fan-out: so many at once, and so many in each lane.
#[derive(Debug, Clone, Default)]
pub struct Fan {
    pub width: usize,
    pub lane_width: usize,
    pub borne: usize,
    pub failures: usize,
    pub running: usize,
    pub lanes: BTreeMap<String, Lane>,
    /// Lanes with room, by the item at their head.
    pub open: BTreeSet<(StepIx, String)>,
    pub closed: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Lane {
    pub running: usize,
    pub queue: VecDeque<StepIx>,
}

/// One step of the expanded graph.
#[derive(Debug, Clone)]
pub struct Node {
    pub path: StepPath,
    pub kind: Kind,
    /// `None` for regions, checks and undos.
    pub body: Option<Arc<Body>>,
    pub region: Region,
    pub parent: Option<StepIx>,
    pub bindings: Bindings,
    /// An item of its parent, a fan-out.
    pub is_item: bool,
    pub lane: String,
    pub outcome: Outcome,
    pub awaiting: Awaiting,
    /// The attempt or recovery that is, or was last, under way: counts from 1; 0 before the first.
    pub attempt: u32,
    /// Attempts alone: what `retry` counts.
    pub tries: u32,
    /// Its place among the starts.
    pub started: Option<u64>,
    pub invocation: Option<Invocation>,
    pub effect: Effect,
    pub question: Option<Question>,
    pub intent: Option<Intent>,
    pub handle: Option<Value>,
    pub outputs: Option<Value>,
    /// The failure that is being recovered.
    pub failure: Option<Box<Failure>>,
    pub undo: UndoStatus,
    pub(super) enter: Point,
    pub(super) leave: Point,
    pub(super) scope: Scope,
}

impl Node {
    pub fn step(&self) -> Option<&Step> {
        self.body.as_ref().map(|body| &body.step)
    }

    pub fn children(&self) -> &[StepIx] {
        &self.scope.children
    }

    pub(super) fn is_optional(&self) -> bool {
        !self.is_item && self.step().is_some_and(|step| step.optional)
    }
}
