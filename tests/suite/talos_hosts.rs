//! Runbooks for a cluster and for the Proxmox nodes below it: they keep out of each other's way by the site's lock, and no two
//! members of a quorum group are down together, whichever of the two has taken the first one down.

use std::process::Stdio;
use std::time::Duration;

use runbook::app::planning::{self, Request};
use runbook::app::{books, doing};
use runbook::event::{Ending, RunStatus};
use runbook::lab::ledger::{Channel, Entry};
use runbook::model::plan::Plan;
use serde_json::{Value, json};

use super::harness::flat;
use super::rig::{Output, Rig, finish};

const IMAGE: &str =
    "factory.talos.dev/installer/ce4c980550dd2ab1b17bbf2b08801c7eb59418eafe8f279833297925d67c7515:v1.12.11";

async fn rig(scale: f64) -> Rig {
    let rig = Rig::start("three-node", scale, &[]).await;
    runbook::sys::files::make_private_dir(rig.house.folder().join("snaps")).unwrap();
    rig
}

fn of(rig: &Rig, runbook: &str) -> Vec<String> {
    let snapshots = format!("snapshots={}", rig.house.folder().join("snaps").display());
    let words = match runbook {
        "talos-upgrade" => {
            vec![
                "run",
                runbook,
                "1.12.11",
                "--cluster",
                "prod",
                "--set",
                &snapshots,
                "--set",
                "bare=true",
                "--set",
                "emptydir=true",
            ]
        }
        "talos-etcd-maintenance" => vec!["run", runbook, "--cluster", "prod", "--set", &snapshots],
        _ => vec!["run", runbook, "pve2"],
    };
    words.into_iter().chain(["--apply", "--yes", "--progress", "quiet"]).map(str::to_owned).collect()
}

/// The same person on another machine.
async fn elsewhere(rig: &Rig, runbook: &str) -> Output {
    let words = of(rig, runbook);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut command = rig.command(&words);
    command.env("XDG_STATE_HOME", rig.house.folder().join("other-state"));
    finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()).await
}

