//! Owns a run's state and turns commands into units, questions and timers.
//!
//! Facts are folded as they come; they are durable before anybody acts on them outside: a unit waits for its intent
//! and its checkpoints. What nobody waits for shares the next commit.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;

use super::agreed::Agreed;
use super::crew::Crew;
use super::ledger::Ledger;
use super::ports::{DriverError, Ports, RunEnd, Told};
use super::questions::Questions;
use super::unit::{Said, Unit};
use crate::engine::check::{PreparedCheck, Seen};
use crate::engine::evaluate::Evaluator;
use crate::engine::hash::extended;
use crate::engine::inject::Inject;
use crate::engine::machine::{self, Command, Kind, State, StepIx};
use crate::engine::ports::{Actions, Call, Capabilities, Clock, JournalError, Locks, Policy, Stop, World};
use crate::event::{Body, Ending, Event, Fact, Note, RunStatus, Signal};
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::RunId;
use crate::model::plan::Plan;
use crate::model::runbook::Check;

/// Runs a plan from its beginning.
///
/// # Errors
/// The journal failed, or the machine was told something impossible.
pub async fn start(
    ports: Ports,
    run: RunId,
    plan: Arc<Plan>,
    auto_expand: bool,
    signals: mpsc::UnboundedReceiver<Signal>,
) -> Result<RunEnd, DriverError> {
    let at = ports.clock.now();
    let evaluator = Evaluator::new(&plan, Some((&run, at)), ports.actions.clone()).map_err(DriverError::Unusable)?;
    let mut dispatcher = Dispatcher::new(ports, State::default(), 0, evaluator, plan.clone());
    dispatcher.feed(Fact::RunCreated { run, plan, auto_expand })?;
    dispatcher.drive(signals).await
}

/// Goes on with a run whose process is gone, that was parked, or that is over and is to be rolled back. `said` is what
/// its new owner says to it first: that it goes on, is cancelled, given up or rolled back.
///
/// # Errors
/// As [`start`]; also where the history does not fold.
pub async fn resume(
    ports: Ports,
    history: &[Event],
    said: &[Signal],
    signals: mpsc::UnboundedReceiver<Signal>,
) -> Result<RunEnd, DriverError> {
    let state = State::replay(history.iter().filter_map(|event| Some((event.at, event.fact()?))))?;
    let (Some(plan), Some(run)) = (state.plan().cloned(), state.run().cloned()) else {
        let failure = Failure::new(Class::Precondition, "resume the run", "its journal is empty: nothing was begun");
        return Err(DriverError::Unusable(failure));
    };
    // It came to its end while it was taken up: there is nothing to go on with, and nothing to be written.
    let status = state.status();
    if status.is_final() && !said.contains(&Signal::RollBack) {
        return Ok(RunEnd { status, lock_holder: None, in_doubt: state.in_doubt().next().is_some() });
    }
    let evaluator = Evaluator::new(&plan, Some((&run, state.created_at())), ports.actions.clone())
        .map_err(DriverError::Unusable)?;
    let seq = history.last().map_or(0, |event| event.seq);
    let mut dispatcher = Dispatcher::new(ports, state, seq, evaluator, plan);
    let (host, process) = (dispatcher.host.clone(), dispatcher.process);
    dispatcher.feed(Fact::DriverRestarted { host, process })?;
    dispatcher.lock_notes();
    for (signal, count) in said.iter().zip(1..) {
        let key = format!("resume-{}", seq + count);
        dispatcher.feed(Fact::Signalled { key, signal: signal.clone() })?;
    }
    // What was said while the run had no process.
    while let Ok(told) = dispatcher.requests.try_recv() {
        dispatcher.told(told)?;
    }
    dispatcher.drive(signals).await
}

/// What a time is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Retry(StepIx),
    /// `None`: the run's.
    Deadline(Option<StepIx>),
}

/// One run in this process.
pub struct Dispatcher {
    pub(super) state: State,
    pub(super) ledger: Ledger,
    pub(super) crew: Crew,
    pub(super) questions: Questions,
    /// What is said to the run from elsewhere.
    pub(super) requests: mpsc::UnboundedReceiver<Told>,
    agreed: Agreed,
    evaluator: Evaluator,
    commands: VecDeque<Command>,
    timers: BTreeSet<(u64, Timer)>,
    lock_holder: Option<String>,
    signals_taken: u64,
    actions: Actions,
    world: Arc<dyn World>,
    clients: Capabilities,
    locks: Arc<dyn Locks>,
    policy: Arc<dyn Policy>,
    clock: Arc<dyn Clock>,
    inject: Inject,
    host: String,
    process: u32,
}

