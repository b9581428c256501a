//! A world of switches, one a step: what was accepted, how often, and what each step does when it is tried.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::engine::drivers::memory::Puppet;
use crate::engine::machine::{Awaiting, Kind, Region, State, StepIx};
use crate::event::{Decision, Ending, Fact, Invocation, Item, Outcome, Verdict};
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::ids::{RunId, StepPath};
use crate::model::plan::{Inputs, Plan, Summary};
use crate::model::runbook::{
    Amount, Check, Expr, ForEach, LockScope, OnFailure, Place, Procedure, Retry, Rollback, Runbook, Step, Target, Verb,
};

/// What a step does when it is tried; the first letter of its action's name says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    Works,
    /// Refused before anything is changed.
    Refuses,
    /// Works, but the answer is lost.
    AnswerLost,
    /// The request is lost on its way.
    RequestLost,
    /// Stops half-way.
    Half,
    /// Fails the first time, in a way that may go away.
    Flaky,
}

impl Habit {
    pub const ALL: [Self; 6] =
        [Self::Works, Self::Refuses, Self::AnswerLost, Self::RequestLost, Self::Half, Self::Flaky];

    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    fn of(state: &State, ix: StepIx) -> Self {
        let uses = state.node(ix).invocation.as_ref().map_or("", |i| i.uses.as_str());
        Self::ALL.into_iter().find(|habit| habit.name() == uses).unwrap_or(Self::Works)
    }
}

/// The switches.
#[derive(Debug, Clone, Default)]
pub struct Switches {
    /// On: done; half: partly.
    pub on: BTreeMap<StepPath, bool>,
    pub half: BTreeMap<StepPath, bool>,
    /// How many requests the world took for each step since it was last undone.
    pub taken: BTreeMap<StepPath, u32>,
    pub tried: BTreeMap<StepPath, u32>,
    /// What a person decides about a step, the first time, the second time and so on; then to stop.
    pub decisions: Vec<Decision>,
    pub asked: BTreeMap<StepPath, usize>,
    /// What broke a rule of the language, found while it ran.
    pub broken: Vec<String>,
}

impl Switches {
    fn target(state: &State, ix: StepIx) -> (StepPath, bool) {
        match state.node(ix).kind {
            Kind::Undo(of) => (state.node(of).path.clone(), false),
            _ => (state.node(ix).path.clone(), true),
        }
    }

    fn take(&mut self, path: &StepPath, on: bool) {
        if on {
            let taken = self.taken.entry(path.clone()).or_default();
            *taken += 1;
            if *taken > 1 {
                self.broken.push(format!("{path} was sent again after it was accepted"));
            }
        } else {
            self.taken.remove(path);
        }
        self.on.insert(path.clone(), on);
        self.half.remove(path);
    }

    fn check_order(&mut self, state: &State, ix: StepIx) {
        let node = state.node(ix);
        let main = node.region == Region::Main;
        let Some(step) = node.step().filter(|_| main && !node.is_item) else { return };
        for need in &step.needs {
            let Some(before) = state.sibling(ix, need) else { continue };
            let before = state.node(before);
            let optional = before.step().is_some_and(|s| s.optional);
            if !(before.outcome.satisfies() || optional && matches!(before.outcome, Outcome::Failed(_))) {
                self.broken.push(format!("{} ran though {} was {:?}", node.path, before.path, before.outcome));
            }
        }
    }

    fn check_width(&mut self, state: &State, ix: StepIx) {
        let Some(fan) = state.node(ix).parent.filter(|p| matches!(state.node(*p).kind, Kind::FanOut)) else { return };
        let running: Vec<&str> = state
            .node(fan)
            .children()
            .iter()
            .map(|c| state.node(*c))
            .filter(|n| matches!(n.outcome, Outcome::Running))
            .map(|n| n.lane.as_str())
            .collect();
        let lane = state.node(ix).lane.as_str();
        if running.len() > 2 || running.iter().filter(|l| **l == lane).count() > 1 {
            self.broken.push(format!("{}: too many at once: {running:?}", state.node(ix).path));
        }
    }
}

