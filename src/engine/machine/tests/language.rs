//! Calls, waves and gates, deadlines, lists known late, and what people say to a run: one small graph each.

use serde_json::Value;

use super::puppet::{Switches, action, call, check, created, created_with, for_each, procedure, retry, step};
use super::rules::{begun, drive, drive_to, outcomes, run, tell};
use crate::engine::drivers::memory::MemoryDriver;
use crate::engine::machine::{Command, Stage, State, step as step_of};
use crate::event::{Decision, Ending, Fact, Intent, Outcome, RunStatus, Signal, UndoStatus, Verdict};
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::ids::StepPath;
use crate::model::runbook::{Amount, OnFailure, Procedure, Rollback, Step, Verb};

fn called(procedure: Procedure, steps: Vec<Step>, finally: Vec<Step>, on_failure: OnFailure) -> MemoryDriver<Switches> {
    let created = created_with(&[("local.p", procedure)], steps, finally, on_failure);
    let mut driver = MemoryDriver::begin(created, Switches::default()).unwrap();
    drive(&mut driver);
    driver
}

/// Leaves only, in the order in which they ended.
fn order(driver: &MemoryDriver<Switches>) -> String {
    let ended = driver.log.iter().filter(|(_, f)| f.kind() == "finished").filter_map(|(_, f)| f.path());
    ended.map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_call_checks_does_and_tidies_before_what_needs_it() {
    let p = procedure(vec![check(true)], vec![action("x", "works", &[])], vec![action("tidy", "works", &[])]);
    let driver = called(p, vec![call("p", "local.p", &[]), action("b", "works", &["p"])], vec![], OnFailure::Stop);
    assert_eq!(order(&driver), "p/require[1] p/x p/finally/tidy b");
    assert_eq!(driver.state.status(), RunStatus::Succeeded);
}

#[test]
fn requirements_of_a_call_that_do_not_hold_are_its_failure_before_anything_is_changed() {
    let p =
        procedure(vec![check(false), check(true)], vec![action("x", "works", &[])], vec![action("t", "works", &[])]);
    let driver = called(p, vec![call("p", "local.p", &[]), action("b", "works", &["p"])], vec![], OnFailure::Stop);
    assert_eq!(outcomes(&driver), "p failed, b not_run, p/require[1] failed, p/require[2] ok, run failed");
}

#[test]
fn an_optional_call_whose_finally_fails_does_not_fail_the_run() {
    let p = procedure(vec![], vec![action("x", "works", &[])], vec![action("tidy", "refuses", &[])]);
    let mut step = call("p", "local.p", &[]);
    let steps = |step: &Step| vec![step.clone(), action("b", "works", &["p"])];
    let driver = called(p.clone(), steps(&step), vec![], OnFailure::Stop);
    assert_eq!(outcomes(&driver), "p failed, b not_run, p/x ok, p/finally/tidy failed, run failed");
    step.optional = true;
    let driver = called(p, steps(&step), vec![], OnFailure::Stop);
    assert_eq!(outcomes(&driver), "p failed, b ok, p/x ok, p/finally/tidy failed, run succeeded");
}

#[test]
fn after_a_failure_the_finally_of_every_open_call_runs_after_the_unwinding_innermost_first() {
    let inner = procedure(
        vec![],
        vec![action("x", "works", &[]), action("y", "refuses", &["x"])],
        vec![action("tidy", "works", &[])],
    );
    let outer = procedure(vec![], vec![call("in", "local.in", &[])], vec![action("tidy", "works", &[])]);
    let procedures = [("local.in", inner), ("local.out", outer)];
    let steps = vec![call("out", "local.out", &[])];
    let created = created_with(&procedures, steps, vec![action("last", "works", &[])], OnFailure::Rollback);
    let mut driver = MemoryDriver::begin(created, Switches::default()).unwrap();
    drive(&mut driver);
    assert_eq!(order(&driver), "out/in/x out/in/y out/in/x/undo out/in/finally/tidy out/finally/tidy finally/last");
    assert_eq!(driver.state.status(), RunStatus::RolledBack);
}

#[test]
fn a_call_rolls_itself_back_where_its_file_says_so() {
    let mut p = procedure(vec![], vec![action("x", "works", &[]), action("y", "refuses", &["x"])], vec![]);
    p.on_failure = Some(OnFailure::Rollback);
    let steps = vec![action("a", "works", &[]), call("p", "local.p", &["a"])];
    let driver = called(p, steps, vec![], OnFailure::Stop);
    assert_eq!(outcomes(&driver), "a ok, p failed, p/x ok, p/y failed, p/x/undo ok, run failed");
}

#[test]
fn a_call_in_finally_keeps_its_own_finally() {
    let p = procedure(vec![], vec![action("x", "refuses", &[])], vec![action("tidy", "works", &[])]);
    let driver = called(p, vec![action("a", "works", &[])], vec![call("p", "local.p", &[])], OnFailure::Stop);
    assert_eq!(order(&driver), "a finally/p/x finally/p/finally/tidy");
    assert_eq!(driver.state.status(), RunStatus::Failed);
}

/// Four items, two at a time, in waves of 1, 2 and the rest, with a gate before each.
fn waves(habit: &str, borne: u32, gate: bool) -> Step {
    let mut fan = action("move", habit, &[]);
    fan.for_each = Some(for_each(borne));
    fan.for_each.as_mut().unwrap().batches = vec![Amount::Count(1), Amount::Percent(50)];
    fan.gate = vec![check(gate)];
    fan
}

#[test]
fn waves_go_one_after_another_each_behind_its_gate() {
    let driver = run(vec![waves("works", 0, true)], vec![], OnFailure::Stop);
    assert_eq!(order(&driver), "move/gate[1]/1 move[a] move/gate[2]/1 move[b] move[c] move/gate[3]/1 move[d]");
}

#[test]
fn a_gate_that_does_not_hold_closes_the_fan_out() {
    let driver = run(vec![waves("works", 4, false), action("b", "works", &["move"])], vec![], OnFailure::Stop);
    let ends = outcomes(&driver);
    assert!(ends.contains("move failed, b not_run, move[a] not_run, move[b] not_run"), "{ends}");
    assert!(ends.ends_with("run failed"), "{ends}");
}

#[test]
fn failures_count_over_all_waves() {
    let driver = run(vec![waves("refuses", 1, true)], vec![], OnFailure::Stop);
    let ends = outcomes(&driver);
    assert!(ends.contains("move[a] failed, move[b] failed, move[c] failed, move[d] not_run"), "{ends}");
}

#[test]
fn an_item_that_goes_on_inside_still_counts_as_one_failure() {
    let mut group = step("node", Verb::Steps(vec![action("x", "refuses", &[]), action("y", "refuses", &[])]), &[]);
    group.for_each = Some(for_each(1));
    let Verb::Steps(inner) = &mut group.verb else { unreachable!() };
    inner.iter_mut().for_each(|s| s.on_failure = Some(OnFailure::Continue));
    let driver = run(vec![group], vec![], OnFailure::Stop);
    let ends = outcomes(&driver);
    // Two go at once, one in each lane. The first failed item is borne, the second is not: what is under way ends.
    assert!(ends.contains("node[a] failed, node[b] not_run, node[c] failed, node[d] failed"), "{ends}");
}

#[test]
fn a_list_known_late_is_asked_for_once() {
    let mut fan = action("move", "works", &[]);
    fan.for_each = Some(for_each(0));
    let driver = run(vec![fan.clone()], vec![], OnFailure::Stop);
    assert_eq!(driver.log.iter().filter(|(_, f)| f.kind() == "approved").count(), 1);

    let mut declined = begun(vec![fan], vec![], OnFailure::Stop);
    drive_to(&mut declined, "move", "expanded");
    declined.tell(Fact::Declined { path: "move".into(), who: "ops".into(), why: "too many".into() }).unwrap();
    drive(&mut declined);
    assert_eq!(declined.state.status(), RunStatus::Stopped);
    assert!(declined.puppet.taken.is_empty());
}

#[test]
fn the_deadline_of_a_scope_stops_it_and_runs_the_finally_of_a_call_all_the_same() {
    let p = procedure(
        vec![],
        vec![action("x", "works", &[]), action("y", "works", &["x"])],
        vec![action("tidy", "works", &[])],
    );
    let mut step = call("p", "local.p", &[]);
    (step.deadline, step.optional) = (Some(10), true);
    let created = created_with(&[("local.p", p)], vec![step, action("b", "works", &["p"])], vec![], OnFailure::Stop);
    let mut driver = MemoryDriver::begin(created, Switches::default()).unwrap();
    drive_to(&mut driver, "p/x", "finished");
    driver.expire(0).unwrap();
    drive(&mut driver);
    assert_eq!(outcomes(&driver), "p failed, b ok, p/x ok, p/y not_run, p/finally/tidy ok, run succeeded");
}

#[test]
fn a_step_whose_deadline_passes_is_not_tried_again() {
    let mut a = action("a", "flaky", &[]);
    (a.deadline, a.retry) = (Some(10), Some(retry(3)));
    let mut driver = begun(vec![a], vec![], OnFailure::Stop);
    drive_to(&mut driver, "a", "started");
    driver.expire(0).unwrap();
    drive(&mut driver);
    assert_eq!(outcomes(&driver), "a failed, run failed");
    let ix = driver.state.find(&StepPath::new("a")).unwrap();
    let Outcome::Failed(failure) = &driver.state.node(ix).outcome else { unreachable!() };
    assert_eq!(failure.class, crate::model::failure::Class::Timeout, "{failure}");
}

fn asked(decisions: &[Decision], habit: &str) -> MemoryDriver<Switches> {
    let mut b = action("b", habit, &["a"]);
    b.on_failure = Some(OnFailure::Ask);
    let steps = vec![action("a", "works", &[]), b, action("c", "works", &["b"])];
    let mut driver = begun(steps, vec![], OnFailure::Stop);
    driver.puppet.decisions = decisions.to_vec();
    drive(&mut driver);
    driver
}

#[test]
fn a_person_decides_what_becomes_of_a_failed_step() {
    let ends = |decisions: &[Decision], habit| outcomes(&asked(decisions, habit));
    assert_eq!(ends(&[Decision::Retry], "flaky"), "a ok, b ok, c ok, run succeeded");
    assert_eq!(ends(&[Decision::Skip], "refuses"), "a ok, b skipped, c ok, run succeeded");
    assert_eq!(ends(&[Decision::Done], "refuses"), "a ok, b ok, c ok, run succeeded");
    assert_eq!(ends(&[Decision::Stop], "refuses"), "a ok, b failed, c not_run, run failed");
    // The scope that asked is the step itself: what it did half is undone.
    assert_eq!(ends(&[Decision::RollBack], "half"), "a ok, b failed, c not_run, b/undo ok, run failed");
}

#[test]
fn what_was_done_by_hand_is_undone_by_hand() {
    let mut driver = asked(&[Decision::Done], "refuses");
    tell(&mut driver, "back", Signal::RollBack);
    drive(&mut driver);
    assert_eq!(driver.state.status(), RunStatus::RollbackIncomplete);
    let ix = driver.state.find(&StepPath::new("b")).unwrap();
    assert!(matches!(&driver.state.node(ix).undo, UndoStatus::Listed(how) if how.contains("by hand")));
}

#[test]
fn a_paused_run_keeps_its_lock_and_goes_on_where_it_was() {
    let mut a = action("a", "flaky", &[]);
    a.retry = Some(retry(2));
    let mut driver = begun(vec![a, action("b", "works", &["a"])], vec![], OnFailure::Stop);
    drive_to(&mut driver, "a", "finished");
    tell(&mut driver, "p", Signal::Pause);
    drive(&mut driver);
    assert!(driver.state.is_parked() && driver.state.lock_held(), "{}", outcomes(&driver));
    tell(&mut driver, "r", Signal::Resume);
    drive(&mut driver);
    assert_eq!(outcomes(&driver), "a ok, b ok, run succeeded");
}

#[test]
fn a_run_that_is_over_is_rolled_back_later_and_its_finally_does_not_run_again() {
    let steps = vec![action("a", "works", &[]), action("b", "works", &["a"])];
    let mut driver = run(steps, vec![action("tell", "works", &[])], OnFailure::Stop);
    tell(&mut driver, "back", Signal::RollBack);
    drive(&mut driver);
    assert_eq!(order(&driver), "a b finally/tell b/undo a/undo");
    assert_eq!(driver.state.status(), RunStatus::RolledBack);
    assert!(!driver.state.lock_held());
}

#[test]
fn a_run_that_is_given_up_runs_finally_and_undoes_nothing() {
    let steps = vec![action("a", "works", &[]), action("b", "refuses", &["a"])];
    let mut driver = begun(steps, vec![action("tell", "works", &[])], OnFailure::Rollback);
    drive_to(&mut driver, "a", "finished");
    tell(&mut driver, "p", Signal::Abandon);
    drive(&mut driver);
    assert_eq!(order(&driver), "a finally/tell");
    assert_eq!(driver.state.status(), RunStatus::Cancelled);
}

#[test]
fn a_group_with_its_author_s_own_rollback_is_undone_as_one() {
    let mut group = step("g", Verb::Steps(vec![action("x", "works", &[]), action("y", "works", &["x"])]), &[]);
    group.rollback = Rollback::Steps(vec![action("fix", "works", &[])]);
    let steps = vec![group, action("b", "refuses", &["g"])];
    let driver = run(steps, vec![], OnFailure::Rollback);
    assert_eq!(order(&driver), "g/x g/y b g/undo/fix");
    assert_eq!(driver.state.status(), RunStatus::RolledBack);
}

/// What a run comes to after it was told these things, one after another, and every wait for a person was ended.
fn told(driver: &mut MemoryDriver<Switches>, signals: &[Signal]) -> RunStatus {
    for (i, signal) in signals.iter().enumerate() {
        tell(driver, &format!("told {i} at {}", driver.log.len()), signal.clone());
    }
    drive(driver);
    driver.state.status()
}

fn cancel(level: u8) -> Signal {
    Signal::Cancel { level, rollback: false }
}

#[test]
fn a_lock_lost_half_way_is_no_success_whatever_a_person_says_then() {
    let mut driver = begun(vec![action("a", "works", &[])], vec![], OnFailure::Stop);
    driver.advance(0).unwrap();
    driver.tell(Fact::LockLost { why: "gone".into() }).unwrap();
    while driver.state.stage() == Stage::Main {
        driver.advance(0).unwrap();
    }
    assert_eq!(told(&mut driver, &[Signal::Resume]), RunStatus::Failed, "{}", outcomes(&driver));
}

#[test]
fn a_run_that_was_given_up_is_not_taken_up_again() {
    let mut driver = begun(vec![action("a", "works", &[])], vec![], OnFailure::Stop);
    drive_to(&mut driver, "a", "evaluated");
    let signals = [Signal::Abandon, Signal::Resume, Signal::Pause];
    assert_eq!(told(&mut driver, &signals), RunStatus::Cancelled, "{}", outcomes(&driver));
}

#[test]
fn what_is_told_to_stop_and_then_to_go_on_goes_on() {
    let mut driver = begun(vec![action("a", "works", &[])], vec![], OnFailure::Stop);
    drive_to(&mut driver, "a", "started");
    assert_eq!(told(&mut driver, &[cancel(2), Signal::Resume]), RunStatus::Succeeded, "{}", outcomes(&driver));
}

#[test]
fn a_step_in_doubt_is_looked_at_before_a_run_that_is_over_is_rolled_back() {
    let steps = vec![action("a", "works", &[]), action("b", "works", &["a"])];
    let mut state = State::default();
    let mut say = |fact: Fact| step_of(&mut state, 1, &fact).unwrap();
    let signal = |key: &str, signal| Fact::Signalled { key: key.into(), signal };
    let doubt = |attempt| Fact::Finished {
        path: "a".into(),
        attempt,
        ending: Ending::InDoubt { evidence: "it does not say".into() },
    };
    let run = Verdict::Run { invocation: None, effect: Effect::Change, question: None };
    say(created(steps, vec![], OnFailure::Stop));
    say(Fact::LockGranted);
    say(Fact::Evaluated { path: "a".into(), verdict: run });
    let intent = Intent { before: Value::Null, prepared: Value::Null, effect: Effect::Change };
    say(Fact::Started { path: "a".into(), attempt: 1, intent });
    say(Fact::DriverRestarted { host: "elsewhere".into(), process: 2 });
    say(doubt(2));
    say(signal("given up", Signal::Abandon));
    say(doubt(3));
    say(Fact::LockReleased);
    say(Fact::RunFinished { status: RunStatus::Cancelled });
    say(signal("back", Signal::RollBack));
    let commands = say(Fact::LockGranted);
    assert!(matches!(commands.as_slice(), [Command::Recover(_)]), "{commands:?}");
    // Found to be done, it is undone; what needs it is not begun.
    let done = Ending::Ok { outputs: Value::Null };
    let commands = say(Fact::Finished { path: "a".into(), attempt: 4, ending: done });
    let [Command::Evaluate(undo)] = commands.as_slice() else { panic!("{commands:?}") };
    assert_eq!(state.node(*undo).path.as_str(), "a/undo");
}

#[test]
fn the_finally_of_a_call_that_was_stopped_is_done_when_the_run_goes_on() {
    let p = procedure(vec![], vec![action("x", "works", &[])], vec![action("tidy", "works", &[])]);
    let created = created_with(&[("local.p", p)], vec![call("p", "local.p", &[])], vec![], OnFailure::Stop);
    let mut driver = MemoryDriver::begin(created, Switches::default()).unwrap();
    drive_to(&mut driver, "p/finally/tidy", "evaluated");
    assert_eq!(told(&mut driver, &[cancel(2)]), RunStatus::Paused, "{}", outcomes(&driver));
    told(&mut driver, &[Signal::Resume]);
    drive(&mut driver);
    assert!(outcomes(&driver).contains("p/finally/tidy ok"), "{}", outcomes(&driver));
}

#[test]
fn a_finally_that_is_left_undone_is_said() {
    let mut driver = begun(vec![action("a", "works", &[])], vec![action("tidy", "works", &[])], OnFailure::Stop);
    drive_to(&mut driver, "finally/tidy", "evaluated");
    assert_eq!(told(&mut driver, &[Signal::Abandon, cancel(2)]), RunStatus::Failed, "{}", outcomes(&driver));
}

#[test]
fn what_failed_half_way_and_waits_for_a_decision_is_undone_though_the_run_was_paused() {
    let mut a = action("a", "half", &[]);
    a.on_failure = Some(OnFailure::Ask);
    let mut driver = begun(vec![a], vec![], OnFailure::Stop);
    drive_to(&mut driver, "a", "finished");
    let signals = [Signal::Pause, Signal::RollBack];
    assert_eq!(told(&mut driver, &signals), RunStatus::RolledBack, "{}", outcomes(&driver));
    assert!(!driver.puppet.on[&StepPath::new("a")], "{}", outcomes(&driver));
}

#[test]
fn what_a_person_had_tried_again_is_undone_though_the_new_attempt_never_began() {
    let mut a = action("a", "half", &[]);
    a.on_failure = Some(OnFailure::Ask);
    let mut driver = begun(vec![a], vec![], OnFailure::Stop);
    driver.puppet.decisions = vec![Decision::Retry];
    drive_to(&mut driver, "a", "decided");
    let signals = [Signal::Cancel { level: 2, rollback: true }];
    assert_eq!(told(&mut driver, &signals), RunStatus::RolledBack, "{}", outcomes(&driver));
    assert_eq!(outcomes(&driver), "a failed, a/undo ok, run rolled_back");
    assert!(!driver.puppet.on[&StepPath::new("a")]);
}

#[test]
fn an_undo_goes_back_to_what_was_there_before_the_first_of_several_attempts() {
    let mut state = State::default();
    let mut a = action("a", "works", &[]);
    a.on_failure = Some(OnFailure::Ask);
    let mut say = |fact: Fact| step_of(&mut state, 1, &fact).unwrap();
    say(created(vec![a], vec![], OnFailure::Stop));
    say(Fact::LockGranted);
    let verdict = Verdict::Run { invocation: None, effect: Effect::Change, question: None };
    say(Fact::Evaluated { path: "a".into(), verdict });
    for (attempt, before) in [(1, "as it was"), (2, "half of it")] {
        let intent = Intent { before: before.into(), prepared: Value::Null, effect: Effect::Change };
        say(Fact::Started { path: "a".into(), attempt, intent });
        let failure = Failure::new(Class::Failed, "a", "no").done(Done::Partial);
        say(Fact::Finished { path: "a".into(), attempt, ending: Ending::Failed { failure } });
        say(Fact::Decided { path: "a".into(), attempt, decision: Decision::Retry, who: "ops".into() });
    }
    let ix = state.find(&StepPath::new("a")).unwrap();
    assert_eq!(state.node(ix).before(), Some(&"as it was".into()));
}

#[test]
fn a_list_is_not_gone_through_when_the_time_for_it_passed_while_the_run_was_paused() {
    let mut fan = action("move", "works", &[]);
    fan.for_each = Some(for_each(0));
    let mut group = step("g", Verb::Steps(vec![fan]), &[]);
    group.deadline = Some(10);
    let mut driver = begun(vec![group], vec![], OnFailure::Stop);
    drive_to(&mut driver, "g/move", "expanded");
    tell(&mut driver, "p", Signal::Pause);
    driver.expire(0).unwrap();
    assert_eq!(told(&mut driver, &[Signal::Resume]), RunStatus::Failed, "{}", outcomes(&driver));
    assert_eq!(outcomes(&driver), "g failed, g/move not_run, run failed");
}

#[test]
fn no_wave_comes_after_the_main_part_is_closed() {
    let p = procedure(vec![], vec![action("x", "works", &[])], vec![action("tidy", "works", &[])]);
    let mut fan = call("p", "local.p", &[]);
    fan.for_each = Some(for_each(0));
    (fan.gate, fan.for_each.as_mut().unwrap().batches) = (vec![check(true)], vec![Amount::Count(1)]);
    let created = created_with(&[("local.p", p)], vec![fan], vec![], OnFailure::Stop);
    let mut driver = MemoryDriver::begin(created, Switches::default()).unwrap();
    drive_to(&mut driver, "p[a]/finally/tidy", "evaluated");
    assert_eq!(told(&mut driver, &[cancel(2)]), RunStatus::Paused, "{}", outcomes(&driver));
    assert_eq!(told(&mut driver, &[Signal::Resume]), RunStatus::Cancelled, "{}", outcomes(&driver));
    assert!(!outcomes(&driver).contains("running"), "{}", outcomes(&driver));
}