impl Dispatcher {
    fn new(ports: Ports, state: State, seq: u64, evaluator: Evaluator, plan: Arc<Plan>) -> Self {
        Self {
            state,
            ledger: Ledger::new(ports.journal, ports.observer, ports.actor, seq),
            crew: Crew::new(),
            questions: Questions::new(ports.approver),
            requests: ports.requests,
            agreed: Agreed::new(plan),
            evaluator,
            commands: VecDeque::new(),
            timers: BTreeSet::new(),
            lock_holder: None,
            signals_taken: 0,
            actions: ports.actions,
            world: ports.world,
            clients: ports.clients,
            locks: ports.locks,
            policy: ports.policy,
            clock: ports.clock,
            inject: ports.inject,
            host: ports.host,
            process: ports.process,
        }
    }

    /// Folds a fact and takes up what the machine makes of it.
    pub(super) fn feed(&mut self, fact: Fact) -> Result<(), DriverError> {
        let at = self.clock.now();
        let commands = machine::step(&mut self.state, at, &fact)?;
        self.ledger.record(at, Body::Fact(fact));
        self.commands.extend(commands);
        Ok(())
    }

    async fn drive(mut self, mut signals: mpsc::UnboundedReceiver<Signal>) -> Result<RunEnd, DriverError> {
        let ended = self.drive_on(&mut signals).await;
        if let Err(DriverError::Journal(JournalError::Unwritable(_))) = &ended {
            self.crew.drain().await;
        }
        ended
    }

    async fn drive_on(&mut self, signals: &mut mpsc::UnboundedReceiver<Signal>) -> Result<RunEnd, DriverError> {
        loop {
            if let Some(end) = self.carry_out_all().await? {
                self.ledger.commit()?;
                return Ok(end);
            }
            if self.ledger.is_waited_for() {
                self.ledger.commit()?;
            }
            if self.waits_for_others() {
                self.feed(Fact::Parked)?;
                self.ledger.commit()?;
                return Ok(self.end(RunStatus::Waiting));
            }
            let due = self.ledger.due();
            let timer = self.timers.first().map(|(at, _)| at.saturating_sub(self.clock.now()));
            tokio::select! {
                Some((ix, attempt, said)) = self.crew.said.recv() => {
                    self.hear(ix, attempt, said)?;
                    // Whatever else has come by now shares the commit.
                    while let Ok((ix, attempt, said)) = self.crew.said.try_recv() {
                        self.hear(ix, attempt, said)?;
                    }
                }
                Some((ix, answer)) = self.questions.answers.recv() => self.answered(ix, answer)?,
                Some(told) = self.requests.recv() => self.told(told)?,
                Some(signal) = signals.recv() => {
                    if matches!(signal, Signal::Cancel { level: 3.., .. }) {
                        self.ledger.commit()?;
                        return Ok(self.end(RunStatus::Running));
                    }
                    self.signalled(signal)?;
                }
                () = sleep_or_never(timer) => self.fire()?,
                () = sleep_until_or_never(due) => self.ledger.commit()?,
                Some(ended) = self.crew.units.join_next_with_id(), if !self.crew.units.is_empty() => self.unit_ended(ended)?,
            }
        }
    }

    /// Carries out what the machine asked for, until it has nothing more to ask or the run is at its end.
    async fn carry_out_all(&mut self) -> Result<Option<RunEnd>, DriverError> {
        while let Some(command) = self.commands.pop_front() {
            match command {
                Command::AcquireLock => self.acquire().await?,
                Command::ReleaseLock => {
                    // Whoever has the lock next must not meet a run that still believes to be at work.
                    self.ledger.commit()?;
                    if let (Some(run), Some(lock)) = (self.state.run().cloned(), self.lock_name()) {
                        let released = self.locks.release(&lock, &run).await;
                        self.lock_notes();
                        released?;
                    }
                    self.feed(Fact::LockReleased)?;
                }
                Command::Evaluate(ix) => {
                    let mut fact = self.evaluator.evaluate(&self.state, ix).fact;
                    if let Fact::Expanded { path, items, hash, .. } = &mut fact
                        && !self.agreed.expands(path)
                    {
                        *hash = Some(extended(self.state.hash(), path, items));
                    }
                    self.feed(fact)?;
                }
                Command::Attempt(ix) if self.has_lost_the_lock(ix).await? => {}
                Command::Attempt(ix) => self.spawn(ix, false)?,
                Command::Recover(ix) => self.spawn(ix, true)?,
                Command::StartTimer(ix, at) => drop(self.timers.insert((at, Timer::Retry(ix)))),
                Command::StartDeadline(of, at) => drop(self.timers.insert((at, Timer::Deadline(of)))),
                Command::Ask(ix) => self.ask(ix)?,
                Command::Stop(ix) => self.crew.stop(ix),
                // Said before a resume that has un-parked it: void.
                Command::Park if !self.state.is_parked() => {}
                Command::Park => {
                    self.feed(Fact::Parked)?;
                    return Ok(Some(self.end(RunStatus::Paused)));
                }
                Command::Finish(status) => {
                    self.feed(Fact::RunFinished { status })?;
                    return Ok(Some(self.end(status)));
                }
            }
        }
        Ok(None)
    }

