//! What the benches share: a catalogue of actions that do nothing, plans made by number, figures and tables.
#![allow(dead_code, reason = "each bench is a crate of its own and uses a part")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use runbook::engine::ports::{Action, Actions, Call, Mutate, Probe, Reading, Source, Unreadable, World};
use runbook::event::Intent;
use runbook::model::action_spec::{ActionSpec, Catalogue};
use runbook::model::effect::Effect;
use runbook::model::failure::Failure;
use runbook::model::ids::ResourceKey;
use runbook::model::param::{Param, ValueType};
use runbook::model::plan::{Inputs, Plan};
use runbook::model::runbook::Runbook;
use serde_json::{Value, json};

/// An action that reads one resource and changes nothing, at once.
struct Touch(ActionSpec);

#[async_trait]
impl Action for Touch {
    fn spec(&self) -> &ActionSpec {
        &self.0
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let seen = world.read(&ResourceKey::new(format!("thing/{}", call.path))).await?;
        let before = seen.known("the thing")?;
        Ok(Probe::new(format!("touch {}", call.get("thing")), (*before).clone()))
    }

    /// Leaves a handle behind, as a task's UPID is.
    async fn apply(&self, call: &Call, _: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        mutate.checkpoint(json!({"handle": call.path})).await?;
        Ok(json!({"thing": call.get("thing"), "done": true}))
    }
}

/// A reading that puts out a list, as a placement does.
struct List(ActionSpec);

#[async_trait]
impl Action for List {
    fn spec(&self) -> &ActionSpec {
        &self.0
    }

    async fn read(&self, call: &Call, _: &dyn World) -> Result<Reading, Unreadable> {
        let things: Vec<Value> = (0..call.get("count").as_u64().unwrap_or(0))
            .map(|i| json!({"id": i, "to": "pve3", "mode": "live"}))
            .collect();
        let outputs = json!({"total": things.len(), "things": things});
        Ok(Reading { outputs, summary: "list things".into(), guards: vec![], notes: vec![] })
    }
}

pub fn actions() -> Actions {
    let list: Arc<dyn Action> = Arc::new(List(
        ActionSpec::new("fake.list", Effect::Read, "List things")
            .param(Param::new("count", ValueType::Int).required())
            .output("total", ValueType::Int, "how many")
            .output("things", ValueType::List, "each a map of id, to, mode"),
    ));
    let touch: Arc<dyn Action> = Arc::new(Touch(
        ActionSpec::new("fake.touch", Effect::Change, "Do nothing to a thing")
            .param(Param::new("thing", ValueType::String).required())
            .param(Param::new("after", ValueType::String))
            .output("thing", ValueType::String, "what it was called with")
            .output("done", ValueType::Bool, "always"),
    ));
    Actions::from([("fake.list".into(), list), ("fake.touch".into(), touch)])
}

pub fn catalogue() -> Catalogue {
    actions().into_iter().map(|(name, action)| (name, action.spec().clone())).collect()
}

/// Every resource is there and looks the same.
pub struct Everything;

#[async_trait]
impl Source for Everything {
    async fn fetch(&self, resource: &ResourceKey) -> Result<Value, Failure> {
        Ok(json!({"key": resource, "status": "running"}))
    }
}

/// What a plan is made for: a site without parameters.
pub fn inputs() -> Inputs {
    Inputs {
        site: "lab".into(),
        cluster: None,
        params: BTreeMap::from([("who".into(), json!("ops"))]),
        scope: BTreeMap::new(),
        runbook_digest: String::new(),
        config_digest: String::new(),
    }
}

/// A runbook's text: how its `n` steps hang together.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// Each after the one before, whose output it uses.
    Chain,
    /// One `for_each` over `n` items, so many at once.
    FanOut(usize),
    /// One `for_each` over a list of `n` maps that a step put out; each item uses that step's outputs too.
    Listed(usize),
    /// Layers of ten; each step needs two of the layer before and uses an output of one of them.
    Layers,
    /// Each step needs up to three of all that stand before it, by chance, and uses an output of one of them.
    Random,
}

