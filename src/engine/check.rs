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

    /// Looks until it holds or its time is over. `seen` is what the step found before it, and what it put out.
    ///
    /// # Errors
    /// Class `verify` with the author's message, or the last reading's own failure.
    pub async fn run(&self, seen: Seen<'_>, world: &dyn World, clock: &dyn Clock, stop: &Stop) -> Result<(), Failure> {
        let until = clock.now() + self.check.within;
        loop {
            let looked = self.look(seen, world).await;
            let Err(failure) = looked else { return Ok(()) };
            // A test of `result` alone cannot turn out otherwise.
            if self.action.is_none() || clock.now() >= until {
                return Err(failure);
            }
            if stop.sleep(Duration::from_millis(self.check.every.max(1))).await {
                return Err(failure);
            }
        }
    }

    async fn look(&self, seen: Seen<'_>, world: &dyn World) -> Result<(), Failure> {
        let mut scope = self.scope.clone();
        for (name, value) in [("before", seen.before), ("result", seen.result)] {
            if let Some(value) = value {
                scope.insert(name, Datum::Known(value.clone()));
            }
        }
        if let Some(action) = &self.action {
            let call = Call { run: None, path: self.path.clone(), attempt: 1, with: self.with(&scope)? };
            let reading = action.read(&call, world).await.map_err(|why| match why {
                Unreadable::Failed(failure) => failure,
                Unreadable::Unknown(why) => self.failed(why),
            })?;
            scope.insert("result", Datum::Known(reading.outputs));
        }
        match expr::truth(&self.check.expect, &scope) {
            Ok(Some(true)) => Ok(()),
            // A check that cannot tell fails.
            Ok(None) => Err(self.failed("what it rests on is unknown".into())),
            Ok(Some(false)) => Err(self.failed(self.message(&scope))),
            Err(error) => Err(self.failed(error.message)),
        }
    }

    fn with(&self, scope: &Scope) -> Result<Value, Failure> {
        let mut with = Map::new();
        for (name, template) in &self.check.with {
            match expr::render(template, scope) {
                Ok(Evaluated::Known(value)) => drop(with.insert(name.clone(), value)),
                Ok(Evaluated::Unknown) => {}
                Err(error) => return Err(self.failed(error.message)),
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