    fn end(&self, status: RunStatus) -> RunEnd {
        let in_doubt = self.state.in_doubt().next().is_some();
        RunEnd { status, lock_holder: self.lock_holder.clone(), in_doubt }
    }

    fn lock_name(&self) -> Option<String> {
        self.state.plan().map(|plan| format!("site/{}", plan.inputs.site))
    }

    async fn acquire(&mut self) -> Result<(), DriverError> {
        let (Some(run), Some(lock)) = (self.state.run().cloned(), self.lock_name()) else { return Ok(()) };
        // The run must be in the journal before it holds anything.
        self.ledger.commit()?;
        let acquired = self.locks.acquire(&lock, &run).await;
        self.lock_notes();
        match acquired? {
            Ok(()) => self.feed(Fact::LockGranted),
            Err(holder) => {
                self.lock_holder = Some(holder.clone());
                self.feed(Fact::LockRefused { holder })
            }
        }
    }

    /// Whether somebody has broken the lock, looked up before a change is released: nothing more is begun then.
    async fn has_lost_the_lock(&mut self, ix: StepIx) -> Result<bool, DriverError> {
        let node = self.state.node(ix);
        let changes = node.effect > Effect::Read && matches!(node.kind, Kind::Action | Kind::Undo(_));
        if !self.state.lock_held() || !changes {
            return Ok(false);
        }
        let (path, attempt, region) = (node.path.clone(), node.attempt, node.region);
        let (Some(run), Some(lock)) = (self.state.run().cloned(), self.lock_name()) else { return Ok(false) };
        let Some(why) = self.locks.lost(&lock, &run).await? else { return Ok(false) };
        // In the main part it is still to do; what undoes or tidies up is not put off but failed.
        let ending = match region {
            machine::Region::Main => Ending::Cancelled,
            _ => {
                let failure = Failure::new(Class::Precondition, format!("step {path}"), why.clone());
                Ending::Failed {
                    failure: failure.remedy("see who has changed the site meanwhile, before anything else"),
                }
            }
        };
        self.feed(Fact::LockLost { why })?;
        self.feed(Fact::Finished { path, attempt, ending })?;
        Ok(true)
    }

    /// What happened about the lock on the way belongs to the run's history.
    fn lock_notes(&mut self) {
        for line in self.locks.take_notes() {
            self.note(Note::Message { line });
        }
    }

    fn signalled(&mut self, signal: Signal) -> Result<(), DriverError> {
        self.signals_taken += 1;
        let key = format!("{}-{}-{}", self.process, self.ledger.seq(), self.signals_taken);
        self.feed(Fact::Signalled { key, signal })
    }

