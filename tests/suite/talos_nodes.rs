//! `talos-node-replace` in the lab: that the new machine has joined and the old one is out, that etcd keeps its quorum
//! throughout, and that each thing that goes wrong ends as a stop with its cause.

use runbook::lab::ledger::{Channel, Entry};

use super::harness::flat;
use super::rig::{Output, Rig};

async fn rig(faults: &[&str]) -> Rig {
    Rig::start("three-node", 1000.0, faults).await
}

async fn replace(rig: &Rig, node: &str, more: &[&str]) -> Output {
    let mut args = vec!["run", "talos-node-replace", node, "9000", "--cluster", "prod"];
    for set in ["bare=true", "emptydir=true", "vmid=1999", "within=6s"] {
        args.extend(["--set", set]);
    }
    args.extend(more);
    args.extend(["--apply", "--yes", "--progress", "quiet"]);
    rig.run(&args).await
}

async fn config(rig: &Rig, vmid: &str) -> String {
    rig.run(&["do", "proxmox.guest_config", &format!("guest={vmid}"), "-o", "json"]).await.text
}

/// What was changed by talosctl and kubectl, in order.
fn changes(rig: &Rig) -> Vec<String> {
    let ours = |entry: &Entry| matches!(entry.channel, Channel::Talosctl | Channel::Kubectl) && entry.mutating;
    let what = |entry: Entry| entry.params.get("argv").cloned().unwrap_or(format!("{} {}", entry.method, entry.path));
    rig.house.ledger().into_iter().filter(ours).map(what).collect()
}

#[track_caller]
fn held(rig: &Rig, output: &Output) {
    assert_eq!(rig.house.talos_violations(), Vec::<String>::new(), "{}", output.text);
}

