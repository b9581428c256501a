//! Rolling back: the undos of a scope's steps, in reverse order of their starts, each whatever became of the others.

use std::collections::BTreeMap;

use super::node::{Awaiting, Kind, Region, StepIx};
use super::{Command, Stage, State};
use crate::event::{Outcome, UndoStatus};
use crate::model::effect::{Done, Effect};
use crate::model::runbook::Rollback;

#[derive(Debug, Clone, Default)]
pub(super) struct Unwind {
    pub scope: Option<StepIx>,
    /// Steps still to undo; the last one is next.
    pub left: Vec<StepIx>,
    /// The step being undone and its undo.
    pub current: Option<(StepIx, StepIx)>,
    pub paused: bool,
    /// The scope whose unwinding begins once nothing is in doubt: that of a run which was over.
    pub due: Option<StepIx>,
}

impl State {
    pub(super) fn start_unwinding(&mut self, scope: StepIx) {
        // A scope that its author wrote a rollback for is undone as one, when the last of its steps would be.
        let mut left: BTreeMap<StepIx, u64> = BTreeMap::new();
        for ix in (0..self.nodes.len()).map(StepIx) {
            if self.node(ix).by_hand && self.node(ix).region == Region::Main && self.is_within(ix, scope) {
                self.nodes[ix.0].undo = UndoStatus::Listed("it was done by hand: undo it by hand".into());
            } else if self.has_something_to_undo(ix)
                && self.is_within(ix, scope)
                && let Some(order) = self.node(ix).started
            {
                let last = left.entry(self.undone_with(ix, scope)).or_default();
                *last = order.max(*last);
            }
        }
        left.retain(|ix, _| !matches!(self.node(*ix).undo, UndoStatus::RolledBack | UndoStatus::Listed(_)));
        let mut left: Vec<(u64, StepIx)> = left.into_iter().map(|(ix, order)| (order, ix)).collect();
        left.sort();
        self.unwind.scope = Some(scope);
        self.unwind.left = left.into_iter().map(|(_, ix)| ix).collect();
    }

    /// The outermost scope round a step, up to the one that is unwound, whose author wrote how it is undone.
    fn undone_with(&self, ix: StepIx, scope: StepIx) -> StepIx {
        let (mut found, mut at) = (ix, ix);
        while at != scope {
            let Some(parent) = self.node(at).parent else { break };
            at = parent;
            let node = self.node(at);
            let own = node.step().is_some_and(|step| step.rollback != Rollback::Auto);
            // A fan-out's is that of each of its items.
            if own && !matches!(node.kind, Kind::FanOut) {
                found = at;
            }
        }
        found
    }

    fn has_something_to_undo(&self, ix: StepIx) -> bool {
        let node = self.node(ix);
        node.region == Region::Main
            && matches!(node.kind, Kind::Action)
            && match &node.outcome {
                Outcome::Ok => true,
                Outcome::Skipped(_) | Outcome::Unchanged => node.left.is_some(),
                Outcome::Failed(failure) => failure.done != Done::None,
                _ => false,
            }
    }

    fn is_within(&self, ix: StepIx, scope: StepIx) -> bool {
        let mut at = Some(ix);
        while let Some(here) = at {
            if here == scope {
                return true;
            }
            at = self.node(here).parent;
        }
        false
    }

    pub(super) fn unwinding(&mut self, commands: &mut Vec<Command>) {
        if let Some((of, _)) = self.unwind.current {
            if self.is_stuck() && self.abandoned {
                self.nodes[of.0].undo = UndoStatus::RollbackFailed;
                self.unwind.current = None;
                self.cancelled.clear();
            } else {
                if self.is_stuck() {
                    self.park(commands);
                }
                return;
            }
        }
        if self.unwind.due.is_some() && !self.active.is_empty() {
            return;
        }
        let doubtful = self.unwind.due.is_some() && !self.abandoned && self.in_doubt_count() > 0;
        if self.unwind.paused || doubtful {
            self.park(commands);
            return;
        }
        if let Some(scope) = self.unwind.due.take() {
            self.cancelled.clear();
            if !self.abandoned {
                self.start_unwinding(scope);
            }
        }
        while self.unwind.current.is_none() {
            let Some(of) = self.unwind.left.pop() else {
                self.stage = Stage::Finally;
                return;
            };
            let node = self.node(of);
            match node.step().map(|step| &step.rollback) {
                // Its author has said why nothing undoes it, and the plan has shown it; but what is destroyed is not as it was.
                Some(Rollback::None(why)) if node.effect == Effect::Destroy => {
                    self.nodes[of.0].undo = UndoStatus::Listed(why.clone());
                }
                Some(Rollback::None(_)) => {}
                _ => self.start_undo(of, commands),
            }
        }
    }

    fn start_undo(&mut self, of: StepIx, commands: &mut Vec<Command>) {
        let undo = self.add_undo(of);
        self.unwind.current = Some((of, undo));
        if matches!(self.node(undo).kind, Kind::Undo(_)) {
            self.set(undo, Awaiting::Evaluation, Outcome::Running);
            commands.push(Command::Evaluate(undo));
        }
    }

    pub(super) fn undo_listed(&mut self, undo: StepIx, manual: &str) {
        if let Some((of, _)) = self.unwind.current {
            self.nodes[of.0].undo = UndoStatus::Listed(manual.to_owned());
        }
        self.over(undo, Outcome::Skipped(manual.to_owned()));
    }

    pub(super) fn undo_not_needed(&mut self, undo: StepIx) {
        self.over(undo, Outcome::Unchanged);
    }

    /// An undo (a single one, or the author's steps) is over.
    pub(super) fn undo_over(&mut self, undo: StepIx) {
        let Some((of, current)) = self.unwind.current else { return };
        if current != undo {
            return;
        }
        self.unwind.current = None;
        let status = match &self.node(undo).outcome {
            Outcome::Ok | Outcome::Unchanged => UndoStatus::RolledBack,
            // Listed, and marked so already.
            Outcome::Skipped(_) => return,
            _ => UndoStatus::RollbackFailed,
        };
        self.nodes[of.0].undo = status;
    }
}
