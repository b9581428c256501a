//! `talos-upgrade` in the lab: that it upgrades, and that each thing that goes wrong ends as a stop with its cause, no other
//! node touched, etcd with its quorum and an API server that answers throughout. The lab's witness says the last two.

use runbook::lab::ledger::{Channel, Entry};

use super::harness::flat;
use super::rig::{Output, Rig};

/// The order in which the nodes go: the leader of etcd last of the control planes.
const ORDER: [&str; 6] = ["10.0.0.52", "10.0.0.53", "10.0.0.51", "10.0.0.61", "10.0.0.62", "10.0.0.63"];

async fn rig(faults: &[&str]) -> Rig {
    let rig = Rig::start("three-node", 1000.0, faults).await;
    runbook::sys::files::make_private_dir(rig.house.folder().join("snaps")).unwrap();
    rig
}

async fn upgrade(rig: &Rig, more: &[&str]) -> Output {
    let snapshots = format!("snapshots={}", rig.house.folder().join("snaps").display());
    let mut args = vec!["run", "talos-upgrade", "1.12.11", "--cluster", "prod", "--set", &snapshots];
    for set in ["bare=true", "emptydir=true", "within=6s"] {
        args.extend(["--set", set]);
    }
    args.extend(["--apply", "--yes", "--progress", "quiet"]);
    args.extend(more);
    rig.run(&args).await
}

/// The nodes that were asked to upgrade, in their order.
fn upgraded(rig: &Rig) -> Vec<String> {
    let is_one = |entry: &Entry| entry.channel == Channel::Talosctl && entry.mutating;
    let argv = |entry: Entry| entry.params.get("argv").cloned().unwrap_or_default();
    let lines = rig.house.ledger().into_iter().filter(is_one).map(argv);
    let asked = lines.filter(|line| line.contains(" upgrade "));
    asked.filter_map(|line| ORDER.iter().find(|node| line.contains(**node)).map(|node| (*node).to_owned())).collect()
}

/// What must hold whatever happens.
#[track_caller]
fn held(rig: &Rig, output: &Output) {
    assert_eq!(rig.house.talos_violations(), Vec::<String>::new(), "{}", output.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_are_upgraded_and_a_second_run_does_nothing() {
    let rig = rig(&[]).await;
    let output = upgrade(&rig, &[]).await;
    assert_eq!(output.code, Some(0), "{}", output.text);
    assert_eq!(upgraded(&rig), ORDER, "{}", output.text);
    assert_eq!(runbook::sys::files::names(rig.house.folder().join("snaps")).unwrap().len(), 3);
    held(&rig, &output);
    let again = upgrade(&rig, &[]).await;
    assert_eq!(again.code, Some(0), "{}", again.text);
    assert_eq!(upgraded(&rig).len(), ORDER.len(), "{}", again.text);
    let status = rig.run(&["run", "talos-status", "--cluster", "prod", "--set", "healthy=true", "--apply"]).await;
    assert_eq!(status.code, Some(0), "{}", status.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_not_as_wanted_stops_the_run() {
    // One of the control planes, not the first of them: one was upgraded before, one is left.
    for (fault, code, cause) in [
        ("talos-rolls-back:cp3", 1, "it rebooted and runs 1.11.2 again: the new one did not come up, and it went back"),
        ("talos-loses-extensions:cp3", 1, "its extensions may be gone"),
        ("talos-never-returns:cp3", 11, "cp3 does not answer"),
    ] {
        let rig = rig(&[fault]).await;
        let output = upgrade(&rig, &[]).await;
        let text = flat(&output.text);
        assert_eq!(output.code, Some(code), "{fault}: {}", output.text);
        assert!(text.contains(cause) && text.contains("hop[1.12.11]/node[cp3]/upgrade"), "{fault}: {}", output.text);
        assert_eq!(upgraded(&rig), ORDER[..2], "{fault}: {}", output.text);
        held(&rig, &output);
        // It gets no pods, and nobody counts it as upgraded.
        let nodes = rig.run(&["do", "kubernetes.nodes", "cluster=prod", "-o", "json"]).await;
        assert!(flat(&nodes.text).contains("cordoned: cp3"), "{fault}: {}", nodes.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_talosctl_that_hangs_counts_for_nothing() {
    let rig = rig(&["upgrade-hangs:cp3"]).await;
    let output = upgrade(&rig, &[]).await;
    assert_eq!(output.code, Some(0), "{}", output.text);
    assert_eq!(upgraded(&rig), ORDER, "{}", output.text);
    held(&rig, &output);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_well_before_is_said_and_nothing_is_begun() {
    for (fault, cause) in [
        ("etcd-unhealthy:cp3", "cp3"),
        ("etcd-learner:cp3", "cp3"),
        ("etcd-alarm:cp3", "NOSPACE"),
        ("node-down:pve1", "does not call these nodes ready: cp1, w1"),
        ("drain-blocked:shop/web", "would stop a drain"),
        ("node-not-ready:w1", "does not call these nodes ready: w1"),
    ] {
        let rig = rig(&[fault]).await;
        let output = upgrade(&rig, &[]).await;
        assert_ne!(output.code, Some(0), "{fault}: {}", output.text);
        assert!(flat(&output.text).contains(cause), "{fault}: {}", output.text);
        let changes: Vec<Entry> = rig.house.ledger().into_iter().filter(|entry| entry.mutating).collect();
        assert!(changes.iter().all(|entry| entry.path.contains("lock")), "{fault}: {changes:#?}");
        held(&rig, &output);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_whole_snapshot_no_control_plane_is_touched() {
    for (fault, cause) in
        [("snapshot-cut", "sha256 checksum not found"), ("snapshot-damaged", "its sum is not that of its contents")]
    {
        let rig = rig(&[fault]).await;
        let output = upgrade(&rig, &[]).await;
        assert_eq!(output.code, Some(1), "{fault}: {}", output.text);
        assert!(flat(&output.text).contains(cause), "{fault}: {}", output.text);
        assert_eq!(upgraded(&rig), Vec::<String>::new(), "{fault}: {}", output.text);
        held(&rig, &output);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn run_again_it_goes_on_where_it_had_stopped_and_gives_the_node_back() {
    let rig = rig(&["talos-rolls-back:cp3"]).await;
    assert_eq!(upgrade(&rig, &[]).await.code, Some(1));
    // The fault was for one boot: the next one comes up.
    let output = upgrade(&rig, &[]).await;
    assert_eq!(output.code, Some(0), "{}", output.text);
    let all = upgraded(&rig);
    assert_eq!(all[..2], ORDER[..2]);
    assert_eq!(all[2..], ORDER[1..], "{}", output.text);
    let nodes = rig.run(&["do", "kubernetes.nodes", "cluster=prod"]).await;
    assert!(!flat(&nodes.text).contains("cordoned: cp"), "{}", nodes.text);
    held(&rig, &output);
}
