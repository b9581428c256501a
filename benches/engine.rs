//! The engine's bounds: the machine's time and memory a step, the embedded driver's commits a step, recovery.
//!
//! `cargo bench --bench engine -- memory driver` measures these two alone.

#[path = "tools/heap.rs"]
mod heap;
mod tools;

use std::sync::Arc;

use async_trait::async_trait;
use runbook::engine::drivers::embedded::{self, Ports};
use runbook::engine::drivers::memory::{MemoryDriver, Puppet};
use runbook::engine::inject::Inject;
use runbook::engine::machine::{Kind, State, StepIx};
use runbook::engine::ports::{Answer, Approver, Capabilities, Journal, JournalError, Observer};
use runbook::engine::world::LiveWorld;
use runbook::event::{Ending, Event, Fact, Invocation, Item, Question, RunStatus, Verdict};
use runbook::journal::SystemClock;
use runbook::journal::memory::{MemoryJournal, MemoryLocks};
use runbook::journal::{NewRun, RunWriter, Store};
use runbook::model::effect::{Done, Effect};
use runbook::model::failure::{Class, Failure};
use runbook::model::ids::{RunId, StepPath};
use runbook::model::plan::Plan;
use runbook::model::runbook::{Amount, OnFailure, Runbook};
use serde_json::Value;
use tools::{Shape, best, best_of, heading, ms, row, timed, us};

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

fn main() {
    let parts: [(&str, fn()); 6] = [
        ("machine", the_machine),
        ("way", the_way_there),
        ("trouble", trouble),
        ("memory", memory),
        ("driver", the_driver),
        ("recovery", recovery),
    ];
    // cargo itself says `--bench`.
    let asked: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    for (_, measure) in parts.into_iter().filter(|(name, _)| asked.is_empty() || asked.iter().any(|a| a == name)) {
        measure();
    }
}

/// Which steps do not work.
type Fails = fn(&StepPath) -> bool;

/// Does nothing at once; whether each step works is up to `fails`.
#[derive(Clone)]
struct Idle {
    items: usize,
    width: usize,
    fails: Fails,
}

impl Puppet for Idle {
    fn evaluate(&mut self, state: &State, ix: StepIx) -> Fact {
        let node = state.node(ix);
        let path = node.path.clone();
        if let Kind::FanOut = node.kind {
            let item =
                |i: usize| Item { key: i.to_string(), value: i.into(), lane: Some((i % self.width).to_string()) };
            let borne = node.step().and_then(|s| s.for_each.as_ref()).map_or(0, |f| f.max_failures.of(self.items));
            let items = (0..self.items).map(item).collect();
            return Fact::Expanded {
                path,
                items,
                width: self.width,
                lane_width: self.width,
                borne,
                waves: vec![],
                hash: None,
            };
        }
        let invocation = Some(Invocation { uses: "fake.touch".into(), with: Value::Null });
        Fact::Evaluated { path, verdict: Verdict::Run { invocation, effect: Effect::Change, question: None } }
    }

    fn send(&mut self, state: &State, ix: StepIx) -> Ending {
        let node = state.node(ix);
        if (self.fails)(&node.path) && !matches!(node.kind, Kind::Undo(_)) {
            return Ending::Failed { failure: Failure::new(Class::Failed, "touch", "no").done(Done::None) };
        }
        Ending::Ok { outputs: Value::Null }
    }

    fn recover(&mut self, _: &State, _: StepIx) -> Ending {
        Ending::Ok { outputs: Value::Null }
    }

    fn ask(&mut self, state: &State, ix: StepIx) -> Fact {
        Fact::Approved { path: state.node(ix).path.clone(), who: "bench".into(), word: None, hash: None }
    }
}

fn never(_: &StepPath) -> bool {
    false
}

/// A run from its first fact to its last in the in-memory driver.
fn run(plan: &Arc<Plan>, puppet: Idle) -> MemoryDriver<Idle> {
    let created = Fact::RunCreated { run: RunId::new("bench"), plan: plan.clone(), auto_expand: false };
    let mut driver = MemoryDriver::begin(created, puppet).expect("a first fact");
    while !driver.is_idle() {
        driver.advance(0).expect("a fact that follows");
    }
    driver
}

