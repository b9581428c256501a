//! Deadlines: of a step, a scope, the run. What is under way when one passes is told to stop; nothing new starts in it.

use super::node::{Awaiting, Kind, Part, Region, StepIx};
use super::{Command, Halt, Stage, State};
use crate::event::Outcome;
use crate::model::failure::{Class, Failure};
use crate::model::ids::StepPath;
use crate::model::runbook::OnFailure;

impl State {
    pub(super) fn start_run_deadline(&mut self, commands: &mut Vec<Command>) {
        let deadline = self.plan.as_ref().and_then(|plan| plan.procedure.deadline);
        if let Some(deadline) = deadline.filter(|_| !self.overdue && !matches!(self.stage, Stage::Finished(_))) {
            commands.push(Command::StartDeadline(None, self.created_at + deadline));
        }
    }

    /// Starts the deadline that a step has, when it is entered. On a step with `for_each` it is the fan-out's.
    pub(super) fn start_deadline(&mut self, ix: StepIx, commands: &mut Vec<Command>) {
        let node = self.node(ix);
        let own = node.step().filter(|_| !node.is_item).and_then(|step| step.deadline);
        let called = match node.kind {
            Kind::Procedure => self.manual(ix).and_then(|manual| manual.procedure.deadline),
            _ => None,
        };
        if let Some(deadline) = own.into_iter().chain(called).min() {
            let at = self.now + deadline;
            self.nodes[ix.0].deadline = Some(at);
            commands.push(Command::StartDeadline(Some(ix), at));
        }
    }

    /// The run's own deadline: once the main part is over, undoing and `finally` take the time that they take.
    pub(super) fn run_expired(&mut self, commands: &mut Vec<Command>) {
        if self.overdue || !matches!(self.stage, Stage::Locking | Stage::Requiring | Stage::Main) {
            return;
        }
        (self.overdue, self.failed) = (true, true);
        for ix in self.active.iter().copied().collect::<Vec<_>>() {
            let node = &mut self.nodes[ix.0];
            if matches!(node.awaiting, Awaiting::Attempt { .. }) && node.region != Region::Finally {
                node.overdue = true;
                commands.push(Command::Stop(ix));
            }
        }
        let rolls_back = self.plan.as_ref().is_some_and(|p| p.procedure.on_failure == OnFailure::Rollback);
        let rollback = self.regions[Region::Main as usize].filter(|_| rolls_back);
        self.halt_with(Halt::Failed { rollback }, commands);
    }

    /// The deadline of a step or scope has passed.
    pub(super) fn expired(&mut self, ix: StepIx, commands: &mut Vec<Command>) {
        let node = self.node(ix);
        if node.overdue || node.outcome.is_final() || matches!(node.outcome, Outcome::InDoubt(_)) {
            return;
        }
        let (path, is_open) = (node.path.clone(), node.kind.is_scope() && node.awaiting == Awaiting::Nothing);
        let failure = self.deadline_passed(ix);
        if is_open {
            self.nodes[ix.0].overdue = true;
            self.nodes[ix.0].scope.own_failure.get_or_insert(Box::new(failure));
            self.wind_up(ix, &path, commands);
        } else {
            self.expire_unit(ix, failure, commands);
        }
    }

    pub(super) fn deadline_passed(&self, ix: StepIx) -> Failure {
        let node = self.node(ix);
        Failure::new(Class::Timeout, format!("step {}", node.path), "its deadline passed before it was done")
    }

    fn expire_unit(&mut self, ix: StepIx, failure: Failure, commands: &mut Vec<Command>) {
        self.nodes[ix.0].overdue = true;
        match self.node(ix).awaiting {
            Awaiting::Attempt { .. } => commands.push(Command::Stop(ix)),
            Awaiting::Timer(_) | Awaiting::Decision => {
                let last = self.nodes[ix.0].failure.take();
                let failure = last.map_or(failure, |last| {
                    let cause = format!("its deadline passed: {}", last.cause);
                    Failure { class: Class::Timeout, cause, ..*last }
                });
                // A person who did not decide in time is not asked again.
                self.fail_for_good(ix, failure, commands);
            }
            Awaiting::Answer => self.fail_for_good(ix, failure, commands),
            // Seen to when it is answered: a recovery must end, and an evaluation is over at once.
            Awaiting::Evaluation | Awaiting::Recovery | Awaiting::Nothing => {}
        }
    }

    /// Nothing new starts in this scope, what waits gives up, what is under way is told to stop. A `finally` that has
    /// begun is let finish.
    fn wind_up(&mut self, scope: StepIx, cause: &StepPath, commands: &mut Vec<Command>) {
        if matches!(self.node(scope).kind, Kind::FanOut) {
            self.close_fan(scope);
        }
        for child in self.node(scope).children().to_vec() {
            let node = self.node(child);
            if matches!(node.kind, Kind::Part(Part::Finally)) || node.outcome.is_final() {
                continue;
            }
            if node.outcome == Outcome::Pending {
                self.not_run(child, Some(cause.clone()));
            } else if node.kind.is_scope() && node.awaiting == Awaiting::Nothing {
                self.wind_up(child, cause, commands);
            } else {
                let failure = self.deadline_passed(child);
                self.expire_unit(child, failure, commands);
            }
        }
    }

    /// Whether a deadline passed before the step could begin: its own, which is its failure, or that of a scope round it.
    pub(super) fn came_too_late(&mut self, ix: StepIx, commands: &mut Vec<Command>) -> bool {
        if let Some(scope) = self.expired_scope(ix) {
            match self.nodes[ix.0].failed_before() {
                Some(failure) => self.fail_for_good(ix, *failure, commands),
                None => self.over(ix, Outcome::NotRun(Some(scope))),
            }
        } else if self.node(ix).overdue {
            let failure = self.deadline_passed(ix);
            self.fail_for_good(ix, failure, commands);
        } else {
            return false;
        }
        true
    }

    /// The scope round a step whose deadline has passed: nothing new is begun in it.
    fn expired_scope(&self, ix: StepIx) -> Option<StepPath> {
        let mut at = self.node(ix).parent;
        while let Some(here) = at {
            let node = self.node(here);
            if matches!(node.kind, Kind::Part(Part::Finally)) {
                return None;
            }
            if node.overdue && node.kind.is_scope() {
                return Some(node.path.clone());
            }
            at = node.parent;
        }
        None
    }
}
