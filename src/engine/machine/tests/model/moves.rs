//! What can happen next.

use super::world::{Model, Work};
use crate::engine::machine::{Awaiting, Kind, Stage, StepIx};
use crate::event::Decision;

/// How many more things may go otherwise than one would wish.
#[derive(Debug, Clone, Copy)]
pub struct Left {
    pub disturbances: u8,
    /// Whether `when`, `skip_if` and parameters may come out otherwise too.
    pub verdicts: bool,
    /// Whether requests say a handle before they are over.
    pub handles: bool,
}

impl Left {
    pub fn spend(&mut self, cost: u8) {
        self.disturbances -= cost;
    }

    pub fn marks(self) -> [u8; 1] {
        [self.disturbances]
    }
}

/// What becomes of a piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// As one would wish.
    Plain,
    // Of an evaluation.
    Skipped,
    Satisfied,
    Broken,
    Empty,
    Listed,
    Nothing,
    // Of an attempt, or of asking for the lock.
    Refused,
    Unchanged,
    Transient,
    AnswerLost,
    RequestLost,
    Half,
    HalfLost,
    Cancelled,
    /// It says a handle and is still under way; so does a recovery that waits for what it found.
    Handle,
    // Of a recovery.
    InDoubt,
    // Of a question.
    Declined,
    Decided(Decision),
}

/// What a person says first to the process that takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    Nothing,
    Resume,
    Abandon,
    RollBack,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    Work(usize, Fate),
    Deadline(usize),
    LockLost,
    Cancel {
        level: u8,
        rollback: bool,
    },
    Pause,
    Resume,
    Abandon,
    RollBack,
    Resolve(StepIx),
    /// Which of the requests under way the world has taken (a bit each), and which of them half.
    Crash {
        then: Then,
        taken: u8,
        half: u8,
    },
    /// As `Resume`, told to a run that is not parked.
    ResumeEarly,
}

impl Move {
    /// How many disturbances it is.
    pub fn cost(self) -> u8 {
        match self {
            Self::Work(_, fate) => match fate {
                Fate::Plain | Fate::Cancelled | Fate::Nothing | Fate::Handle => 0,
                Fate::Decided(decision) => u8::from(decision == Decision::Retry),
                _ => 1,
            },
            Self::Resume | Self::Resolve(_) => 0,
            _ => 1,
        }
    }
}

impl Model {
    /// All that can happen next, what costs nothing first.
    pub fn moves(&self) -> Vec<Move> {
        let mut out = Vec::with_capacity(16);
        for (at, work) in self.work.iter().enumerate() {
            self.fates(*work, |fate| out.push(Move::Work(at, fate)));
        }
        if self.state.is_parked() {
            out.push(Move::Resume);
            out.extend(self.doubtful().map(Move::Resolve));
        }
        self.disturbances(&mut out);
        out.retain(|step| step.cost() <= self.left.disturbances);
        out
    }

    fn fates(&self, work: Work, mut add: impl FnMut(Fate)) {
        let mut each = |fates: &[Fate]| fates.iter().for_each(|fate| add(*fate));
        if let Work::Intended(ix, _) | Work::Recover(ix, _) = work
            && self.left.handles
            && self.state.node(ix).handle.is_none()
        {
            each(&[Fate::Handle]);
        }
        match work {
            Work::Unlock | Work::Finish | Work::Timer(_) => each(&[Fate::Plain]),
            Work::Lock => each(&[Fate::Plain, Fate::Refused]),
            Work::Evaluate(ix) => each(self.verdicts(ix)),
            Work::Attempt(ix, _) if matches!(self.state.node(ix).kind, Kind::Check(_)) => {
                each(&[Fate::Plain, Fate::Refused]);
            }
            Work::Attempt(_, true) => each(&[Fate::Cancelled]),
            // It is not so already.
            Work::Attempt(ix, false) if self.has_work(ix) => each(&[Fate::Plain]),
            Work::Attempt(_, false) => each(&[Fate::Plain, Fate::Unchanged]),
            Work::Intended(_, stopped) => {
                if stopped {
                    each(&[Fate::Cancelled]);
                }
                each(&[Fate::Plain, Fate::Refused, Fate::Transient, Fate::AnswerLost]);
                each(&[Fate::RequestLost, Fate::Half, Fate::HalfLost]);
            }
            Work::Recover(..) => each(&[Fate::Plain, Fate::InDoubt]),
            Work::Ask(ix) if self.state.node(ix).awaiting == Awaiting::Decision => {
                let options = self.state.node(ix).question.iter().flat_map(|q| q.options.iter());
                options.for_each(|decision| each(&[Fate::Decided(*decision)]));
            }
            Work::Ask(_) => each(&[Fate::Plain, Fate::Declined]),
        }
    }

    /// Whether an attempt that says that all is as it should be would lie.
    fn has_work(&self, ix: StepIx) -> bool {
        self.is_on(ix) || self.undone_by(ix).is_some_and(|of| self.is_any_on(of))
    }

    fn verdicts(&self, ix: StepIx) -> &'static [Fate] {
        match self.state.node(ix).kind {
            Kind::Undo(of) if self.switch_of(of).on => &[Fate::Plain, Fate::Listed, Fate::Broken],
            Kind::Undo(_) => &[Fate::Plain, Fate::Nothing],
            _ if !self.left.verdicts || self.undone_by(ix).is_some() => &[Fate::Plain],
            Kind::FanOut => &[Fate::Plain, Fate::Empty, Fate::Broken],
            _ => &[Fate::Plain, Fate::Skipped, Fate::Satisfied, Fate::Broken],
        }
    }

    fn disturbances(&self, out: &mut Vec<Move>) {
        if self.left.disturbances == 0 {
            return;
        }
        if matches!(self.state.stage(), Stage::Finished(_)) {
            out.push(Move::RollBack);
            return;
        }
        out.extend((0..self.deadlines.len()).map(Move::Deadline));
        let cancels = [(1, false), (2, false), (1, true)];
        out.extend(cancels.map(|(level, rollback)| Move::Cancel { level, rollback }));
        out.extend([Move::Pause, Move::Abandon, Move::RollBack]);
        if self.state.lock_held() {
            out.push(Move::LockLost);
        }
        if self.state.halt.is_some() && !self.state.is_parked() {
            out.push(Move::ResumeEarly);
        }
        let under_way = self.work.iter().filter(|work| matches!(work, Work::Intended(..))).count();
        for taken in 0..1u8 << under_way {
            out.push(Move::Crash { then: Then::Resume, taken, half: 0 });
            if taken != 0 {
                out.push(Move::Crash { then: Then::Resume, taken, half: taken });
            }
        }
        let all = (1u8 << under_way) - 1;
        for then in [Then::Nothing, Then::Abandon, Then::RollBack] {
            out.push(Move::Crash { then, taken: 0, half: 0 });
            if all != 0 {
                out.push(Move::Crash { then, taken: all, half: 0 });
            }
        }
    }
}