fn planned(procedure: Runbook) -> Arc<Plan> {
    Arc::new(tools::runtime().block_on(tools::plan(procedure)))
}

fn idle(shape: Shape, n: usize) -> Idle {
    let width = if let Shape::FanOut(width) = shape { width } else { 1 };
    Idle { items: n, width, fails: never }
}

const SIZES: [usize; 3] = [1_000, 5_000, 10_000];
const SHAPES: [(&str, Shape); 5] = [
    ("chain", Shape::Chain),
    ("layers of ten", Shape::Layers),
    ("fan-out, 8 at once", Shape::FanOut(8)),
    ("fan-out, all at once", Shape::FanOut(usize::MAX)),
    ("random, up to three needs each", Shape::Random),
];

/// How often a run of so many steps is repeated, so that the kernel's steps of time count for little.
fn times(n: usize) -> usize {
    50_000 / n
}

/// What ten times the steps cost: 10 is linear, 100 quadratic. The bound is 12.
fn growth(cells: &[f64; 3]) -> [String; 4] {
    let [few, middle, many] = cells.map(|us| format!("{us:.2}"));
    [few, middle, many, format!("{:.1}", 10.0 * cells[2] / cells[0])]
}

fn shape_of(shape: Shape, n: usize) -> Shape {
    if let Shape::FanOut(width) = shape { Shape::FanOut(width.min(n)) } else { shape }
}

fn the_machine() {
    heading("machine: µs a step (bound 100)", &["1,000", "5,000", "10,000", "ten times cost"]);
    for (name, shape) in SHAPES {
        let cells = SIZES.map(|n| {
            let shape = shape_of(shape, n);
            let plan = planned(tools::parse(&tools::text(shape, n)));
            let (time, driver) = best_of(times(n), || run(&plan, idle(shape, n)));
            assert_eq!(driver.finished, Some(RunStatus::Succeeded));
            us(time) / n as f64
        });
        row(name, &growth(&cells));
    }
    let cells = SIZES.map(|n| {
        let plan = planned(tools::parse(&tools::text(Shape::Chain, n)));
        let log = run(&plan, idle(Shape::Chain, n)).log;
        let (time, state) = best_of(times(n), || State::replay(log.iter().map(|(at, fact)| (*at, fact))));
        state.expect("a log that folds");
        us(time) / n as f64
    });
    row("chain, folded again from its log", &growth(&cells));
}

/// From text to a run: what stands before the machine must not grow faster than the graph either.
fn the_way_there() {
    heading("reading and planning: µs a step", &["1,000", "5,000", "10,000", "ten times cost"]);
    for (name, shape) in [SHAPES[0], SHAPES[1], SHAPES[2], SHAPES[4]] {
        let texts = SIZES.map(|n| tools::text(shape, n));
        let read = [0, 1, 2].map(|i| {
            let (time, _) = best_of(times(SIZES[i]).div_ceil(10), || tools::parse(&texts[i]));
            us(time) / SIZES[i] as f64
        });
        row(&format!("{name}: read"), &growth(&read));
        let planned = [0, 1, 2].map(|i| {
            let procedure = tools::parse(&texts[i]);
            let (time, _) = best_of(times(SIZES[i]).div_ceil(10), || planned(procedure.clone()));
            us(time) / SIZES[i] as f64
        });
        row(&format!("{name}: planned"), &growth(&planned));
    }
}

