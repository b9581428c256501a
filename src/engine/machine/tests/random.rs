//! Properties over random graphs × habits × orders × repeats × crashes.

use proptest::prelude::*;

use super::puppet::{Habit, Switches, action, call, check, created_with, for_each, procedure, retry, step};
use crate::engine::drivers::memory::MemoryDriver;
use crate::engine::machine::{Kind, Region};
use crate::event::{Decision, Fact, Outcome, RunStatus, Signal, UndoStatus};
use crate::model::runbook::{Amount, OnFailure, Procedure, Step, Verb};

fn habit() -> impl Strategy<Value = Habit> {
    prop_oneof![6 => Just(Habit::Works), 1 => proptest::sample::select(Habit::ALL.to_vec())]
}

fn on_failure() -> impl Strategy<Value = Option<OnFailure>> {
    prop_oneof![
        4 => Just(None),
        1 => Just(Some(OnFailure::Continue)),
        1 => Just(Some(OnFailure::Rollback)),
        1 => Just(Some(OnFailure::Stop)),
        1 => Just(Some(OnFailure::Ask)),
    ]
}

/// Calls of these are among the steps: what they come to is drawn with them.
const PROCEDURES: [&str; 3] = ["local.plain", "local.careful", "local.nested"];

fn procedures() -> impl Strategy<Value = Vec<(&'static str, Procedure)>> {
    (steps(0), steps(0), habit(), on_failure(), proptest::bool::weighted(0.8)).prop_map(
        |(plain, careful, tidy, policy, holds)| {
            let tidy = vec![action("tidy", &tidy.name(), &[])];
            let mut careful = procedure(vec![check(true), check(holds)], careful, tidy.clone());
            careful.on_failure = policy;
            let inner = vec![action("first", "works", &[]), call("inner", PROCEDURES[1], &["first"])];
            let nested = procedure(vec![], inner, tidy);
            vec![(PROCEDURES[0], procedure(vec![], plain, vec![])), (PROCEDURES[1], careful), (PROCEDURES[2], nested)]
        },
    )
}

fn decisions() -> impl Strategy<Value = Vec<Decision>> {
    proptest::collection::vec(proptest::sample::select(Decision::ALL.to_vec()), 0..3)
}

fn begin(created: Fact, decisions: Vec<Decision>) -> MemoryDriver<Switches> {
    MemoryDriver::begin(created, Switches { decisions, ..Switches::default() }).unwrap()
}

/// The shape of one step, before it has its id and its needs.
fn shape(depth: u32) -> BoxedStrategy<Step> {
    let modifiers =
        (any::<bool>(), proptest::bool::weighted(0.15), proptest::bool::weighted(0.25), 0u32..3, on_failure());
    let leaf = (habit(), modifiers).prop_map(|(habit, (with_retry, optional, fan, borne, policy))| {
        let mut step = action("s", &habit.name(), &[]);
        step.retry = with_retry.then(|| retry(2));
        step.optional = optional;
        step.for_each = fan.then(|| for_each(borne));
        step.on_failure = policy;
        step.deadline = (borne == 1).then_some(50);
        if fan && with_retry {
            step.for_each.as_mut().unwrap().batches = vec![Amount::Count(1), Amount::Percent(50)];
            step.gate = vec![check(true), check(borne != 2)];
        }
        step
    });
    if depth == 0 {
        return leaf.boxed();
    }
    let group = (steps(depth - 1), on_failure(), proptest::bool::weighted(0.2)).prop_map(|(children, policy, fan)| {
        let mut group = step("s", Verb::Steps(children), &[]);
        group.on_failure = policy;
        group.for_each = fan.then(|| for_each(1));
        group
    });
    let call = (0..PROCEDURES.len(), on_failure(), any::<bool>()).prop_map(|(which, policy, limited)| {
        let mut step = call("s", PROCEDURES[which], &[]);
        step.on_failure = policy;
        step.deadline = limited.then_some(50);
        step
    });
    prop_oneof![6 => leaf, 1 => group, 1 => call].boxed()
}

/// A list of steps with random needs among earlier ones.
fn steps(depth: u32) -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec((shape(depth), any::<u8>()), 1..5).prop_map(|shapes| {
        let mut steps: Vec<Step> = Vec::new();
        for (i, (mut step, needs)) in shapes.into_iter().enumerate() {
            step.id = format!("s{i}");
            step.needs = (0..i).filter(|n| needs & (1 << n) != 0).map(|n| format!("s{n}")).collect();
            steps.push(step);
        }
        steps
    })
}

