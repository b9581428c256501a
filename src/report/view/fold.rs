//! What each event makes of the view.

use std::sync::Arc;

use super::{RunView, undone};
use crate::event::{Decision, Ending, Event, Fact, Note, Outcome, RunStatus, Signal, UndoStatus, Verdict};
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::ids::{RunId, StepPath};
use crate::model::plan::{Change, Plan, Planned};
use crate::report::blocked::{blocked, is_among};
use crate::report::late::Written;

/// Lines of a step's log that are kept for showing.
const TAIL: usize = 20;

impl RunView {
    pub(super) fn note(&mut self, note: &Note) {
        match note {
            Note::Progress { path, line, share } => self.at(path).progress = Some((line.clone(), *share)),
            Note::Log { path, line } => {
                // What a reading found is said when it is made, where the plan could not say it.
                self.at(path).summary.get_or_insert_with(|| line.clone());
                let log = &mut self.at(path).log;
                if log.len() == TAIL {
                    log.remove(0);
                }
                log.push(line.clone());
            }
            Note::Message { .. } => {}
        }
    }

    pub(super) fn fact(&mut self, fact: &Fact, event: &Event) {
        self.status = self.status.after(fact);
        match fact {
            Fact::RunCreated { run, plan, .. } => self.begin(run, plan),
            Fact::LockRefused { holder } => self.lock_holder = Some(holder.clone()),
            Fact::LockLost { why } => self.ended_by = Some(format!("the lock was lost: {why}")),
            Fact::LockGranted => self.lock_holder = None,
            Fact::LockReleased | Fact::Parked => {}
            Fact::Expanded { path, .. } => self.at(path).scope = true,
            Fact::Evaluated { path, verdict } => self.evaluated(path, verdict, event.at),
            Fact::Started { path, intent, .. } => {
                let step = self.at(path);
                step.outcome = Outcome::Running;
                // A recovery has a number too, but sends nothing: what was sent is what is counted.
                (step.attempts, step.effect) = (step.attempts + 1, step.effect.max(intent.effect));
                step.started.get_or_insert(event.at);
                (step.ended, step.progress, step.lost) = (None, None, None);
            }
            Fact::Checkpoint { .. } => {}
            Fact::Finished { path, ending, .. } => {
                self.finished(path, ending, event.at);
                self.block(path);
            }
            Fact::TimerFired { path, .. } => self.at(path).outcome = Outcome::Retrying,
            Fact::Approved { path, .. } => {
                let step = self.at(path);
                (step.outcome, step.ended) = (Outcome::Ok, Some(event.at));
            }
            Fact::Declined { path, who, why } => {
                let step = self.at(path);
                (step.outcome, step.ended) = (Outcome::Cancelled, Some(event.at));
                self.ended_by = Some(format!("{who} declined {path}: {why}"));
            }
            Fact::DeadlinePassed { path: None } => self.ended_by = Some("the run's deadline passed".into()),
            Fact::DeadlinePassed { path: Some(path) } => self.too_late(path, event.at),
            Fact::Decided { path, who, decision, .. } => self.decided(path, who, *decision),
            Fact::Asked { path, question } => {
                let step = self.at(path);
                if let Outcome::Failed(failure) = &step.outcome {
                    step.lost = Some(failure.clone());
                }
                step.question = Some(question.clone());
                step.outcome = Outcome::Waiting;
            }
            Fact::Signalled { signal, .. } => self.signalled(signal, &event.actor),
            Fact::DriverRestarted { .. } => self.restarted(),
            Fact::RunFinished { status } => self.over(*status),
        }
    }

    fn begin(&mut self, run: &RunId, plan: &Arc<Plan>) {
        self.run = run.clone();
        self.plan = Some(plan.clone());
        self.written = Written::of(&plan.procedure);
        for planned in &plan.steps {
            let step = self.at(&planned.path);
            step.uses.clone_from(&planned.uses);
            let later = planned.change == Change::Read && planned.planned == Planned::Run && planned.pinned.is_none();
            step.summary = (!later).then(|| planned.summary.clone());
            step.later = planned.change == Change::Unknown || !planned.unknown.is_empty();
            step.effect = planned.effect;
            if let Planned::Skipped(why) = &planned.planned {
                step.outcome = Outcome::Skipped(why.clone());
            }
        }
    }