pub fn text(shape: Shape, n: usize) -> String {
    let mut text =
        "runbook: x\nschema: 1\ntarget: none\nlock: none\nparams:\n  who: {type: string, default: ops}\nsteps:\n"
            .to_owned();
    let mut step = |id: usize, needs: &str, after: &str| {
        text.push_str(&format!("  - id: s{id}\n    uses: fake.touch\n{needs}"));
        text.push_str(&format!("    with: {{thing: \"{{{{ params.who }}}}-{id}\"{after}}}\n"));
    };
    let after = |i: usize| format!(", after: \"{{{{ steps.s{i}.thing }}}}\"");
    match shape {
        Shape::Chain => (0..n).for_each(|i| step(i, "", &if i == 0 { String::new() } else { after(i - 1) })),
        Shape::Layers => (0..n).for_each(|i| {
            if i < 10 {
                step(i, "    needs: []\n", "");
            } else {
                let above = i / 10 * 10 - 10;
                let (a, b) = (above + i % 10, above + (i + 3) % 10);
                step(i, &format!("    needs: [s{a}, s{b}]\n"), &after(a));
            }
        }),
        Shape::Random => {
            let mut dice = Dice(1);
            (0..n).for_each(|i| {
                let needs: BTreeSet<usize> = (0..3.min(i)).map(|_| dice.below(i)).collect();
                let named: Vec<String> = needs.iter().map(|at| format!("s{at}")).collect();
                let used = needs.first().map(|at| after(*at)).unwrap_or_default();
                step(i, &format!("    needs: [{}]\n", named.join(", ")), &used);
            });
        }
        Shape::Listed(width) => text.push_str(&format!(
            "  - id: first\n    uses: fake.list\n    with: {{count: {n}}}\n\
             \x20 - id: all\n    for_each: steps.first.things\n    as: i\n    key: i.id\n    max_parallel: {width}\n\
             \x20   uses: fake.touch\n    with: {{thing: \"{{{{ i.id }}}} of {{{{ steps.first.total }}}}\"}}\n"
        )),
        Shape::FanOut(width) => text.push_str(&format!(
            "  - id: first\n    uses: fake.touch\n    with: {{thing: first}}\n\
             \x20 - id: all\n    for_each: range({n}) | list\n    as: i\n    max_parallel: {width}\n    uses: fake.touch\n\
             \x20   with: {{thing: \"{{{{ params.who }}}}-{{{{ i }}}}\", after: \"{{{{ steps.first.thing }}}}\"}}\n"
        )),
    }
    text
}

/// Numbers that look like chance and are the same in each run (Knuth's linear congruential generator).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % bound as u64) as usize
    }
}

pub fn parse(text: &str) -> Runbook {
    let source = runbook::load::Source::new("x.yaml", text);
    runbook::load::load_runbook(&source, &catalogue(), &runbook::load::NoOthers).unwrap_or_else(|found| {
        panic!("the bench's own runbook: {}", found.diagnostics[0].plain(&source));
    })
}

pub async fn plan(procedure: Runbook) -> Plan {
    let plan = runbook::engine::plan::plan(procedure, inputs(), 0, &actions(), Arc::new(Everything)).await;
    let plan = plan.expect("the bench's own plan");
    assert_eq!(plan.failure, None);
    plan
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// How long `act` takes, and what it gave.
pub fn timed<T>(act: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let given = act();
    (start.elapsed(), given)
}

/// The least processor time of three, on this thread, with the last result: other programs count for little then.
pub fn best<T>(mut act: impl FnMut() -> T) -> (Duration, T) {
    let mut once = || {
        let start = on_processor();
        let given = act();
        (on_processor().saturating_sub(start), given)
    };
    let (mut least, mut last) = once();
    for _ in 0..2 {
        let (time, given) = once();
        (least, last) = (least.min(time), given);
    }
    (least, last)
}

/// The same for what is over too soon for the kernel's steps: the mean of `times` in a row.
pub fn best_of<T>(times: usize, mut act: impl FnMut() -> T) -> (Duration, T) {
    let (time, last) = best(|| {
        for _ in 1..times {
            act();
        }
        act()
    });
    (time / times as u32, last)
}

/// How long this thread has run on a processor.
#[allow(clippy::disallowed_methods, reason = "this is the kernel's file, not one of ours")]
fn on_processor() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let first = text.split_whitespace().next().and_then(|n| n.parse().ok());
    Duration::from_nanos(first.expect("nanoseconds"))
}

/// How much processor time the children that have ended took, in the kernel's steps of 10 ms.
#[allow(clippy::disallowed_methods, reason = "this is the kernel's file, not one of ours")]
pub fn of_children() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    // Behind the program's name, which is in parentheses, cutime and cstime are the 14th and 15th.
    let (_, fields) = text.rsplit_once(')').expect("a name");
    let ticks = fields.split_whitespace().skip(13).take(2).filter_map(|n| n.parse::<u64>().ok()).sum::<u64>();
    Duration::from_millis(10 * ticks)
}

pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

pub fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The value below which `share` of the sorted samples lie.
pub fn quantile(samples: &mut [Duration], share: f64) -> Duration {
    samples.sort();
    samples[((samples.len() - 1) as f64 * share).round() as usize]
}

/// Writes a heading and columns to the terminal.
#[allow(clippy::disallowed_macros, reason = "a bench has no printer")]
pub fn heading(title: &str, columns: &[&str]) {
    println!("\n{title}");
    row("", columns);
}

#[allow(clippy::disallowed_macros, reason = "a bench has no printer")]
pub fn row<S: std::fmt::Display>(name: &str, cells: &[S]) {
    print!("  {name:<44}");
    cells.iter().for_each(|cell| print!(" {:>14}", cell.to_string()));
    println!();
}
