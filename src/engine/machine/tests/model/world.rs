//! A state of the model: the machine's, the work that is outstanding, and the world's switches.
//!
//! What becomes of a request is settled when its answer comes, or when nobody is left to hear it (a crash). Until
//! then nobody could have seen it, so nothing is lost, and there is one state less for each request under way.

use std::sync::Arc;

use serde_json::Value;

use super::mark;
use super::moves::{Fate, Left, Move, Then};
use super::rules;
use crate::engine::machine::{self, Awaiting, Command, Kind, Stage, State, StepIx};
use crate::event::{Decision, Ending, Fact, Intent, Invocation, Item, RunStatus, Signal, Verdict};
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::runbook::{ForEach, Template};

/// Work between its command and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    Lock,
    Unlock,
    Finish,
    Evaluate(StepIx),
    /// Nothing is journalled yet; whether it was told to stop.
    Attempt(StepIx, bool),
    /// The intent is journalled; the request may be on its way.
    Intended(StepIx, bool),
    Recover(StepIx, bool),
    Timer(StepIx),
    Ask(StepIx),
}

impl Work {
    pub fn step(self) -> Option<StepIx> {
        match self {
            Self::Lock | Self::Unlock | Self::Finish => None,
            Self::Evaluate(ix) | Self::Timer(ix) | Self::Ask(ix) => Some(ix),
            Self::Attempt(ix, _) | Self::Intended(ix, _) | Self::Recover(ix, _) => Some(ix),
        }
    }

    fn mark(self) -> u8 {
        match self {
            Self::Lock => 1,
            Self::Unlock => 2,
            Self::Finish => 3,
            Self::Evaluate(_) => 4,
            Self::Attempt(_, stopped) => 5 + u8::from(stopped),
            Self::Intended(_, stopped) => 7 + u8::from(stopped),
            Self::Recover(_, stopped) => 9 + u8::from(stopped),
            Self::Timer(_) => 11,
            Self::Ask(_) => 12,
        }
    }
}

/// What a step has made of the world.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Switch {
    pub on: bool,
    /// Stopped half-way.
    pub half: bool,
    /// Requests taken since it was last off, or since a person looked.
    pub taken: u8,
}

/// What happened to the run, for the oracle of its end.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    pub declined: bool,
    pub refused: bool,
    pub lock_lost: bool,
    pub told_to_end: bool,
    pub expired: bool,
}

/// What the machine has been told, the last thing first.
pub struct Told {
    pub fact: Fact,
    pub before: Option<Arc<Told>>,
}

#[derive(Clone)]
pub struct Model {
    pub state: State,
    pub work: Vec<Work>,
    pub deadlines: Vec<Option<StepIx>>,
    /// By node.
    pub switches: Vec<Switch>,
    pub left: Left,
    pub seen: Seen,
    pub told: Option<Arc<Told>>,
    /// Answers given, or on their way to a step that does not wait for them any more.
    pub old: Option<Arc<Told>>,
    pub keys: u8,
    now: u64,
    /// What the clock goes on by with each fact.
    tick: u64,
}

impl Model {
    pub fn begin(created: &Fact, left: Left, tick: u64) -> Result<Self, String> {
        let mut model = Self {
            state: State::default(),
            work: Vec::new(),
            deadlines: Vec::new(),
            switches: Vec::new(),
            left,
            seen: Seen::default(),
            told: None,
            old: None,
            keys: 0,
            now: 1_000,
            tick,
        };
        model.tell(created.clone())?;
        model.settle();
        Ok(model)
    }

    pub fn fingerprint(&self) -> u128 {
        let mut marks = Vec::with_capacity(1_024);
        let round = |ix: StepIx, out: &mut Vec<u8>| {
            let switch = self.switch_of(ix);
            out.push(u8::from(switch.on) | u8::from(switch.half) << 1 | switch.taken << 2);
            out.extend(self.work.iter().filter(|work| work.step() == Some(ix)).map(|work| work.mark()));
            out.extend(self.deadlines.iter().filter(|of| **of == Some(ix)).map(|_| b'd'));
        };
        mark::mark(&self.state, &round, &mut marks);
        marks.extend(self.work.iter().filter(|work| work.step().is_none()).map(|work| work.mark()));
        marks.push(self.deadlines.iter().filter(|of| of.is_none()).count() as u8);
        let seen =
            [self.seen.declined, self.seen.refused, self.seen.lock_lost, self.seen.told_to_end, self.seen.expired];
        marks.extend(seen.map(u8::from));
        marks.extend(self.left.marks());
        mark::digest(&marks)
    }

