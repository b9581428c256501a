//! Owns a run's state, writes its journal, and turns commands into units, questions and timers.
//!
//! Facts are folded as they come; they are durable before anybody acts on them outside: a unit waits for its intent
//! and its checkpoints. What nobody waits for shares the next commit.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::unit::{Said, Unit};
use crate::engine::check::{PreparedCheck, Seen};
use crate::engine::evaluate::Evaluator;
use crate::engine::inject::Inject;
use crate::engine::machine::{self, Awaiting, BadFact, Command, Kind, State, StepIx};
use crate::engine::plan::extended;
use crate::engine::ports::{
    Actions, Answer, Approver, Call, Capabilities, Clock, Journal, JournalError, Locks, Observer, Policy, Stop, World,
};
use crate::event::{Body, Decision, Ending, Event, Fact, Note, Request, RunStatus, Signal};
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::{RunId, StepPath};
use crate::model::plan::{Plan, PlanStep, Planned};
use crate::model::runbook::Check;

/// How long a fact that nobody waits for may wait for company in its commit.
const LAZY: Duration = Duration::from_millis(100);

/// Everything outside that a run meets.
pub struct Ports {
    pub actions: Actions,
    pub world: Arc<dyn World>,
    pub clients: Capabilities,
    pub journal: Box<dyn Journal>,
    pub locks: Arc<dyn Locks>,
    pub policy: Arc<dyn Policy>,
    pub clock: Arc<dyn Clock>,
    pub approver: Arc<dyn Approver>,
    pub observer: Box<dyn Observer>,
    pub inject: Inject,
    /// What is said to the run from elsewhere.
    pub requests: mpsc::UnboundedReceiver<Told>,
    /// Who drives: `ops@host`.
    pub actor: String,
    pub host: String,
    pub process: u32,
}

/// What somebody says to a run from another process.
#[derive(Debug, Clone)]
pub struct Told {
    pub who: String,
    /// Makes it count once.
    pub key: String,
    pub request: Request,
}

/// How a process's part in a run ended.
#[derive(Debug)]
pub struct RunEnd {
    pub status: RunStatus,
    /// The lock was not to be had: who holds it.
    pub lock_holder: Option<String>,
    /// Some step's end is not known.
    pub in_doubt: bool,
}

