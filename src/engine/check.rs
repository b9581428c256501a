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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use serde_json::json;

    use super::super::ports::{Observed, Reading};
    use super::*;
    use crate::model::action_spec::ActionSpec;
    use crate::model::effect::Effect;
    use crate::model::ids::ResourceKey;
    use crate::model::runbook::{Expr, Place};

    /// Something that is well from each of these seconds on and unwell from the next.
    struct Wavers {
        spec: ActionSpec,
        turns: Vec<u64>,
        began: tokio::time::Instant,
        looks: Mutex<Vec<u64>>,
    }

    #[async_trait]
    impl Action for Wavers {
        fn spec(&self) -> &ActionSpec {
            &self.spec
        }

        async fn read(&self, _: &Call, _: &dyn World) -> Result<Reading, Unreadable> {
            let now = self.began.elapsed().as_secs();
            self.looks.lock().unwrap().push(now);
            let turns = self.turns.iter().filter(|turn| **turn <= now).count();
            let outputs = json!({"well": turns % 2 == 1});
            Ok(Reading { outputs, summary: "looked".into(), guards: vec![], notes: vec![] })
        }
    }

    struct Nowhere;

    #[async_trait]
    impl World for Nowhere {
        async fn read(&self, _: &ResourceKey) -> Result<Observed, Failure> {
            Ok(Observed::Known(Arc::new(Value::Null)))
        }
    }

    struct Watch(tokio::time::Instant);

    impl Clock for Watch {
        fn now(&self) -> u64 {
            u64::try_from(self.0.elapsed().as_millis()).unwrap()
        }
    }

    /// How the check ends and after how many seconds: it looks every 2 s, and must see it well for 10 s within 30 s.
    async fn looked(turns: &[u64]) -> (Result<(), Failure>, u64, Vec<u64>) {
        let began = tokio::time::Instant::now();
        let spec = ActionSpec::new("x.look", Effect::Read, "Looks");
        let wavers = Arc::new(Wavers { spec, turns: turns.to_vec(), began, looks: Mutex::default() });
        let check = Check {
            uses: Some("x.look".into()),
            with: vec![],
            expect: Expr { source: "result.well".into(), place: Place::default() },
            every: 2_000,
            within: 30_000,
            stable_for: 10_000,
            message: None,
            place: Place::default(),
        };
        let action: Arc<dyn Action> = wavers.clone();
        let check = PreparedCheck { check, action: Some(action), scope: Scope::default(), path: "a".into() };
        let ended = check.run(Seen::default(), &Nowhere, &Watch(began), &Stop::default()).await;
        let looks = wavers.looks.lock().unwrap().clone();
        (ended, began.elapsed().as_secs(), looks)
    }

    #[tokio::test(start_paused = true)]
    async fn what_must_hold_without_a_break_begins_anew_after_each_break() {
        // Well from 4 s, a break from 9 s to 13 s, and well for good: the first stretch does not count.
        let (ended, took, looks) = looked(&[4, 9, 13]).await;
        assert_eq!(ended, Ok(()));
        assert_eq!((took, looks.last().copied()), (24, Some(24)), "well from the look at 14 s on: {looks:?}");
        let (ended, took, _) = looked(&[0]).await;
        assert_eq!((ended, took), (Ok(()), 10));
    }

    #[tokio::test(start_paused = true)]
    async fn what_holds_late_is_given_its_time_and_what_breaks_then_fails() {
        let (ended, took, _) = looked(&[29]).await;
        assert_eq!((ended, took), (Ok(()), 40), "it began to hold in time");
        let (ended, took, _) = looked(&[29, 35]).await;
        assert_eq!((ended.unwrap_err().class, took), (Class::Verify, 36), "there is no time for another stretch");
    }
}
