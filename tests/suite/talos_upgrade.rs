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
    let mut args = vec!["1.12.11", "--set", "within=6s"];
    args.extend(more);
    upgrade_to(rig, &args).await
}

async fn upgrade_to(rig: &Rig, more: &[&str]) -> Output {
    let snapshots = format!("snapshots={}", rig.house.folder().join("snaps").display());
    let mut args = vec!["run", "talos-upgrade", "--cluster", "prod", "--set", &snapshots];
    for set in ["bare=true", "emptydir=true"] {
        args.extend(["--set", set]);
    }
    args.extend(["--apply", "--yes", "--progress", "quiet"]);
    args.extend(more);
    rig.run(&args).await
}

/// `hop[1.12.11]/node[cp3]`, `hop[1.12.11]/worker[w1]`: whether a node takes pods.
async fn cordoned(rig: &Rig) -> String {
    let nodes = rig.run(&["do", "kubernetes.nodes", "cluster=prod", "-o", "json"]).await;
    let text = flat(&nodes.text);
    text.split_once("cordoned: ").map_or(String::new(), |(_, rest)| rest.split('"').next().unwrap().to_owned())
}

/// The versions of a node in the lab: Talos, Kubernetes.
fn versions(rig: &Rig, node: &str) -> (String, String) {
    let state = rig.state();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let talos = text(&state["talos"][format!("prod/node/{node}")]["version"]);
    (talos, text(&state["kubernetes"]["nodes"][node]["version"]))
}

/// Calls of talosctl that change something and whose line has this in it.
fn asked(rig: &Rig, what: &str) -> usize {
    let argv = |entry: Entry| entry.params.get("argv").cloned().unwrap_or_default();
    let all = rig.house.ledger().into_iter().filter(|entry| entry.channel == Channel::Talosctl && entry.mutating);
    all.map(argv).filter(|line| line.contains(what)).count()
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
async fn a_node_that_is_not_as_wanted_stops_the_run_and_goes_back_where_it_can() {
    // One of the control planes, not the first of them: one was upgraded before, one is left.
    for (fault, code, cause, back) in [
        ("talos-rolls-back:cp3", 1, "it rebooted and runs 1.11.2 again: the new one did not come up", true),
        ("talos-loses-extensions:cp3", 1, "its extensions may be gone", true),
        ("talos-never-returns:cp3", 11, "cp3 does not answer", false),
    ] {
        let rig = rig(&[fault]).await;
        let output = upgrade(&rig, &[]).await;
        let text = flat(&output.text);
        assert_eq!(output.code, Some(code), "{fault}: {}", output.text);
        assert!(
            text.contains(cause) && text.contains("hop[1.12.11]/node[cp3]/out/upgrade"),
            "{fault}: {}",
            output.text
        );
        assert_eq!(upgraded(&rig), ORDER[..2], "{fault}: {}", output.text);
        held(&rig, &output);
        // Back as it was, with its pods; or, where nobody knows how it is, without them.
        assert_eq!(cordoned(&rig).await, if back { "" } else { "cp3" }, "{fault}: {}", output.text);
        assert_eq!(text.contains("Rolled back: hop[1.12.11]/node[cp3]/out/drain"), back, "{fault}: {}", output.text);
        if back {
            assert_eq!(versions(&rig, "cp3").0, "1.11.2", "{fault}");
        }
        // It went back by itself: nobody asked it to.
        assert_eq!(asked(&rig, " rollback"), usize::from(fault.contains("extensions")), "{fault}: {}", output.text);
        // Of the profile nothing is changed.
        let profile = runbook::sys::files::read_text(rig.house.folder().join("clusters/prod.yaml")).unwrap();
        assert!(profile.contains("version: \"1.11.2\""), "{profile}");
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
        ("node-down:pve1", "what does not answer: cp1 (guest 1051 on pve1: unknown), w1"),
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
    assert_eq!(cordoned(&rig).await, "", "{}", output.text);
    held(&rig, &output);
}

#[tokio::test(flavor = "multi_thread")]
async fn talos_and_kubernetes_go_up_by_turns_and_the_profile_is_set_at_the_end() {
    let rig = rig(&[]).await;
    let file = rig.house.folder().join("clusters/prod.yaml");
    let before = runbook::sys::files::read_text(&file).unwrap();
    let output = upgrade_to(&rig, &["1.13.9", "--set", "kubernetes=1.36.3", "--set", "batch=3"]).await;
    assert_eq!(output.code, Some(0), "{}", output.text);
    for node in ["cp1", "cp2", "cp3", "w1", "w2", "w3"] {
        assert_eq!(versions(&rig, node), ("1.13.9".into(), "1.36.3".into()), "{node}");
    }
    held(&rig, &output);
    let argv = |entry: Entry| entry.params.get("argv").cloned().unwrap_or_default();
    let calls: Vec<String> = rig.house.ledger().into_iter().filter(|entry| entry.mutating).map(argv).collect();
    let pulled = calls.iter().rposition(|line| line.contains("image pull")).unwrap();
    let first = calls.iter().position(|line| line.contains(" upgrade ")).unwrap();
    assert!(pulled < first && asked(&rig, "image pull") == 12, "{calls:#?}");
    assert_eq!(asked(&rig, "upgrade-k8s"), 2, "{calls:#?}");
    // Nothing but the two versions has changed in the profile, comments and all.
    let after = runbook::sys::files::read_text(&file).unwrap();
    let back = after.replace("\"1.13.9\"", "\"1.11.2\"").replace("\"1.36.3\"", "\"1.34.1\"");
    assert!(back == before && after != before, "{after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubelet_that_stays_stops_the_upgrade_of_kubernetes_and_the_next_run_goes_on() {
    let rig = rig(&["kubelet-stays:w2"]).await;
    let output = upgrade_to(&rig, &["--set", "kubernetes=1.34.4"]).await;
    let text = flat(&output.text);
    assert_eq!(output.code, Some(1), "{}", output.text);
    assert!(
        text.contains("timeout waiting for node update") && text.contains("kubelet of w2 runs 1.34.1"),
        "{}",
        output.text
    );
    assert_eq!((versions(&rig, "w1").1.as_str(), versions(&rig, "w3").1.as_str()), ("1.34.4", "1.34.1"));
    held(&rig, &output);
    let output = upgrade_to(&rig, &["--set", "kubernetes=1.34.4"]).await;
    assert_eq!(output.code, Some(0), "{}", output.text);
    assert_eq!(versions(&rig, "w3").1, "1.34.4");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reached_is_refused_before_anything_is_touched() {
    let bare = "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba";
    let unknown = format!("schematic={}", bare.replace('3', "4"));
    for (args, code, cause) in [
        (vec!["1.12.10", "--set", "kubernetes=1.36.3"], 6, "goes with Kubernetes 1.30 to 1.35, not with 1.36.3"),
        (vec!["1.10.9"], 6, "Talos 1.11.2 runs, and 1.10.9 is older"),
        (vec![], 6, "say which Talos or which Kubernetes"),
        (vec!["1.12.11", "--set", &unknown], 1, "not found"),
    ] {
        let rig = rig(&[]).await;
        let output = upgrade_to(&rig, &args).await;
        assert_eq!(output.code, Some(code), "{args:?}: {}", output.text);
        assert!(flat(&output.text).contains(cause), "{args:?}: {}", output.text);
        assert!(upgraded(&rig).is_empty() && cordoned(&rig).await.is_empty(), "{args:?}: {}", output.text);
        held(&rig, &output);
    }
}