/// The run cannot go on in this process; nothing is lost that was journalled.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Corrupt(#[from] BadFact),
    #[error("{0}")]
    Unusable(Failure),
}

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
    let mut dispatcher = Dispatcher::new(ports, State::default(), 0, evaluator, &plan);
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
    let evaluator = Evaluator::new(&plan, Some((&run, state.created_at())), ports.actions.clone())
        .map_err(DriverError::Unusable)?;
    let seq = history.last().map_or(0, |event| event.seq);
    let mut dispatcher = Dispatcher::new(ports, state, seq, evaluator, &plan);
    let (host, process) = (dispatcher.ports.host.clone(), dispatcher.ports.process);
    dispatcher.feed(Fact::DriverRestarted { host, process })?;
    dispatcher.lock_notes();
    for (signal, count) in said.iter().zip(1..) {
        let key = format!("resume-{}", seq + count);
        dispatcher.feed(Fact::Signalled { key, signal: signal.clone() })?;
    }
    // What was said while the run had no process.
    while let Ok(told) = dispatcher.ports.requests.try_recv() {
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

type Ack = oneshot::Sender<Result<(), Failure>>;

struct Dispatcher {
    ports: Ports,
    state: State,
    evaluator: Evaluator,
    planned: BTreeMap<StepPath, PlanStep>,
    seq: u64,
    /// Folded, not yet durable.
    buffer: Vec<Event>,
    /// Whose fact is in the buffer.
    acks: Vec<Ack>,
    commands: VecDeque<Command>,
    timers: BTreeSet<(u64, Timer)>,
    /// Questions that there is nobody here to answer.
    unattended: BTreeSet<StepIx>,
    expanded: BTreeSet<StepPath>,
    stops: BTreeMap<StepIx, Stop>,
    units: JoinSet<()>,
    /// Which step each unit is about, for one that dies without a word.
    manned: BTreeMap<tokio::task::Id, (StepIx, u32)>,
    /// People who are being asked; nobody waits for them when the run is given up.
    questions: JoinSet<()>,
    /// When what is in the buffer is committed at the latest.
    lazy: Option<tokio::time::Instant>,
    ear: mpsc::UnboundedSender<(StepIx, u32, Said)>,
    said: mpsc::UnboundedReceiver<(StepIx, u32, Said)>,
    answers_tx: mpsc::UnboundedSender<(StepIx, Answer)>,
    answers: mpsc::UnboundedReceiver<(StepIx, Answer)>,
    lock_holder: Option<String>,
    signals_taken: u64,
}

impl Dispatcher {
    fn new(ports: Ports, state: State, seq: u64, evaluator: Evaluator, plan: &Plan) -> Self {
        let (ear, said) = mpsc::unbounded_channel();
        let (answers_tx, answers) = mpsc::unbounded_channel();
        let planned = plan.steps.iter().map(|step| (step.path.clone(), step.clone())).collect();
        Self {
            ports,
            state,
            evaluator,
            planned,
            seq,
            buffer: Vec::new(),
            acks: Vec::new(),
            commands: VecDeque::new(),
            timers: BTreeSet::new(),
            unattended: BTreeSet::new(),
            expanded: plan.expanded.clone(),
            stops: BTreeMap::new(),
            units: JoinSet::new(),
            manned: BTreeMap::new(),
            questions: JoinSet::new(),
            lazy: None,
            ear,
            said,
            answers_tx,
            answers,
            lock_holder: None,
            signals_taken: 0,
        }
    }

    /// Folds a fact and takes up what the machine makes of it.
    fn feed(&mut self, fact: Fact) -> Result<(), DriverError> {
        let at = self.ports.clock.now();
        let commands = machine::step(&mut self.state, at, &fact)?;
        self.record(at, Body::Fact(fact));
        self.commands.extend(commands);
        Ok(())
    }

    fn record(&mut self, at: u64, body: Body) {
        self.seq += 1;
        self.lazy.get_or_insert_with(|| tokio::time::Instant::now() + LAZY);
        self.buffer.push(Event { seq: self.seq, at, actor: self.ports.actor.clone(), body });
    }

    /// Makes everything so far durable, then lets go who waits for it.
    fn commit(&mut self) -> Result<(), DriverError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.lazy = None;
        let events = std::mem::take(&mut self.buffer);
        let written = self.ports.journal.append(&events);
        for ack in self.acks.drain(..) {
            // A unit that is gone needs no answer.
            let _ = ack
                .send(written.clone().map_err(|e| Failure::new(Class::Internal, "journal the intent", e.to_string())));
        }
        written?;
        for event in &events {
            self.ports.observer.see(event);
        }
        Ok(())
    }

    async fn drive(mut self, mut signals: mpsc::UnboundedReceiver<Signal>) -> Result<RunEnd, DriverError> {
        let ended = self.drive_on(&mut signals).await;
        if let Err(DriverError::Journal(JournalError::Unwritable(_))) = &ended {
            self.drain().await;
        }
        ended
    }

    /// Nothing more is released; what is under way is let finish. Whoever waits for the journal is told that it is gone.
    async fn drain(&mut self) {
        self.said.close();
        while self.said.try_recv().is_ok() {}
        while self.units.join_next().await.is_some() {}
    }

    async fn drive_on(&mut self, signals: &mut mpsc::UnboundedReceiver<Signal>) -> Result<RunEnd, DriverError> {
        loop {
            if let Some(end) = self.carry_out_all().await? {
                self.commit()?;
                return Ok(end);
            }
            if !self.acks.is_empty() {
                self.commit()?;
            }
            if self.waits_for_others() {
                self.feed(Fact::Parked)?;
                self.commit()?;
                return Ok(self.end(RunStatus::Waiting));
            }
            let lazy = self.lazy;
            let timer = self.timers.first().map(|(at, _)| at.saturating_sub(self.ports.clock.now()));
            tokio::select! {
                Some((ix, attempt, said)) = self.said.recv() => {
                    self.hear(ix, attempt, said)?;
                    // Whatever else has come by now shares the commit.
                    while let Ok((ix, attempt, said)) = self.said.try_recv() {
                        self.hear(ix, attempt, said)?;
                    }
                }
                Some((ix, answer)) = self.answers.recv() => self.answered(ix, answer)?,
                Some(told) = self.ports.requests.recv() => self.told(told)?,
                Some(signal) = signals.recv() => {
                    if matches!(signal, Signal::Cancel { level: 3.., .. }) {
                        self.commit()?;
                        return Ok(self.end(RunStatus::Running));
                    }
                    self.signalled(signal)?;
                }
                () = sleep_or_never(timer) => self.fire()?,
                () = sleep_until_or_never(lazy) => self.commit()?,
                Some(ended) = self.units.join_next_with_id(), if !self.units.is_empty() => self.unit_ended(ended)?,
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
                    self.commit()?;
                    if let (Some(run), Some(lock)) = (self.state.run().cloned(), self.lock_name()) {
                        let released = self.ports.locks.release(&lock, &run).await;
                        self.lock_notes();
                        released?;
                    }
                    self.feed(Fact::LockReleased)?;
                }
                Command::Evaluate(ix) => {
                    let mut fact = self.evaluator.evaluate(&self.state, ix).fact;
                    if let Fact::Expanded { path, items, hash, .. } = &mut fact
                        && !self.expanded.contains(path)
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
                Command::Stop(ix) => {
                    if let Some(stop) = self.stops.get(&ix) {
                        stop.set();
                    }
                }
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
        self.commit()?;
        let acquired = self.ports.locks.acquire(&lock, &run).await;
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
        let Some(why) = self.ports.locks.lost(&lock, &run).await? else { return Ok(false) };
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
        for line in self.ports.locks.take_notes() {
            self.note(Note::Message { line });
        }
    }

    fn ask(&mut self, ix: StepIx) -> Result<(), DriverError> {
        let node = self.state.node(ix);
        // Answered since, from elsewhere.
        if !matches!(node.awaiting, Awaiting::Answer | Awaiting::Decision) {
            return Ok(());
        }
        let Some(question) = node.question.clone() else { return Ok(()) };
        let path = node.path.clone();
        self.feed(Fact::Asked { path, question: question.clone() })?;
        // A person may take hours: nothing is left undurable meanwhile.
        self.commit()?;
        let node = self.state.node(ix);
        let (path, approver, answers) = (node.path.clone(), self.ports.approver.clone(), self.answers_tx.clone());
        self.questions.spawn(async move {
            let answer = approver.ask(&path, &question).await;
            let _ = answers.send((ix, answer));
        });
        Ok(())
    }

    fn answered(&mut self, ix: StepIx, answer: Answer) -> Result<(), DriverError> {
        let node = self.state.node(ix);
        let (path, attempt) = (node.path.clone(), node.attempt);
        self.feed(match answer {
            Answer::Approved { who, word } => {
                Fact::Approved { path, who, word, hash: Some(self.state.hash().to_owned()) }
            }
            Answer::Declined { who, why } => Fact::Declined { path, who, why },
            Answer::Decided { who, decision } => Fact::Decided { path, attempt, who, decision },
            // What to do about a failure is asked at a terminal or not at all.
            Answer::Nobody if node.awaiting == Awaiting::Decision => {
                Fact::Decided { path, attempt, who: "nobody to ask".into(), decision: Decision::Stop }
            }
            Answer::Nobody => {
                self.unattended.insert(ix);
                return Ok(());
            }
        })
    }

    /// All that is left waits for a person who is not here: the run needs no process until somebody answers.
    fn waits_for_others(&self) -> bool {
        !self.unattended.is_empty()
            && self.units.is_empty()
            && self.ports.requests.is_empty()
            && self.state.status() == RunStatus::Waiting
            && self.state.active().all(|ix| self.unattended.contains(&ix))
    }

    /// What somebody says from another process.
    fn told(&mut self, told: Told) -> Result<(), DriverError> {
        let Told { who, key, request } = told;
        let (path, attempt, answer) = match request {
            Request::Signal(signal) => return self.feed(Fact::Signalled { key, signal }),
            Request::Approve { path, attempt, word } => (path, attempt, Answer::Approved { who, word }),
            Request::Decline { path, attempt, why } => (path, attempt, Answer::Declined { who, why }),
            Request::Decide { path, attempt, decision } => (path, attempt, Answer::Decided { who, decision }),
        };
        let decides = matches!(answer, Answer::Decided { .. });
        let fits = |ix: &StepIx| {
            let node = self.state.node(*ix);
            let wanted = if decides { Awaiting::Decision } else { Awaiting::Answer };
            node.awaiting == wanted
                && path.as_ref().is_none_or(|path| *path == node.path)
                && attempt.is_none_or(|attempt| attempt == node.attempt)
        };
        let waiting: Vec<StepIx> = self.state.active().filter(fits).take(2).collect();
        let &[ix] = waiting.as_slice() else {
            let line = "an answer came for a question that is not, or not alone, waiting: it was dropped".to_owned();
            self.note(Note::Message { line });
            return Ok(());
        };
        let word = self.state.node(ix).question.as_ref().and_then(|q| q.word.clone());
        if let Answer::Approved { word: said, .. } = &answer
            && word.is_some()
            && *said != word
        {
            let line = format!("an approval of {} without its word was dropped", self.state.node(ix).path);
            self.note(Note::Message { line });
            return Ok(());
        }
        self.answered(ix, answer)
    }

    fn signalled(&mut self, signal: Signal) -> Result<(), DriverError> {
        self.signals_taken += 1;
        let key = format!("{}-{}-{}", self.ports.process, self.seq, self.signals_taken);
        self.feed(Fact::Signalled { key, signal })
    }

    fn fire(&mut self) -> Result<(), DriverError> {
        let now = self.ports.clock.now();
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
                self.acks.push(ack);
            }
            Said::Checkpoint(handle, ack) => {
                self.feed(Fact::Checkpoint { path, attempt, handle })?;
                self.acks.push(ack);
            }
            Said::Note(note) => self.note(note),
            Said::Finished(ending) => {
                self.stops.remove(&ix);
                self.feed(Fact::Finished { path, attempt, ending })?;
            }
        }
        Ok(())
    }

    /// Log lines are kept; progress is only shown.
    fn note(&mut self, note: Note) {
        let at = self.ports.clock.now();
        if let Note::Progress { .. } = note {
            let event = Event { seq: 0, at, actor: self.ports.actor.clone(), body: Body::Note(note) };
            self.ports.observer.see(&event);
        } else {
            self.record(at, Body::Note(note));
        }
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
        self.stops.insert(ix, unit.stop.clone());
        let unit = match intent.filter(|_| recover) {
            Some(intent) => self.units.spawn(unit.recover(intent, handle, lost)),
            None => self.units.spawn(unit.attempt()),
        };
        self.manned.insert(unit.id(), (ix, attempt));
        Ok(())
    }

    fn unit(&self, ix: StepIx) -> Result<Unit, Failure> {
        let node = self.state.node(ix);
        let internal = |why: &str| Failure::new(Class::Internal, format!("step {}", node.path), why);
        let invocation = node.invocation.clone().ok_or_else(|| internal("it has no action"))?;
        let action = self
            .ports
            .actions
            .get(&invocation.uses)
            .cloned()
            .ok_or_else(|| internal(&format!("this version of runbook has no action {:?}", invocation.uses)))?;
        let planned = self.planned.get(&node.path);
        if !matches!(node.kind, Kind::Undo(_)) && node.region != machine::Region::Undo {
            let late = self.state.fans_round(ix).any(|fan| !self.expanded.contains(&fan.path));
            if planned.is_some() || !late {
                as_planned(&node.path, &invocation.uses, &invocation.with, node.effect, planned)?;
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
            world: self.ports.world.clone(),
            clock: self.ports.clock.clone(),
            clients: self.ports.clients.clone(),
            ear: self.ear.clone(),
            stop: Stop::default(),
            timeout: step.and_then(|s| s.timeout),
            identities: planned.map(|p| p.identities.clone()).unwrap_or_default(),
            guards: planned.map(|p| p.guards.clone()).unwrap_or_default(),
            policy: self.ports.policy.clone(),
            pinned: planned.and_then(|p| p.pinned.clone()),
            verify,
            injected: self.ports.inject.failure_at(&path),
            repeat: self.ports.inject.repeat.contains(&path),
            call: Call { run, path, attempt, with: invocation.with },
        })
    }

    fn spawn_check(&mut self, ix: StepIx, attempt: u32, check: Check) {
        let prepared = PreparedCheck::new(&check, &self.evaluator, &self.state, ix);
        let (world, clock, ear, stop) =
            (self.ports.world.clone(), self.ports.clock.clone(), self.ear.clone(), Stop::default());
        self.stops.insert(ix, stop.clone());
        let unit = self.units.spawn(async move {
            let ending = match prepared.run(Seen::default(), &*world, &*clock, &stop).await {
                Ok(()) => Ending::Ok { outputs: Value::Null },
                Err(_) if stop.is_set() => Ending::Cancelled,
                Err(failure) => Ending::Failed { failure },
            };
            let _ = ear.send((ix, attempt, Said::Finished(ending)));
        });
        self.manned.insert(unit.id(), (ix, attempt));
    }

    /// A unit says how its step ended before it ends itself. One that panicked cannot: what it did is looked up.
    fn unit_ended(&mut self, ended: Result<(tokio::task::Id, ()), tokio::task::JoinError>) -> Result<(), DriverError> {
        let id = ended.as_ref().map_or_else(tokio::task::JoinError::id, |(id, ())| *id);
        let (Some((ix, attempt)), Err(error)) = (self.manned.remove(&id), ended) else { return Ok(()) };
        let path = self.state.node(ix).path.clone();
        let failure = Failure::new(Class::Internal, format!("step {path}"), error.to_string()).lost();
        self.stops.remove(&ix);
        self.feed(Fact::Finished { path, attempt, ending: Ending::Failed { failure } })
    }
}

/// A run does exactly what its plan says: a step that is not in it, or not so, is refused.
fn as_planned(
    path: &StepPath,
    uses: &str,
    with: &Value,
    effect: Effect,
    planned: Option<&PlanStep>,
) -> Result<(), Failure> {
    let refuse = |why: String| {
        Err(Failure::new(Class::Precondition, format!("step {path}"), why).remedy("make a new plan: `runbook plan …`"))
    };
    let Some(planned) = planned else { return refuse("it is not in the plan".into()) };
    if effect == Effect::Read {
        return Ok(());
    }
    match &planned.planned {
        Planned::Run | Planned::Maybe | Planned::Unchanged => {}
        Planned::Skipped(_) | Planned::Gate { .. } => return refuse("the plan says that it does not run".into()),
    }
    if planned.uses != uses {
        return refuse(format!("it uses {uses}, the plan says {}", planned.uses));
    }
    let moved = planned.with.iter().find(|(name, value)| with.get(name.as_str()) != Some(value));
    match moved {
        Some((name, value)) => {
            let now = with.get(name.as_str()).unwrap_or(&Value::Null);
            refuse(format!("its parameter {name} is {now}, the plan says {value}"))
        }
        None => Ok(()),
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