/// Runs that do not go well: what a failure costs.
fn trouble() {
    heading("machine in trouble: µs a step (bound 100)", &["1,000", "5,000", "10,000"]);
    let cases: [(&str, Shape, OnFailure, Fails); 5] = [
        ("chain, the last fails, all rolled back", Shape::Chain, OnFailure::Rollback, |p| {
            p.as_str() == "s999" || p.as_str() == "s4999" || p.as_str() == "s9999"
        }),
        ("layers, every 7th fails, the rest goes on", Shape::Layers, OnFailure::Continue, |p| {
            p.as_str().ends_with("77")
        }),
        ("chain, the first fails", Shape::Chain, OnFailure::Continue, |p| p.as_str() == "s0"),
        ("fan-out all at once, every item fails, stop", Shape::FanOut(usize::MAX), OnFailure::Stop, |p| {
            p.as_str().starts_with("all[")
        }),
        ("fan-out all at once, every item fails, borne", Shape::FanOut(usize::MAX), OnFailure::Continue, |p| {
            p.as_str().starts_with("all[")
        }),
    ];
    for (name, shape, policy, fails) in cases {
        let cells = SIZES.map(|n| {
            let shape = shape_of(shape, n);
            let mut plan = (*planned(tools::parse(&tools::text(shape, n)))).clone();
            Arc::make_mut(&mut plan.procedure).on_failure = policy;
            let fan_out = Arc::make_mut(&mut plan.procedure).steps.iter_mut().find_map(|step| step.for_each.as_mut());
            if let (Some(fan_out), OnFailure::Continue) = (fan_out, policy) {
                fan_out.max_failures = Amount::Percent(100);
            }
            let plan = Arc::new(plan);
            let (time, driver) = best(|| run(&plan, Idle { fails, ..idle(shape, n) }));
            assert!(driver.finished.is_some_and(|status| status != RunStatus::Succeeded));
            format!("{:.2}", us(time) / n as f64)
        });
        row(name, &cells);
    }
}

fn memory() {
    heading("memory: KiB a step (bound 10)", &["1,000", "5,000", "10,000", "each further"]);
    for (name, shape) in [SHAPES[0], SHAPES[1], SHAPES[2], SHAPES[4]] {
        let mut cells = [const { Vec::new() }; 3];
        for n in SIZES {
            let made = planned(tools::parse(&tools::text(shape, n)));
            let kib = |bytes: usize| bytes as f64 / 1024.0 / n as f64;
            // A copy, so that what parsing and planning keep for themselves is not counted.
            let before = heap::live();
            let plan = Arc::new((*made).clone());
            cells[0].push(kib(heap::live() - before));
            let mut driver = run(&plan, idle(shape, n));
            let all = heap::live() - before;
            driver.log = Vec::new();
            cells[1].push(kib(heap::live() - before));
            cells[2].push(kib(all));
        }
        for (what, cells) in ["the plan", "plan and state at the end", "with the log of all facts"].iter().zip(&cells) {
            // The slope between the least and the most: the same as the figures before it where memory is linear.
            let (few, many) = (SIZES[0] as f64, SIZES[2] as f64);
            let slope = (cells[2] * many - cells[0] * few) / (many - few);
            let figures: Vec<String> = cells.iter().chain([&slope]).map(|kib| format!("{kib:.2}")).collect();
            row(&format!("{name}: {what}"), &figures);
        }
    }
}

struct Nobody;

#[async_trait]
impl Approver for Nobody {
    async fn ask(&self, _: &StepPath, _: &Question) -> Answer {
        Answer::Declined { who: "bench".into(), why: "there are no questions in a bench".into() }
    }
}

impl Observer for Nobody {
    fn see(&mut self, _: &Event) {}
}

/// A run's writer, kept so that its commits can be counted when the run is over.
struct Shared(Arc<std::sync::Mutex<RunWriter>>);

impl Journal for Shared {
    fn append(&mut self, events: &[Event]) -> Result<(), JournalError> {
        self.0.lock().expect("one thread").append(events)
    }
}

/// Carries a plan out in the embedded driver.
fn drive(plan: &Arc<Plan>, journal: Box<dyn Journal>) {
    let ports = Ports {
        requests: tokio::sync::mpsc::unbounded_channel().1,
        policy: Arc::new(runbook::engine::ports::Anything),
        actions: tools::actions(),
        world: Arc::new(LiveWorld(Arc::new(tools::Everything))),
        clients: Capabilities::default(),
        journal,
        locks: Arc::new(MemoryLocks::default()),
        clock: Arc::new(SystemClock),
        approver: Arc::new(Nobody),
        observer: Box::new(Nobody),
        inject: Inject::default(),
        actor: "bench".into(),
        host: "here".into(),
        process: 1,
    };
    let (_speaks, signals) = tokio::sync::mpsc::unbounded_channel();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let end = runtime.block_on(embedded::start(ports, RunId::new("bench"), plan.clone(), false, signals));
    assert_eq!(end.expect("a run").status, RunStatus::Succeeded);
}

