//! What happens next: starting what is ready, bearing failures, and going from part to part of a run.

use serde_json::Value;

use super::node::{Awaiting, Kind, Part, Region, StepIx};
use super::{Command, Halt, Stage, State};
use crate::event::{Decision, Outcome, Question, RunStatus, UndoStatus};
use crate::model::effect::Done;
use crate::model::failure::Failure;
use crate::model::ids::StepPath;
use crate::model::runbook::OnFailure;

/// What a step's failure means for the rest.
enum Policy {
    /// Shown as a warning, or borne by a scope that fails itself: the run has not failed for it.
    Tolerate,
    /// Only what descends from it is not run.
    Continue,
    Halt {
        rollback: Option<StepIx>,
    },
    /// A person decides; `scope` is what would be rolled back.
    Ask {
        scope: StepIx,
    },
}

impl State {
    /// Goes on as far as is possible without an answer from outside.
    pub(super) fn decide(&mut self, commands: &mut Vec<Command>) {
        if self.parked || self.plan.is_none() {
            return;
        }
        loop {
            self.start_ready(commands);
            let stage = self.stage;
            match stage {
                Stage::New => self.begin(commands),
                Stage::Requiring => self.requiring(commands),
                Stage::Main => self.main(commands),
                Stage::Unwinding => self.unwinding(commands),
                Stage::Finally => self.finally(commands),
                Stage::Locking | Stage::Unlocking | Stage::Finishing(_) | Stage::Finished(_) => {}
            }
            if self.stage == stage && self.flow.ready().next().is_none() {
                break;
            }
            if self.parked {
                break;
            }
        }
        if let Stage::Finishing(status) = self.stage
            && !self.finish_issued
        {
            self.finish_issued = true;
            commands.push(Command::Finish(status));
        }
    }

    fn begin(&mut self, commands: &mut Vec<Command>) {
        if self.wants_lock() {
            self.stage = Stage::Locking;
            commands.push(Command::AcquireLock);
        } else {
            self.stage = Stage::Requiring;
        }
    }

    fn requiring(&mut self, commands: &mut Vec<Command>) {
        let Some(plan) = self.plan.clone() else { return };
        if self.regions[Region::Require as usize].is_none() {
            let region = self.add_region(Region::Require);
            self.open_checks(region, &plan.procedure.require);
        } else if self.region_is_over(Region::Require) {
            match self.halt {
                _ if self.failed => self.leave(commands),
                None => self.stage = Stage::Main,
                Some(Halt::Paused) => self.park(commands),
                Some(_) => self.leave(commands),
            }
        }
    }

    fn main(&mut self, commands: &mut Vec<Command>) {
        if self.regions[Region::Main as usize].is_none() {
            let Some(plan) = self.plan.clone() else { return };
            let region = self.add_region(Region::Main);
            let bodies = super::Body::of(&plan.procedure.steps);
            self.open_steps(region, &bodies);
            return;
        }
        let drained = self.halt.is_some() && self.active.is_empty();
        if !self.region_is_over(Region::Main) && !drained {
            return;
        }
        let over = self.region_is_over(Region::Main);
        if !self.abandoned && (self.in_doubt_count() > 0 || !over && matches!(self.halt, Some(Halt::Paused))) {
            self.park(commands);
            return;
        }
        // The lock is gone, and not all was done: whatever a person says from here on does not make a success of it.
        self.failed |= !over && self.halt == Some(Halt::InDoubt);
        self.close_main();
        let root = self.regions[Region::Main as usize];
        let scope = match self.halt {
            _ if self.abandoned => None,
            _ if self.rollback_asked => root,
            Some(Halt::Failed { rollback }) => rollback,
            Some(Halt::Cancelled { rollback: true, .. }) => root,
            _ => None,
        };
        if let Some(scope) = scope {
            self.start_unwinding(scope);
            self.stage = Stage::Unwinding;
        } else {
            self.stage = Stage::Finally;
        }
    }