    fn evaluated(&mut self, path: &StepPath, verdict: &Verdict, at: u64) {
        if let (Some(base), Verdict::Listed { manual }) = (undone(path), verdict) {
            self.at(&base).undo = UndoStatus::Listed(manual.clone());
        }
        let calls = |uses: &str| self.plan.as_ref().is_some_and(|plan| plan.procedure.procedures.contains_key(uses));
        let (scope, line) = match verdict {
            Verdict::Run { invocation: Some(call), .. } if calls(&call.uses) => (true, None),
            // What a reading found says more than what it was asked.
            Verdict::Run { invocation: Some(call), effect, .. } if *effect > Effect::Read => {
                (false, Some(self.written.line(call)))
            }
            _ => (false, None),
        };
        let step = self.at(path);
        if scope {
            step.scope = true;
        }
        if step.later || step.summary.is_none() {
            step.summary = line.or(step.summary.take());
        }
        step.outcome = match verdict {
            Verdict::Run { invocation: Some(call), effect, .. } => {
                step.uses.clone_from(&call.uses);
                step.effect = *effect;
                Outcome::Pending
            }
            Verdict::Run { question: Some(question), .. } => {
                step.question = Some(question.clone());
                Outcome::Waiting
            }
            Verdict::Run { .. } => {
                step.scope = true;
                Outcome::Pending
            }
            Verdict::Skip { reason } => Outcome::Skipped(reason.clone()),
            Verdict::Satisfied => Outcome::Unchanged,
            Verdict::Listed { manual } => Outcome::Skipped(manual.clone()),
            Verdict::Nothing { why } => Outcome::Skipped(why.clone()),
            Verdict::Broken { failure } => Outcome::Failed(Box::new(failure.clone())),
        };
        if step.outcome.is_final() {
            step.ended = Some(at);
        }
    }

    fn finished(&mut self, path: &StepPath, ending: &Ending, at: u64) {
        if let Some(base) = undone(path) {
            let single = *path == base.undo();
            let step = self.at(&base);
            match ending {
                // An undo of several steps has failed when one of them has; one that is a single step may be tried again.
                Ending::Ok { .. } | Ending::Unchanged { .. } if single || step.undo != UndoStatus::RollbackFailed => {
                    (step.undo, step.undo_cause) = (UndoStatus::RolledBack, None);
                }
                Ending::Failed { failure } => step.undo_fails(failure.to_string()),
                Ending::InDoubt { evidence } => step.undo_fails(evidence.clone()),
                _ => {}
            }
        }
        let step = self.at(path);
        step.ended = Some(at);
        let under_way = matches!(step.outcome, Outcome::Running | Outcome::InDoubt(_));
        step.outcome = match ending {
            // Looked into next; where that cannot be, a person has to.
            Ending::Failed { failure } if failure.done == Done::Unknown && under_way => {
                step.lost.get_or_insert_with(|| Box::new(failure.clone()));
                Outcome::InDoubt(failure.to_string())
            }
            Ending::Ok { .. } => Outcome::Ok,
            Ending::Unchanged { .. } => Outcome::Unchanged,
            Ending::Failed { failure } if step.overdue => {
                let cause = format!("its deadline passed: {}", failure.cause);
                Outcome::Failed(Box::new(Failure { class: Class::Timeout, cause, ..failure.clone() }))
            }
            Ending::Failed { failure } => Outcome::Failed(Box::new(failure.clone())),
            Ending::NotApplied => match step.lost.take() {
                Some(lost) => Outcome::Failed(Box::new(lost.done(Done::None))),
                None => Outcome::Retrying,
            },
            Ending::InDoubt { evidence } => Outcome::InDoubt(evidence.clone()),
            Ending::Cancelled => Outcome::Cancelled,
        };
    }

