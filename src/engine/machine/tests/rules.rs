//! The language's rules, one small graph each.

use super::puppet::{Switches, action, created, for_each, retry, step};
use crate::engine::drivers::memory::MemoryDriver;
use crate::engine::machine::Kind;
use crate::event::{Fact, RunStatus, Signal};
use crate::model::ids::StepPath;
use crate::model::runbook::{OnFailure, Step, Verb};

fn run(steps: Vec<Step>, finally: Vec<Step>, on_failure: OnFailure) -> MemoryDriver<Switches> {
    let mut driver = MemoryDriver::begin(created(steps, finally, on_failure), Switches::default()).unwrap();
    drive(&mut driver);
    driver
}

fn drive(driver: &mut MemoryDriver<Switches>) {
    for _ in 0..10_000 {
        if driver.is_idle() {
            break;
        }
        driver.advance(0).unwrap();
    }
    assert_eq!(driver.puppet.broken, Vec::<String>::new());
}

fn outcomes(driver: &MemoryDriver<Switches>) -> String {
    let mut rows: Vec<String> = driver
        .state
        .nodes()
        .filter(|n| !matches!(n.kind, Kind::Region))
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