    fn finally(&mut self, commands: &mut Vec<Command>) {
        let Some(plan) = self.plan.clone() else { return };
        if self.is_stuck() && !self.abandoned {
            if self.in_doubt_count() > 0 || self.stop_level >= 2 {
                self.park(commands);
            } else {
                self.revive(commands);
            }
            return;
        }
        if !self.active.is_empty() {
            return;
        }
        // Innermost first: what was entered last.
        let due = match self.due_finally.take() {
            Some(due) => due,
            None => {
                let calls = (0..self.nodes.len()).map(StepIx).filter(|ix| self.node(*ix).region == Region::Main);
                calls.filter(|ix| matches!(self.node(*ix).kind, Kind::Procedure) && self.owes_finally(*ix)).collect()
            }
        };
        let due = self.due_finally.insert(due);
        if let Some(call) = due.pop() {
            self.open_part(call, Part::Finally);
            return;
        }
        if self.regions[Region::Finally as usize].is_none() {
            let region = self.add_region(Region::Finally);
            let bodies = super::Body::of(&plan.procedure.finally);
            self.open_steps(region, &bodies);
        } else if self.region_is_over(Region::Finally) || self.abandoned {
            // Of a run that was given up a part of `finally` may be left undone; never without a word.
            self.finally_failed |= self.nodes.iter().any(|n| n.region == Region::Finally && !n.outcome.is_final());
            self.leave(commands);
        }
    }

    /// Nothing goes on by itself: something is in doubt, or was stopped before it was sent.
    pub(super) fn is_stuck(&self) -> bool {
        self.active.is_empty() && (self.in_doubt_count() > 0 || !self.cancelled.is_empty())
    }

    /// All is done but giving the lock back.
    fn leave(&mut self, commands: &mut Vec<Command>) {
        if self.lock_held {
            self.stage = Stage::Unlocking;
            commands.push(Command::ReleaseLock);
        } else {
            self.stage = Stage::Finishing(self.final_status());
        }
    }

    pub(super) fn unlocked(&mut self) {
        self.lock_held = false;
        if self.stage == Stage::Unlocking {
            self.stage = Stage::Finishing(self.final_status());
        }
    }

    pub(super) fn park(&mut self, commands: &mut Vec<Command>) {
        self.parked = true;
        commands.push(Command::Park);
    }

    fn final_status(&self) -> RunStatus {
        let unwound = self.unwind.scope.is_some();
        let incomplete =
            self.nodes.iter().any(|n| matches!(n.undo, UndoStatus::RollbackFailed | UndoStatus::Listed(_)));
        let whole = self.unwind.scope == self.regions[Region::Main as usize];
        match &self.halt {
            _ if unwound && incomplete => RunStatus::RollbackIncomplete,
            _ if self.finally_failed => RunStatus::Failed,
            _ if unwound && whole => RunStatus::RolledBack,
            _ if self.failed => RunStatus::Failed,
            Some(Halt::Declined) => RunStatus::Stopped,
            Some(Halt::Cancelled { .. }) => RunStatus::Cancelled,
            Some(Halt::InDoubt | Halt::Failed { .. }) => RunStatus::Failed,
            // A pause that came when all was done.
            Some(Halt::Paused) => RunStatus::Succeeded,
            None => RunStatus::Succeeded,
        }
    }

    fn region_is_over(&self, region: Region) -> bool {
        self.regions[region as usize].is_some_and(|ix| self.node(ix).outcome.is_final())
    }

    /// Whether nothing new may start: halted, or something is being recovered or decided first.
    pub(super) fn holds(&self) -> bool {
        self.halt.is_some() || self.recovering > 0 || self.asking > 0
    }

    /// What was not begun by then never is, though a call's `finally` may still end and make it ready.
    fn main_is_closed(&self) -> bool {
        !matches!(self.stage, Stage::New | Stage::Locking | Stage::Requiring | Stage::Main)
    }

