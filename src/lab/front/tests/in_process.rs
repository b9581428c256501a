//! The lab without a transport, with tokio's paused time.

use std::time::Duration;

use crate::lab::front::fake::{FakeWorld, quick};
use crate::lab::front::{Answer, Lab, LabOptions, Listen, Request, Response};

async fn quiet_lab() -> Lab {
    let options =
        LabOptions { listen: Listen::Nowhere, timing: quick(), time_scale: 60.0, ..LabOptions::new(FakeWorld::new()) };
    Lab::start(options).await.unwrap()
}

fn migrate(lab: &Lab) -> Request {
    let secret = lab.access().token_secret("ops@pve!runbook").unwrap().to_owned();
    Request::new("POST", "/nodes/pve1/qemu/104/migrate").param("target", "pve2").token("ops@pve!runbook", &secret)
}

#[tokio::test(start_paused = true)]
async fn world_time_runs_faster_and_events_come_by_themselves() {
    let lab = quiet_lab().await;
    let answer = lab.request(&"pve1".into(), migrate(&lab)).await;
    assert!(matches!(answer, Answer::Response(Response { status: 200, .. })), "{answer:?}");
    let done = |lab: &Lab| lab.with_world_as::<FakeWorld, _>(|world| world.finished.len()).unwrap();
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(done(&lab), 0);
    // A minute of the world is a second here.
    tokio::time::sleep(Duration::from_millis(120)).await;
    assert_eq!(done(&lab), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_call_was_taken() {
    let lab = quiet_lab().await;
    lab.faults().add("hang:POST /nodes/*/qemu/104/migrate*1".parse().unwrap()).unwrap();
    let answer = lab.request(&"pve1".into(), migrate(&lab)).await;
    assert_eq!(answer, Answer::Response(Response::empty(596, "Connection timed out")));
    assert!(lab.ledger().entries()[0].accepted && lab.ledger().entries()[0].mutating);
}

#[tokio::test(start_paused = true)]
async fn the_ledger_tells_world_time_in_order() {
    let lab = quiet_lab().await;
    for _ in 0..2 {
        lab.request(&"pve1".into(), migrate(&lab)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let entries = lab.ledger().entries();
    let between = entries[1].at_ms - entries[0].at_ms;
    assert!((60_000..61_000).contains(&between), "{between}");
    assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_scheduled_fault_comes_in_its_world_time() {
    let lab = quiet_lab().await;
    lab.faults().schedule("@60s node-down:pve2".parse().unwrap()).unwrap();
    lab.faults().schedule("@60s lock-stays:999".parse().unwrap()).unwrap();
    let up = |lab: &Lab| lab.with_world(|world| world.node_up(&"pve2".into()));
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert!(up(&lab));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!up(&lab));
    assert_eq!(lab.faults().troubles(), ["World(LockStays { vmid: Vmid(999) }): there is no guest 999"]);
}
