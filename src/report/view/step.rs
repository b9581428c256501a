//! A step as those who look at a run see it.

use crate::event::{Outcome, Question, UndoStatus};
use crate::model::effect::{Done, Effect};
use crate::model::failure::Failure;
use crate::model::ids::StepPath;

/// What is known of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepView {
    pub path: StepPath,
    /// `proxmox.guest_migrate`; empty where it was never said.
    pub uses: String,
    /// The plan's line for it, where it was in the plan.
    pub summary: Option<String>,
    pub effect: Effect,
    pub outcome: Outcome,
    /// Attempts that were started.
    pub attempts: u32,
    /// Milliseconds since 1970: of the first attempt, and of the last ending.
    pub started: Option<u64>,
    pub ended: Option<u64>,
    /// The last progress: its line and its share from 0 to 1.
    pub progress: Option<(String, Option<f64>)>,
    /// The last lines of its log.
    pub log: Vec<String>,
    pub undo: UndoStatus,
    /// Why its undo failed.
    pub undo_cause: Option<String>,
    /// What a person is asked.
    pub question: Option<Question>,
    /// A group or fan-out: its steps are shown, not it.
    pub scope: bool,
    /// The failure of an attempt of which it is still open what it did, or what is to become of it.
    pub(super) lost: Option<Box<Failure>>,
    /// The plan did not know yet what it is called with.
    pub(super) later: bool,
    /// Its deadline, or that of a scope round it, passed while it was under way.
    pub(super) overdue: bool,
}

impl StepView {
    pub(super) fn new(path: StepPath) -> Self {
        Self {
            path,
            uses: String::new(),
            summary: None,
            effect: Effect::Read,
            outcome: Outcome::Pending,
            attempts: 0,
            started: None,
            ended: None,
            progress: None,
            log: Vec::new(),
            undo: UndoStatus::None,
            undo_cause: None,
            lost: None,
            question: None,
            scope: false,
            later: false,
            overdue: false,
        }
    }

    pub(super) fn undo_fails(&mut self, cause: String) {
        self.undo = UndoStatus::RollbackFailed;
        self.undo_cause = Some(cause);
    }

    /// Why it is as it is, in a line.
    pub fn cause(&self) -> Option<String> {
        match &self.outcome {
            Outcome::Failed(failure) => Some(failure.to_string()),
            Outcome::Skipped(why) | Outcome::InDoubt(why) => Some(why.clone()),
            Outcome::NotRun(Some(path)) => Some(format!("{path} failed")),
            Outcome::NotRun(None) => Some("the run stopped first".into()),
            _ => None,
        }
    }

    pub fn failure(&self) -> Option<&Failure> {
        match &self.outcome {
            Outcome::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    /// Whether it has changed the world, wholly or partly, or may have.
    pub fn changed(&self) -> bool {
        let may = self.effect != Effect::Read && self.attempts > 0;
        may && match &self.outcome {
            Outcome::Ok | Outcome::InDoubt(_) => true,
            Outcome::Failed(failure) => failure.done != Done::None,
            _ => false,
        }
    }

    /// Milliseconds from the first attempt to the last ending, or to `now`.
    pub fn took(&self, now: u64) -> Option<u64> {
        Some(self.ended.unwrap_or(now).saturating_sub(self.started?))
    }
}