fn root_policy() -> impl Strategy<Value = OnFailure> {
    prop_oneof![Just(OnFailure::Stop), Just(OnFailure::Continue), Just(OnFailure::Rollback)]
}

/// What was told to the run, in order: what a failed case is understood by.
fn story(driver: &MemoryDriver<Switches>) -> String {
    let told = driver.log.iter().map(|(_, fact)| match fact {
        Fact::Signalled { signal, .. } => format!("{signal:?}"),
        Fact::Finished { ending, .. } => format!("{} {ending:?}", fact.path().map_or("", |path| path.as_str())),
        _ => format!("{} {}", fact.path().map_or("", |path| path.as_str()), fact.kind()),
    });
    told.collect::<Vec<_>>().join("\n")
}

/// What must hold of a run that has ended, whatever happened on the way.
fn check_end(driver: &MemoryDriver<Switches>) {
    assert_eq!(driver.puppet.broken, Vec::<String>::new());
    let status = driver.state.status();
    assert!(status.is_final(), "the run stands still as {status:?}: {:#?}\n{}", state_of(driver), story(driver));
    for node in driver.state.nodes() {
        assert!(node.outcome.is_final(), "{} ended as {:?}", node.path, node.outcome);
        let is_leaf = matches!(node.kind, Kind::Action) && node.region == Region::Main;
        let on = driver.puppet.on.get(&node.path).copied().unwrap_or(false);
        let half = driver.puppet.half.contains_key(&node.path);
        match (&node.outcome, &node.undo) {
            // What was half done when a person went on without it stays so.
            (Outcome::Skipped(_), _) if half => {}
            (_, UndoStatus::RolledBack) if is_leaf => assert!(!on, "{} was undone and is on", node.path),
            (Outcome::Ok, _) if is_leaf => assert!(on, "{} is ok and off", node.path),
            (Outcome::Cancelled | Outcome::NotRun(_) | Outcome::Skipped(_), _) if is_leaf => {
                assert!(!on, "{} is {} and on", node.path, node.outcome.as_str());
            }
            _ => {}
        }
    }
    if status == RunStatus::RolledBack {
        let main = driver.puppet.on.iter().filter(|(path, _)| !path.as_str().contains("finally/"));
        assert!(
            main.map(|(_, on)| on).all(|on| !on),
            "rolled back, and something is on: {:?}\n{}",
            driver.puppet.on,
            story(driver)
        );
    }
    if status == RunStatus::Succeeded {
        let cancelled = driver.state.nodes().find(|n| n.region == Region::Main && n.outcome == Outcome::Cancelled);
        assert!(cancelled.is_none(), "succeeded with {} left out", cancelled.map_or("", |n| n.path.as_str()));
        let failed = driver.state.nodes().any(|n| {
            matches!(n.outcome, Outcome::Failed(_))
                && n.parent.is_some()
                && !n.step().is_some_and(|s| s.optional)
                && !borne_above(driver, n.parent)
        });
        assert!(!failed, "succeeded with a failure that nothing bears");
    }
}

fn borne_above(driver: &MemoryDriver<Switches>, parent: Option<crate::engine::machine::StepIx>) -> bool {
    let mut at = parent;
    while let Some(ix) = at {
        let node = driver.state.node(ix);
        // A person may have gone on without it, or done it by hand.
        let by_person = node.by_hand || matches!(node.outcome, Outcome::Skipped(_));
        if by_person || node.step().is_some_and(|s| s.optional) {
            return true;
        }
        at = node.parent;
    }
    false
}

fn finish(driver: &mut MemoryDriver<Switches>, choices: &mut impl Iterator<Item = usize>) {
    for _ in 0..20_000 {
        if driver.is_idle() {
            if driver.state.is_parked() {
                let key = format!("go-{}", driver.log.len());
                driver.tell(Fact::Signalled { key, signal: Signal::Resume }).unwrap();
            } else {
                return;
            }
        }
        driver.advance(choices.next().unwrap_or(0)).unwrap();
    }
    panic!("no end in sight: {:?}", driver.state.status());
}

