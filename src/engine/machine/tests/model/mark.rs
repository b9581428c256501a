//! What tells one state of the machine from another: all that its decisions rest on, and nothing else.
//!
//! Times, texts of failures and outputs are left out, since nothing is decided by them; the order of the starts is
//! kept, their numbers are not.

use sha2::{Digest, Sha256};

use crate::engine::machine::node::{Awaiting, Fan, Kind, Node, Scope, StepIx};
use crate::engine::machine::{Halt, Stage, State};
use crate::event::{Outcome, UndoStatus};
use crate::model::failure::Failure;

pub fn digest(marks: &[u8]) -> u128 {
    let sum = Sha256::digest(marks);
    u128::from_le_bytes(sum[..16].try_into().unwrap())
}

pub fn fingerprint(state: &State) -> u128 {
    let mut marks = Vec::with_capacity(1_024);
    mark(state, &mut marks);
    digest(&marks)
}

/// Appends the marks of a state.
pub fn mark(state: &State, out: &mut Vec<u8>) {
    mark_run(state, out);
    let starts: Vec<u64> = state.nodes.iter().filter_map(|n| n.started).collect();
    for node in &state.nodes {
        out.extend_from_slice(node.path.as_str().as_bytes());
        out.push(0);
        mark_node(node, &starts, out);
        if node.kind.is_scope() {
            mark_scope(&node.scope, out);
        }
    }
    out.extend(state.flow.marks());
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
        Some(Halt::Failed { rollback }) => out.extend([1, at(*rollback)]),
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
        ],
        out,
    );
    out.extend([state.reopened.map_or(0, |s| 1 + s as u8), state.stop_level]);
    out.extend([count(state.recovering), count(state.waiting), count(state.asking)]);
    all(state.cancelled.iter(), out);
    out.extend(state.held.iter().map(|point| count(point.index())));
    out.extend([u8::MAX, at(state.unwind.scope), at(state.unwind.due)]);
    all(state.unwind.left.iter(), out);
    let (of, undo) = state.unwind.current.unzip();
    out.extend([at(of), at(undo)]);
    out.push(u8::from(state.due_finally.is_some()));
    all(state.due_finally.iter().flatten(), out);
    out.extend(state.regions.map(at));
}

fn mark_node(node: &Node, starts: &[u64], out: &mut Vec<u8>) {
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
        Outcome::Failed(failure) => out.extend([8, failure.class as u8, failure.done as u8]),
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
    let rank = node.started.map_or(0, |mine| 1 + starts.iter().filter(|other| **other < mine).count());
    out.extend([node.attempt as u8, node.tries as u8, count(rank), node.effect as u8, node.region as u8]);
    flags(
        &[
            node.invocation.is_some(),
            node.question.is_some(),
            node.question.as_ref().is_some_and(|q| !q.options.is_empty()),
            node.intent.is_some(),
            node.handle.is_some(),
            node.overdue,
            node.partial,
            node.by_hand,
            node.pending.is_some(),
            node.deadline.is_some(),
        ],
        out,
    );
    mark_failure(node.failure.as_deref(), out);
    out.push(match node.undo {
        UndoStatus::None => 0,
        UndoStatus::Listed(_) => 1,
        UndoStatus::RolledBack => 2,
        UndoStatus::RollbackFailed => 3,
    });
    out.extend([at(node.undoes), at(node.parent)]);
}

fn mark_scope(scope: &Scope, out: &mut Vec<u8>) {
    mark_failure(scope.failure.as_deref(), out);
    mark_failure(scope.own_failure.as_deref(), out);
    out.push(u8::from(scope.not_run.is_some()));
    let Fan { failed, running, lanes, closed, later, wave, wave_left, .. } = &scope.fan;
    all(failed.iter(), out);
    out.extend([count(*running), u8::from(*closed), count(*wave), count(*wave_left)]);
    for lane in lanes.values() {
        out.push(count(lane.running));
        all(lane.queue.iter(), out);
    }
    all(later.iter().flatten(), out);
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

fn all<'a>(steps: impl Iterator<Item = &'a StepIx>, out: &mut Vec<u8>) {
    out.extend(steps.map(|ix| count(ix.0)));
    out.push(u8::MAX);
}

fn at(ix: Option<StepIx>) -> u8 {
    ix.map_or(u8::MAX, |ix| count(ix.0))
}

fn count(n: usize) -> u8 {
    u8::try_from(n).unwrap()
}