/// What the lab was asked to do by talosctl, and of guests.
fn work(rig: &Rig) -> usize {
    let is_work =
        |entry: &Entry| entry.mutating && (entry.channel == Channel::Talosctl || entry.path.ends_with("/migrate"));
    rig.house.ledger().into_iter().filter(is_work).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn while_one_of_them_is_at_work_the_others_are_refused_with_who_is() {
    const ALL: [&str; 3] = ["talos-upgrade", "node-evacuation", "talos-etcd-maintenance"];
    for holder in ALL {
        // Slow enough for the others to come while it is at work.
        let rig = rig(20.0).await;
        let words = of(&rig, holder);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut first = rig.spawn(&words);
        while rig.lock_calls().0 == 0 {
            assert!(first.try_wait().unwrap().is_none(), "{holder}: {:?}", finish(first).await);
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        // Killed, so that nothing is in motion: the lock is the run's, and stays.
        first.start_kill().unwrap();
        first.wait().await.unwrap();
        let run = rig.store().find("last").unwrap().id.to_string();
        let before = work(&rig);
        for other in ALL {
            let refused = elsewhere(&rig, other).await;
            let text = flat(&refused.text);
            assert_eq!(refused.code, Some(8), "{holder}, {other}: {}", refused.text);
            for part in ["the site is locked", &run, &format!("`runbook resume {run}`")] {
                assert!(text.contains(part), "{holder}, {other}: {part}: {}", refused.text);
            }
        }
        assert_eq!(work(&rig), before, "{holder}: nothing was done by those that were refused");
        rig.house.leave().await;
    }
}

async fn planned(rig: &Rig, action: &str, given: &[(&str, &str)]) -> Plan {
    let given: Vec<(String, String)> = given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let (site, book) = (rig.site().await, doing::book(action, &given).unwrap());
    planning::plan(&site, &book, &Request { args: vec![], set: given, cluster: None }).await.unwrap()
}

fn upgrade(node: &str) -> [(&str, &str); 4] {
    [("cluster", "prod"), ("node", node), ("version", "1.12.11"), ("image", IMAGE)]
}

fn asked_of_talos(rig: &Rig) -> Vec<String> {
    let is_one = |entry: &Entry| entry.channel == Channel::Talosctl && entry.mutating;
    rig.house.ledger().into_iter().filter(is_one).filter_map(|entry| entry.params.get("argv").cloned()).collect()
}

/// Workers that hold something of which two must never be down.
fn workers_are_a_group(rig: &Rig) {
    let path = rig.house.folder().join("cluster-config.yaml");
    let text = runbook::sys::files::read_text(&path).unwrap();
    let mut config: Value = serde_json::from_str(&text[text.find('{').unwrap()..]).unwrap();
    config["policy"]["quorum_groups"] = json!([
        {"name": "prod-control-plane", "tags": ["prod", "controlplane"]},
        {"name": "storage", "tags": ["prod", "worker"]},
    ]);
    runbook::sys::files::write_private(path, config.to_string().as_bytes()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_member_of_a_group_is_upgraded_while_another_is_down_or_cannot_be_told() {
    for (node, fault, cause) in [
        // Its guest is off; the Proxmox node of its guest is gone.
        ("w1", None, "policy.quorum_groups \"storage\": VM 1062 (w2) is stopped"),
        ("w3", Some("node-down:pve2"), "policy.quorum_groups \"storage\": VM 1062 (w2) is"),
    ] {
        let rig = rig(1000.0).await;
        workers_are_a_group(&rig);
        // Planned while all are well.
        let late = planned(&rig, "talos.upgrade_node", &upgrade(node)).await;
        assert!(late.failure.is_none(), "{:?}", late.failure);
        match fault {
            Some(fault) => rig.fault(fault),
            None => {
                let stopped = rig.run(&["do", "proxmox.guest_stop", "guest=1062", "--apply", "--yes"]).await;
                assert_eq!(stopped.code, Some(0), "{}", stopped.text);
            }
        }
        let (ended, _) = rig.apply(late, &[]).await;
        assert_ne!(ended.unwrap().status, RunStatus::Succeeded, "{node}");
        let Some(Ending::Failed { failure }) = rig.ending("upgrade_node") else { panic!("{:?}", rig.events()) };
        assert!(failure.cause.starts_with(cause), "{node}: {failure}");
        assert_eq!(asked_of_talos(&rig), Vec::<String>::new(), "{node}");
        // And a plan that is made now says so by itself.
        let now = planned(&rig, "talos.upgrade_node", &upgrade(node)).await;
        assert!(now.failure.is_some_and(|failed| failed.failure.cause.contains("storage")), "{node}");
    }
}

/// Whatever a runbook says of batches: two of a group are never in flight together.
#[tokio::test(flavor = "multi_thread")]
async fn two_of_a_group_are_never_upgraded_at_the_same_time() {
    let rig = rig(1000.0).await;
    workers_are_a_group(&rig);
    let folder = rig.house.folder().join("runbooks");
    std::fs::create_dir_all(&folder).unwrap();
    let text = format!(
        "runbook: all-at-once\nschema: 1\ntarget: talos\nsteps:\n  - id: node\n    for_each: \"['w1', 'w2', 'w3']\"\n    as: name\n    \
         key: name\n    max_parallel: 3\n    uses: talos.upgrade_node\n    with: {{cluster: prod, node: \"{{{{ name }}}}\", \
         version: \"1.12.11\", image: \"{IMAGE}\"}}\n"
    );
    runbook::sys::files::write_private(folder.join("all-at-once.yaml"), text.as_bytes()).unwrap();
    let (site, book) = (rig.site().await, books::find(&rig.settings(), "all-at-once").unwrap());
    let request = Request { args: vec![], set: vec![], cluster: Some("prod".into()) };
    let plan = planning::plan(&site, &book, &request).await.unwrap();
    assert!(plan.failure.is_none(), "{:?}", plan.failure);
    let (ended, seen) = rig.apply(plan, &[]).await;
    assert_eq!(ended.unwrap().status, RunStatus::Succeeded);
    let (mut at_work, mut most, mut begun) = (0_usize, 0, 0);
    for fact in seen.facts() {
        match fact {
            runbook::event::Fact::Started { path, .. } if path.as_str().starts_with("node[") => {
                (at_work, begun) = (at_work + 1, begun + 1);
                most = most.max(at_work);
            }
            runbook::event::Fact::Finished { path, .. } if path.as_str().starts_with("node[") => at_work -= 1,
            _ => {}
        }
    }
    assert_eq!((begun, most), (3, 1));
    assert_eq!(rig.house.talos_violations(), Vec::<String>::new());
}
