//! Graphs of 10,000 steps are read, planned and run. Nothing is timed here: what is done is counted, and must grow as
//! the graph does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use runbook::engine::drivers::embedded::{self, Ports};
use runbook::engine::drivers::memory::{MemoryDriver, Puppet};
use runbook::engine::inject::Inject;
use runbook::engine::machine::{Kind, State, StepIx};
use runbook::engine::ports::{Answer, Anything, Approver, Capabilities, Observer, Source};
use runbook::engine::world::LiveWorld;
use runbook::event::{Ending, Event, Fact, Invocation, Item, Question, RunStatus, Verdict};
use runbook::journal::SystemClock;
use runbook::journal::memory::{MemoryJournal, MemoryLocks};
use runbook::model::effect::Effect;
use runbook::model::failure::Failure;
use runbook::model::ids::{ResourceKey, RunId, StepPath};
use runbook::model::plan::Plan;
use serde_json::{Value, json};

#[path = "../../benches/tools/mod.rs"]
#[allow(clippy::disallowed_macros, clippy::disallowed_methods, reason = "shared with the benches")]
mod tools;
use tools::Shape;

const MANY: usize = 10_000;

/// Counts what is read of it.
#[derive(Default)]
struct Counting(AtomicUsize);

#[async_trait]
impl Source for Counting {
    async fn fetch(&self, resource: &ResourceKey) -> Result<Value, Failure> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(json!({"key": resource}))
    }
}

/// The plan, and how many reads it took.
fn planned(shape: Shape, n: usize) -> (Arc<Plan>, usize) {
    let procedure = tools::parse(&tools::text(shape, n));
    let (source, actions) = (Arc::new(Counting::default()), tools::actions());
    let plan = runbook::engine::plan::plan(procedure, tools::inputs(), 0, &actions, source.clone());
    let plan = tools::runtime().block_on(plan).unwrap();
    assert_eq!(plan.failure, None);
    (Arc::new(plan), source.0.load(Ordering::Relaxed))
}

/// Answers everything at once, and counts how often each thing was asked for.
#[derive(Default, Clone)]
struct Idle {
    items: usize,
    asked: BTreeMap<&'static str, usize>,
}

impl Idle {
    fn count(&mut self, what: &'static str) {
        *self.asked.entry(what).or_default() += 1;
    }
}

impl Puppet for Idle {
    fn evaluate(&mut self, state: &State, ix: StepIx) -> Fact {
        self.count("evaluate");
        let path = state.node(ix).path.clone();
        if let Kind::FanOut = state.node(ix).kind {
            let items = (0..self.items).map(|i| Item { key: i.to_string(), value: i.into(), lane: None }).collect();
            return Fact::Expanded { path, items, width: 8, lane_width: 8, borne: 0, waves: vec![], hash: None };
        }
        let invocation = Some(Invocation { uses: "fake.touch".into(), with: Value::Null });
        Fact::Evaluated { path, verdict: Verdict::Run { invocation, effect: Effect::Change, question: None } }
    }

    fn send(&mut self, _: &State, _: StepIx) -> Ending {
        self.count("send");
        Ending::Ok { outputs: Value::Null }
    }

    fn recover(&mut self, _: &State, _: StepIx) -> Ending {
        self.count("recover");
        Ending::Ok { outputs: Value::Null }
    }

    fn ask(&mut self, state: &State, ix: StepIx) -> Fact {
        Fact::Approved { path: state.node(ix).path.clone(), who: "test".into(), word: None, hash: None }
    }
}

#[test]
fn ten_thousand_steps_are_planned_and_run_with_as_many_acts_and_no_more() {
    for shape in [Shape::Chain, Shape::Random, Shape::FanOut(8)] {
        let (plan, reads) = planned(shape, MANY);
        // A fan-out has a step before it.
        let steps = MANY + usize::from(matches!(shape, Shape::FanOut(_)));
        assert_eq!(plan.steps.len(), steps, "{shape:?}: each is planned once");
        assert!(reads <= steps, "{shape:?}: {reads} reads");

        let created = Fact::RunCreated { run: RunId::new("large"), plan, auto_expand: false };
        let mut driver = MemoryDriver::begin(created, Idle { items: MANY, ..Idle::default() }).unwrap();
        let mut moves = 0;
        while !driver.is_idle() {
            driver.advance(moves * 7).unwrap();
            moves += 1;
        }
        assert_eq!(driver.finished, Some(RunStatus::Succeeded), "{shape:?}");
        let asked = &driver.puppet.asked;
        assert_eq!((asked["send"], asked.get("recover")), (steps, None), "{shape:?}: {asked:?}");
        assert!(asked["evaluate"] <= steps + 1, "{shape:?}: {asked:?}");
        // The choice, the intent, the end; and a few for the run.
        assert!(driver.log.len() <= 3 * steps + 10, "{shape:?}: {} facts", driver.log.len());
        assert!(moves <= 5 * steps + 10, "{shape:?}: {moves} moves");
    }
}

struct Nobody;

#[async_trait]
impl Approver for Nobody {
    async fn ask(&self, _: &StepPath, _: &Question) -> Answer {
        Answer::Nobody
    }
}

impl Observer for Nobody {
    fn see(&mut self, _: &Event) {}
}

/// Carries the plan out in the embedded driver: how many commits, and how many reads.
fn driven(plan: Arc<Plan>) -> (u64, usize) {
    let (journal, source) = (MemoryJournal::default(), Arc::new(Counting::default()));
    let ports = Ports {
        requests: tokio::sync::mpsc::unbounded_channel().1,
        actions: tools::actions(),
        world: Arc::new(LiveWorld(source.clone())),
        clients: Capabilities::default(),
        journal: Box::new(journal.clone()),
        locks: Arc::new(MemoryLocks::default()),
        policy: Arc::new(Anything),
        clock: Arc::new(SystemClock),
        approver: Arc::new(Nobody),
        observer: Box::new(Nobody),
        inject: Inject::default(),
        actor: "test".into(),
        host: "here".into(),
        process: 1,
    };
    let (_speaks, signals) = tokio::sync::mpsc::unbounded_channel();
    let end = tools::runtime().block_on(embedded::start(ports, RunId::new("large"), plan, false, signals));
    assert_eq!(end.unwrap().status, RunStatus::Succeeded);
    (journal.commits(), source.0.load(Ordering::Relaxed))
}

#[test]
fn commits_grow_with_a_chain_and_are_shared_in_a_fan_out() {
    let many = MANY as u64;
    let (commits, reads) = driven(planned(Shape::Chain, MANY).0);
    // The intent with the end before it, and the handle. A slow machine may let something lie for its tenth of a second.
    assert!((2 * many..=2 * many + many / 10).contains(&commits), "{commits} commits of a chain");
    assert_eq!(reads, MANY);
    let (commits, _) = driven(planned(Shape::FanOut(100), MANY).0);
    assert!(commits <= many / 2, "{commits} commits of a fan-out, 100 at once");
}