    fn fire(&mut self) -> Result<(), DriverError> {
        let now = self.clock.now();
        while let Some(due) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.remove(&due);
            match due.1 {
                Timer::Retry(ix) => {
                    let node = self.state.node(ix);
                    self.feed(Fact::TimerFired { path: node.path.clone(), attempt: node.attempt })?;
                }
                // Most are over long before.
                Timer::Deadline(Some(ix)) if self.state.node(ix).outcome.is_final() => {}
                Timer::Deadline(of) => {
                    let path = of.map(|ix| self.state.node(ix).path.clone());
                    self.feed(Fact::DeadlinePassed { path })?;
                }
            }
        }
        Ok(())
    }

    fn hear(&mut self, ix: StepIx, attempt: u32, said: Said) -> Result<(), DriverError> {
        let path = self.state.node(ix).path.clone();
        match said {
            Said::Started(intent, ack) => {
                self.feed(Fact::Started { path, attempt, intent })?;
                self.ledger.wait(ack);
            }
            Said::Checkpoint(handle, ack) => {
                self.feed(Fact::Checkpoint { path, attempt, handle })?;
                self.ledger.wait(ack);
            }
            Said::Note(note) => self.note(note),
            Said::Finished(ending) => {
                self.crew.is_over(ix);
                self.feed(Fact::Finished { path, attempt, ending })?;
            }
        }
        Ok(())
    }

    pub(super) fn note(&mut self, note: Note) {
        self.ledger.note(self.clock.now(), note);
    }

    fn spawn(&mut self, ix: StepIx, recover: bool) -> Result<(), DriverError> {
        let node = self.state.node(ix);
        let (path, attempt) = (node.path.clone(), node.attempt);
        if let Kind::Check(check) = &node.kind {
            let check = (**check).clone();
            self.spawn_check(ix, attempt, check);
            return Ok(());
        }
        let (intent, handle) = (node.intent.clone(), node.handle.clone());
        let lost = node.failure.as_deref().filter(|failure| failure.lost).cloned();
        let unit = match self.unit(ix) {
            Ok(unit) => unit,
            Err(failure) => return self.feed(Fact::Finished { path, attempt, ending: Ending::Failed { failure } }),
        };
        let stop = unit.stop.clone();
        match intent.filter(|_| recover) {
            Some(intent) => self.crew.send(ix, attempt, stop, unit.recover(intent, handle, lost)),
            None => self.crew.send(ix, attempt, stop, unit.attempt()),
        }
        Ok(())
    }

    fn unit(&self, ix: StepIx) -> Result<Unit, Failure> {
        let node = self.state.node(ix);
        let internal = |why: &str| Failure::new(Class::Internal, format!("step {}", node.path), why);
        let invocation = node.invocation.clone().ok_or_else(|| internal("it has no action"))?;
        let action = self
            .actions
            .get(&invocation.uses)
            .cloned()
            .ok_or_else(|| internal(&format!("this version of runbook has no action {:?}", invocation.uses)))?;
        let planned = self.agreed.step(&node.path);
        if !matches!(node.kind, Kind::Undo(_)) && node.region != machine::Region::Undo {
            let late = self.state.fans_round(ix).any(|fan| !self.agreed.expands(&fan.path));
            if planned.is_some() || !late {
                self.agreed.permits(&node.path, &invocation.uses, &invocation.with, node.effect)?;
            }
        }
        let step = node.step();
        let verify = step
            .map(|s| s.verify.iter().map(|c| PreparedCheck::new(c, &self.evaluator, &self.state, ix)).collect())
            .unwrap_or_default();
        let (run, path, attempt) = (self.state.run().cloned(), node.path.clone(), node.attempt);
        Ok(Unit {
            ix,
            action,
            effect: node.effect,
            world: self.world.clone(),
            clock: self.clock.clone(),
            clients: self.clients.clone(),
            ear: self.crew.ear(),
            stop: Stop::default(),
            timeout: step.and_then(|s| s.timeout),
            identities: planned.map(|p| p.identities.clone()).unwrap_or_default(),
            guards: planned.map(|p| p.guards.clone()).unwrap_or_default(),
            policy: self.policy.clone(),
            pinned: planned.and_then(|p| p.pinned.clone()),
            verify,
            injected: self.inject.failure_at(&path),
            repeat: self.inject.repeat.contains(&path),
            call: Call { run, path, attempt, with: invocation.with },
        })
    }

    fn spawn_check(&mut self, ix: StepIx, attempt: u32, check: Check) {
        let prepared = PreparedCheck::new(&check, &self.evaluator, &self.state, ix);
        let (world, clock, ear, stop) = (self.world.clone(), self.clock.clone(), self.crew.ear(), Stop::default());
        let told = stop.clone();
        self.crew.send(ix, attempt, stop, async move {
            let ending = match prepared.run(Seen::default(), &*world, &*clock, &told).await {
                Ok(()) => Ending::Ok { outputs: Value::Null },
                Err(_) if told.is_set() => Ending::Cancelled,
                Err(failure) => Ending::Failed { failure },
            };
            let _ = ear.send((ix, attempt, Said::Finished(ending)));
        });
    }

    /// What a unit did that died without a word is looked up.
    fn unit_ended(&mut self, ended: Result<(tokio::task::Id, ()), tokio::task::JoinError>) -> Result<(), DriverError> {
        let Some((ix, attempt, error)) = self.crew.fallen(ended) else { return Ok(()) };
        let path = self.state.node(ix).path.clone();
        let failure = Failure::new(Class::Internal, format!("step {path}"), error.to_string()).lost();
        self.feed(Fact::Finished { path, attempt, ending: Ending::Failed { failure } })
    }
}

async fn sleep_until_or_never(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn sleep_or_never(milliseconds: Option<u64>) {
    match milliseconds {
        Some(time) => tokio::time::sleep(Duration::from_millis(time)).await,
        None => std::future::pending().await,
    }
}
