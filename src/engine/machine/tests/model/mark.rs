//! What tells one state of the machine from another: all that its decisions rest on, and nothing else.
//!
//! Left out, since nothing is decided by them: times, texts, outputs, the class of a failure that stands, the
//! attempts and the intent of what is over for good, and the order of the starts of what can never be undone (of the
//! others the order is kept, their numbers are not).
//!
//! A node is marked where it stands in the tree, with whatever the run's lists say of it (held back, to be undone
//! third, ...), so the numbers of nodes are no part of a state. Of what becomes ready at once the older goes first; that
//! matters where the end of a scope begins something, as that of a part of a call does, so while there are calls the order in
//! which open scopes were opened is marked. *Twins* are sorted: steps of one list that are the same, need the same, are
//! needed by the same (cases name them alike but for a digit) and call nothing, and the items of a fan-out that lets all
//! in at once. Whatever can come of a state can come of the one in which two twins have changed places, with the places
//! changed, and no rule tells twins apart.
//!
//! That nothing is lost by all this is not only argued: see `no_state_is_lost_by_its_mark`.

use crate::engine::machine::node::{Awaiting, Fan, Kind, Node, StepIx};
use crate::engine::machine::{Halt, Stage, State};
use crate::event::{Outcome, UndoStatus};
use crate::model::effect::Done;
use crate::model::failure::Failure;
use crate::model::runbook::{Step, Verb};

/// Two lanes of multiplied words: in the test profile many times as fast as a cryptographic sum, and of as many bits as
/// make it unlikely that any two states of all cases together have the same.
pub fn digest(marks: &[u8]) -> u128 {
    let (mut one, mut two) = (0x243f_6a88_85a3_08d3_u64 ^ marks.len() as u64, 0x1319_8a2e_0370_7344_u64);
    let mix = |lane: u64, word: u64, by: u64| {
        let product = u128::from(lane ^ word).wrapping_mul(u128::from(by));
        product as u64 ^ (product >> 64) as u64
    };
    for chunk in marks.chunks(8) {
        let word = match <[u8; 8]>::try_from(chunk) {
            Ok(eight) => u64::from_le_bytes(eight),
            Err(_) => chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        one = mix(one, word, 0xa076_1d64_78bd_642f);
        two = mix(two.rotate_left(23), word, 0xe703_7ed1_a0b4_28db);
    }
    u128::from(mix(one, two, 0x8ebc_6af0_9c88_c6e3)) << 64 | u128::from(two)
}

pub fn fingerprint(state: &State) -> u128 {
    let mut marks = Vec::with_capacity(1_024);
    mark(state, &|_, _| {}, &mut marks);
    digest(&marks)
}

/// Appends the marks of a state; `world` adds those of what is round a node.
pub fn mark(state: &State, world: &dyn Fn(StepIx, &mut Vec<u8>), out: &mut Vec<u8>) {
    mark_run(state, out);
    let lists = Lists::of(state);
    let tree = Tree { state, lists, world };
    // Regions and what has no parent; an undo stands below what it undoes.
    for (ix, node) in state.nodes.iter().enumerate() {
        if node.parent.is_none() && node.undoes.is_none() {
            tree.mark(StepIx(ix), out);
        }
    }
}

/// What the run's lists say of each node.
struct Lists {
    flow: Vec<u8>,
    /// How many of those that can still be undone started before it, and one; 0: it did not, or can never be undone.
    ranks: Vec<u8>,
    undos: Vec<(StepIx, StepIx)>,
    /// Whether there is a call that is not over.
    calls: bool,
}

impl Lists {
    fn of(state: &State) -> Self {
        let counted: Vec<Option<u64>> = state.nodes.iter().map(|n| n.started.filter(|_| may_be_undone(n))).collect();
        let rank = |mine: &Option<u64>| match mine {
            None => 0,
            Some(mine) => 1 + count(counted.iter().flatten().filter(|other| *other < mine).count()),
        };
        let undos = state.nodes.iter().enumerate().filter_map(|(ix, n)| Some((n.undoes?, StepIx(ix))));
        Self {
            flow: state.flow.marks().collect(),
            ranks: counted.iter().map(rank).collect(),
            undos: undos.collect(),
            calls: state.nodes.iter().any(|n| matches!(n.kind, Kind::Procedure) && is_open(n)),
        }
    }
}

fn is_open(node: &Node) -> bool {
    node.kind.is_scope() && !node.outcome.is_final()
}

/// As `has_something_to_undo` will see it, now or once it is over.
fn may_be_undone(node: &Node) -> bool {
    match &node.outcome {
        Outcome::NotRun(_) => false,
        Outcome::Skipped(_) | Outcome::Unchanged => node.left.is_some(),
        Outcome::Failed(failure) => failure.done != Done::None,
        _ => true,
    }
}

struct Tree<'a> {
    state: &'a State,
    lists: Lists,
    world: &'a dyn Fn(StepIx, &mut Vec<u8>),
}