impl Puppet for Switches {
    fn evaluate(&mut self, state: &State, ix: StepIx) -> Fact {
        let node = state.node(ix);
        let path = node.path.clone();
        if let Kind::FanOut = node.kind {
            let items = ["a", "b", "c", "d"].map(|key| Item {
                key: key.into(),
                value: key.into(),
                lane: Some(if key < "c" { "x".into() } else { "y".into() }),
            });
            let fan = node.step().and_then(|s| s.for_each.as_ref());
            let borne = fan.map_or(0, |f| f.max_failures.of(4));
            let waves = fan.map_or(vec![], |f| f.batches.iter().map(|a| a.of(4).max(1)).collect());
            return Fact::Expanded { path, items: items.into(), width: 2, lane_width: 1, borne, waves, hash: None };
        }
        let uses = match node.step().map(|s| &s.verb) {
            Some(Verb::Uses { action, .. } | Verb::Call { procedure: action, .. }) => action.clone(),
            _ => "works".into(),
        };
        let invocation = Some(Invocation { uses, with: Value::Null });
        Fact::Evaluated { path, verdict: Verdict::Run { invocation, effect: Effect::Change, question: None } }
    }

    fn send(&mut self, state: &State, ix: StepIx) -> Ending {
        if let Kind::Check(check) = &state.node(ix).kind {
            return match check.expect.source.as_str() {
                "false" => Ending::Failed { failure: Failure::new(Class::Verify, "check", "it does not hold") },
                _ => Ending::Ok { outputs: Value::Null },
            };
        }
        self.check_order(state, ix);
        self.check_width(state, ix);
        let (path, on) = Self::target(state, ix);
        let tried = self.tried.entry(path.clone()).or_default();
        *tried += 1;
        let first = *tried == 1;
        let failed = |class, done| Ending::Failed { failure: Failure::new(class, path.as_str(), "no").done(done) };
        match Habit::of(state, ix) {
            Habit::Refuses if on => failed(Class::Refused, Done::None),
            Habit::Flaky if on && first => failed(Class::Transient, Done::None),
            Habit::RequestLost if on => failed(Class::Timeout, Done::Unknown),
            Habit::AnswerLost => {
                self.take(&path, on);
                failed(Class::Timeout, Done::Unknown)
            }
            Habit::Half if on => {
                self.take(&path, on);
                self.half.insert(path.clone(), true);
                failed(Class::Failed, Done::Partial)
            }
            _ => {
                self.take(&path, on);
                Ending::Ok { outputs: Value::Null }
            }
        }
    }

    fn recover(&mut self, state: &State, ix: StepIx) -> Ending {
        let (path, on) = Self::target(state, ix);
        let is_on = self.on.get(&path).copied().unwrap_or(false);
        if self.half.contains_key(&path) && on {
            return Ending::Failed { failure: Failure::new(Class::Failed, path.as_str(), "half").done(Done::Partial) };
        }
        if is_on == on { Ending::Ok { outputs: Value::Null } } else { Ending::NotApplied }
    }

    fn ask(&mut self, state: &State, ix: StepIx) -> Fact {
        let node = state.node(ix);
        let path = node.path.clone();
        if node.awaiting != Awaiting::Decision {
            return Fact::Approved { path, who: "test".into(), word: None, hash: None };
        }
        let options = &node.question.as_ref().unwrap().options;
        let asked = self.asked.entry(path.clone()).or_default();
        let decision = *self.decisions.get(*asked).unwrap_or(&Decision::Stop);
        *asked += 1;
        let decision = if options.contains(&decision) { decision } else { Decision::Stop };
        match decision {
            // A person who tries again has looked at what is there, and one who does it by hand does it.
            Decision::Retry => drop(self.taken.remove(&path)),
            Decision::Done if !node.kind.is_scope() => drop(self.on.insert(path.clone(), true)),
            _ => {}
        }
        Fact::Decided { path, attempt: node.attempt, who: "test".into(), decision }
    }
}

