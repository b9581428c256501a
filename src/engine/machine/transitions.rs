//! What each fact makes of the state. Facts that come late or twice are dropped; facts that nobody asked for are refused.

use std::sync::Arc;

use serde_json::Value;

use super::node::{Awaiting, Fan, Kind, Left, Manual, Node, Region, StepIx};
use super::{BadFact, Command, Halt, Stage, State};
use crate::event::{Decision, Ending, Fact, Item, Outcome, Question, RunStatus, Signal, UndoStatus, Verdict};
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::runbook::Verb;

impl State {
    pub(super) fn take(&mut self, fact: &Fact, commands: &mut Vec<Command>) -> Result<(), BadFact> {
        if !matches!(fact, Fact::RunCreated { .. }) && self.plan.is_none() {
            return Err(bad(fact, "a run begins with run_created"));
        }
        match fact {
            Fact::RunCreated { run, plan, auto_expand } => {
                if self.plan.is_some() {
                    return Ok(());
                }
                self.run = Some(run.clone());
                self.plan = Some(plan.clone());
                let procedures = &plan.procedure.procedures;
                self.library = procedures.iter().map(|(name, p)| (name.clone(), Arc::new(Manual::new(p)))).collect();
                self.auto_expand = *auto_expand;
                self.hash.clone_from(&plan.hash);
                self.created_at = self.now;
                self.start_run_deadline(commands);
            }
            Fact::LockGranted => self.lock_granted(commands),
            Fact::LockRefused { .. } => self.lock_refused(),
            Fact::LockLost { .. } => self.halt_with(Halt::InDoubt, commands),
            Fact::LockReleased => self.unlocked(),
            Fact::Signalled { key, signal } => {
                if self.signals_seen.insert(key.clone()) {
                    self.signalled(signal, commands);
                }
            }
            Fact::DriverRestarted { .. } => self.restarted(commands),
            // Decided here already; it is in the journal for those who only read it.
            Fact::Parked | Fact::Asked { .. } => {}
            Fact::DeadlinePassed { path: None } => self.run_expired(commands),
            Fact::RunFinished { status } => return self.run_finished(fact, *status),
            Fact::Expanded { .. }
            | Fact::Evaluated { .. }
            | Fact::Started { .. }
            | Fact::Checkpoint { .. }
            | Fact::Finished { .. }
            | Fact::TimerFired { .. }
            | Fact::DeadlinePassed { .. }
            | Fact::Approved { .. }
            | Fact::Declined { .. }
            | Fact::Decided { .. } => return self.answered(fact, commands),
        }
        Ok(())
    }

    fn lock_granted(&mut self, commands: &mut Vec<Command>) {
        if self.stage == Stage::Locking {
            self.lock_held = true;
            self.enter(commands);
        }
    }

    fn lock_refused(&mut self) {
        if self.stage == Stage::Locking {
            self.stage = Stage::Finishing(self.reopened.unwrap_or(RunStatus::Stopped));
        }
    }

    fn run_finished(&mut self, fact: &Fact, status: RunStatus) -> Result<(), BadFact> {
        match self.stage {
            Stage::Finishing(expected) if expected == status => {
                self.stage = Stage::Finished(status);
                Ok(())
            }
            // Told before the run was opened again.
            _ if self.reopened == Some(status) => Ok(()),
            Stage::Finished(_) => Ok(()),
            _ => Err(bad(fact, "the run was not at its end")),
        }
    }