fn new_run(store: &Store) -> RunWriter {
    let run = NewRun {
        id: RunId::new("bench"),
        runbook: "x".into(),
        site: "lab".into(),
        cluster: None,
        created: 0,
        plan_hash: String::new(),
        actor: "bench".into(),
    };
    store.create_run(&run).expect("a new run")
}

/// Below `target`, which is on a disk; the system's folder for temporary files may be in memory, where fsync is free.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder")
}

fn the_driver() {
    heading("embedded driver, journal in memory", &["µs a step", "commits a step", "peak KiB a step"]);
    for (name, shape) in [
        SHAPES[0],
        SHAPES[2],
        SHAPES[4],
        ("fan-out, 100 at once", Shape::FanOut(100)),
        ("fan-out of a step's list, 8 at once", Shape::Listed(8)),
    ] {
        let n = 10_000;
        let plan = planned(tools::parse(&tools::text(shape, n)));
        let before = heap::live();
        heap::peak();
        let journal = MemoryJournal::default();
        let (time, ()) = timed(|| drive(&plan, Box::new(journal.clone())));
        let peak = heap::peak() - before;
        let figures = [us(time) / n as f64, journal.commits() as f64 / n as f64, peak as f64 / 1024.0 / n as f64];
        row(&format!("{name}, 10,000"), &figures.map(|f| format!("{f:.2}")));
    }
    heading("embedded driver, journal in SQLite", &["ms a step", "fsyncs a step", "ms a commit", "peak KiB a step"]);
    let cases = [("chain", Shape::Chain, 500), ("layers of ten", Shape::Layers, 1_000)];
    let fans = [8, 100].map(|width| ("fan-out", Shape::FanOut(width), 2_000));
    for (name, shape, n) in cases.into_iter().chain(fans).chain([("fan-out", Shape::FanOut(100), 10_000)]) {
        let plan = planned(tools::parse(&tools::text(shape, n)));
        let folder = folder();
        let store = Store::open(folder.path()).expect("a store");
        let writer = Arc::new(std::sync::Mutex::new(new_run(&store)));
        let before = heap::live();
        heap::peak();
        let (time, ()) = timed(|| drive(&plan, Box::new(Shared(writer.clone()))));
        let peak = heap::peak() - before;
        let commits = writer.lock().expect("one thread").commits() as f64;
        let figures = [ms(time) / n as f64, commits / n as f64, ms(time) / commits, peak as f64 / 1024.0 / n as f64];
        let width = if let Shape::FanOut(width) = shape { format!(", {width} at once") } else { String::new() };
        row(&format!("{name}{width}, {n}"), &figures.map(|f| format!("{f:.3}")));
    }
}

fn recovery() {
    heading("recovery of a run from SQLite", &["facts", "read, proved ms", "folded ms"]);
    for n in [1_000, 3_334, 10_000] {
        let shape = Shape::FanOut(100);
        let plan = planned(tools::parse(&tools::text(shape, n)));
        let folder = folder();
        let store = Store::open(folder.path()).expect("a store");
        drive(&plan, Box::new(new_run(&store)));
        let (read, (events, writer)) = timed(|| store.take_over(&RunId::new("bench")).expect("a history"));
        drop(writer);
        let (folded, state) = timed(|| State::replay(events.iter().filter_map(|e| Some((e.at, e.fact()?)))));
        assert_eq!(state.expect("a log that folds").status(), RunStatus::Succeeded);
        let facts = events.iter().filter(|e| e.fact().is_some()).count();
        row(&format!("{n} steps"), &[facts.to_string(), format!("{:.1}", ms(read)), format!("{:.1}", ms(folded))]);
    }
}
