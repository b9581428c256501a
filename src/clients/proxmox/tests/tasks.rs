//! Following tasks.

use std::time::Duration;

use serde_json::{Value, json};

use super::server::{Act, Server, ok, settings};
use crate::clients::proxmox::{ProxmoxError, Site, TaskOutcome, TaskProgress, Until};
use crate::model::ids::Upid;

const LOG: [&str; 5] = [
    "2026-11-21 10:00:00 starting migration of VM 104 to node 'pve2' (10.0.0.2)",
    "2026-11-21 10:00:01 migration active, transferred 1.0 GiB of 4.0 GiB VM-state, 112.3 MiB/s",
    "2026-11-21 10:00:02 ERROR: online migrate failure - aborting",
    "2026-11-21 10:00:03 ERROR: migration aborted (duration 00:00:03): online migrate failure - aborting",
    "TASK ERROR: migration aborted",
];

fn upid() -> Upid {
    "UPID:pve1:0001ABCD:00A1B2C3:67400000:qmigrate:104:ops@pve!rb:".parse().unwrap()
}

/// A task whose log grows by one line each time its status is asked; it stops with `exit` at the end.
fn task(exit: &'static str) -> impl Fn(usize, &super::server::Seen) -> Act {
    move |n, request| {
        let round = n / 2;
        let lines = (round + 1).min(LOG.len());
        if request.line.contains("/status") {
            return match lines == LOG.len() {
                true => ok(json!({"status": "stopped", "exitstatus": exit, "type": "qmigrate"})),
                false => ok(json!({"status": "running", "type": "qmigrate"})),
            };
        }
        let start: usize =
            request.line.split("start=").nth(1).unwrap().split(['&', ' ']).next().unwrap().parse().unwrap();
        let rows: Vec<Value> = (start..lines).map(|i| json!({"n": i + 1, "t": LOG[i]})).collect();
        ok(json!(rows))
    }
}

#[tokio::test]
async fn a_task_is_followed_line_by_line_to_its_cause() {
    let server = Server::start(task("migration aborted")).await;
    let mut seen: Vec<TaskProgress> = Vec::new();
    let end = server.site().follow(&upid(), &mut |p| seen.push(p), &Until::default()).await.unwrap();
    let numbers: Vec<u64> = seen.iter().map(|p| p.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5], "each line once");
    assert_eq!((seen[1].percent, seen[1].speed.as_deref()), (Some(25.0), Some("112.3 MiB/s")));
    assert_eq!(end.outcome, TaskOutcome::Failed("migration aborted".into()));
    assert_eq!(end.cause(), Some("online migrate failure - aborting"));
    assert_eq!(end.log_tail, LOG);
    let path =
        "/nodes/pve1/tasks/UPID%3Apve1%3A0001ABCD%3A00A1B2C3%3A67400000%3Aqmigrate%3A104%3Aops%40pve%21rb%3A/status";
    assert_eq!(server.calls()[0], format!("GET {path}"));
}

#[tokio::test]
async fn warnings_are_a_success() {
    let server = Server::start(task("WARNINGS: 2")).await;
    let end = server.site().follow(&upid(), &mut |_| {}, &Until::default()).await.unwrap();
    assert_eq!((end.is_success(), end.outcome.clone(), end.cause()), (true, TaskOutcome::Warnings(2), None));
}

#[tokio::test]
async fn a_killed_worker_leaves_the_outcome_open() {
    let server = Server::start(task("unexpected status")).await;
    let end = server.site().follow(&upid(), &mut |_| {}, &Until::default()).await.unwrap();
    assert!(matches!(end.outcome, TaskOutcome::Unexpected(_)) && end.cause().unwrap().contains("unknown"));
}

#[tokio::test]
async fn a_short_silence_is_waited_out() {
    let server = Server::start(|n, r| match n {
        0 => Act::Last(super::server::answer("596 Connection timed out", "")),
        _ if r.line.contains("/status") => ok(json!({"status": "stopped", "exitstatus": "OK"})),
        _ => ok(json!([{"n": 1, "t": "TASK OK"}])),
    })
    .await;
    let end = server.site().follow(&upid(), &mut |_| {}, &Until::default()).await.unwrap();
    assert_eq!(end.outcome, TaskOutcome::Ok);
}

#[tokio::test]
async fn a_node_that_stays_silent_loses_the_task() {
    let port = super::server::closed_port().await;
    let site = Site::connect(settings(vec![super::server::endpoint("pve1", port, None)])).unwrap();
    let error = site.follow(&upid(), &mut |_| {}, &Until::default()).await.unwrap_err();
    assert!(matches!(error, ProxmoxError::TaskLost { .. }) && error.outcome_unknown(), "{error:?}");
}

#[tokio::test]
async fn watching_ends_at_the_deadline_or_when_cancelled() {
    let running = |_: usize, r: &super::server::Seen| match r.line.contains("/status") {
        true => ok(json!({"status": "running"})),
        false => ok(json!([{"n": 1, "t": "no content"}])),
    };
    let server = Server::start(running).await;
    let site = server.site();
    let error = site.follow(&upid(), &mut |_| {}, &Until::after(Duration::from_millis(50))).await.unwrap_err();
    assert!(matches!(error, ProxmoxError::TaskRunning { cancelled: false, .. }) && error.outcome_unknown());
    let until = Until { cancel: Some(Default::default()), ..Until::default() };
    until.cancel.as_ref().unwrap().cancel();
    let error = site.follow(&upid(), &mut |_| {}, &until).await.unwrap_err();
    assert!(matches!(error, ProxmoxError::TaskRunning { cancelled: true, .. }));
}