    pub fn is_over(&self) -> bool {
        matches!(self.state.stage(), Stage::Finished(_)) && self.work.is_empty()
    }

    pub fn switch(&mut self, ix: StepIx) -> &mut Switch {
        if self.switches.len() <= ix.0 {
            self.switches.resize(ix.0 + 1, Switch::default());
        }
        &mut self.switches[ix.0]
    }

    pub fn switch_of(&self, ix: StepIx) -> Switch {
        self.switches.get(ix.0).copied().unwrap_or_default()
    }

    /// Makes one move.
    pub fn make(&mut self, step: Move) -> Result<(), String> {
        self.left.spend(step.cost());
        match step {
            Move::Work(at, fate) => {
                let work = self.work.remove(at);
                self.carry_out(work, fate)?;
            }
            Move::Deadline(at) => {
                let of = self.deadlines.remove(at);
                self.seen.expired |= of.is_none();
                self.tell(Fact::DeadlinePassed { path: of.map(|ix| self.state.node(ix).path.clone()) })?;
            }
            Move::LockLost => {
                self.seen.lock_lost = true;
                self.tell(Fact::LockLost { why: "gone".into() })?;
            }
            Move::Cancel { level, rollback } => self.signal(Signal::Cancel { level, rollback })?,
            Move::Pause => self.signal(Signal::Pause)?,
            Move::Resume | Move::ResumeEarly => self.signal(Signal::Resume)?,
            Move::Abandon => self.signal(Signal::Abandon)?,
            Move::RollBack => self.signal(Signal::RollBack)?,
            Move::Resolve(ix) => {
                let is_on = self.switch_of(ix);
                if is_on.half {
                    // Whoever found it half done has put it back.
                    *self.switch(ix) = Switch::default();
                }
                let done = self.is_done(ix);
                let path = self.state.node(ix).path.clone();
                self.signal(Signal::Resolve { path, done })?;
            }
            Move::Crash { then, taken, half } => self.crash(then, taken, half)?,
        }
        self.settle();
        Ok(())
    }

    fn signal(&mut self, signal: Signal) -> Result<(), String> {
        self.seen.told_to_end |= !matches!(signal, Signal::Pause | Signal::Resume | Signal::Resolve { .. });
        self.keys += 1;
        self.tell(Fact::Signalled { key: self.keys.to_string(), signal })
    }

    /// Only the log is left, and what the world has taken; another process takes over.
    fn crash(&mut self, then: Then, taken: u8, half: u8) -> Result<(), String> {
        let under_way = self.work.iter().filter_map(|work| match work {
            Work::Intended(ix, _) => Some(*ix),
            _ => None,
        });
        for (i, ix) in under_way.collect::<Vec<_>>().into_iter().enumerate() {
            if taken & 1 << i != 0 {
                self.accept(ix, half & 1 << i != 0)?;
            }
        }
        self.work.clear();
        self.deadlines.clear();
        self.tell(Fact::DriverRestarted { host: "elsewhere".into(), process: 2 })?;
        match then {
            Then::Nothing => Ok(()),
            Then::Resume => self.signal(Signal::Resume),
            Then::Abandon => self.signal(Signal::Abandon),
            Then::RollBack => self.signal(Signal::RollBack),
        }
    }

