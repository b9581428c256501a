//! Checks written in a runbook (`require`, `verify`): a reading and what must hold of it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::evaluate::Evaluator;
use super::machine::{State, StepIx};
use super::ports::{Action, Call, Clock, Stop, Unreadable, World};
use crate::expr::{self, Datum, Evaluated, Scope};
use crate::model::failure::{Class, Failure};
use crate::model::ids::StepPath;
use crate::model::runbook::Check;

/// A check with the names that its expressions see.
pub struct PreparedCheck {
    pub check: Check,
    pub action: Option<Arc<dyn Action>>,
    pub scope: Scope,
    pub path: StepPath,
}

/// Why a look did not see it hold.
enum Miss {
    No(Failure),
    Unknown(String),
}

/// What a step's check sees of the step.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen<'a> {
    pub before: Option<&'a Value>,
    pub result: Option<&'a Value>,
}

impl PreparedCheck {
    /// The check as the step `ix` sees it now.
    pub fn new(check: &Check, evaluator: &Evaluator, state: &State, ix: StepIx) -> Self {
        let mut references = expr::references(&check.expect.source);
        let templates = check.with.iter().map(|(_, t)| t).chain(&check.message);
        references.extend(templates.flat_map(expr::template_references));
        Self {
            action: check.uses.as_ref().and_then(|name| evaluator.actions().get(name).cloned()),
            check: check.clone(),
            scope: evaluator.scope(state, ix, &references, None),
            path: state.node(ix).path.clone(),
        }
    }

    /// Looks until it holds, for as long as it must, or its time is over. `seen` is what the step found before it, and
    /// what it put out.
    ///
    /// # Errors
    /// Class `verify` with the author's message, or the last reading's own failure.
    pub async fn run(&self, seen: Seen<'_>, world: &dyn World, clock: &dyn Clock, stop: &Stop) -> Result<(), Failure> {
        let until = clock.now() + self.check.within;
        let mut holds_since = None;
        loop {
            let looked = self.look(seen, world).await.map_err(|miss| self.failure(miss));
            let now = clock.now();
            match looked {
                Ok(()) if now - *holds_since.get_or_insert(now) >= self.check.stable_for => return Ok(()),
                // It is given the time that it needs, however late it began to hold.
                Ok(()) => {}
                // A test of `result` alone cannot turn out otherwise.
                Err(failure) if self.action.is_none() || now >= until => return Err(failure),
                Err(_) => holds_since = None,
            }
            let held = holds_since.map(|since| (since + self.check.stable_for).saturating_sub(now));
            let pause = held.unwrap_or(u64::MAX).min(self.check.every).max(1);
            if stop.sleep(Duration::from_millis(pause)).await {
                return Err(self.failed("it was told to stop before it was seen to hold".into()));
            }
        }
    }

    /// Whether it holds, while planning: `None` where that rests on what is known later.
    ///
    /// # Errors
    /// It does not hold.
    pub async fn foresee(&self, world: &dyn World) -> Result<Option<()>, Failure> {
        match self.look(Seen::default(), world).await {
            Ok(()) => Ok(Some(())),
            Err(Miss::Unknown(_)) => Ok(None),
            Err(miss) => Err(self.failure(miss)),
        }
    }

    async fn look(&self, seen: Seen<'_>, world: &dyn World) -> Result<(), Miss> {
        let mut scope = self.scope.clone();
        for (name, value) in [("before", seen.before), ("result", seen.result)] {
            if let Some(value) = value {
                scope.insert(name, Datum::Known(value.clone()));
            }
        }
        if let Some(action) = &self.action {
            let call = Call { run: None, path: self.path.clone(), attempt: 1, with: self.with(&scope)? };
            let reading = action.read(&call, world).await.map_err(|why| match why {
                Unreadable::Failed(failure) => Miss::No(failure),
                Unreadable::Unknown(why) | Unreadable::Later(why) => Miss::Unknown(why),
            })?;
            scope.insert("result", Datum::Known(reading.outputs));
        }
        match expr::truth(&self.check.expect, &scope) {
            Ok(Some(true)) => Ok(()),
            Ok(None) => Err(Miss::Unknown("what it rests on is unknown".into())),
            Ok(Some(false)) => Err(Miss::No(self.failed(self.message(&scope)))),
            Err(error) => Err(Miss::No(self.failed(error.message))),
        }
    }

    /// A check that cannot tell fails.
    fn failure(&self, miss: Miss) -> Failure {
        match miss {
            Miss::No(failure) => failure,
            Miss::Unknown(why) => self.failed(why),
        }
    }

    fn with(&self, scope: &Scope) -> Result<Value, Miss> {
        let mut with = Map::new();
        for (name, template) in &self.check.with {
            match expr::render(template, scope) {
                Ok(Evaluated::Known(value)) => drop(with.insert(name.clone(), value)),
                Ok(Evaluated::Unknown) => return Err(Miss::Unknown(format!("its parameter {name} is unknown"))),
                Err(error) => return Err(Miss::No(self.failed(error.message))),
            }
        }
        Ok(Value::Object(with))
    }

    fn message(&self, scope: &Scope) -> String {
        let said = self.check.message.as_ref().and_then(|message| expr::render(message, scope).ok()?.known());
        said.map_or_else(|| "it does not hold".to_owned(), |value| super::evaluate::text_of(&value))
    }

    fn failed(&self, cause: String) -> Failure {
        Failure::new(Class::Verify, format!("check {} for {}", self.check.expect.source, self.path), cause)
    }
}