    /// An answer that is about a step.
    fn answered(&mut self, fact: &Fact, commands: &mut Vec<Command>) -> Result<(), BadFact> {
        let Some(ix) = fact.path().and_then(|path| self.find(path)) else {
            return Err(bad(fact, "there is no such step"));
        };
        let node = self.node(ix);
        if fact.attempt() > node.attempt {
            return Err(bad(fact, "that attempt was never asked for"));
        }
        let late = fact.attempt() != 0 && fact.attempt() < node.attempt;
        match (node.awaiting, fact) {
            _ if late => {}
            (Awaiting::Evaluation, Fact::Evaluated { verdict, .. }) => self.evaluated(ix, verdict, commands),
            (Awaiting::Evaluation, Fact::Expanded { items, width, lane_width, borne, waves, hash, .. }) => {
                let (width, lane_width, borne, waves) = (*width, *lane_width, *borne, waves.clone());
                let fan = Fan { width, lane_width, borne, waves, ..Fan::default() };
                if let Some(hash) = hash {
                    self.hash.clone_from(hash);
                }
                self.expanded(ix, items, fan, commands);
            }
            (Awaiting::Attempt { intent: false }, Fact::Started { intent, .. }) => {
                self.starts += 1;
                let order = self.starts;
                let node = &mut self.nodes[ix.0];
                node.awaiting = Awaiting::Attempt { intent: true };
                node.intent = Some(intent.clone());
                node.effect = node.effect.max(intent.effect);
                node.handle = None;
                node.started.get_or_insert(order);
            }
            (Awaiting::Attempt { intent: true } | Awaiting::Recovery, Fact::Checkpoint { handle, .. }) => {
                self.nodes[ix.0].handle = Some(handle.clone());
            }
            (Awaiting::Attempt { .. } | Awaiting::Recovery, Fact::Finished { ending, .. }) => {
                self.finished(ix, ending, commands);
            }
            (Awaiting::Timer(_), Fact::TimerFired { .. }) => self.attempt(ix, commands),
            (_, Fact::DeadlinePassed { .. }) if node.deadline.is_none() => {
                return Err(bad(fact, "it has no deadline"));
            }
            (_, Fact::DeadlinePassed { .. }) => self.expired(ix, commands),
            (Awaiting::Decision, Fact::Decided { decision, who, .. }) => self.decided(ix, *decision, who, commands),
            (Awaiting::Answer, Fact::Approved { .. }) => self.approved(ix),
            (Awaiting::Answer, Fact::Declined { .. }) => {
                self.halt_with(Halt::Declined, commands);
                self.over(ix, Outcome::Cancelled);
            }
            // Answered before: late, or told twice.
            _ => {}
        }
        Ok(())
    }

    fn evaluated(&mut self, ix: StepIx, verdict: &Verdict, commands: &mut Vec<Command>) {
        if self.came_too_late(ix, commands) {
            return;
        }
        match verdict {
            Verdict::Run { invocation, effect, question } => {
                let node = &mut self.nodes[ix.0];
                node.invocation.clone_from(invocation);
                node.effect = node.effect.max(*effect);
                node.question.clone_from(question);
                match node.kind {
                    Kind::Group => {
                        self.idle(ix);
                        let body = self.node(ix).body.clone();
                        self.open_steps(ix, body.as_ref().map_or(&[], |b| b.children.as_slice()));
                    }
                    Kind::Procedure => {
                        self.idle(ix);
                        self.open_call(ix);
                    }
                    Kind::Confirm => {
                        self.set(ix, Awaiting::Answer, Outcome::Waiting);
                        commands.push(Command::Ask(ix));
                    }
                    // It was ready before the halt, and nothing of it has begun.
                    Kind::Action if self.halt.is_some() && node.region == Region::Main => self.cancel(ix),
                    _ => self.attempt(ix, commands),
                }
            }
            Verdict::Skip { reason } => self.over(ix, Outcome::Skipped(reason.clone())),
            Verdict::Satisfied => self.over(ix, Outcome::Unchanged),
            Verdict::Listed { manual } => self.undo_listed(ix, manual),
            Verdict::Nothing { .. } => self.undo_not_needed(ix),
            Verdict::Broken { failure } => self.fail(ix, failure.clone(), commands),
        }
    }

    fn expanded(&mut self, ix: StepIx, items: &[Item], fan: Fan, commands: &mut Vec<Command>) {
        if self.came_too_late(ix, commands) {
            return;
        }
        let node = self.node(ix);
        // Plans of the first version had no list that became known late.
        let shown = self.plan.as_ref().is_some_and(|p| p.format_version == "1.0" || p.expanded.contains(&node.path));
        if shown || self.auto_expand || items.is_empty() || node.region != Region::Main {
            self.idle(ix);
            self.open_items(ix, items, fan);
            return;
        }
        let keys: Vec<&str> = items.iter().map(|item| item.key.as_str()).collect();
        let (message, show) = became_known(node, &keys);
        let node = &mut self.nodes[ix.0];
        node.pending = Some(Arc::new((items.to_vec(), fan)));
        node.question = Some(Question { message, show, word: None, options: Vec::new(), expands: true });
        self.set(ix, Awaiting::Answer, Outcome::Waiting);
        commands.push(Command::Ask(ix));
    }