impl Tree<'_> {
    fn mark(&self, ix: StepIx, out: &mut Vec<u8>) {
        let node = self.state.node(ix);
        self.mark_place(ix, node, out);
        mark_node(node, out);
        (self.world)(ix, out);
        if node.kind.is_scope() {
            self.mark_scope(node, out);
        }
        for (_, undo) in self.lists.undos.iter().filter(|(of, _)| *of == ix) {
            out.push(b'u');
            self.mark(*undo, out);
        }
        out.push(b')');
    }

    /// Where a node stands in the run's own lists.
    fn mark_place(&self, ix: StepIx, node: &Node, out: &mut Vec<u8>) {
        let state = self.state;
        let place = |list: &[StepIx]| list.iter().position(|at| *at == ix).map_or(0, |at| 1 + count(at));
        let is = |at: Option<StepIx>| at == Some(ix);
        let current = state.unwind.current;
        flags(
            &[
                state.held.contains(&node.enter),
                node.leave != node.enter && state.held.contains(&node.leave),
                state.cancelled.contains(&ix),
                is(state.unwind.scope),
                is(state.unwind.due),
                matches!(state.halt, Some(Halt::Failed { rollback }) if is(rollback)),
                is(current.map(|(of, _)| of)),
                is(current.map(|(_, undo)| undo)),
            ],
            out,
        );
        let flow = |point: crate::graph::Point| self.lists.flow[point.index()];
        out.extend([flow(node.enter), flow(node.leave), self.lists.ranks[ix.0], place(&state.unwind.left)]);
        if matches!(node.kind, Kind::Procedure) {
            out.push(place(state.due_finally.as_deref().unwrap_or_default()));
        }
        if self.lists.calls && is_open(node) {
            out.push(count(state.nodes[..ix.0].iter().filter(|n| is_open(n)).count()));
        }
    }

    fn mark_scope(&self, node: &Node, out: &mut Vec<u8>) {
        let scope = &node.scope;
        for failure in [&scope.failure, &scope.own_failure] {
            out.push(failure.as_ref().map_or(u8::MAX, |failure| failure.done as u8));
        }
        let children = &scope.children;
        let Fan { failed, running, lanes, closed, later, wave, wave_left, .. } = &scope.fan;
        out.extend([u8::from(scope.not_run.is_some()), u8::from(*closed)]);
        out.extend([count(*running), count(*wave), count(*wave_left)]);
        let nth = |ix: &StepIx| count(children.iter().position(|child| child == ix).unwrap());
        for lane in lanes.values() {
            out.push(count(lane.running));
            out.extend(lane.queue.iter().map(nth));
            out.push(u8::MAX);
        }
        out.extend(later.iter().flatten().map(nth));
        out.push(b'(');
        let words = twins(self.state, node);
        for (at, child) in children.iter().enumerate() {
            let alike = |other: &usize| words[at].is_some() && words[*other] == words[at];
            if (0..at).any(|before| alike(&before)) {
                continue;
            }
            let twins = (at + 1..children.len()).filter(alike).map(|other| children[other]);
            let one = |child: StepIx, out: &mut Vec<u8>| {
                out.push(u8::from(failed.contains(&child)));
                self.mark(child, out);
            };
            let mut marks: Vec<Vec<u8>> = Vec::new();
            for twin in twins {
                marks.push(Vec::with_capacity(64));
                one(twin, marks.last_mut().unwrap());
            }
            if marks.is_empty() {
                one(*child, out);
                continue;
            }
            let mut first = Vec::with_capacity(64);
            one(*child, &mut first);
            marks.push(first);
            marks.sort();
            marks.iter().for_each(|mark| out.extend_from_slice(mark));
        }
    }
}

/// Which of a scope's children are twins: those with the same word are.
fn twins(state: &State, scope: &Node) -> Vec<Option<u8>> {
    let fan = &scope.scope.fan;
    let items = scope.children().len();
    let all_in = fan.width >= items && fan.lane_width >= items && fan.later.is_empty() && fan.wave <= 1;
    let word = |ix: &StepIx| {
        let node = state.node(*ix);
        if node.step().is_some_and(calls) {
            return None;
        }
        if node.is_item {
            return all_in.then_some(b'*');
        }
        match node.step()?.id.as_bytes() {
            [word, digit] if digit.is_ascii_digit() => Some(*word),
            _ => None,
        }
    };
    scope.children().iter().map(word).collect()
}