/// A step that uses the action named like a habit.
pub fn action(id: &str, uses: &str, needs: &[&str]) -> Step {
    step(id, Verb::Uses { action: uses.into(), with: vec![] }, needs)
}

pub fn step(id: &str, verb: Verb, needs: &[&str]) -> Step {
    Step {
        id: id.into(),
        named: true,
        place: Place::default(),
        verb,
        needs: needs.iter().map(|n| (*n).to_owned()).collect(),
        when: None,
        skip_if: None,
        for_each: None,
        optional: false,
        gate: vec![],
        timeout: None,
        deadline: None,
        retry: None,
        verify: vec![],
        rollback: Rollback::Auto,
        on_failure: None,
        effect: None,
        outputs: vec![],
    }
}

pub fn for_each(borne: u32) -> ForEach {
    ForEach {
        list: Expr { source: "[]".into(), place: Place::default() },
        binding: "item".into(),
        key: None,
        max_parallel: None,
        batches: vec![],
        limit: None,
        max_failures: Amount::Count(borne),
    }
}

pub fn retry(attempts: u32) -> Retry {
    Retry { attempts, backoff: 10, factor: 2.0, max: 1_000, errors: vec![Class::Transient, Class::Timeout] }
}

/// A check that holds, or does not.
pub fn check(holds: bool) -> Check {
    Check {
        uses: None,
        with: vec![],
        expect: Expr { source: holds.to_string(), place: Place::default() },
        every: 1,
        within: 0,
        stable_for: 0,
        message: None,
        place: Place::default(),
    }
}

pub fn call(id: &str, procedure: &str, needs: &[&str]) -> Step {
    step(id, Verb::Call { procedure: procedure.into(), with: vec![] }, needs)
}

pub fn procedure(require: Vec<Check>, steps: Vec<Step>, finally: Vec<Step>) -> Procedure {
    Procedure {
        title: None,
        params: vec![],
        vars: vec![],
        deadline: None,
        on_failure: None,
        require,
        steps,
        finally,
        outputs: vec![],
        digest: None,
    }
}

/// [`created`] with procedures that steps call.
pub fn created_with(
    procedures: &[(&str, Procedure)],
    steps: Vec<Step>,
    finally: Vec<Step>,
    on_failure: OnFailure,
) -> Fact {
    let Fact::RunCreated { run, plan, auto_expand } = created(steps, finally, on_failure) else { unreachable!() };
    let mut plan = (*plan).clone();
    Arc::make_mut(&mut plan.procedure).procedures =
        procedures.iter().map(|(name, p)| ((*name).to_owned(), p.clone())).collect();
    Fact::RunCreated { run, plan: Arc::new(plan), auto_expand }
}

/// The first fact of a run of these steps.
pub fn created(steps: Vec<Step>, finally: Vec<Step>, on_failure: OnFailure) -> Fact {
    let procedure = Runbook {
        name: "test".into(),
        title: None,
        description: None,
        aliases: vec![],
        target: Target::None,
        params: vec![],
        vars: vec![],
        lock: LockScope::Site,
        deadline: None,
        on_failure,
        require: vec![],
        steps,
        finally,
        outputs: vec![],
        procedures: BTreeMap::new(),
    };
    let inputs = Inputs {
        site: "lab".into(),
        cluster: None,
        params: BTreeMap::new(),
        scope: BTreeMap::new(),
        runbook_digest: String::new(),
        config_digest: String::new(),
    };
    let plan = Plan {
        format_version: "1.1".into(),
        runbook: "test".into(),
        hash: String::new(),
        created: 0,
        summary: Summary::default(),
        steps: vec![],
        guards: vec![],
        expanded: Default::default(),
        warnings: vec![],
        failure: None,
        inputs,
        procedure: Arc::new(procedure),
    };
    Fact::RunCreated { run: RunId::new("r1"), plan: Arc::new(plan), auto_expand: false }
}