    fn approved(&mut self, ix: StepIx) {
        let Some(pending) = self.nodes[ix.0].pending.take() else {
            self.over(ix, Outcome::Ok);
            return;
        };
        self.set(ix, Awaiting::Nothing, Outcome::Running);
        self.open_items(ix, &pending.0, pending.1.clone());
    }

    /// What a person wants to become of a step that failed.
    fn decided(&mut self, ix: StepIx, decision: Decision, who: &str, commands: &mut Vec<Command>) {
        let Some(failure) = self.nodes[ix.0].failure.take() else { return };
        match decision {
            Decision::Retry => {
                self.nodes[ix.0].tries = 0;
                self.keep_what_it_left(ix, &failure);
                self.attempt(ix, commands);
            }
            Decision::Skip => {
                self.keep_what_it_left(ix, &failure);
                self.over(ix, Outcome::Skipped(format!("by {who}, after: {failure}")));
            }
            Decision::Done => {
                self.nodes[ix.0].outputs = Some(Value::Null);
                self.nodes[ix.0].by_hand = true;
                self.over(ix, Outcome::Ok);
            }
            Decision::RollBack | Decision::Stop => {
                let asking = self.asking_scope(ix);
                let rollback = (decision == Decision::RollBack).then_some(asking);
                self.failed = true;
                self.halt_with(Halt::Failed { rollback }, commands);
                self.over(ix, Outcome::Failed(failure));
            }
        }
    }

    fn keep_what_it_left(&mut self, ix: StepIx, failure: &Failure) {
        let node = &mut self.nodes[ix.0];
        if failure.done != Done::None && node.left.is_none() {
            node.left = Some(Left { intent: node.intent.clone(), failure: Box::new(failure.clone()) });
        }
    }

    /// Issues the next attempt.
    pub(super) fn attempt(&mut self, ix: StepIx, commands: &mut Vec<Command>) {
        if self.came_too_late(ix, commands) {
            return;
        }
        let node = &mut self.nodes[ix.0];
        node.attempt += 1;
        node.tries += 1;
        node.question = None;
        node.failure = None;
        // An earlier attempt's: it is not what this one leaves to be recovered.
        node.intent = None;
        node.handle = None;
        self.set(ix, Awaiting::Attempt { intent: false }, Outcome::Running);
        commands.push(Command::Attempt(ix));
    }

    pub(super) fn recover(&mut self, ix: StepIx, commands: &mut Vec<Command>) {
        if self.node(ix).intent.is_none() {
            // Nothing was sent: there is nothing to find out.
            self.attempt(ix, commands);
            return;
        }
        // Counted as an attempt of its own, so that what it answers is told apart from a late answer of the one before.
        self.nodes[ix.0].attempt += 1;
        self.set(ix, Awaiting::Recovery, Outcome::Running);
        commands.push(Command::Recover(ix));
    }

