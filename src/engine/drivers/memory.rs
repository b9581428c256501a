//! A driver without time, I/O or threads: it answers in any order, tells things twice, and crashes anywhere.
//!
//! It proves that the machine does not lean on the embedded driver's habits; the machine's properties are tested
//! with it. Each outstanding piece of work advances by one small step at a time, and whoever drives it chooses which.

use crate::engine::machine::{self, BadFact, Command, State, StepIx};
use crate::event::{Ending, Fact, Intent, RunStatus, Signal};
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};

/// The world and the people that the run meets.
pub trait Puppet {
    /// Answers `Evaluate`.
    fn evaluate(&mut self, state: &State, ix: StepIx) -> Fact;
    /// The step's request reaches the world (or does not): how the attempt will be seen to end.
    fn send(&mut self, state: &State, ix: StepIx) -> Ending;
    /// Looks at the world after an attempt whose end was not seen.
    fn recover(&mut self, state: &State, ix: StepIx) -> Ending;
    /// Answers `Ask`.
    fn ask(&mut self, state: &State, ix: StepIx) -> Fact;
}

/// Work between its command and its answer.
#[derive(Debug, Clone)]
enum Work {
    Command(Command),
    /// The intent is journalled, nothing is sent.
    Intended(StepIx),
    /// Sent; the answer is on its way.
    Answer(StepIx, u32, Ending),
}

/// A run in memory.
#[derive(Clone)]
pub struct MemoryDriver<P> {
    pub state: State,
    /// What a journal would hold.
    pub log: Vec<(u64, Fact)>,
    pub puppet: P,
    work: Vec<Work>,
    now: u64,
    pub finished: Option<RunStatus>,
}

impl<P: Puppet> MemoryDriver<P> {
    /// Begins a run with its first fact.
    ///
    /// # Errors
    /// The machine refused it.
    pub fn begin(created: Fact, puppet: P) -> Result<Self, BadFact> {
        let mut driver =
            Self { state: State::default(), log: Vec::new(), puppet, work: Vec::new(), now: 1_000, finished: None };
        driver.tell(created)?;
        Ok(driver)
    }

    /// Feeds a fact, as the only writer of the log.
    ///
    /// # Errors
    /// The machine refused it.
    pub fn tell(&mut self, fact: Fact) -> Result<(), BadFact> {
        self.now += 1;
        let commands = machine::step(&mut self.state, self.now, &fact)?;
        self.log.push((self.now, fact));
        for command in commands {
            match command {
                Command::Stop(ix) => self.stop(ix),
                Command::Park => {}
                command => self.work.push(Work::Command(command)),
            }
        }
        Ok(())
    }

    /// What is not sent yet is not sent; of what is, the end is not seen.
    fn stop(&mut self, ix: StepIx) {
        let attempt = self.state.node(ix).attempt;
        for work in &mut self.work {
            match work {
                Work::Command(Command::Attempt(of)) | Work::Intended(of) if *of == ix => {
                    *work = Work::Answer(ix, attempt, Ending::Cancelled);
                }
                Work::Answer(of, _, ending) if *of == ix => {
                    let failure = Failure::new(Class::Failed, "stop", "stopped while under way").done(Done::Unknown);
                    *ending = Ending::Failed { failure };
                }
                _ => {}
            }
        }
    }

    /// Whether nothing is left that could advance.
    pub fn is_idle(&self) -> bool {
        self.work.is_empty()
    }

    /// Advances one piece of outstanding work, the one that `choice` falls on.
    ///
    /// # Errors
    /// The machine refused an answer.
    pub fn advance(&mut self, choice: usize) -> Result<(), BadFact> {
        if self.work.is_empty() {
            return Ok(());
        }
        match self.work.swap_remove(choice % self.work.len()) {
            Work::Command(command) => self.carry_out(command),
            Work::Intended(ix) => {
                let ending = self.puppet.send(&self.state, ix);
                let attempt = self.state.node(ix).attempt;
                self.work.push(Work::Answer(ix, attempt, ending));
                Ok(())
            }
            Work::Answer(ix, attempt, ending) => {
                let path = self.state.node(ix).path.clone();
                self.tell(Fact::Finished { path, attempt, ending })
            }
        }
    }

    fn carry_out(&mut self, command: Command) -> Result<(), BadFact> {
        match command {
            Command::AcquireLock => self.tell(Fact::LockGranted),
            Command::ReleaseLock => self.tell(Fact::LockReleased),
            Command::Evaluate(ix) => {
                let fact = self.puppet.evaluate(&self.state, ix);
                self.tell(fact)
            }
            Command::Attempt(ix) => {
                let node = self.state.node(ix);
                let (path, attempt) = (node.path.clone(), node.attempt);
                let intent = Intent { before: path.as_str().into(), prepared: 0.into(), effect: Effect::Change };
                self.work.push(Work::Intended(ix));
                self.tell(Fact::Started { path, attempt, intent })
            }
            Command::Recover(ix) => {
                let ending = self.puppet.recover(&self.state, ix);
                let node = self.state.node(ix);
                let (path, attempt) = (node.path.clone(), node.attempt);
                self.tell(Fact::Finished { path, attempt, ending })
            }
            Command::StartTimer(ix, at) => {
                self.now = self.now.max(at);
                let node = self.state.node(ix);
                let (path, attempt) = (node.path.clone(), node.attempt);
                self.tell(Fact::TimerFired { path, attempt })
            }
            Command::Ask(ix) => {
                let fact = self.puppet.ask(&self.state, ix);
                self.tell(fact)
            }
            Command::Finish(status) => {
                self.finished = Some(status);
                self.tell(Fact::RunFinished { status })
            }
            Command::Stop(_) | Command::Park | Command::StartDeadline(..) => Ok(()),
        }
    }

    /// Tells the machine something again that it has been told already; it must not matter.
    ///
    /// # Errors
    /// The machine refused it.
    pub fn redeliver(&mut self, choice: usize) -> Result<(), BadFact> {
        let answers: Vec<Fact> = self.log.iter().map(|(_, fact)| fact.clone()).filter(is_answer).collect();
        if answers.is_empty() { Ok(()) } else { self.tell(answers[choice % answers.len()].clone()) }
    }

    /// The process dies and another one takes over: only the log is left, and what the world has taken.
    ///
    /// # Errors
    /// The log does not fold.
    pub fn crash(&mut self) -> Result<(), BadFact> {
        self.work.clear();
        self.state = State::replay(self.log.iter().map(|(at, fact)| (*at, fact)))?;
        if self.state.status().is_final() {
            return Ok(());
        }
        self.tell(Fact::DriverRestarted { host: "elsewhere".into(), process: 2 })?;
        let key = format!("resume-{}", self.log.len());
        self.tell(Fact::Signalled { key, signal: Signal::Resume })
    }
}

fn is_answer(fact: &Fact) -> bool {
    !matches!(fact, Fact::DriverRestarted { .. } | Fact::Signalled { .. } | Fact::RunCreated { .. })
}
