//! One step of the expanded graph: where it stands and what it is waiting for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use crate::event::{Intent, Invocation, Item, Outcome, Question, UndoStatus};
use crate::graph::Point;
use crate::model::effect::Effect;
use crate::model::failure::Failure;
use crate::model::ids::StepPath;
use crate::model::runbook::{Check, Procedure, Rollback, Step, Verb};

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
            // A call's are those of its procedure.
            Verb::Uses { .. } | Verb::Call { .. } | Verb::Confirm(_) => Vec::new(),
        };
        let rollback = match &step.rollback {
            Rollback::Steps(steps) => Self::of(steps),
            Rollback::Auto | Rollback::None(_) => Vec::new(),
        };
        Self { step: step.clone(), children, rollback }
    }
}

/// A procedure with its steps, shared by all calls of it.
#[derive(Debug)]
pub struct Manual {
    pub procedure: Procedure,
    pub steps: Vec<Arc<Body>>,
    pub finally: Vec<Arc<Body>>,
}

impl Manual {
    pub fn new(procedure: &Procedure) -> Self {
        let (steps, finally) = (Body::of(&procedure.steps), Body::of(&procedure.finally));
        Self { procedure: procedure.clone(), steps, finally }
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

/// The parts of a procedure's call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Require,
    Steps,
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
    /// A call of a local procedure or another runbook.
    Procedure,
    /// The scope round one part of a call.
    Part(Part),
    /// The checks before a wave of a fan-out.
    Gate,
    /// The action's own inverse of that step.
    Undo(StepIx),
}

impl Kind {
    pub fn is_scope(&self) -> bool {
        matches!(self, Self::Region | Self::Group | Self::FanOut | Self::Procedure | Self::Part(_) | Self::Gate)
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
    /// To a gate, or to a list that became known only now.
    Answer,
    /// What is to become of it, since it failed.
    Decision,
}

impl Awaiting {
    pub(super) fn is_for_time_or_person(self) -> bool {
        matches!(self, Self::Timer(_) | Self::Answer | Self::Decision)
    }
}

/// A scope's children and, for a fan-out, who may go.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    pub children: Vec<StepIx>,
    /// The failure of the first child that failed and was not optional.
    pub failure: Option<Box<Failure>>,
    pub not_run: Option<StepPath>,
    /// Why the scope itself failed, whatever became of its children: its deadline, its gate, its requirements.
    pub own_failure: Option<Box<Failure>>,
    pub fan: Fan,
}

/// Admission to a fan-out: so many at once, and so many in each lane.
#[derive(Debug, Clone, Default)]
pub struct Fan {
    pub width: usize,
    pub lane_width: usize,
    pub borne: usize,
    /// Items that failed; each counts once.
    pub failed: BTreeSet<StepIx>,
    pub running: usize,
    pub lanes: BTreeMap<String, Lane>,
    /// Lanes with room, by the item at their head.
    pub open: BTreeSet<(StepIx, String)>,
    pub closed: bool,
    /// How many items each wave has, until the items are there.
    pub waves: Vec<usize>,
    /// Items of the wave to come and of those after it.
    pub later: VecDeque<Vec<StepIx>>,
    /// Counts from 1; 0 before the first.
    pub wave: usize,
    /// Items of this wave that are not over.
    pub wave_left: usize,
}

#[derive(Debug, Clone, Default)]
pub struct Lane {
    pub running: usize,
    pub queue: VecDeque<StepIx>,
}

/// What a failed attempt left in the world: whatever becomes of the step later, an undo takes this back too.
#[derive(Debug, Clone)]
pub struct Left {
    pub intent: Option<Intent>,
    pub failure: Box<Failure>,
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
    /// The step that this one undoes.
    pub undoes: Option<StepIx>,
    /// When its deadline passes: milliseconds since 1970.
    pub deadline: Option<u64>,
    /// Its deadline, or that of a scope round it, has passed: it is not tried again.
    pub overdue: bool,
    /// What an attempt had changed when it failed and a person went on (tried it again, or skipped it).
    pub(super) left: Option<Left>,
    /// Done by a person, who alone knows how to undo it.
    pub(super) by_hand: bool,
    /// A fan-out's items that nobody has agreed to yet.
    pub pending: Option<Arc<(Vec<Item>, Fan)>>,
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

    /// The object as it was before the step first changed it.
    pub fn before(&self) -> Option<&Value> {
        let first = self.left.as_ref().and_then(|left| left.intent.as_ref());
        first.or(self.intent.as_ref()).map(|intent| &intent.before)
    }

    /// The failure of an earlier attempt: it stands where no other is made any more.
    pub(super) fn failed_before(&mut self) -> Option<Box<Failure>> {
        self.failure.take().or_else(|| Some(self.left.as_ref()?.failure.clone()))
    }

    pub(super) fn is_optional(&self) -> bool {
        !self.is_item && self.step().is_some_and(|step| step.optional)
    }
}