    fn finished(&mut self, ix: StepIx, ending: &Ending, commands: &mut Vec<Command>) {
        let recovering = self.node(ix).awaiting == Awaiting::Recovery;
        match ending {
            Ending::Ok { outputs } => {
                self.nodes[ix.0].outputs = Some(outputs.clone());
                self.over(ix, Outcome::Ok);
            }
            Ending::Unchanged { outputs } => {
                self.nodes[ix.0].outputs = Some(outputs.clone());
                self.over(ix, Outcome::Unchanged);
            }
            Ending::Failed { failure } if failure.done != Done::Unknown => {
                self.failed_attempt(ix, failure.clone(), commands);
            }
            Ending::Failed { failure } if recovering => self.doubt(ix, &failure.to_string(), commands),
            Ending::Failed { failure } if self.node(ix).awaiting == (Awaiting::Attempt { intent: false }) => {
                // Without an intent nothing was sent, whatever the failure says.
                self.failed_attempt(ix, failure.clone().done(Done::None), commands);
            }
            Ending::Failed { failure } => {
                self.nodes[ix.0].failure = Some(Box::new(failure.clone()));
                if self.stop_level() >= 2 {
                    // Told to stop while it was under way: whoever resumes finds out what became of it.
                    self.doubt(ix, &failure.cause, commands);
                } else {
                    self.recover(ix, commands);
                }
            }
            Ending::NotApplied => self.not_applied(ix, commands),
            Ending::InDoubt { evidence } => self.doubt(ix, evidence, commands),
            Ending::Cancelled if self.node(ix).overdue => {
                let failure = self.deadline_passed(ix);
                self.fail(ix, failure, commands);
            }
            // Told to stop, and told to go on before it had stopped.
            Ending::Cancelled if self.goes_on(ix) => self.attempt(ix, commands),
            Ending::Cancelled => self.cancel(ix),
        }
    }

    fn goes_on(&self, ix: StepIx) -> bool {
        let region = self.node(ix).region;
        self.stop_level < 2 && (self.halt.is_none() || matches!(region, Region::Undo | Region::Finally))
    }

    /// Recovery found that nothing was done: the failure stands, or after a crash the step is simply still to do.
    fn not_applied(&mut self, ix: StepIx, commands: &mut Vec<Command>) {
        self.has_not_begun(ix);
        let node = &mut self.nodes[ix.0];
        if let Some(failure) = node.failure.take() {
            self.failed_attempt(ix, failure.done(Done::None), commands);
        } else if node.effect == Effect::Destroy {
            let cause = "the run was interrupted before this destructive step was accepted";
            let failure = Failure::new(Class::Precondition, format!("step {}", node.path), cause)
                .remedy("nothing was destroyed; start a new run if it is still wanted");
            self.fail(ix, failure, commands);
        } else if self.halt.is_some() && node.region == Region::Main {
            self.cancel(ix);
        } else {
            self.attempt(ix, commands);
        }
    }

    /// An attempt turned out to have done nothing: only an earlier one may have left something to undo.
    fn has_not_begun(&mut self, ix: StepIx) {
        let node = &mut self.nodes[ix.0];
        if node.left.is_none() {
            node.started = None;
        }
    }

    fn failed_attempt(&mut self, ix: StepIx, mut failure: Failure, commands: &mut Vec<Command>) {
        self.nodes[ix.0].failure = None;
        if self.node(ix).overdue {
            failure.class = Class::Timeout;
            failure.cause = format!("its deadline passed: {}", failure.cause);
        }
        if let Some(wait) = self.retry_wait(ix, &failure) {
            let at = self.now + wait;
            self.nodes[ix.0].failure = Some(Box::new(failure));
            self.set(ix, Awaiting::Timer(at), Outcome::Retrying);
            commands.push(Command::StartTimer(ix, at));
        } else {
            self.fail(ix, failure, commands);
        }
    }

    /// Milliseconds to wait before another attempt, where another one may be made.
    fn retry_wait(&self, ix: StepIx, failure: &Failure) -> Option<u64> {
        let node = self.node(ix);
        let retry = node.step()?.retry.as_ref()?;
        let may = node.tries < retry.attempts
            && retry.errors.contains(&failure.class)
            && failure.done == Done::None
            && node.effect != Effect::Destroy
            && !node.overdue
            && (self.halt.is_none() || node.region != Region::Main);
        may.then(|| {
            let wait = retry.backoff as f64 * retry.factor.powi(node.tries as i32 - 1);
            (wait as u64).min(retry.max)
        })
    }

    fn doubt(&mut self, ix: StepIx, evidence: &str, commands: &mut Vec<Command>) {
        self.set(ix, Awaiting::Nothing, Outcome::InDoubt(evidence.to_owned()));
        self.halt_with(Halt::InDoubt, commands);
    }

