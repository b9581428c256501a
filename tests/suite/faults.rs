//! What a site can do to an evacuation: each ends right, or in doubt with what was seen; never in a false success, never
//! by asking again for what was taken.

use std::time::Duration;

use runbook::app::Exit;
use runbook::event::{Fact, Outcome, RunStatus};
use runbook::model::failure::{Class, Failure};
use runbook::model::ids::Vmid;

use super::rig::{Rig, outcome_of};

const WEB: Vmid = Vmid(104);
const MOVE: &str = "move[104]";

/// A lab with this fault; attempts follow each other fast, and a move that never ends is given up after 4 s.
async fn rig(scale: f64, faults: &[&str]) -> Rig {
    let rig = Rig::start("tiny", scale, faults).await;
    rig.variant("");
    rig
}

async fn ended(rig: &Rig) -> (Exit, RunStatus) {
    let (ended, _) = rig.apply(rig.plan().await, &[]).await;
    let ended = ended.unwrap();
    never_twice(rig);
    rig.assert_chain("after a fault");
    (ended.exit, ended.status)
}

fn never_twice(rig: &Rig) {
    for (vmid, asked) in rig.migrations() {
        assert_eq!(asked.len(), 1, "guest {vmid} was asked for again: {asked:?}");
    }
}

fn failure(rig: &Rig, path: &str) -> Failure {
    match outcome_of(&rig.events(), path) {
        Some(Outcome::Failed(failure)) => *failure,
        other => panic!("{path} was to fail: {other:?}"),
    }
}

fn doubt(rig: &Rig, path: &str) -> String {
    match outcome_of(&rig.events(), path) {
        Some(Outcome::InDoubt(evidence)) => evidence,
        other => panic!("{path} was to be in doubt: {other:?}"),
    }
}