    /// Feeds a fact, as the only writer of the log.
    fn tell(&mut self, fact: Fact) -> Result<(), String> {
        self.now += self.tick;
        let before = rules::Before::of(self);
        let result = machine::step(&mut self.state, self.now, &fact);
        if is_answer(&fact) {
            self.old = Some(Arc::new(Told { fact: fact.clone(), before: self.old.take() }));
        }
        self.told = Some(Arc::new(Told { fact, before: self.told.take() }));
        let commands = result.map_err(|bad| bad.to_string())?;
        rules::check_commands(self, &before, &commands)?;
        for command in commands {
            match command {
                Command::AcquireLock => self.work.push(Work::Lock),
                Command::ReleaseLock => self.work.push(Work::Unlock),
                Command::Evaluate(ix) => self.work.push(Work::Evaluate(ix)),
                Command::Attempt(ix) => self.work.push(Work::Attempt(ix, false)),
                Command::Recover(ix) => self.work.push(Work::Recover(ix, false)),
                Command::StartTimer(ix, _) => self.work.push(Work::Timer(ix)),
                Command::Ask(ix) => self.work.push(Work::Ask(ix)),
                Command::Finish(_) => self.work.push(Work::Finish),
                Command::StartDeadline(of, _) => self.deadlines.push(of),
                Command::Stop(ix) => self.stop(ix),
                Command::Park => {}
            }
        }
        Ok(())
    }

    fn stop(&mut self, ix: StepIx) {
        for work in &mut self.work {
            match work {
                Work::Attempt(of, stopped) | Work::Intended(of, stopped) | Work::Recover(of, stopped) if *of == ix => {
                    *stopped = true;
                }
                _ => {}
            }
        }
    }

    /// Puts what is outstanding in order, and sets aside what nobody waits for any more: its answer must not matter.
    fn settle(&mut self) {
        let (kept, late) = std::mem::take(&mut self.work).into_iter().partition(|work| self.is_waited_for(*work));
        self.work = kept;
        self.work.sort();
        for work in late {
            let Work::Timer(ix) = work else { continue };
            let node = self.state.node(ix);
            let fact = Fact::TimerFired { path: node.path.clone(), attempt: node.attempt };
            self.old = Some(Arc::new(Told { fact, before: self.old.take() }));
        }
        let state = &self.state;
        self.deadlines.retain(|of| match of {
            None => matches!(state.stage, Stage::Locking | Stage::Requiring | Stage::Main) && !state.overdue,
            Some(ix) => !state.node(*ix).outcome.is_final() && !state.node(*ix).overdue,
        });
        self.deadlines.sort();
    }

    fn is_waited_for(&self, work: Work) -> bool {
        match work {
            Work::Timer(ix) => matches!(self.state.node(ix).awaiting, Awaiting::Timer(_)),
            Work::Ask(ix) => matches!(self.state.node(ix).awaiting, Awaiting::Answer | Awaiting::Decision),
            _ => true,
        }
    }

    fn carry_out(&mut self, work: Work, fate: Fate) -> Result<(), String> {
        match work {
            Work::Lock if fate == Fate::Refused => {
                self.seen.refused = true;
                self.tell(Fact::LockRefused { holder: "r0".into() })
            }
            Work::Lock => self.tell(Fact::LockGranted),
            Work::Unlock => self.tell(Fact::LockReleased),
            Work::Finish => match self.state.stage() {
                Stage::Finishing(status) => self.tell(Fact::RunFinished { status }),
                stage => Err(format!("told to finish in {stage:?}")),
            },
            Work::Evaluate(ix) => {
                let fact = self.evaluation(ix, fate);
                self.tell(fact)
            }
            Work::Attempt(ix, _) if fate == Fate::Plain && !matches!(self.state.node(ix).kind, Kind::Check(_)) => {
                let node = self.state.node(ix);
                let (path, attempt, effect) = (node.path.clone(), node.attempt, node.effect);
                let intent = Intent { before: Value::Null, prepared: Value::Null, effect };
                self.tell(Fact::Started { path, attempt, intent })?;
                self.work.push(Work::Intended(ix, false));
                Ok(())
            }
            Work::Intended(ix, _) | Work::Recover(ix, _) if fate == Fate::Handle => {
                let node = self.state.node(ix);
                let (path, attempt) = (node.path.clone(), node.attempt);
                self.tell(Fact::Checkpoint { path, attempt, handle: "UPID".into() })?;
                self.work.push(work);
                Ok(())
            }
            Work::Attempt(ix, _) | Work::Intended(ix, _) => {
                let ending = self.ending(ix, fate)?;
                self.finish(ix, ending)
            }
            Work::Recover(ix, _) if fate == Fate::InDoubt => {
                self.finish(ix, Ending::InDoubt { evidence: "it does not say".into() })
            }
            Work::Recover(ix, _) => {
                let ending = self.truth(ix);
                self.finish(ix, ending)
            }
            Work::Timer(ix) => {
                let node = self.state.node(ix);
                let (path, attempt) = (node.path.clone(), node.attempt);
                self.tell(Fact::TimerFired { path, attempt })
            }
            Work::Ask(ix) => self.answer(ix, fate),
        }
    }

