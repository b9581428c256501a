//! The language's rules, one small graph each.

use serde_json::Value;

use super::puppet::{Switches, action, call, created, created_with, for_each, procedure, retry, step};
use crate::engine::drivers::memory::MemoryDriver;
use crate::engine::machine::{self, Command, Kind, Stage, State};
use crate::event::{Ending, Fact, Intent, Invocation, RunStatus, Signal, Verdict};
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::ids::StepPath;
use crate::model::runbook::{OnFailure, Step, Verb};

pub(super) fn run(steps: Vec<Step>, finally: Vec<Step>, on_failure: OnFailure) -> MemoryDriver<Switches> {
    let mut driver = MemoryDriver::begin(created(steps, finally, on_failure), Switches::default()).unwrap();
    drive(&mut driver);
    driver
}

pub(super) fn drive(driver: &mut MemoryDriver<Switches>) {
    for _ in 0..10_000 {
        if driver.is_idle() {
            break;
        }
        driver.advance(0).unwrap();
    }
    assert_eq!(driver.puppet.broken, Vec::<String>::new());
}

pub(super) fn outcomes(driver: &MemoryDriver<Switches>) -> String {
    let mut rows: Vec<String> = driver
        .state
        .nodes()
        .filter(|n| !matches!(n.kind, Kind::Region | Kind::Part(_)))
        .map(|n| format!("{} {}", n.path, n.outcome.as_str()))
        .collect();
    rows.push(format!("run {}", driver.state.status().as_str()));
    rows.join(", ")
}

#[test]
fn steps_run_one_after_another() {
    let driver = run(vec![action("a", "works", &[]), action("b", "works", &["a"])], vec![], OnFailure::Stop);
    assert_eq!(outcomes(&driver), "a ok, b ok, run succeeded");
}

#[test]
fn a_failure_stops_what_comes_after_and_finally_runs_all_the_same() {
    let steps = vec![action("a", "refuses", &[]), action("b", "works", &["a"])];
    let finally = vec![action("tidy", "refuses", &[]), action("tell", "works", &["tidy"])];
    let driver = run(steps, finally, OnFailure::Stop);
    assert_eq!(outcomes(&driver), "a failed, b not_run, finally/tidy failed, finally/tell ok, run failed");
}

#[test]
fn with_continue_only_what_descends_from_the_failure_is_not_run() {
    let steps = vec![
        action("a", "refuses", &[]),
        action("b", "works", &["a"]),
        action("c", "works", &[]),
        action("d", "works", &["b", "c"]),
    ];
    let driver = run(steps, vec![], OnFailure::Continue);
    assert_eq!(outcomes(&driver), "a failed, b not_run, c ok, d not_run, run failed");
}

#[test]
fn an_optional_failure_is_borne_and_satisfies() {
    let mut a = action("a", "refuses", &[]);
    a.optional = true;
    let driver = run(vec![a, action("b", "works", &["a"])], vec![], OnFailure::Stop);
    assert_eq!(outcomes(&driver), "a failed, b ok, run succeeded");
}

#[test]
fn rollback_undoes_in_reverse_what_was_done() {
    let steps = vec![action("a", "works", &[]), action("b", "half", &["a"]), action("c", "works", &["b"])];
    let driver = run(steps, vec![], OnFailure::Rollback);
    assert_eq!(outcomes(&driver), "a ok, b failed, c not_run, b/undo ok, a/undo ok, run rolled_back");
    assert!(driver.puppet.on.values().all(|on| !on));
}

#[test]
fn a_diamond_with_one_failed_arm_unwinds_from_every_prefix() {
    let steps = vec![
        action("top", "works", &[]),
        action("left", "works", &["top"]),
        action("right", "refuses", &["top"]),
        action("join", "works", &["left", "right"]),
    ];
    let full = run(steps.clone(), vec![], OnFailure::Rollback);
    assert_eq!(full.state.status(), RunStatus::RolledBack);
    for length in 1..full.log.len() {
        let mut driver = full.clone();
        driver.log.truncate(length);
        // The world is as the full run left it: everything taken back; each prefix must still come to an end.
        driver.crash().unwrap();
        while !driver.is_idle() {
            driver.advance(0).unwrap();
        }
        assert!(driver.state.status().is_final(), "prefix {length}: {}", outcomes(&driver));
    }
}

