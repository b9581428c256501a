//! Kubernetes in the lab: the real kubectl there, and the actions that use it.

use std::process::{Command, Stdio};

use runbook::lab::ledger::{Channel, Entry};
use serde_json::Value;

use super::rig::{Output, Rig};

async fn rig(faults: &[&str]) -> Rig {
    Rig::start("three-node", 600.0, faults).await
}

/// The program itself, in the lab's environment; whether it ended well, and all that it wrote.
#[allow(clippy::disallowed_methods, reason = "the test plays the operator")]
async fn kubectl(rig: &Rig, line: &str) -> (bool, String) {
    let mut command = Command::new("kubectl");
    command.args(line.split_whitespace()).envs(rig.house.env()).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    let output = output.expect("kubectl is needed: scripts/test-tools");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

async fn node(rig: &Rig, name: &str) -> Value {
    let (well, text) = kubectl(rig, &format!("get node {name} -o json")).await;
    assert!(well, "{text}");
    serde_json::from_str(&text).unwrap()
}

async fn act(rig: &Rig, action: &str, given: &[&str]) -> Output {
    let name = format!("kubernetes.{action}");
    let mut args = vec!["do", &name, "cluster=prod"];
    args.extend(given);
    args.extend(["--apply", "--yes"]);
    rig.run(&args).await
}

#[track_caller]
fn ended(output: &Output, code: i32, said: &[&str]) {
    let flat = super::harness::flat(&output.text);
    assert_eq!(output.code, Some(code), "{}", output.text);
    said.iter().for_each(|part| assert!(flat.contains(part), "{part}: {}", output.text));
}

fn changes(rig: &Rig) -> Vec<Entry> {
    let all = rig.house.ledger().into_iter();
    all.filter(|entry| entry.channel == Channel::Kubectl && entry.mutating).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_kubectl_drains_a_node_there() {
    let rig = rig(&[]).await;
    let (well, text) = kubectl(&rig, "get nodes").await;
    assert!(well && text.contains("control-plane") && text.contains("v1.34.1"), "{text}");
    let (well, text) = kubectl(&rig, "drain w2 --ignore-daemonsets --timeout=60s").await;
    assert!(well && text.contains("node/w2 drained"), "{text}");
    let (_, text) = kubectl(&rig, "get nodes w2").await;
    assert!(text.contains("Ready,SchedulingDisabled"), "{text}");
    let (well, text) = kubectl(&rig, "drain w3 --ignore-daemonsets").await;
    assert!(!well && text.contains("cannot delete Pods that declare no controller"), "{text}");
    let (well, text) = kubectl(&rig, "drain w1 --ignore-daemonsets").await;
    assert!(!well && text.contains("cannot delete Pods with local storage"), "{text}");
    rig.fault("drain-blocked:shop/web");
    let (well, text) = kubectl(&rig, "drain w3 --ignore-daemonsets --force --timeout=4s").await;
    assert!(!well && text.contains("Cannot evict pod as it would violate the pod's disruption budget."), "{text}");
    let (well, text) = kubectl(&rig, "--server https://10.0.0.61:6443 --tls-server-name kubernetes get nodes").await;
    assert!(!well && text.contains("was refused"), "a worker has no API server: {text}");
    let taken = changes(&rig);
    assert!(taken.iter().any(|entry| entry.path.ends_with("/eviction") && entry.accepted), "{taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_a_run_has_cordoned_is_uncordoned() {
    let rig = rig(&["node-down:pve1"]).await;
    let plan = rig.run(&["do", "kubernetes.cordon", "cluster=prod", "node=w2"]).await;
    ended(&plan, 0, &["w2: takes no new pods"]);
    assert_eq!(changes(&rig), [], "a plan changes nothing");
    ended(&act(&rig, "cordon", &["node=w2"]).await, 0, &[]);
    let cordoned = node(&rig, "w2").await;
    let mark = cordoned["metadata"]["annotations"]["runbook.dev/cordoned-by"].as_str().unwrap();
    assert!(mark.ends_with("/cordon") && cordoned["spec"]["unschedulable"] == true, "{cordoned}");
    let asked = changes(&rig);
    assert!(asked.iter().all(|entry| entry.node.as_str() == "10.0.0.52"), "cp1 is gone: {asked:?}");
    ended(&act(&rig, "uncordon", &["node=w2"]).await, 0, &["Nothing to do"]);
    assert_eq!(node(&rig, "w2").await["spec"]["unschedulable"], true, "another run's");
    // The one before had nothing to do, and is no run.
    ended(&rig.run(&["rollback", "last", "--yes"]).await, 10, &["cordon/undo: ok"]);
    let open = node(&rig, "w2").await;
    assert!(open["spec"]["unschedulable"].is_null(), "its own: {open}");
    ended(&act(&rig, "cordon", &["node=w2"]).await, 0, &[]);
    ended(&act(&rig, "uncordon", &["node=w2", "force=true"]).await, 0, &[]);
    let open = node(&rig, "w2").await;
    assert!(open["spec"]["unschedulable"].is_null(), "{open}");
    assert!(open["metadata"]["annotations"]["runbook.dev/cordoned-by"].is_null(), "{open}");
    assert!(kubectl(&rig, "cordon w3").await.0);
    ended(&act(&rig, "cordon", &["node=w3"]).await, 0, &["Nothing to do"]);
    ended(&act(&rig, "uncordon", &["node=w3"]).await, 0, &["Nothing to do"]);
    assert_eq!(node(&rig, "w3").await["spec"]["unschedulable"], true, "a person's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_keeps_budgets_and_names_what_stops_it() {
    let rig = rig(&[]).await;
    let refused = act(&rig, "drain", &["node=w3"]).await;
    ended(&refused, 6, &["default/debug must not be evicted without leave", "nothing makes it again"]);
    assert_eq!(changes(&rig), []);
    rig.fault("drain-blocked:shop/web");
    let late = act(&rig, "drain", &["node=w2", "within=2s"]).await;
    ended(
        &late,
        1,
        &["disruption budget shop/web (needs 3 healthy pods, has 3) allows no disruption", "still there after 2 s"],
    );
    rig.house.with_world(runbook::lab::world::World::mend_kubernetes);
    ended(&act(&rig, "drain", &["node=w2"]).await, 0, &[]);
    let (_, left) = kubectl(&rig, "get pods -A --field-selector spec.nodeName=w2").await;
    assert!(left.contains("kube-proxy-") && !left.contains("web-"), "{left}");
    let done = changes(&rig).len();
    ended(&act(&rig, "drain", &["node=w2"]).await, 0, &["Nothing to do"]);
    assert_eq!(changes(&rig).len(), done);
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_that_is_not_well_stops_and_so_does_what_is_not_known() {
    let rig = rig(&["storage-degraded"]).await;
    let bad = act(&rig, "storage_health", &[]).await;
    assert_ne!(bad.code, Some(0), "{}", bad.text);
    ended(
        &bad,
        bad.code.unwrap(),
        &["Longhorn volume pvc-shop-db is degraded", "Ceph rook-ceph/rook-ceph: HEALTH_WARN"],
    );
    rig.fault("503:GET /apis/longhorn.io/v1beta2/volumes");
    let unknown = act(&rig, "storage_health", &["healthy=false"]).await;
    assert_ne!(unknown.code, Some(0), "{}", unknown.text);
    assert!(unknown.text.contains("ServiceUnavailable"), "{}", unknown.text);
}
