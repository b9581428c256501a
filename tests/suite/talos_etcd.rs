//! `talos-etcd-maintenance` in the lab: one member after another, the leader last and no leader while it is at it, a snapshot before, a
//! full database made smaller before its alarm is disarmed, and nothing done where etcd is not whole.

use runbook::lab::ledger::{Channel, Entry};
use serde_json::Value;

use super::harness::flat;
use super::rig::{Output, Rig};

async fn rig(faults: &[&str]) -> Rig {
    let rig = Rig::start("three-node", 1000.0, faults).await;
    runbook::sys::files::make_private_dir(rig.house.folder().join("snaps")).unwrap();
    rig
}

async fn maintain(rig: &Rig, more: &[&str]) -> Output {
    let snapshots = format!("snapshots={}", rig.house.folder().join("snaps").display());
    let mut args =
        vec!["run", "talos-etcd-maintenance", "--cluster", "prod", "--set", &snapshots, "--set", "quiet=100ms"];
    args.extend(["--apply", "--yes", "--progress", "quiet"]);
    args.extend(more);
    rig.run(&args).await
}

/// What changed anything by talosctl: the node and the words behind it.
fn done(rig: &Rig) -> Vec<String> {
    let is_one = |entry: &Entry| entry.channel == Channel::Talosctl && entry.mutating;
    let argv = |entry: Entry| entry.params.get("argv").cloned().unwrap_or_default();
    let words = |line: String| line.split_once("--nodes ").map(|(_, rest)| rest.to_owned()).unwrap_or(line);
    rig.house.ledger().into_iter().filter(is_one).map(argv).map(words).collect()
}

fn snapshots(rig: &Rig) -> usize {
    runbook::sys::files::names(rig.house.folder().join("snaps")).unwrap().len()
}

async fn members(rig: &Rig) -> Value {
    let output = rig.run(&["do", "talos.etcd_members", "cluster=prod", "-o", "json"]).await;
    let json: Value = serde_json::from_str(&output.text).unwrap_or_else(|e| panic!("{e}: {}", output.text));
    json["outputs"].clone()
}

#[track_caller]
fn held(rig: &Rig, output: &Output) {
    assert_eq!(rig.house.talos_violations(), Vec::<String>::new(), "{}", output.text);
}

const ALL: [&str; 4] =
    ["10.0.0.52 etcd defrag", "10.0.0.53 etcd defrag", "10.0.0.51 etcd forfeit-leadership", "10.0.0.51 etcd defrag"];