    fn start_ready(&mut self, commands: &mut Vec<Command>) {
        if !self.holds() {
            for point in std::mem::take(&mut self.held) {
                self.flow.put_back(point);
            }
        }
        let mut due = Vec::new();
        loop {
            // What ends a scope comes first: its failure may be why nothing else is to begin.
            while let Some(point) = self.flow.pop_ready() {
                let Some(ix) = self.by_point.get(&point).copied() else { continue };
                let node = self.node(ix);
                if !(node.kind.is_scope() && point == node.leave) {
                    due.push((point, ix));
                } else if self.part_must_wait(ix) {
                    self.held.push(point);
                } else {
                    self.scope_over(ix, commands);
                }
            }
            if due.is_empty() {
                return;
            }
            for (point, ix) in due.drain(..) {
                // One that is not to run any more was settled meanwhile.
                if self.node(ix).region == Region::Main && (self.holds() || self.main_is_closed()) {
                    self.held.push(point);
                } else if !self.flow.is_settled(point) {
                    self.start(ix, commands);
                }
            }
        }
    }

    fn start(&mut self, ix: StepIx, commands: &mut Vec<Command>) {
        self.start_deadline(ix, commands);
        match &self.node(ix).kind {
            // Opened by whoever makes them.
            Kind::Region | Kind::Part(_) | Kind::Gate => {}
            Kind::Check(_) => self.attempt(ix, commands),
            Kind::Group if self.opens_unasked(ix) => {
                let body = self.node(ix).body.clone();
                self.open_steps(ix, body.as_ref().map_or(&[], |b| b.children.as_slice()));
            }
            Kind::Group | Kind::FanOut | Kind::Procedure | Kind::Action | Kind::Confirm | Kind::Undo(_) => {
                self.set(ix, Awaiting::Evaluation, Outcome::Running);
                commands.push(Command::Evaluate(ix));
            }
        }
    }

    fn opens_unasked(&self, ix: StepIx) -> bool {
        self.node(ix).step().is_some_and(|step| step.when.is_none() && step.skip_if.is_none())
    }

    /// A scope's children are all over.
    fn scope_over(&mut self, ix: StepIx, commands: &mut Vec<Command>) {
        match self.node(ix).kind {
            Kind::Part(part) => self.part_over(ix, part),
            Kind::Gate => self.gate_over(ix),
            _ => match self.nodes[ix.0].scope.own_failure.take() {
                Some(failure) => self.fail(ix, *failure, commands),
                None => {
                    let outcome = self.scope_outcome(ix);
                    self.over(ix, outcome);
                }
            },
        }
    }

    /// What its children make of a scope.
    pub(super) fn scope_outcome(&mut self, ix: StepIx) -> Outcome {
        let scope = &mut self.nodes[ix.0].scope;
        if let Some(failure) = scope.failure.take() {
            Outcome::Failed(failure)
        } else if let Some(path) = scope.not_run.take() {
            Outcome::NotRun(Some(path))
        } else {
            Outcome::Ok
        }
    }

    /// A step has failed, and nothing more is tried by itself.
    pub(super) fn fail(&mut self, ix: StepIx, failure: Failure, commands: &mut Vec<Command>) {
        if self.node(ix).region == Region::Main
            && self.halt.is_none()
            && let (Policy::Ask { .. }, _) = self.policy(ix)
        {
            self.ask_about(ix, failure, commands);
        } else {
            self.fail_for_good(ix, failure, commands);
        }
    }

    pub(super) fn fail_for_good(&mut self, ix: StepIx, failure: Failure, commands: &mut Vec<Command>) {
        let failure = self.with_what_it_left(ix, failure);
        match self.node(ix).region {
            Region::Main => self.bear(ix, commands),
            Region::Require => self.failed = true,
            Region::Finally if self.stage == Stage::Finally => self.finally_failed = true,
            // The call whose `finally` it is fails when that is over.
            Region::Finally | Region::Undo => {}
        }
        self.over(ix, Outcome::Failed(Box::new(failure)));
        self.close_spent_fans(ix);
    }