async fn is_well(rig: &Rig) {
    let status = rig.run(&["run", "talos-status", "--cluster", "prod", "--set", "healthy=true", "--apply"]).await;
    assert_eq!(status.code, Some(0), "{}", status.text);
    let nodes = rig.run(&["do", "kubernetes.nodes", "cluster=prod"]).await;
    assert!(flat(&nodes.text).contains("6 of 6 nodes are ready"), "{}", nodes.text);
    assert!(!flat(&nodes.text).contains("schedulable: false"), "{}", nodes.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_replaced_and_the_old_guest_stays_off() {
    let rig = rig(&[]).await;
    let before = rig.house.with_world(|world| world.machine_boots()["w2"].clone()).unwrap();
    let output = replace(&rig, "w2", &[]).await;
    assert_eq!(output.code, Some(0), "{}", output.text);
    held(&rig, &output);
    is_well(&rig).await;
    let (old, new) = (config(&rig, "1062").await, config(&rig, "1999").await);
    assert!(!old.contains("prod") && !old.contains("worker") && old.contains("\"onboot\": \"0\""), "{old}");
    assert!(new.contains("prod") && new.contains("ip=10.0.0.62/24,gw=10.0.0.1"), "{new}");
    assert_ne!(rig.house.with_world(|world| world.machine_boots()["w2"].clone()).unwrap(), before);
    assert!(changes(&rig).iter().any(|line| line.contains("apply-config --insecure")), "{:?}", changes(&rig));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_is_replaced_and_votes_and_the_old_guest_is_destroyed_if_asked() {
    let rig = rig(&[]).await;
    let output = replace(&rig, "cp1", &["--set", "delete=true", "--confirm", "cp1"]).await;
    assert_eq!(output.code, Some(0), "{}", output.text);
    held(&rig, &output);
    is_well(&rig).await;
    let removed = changes(&rig).iter().filter(|line| line.contains("remove-member")).count();
    assert_eq!(removed, 1, "{:?}", changes(&rig));
    let guests = rig.run(&["do", "proxmox.guests", "name=cp1", "-o", "json"]).await;
    assert!(guests.text.contains("1999") && !guests.text.contains("1051"), "{}", guests.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_quorum_would_be_lost_nothing_is_begun() {
    for (fault, node, cause) in [
        ("etcd-unhealthy:cp3", "cp2", "cp3"),
        ("etcd-learner:cp3", "cp2", "cp3: it is a learner"),
        ("etcd-alarm:cp3", "cp2", "alarm NOSPACE"),
        ("node-down:pve3", "cp2", "cp3 does not answer"),
    ] {
        let rig = rig(&[fault]).await;
        let output = replace(&rig, node, &[]).await;
        assert_ne!(output.code, Some(0), "{fault}: {}", output.text);
        assert!(flat(&output.text).contains(cause), "{fault}: {}", output.text);
        let begun: Vec<Entry> = rig.work();
        assert!(begun.is_empty(), "{fault}: {begun:#?}");
        held(&rig, &output);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_the_machines_own_or_older_is_refused() {
    for (from, to, cause) in [
        ("kubelet:v1.34.1", "kubelet:v1.33.5", "older than what runs"),
        ("hostname: w2", "hostname: w3", "it is of w3, and w2 has w2"),
        ("type: worker", "type: controlplane", "it is of a controlplane"),
        ("clusterName: prod", "clusterName: test", "it is of cluster test"),
    ] {
        let rig = rig(&[]).await;
        let file = rig.house.folder().join("talos").join("prod").join("w2.yaml");
        let text = runbook::sys::files::read_text(&file).unwrap();
        assert!(text.contains(from), "{text}");
        runbook::sys::files::write_private(&file, text.replacen(from, to, 1).as_bytes()).unwrap();
        let output = replace(&rig, "w2", &[]).await;
        assert_ne!(output.code, Some(0), "{to}: {}", output.text);
        assert!(flat(&output.text).contains(cause), "{to}: {}", output.text);
        assert!(rig.work().is_empty(), "{to}: {:#?}", rig.work());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_is_blocked_and_a_machine_that_never_comes_stop_it() {
    let rig1 = rig(&["drain-blocked:shop/web"]).await;
    let output = replace(&rig1, "w2", &["--set", "drain_within=5s"]).await;
    assert_ne!(output.code, Some(0), "{}", output.text);
    assert!(flat(&output.text).contains("disruption budget shop/web"), "{}", output.text);
    let old = rig1.run(&["do", "proxmox.guest_status", "guest=1062"]).await;
    assert!(old.text.contains("running"), "the old machine is as it was: {}", old.text);
    held(&rig1, &output);
    let rig2 = rig(&["talos-never-returns:cp2"]).await;
    let output = replace(&rig2, "cp2", &[]).await;
    assert_ne!(output.code, Some(0), "{}", output.text);
    assert!(flat(&output.text).contains("cp2 does not answer"), "{}", output.text);
    held(&rig2, &output);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_dead_is_replaced_too() {
    let rig = rig(&[]).await;
    let stopped = rig.run(&["do", "proxmox.guest_stop", "guest=1053", "--apply", "--yes"]).await;
    assert_eq!(stopped.code, Some(0), "{}", stopped.text);
    let output = replace(&rig, "cp3", &[]).await;
    assert_eq!(output.code, Some(0), "{}", output.text);
    held(&rig, &output);
    is_well(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn single_acts_refuse_what_is_well() {
    let rig = rig(&[]).await;
    for (args, cause) in [
        (&["do", "talos.remove_member", "cluster=prod", "node=cp2"][..], "answers on cp2"),
        (&["do", "kubernetes.delete_node", "cluster=prod", "node=w2"], "its kubelet is there"),
    ] {
        let output = rig.run(&[args, &["--apply", "--yes"]].concat()).await;
        assert_ne!(output.code, Some(0), "{}", output.text);
        assert!(flat(&output.text).contains(cause), "{}", output.text);
    }
    assert_eq!(changes(&rig), Vec::<String>::new());
    // One that is only not ready may come back.
    rig.fault("node-not-ready:w2");
    let output = rig.run(&["do", "kubernetes.delete_node", "cluster=prod", "node=w2", "--apply", "--yes"]).await;
    assert!(flat(&output.text).contains("this program has not cordoned it"), "{}", output.text);
}