#[test]
fn an_inner_scope_rolls_back_alone() {
    let mut group =
        step("prepare", Verb::Steps(vec![action("x", "works", &[]), action("y", "refuses", &["x"])]), &["a"]);
    group.on_failure = Some(OnFailure::Rollback);
    let driver = run(vec![action("a", "works", &[]), group], vec![], OnFailure::Stop);
    assert_eq!(
        outcomes(&driver),
        "a ok, prepare failed, prepare/x ok, prepare/y failed, prepare/x/undo ok, run failed"
    );
    assert!(driver.puppet.on[&StepPath::new("a")]);
}

#[test]
fn a_fan_out_bears_as_many_failures_as_it_may() {
    let fan = |borne| {
        let mut s = action("move", "refuses", &[]);
        s.for_each = Some(for_each(borne));
        s
    };
    let all = run(vec![fan(4), action("after", "works", &["move"])], vec![], OnFailure::Stop);
    assert_eq!(
        outcomes(&all),
        "move failed, after not_run, move[a] failed, move[b] failed, move[c] failed, move[d] failed, run failed"
    );
    let none = run(vec![fan(0)], vec![], OnFailure::Stop);
    assert!(outcomes(&none).contains("move[d] not_run"), "{}", outcomes(&none));
}

#[test]
fn a_retry_is_made_only_after_nothing_was_done() {
    let mut lost = action("a", "requestlost", &[]);
    lost.retry = Some(retry(3));
    let driver = run(vec![lost], vec![], OnFailure::Stop);
    let started = driver.log.iter().filter(|(_, f)| matches!(f, Fact::Started { .. })).count();
    assert_eq!((started, outcomes(&driver).as_str()), (3, "a failed, run failed"));

    let mut flaky = action("a", "flaky", &[]);
    flaky.retry = Some(retry(2));
    assert_eq!(outcomes(&run(vec![flaky], vec![], OnFailure::Stop)), "a ok, run succeeded");
}

#[test]
fn a_lost_answer_is_recovered_and_not_sent_again() {
    let mut a = action("a", "answerlost", &[]);
    a.retry = Some(retry(3));
    assert_eq!(outcomes(&run(vec![a], vec![], OnFailure::Stop)), "a ok, run succeeded");
}

#[test]
fn a_cancelled_run_finishes_what_is_under_way_and_runs_finally() {
    let steps = vec![action("a", "works", &[]), action("b", "works", &["a"])];
    let finally = vec![action("tidy", "works", &[])];
    let mut driver = MemoryDriver::begin(created(steps, finally, OnFailure::Stop), Switches::default()).unwrap();
    // Lock, evaluation and intent of `a`.
    for _ in 0..3 {
        driver.advance(0).unwrap();
    }
    let signal = Signal::Cancel { level: 1, rollback: false };
    driver.tell(Fact::Signalled { key: "c1".into(), signal }).unwrap();
    drive(&mut driver);
    assert_eq!(outcomes(&driver), "a ok, b not_run, finally/tidy ok, run cancelled");
}

/// Advances until `path` has reached `kind` in the log.
pub(super) fn drive_to(driver: &mut MemoryDriver<Switches>, path: &str, kind: &str) {
    for _ in 0..1_000 {
        let last = driver.log.last().map(|(_, f)| f);
        if last.is_some_and(|f| f.kind() == kind && f.path().is_some_and(|p| p.as_str() == path)) {
            return;
        }
        driver.advance(0).unwrap();
    }
    panic!("{path} never was {kind}: {}", outcomes(driver));
}

pub(super) fn tell(driver: &mut MemoryDriver<Switches>, key: &str, signal: Signal) {
    driver.tell(Fact::Signalled { key: key.into(), signal }).unwrap();
}