#[tokio::test(flavor = "multi_thread")]
async fn all_members_are_made_smaller_the_leader_last_and_a_second_run_does_nothing() {
    let rig = rig(&[]).await;
    let output = maintain(&rig, &[]).await;
    assert_eq!(output.code, Some(0), "{}", output.text);
    assert_eq!(done(&rig), ALL, "{}", output.text);
    assert_eq!(snapshots(&rig), 1);
    let now = members(&rig).await;
    let shares: Vec<u64> = now["members"].as_array().unwrap().iter().filter_map(|one| one["in_use"].as_u64()).collect();
    assert!(shares.len() == 3 && shares.iter().all(|share| *share >= 98), "{now:#}");
    held(&rig, &output);
    let again = maintain(&rig, &[]).await;
    assert_eq!(again.code, Some(0), "{}", again.text);
    assert_eq!((done(&rig).len(), snapshots(&rig)), (ALL.len(), 1), "{}", again.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_database_is_made_smaller_and_then_its_alarm_is_disarmed() {
    let rig = rig(&["etcd-alarm:cp3"]).await;
    let output = maintain(&rig, &[]).await;
    assert_eq!(output.code, Some(0), "{}", output.text);
    let done = done(&rig);
    assert_eq!(done[..4], ALL, "{}", output.text);
    assert_eq!(done[4..], ["10.0.0.51 etcd alarm disarm"], "{}", output.text);
    let now = members(&rig).await;
    assert_eq!(now["nospace"], Value::Array(Vec::new()), "{now:#}");
    let status = rig.run(&["run", "talos-status", "--cluster", "prod", "--set", "healthy=true", "--apply"]).await;
    assert_eq!(status.code, Some(0), "{}", status.text);
    held(&rig, &output);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_full_of_what_is_used_is_left_alone() {
    let rig = rig(&[]).await;
    let output = maintain(&rig, &["--set", "most=40"]).await;
    assert_eq!(output.code, Some(0), "{}", output.text);
    assert_eq!((done(&rig), snapshots(&rig)), (Vec::new(), 0), "{}", output.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_that_rings_again_is_a_failure_with_the_way_out() {
    let rig = rig(&["etcd-alarm:cp3"]).await;
    // Without making it smaller first, and watched for longer than a write takes: 5 s of the lab's.
    let words = ["do", "talos.etcd_disarm", "cluster=prod", "quiet=2s", "--apply", "--yes"];
    let output = rig.run(&words).await;
    let text = flat(&output.text);
    assert_eq!(output.code, Some(1), "{}", output.text);
    assert!(
        text.contains("the alarm NOSPACE rings again: cp3") && text.contains("quota-backend-bytes"),
        "{}",
        output.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_begun_where_etcd_is_not_whole() {
    for (fault, cause, remedy) in [
        ("etcd-corrupt:cp2", "cp2 has the alarm CORRUPT: its database is not that of the others", "remove-member"),
        ("etcd-unhealthy:cp2", "cp2: nothing is known of its etcd", "talos-diagnose"),
        ("etcd-learner:cp3", "cp3: it is a learner", "talos-diagnose"),
        ("node-down:pve1", "cp1", ""),
    ] {
        let rig = rig(&[fault]).await;
        let output = maintain(&rig, &[]).await;
        let text = flat(&output.text);
        assert_ne!(output.code, Some(0), "{fault}: {}", output.text);
        assert!(text.contains(cause) && text.contains(remedy), "{fault}: {}", output.text);
        assert_eq!(done(&rig), Vec::<String>::new(), "{fault}: {}", output.text);
        held(&rig, &output);
        // Nor is such an alarm disarmed when that alone is asked for.
        let disarm = rig.run(&["do", "talos.etcd_disarm", "cluster=prod", "--apply", "--yes"]).await;
        assert_ne!(disarm.code, Some(0), "{fault}: {}", disarm.text);
        assert_eq!(done(&rig), Vec::<String>::new(), "{fault}: {}", disarm.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_whole_snapshot_no_member_is_touched() {
    let rig = rig(&["snapshot-damaged"]).await;
    let output = maintain(&rig, &[]).await;
    assert_eq!(output.code, Some(1), "{}", output.text);
    assert_eq!(done(&rig), Vec::<String>::new(), "{}", output.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_anywhere_it_goes_on_and_ends_as_ever() {
    for after in [4, 7, 9, 11, 13, 15, 17, 19, 21] {
        let rig = rig(&["etcd-alarm:cp3"]).await;
        let inject = format!("crash-after:{after}");
        let crashed = maintain(&rig, &["--inject", &inject]).await;
        let mut said = crashed.text.clone();
        if crashed.code != Some(0) {
            let resumed = rig.run(&["resume", "last", "--yes"]).await;
            assert_eq!(resumed.code, Some(0), "{after}: {said}\n{}", resumed.text);
            said.push_str(&resumed.text);
        }
        let now = members(&rig).await;
        assert_eq!(
            (&now["nospace"], &now["todo"]),
            (&Value::Array(Vec::new()), &Value::Array(Vec::new())),
            "{after}: {now:#}"
        );
        let done = done(&rig);
        for line in ALL {
            assert!(done.iter().any(|one| one == line), "{after}: {line}: {done:?}\n{said}");
        }
        assert_eq!(rig.house.talos_violations(), Vec::<String>::new(), "{after}: {said}");
    }
}