    fn signalled(&mut self, signal: &Signal, commands: &mut Vec<Command>) {
        // All is over but giving the lock back: nothing is left to stop or to go on with.
        let over = matches!(self.stage, Stage::Unlocking | Stage::Finishing(_) | Stage::Finished(_));
        if over && *signal != Signal::RollBack {
            return;
        }
        match signal {
            Signal::Cancel { level, rollback } => {
                self.parked = false;
                self.halt_with(Halt::Cancelled { level: *level, rollback: *rollback }, commands);
            }
            Signal::Pause => match self.stage {
                Stage::Unwinding => self.unwind.paused = true,
                Stage::New | Stage::Locking | Stage::Requiring | Stage::Main => self.halt_with(Halt::Paused, commands),
                _ => {}
            },
            Signal::Abandon => self.abandon(commands),
            Signal::RollBack => self.roll_back(commands),
            Signal::Resume => self.resumed(commands),
            Signal::Resolve { path, done } => {
                let Some(ix) = self.find(path) else { return };
                if !matches!(self.node(ix).outcome, Outcome::InDoubt(_)) {
                    return;
                }
                self.parked = false;
                if *done {
                    self.over(ix, Outcome::Ok);
                } else {
                    let failure = self.nodes[ix.0].failure.take();
                    let node = self.node(ix);
                    let failure = failure.map_or_else(
                        || {
                            Failure::new(
                                Class::Failed,
                                format!("step {}", node.path),
                                "a person said that it was not done",
                            )
                        },
                        |f| *f,
                    );
                    self.has_not_begun(ix);
                    self.fail(ix, failure.done(Done::None), commands);
                }
                if matches!(self.halt, Some(Halt::InDoubt)) && self.in_doubt_count() == 0 {
                    self.halt = None;
                    self.revive(commands);
                }
            }
        }
    }

    /// Another process owns the run now: what was outstanding is asked again, what was under way is recovered.
    fn restarted(&mut self, commands: &mut Vec<Command>) {
        self.parked = false;
        match self.stage {
            Stage::Locking => commands.push(Command::AcquireLock),
            Stage::Unlocking => commands.push(Command::ReleaseLock),
            // Issued again by `decide`.
            Stage::Finishing(_) => self.finish_issued = false,
            _ => {}
        }
        self.start_run_deadline(commands);
        let due = self.nodes.iter().enumerate().filter(|(_, n)| !n.outcome.is_final() && !n.overdue);
        commands.extend(due.filter_map(|(ix, n)| Some(Command::StartDeadline(Some(StepIx(ix)), n.deadline?))));
        let active: Vec<StepIx> = self.active.iter().copied().collect();
        for ix in active {
            match self.node(ix).awaiting {
                Awaiting::Nothing => {}
                Awaiting::Evaluation => commands.push(Command::Evaluate(ix)),
                Awaiting::Attempt { intent: false } => commands.push(Command::Attempt(ix)),
                Awaiting::Attempt { intent: true } | Awaiting::Recovery => self.recover(ix, commands),
                Awaiting::Timer(at) => commands.push(Command::StartTimer(ix, at)),
                Awaiting::Answer | Awaiting::Decision => commands.push(Command::Ask(ix)),
            }
        }
    }

    fn resumed(&mut self, commands: &mut Vec<Command>) {
        self.parked = false;
        self.unwind.paused = false;
        self.stop_level = 0;
        // What was given up stays given up.
        let cancelled =
            matches!(self.halt, Some(Halt::Cancelled { .. })) && self.stage == Stage::Main && !self.abandoned;
        if cancelled || matches!(self.halt, Some(Halt::InDoubt | Halt::Paused)) {
            self.halt = None;
        }
        self.revive(commands);
        self.recover_doubtful(commands);
    }

    fn recover_doubtful(&mut self, commands: &mut Vec<Command>) {
        let doubtful: Vec<StepIx> = (0..self.nodes.len())
            .map(StepIx)
            .filter(|ix| matches!(self.node(*ix).outcome, Outcome::InDoubt(_)))
            .collect();
        for ix in doubtful {
            self.recover(ix, commands);
        }
    }