async fn succeeds(faults: &[&str]) {
    let rig = rig(300.0, faults).await;
    assert_eq!(ended(&rig).await, (Exit::Done, RunStatus::Succeeded), "{faults:?}");
    rig.assert_evacuated(&format!("{faults:?}"));
    rig.house.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_after_the_request_was_taken_is_found_out() {
    for faults in [
        &["reset-after:POST /nodes/*/qemu/104/migrate*1"][..],
        &["596-after:POST /nodes/*/qemu/104/migrate*1"],
        &["reset-after:POST /nodes/*/qemu/104/migrate*1", "tasks-late=40s"],
        &["reset-after:POST /nodes/*/qemu/**"],
        &["slow:POST /nodes/*/qemu/104/migrate*1=3s"],
    ] {
        succeeds(faults).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_never_comes_is_found_out() {
    succeeds(&["hang:POST /nodes/*/qemu/104/migrate*1"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_an_answer_or_a_trace_is_in_doubt_and_never_sent_again() {
    for fault in ["reset-before:POST /nodes/*/qemu/104/migrate*1", "596:POST /nodes/*/qemu/104/migrate*1"] {
        let rig = rig(300.0, &[fault]).await;
        assert_eq!(ended(&rig).await, (Exit::Incomplete, RunStatus::Paused), "{fault}");
        assert_eq!(rig.migrations().get(&WEB), None, "{fault}");
        assert_eq!(rig.node_of(WEB), "pve2", "{fault}");
        rig.house.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_a_failure_in_its_own_words() {
    let rig = rig(300.0, &["500:POST /nodes/*/qemu/104/migrate*1=got no luck today"]).await;
    assert_eq!(ended(&rig).await, (Exit::Failed, RunStatus::Failed));
    assert!(failure(&rig, MOVE).cause.contains("got no luck today"));
    assert_eq!(rig.node_of(WEB), "pve2");
    rig.house.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_fails_is_told_by_the_cause_from_its_log() {
    for (fault, cause) in
        [("task-fail:qmigrate/104=no space left on device", "no space left on device"), ("task-abort:qmigrate/104", "")]
    {
        let rig = rig(300.0, &[fault]).await;
        assert_eq!(ended(&rig).await, (Exit::Failed, RunStatus::Failed), "{fault}");
        let failure = failure(&rig, MOVE);
        assert!(failure.cause.contains(cause) && failure.cause != "migration aborted", "{fault}: {failure:?}");
        assert!(!failure.details.is_empty(), "{fault}: the log's last lines are missing: {failure:?}");
        assert_eq!(rig.node_of(WEB), "pve2", "{fault}");
        rig.house.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_task_whose_failure_a_crash_hid_is_not_asked_for_again() {
    let rig = rig(300.0, &["task-fail:qmigrate/104=no space left on device"]).await;
    let plan = rig.plan().await;
    // The fact at which the move's UPID has been written down.
    let (reached, _) = (rig.apply(plan, &["fail:move[104]"]).await, ());
    let before = rig
        .events()
        .iter()
        .filter(|e| e.fact().is_some())
        .position(|e| matches!(e.fact(), Some(Fact::Finished { path, .. }) if path.as_str() == MOVE));
    drop(reached);
    rig.house.leave().await;
    let rig = self::rig(300.0, &["task-fail:qmigrate/104=no space left on device"]).await;
    // Started and Checkpoint are in the place of the injected failure.
    let crash = format!("crash-after:{}", before.unwrap() + 2);
    let (ended, _) = rig.apply(rig.plan().await, &[&crash]).await;
    assert_eq!(ended.unwrap_err().code, "run::crashed");
    let (ended, _) = rig.resume(&[]).await;
    assert_eq!(ended.unwrap().exit, Exit::Failed);
    never_twice(&rig);
    assert!(failure(&rig, MOVE).cause.contains("no space left on device"));
    rig.house.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_does_not_end_in_time_leaves_doubt_and_says_which_it_is() {
    let rig = rig(300.0, &["task-hang:qmigrate/104"]).await;
    rig.with_timeout("2s");
    assert_eq!(ended(&rig).await, (Exit::Incomplete, RunStatus::Paused));
    let evidence = doubt(&rig, MOVE);
    assert!(evidence.contains("not done within 2 s"), "{evidence}");
    assert!(evidence.contains("UPID:pve2:"), "which task it is must be said: {evidence}");
    rig.house.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_stays_is_no_success() {
    let rig = rig(300.0, &["lock-stays:104"]).await;
    assert_eq!(ended(&rig).await, (Exit::Failed, RunStatus::Failed));
    let failure = failure(&rig, MOVE);
    assert_eq!(failure.class, Class::Verify);
    assert!(failure.cause.contains("locked (migrate)") && failure.remedy.is_some(), "{failure:?}");
    rig.house.leave().await;
}

/// Does `act` once the journal says that the step has sent its request.
async fn when_under_way(rig: &Rig, path: &str, act: impl FnOnce()) {
    for _ in 0..4_000 {
        let sent = |f: &Fact| matches!(f, Fact::Checkpoint { path: of, .. } if of.as_str() == path);
        if rig.events().iter().any(|e| e.fact().is_some_and(sent)) {
            return act();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{path} never was under way");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_goes_down_on_the_way_is_no_success() {
    let rig = rig(30.0, &[]).await;
    let plan = rig.plan().await;
    let to = plan.steps.iter().find(|s| s.path.as_str() == MOVE).unwrap().with["to"].as_str().unwrap().to_owned();
    let run = rig.apply(plan, &[]);
    let down = when_under_way(&rig, MOVE, || rig.fault(&format!("node-down:{to}")));
    let ((ended, _), ()) = tokio::join!(run, down);
    let ended = ended.unwrap();
    assert!(matches!(ended.exit, Exit::Failed | Exit::Incomplete), "{ended:?}");
    never_twice(&rig);
    rig.house.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_rejected_on_the_way_leaves_doubt_that_a_resume_settles() {
    let rig = rig(30.0, &[]).await;
    let run = rig.apply(rig.plan().await, &[]);
    let rejected = when_under_way(&rig, MOVE, || rig.fault("token-rejected*2"));
    let ((ended, _), ()) = tokio::join!(run, rejected);
    let ended = ended.unwrap();
    if ended.status == RunStatus::Paused {
        assert_eq!(ended.exit, Exit::Incomplete);
        let evidence = doubt(&rig, MOVE);
        assert!(evidence.contains("Authentication failed"), "{evidence}");
        let (resumed, _) = rig.resume(&[]).await;
        assert_eq!(resumed.unwrap().exit, Exit::Done);
    } else {
        assert_eq!(ended.exit, Exit::Done);
    }
    rig.assert_evacuated("token rejected");
    rig.house.leave().await;
}
