//! From part to part of a call: requirements, steps, `finally`; and the gates of a fan-out.

use super::State;
use super::node::{Kind, Part, Region, StepIx};
use crate::event::Outcome;
use crate::model::failure::Failure;

impl State {
    /// A part of a call whose end must wait: what comes after it starts something new.
    pub(super) fn part_must_wait(&self, ix: StepIx) -> bool {
        let node = self.node(ix);
        let goes_on = match node.kind {
            Kind::Part(Part::Require) => true,
            Kind::Part(Part::Steps) => node.parent.is_some_and(|call| self.has_finally(call)),
            _ => false,
        };
        goes_on && node.region == Region::Main && self.holds()
    }

    pub(super) fn part_over(&mut self, ix: StepIx, part: Part) {
        let Some(call) = self.node(ix).parent else { return };
        let outcome = self.scope_outcome(ix);
        self.over(ix, outcome.clone());
        match part {
            Part::Require => match outcome {
                Outcome::Ok if !self.node(call).overdue => drop(self.open_part(call, Part::Steps)),
                Outcome::Failed(failure) => {
                    self.fails_itself(call, *failure);
                    self.close_call(call);
                }
                _ => self.close_call(call),
            },
            Part::Steps => {
                if self.has_finally(call) {
                    self.open_part(call, Part::Finally);
                } else {
                    self.close_call(call);
                }
            }
            Part::Finally => {
                if let Outcome::Failed(failure) = outcome
                    && !self.node(call).outcome.is_final()
                {
                    self.fails_itself(call, *failure);
                }
                self.close_call(call);
            }
        }
    }

    fn has_finally(&self, call: StepIx) -> bool {
        self.manual(call).is_some_and(|manual| !manual.finally.is_empty())
    }

    /// Whether a call has begun its steps and not its `finally`.
    pub(super) fn owes_finally(&self, call: StepIx) -> bool {
        let parts = |part| {
            let mut children = self.node(call).children().iter();
            children.any(|child| matches!(self.node(*child).kind, Kind::Part(is) if is == part))
        };
        parts(Part::Steps) && !parts(Part::Finally) && self.has_finally(call)
    }

    /// A scope failed by something of its own: what that means is decided when it is left.
    pub(super) fn fails_itself(&mut self, scope: StepIx, failure: Failure) {
        self.nodes[scope.0].scope.own_failure.get_or_insert(Box::new(failure));
    }

    pub(super) fn gate_over(&mut self, gate: StepIx) {
        let Some(fan) = self.node(gate).parent else { return };
        let (outcome, path) = (self.scope_outcome(gate), self.node(gate).path.clone());
        self.over(gate, outcome.clone());
        match outcome {
            Outcome::Ok if !self.node(fan).scope.fan.closed => self.admit_wave(fan),
            Outcome::Failed(failure) => {
                self.fails_itself(fan, *failure);
                for item in self.close_fan(fan) {
                    self.not_run(item, Some(path.clone()));
                }
            }
            _ => {}
        }
    }
}