fn cancel(level: u8) -> Signal {
    Signal::Cancel { level, rollback: false }
}

pub(super) fn begun(steps: Vec<Step>, finally: Vec<Step>, on_failure: OnFailure) -> MemoryDriver<Switches> {
    MemoryDriver::begin(created(steps, finally, on_failure), Switches::default()).unwrap()
}

#[test]
fn an_undo_that_a_crash_kept_from_being_sent_is_sent_on_resume() {
    let steps = vec![action("a", "works", &[]), action("b", "refuses", &["a"])];
    let mut driver = begun(steps, vec![], OnFailure::Rollback);
    drive_to(&mut driver, "a/undo", "started");
    driver.crash().unwrap();
    drive(&mut driver);
    assert_eq!(outcomes(&driver), "a ok, b failed, a/undo ok, run rolled_back");
    assert!(!driver.puppet.on[&StepPath::new("a")]);
}

#[test]
fn a_step_of_finally_that_a_crash_kept_from_being_sent_is_sent_on_resume() {
    let steps = vec![action("a", "refuses", &[])];
    let mut driver = begun(steps, vec![action("tidy", "works", &[])], OnFailure::Stop);
    drive_to(&mut driver, "finally/tidy", "started");
    driver.crash().unwrap();
    drive(&mut driver);
    assert_eq!(outcomes(&driver), "a failed, finally/tidy ok, run failed");
}

#[test]
fn in_finally_and_in_undos_retries_go_on_after_the_failure() {
    let mut tidy = action("tidy", "flaky", &[]);
    tidy.retry = Some(retry(2));
    let driver = run(vec![action("a", "refuses", &[])], vec![tidy], OnFailure::Stop);
    assert_eq!(outcomes(&driver), "a failed, finally/tidy ok, run failed");
}

#[test]
fn what_was_stopped_before_it_was_sent_is_done_when_the_run_goes_on() {
    // One item is under way when it is stopped, one has only its intent: neither may be left out of a success.
    let mut fan = action("move", "works", &[]);
    fan.for_each = Some(for_each(0));
    let mut driver = begun(vec![fan], vec![], OnFailure::Stop);
    drive_to(&mut driver, "move[a]", "started");
    while !driver.puppet.taken.contains_key(&StepPath::new("move[a]")) {
        driver.advance(0).unwrap();
    }
    tell(&mut driver, "c1", cancel(1));
    tell(&mut driver, "c2", cancel(2));
    drive(&mut driver);
    assert!(driver.state.is_parked(), "{}", outcomes(&driver));
    tell(&mut driver, "r", Signal::Resume);
    drive(&mut driver);
    assert_eq!(outcomes(&driver), "move ok, move[a] ok, move[b] ok, move[c] ok, move[d] ok, run succeeded");
}

#[test]
fn a_second_cancel_pauses_an_unwinding_and_loses_no_undo() {
    let steps = vec![action("a", "works", &[]), action("b", "refuses", &["a"])];
    let mut driver = begun(steps, vec![], OnFailure::Rollback);
    drive_to(&mut driver, "a/undo", "evaluated");
    tell(&mut driver, "c1", cancel(1));
    tell(&mut driver, "c2", cancel(2));
    drive(&mut driver);
    assert_eq!(driver.state.status(), RunStatus::Paused, "{}", outcomes(&driver));
    tell(&mut driver, "r", Signal::Resume);
    drive(&mut driver);
    assert_eq!(outcomes(&driver), "a ok, b failed, a/undo ok, run rolled_back");
}

#[test]
fn nothing_begins_while_the_lock_is_given_back() {
    let mut driver = begun(vec![action("a", "works", &[])], vec![action("tidy", "works", &[])], OnFailure::Stop);
    drive_to(&mut driver, "finally/tidy", "evaluated");
    tell(&mut driver, "a", Signal::Abandon);
    tell(&mut driver, "c2", cancel(2));
    while !matches!(driver.state.stage, Stage::Unlocking) {
        driver.advance(0).unwrap();
    }
    tell(&mut driver, "r", Signal::Resume);
    drive(&mut driver);
    assert_eq!(outcomes(&driver), "a ok, finally/tidy cancelled, run failed");
}