    fn finish(&mut self, ix: StepIx, ending: Ending) -> Result<(), String> {
        let node = self.state.node(ix);
        let (path, attempt) = (node.path.clone(), node.attempt);
        self.tell(Fact::Finished { path, attempt, ending })
    }

    fn evaluation(&self, ix: StepIx, fate: Fate) -> Fact {
        let node = self.state.node(ix);
        let path = node.path.clone();
        let failure = || Failure::new(Class::Precondition, path.as_str(), "broken");
        if let (Kind::FanOut, Fate::Plain | Fate::Empty) = (&node.kind, fate) {
            let fan = node.step().and_then(|step| step.for_each.as_ref());
            return expansion(&path, fan.unwrap(), fate == Fate::Empty);
        }
        let verdict = match fate {
            Fate::Skipped => Verdict::Skip { reason: "not wanted".into() },
            Fate::Satisfied => Verdict::Satisfied,
            Fate::Broken => Verdict::Broken { failure: failure() },
            Fate::Listed => Verdict::Listed { manual: "by hand".into() },
            Fate::Nothing => Verdict::Nothing { why: "it is off".into() },
            _ => {
                let invocation = Some(Invocation { uses: "x".into(), with: Value::Null });
                Verdict::Run { invocation, effect: Effect::Change, question: None }
            }
        };
        Fact::Evaluated { path, verdict }
    }

    /// How an attempt ends, and what it does to the world.
    fn ending(&mut self, ix: StepIx, fate: Fate) -> Result<Ending, String> {
        let failed = |class, done| Ending::Failed { failure: Failure::new(class, "it", "no").done(done) };
        Ok(match fate {
            Fate::Unchanged => Ending::Unchanged { outputs: Value::Null },
            Fate::Refused => failed(Class::Refused, Done::None),
            Fate::Transient => failed(Class::Transient, Done::None),
            Fate::Cancelled => Ending::Cancelled,
            Fate::RequestLost => failed(Class::Timeout, Done::Unknown),
            Fate::AnswerLost => {
                self.accept(ix, false)?;
                failed(Class::Timeout, Done::Unknown)
            }
            Fate::Half => {
                self.accept(ix, true)?;
                failed(Class::Failed, Done::Partial)
            }
            Fate::HalfLost => {
                self.accept(ix, true)?;
                failed(Class::Timeout, Done::Unknown)
            }
            _ => {
                if !matches!(self.state.node(ix).kind, Kind::Check(_)) {
                    self.accept(ix, false)?;
                }
                Ending::Ok { outputs: Value::Null }
            }
        })
    }

    /// The world takes a request.
    fn accept(&mut self, ix: StepIx, half: bool) -> Result<(), String> {
        if self.state.wants_lock() && !self.state.lock_held() {
            return Err(format!("{} was sent without the lock", self.state.node(ix).path));
        }
        if let Kind::Undo(of) = self.state.node(ix).kind {
            *self.switch(of) = if half { Switch { on: true, half, taken: 1 } } else { Switch::default() };
            return Ok(());
        }
        let switch = self.switch(ix);
        (switch.on, switch.half, switch.taken) = (true, half, switch.taken + 1);
        if switch.taken > 1 {
            return Err(format!("{} was sent again after it was accepted", self.state.node(ix).path));
        }
        if let Some(of) = self.undone_by(ix).filter(|_| !half) {
            let state = &self.state;
            let switches = self.switches.iter_mut().enumerate();
            switches
                .filter(|(at, _)| rules::is_within(state, StepIx(*at), of))
                .for_each(|(_, s)| *s = Switch::default());
        }
        Ok(())
    }

    fn is_done(&self, ix: StepIx) -> bool {
        self.is_on(ix) != matches!(self.state.node(ix).kind, Kind::Undo(_))
    }