    /// Gives the run up: what is in doubt is looked at once more, nothing is undone, `finally` runs.
    fn abandon(&mut self, commands: &mut Vec<Command>) {
        (self.abandoned, self.parked, self.unwind.paused) = (true, false, false);
        for of in std::mem::take(&mut self.unwind.left) {
            self.nodes[of.0].undo = UndoStatus::Listed("not undone: the run was given up".into());
        }
        if !matches!(self.stage, Stage::Unwinding | Stage::Finally) {
            self.halt_with(Halt::Cancelled { level: 1, rollback: false }, commands);
        }
        self.recover_doubtful(commands);
    }

    /// Undoes what was done: of a run that is over too.
    fn roll_back(&mut self, commands: &mut Vec<Command>) {
        match self.stage {
            Stage::New | Stage::Locking | Stage::Requiring | Stage::Main => {
                (self.rollback_asked, self.parked) = (true, false);
                self.halt_with(Halt::Cancelled { level: 1, rollback: true }, commands);
            }
            Stage::Unwinding => (self.parked, self.unwind.paused) = (false, false),
            Stage::Finished(status) if self.regions[Region::Main as usize].is_some() => {
                self.reopened = Some(status);
                // Nothing of the main part is begun again, whatever is found out about a step in doubt.
                self.halt = Some(Halt::Cancelled { level: 1, rollback: true });
                (self.failed, self.finally_failed, self.abandoned) = (false, false, false);
                (self.finish_issued, self.parked, self.stop_level) = (false, false, 0);
                if self.wants_lock() {
                    self.stage = Stage::Locking;
                    commands.push(Command::AcquireLock);
                } else {
                    self.enter(commands);
                }
            }
            _ => {}
        }
    }

    /// The lock is there, or none is wanted.
    fn enter(&mut self, commands: &mut Vec<Command>) {
        match (self.reopened, self.regions[Region::Main as usize]) {
            (Some(_), Some(root)) => {
                self.unwind.due = Some(root);
                self.stage = Stage::Unwinding;
                self.recover_doubtful(commands);
            }
            _ => self.stage = Stage::Requiring,
        }
    }

    pub(super) fn in_doubt_count(&self) -> usize {
        self.in_doubt().count()
    }

    /// Marks what is outstanding for a step and how it stands.
    pub(super) fn set(&mut self, ix: StepIx, awaiting: Awaiting, outcome: Outcome) {
        let was = self.node(ix).awaiting;
        self.recovering -= usize::from(was == Awaiting::Recovery);
        self.recovering += usize::from(awaiting == Awaiting::Recovery);
        self.waiting -= usize::from(was.is_for_time_or_person());
        self.waiting += usize::from(awaiting.is_for_time_or_person());
        self.asking -= usize::from(was == Awaiting::Decision);
        self.asking += usize::from(awaiting == Awaiting::Decision);
        if awaiting == Awaiting::Nothing {
            self.active.remove(&ix);
        } else {
            self.active.insert(ix);
        }
        let node = &mut self.nodes[ix.0];
        node.awaiting = awaiting;
        node.outcome = outcome;
    }

    fn idle(&mut self, ix: StepIx) {
        self.active.remove(&ix);
        self.nodes[ix.0].awaiting = Awaiting::Nothing;
    }
}

fn bad(fact: &Fact, why: &'static str) -> BadFact {
    BadFact { kind: fact.kind(), path: fact.path().cloned(), why }
}

/// Items that the question itself names; a longer list is shown below it.
const NAMED: usize = 8;

/// What is asked about a list that became known, and the list where it is long.
fn became_known(node: &Node, keys: &[&str]) -> (String, Value) {
    let n = if keys.len() == 1 { "1 item".to_owned() } else { format!("{} items", keys.len()) };
    let what = match node.step().map(|step| &step.verb) {
        Some(Verb::Uses { action: name, .. } | Verb::Call { procedure: name, .. }) => format!(" ({name})"),
        _ => String::new(),
    };
    let path = &node.path;
    if keys.len() <= NAMED {
        let names = keys.join(", ");
        (format!("{path}: {n} became known: {names}{what}. Go through them?"), Value::Null)
    } else {
        let (first, rest) = (keys[..NAMED].join(", "), keys.len() - NAMED);
        (format!("{path}: {n} became known: {first} and {rest} more{what}. Go through them?"), keys.into())
    }
}