/// A step's answer; what it begins with is said where it is needed.
fn told(path: &str, attempt: u32, ending: Ending) -> Fact {
    Fact::Finished { path: path.into(), attempt, ending }
}

fn evaluated(path: &str) -> Fact {
    let invocation = Some(Invocation { uses: "works".into(), with: Value::Null });
    let verdict = Verdict::Run { invocation, effect: Effect::Change, question: None };
    Fact::Evaluated { path: path.into(), verdict }
}

fn started(path: &str) -> Fact {
    let intent = Intent { before: Value::Null, prepared: Value::Null, effect: Effect::Change };
    Fact::Started { path: path.into(), attempt: 1, intent }
}

#[test]
fn nothing_begins_in_the_moment_in_which_a_scope_is_found_to_have_failed() {
    // The call fails for its `finally`, which was in doubt; `b` has waited for that to be known.
    let inner = procedure(vec![], vec![action("x", "works", &[])], vec![action("tidy", "works", &[])]);
    let steps = vec![call("c", "local.c", &[]), action("a", "works", &[]), action("b", "works", &["a"])];
    let ok = || Ending::Ok { outputs: Value::Null };
    let mut state = State::default();
    let mut commands = Vec::new();
    for fact in [
        created_with(&[("local.c", inner)], steps, vec![], OnFailure::Stop),
        Fact::LockGranted,
        evaluated("c"),
        evaluated("c/x"),
        started("c/x"),
        told("c/x", 1, ok()),
        evaluated("c/finally/tidy"),
        started("c/finally/tidy"),
        Fact::DriverRestarted { host: "elsewhere".into(), process: 2 },
        evaluated("a"),
        told("c/finally/tidy", 2, Ending::InDoubt { evidence: "it does not say".into() }),
        started("a"),
        told("a", 1, ok()),
        Fact::Signalled { key: "r".into(), signal: Signal::Resolve { path: "c/finally/tidy".into(), done: false } },
    ] {
        commands = machine::step(&mut state, 1_000, &fact).unwrap();
    }
    let b = state.find(&"b".into()).unwrap();
    assert!(!commands.contains(&Command::Evaluate(b)), "{commands:?}");
    assert!(matches!(state.stage, Stage::Unlocking), "{:?}", state.stage);
}

#[test]
fn without_an_intent_nothing_was_done_whatever_the_failure_says() {
    let mut driver = begun(vec![action("a", "works", &[])], vec![], OnFailure::Stop);
    drive_to(&mut driver, "a", "evaluated");
    let failure = Failure::new(Class::Timeout, "probe", "no answer").done(Done::Unknown);
    driver.tell(Fact::Finished { path: "a".into(), attempt: 1, ending: Ending::Failed { failure } }).unwrap();
    assert_eq!(outcomes(&driver), "a failed, run running");
    assert_eq!(driver.state.in_doubt().count(), 0);
}

#[test]
fn an_answer_that_nobody_asked_for_is_refused() {
    let mut driver =
        MemoryDriver::begin(created(vec![action("a", "works", &[])], vec![], OnFailure::Stop), Switches::default())
            .unwrap();
    let answer = Fact::TimerFired { path: "a".into(), attempt: 7 };
    assert!(driver.tell(answer).is_err());
}

#[test]
fn a_fan_out_over_a_group_runs_each_item_whole() {
    let mut group = step("node", Verb::Steps(vec![action("x", "works", &[]), action("y", "works", &["x"])]), &[]);
    group.for_each = Some(for_each(0));
    let driver = run(vec![group], vec![], OnFailure::Stop);
    assert!(outcomes(&driver).ends_with("node[d]/x ok, node[d]/y ok, run succeeded"), "{}", outcomes(&driver));
}