    /// What an earlier attempt changed is still changed, whatever the last one did.
    fn with_what_it_left(&self, ix: StepIx, failure: Failure) -> Failure {
        let left = self.node(ix).left.as_ref().map_or(Done::None, |left| left.failure.done);
        let done = failure.done.max(left);
        failure.done(done)
    }

    fn ask_about(&mut self, ix: StepIx, failure: Failure, commands: &mut Vec<Command>) {
        let failure = self.with_what_it_left(ix, failure);
        let can_retry = !self.node(ix).kind.is_scope();
        let options = Decision::ALL.into_iter().filter(|d| can_retry || *d != Decision::Retry).collect();
        let node = &mut self.nodes[ix.0];
        let message = format!("{} failed: {failure}", node.path);
        node.question = Some(Question { message, show: Value::Null, word: None, options, expands: false });
        node.failure = Some(Box::new(failure));
        self.set(ix, Awaiting::Decision, Outcome::Waiting);
        commands.push(Command::Ask(ix));
    }

    /// The scope that a rollback would be of, for a step whose failure a person decides about.
    pub(super) fn asking_scope(&self, ix: StepIx) -> StepIx {
        match self.policy(ix).0 {
            Policy::Ask { scope } => scope,
            _ => ix,
        }
    }

    /// Makes of a failure what its policy says.
    fn bear(&mut self, ix: StepIx, commands: &mut Vec<Command>) {
        let (policy, spent) = self.policy(ix);
        for (fan, item) in spent {
            let fan = &mut self.nodes[fan.0].scope.fan;
            fan.failed.insert(item);
            fan.closed |= fan.failed.len() > fan.borne;
        }
        match policy {
            Policy::Tolerate => {}
            Policy::Continue => self.failed = true,
            Policy::Halt { rollback } => {
                self.failed = true;
                self.halt_with(Halt::Failed { rollback }, commands);
            }
            // Nobody is asked any more: it stops.
            Policy::Ask { .. } => {
                self.failed = true;
                self.halt_with(Halt::Failed { rollback: None }, commands);
            }
        }
    }

    /// Goes outward from a failed step to the first that says what its failure means; with the fan-outs on the way
    /// that have one more failed item for it.
    fn policy(&self, ix: StepIx) -> (Policy, Vec<(StepIx, StepIx)>) {
        let mut spent = Vec::new();
        let (mut at, mut from) = (ix, None);
        loop {
            let node = self.node(at);
            // It fails itself, once all in it is over.
            if at != ix && (node.scope.own_failure.is_some() || absorbs(&node.kind)) {
                return (Policy::Tolerate, spent);
            }
            if let (Kind::FanOut, Some(item)) = (&node.kind, from) {
                let fan = &node.scope.fan;
                spent.push((at, item));
                if fan.failed.len() + usize::from(!fan.failed.contains(&item)) <= fan.borne {
                    return (Policy::Continue, spent);
                }
            }
            if node.is_optional() {
                return (Policy::Tolerate, spent);
            }
            // On a step with for_each it is the fan-out's, not each item's.
            let own = if node.is_item { None } else { node.step().and_then(|step| step.on_failure) };
            let called =
                || matches!(node.kind, Kind::Procedure).then(|| self.manual(at)?.procedure.on_failure).flatten();
            let root = || self.plan.as_ref().map_or(OnFailure::Stop, |p| p.procedure.on_failure);
            match (own.or_else(called), node.parent) {
                (None, Some(parent)) => (from, at) = (Some(at), parent),
                (own, _) => return (policy_of(own.unwrap_or_else(root), at), spent),
            }
        }
    }

    /// Items of fan-outs that have failed too often are not run.
    fn close_spent_fans(&mut self, ix: StepIx) {
        let cause = self.node(ix).path.clone();
        let mut at = self.node(ix).parent;
        while let Some(scope) = at {
            if self.node(scope).scope.fan.closed {
                for item in self.close_fan(scope) {
                    self.not_run(item, Some(cause.clone()));
                }
            }
            at = self.node(scope).parent;
        }
    }

