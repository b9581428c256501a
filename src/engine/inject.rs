//! Failures on demand: `--inject fail:STEP`, `fail-undo:STEP`, `repeat:STEP`, `crash-after:N`, `roll-back`. Part of the
//! product, so that a runbook can be rehearsed.

use std::str::FromStr;

use super::ports::{Journal, JournalError};
use crate::event::{Body, Event};
use crate::model::failure::{Class, Failure};
use crate::model::ids::StepPath;
use crate::model::plan::Plan;
use crate::model::runbook::OnFailure;

/// What is to go wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inject {
    pub fail: Vec<StepPath>,
    pub fail_undo: Vec<StepPath>,
    /// Steps that are looked at again after they were done: they must then have nothing left to do.
    pub repeat: Vec<StepPath>,
    /// The process is to be taken for dead once so many facts are journalled.
    pub crash_after: Option<u64>,
    /// A failure rolls the run back where the runbook itself would stop or ask.
    pub roll_back: bool,
}

/// A text after `--inject` that is none of the five.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("--inject {got:?}: expected fail:STEP, fail-undo:STEP, repeat:STEP, crash-after:N or roll-back")]
pub struct BadInjection {
    got: String,
}

impl FromStr for Inject {
    type Err = BadInjection;

    fn from_str(text: &str) -> Result<Self, BadInjection> {
        if text == "roll-back" {
            return Ok(Self { roll_back: true, ..Self::default() });
        }
        let bad = || BadInjection { got: text.to_owned() };
        let (kind, what) = text.split_once(':').filter(|(_, what)| !what.is_empty()).ok_or_else(bad)?;
        let path = vec![StepPath::new(what)];
        let mut inject = Self::default();
        match kind {
            "fail" => inject.fail = path,
            "fail-undo" => inject.fail_undo = path,
            "repeat" => inject.repeat = path,
            "crash-after" => inject.crash_after = Some(what.parse().map_err(|_| bad())?),
            _ => return Err(bad()),
        }
        Ok(inject)
    }
}

impl Inject {
    pub fn and(mut self, other: Self) -> Self {
        self.fail.extend(other.fail);
        self.fail_undo.extend(other.fail_undo);
        self.repeat.extend(other.repeat);
        self.crash_after = self.crash_after.or(other.crash_after);
        self.roll_back |= other.roll_back;
        self
    }

    /// Lays over a plan what is to be decided otherwise than its author said; the hash is then that of this plan.
    pub fn lay_over(&self, plan: &mut Plan) {
        if self.roll_back {
            plan.procedure.on_failure = OnFailure::Rollback;
            plan.hash = super::plan::hash(plan);
        }
    }

    /// The failure that is asked for at this step, if any.
    pub(super) fn failure_at(&self, path: &StepPath) -> Option<Failure> {
        let text = path.as_str();
        // An action's own inverse, or the steps that a runbook gives instead.
        let undone = text.strip_suffix("/undo").or_else(|| text.split_once("/undo/").map(|(step, _)| step));
        let asked =
            self.fail.contains(path) || undone.is_some_and(|step| self.fail_undo.iter().any(|p| p.as_str() == step));
        asked.then(|| Failure::new(Class::Failed, format!("step {path}"), "failed on purpose (--inject)"))
    }
}

/// A journal after whose Nth fact the process is taken for dead.
pub struct CrashingJournal<J> {
    inner: J,
    left: Option<u64>,
}

impl<J: Journal> CrashingJournal<J> {
    pub fn new(inner: J, inject: &Inject) -> Self {
        Self { inner, left: inject.crash_after }
    }
}

impl<J: Journal> Journal for CrashingJournal<J> {
    fn append(&mut self, events: &[Event]) -> Result<(), JournalError> {
        let Some(left) = self.left else { return self.inner.append(events) };
        let mut facts = 0;
        let fits = events.iter().take_while(|event| {
            facts += u64::from(matches!(event.body, Body::Fact(_)));
            facts <= left
        });
        let fits = fits.count();
        self.inner.append(&events[..fits])?;
        let taken = events[..fits].iter().filter(|e| matches!(e.body, Body::Fact(_))).count() as u64;
        self.left = Some(left - taken);
        if left == taken { Err(JournalError::Crashed) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_are_read_and_others_refused() {
        let inject: Inject = "fail-undo:move[104]".parse().unwrap();
        assert!(inject.failure_at(&"move[104]/undo".into()).is_some());
        assert!(inject.failure_at(&"move[104]/undo/start".into()).is_some());
        assert!(inject.failure_at(&"move[104]".into()).is_none());
        assert_eq!("crash-after:40".parse::<Inject>().unwrap().crash_after, Some(40));
        assert!("roll-back".parse::<Inject>().unwrap().roll_back);
        for bad in ["", "fail", "roll-back:x", "fail:", "explode:now", "crash-after:soon"] {
            assert!(bad.parse::<Inject>().is_err(), "{bad}");
        }
    }
}
