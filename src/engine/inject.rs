//! Failures on demand: `--inject fail:STEP`, `fail-after:STEP`, `fail-undo:STEP`, `decline:STEP`, `repeat:STEP`,
//! `crash-after:N`, `roll-back`. Part of the product, so that a runbook can be rehearsed.

use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::Value;

use super::ports::{
    Action, Actions, Answer, Approver, Call, Journal, JournalError, Mutate, Prediction, Probe, Reading, Recovery,
    Unreadable, World,
};
use crate::event::{Body, Event, Intent, Invocation, Question};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Done;
use crate::model::failure::{Class, Failure};
use crate::model::ids::StepPath;
use crate::model::plan::Plan;
use crate::model::runbook::OnFailure;

/// What is to go wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inject {
    pub fail: Vec<StepPath>,
    /// Steps that act, and whose answer is then lost: what they did has to be found out.
    pub fail_after: Vec<StepPath>,
    pub fail_undo: Vec<StepPath>,
    /// Questions that are answered with no.
    pub decline: Vec<StepPath>,
    /// Steps that are looked at again after they were done: they must then have nothing left to do.
    pub repeat: Vec<StepPath>,
    /// The process is to be taken for dead once so many facts are journalled.
    pub crash_after: Option<u64>,
    /// A failure rolls the run back where the runbook itself would stop or ask.
    pub roll_back: bool,
}

/// A text after `--inject` that is none of the seven.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "--inject {got:?}: expected fail:STEP, fail-after:STEP, fail-undo:STEP, decline:STEP, repeat:STEP, crash-after:N or roll-back"
)]
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
            "fail-after" => inject.fail_after = path,
            "fail-undo" => inject.fail_undo = path,
            "decline" => inject.decline = path,
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
        self.fail_after.extend(other.fail_after);
        self.fail_undo.extend(other.fail_undo);
        self.decline.extend(other.decline);
        self.repeat.extend(other.repeat);
        self.crash_after = self.crash_after.or(other.crash_after);
        self.roll_back |= other.roll_back;
        self
    }

    /// The actions as a run is to meet them: of those steps the answer is lost, once each.
    pub fn over_actions(&self, actions: Actions) -> Actions {
        if self.fail_after.is_empty() {
            return actions;
        }
        let lost: Arc<Mutex<Vec<StepPath>>> = Arc::new(Mutex::new(self.fail_after.clone()));
        let wrapped = |(name, action)| (name, Arc::new(Mute { action, lost: lost.clone() }) as Arc<dyn Action>);
        actions.into_iter().map(wrapped).collect()
    }

    /// Who is asked, as a run is to meet them.
    pub fn over_approver(&self, approver: Arc<dyn Approver>) -> Arc<dyn Approver> {
        if self.decline.is_empty() { approver } else { Arc::new(Naysayer { paths: self.decline.clone(), approver }) }
    }

    /// Lays over a plan what is to be decided otherwise than its author said; the hash is then that of this plan.
    pub fn lay_over(&self, plan: &mut Plan) {
        if self.roll_back {
            Arc::make_mut(&mut plan.procedure).on_failure = OnFailure::Rollback;
            plan.hash = super::hash::hash(plan);
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

/// An action that acts, and whose answer does not come.
struct Mute {
    action: Arc<dyn Action>,
    /// The steps whose answer is still to be lost.
    lost: Arc<Mutex<Vec<StepPath>>>,
}

impl Mute {
    fn loses(&self, path: &StepPath) -> bool {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let at = lost.iter().position(|step| step == path);
        at.map(|at| lost.remove(at)).is_some()
    }
}

#[async_trait]
impl Action for Mute {
    fn spec(&self) -> &ActionSpec {
        self.action.spec()
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        self.action.read(call, world).await
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        self.action.probe(call, world).await
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        self.action.predict(call, before)
    }

    async fn prepare(&self, call: &Call, world: &dyn World) -> Result<Value, Failure> {
        self.action.prepare(call, world).await
    }

    async fn apply(&self, call: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let outputs = self.action.apply(call, intent, mutate).await?;
        if !self.loses(&call.path) {
            return Ok(outputs);
        }
        let cause = "it acted, and its answer was lost on purpose (--inject)";
        Err(Failure::new(Class::Transient, format!("step {}", call.path), cause).done(Done::Unknown))
    }

    async fn attach(&self, call: &Call, intent: &Intent, handle: &Value, mutate: &Mutate) -> Result<Value, Failure> {
        self.action.attach(call, intent, handle, mutate).await
    }

    async fn verify(&self, call: &Call, before: &Value, outputs: &Value, world: &dyn World) -> Result<(), Failure> {
        self.action.verify(call, before, outputs, world).await
    }

    async fn recover(
        &self,
        call: &Call,
        intent: &Intent,
        handle: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        self.action.recover(call, intent, handle, world).await
    }

    fn undo(&self, call: &Call, before: &Value, outputs: Option<&Value>) -> Option<Invocation> {
        self.action.undo(call, before, outputs)
    }

    fn commands(&self, call: &Call, before: &Probe) -> Vec<String> {
        self.action.commands(call, before)
    }

    fn undo_summary(&self, call: &Call, before: &Probe) -> Option<String> {
        self.action.undo_summary(call, before)
    }
}

/// Says no to some questions, and leaves the others to whoever is there.
struct Naysayer {
    paths: Vec<StepPath>,
    approver: Arc<dyn Approver>,
}

#[async_trait]
impl Approver for Naysayer {
    async fn ask(&self, path: &StepPath, question: &Question) -> Answer {
        if self.paths.contains(path) && question.options.is_empty() {
            return Answer::Declined { who: "--inject".into(), why: "declined on purpose".into() };
        }
        self.approver.ask(path, question).await
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
        assert_eq!("fail-after:a".parse::<Inject>().unwrap().fail_after, ["a".into()]);
        assert_eq!("decline:a/b".parse::<Inject>().unwrap().decline, ["a/b".into()]);
        for bad in ["", "fail", "roll-back:x", "fail:", "explode:now", "crash-after:soon"] {
            assert!(bad.parse::<Inject>().is_err(), "{bad}");
        }
    }
}
