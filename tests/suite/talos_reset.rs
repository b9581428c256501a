//! `talos-reset-node` in the lab: a node goes out of service, and only one that the cluster can do without.

use runbook::lab::ledger::{Channel, Entry};

use super::harness::flat;
use super::rig::{Output, Rig};

async fn reset(rig: &Rig, node: &str, more: &[&str]) -> Output {
    let mut args = vec!["run", "talos-reset-node", node, "--cluster", "prod", "--confirm", node];
    for set in ["bare=true", "emptydir=true", "within=10s", "drain_within=3s"] {
        args.extend(["--set", set]);
    }
    args.extend(["--apply", "--yes", "--progress", "quiet"]);
    args.extend(more);
    rig.run(&args).await
}

/// The resets that were taken.
fn resets(rig: &Rig) -> Vec<String> {
    let is_one = |entry: &Entry| entry.channel == Channel::Talosctl && entry.mutating;
    let argv = |entry: Entry| entry.params.get("argv").cloned().unwrap_or_default();
    let all = rig.house.ledger().into_iter().filter(is_one).map(argv);
    all.filter(|line| line.contains(" reset ")).collect()
}

#[track_caller]
fn held(rig: &Rig, output: &Output) {
    assert_eq!(rig.house.talos_violations(), Vec::<String>::new(), "{}", output.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_leaves_etcd_and_is_wiped_and_a_second_run_does_nothing() {
    let rig = Rig::start("three-node", 1000.0, &[]).await;
    let output = reset(&rig, "cp3", &[]).await;
    assert_eq!(output.code, Some(0), "{}", output.text);
    let nodes = rig.run(&["do", "kubernetes.nodes", "cluster=prod"]).await;
    assert!(nodes.text.contains("cp2") && !nodes.text.contains("cp3"), "{}", nodes.text);
    let asked = resets(&rig);
    assert!(asked.len() == 1 && asked[0].contains("--graceful=true --reboot=true"), "{asked:?}");
    let status = rig.run(&["run", "talos-status", "--cluster", "prod", "--apply"]).await;
    assert!(flat(&status.text).contains("etcd has 2 members"), "{}", status.text);
    held(&rig, &output);
    let again = reset(&rig, "cp3", &[]).await;
    assert_eq!((again.code, resets(&rig).len()), (Some(0), 1), "{}", again.text);
    // Of two control planes none is taken.
    let next = reset(&rig, "cp2", &[]).await;
    assert!(next.code != Some(0) && flat(&next.text).contains("needs 2: without cp2, 1 are well"), "{}", next.text);
    assert_eq!(resets(&rig).len(), 1);
    held(&rig, &next);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_switched_off() {
    let rig = Rig::start("three-node", 1000.0, &[]).await;
    let output = reset(&rig, "w2", &["--set", "shutdown=true"]).await;
    assert_eq!(output.code, Some(0), "{}", output.text);
    assert!(resets(&rig)[0].contains("--reboot=false"), "{:?}", resets(&rig));
    let guest = rig.run(&["do", "proxmox.guest_status", "guest=1062"]).await;
    assert!(flat(&guest.text).contains("stopped"), "{}", guest.text);
    held(&rig, &output);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_needed_stays_and_is_not_drained() {
    for (fault, node, set, cause) in [
        ("etcd-unhealthy:cp2", "cp3", "labels=[\"STATE\", \"EPHEMERAL\"]", "without cp3, 1 are well"),
        ("etcd-learner:cp2", "cp1", "labels=[\"STATE\", \"EPHEMERAL\"]", "without cp1, 1 are well"),
        ("node-down:pve2", "cp3", "labels=[\"STATE\", \"EPHEMERAL\"]", "without cp3, 1 are well"),
        ("node-down:pve3", "cp3", "labels=[\"STATE\", \"EPHEMERAL\"]", "what does not answer cannot leave etcd"),
        ("drain-blocked:shop/web", "w1", "labels=[\"EPHEMERAL\"]", "without STATE it keeps its configuration"),
        ("drain-blocked:shop/web", "cp1", "labels=[\"STATE\"]", "without EPHEMERAL a control plane keeps the data"),
    ] {
        let rig = Rig::start("three-node", 1000.0, &[fault]).await;
        let output = reset(&rig, node, &["--set", set]).await;
        assert_ne!(output.code, Some(0), "{fault}: {}", output.text);
        assert!(flat(&output.text).contains(cause), "{fault}: {}", output.text);
        assert_eq!(resets(&rig), Vec::<String>::new(), "{fault}: {}", output.text);
        let cordoned = rig.house.ledger().into_iter().any(|entry| entry.channel == Channel::Kubectl && entry.mutating);
        assert!(!cordoned, "{fault}: {}", output.text);
        held(&rig, &output);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_on_the_way_stops_it_with_its_cause() {
    // Its drain is held up: nothing is wiped.
    let rig = Rig::start("three-node", 1000.0, &["drain-blocked:shop/web"]).await;
    for node in ["w1", "w2", "w3"] {
        let output = reset(&rig, node, &[]).await;
        if output.code == Some(0) {
            continue;
        }
        assert!(flat(&output.text).contains("still there after 3 s"), "{node}: {}", output.text);
        let asked = resets(&rig);
        let address = format!("10.0.0.6{}", &node[1..]);
        assert!(!asked.iter().any(|line| line.contains(&address)), "{asked:?}");
        held(&rig, &output);
    }
    assert!(resets(&rig).len() < 3, "the budget's pods are on one of them");
    // It never comes back, though it has left.
    let rig = Rig::start("three-node", 1000.0, &["talos-never-returns:cp3"]).await;
    let output = reset(&rig, "cp3", &[]).await;
    let text = flat(&output.text);
    assert_ne!(output.code, Some(0), "{}", output.text);
    assert!(text.contains("cp3 is not in maintenance") && text.contains("see its console"), "{}", output.text);
    assert_eq!(resets(&rig).len(), 1);
    held(&rig, &output);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_that_is_lost_meanwhile_keeps_the_node() {
    let rig = Rig::start("three-node", 1000.0, &[]).await;
    let plan = rig.house.folder().join("plan.json").display().to_string();
    let sets = ["--set", "bare=true", "--set", "emptydir=true"];
    let mut args = vec!["plan", "talos-reset-node", "cp3", "--cluster", "prod", "--out", &plan];
    args.extend(sets);
    let output = rig.run(&args).await;
    assert_eq!(output.code, Some(0), "{}", output.text);
    rig.fault("etcd-unhealthy:cp2");
    let output = rig.run(&["apply", &plan, "--yes", "--confirm", "cp3", "--progress", "quiet"]).await;
    assert_ne!(output.code, Some(0), "{}", output.text);
    assert!(flat(&output.text).contains("without cp3, 1 are well"), "{}", output.text);
    assert_eq!(resets(&rig), Vec::<String>::new(), "{}", output.text);
    held(&rig, &output);
}
