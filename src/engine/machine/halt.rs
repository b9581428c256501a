//! Halting: nothing new starts, what waits gives up waiting, what was never reached is not run. And going on after all.

use super::node::{Awaiting, Kind, Node, Region, StepIx};
use super::{Command, Halt, Stage, State};
use crate::event::Outcome;

impl State {
    /// Nothing new starts from here on; what waits for a time or a person gives up waiting.
    pub(super) fn halt_with(&mut self, halt: Halt, commands: &mut Vec<Command>) {
        if let Halt::Cancelled { level, .. } = halt {
            self.stop_level = self.stop_level.max(level);
            if self.stage == Stage::Unwinding {
                self.unwind.paused = true;
            }
            if self.stop_level >= 2 {
                commands
                    .extend(self.active.iter().filter(|ix| is_under_way(self.node(**ix))).map(|ix| Command::Stop(*ix)));
            }
            if matches!(self.stage, Stage::Unwinding | Stage::Finally) {
                return;
            }
        }
        let weight = |halt: &Option<Halt>| match halt {
            None => 0,
            Some(Halt::Paused) => 1,
            Some(Halt::InDoubt) => 2,
            Some(Halt::Cancelled { .. }) => 3,
            Some(Halt::Declined) => 4,
            Some(Halt::Failed { .. }) => 5,
        };
        let new = Some(halt);
        if weight(&new) > weight(&self.halt) {
            self.halt = new;
        }
        self.give_up_waiting();
    }

    fn give_up_waiting(&mut self) {
        // Each failure of a fan-out comes here: what is under way is not walked for nothing.
        if self.waiting == 0 {
            return;
        }
        let waiting: Vec<StepIx> = self
            .active
            .iter()
            .copied()
            .filter(|ix| self.node(*ix).awaiting.is_for_time_or_person())
            .filter(|ix| self.node(*ix).region == Region::Main)
            .collect();
        let goes_on = matches!(self.halt, Some(Halt::Paused));
        for ix in waiting {
            match self.nodes[ix.0].failure.take() {
                Some(failure) if goes_on => {
                    self.cancel(ix);
                    self.nodes[ix.0].failure = Some(failure);
                }
                Some(failure) => {
                    self.failed = true;
                    self.over(ix, Outcome::Failed(failure));
                }
                None => self.cancel(ix),
            }
        }
    }

    /// What was never reached in the main part is not run.
    pub(super) fn close_main(&mut self) {
        // A failure that somebody was to decide about when the run was paused stands, and one that was to be tried again.
        for ix in self.cancelled.iter().copied().collect::<Vec<_>>() {
            let node = &mut self.nodes[ix.0];
            if node.region == Region::Main
                && let Some(failure) = node.failed_before()
            {
                node.outcome = Outcome::Failed(failure.clone());
                let parent = node.parent;
                self.failed = true;
                if let Some(parent) = parent {
                    self.nodes[parent.0].scope.failure.get_or_insert(failure);
                }
            }
        }
        // Children come after their scope: what they came to is known when it is looked at.
        for ix in (0..self.nodes.len()).rev() {
            let children = self.nodes[ix].scope.children.iter();
            let whole = !self.nodes[ix].scope.children.is_empty()
                && children.map(|child| self.node(*child)).all(|child| child.outcome.satisfies());
            let node = &mut self.nodes[ix];
            if node.region == Region::Main && matches!(node.kind, Kind::FanOut) {
                // No item and no wave comes any more, whatever of it is still to be tidied up.
                node.scope.fan.closed = true;
            }
            if node.region == Region::Main && !node.outcome.is_final() {
                let own = node.scope.own_failure.take();
                node.outcome = match own.or(node.scope.failure.take()) {
                    Some(failure) => Outcome::Failed(failure),
                    None if matches!(node.outcome, Outcome::InDoubt(_)) => continue,
                    None if whole => Outcome::Ok,
                    None => Outcome::NotRun(None),
                };
            }
        }
        self.held.clear();
        // What was stopped of a call's `finally` is still to do.
        let nodes = &self.nodes;
        self.cancelled.retain(|ix| nodes[ix.0].region == Region::Finally);
    }

    pub(super) fn stop_level(&self) -> u8 {
        self.stop_level
    }

    /// Stopped with nothing sent. The graph is not told: should the run go on, the step is still to do.
    pub(super) fn cancel(&mut self, ix: StepIx) {
        if self.node(ix).region == Region::Require {
            // Before anything was begun there is nothing to go on with.
            self.over(ix, Outcome::Cancelled);
            return;
        }
        self.set(ix, Awaiting::Nothing, Outcome::Cancelled);
        self.cancelled.insert(ix);
    }

    /// What was cancelled is done after all, where the run goes on.
    pub(super) fn revive(&mut self, commands: &mut Vec<Command>) {
        let goes_on = |region| match region {
            Region::Require | Region::Main => self.halt.is_none(),
            Region::Undo => true,
            // While things are being undone it waits.
            Region::Finally => self.halt.is_none() || self.stage == Stage::Finally,
        };
        let due: Vec<StepIx> = self.cancelled.iter().copied().filter(|ix| goes_on(self.node(*ix).region)).collect();
        for ix in due {
            self.cancelled.remove(&ix);
            if self.came_too_late(ix, commands) {
                continue;
            }
            let node = self.node(ix);
            let asked = node.question.as_ref().is_some_and(|q| !q.options.is_empty());
            if matches!(node.kind, Kind::Confirm) || node.pending.is_some() {
                self.set(ix, Awaiting::Answer, Outcome::Waiting);
                commands.push(Command::Ask(ix));
            } else if asked {
                self.set(ix, Awaiting::Decision, Outcome::Waiting);
                commands.push(Command::Ask(ix));
            } else {
                self.attempt(ix, commands);
            }
        }
    }
}

fn is_under_way(node: &Node) -> bool {
    matches!(node.awaiting, Awaiting::Attempt { .. } | Awaiting::Recovery)
}