/// A small generator of choices, so that one number shrinks to one order of events.
fn choices(seed: u64) -> impl Iterator<Item = usize> {
    let mut x = seed | 1;
    std::iter::repeat_with(move || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 11) as usize
    })
}

fn cases(n: u32) -> ProptestConfig {
    let factor = std::env::var("TORTURE").ok().and_then(|v| v.parse().ok()).unwrap_or(1);
    ProptestConfig { cases: n * factor, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn any_order_with_repeats_and_crashes_comes_to_a_right_end(
        steps in steps(2), finally in steps(1), procedures in procedures(), policy in root_policy(),
        decisions in decisions(), seed in any::<u64>(),
    ) {
        let mut driver = begin(created_with(&procedures, steps, finally, policy), decisions);
        let mut picks = choices(seed);
        for _ in 0..300 {
            match picks.next().unwrap_or(0) % 23 {
                0 => driver.crash().unwrap(),
                1 | 2 => driver.redeliver(picks.next().unwrap_or(0)).unwrap(),
                3 if seed % 5 < 3 => {
                    let level = 1 + u8::from(seed % 2 == 0);
                    let signal = match seed % 7 {
                        0..3 => Signal::Cancel { level, rollback: seed % 3 == 0 },
                        3 | 4 => Signal::Pause,
                        5 => Signal::Abandon,
                        _ => Signal::RollBack,
                    };
                    driver.tell(Fact::Signalled { key: "word".into(), signal }).unwrap();
                }
                4 if seed % 3 == 0 => driver.expire(picks.next().unwrap_or(0)).unwrap(),
                _ => driver.advance(picks.next().unwrap_or(0)).unwrap(),
            }
            if driver.state.status().is_final() {
                break;
            }
        }
        finish(&mut driver, &mut picks);
        check_end(&driver);
        // What was done is undone when somebody asks for it later, and asking twice undoes nothing twice.
        for key in ["back", "back again"] {
            let before = driver.state.status();
            driver.tell(Fact::Signalled { key: key.into(), signal: Signal::RollBack }).unwrap();
            finish(&mut driver, &mut picks);
            check_end(&driver);
            let status = driver.state.status();
            let never_began = driver.state.regions[Region::Main as usize].is_none();
            prop_assert!(
                never_began && status == before
                    || matches!(status, RunStatus::RolledBack | RunStatus::RollbackIncomplete | RunStatus::Failed),
                "{:?} after {:?}", status, before,
            );
        }
    }
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn a_crash_after_every_fact_changes_nothing_in_the_end(
        steps in steps(1), procedures in procedures(), policy in root_policy(), decisions in decisions(),
        seed in any::<u64>(),
    ) {
        let mut driver = begin(created_with(&procedures, steps, vec![], policy), decisions);
        let mut picks = choices(seed);
        let mut undisturbed = driver.clone();
        finish(&mut undisturbed, &mut choices(seed));
        check_end(&undisturbed);
        for _ in 0..5_000 {
            if driver.state.status().is_final() {
                break;
            }
            let mut crashed = driver.clone();
            crashed.crash().unwrap();
            finish(&mut crashed, &mut choices(seed));
            check_end(&crashed);
            if driver.is_idle() {
                break;
            }
            driver.advance(picks.next().unwrap_or(0)).unwrap();
        }
    }

    #[test]
    fn the_fold_of_the_log_is_the_live_state(
        steps in steps(2), procedures in procedures(), policy in root_policy(), seed in any::<u64>(),
    ) {
        let mut driver = begin(created_with(&procedures, steps, vec![], policy), vec![]);
        finish(&mut driver, &mut choices(seed));
        let replayed = crate::engine::machine::State::replay(driver.log.iter().map(|(at, f)| (*at, f))).unwrap();
        prop_assert_eq!(replayed.status(), driver.state.status());
        for (a, b) in replayed.nodes().zip(driver.state.nodes()) {
            prop_assert_eq!((&a.path, &a.outcome, &a.undo, a.attempt), (&b.path, &b.outcome, &b.undo, b.attempt));
        }
    }
}

fn state_of(driver: &MemoryDriver<Switches>) -> Vec<String> {
    let nodes = driver.state.nodes().map(|n| format!("{} {:?} {:?} {:?}", n.path, n.kind, n.outcome, n.awaiting));
    let log = driver.log.iter().skip(1).map(|(_, f)| format!("{} {:?}", f.kind(), f.path()));
    nodes.chain(log).collect()
}
