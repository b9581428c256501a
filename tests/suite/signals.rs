//! Ctrl-C once, twice, three times, its cousins, and terminals that go away; two processes at one run or one site.

use std::process::Stdio;
use std::time::{Duration, Instant};

use runbook::event::{Fact, Outcome, RunStatus};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;

use super::harness::flat;
use super::rig::{LONG, Output, Rig, finish, outcome_of};

const RUN: [&str; 5] = ["run", "evacuate", "pve2", "--apply", "--yes"];
const FINALLY: &str = "finally:\n  - {id: told, uses: proxmox.ha_maintenance, with: {node: pve1, enabled: false}}\n";

/// A move takes a second or two at this scale.
async fn rig() -> Rig {
    let rig = Rig::start("tiny", 15.0, &[]).await;
    rig.variant(FINALLY);
    rig
}

fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < end, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Begins an evacuation and waits until the first guest is on its way.
async fn under_way(rig: &Rig) -> Child {
    let child = rig.spawn(&RUN);
    until("a guest is on its way", || !rig.migrations().is_empty()).await;
    child
}

fn finally_ran(rig: &Rig) -> bool {
    outcome_of(&rig.events(), "finally/told") == Some(Outcome::Unchanged)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_lets_what_is_under_way_finish_and_starts_nothing_new() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 143)] {
        let rig = rig().await;
        let child = under_way(&rig).await;
        send(&child, signal);
        let output = finish(child).await;
        assert_eq!(output.code, Some(code), "{signal:?}: {}", output.text);
        assert_eq!(rig.status(), Some(RunStatus::Cancelled), "{signal:?}");
        let moved = rig.migrations();
        assert_eq!(moved.len(), 1, "{signal:?}: {moved:?}");
        let (vmid, to) = moved.iter().next().unwrap();
        assert_eq!(rig.node_of(*vmid), to[0], "{signal:?}: what was under way has finished");
        assert!(finally_ran(&rig), "{signal:?}");
        let again = rig.run(&RUN).await;
        assert_eq!(again.code, Some(0), "{signal:?}: {}", again.text);
        assert!(rig.migrations().values().all(|asked| asked.len() == 1), "{signal:?}: {:?}", rig.migrations());
        rig.house.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_stops_what_is_under_way_and_resume_finds_out_and_goes_on() {
    let rig = rig().await;
    let child = under_way(&rig).await;
    // A moment later, so that the task's id is known and waited for.
    tokio::time::sleep(Duration::from_millis(200)).await;
    send(&child, Signal::INT);
    tokio::time::sleep(Duration::from_millis(100)).await;
    send(&child, Signal::INT);
    let output = finish(child).await;
    assert_eq!(output.code, Some(11), "{}", output.text);
    assert_eq!(rig.status(), Some(RunStatus::Paused), "{}", output.text);
    assert!(!finally_ran(&rig), "a parked run is not over");
    let resumed = rig.run(&["resume", "last", "--yes"]).await;
    assert_eq!(resumed.code, Some(0), "{}", resumed.text);
    rig.assert_evacuated("two interrupts");
    assert!(finally_ran(&rig));
    rig.house.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_third_leaves_at_once_and_resume_goes_on() {
    let rig = rig().await;
    let child = under_way(&rig).await;
    let begun = Instant::now();
    for _ in 0..3 {
        send(&child, Signal::INT);
        // Signals of one kind that come together are one.
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    let output = finish(child).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}: {}", begun.elapsed(), output.text);
    assert!(matches!(output.code, Some(130 | 11)), "{}", output.text);
    let resumed = rig.run(&["resume", "last", "--yes"]).await;
    assert_eq!(resumed.code, Some(0), "{}", resumed.text);
    rig.assert_evacuated("three interrupts");
    rig.house.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_goes_away_does_not_end_a_run() {
    let rig = rig().await;
    let mut child = rig.command(&RUN).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Nobody reads any more: every write from here on fails.
    drop((child.stdout.take(), child.stderr.take()));
    let ended = tokio::time::timeout(LONG, child.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(0));
    rig.assert_evacuated("nobody reads");
    rig.house.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::disallowed_methods, reason = "the test plays a shell that ends before its child does")]
async fn a_run_without_streams_whose_parent_is_gone_goes_on() {
    let rig = rig().await;
    let mut words = vec![env!("CARGO_BIN_EXE_runbook")];
    words.extend(RUN);
    let mut shell = tokio::process::Command::new("sh");
    shell.args(["-c", "\"$@\" <&- >&- 2>&- & exit 0", "sh"]).args(words).envs(rig.house.env());
    assert!(shell.status().await.unwrap().success());
    until("the orphan has ended", || rig.status().is_some_and(|s| s.is_final())).await;
    rig.assert_evacuated("an orphan");
    rig.house.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_driven_by_one_process_at_a_time() {
    let rig = rig().await;
    let child = under_way(&rig).await;
    let pid = child.id().unwrap();
    let second = rig.run(&["resume", "last", "--yes"]).await;
    refused(&second, pid);
    let first = finish(child).await;
    assert_eq!(first.code, Some(0), "{}", first.text);
    rig.assert_evacuated("two processes");
    rig.house.leave().await;
}

/// Who has it, and since when.
#[track_caller]
fn refused(output: &Output, pid: u32) {
    assert_eq!(output.code, Some(8), "{}", output.text);
    let text = flat(&output.text);
    assert!(text.contains(&format!("process {pid} on ")) && text.contains(" has had it since "), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_resume_a_run_one_gets_it_and_the_killed_ones_run_is_taken_over_with_a_note() {
    let rig = rig().await;
    let mut first = under_way(&rig).await;
    let first_pid = first.id().unwrap();
    first.start_kill().unwrap();
    first.wait().await.unwrap();
    let taken_over = |by: u32| {
        let by = move |fact: &Fact| matches!(fact, Fact::DriverRestarted { process, .. } if *process == by);
        rig.events().iter().any(|event| event.fact().is_some_and(by))
    };
    let mut second = rig.spawn(&["resume", "last", "--yes"]);
    let second_pid = second.id().unwrap();
    until("it is taken over", || taken_over(second_pid)).await;
    refused(&rig.run(&["resume", "last", "--yes"]).await, second_pid);
    second.start_kill().unwrap();
    second.wait().await.unwrap();
    let third = rig.spawn(&["resume", "last", "--yes"]);
    let third_pid = third.id().unwrap();
    let third = finish(third).await;
    assert_eq!(third.code, Some(0), "{}", third.text);
    let note = format!("taken over by process {third_pid} on ");
    assert!(third.text.contains(&note), "{}", third.text);
    assert!(taken_over(third_pid) && first_pid != third_pid);
    let told = rig.run(&["audit", "log"]).await;
    for pid in [second_pid, third_pid] {
        assert!(flat(&told.text).contains(&format!("pid {pid}")), "{}", told.text);
    }
    rig.assert_evacuated("taken over twice");
    rig.house.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_run_keeps_its_lock_on_this_machine_too() {
    let rig = rig().await;
    rig.with_timeout("2s");
    rig.fault("task-hang:qmigrate/104");
    let (ended, _) = rig.apply(rig.plan().await, &[]).await;
    assert_eq!(ended.unwrap().status, RunStatus::Paused);
    let run = rig.store().find("last").unwrap().id.to_string()[..4].to_owned();
    let other = rig.run(&["run", "evacuate", "pve1", "--apply", "--yes"]).await;
    assert_eq!(other.code, Some(8), "{}", other.text);
    let text = flat(&other.text);
    assert!(
        text.contains(&format!("run {run}")) && text.contains(" since ") && text.contains(", paused: `runbook resume"),
        "{text}"
    );
    let locks = rig.run(&["lock", "list"]).await;
    assert!(locks.text.contains("site/lab.example") && locks.text.contains(&run), "{}", locks.text);
    rig.house.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_keeps_its_lock_until_it_is_resumed() {
    let rig = rig().await;
    let mut child = under_way(&rig).await;
    child.start_kill().unwrap();
    finish(child).await;
    let held = rig.store().find("last").unwrap().id;
    let short = rig.store().short_id(&held);
    let refused = rig.run(&RUN).await;
    assert_eq!(refused.code, Some(8), "{}", refused.text);
    assert!(refused.text.contains(&format!("runbook resume {short}")), "{}", refused.text);
    let resumed = rig.run(&["resume", held.as_str(), "--yes"]).await;
    assert_eq!(resumed.code, Some(0), "{}", resumed.text);
    let after = rig.run(&RUN).await;
    assert_eq!(after.code, Some(0), "the lock is free again: {}", after.text);
    assert!(rig.migrations().values().all(|asked| asked.len() == 1), "{:?}", rig.migrations());
    rig.house.leave().await;
}