    /// A step is over, one way or another: tells the graph and the scope round it.
    pub(super) fn over(&mut self, ix: StepIx, outcome: Outcome) {
        self.set(ix, Awaiting::Nothing, outcome);
        self.nodes[ix.0].failure = None;
        let node = self.node(ix);
        // In `finally`, and where the failure is borne by the author, what comes after goes on.
        let borne = node.is_optional() || node.region == Region::Finally;
        let satisfied = node.outcome.satisfies() || (borne && matches!(node.outcome, Outcome::Failed(_)));
        let (region, parent, leave, path) = (node.region, node.parent, node.leave, node.path.clone());
        self.settle(leave, satisfied, &path);
        self.tell_parent(ix);
        if region == Region::Undo && parent.is_none() {
            self.undo_over(ix);
        }
    }

    fn settle(&mut self, point: crate::graph::Point, satisfied: bool, cause: &StepPath) {
        let mut blocked = self.flow.settle(point, satisfied);
        let mut done = 0;
        while done < blocked.len() {
            let Some(ix) = self.by_point.get(&blocked[done]).copied() else { break };
            done += 1;
            self.set(ix, Awaiting::Nothing, Outcome::NotRun(Some(cause.clone())));
            let node = self.node(ix);
            if node.kind.is_scope() {
                let leave = node.leave;
                blocked.extend(self.flow.settle(leave, false));
            }
            self.tell_parent(ix);
        }
    }

    pub(super) fn not_run(&mut self, ix: StepIx, cause: Option<StepPath>) {
        let node = self.node(ix);
        if node.kind.is_scope() {
            let enter = node.enter;
            self.flow.settle(enter, false);
        }
        self.over(ix, Outcome::NotRun(cause));
    }

    fn tell_parent(&mut self, ix: StepIx) {
        let node = self.node(ix);
        let Some(parent) = node.parent else { return };
        let (path, outcome, optional, admitted) =
            (node.path.clone(), node.outcome.clone(), node.is_optional(), node.is_item);
        let scope = &mut self.nodes[parent.0].scope;
        match outcome {
            Outcome::Failed(failure) if !optional => {
                scope.failure.get_or_insert(failure);
            }
            Outcome::NotRun(cause) => {
                scope.not_run.get_or_insert(cause.unwrap_or(path));
                return;
            }
            Outcome::Cancelled => {
                scope.not_run.get_or_insert(path);
            }
            _ => {}
        }
        if admitted {
            self.count_failed(parent, ix);
            self.item_over(parent, ix);
        }
    }

    /// An item whose failure nobody has counted yet (`on_failure: continue` inside it): one more for its fan-out.
    fn count_failed(&mut self, fan: StepIx, item: StepIx) {
        let node = self.node(item);
        let Outcome::Failed(failure) = &node.outcome else { return };
        let failure = (**failure).clone();
        let state = &mut self.nodes[fan.0].scope.fan;
        if state.failed.insert(item) && state.failed.len() > state.borne {
            state.closed = true;
            self.fails_itself(fan, failure);
            for left in self.close_fan(fan) {
                let cause = self.node(item).path.clone();
                self.not_run(left, Some(cause));
            }
        }
    }
}

/// What fails in these is told by the scope round them, once all in it is over.
fn absorbs(kind: &Kind) -> bool {
    matches!(kind, Kind::Part(Part::Require | Part::Finally) | Kind::Gate)
}

fn policy_of(word: OnFailure, at: StepIx) -> Policy {
    match word {
        OnFailure::Continue => Policy::Continue,
        OnFailure::Stop => Policy::Halt { rollback: None },
        OnFailure::Ask => Policy::Ask { scope: at },
        OnFailure::Rollback => Policy::Halt { rollback: Some(at) },
    }
}