fn calls(step: &Step) -> bool {
    match &step.verb {
        Verb::Call { .. } => true,
        Verb::Steps(steps) | Verb::Parallel(steps) => steps.iter().any(calls),
        Verb::Uses { .. } | Verb::Confirm(_) => false,
    }
}

fn mark_run(state: &State, out: &mut Vec<u8>) {
    match state.stage {
        Stage::New => out.push(0),
        Stage::Locking => out.push(1),
        Stage::Requiring => out.push(2),
        Stage::Main => out.push(3),
        Stage::Unwinding => out.push(4),
        Stage::Finally => out.push(5),
        Stage::Unlocking => out.push(6),
        Stage::Finishing(status) => out.extend([7, status as u8]),
        Stage::Finished(status) => out.extend([8, status as u8]),
    }
    match &state.halt {
        None => out.push(0),
        Some(Halt::Failed { rollback }) => out.extend([1, u8::from(rollback.is_some())]),
        Some(Halt::Cancelled { level, rollback }) => out.extend([2, *level, u8::from(*rollback)]),
        Some(Halt::Declined) => out.push(3),
        Some(Halt::InDoubt) => out.push(4),
        Some(Halt::Paused) => out.push(5),
    }
    flags(
        &[
            state.failed,
            state.finally_failed,
            state.overdue,
            state.abandoned,
            state.rollback_asked,
            state.finish_issued,
            state.lock_held,
            state.parked,
            state.unwind.paused,
            state.due_finally.is_some(),
        ],
        out,
    );
    out.extend([state.reopened.map_or(0, |s| 1 + s as u8), state.stop_level]);
    out.extend([count(state.recovering), count(state.waiting), count(state.asking)]);
}

fn mark_node(node: &Node, out: &mut Vec<u8>) {
    out.push(match node.kind {
        Kind::Region => 0,
        Kind::Action => 1,
        Kind::Confirm => 2,
        Kind::Check(_) => 3,
        Kind::Group => 4,
        Kind::FanOut => 5,
        Kind::Procedure => 6,
        Kind::Part(part) => 7 + part as u8,
        Kind::Gate => 10,
        Kind::Undo(_) => 11,
    });
    match &node.outcome {
        Outcome::Pending => out.push(0),
        Outcome::Waiting => out.push(1),
        Outcome::Running => out.push(2),
        Outcome::Retrying => out.push(3),
        Outcome::Ok => out.push(4),
        Outcome::Unchanged => out.push(5),
        Outcome::Skipped(_) => out.push(6),
        Outcome::NotRun(_) => out.push(7),
        Outcome::Failed(failure) => out.extend([8, failure.done as u8]),
        Outcome::InDoubt(_) => out.push(9),
        Outcome::Cancelled => out.push(10),
    }
    out.push(match node.awaiting {
        Awaiting::Nothing => 0,
        Awaiting::Evaluation => 1,
        Awaiting::Attempt { intent } => 2 + u8::from(intent),
        Awaiting::Recovery => 4,
        Awaiting::Timer(_) => 5,
        Awaiting::Answer => 6,
        Awaiting::Decision => 7,
    });
    out.push(node.region as u8);
    flags(&[node.overdue, node.left.is_some(), node.by_hand], out);
    out.push(match node.undo {
        UndoStatus::None => 0,
        UndoStatus::Listed(_) => 1,
        UndoStatus::RolledBack => 2,
        UndoStatus::RollbackFailed => 3,
    });
    if is_over_for_good(node) {
        return;
    }
    out.extend([node.attempt as u8, node.tries as u8, node.effect as u8]);
    flags(
        &[
            node.invocation.is_some(),
            node.question.is_some(),
            node.question.as_ref().is_some_and(|q| !q.options.is_empty()),
            node.intent.is_some(),
            node.handle.is_some(),
            node.pending.is_some(),
            node.deadline.is_some(),
        ],
        out,
    );
    mark_failure(node.failure.as_deref(), out);
}

/// What was stopped may be begun again, and what is in doubt is looked at again; the rest stays as it is.
fn is_over_for_good(node: &Node) -> bool {
    let over = matches!(
        node.outcome,
        Outcome::Ok | Outcome::Unchanged | Outcome::Skipped(_) | Outcome::NotRun(_) | Outcome::Failed(_)
    );
    over && node.awaiting == Awaiting::Nothing
}

fn mark_failure(failure: Option<&Failure>, out: &mut Vec<u8>) {
    match failure {
        None => out.push(u8::MAX),
        Some(failure) => out.extend([failure.class as u8, failure.done as u8]),
    }
}

fn flags(flags: &[bool], out: &mut Vec<u8>) {
    let bits = flags.iter().fold(0u16, |bits, flag| bits << 1 | u16::from(*flag));
    out.extend(bits.to_le_bytes());
}

fn count(n: usize) -> u8 {
    u8::try_from(n).unwrap()
}
