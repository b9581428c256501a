//! `talos-status` and `talos-diagnose` in the lab: what is wrong is told with its node and its cause, the most suspicious thing
//! first, and what is well is not suspected.

use serde_json::Value;

use super::harness::flat;
use super::rig::{Output, Rig};

async fn do_json(rig: &Rig, action: &str) -> Value {
    let output = rig.run(&["do", action, "cluster=prod", "-o", "json"]).await;
    let from = output.text.find('{').unwrap_or_else(|| panic!("{}", output.text));
    serde_json::from_str(&output.text[from..]).unwrap_or_else(|e| panic!("{e}: {}", output.text))
}

fn titles(found: &Value) -> Vec<String> {
    let one = |suspect: &Value| {
        let what = suspect["what"].as_str().unwrap_or_default();
        suspect["node"].as_str().map_or_else(|| what.to_owned(), |node| format!("{node}: {what}"))
    };
    found["outputs"]["suspects"].as_array().unwrap().iter().map(one).collect()
}

async fn diagnosed(rig: &Rig) -> Vec<String> {
    titles(&do_json(rig, "talos.diagnose").await)
}

async fn lab(faults: &[&str]) -> Rig {
    Rig::start("three-node", 1000.0, faults).await
}

async fn upgrade(rig: &Rig, node: &str) -> Output {
    let image =
        "image=factory.talos.dev/installer/ce4c980550dd2ab1b17bbf2b08801c7eb59418eafe8f279833297925d67c7515:v1.12.11";
    let node = format!("node={node}");
    let words = ["do", "talos.upgrade_node", "cluster=prod", &node, "version=1.12.11", image, "within=6s"];
    rig.run(&[&words[..], &["--apply", "--yes"]].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_well_is_not_suspected() {
    let rig = lab(&[]).await;
    let found = do_json(&rig, "talos.diagnose").await;
    assert_eq!(titles(&found), Vec::<String>::new());
    assert_eq!(found["outputs"]["healthy"], true);
    let status = do_json(&rig, "talos.status").await;
    let roles = status["outputs"]["nodes"].as_array().unwrap().iter().map(|node| node["etcd"].clone());
    assert_eq!(Value::from_iter(roles), serde_json::json!(["leader", "member", "member", null, null, null]));
    let text = flat(&rig.run(&["run", "talos-status", "--cluster", "prod", "--apply"]).await.text);
    assert!(text.contains("cp1 1051 10.0.0.51 control plane 1.11.2 running yes leader"), "{text}");
    assert!(text.contains("w3 1063 10.0.0.63 worker 1.11.2 running yes"), "{text}");
    assert!(text.contains("Nothing to do: everything is as it should be."), "{text}");
}

/// Each as the first of all that is suspected, and nothing that is not so besides.
#[tokio::test(flavor = "multi_thread")]
async fn each_fault_is_told_with_its_cause_first() {
    for (faults, wanted) in [
        (&["etcd-unhealthy:cp2"][..], &["cp2: its etcd does not answer:"][..]),
        (&["etcd-learner:cp3"], &["cp3: its etcd is a learner and does not vote yet"]),
        (&["etcd-alarm:cp3"], &["cp3: its database is full (alarm NOSPACE)"]),
        (&["etcd-corrupt:cp2"], &["cp2: its database is not that of the others (alarm CORRUPT)"]),
        (&["talos-kubelet-unhealthy:w1"], &["w1: its service kubelet is Running, health Fail"]),
        (&["talos-disk-full:w2"], &["w2: /var (/dev/sda6) is 97 % full"]),
        (
            &["talos-clock-behind:cp1"],
            &["cp1: its clock is 90.0 s behind time.cloudflare.com", "the clocks of cp1 and w3 are 90.0 s apart"],
        ),
        (&["node-not-ready:w1"], &["w1: Kubernetes does not call it ready"]),
        (
            &["node-down:pve1"],
            &[
                "cp1: it does not answer: VM 1051 (cp1) is on pve1, which is offline",
                "w1: it does not answer: VM 1061 (w1) is on pve1, which is offline",
            ],
        ),
        (
            &["etcd-unhealthy:cp1", "etcd-unhealthy:cp2"],
            &["etcd has no quorum: 0 of 3 control planes answer for it, none sees a leader"],
        ),
        // What is wrong only with the next snapshot or drain is nothing to be seen before.
        (&["snapshot-cut"], &[]),
        (&["snapshot-damaged"], &[]),
        (&["upgrade-hangs:cp1"], &[]),
        (&["drain-blocked:shop/web"], &[]),
    ] {
        let rig = lab(faults).await;
        let found = diagnosed(&rig).await;
        let story = format!("{faults:?}: {found:#?}");
        for (wanted, found) in wanted.iter().zip(&found) {
            assert!(found.starts_with(wanted), "{wanted}: {story}");
        }
        assert!(found.len() >= wanted.len() && found.is_empty() == wanted.is_empty(), "{story}");
        // A single fault of a single machine casts suspicion on no other.
        let culprit = faults[0].split_once(':').map(|(_, node)| node).filter(|_| faults.len() == 1);
        if let Some(culprit) = culprit.filter(|node| !node.starts_with("pve")) {
            let others = ["cp1", "cp2", "cp3", "w1", "w2", "w3"].into_iter().filter(|node| *node != culprit);
            for other in others {
                assert!(!found.iter().any(|one| one.starts_with(&format!("{other}: "))), "{other}: {story}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_upgrade_left_is_told() {
    let rig = lab(&["talos-rolls-back:w1"]).await;
    assert_eq!(upgrade(&rig, "w1").await.code, Some(1));
    let found = diagnosed(&rig).await;
    assert!(
        found[0].starts_with("w1: a new system did not boot: it went back by itself, and runs Talos 1.11.2"),
        "{found:#?}"
    );

    let rig = lab(&["talos-loses-extensions:w1"]).await;
    assert_eq!(upgrade(&rig, "w1").await.code, Some(1));
    let found = diagnosed(&rig).await;
    assert!(
        found.contains(
            &"the nodes do not run the same Talos: 1.11.2 on cp1, cp2, cp3, w2, w3; 1.12.11 on w1".to_owned()
        ),
        "{found:#?}"
    );
    assert!(
        found.contains(&"w1: it runs another schematic than most: its extensions may be gone".to_owned()),
        "{found:#?}"
    );

    let rig = lab(&["talos-never-returns:w1"]).await;
    assert_eq!(upgrade(&rig, "w1").await.code, Some(11));
    let found = diagnosed(&rig).await;
    assert!(
        found[0].starts_with("w1: it does not answer although VM 1061 (w1) runs on pve1: its console says why"),
        "{found:#?}"
    );

    let rig = lab(&[]).await;
    let stopped = rig.run(&["do", "proxmox.guest_stop", "guest=1062", "--apply", "--yes"]).await;
    assert_eq!(stopped.code, Some(0), "{}", stopped.text);
    let found = diagnosed(&rig).await;
    assert!(found[0].starts_with("w2: it does not answer: VM 1062 (w2) on pve2 is stopped"), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_has_evidence_and_commands_and_the_runbook_shows_them() {
    let rig = lab(&["etcd-unhealthy:cp2", "etcd-alarm:cp3", "talos-disk-full:w2"]).await;
    let output = rig.run(&["run", "talos-diagnose", "--cluster", "prod"]).await;
    let text = flat(&output.text);
    assert_eq!(output.code, Some(0), "{text}");
    for part in [
        "1. cp2: its etcd does not answer",
        "$ talosctl --endpoints 10.0.0.52 --nodes 10.0.0.52 service etcd",
        "2. cp3: its database is full",
        "$ runbook plan talos-etcd-maintenance --cluster prod",
        "w2: /var (/dev/sda6) is 97 % full",
        "Warning: first to look at: cp2: its etcd does not answer",
    ] {
        assert!(text.contains(part), "{part}: {}", output.text);
    }
    let found = do_json(&rig, "talos.diagnose").await;
    let first = &found["outputs"]["suspects"][0];
    assert!(first["evidence"][0].as_str().unwrap().contains("health Fail"), "{first:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_of_the_status_are_warnings_each_with_its_node() {
    let rig = lab(&["etcd-unhealthy:cp2", "etcd-alarm:cp3", "node-down:pve1"]).await;
    let output = rig.run(&["run", "talos-status", "--cluster", "prod", "--apply"]).await;
    let text = flat(&output.text);
    assert_eq!(output.code, Some(0), "{text}");
    for part in [
        "Warning: cp1: it does not answer",
        "Warning: w1: it does not answer",
        "Warning: cp2: nothing is known of its etcd",
        "cp1 1051 10.0.0.51 control plane ? no answer ? unknown",
        "Nothing to do; see the warnings.",
    ] {
        assert!(text.contains(part), "{part}: {}", output.text);
    }
    let output = rig.run(&["run", "talos-status", "--cluster", "prod", "--apply", "-o", "json"]).await;
    let from = output.text.find('{').unwrap();
    let json: Value = serde_json::from_str(&output.text[from..]).unwrap_or_else(|e| panic!("{e}: {}", output.text));
    assert!(
        json["warnings"].as_array().unwrap().iter().any(|one| one.as_str().unwrap().starts_with("cp1: ")),
        "{json:#}"
    );
}