    /// What recovery finds.
    fn truth(&self, ix: StepIx) -> Ending {
        let is_undo = matches!(self.state.node(ix).kind, Kind::Undo(_));
        if !is_undo && self.switch_of(ix).half {
            return Ending::Failed { failure: Failure::new(Class::Failed, "it", "half").done(Done::Partial) };
        }
        if self.is_done(ix) { Ending::Ok { outputs: Value::Null } } else { Ending::NotApplied }
    }

    fn answer(&mut self, ix: StepIx, fate: Fate) -> Result<(), String> {
        let node = self.state.node(ix);
        let (path, attempt, who) = (node.path.clone(), node.attempt, "ops".to_owned());
        let Fate::Decided(decision) = fate else {
            if fate == Fate::Declined {
                self.seen.declined = true;
                return self.tell(Fact::Declined { path, who, why: "no".into() });
            }
            return self.tell(Fact::Approved { path, who, word: None, hash: None });
        };
        if !node.kind.is_scope() {
            match decision {
                // Whoever tries again has looked at what is there, and may have left it so.
                Decision::Retry => self.switch(ix).taken = 0,
                Decision::Done => *self.switch(ix) = Switch { on: true, half: false, taken: 1 },
                _ => {}
            }
        }
        self.tell(Fact::Decided { path, attempt, who, decision })
    }

    /// Tells the machine again all that it was told: nothing of it may matter.
    pub fn tell_all_again(&mut self) -> Result<(), String> {
        let mut commands = Vec::new();
        let mut at = self.old.clone();
        while let Some(told) = at {
            self.state.take(&told.fact, &mut commands).map_err(|bad| bad.to_string())?;
            if !commands.is_empty() {
                return Err(format!("{:?}, told again, made the machine say {commands:?}", told.fact));
            }
            at = told.before.clone();
        }
        self.state.decide(&mut commands);
        match commands.is_empty() {
            true => Ok(()),
            false => Err(format!("what was told again made the machine say {commands:?}")),
        }
    }

    pub fn status(&self) -> RunStatus {
        self.state.status()
    }

    /// Steps that a person can say something about while the run is parked.
    pub fn doubtful(&self) -> impl Iterator<Item = StepIx> + '_ {
        let nodes = self.state.nodes.iter().enumerate();
        nodes.filter(|(_, n)| matches!(n.outcome, crate::event::Outcome::InDoubt(_))).map(|(ix, _)| StepIx(ix))
    }

    /// What a step of the author's own rollback puts back.
    pub fn undone_by(&self, ix: StepIx) -> Option<StepIx> {
        self.state.node(ix).parent.and_then(|parent| self.state.node(parent).undoes)
    }

    pub fn is_any_on(&self, scope: StepIx) -> bool {
        let mut switches = self.switches.iter().enumerate();
        switches.any(|(at, switch)| switch.on && rules::is_within(&self.state, StepIx(at), scope))
    }

    /// Whether what a step would change (for an undo: take back) is on.
    pub fn is_on(&self, ix: StepIx) -> bool {
        match self.state.node(ix).kind {
            Kind::Undo(of) => self.switch_of(of).on,
            _ => self.switch_of(ix).on,
        }
    }
}

fn expansion(path: &crate::model::ids::StepPath, fan: &ForEach, empty: bool) -> Fact {
    let width = match &fan.max_parallel {
        Some(Template::Literal(width)) => width.as_u64().unwrap_or(1) as usize,
        _ => 1,
    };
    let lane_width = fan.limit.as_ref().map_or(width, |limit| limit.max as usize);
    let keys: &[&str] = if empty { &[] } else { &["x", "y"] };
    let items = keys.iter().map(|key| Item { key: (*key).into(), value: (*key).into(), lane: Some("l".into()) });
    let (items, path) = (items.collect(), path.clone());
    let waves = fan.batches.iter().map(|a| a.of(2).max(1)).collect();
    Fact::Expanded { path, items, width, lane_width, borne: fan.max_failures.of(2), waves, hash: None }
}

fn is_answer(fact: &Fact) -> bool {
    // Locks and a run's end are the driver's own words, which it says once.
    !matches!(
        fact,
        Fact::DriverRestarted { .. }
            | Fact::RunCreated { .. }
            | Fact::LockGranted
            | Fact::LockLost { .. }
            | Fact::LockRefused { .. }
            | Fact::LockReleased
            | Fact::RunFinished { .. }
            | Fact::DeadlinePassed { path: None }
    )
}