    /// What a person wants to become of a step that failed.
    fn decided(&mut self, path: &StepPath, who: &str, decision: Decision) {
        let step = self.at(path);
        let failed = step.lost.take();
        step.outcome = match (decision, failed) {
            (Decision::Skip, failed) => {
                let after = failed.map(|failure| format!(", after: {failure}")).unwrap_or_default();
                Outcome::Skipped(format!("by {who}{after}"))
            }
            (Decision::Done, _) => Outcome::Ok,
            (Decision::Stop | Decision::RollBack, Some(failure)) => Outcome::Failed(failure),
            (Decision::Retry, _) | (_, None) => Outcome::Retrying,
        };
        self.block(path);
    }

    /// What waited, for a person or for its next attempt, has failed; what was under way says itself how it ended.
    fn too_late(&mut self, path: &StepPath, at: u64) {
        for place in 0..self.steps.len() {
            let step = &mut self.steps[place];
            if undone(&step.path).is_some() || !is_among(&step.path, &[path.to_string()]) {
                continue;
            }
            step.overdue = step.outcome == Outcome::Running;
            if !matches!(step.outcome, Outcome::Waiting | Outcome::Retrying) {
                continue;
            }
            let failure =
                Failure::new(Class::Timeout, format!("step {}", step.path), "its deadline passed before it was done");
            // What the event is about is taken into the tally by whoever called.
            let other = step.path != *path;
            if other {
                self.tell(place, false);
            }
            let step = &mut self.steps[place];
            let last = step.lost.take().map(|last| {
                let cause = format!("its deadline passed: {}", last.cause);
                Failure { class: Class::Timeout, cause, ..*last }
            });
            (step.outcome, step.ended) = (Outcome::Failed(Box::new(last.unwrap_or(failure))), Some(at));
            if other {
                self.tell(place, true);
            }
        }
    }

    /// What can no longer run is known when what it needs has failed for good.
    fn block(&mut self, path: &StepPath) {
        let Some((plan, step)) = self.plan.clone().zip(self.step(path)) else { return };
        let Some(failure) = step.failure() else { return };
        let blocked = blocked(&plan, path, failure, step.attempts);
        if blocked.is_empty() {
            return;
        }
        for place in 0..self.steps.len() {
            let step = &self.steps[place];
            if step.outcome == Outcome::Pending && undone(&step.path).is_none() && is_among(&step.path, &blocked) {
                self.tell(place, false);
                self.steps[place].outcome = Outcome::NotRun(Some(path.clone()));
                self.tell(place, true);
            }
        }
    }

    fn signalled(&mut self, signal: &Signal, actor: &str) {
        match signal {
            Signal::Cancel { .. } => self.ended_by = Some(format!("{actor} cancelled it")),
            Signal::Pause => self.ended_by = Some(format!("{actor} paused it")),
            Signal::Abandon => self.ended_by = Some(format!("{actor} gave it up")),
            Signal::RollBack => self.ended_by = Some(format!("{actor} rolled it back")),
            Signal::Resume => self.ended_by = None,
            Signal::Resolve { path, done } => {
                self.at(path).outcome = if *done { Outcome::Ok } else { Outcome::Retrying };
            }
        }
    }

    /// The process was gone: the end of what it was doing was not seen, until it is recovered.
    fn restarted(&mut self) {
        self.ended_by = None;
        for step in self.steps.iter_mut().filter(|s| s.outcome == Outcome::Running) {
            step.outcome = Outcome::InDoubt("the process ended before its end was seen".into());
        }
        for step in self.steps.iter_mut().filter(|s| matches!(s.outcome, Outcome::NotRun(_))) {
            step.outcome = Outcome::Pending;
        }
    }

    fn over(&mut self, status: RunStatus) {
        if !status.is_final() {
            return;
        }
        let cause = self.failed().map(|(step, _)| step.path.clone());
        for step in self.steps.iter_mut().filter(|s| matches!(s.outcome, Outcome::Pending | Outcome::Retrying)) {
            step.outcome = Outcome::NotRun(cause.clone());
        }
    }
}
