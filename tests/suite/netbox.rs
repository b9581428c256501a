//! A NetBox kept as the site's guests are: once, again, killed in the middle, with requests that go wrong.

use std::time::Duration;

use runbook::app::rehearse::{Laid, Trial, When};
use runbook::event::RunStatus;
use serde_json::Value;

use super::rig::{Output, Rig};

const PUSH: [&str; 5] = ["inventory", "push", "netbox", "--apply", "--yes"];

async fn rig(faults: &[&str]) -> Rig {
    Rig::start("tiny", 600.0, faults).await
}

#[track_caller]
fn succeeded(output: &Output) {
    assert_eq!(output.code, Some(0), "{}", output.text);
}

/// What changed something in NetBox.
fn writes(rig: &Rig) -> Vec<String> {
    let all = rig.house.ledger().into_iter().filter(|entry| entry.node.as_str() == "netbox" && entry.mutating);
    all.map(|entry| format!("{} {}", entry.method, entry.path)).collect()
}

/// The state that an undisturbed push ends in.
async fn goal() -> Value {
    let rig = rig(&[]).await;
    succeeded(&rig.run(&PUSH).await);
    rig.house.netbox()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_planned_then_done_and_the_second_changes_nothing() {
    let rig = Rig::start("three-node", 600.0, &[]).await;
    let before = rig.house.netbox();
    let plan = rig.run(&PUSH[..3]).await;
    succeeded(&plan);
    for part in
        ["+ web (lab.example/104) in lab.example", "interface net0", "lab.example/111", "is not ours", "retired"]
    {
        assert!(plan.text.contains(part), "{part}: {}", plan.text);
    }
    assert_eq!(writes(&rig), Vec::<String>::new(), "a plan changes nothing");
    succeeded(&rig.run(&PUSH).await);
    let (after, done) = (rig.house.netbox(), writes(&rig).len());
    assert_eq!(after["other"], before["other"], "what has no mark is not touched");
    let web = &after["guest"]["lab.example/104"];
    assert_eq!((web["name"].as_str(), web["status"].as_str()), (Some("web"), Some("active")));
    assert!(web["primary4"].as_str().is_some_and(|address| address.contains("10.0.0.104")), "{web}");
    assert!(after["guest"]["lab.example/998"].is_object(), "an orphan is reported, not deleted");
    let again = rig.run(&PUSH).await;
    succeeded(&again);
    assert_eq!(writes(&rig).len(), done, "{:?}\n{}", &writes(&rig)[done..], again.text);
    // The other kind of token, from its own file.
    let folder = rig.house.folder();
    std::fs::copy(folder.join("netbox-token-v1"), folder.join("netbox-token")).unwrap();
    succeeded(&rig.run(&PUSH).await);
    let mut all = PUSH.to_vec();
    all.extend(["--delete-orphans", "--confirm", "delete"]);
    succeeded(&rig.run(&all).await);
    let end = rig.house.netbox();
    assert_eq!(end["guest"]["lab.example/998"], Value::Null);
    assert_eq!(end["other"], before["other"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_is_killed_goes_on_and_has_nothing_twice() {
    let goal = goal().await;
    for requests in [45, 70, 100, 140] {
        let rig = rig(&[]).await;
        let killed = rig.run_and_kill(&PUSH, requests, Duration::from_millis(1)).await;
        if killed.code.is_none() {
            let went_on = rig.run(&["resume", "last", "--yes"]).await;
            assert_eq!(went_on.code, Some(0), "killed after {requests}: {}", went_on.text);
        }
        assert_eq!(rig.house.netbox(), goal, "killed after {requests}");
        let done = writes(&rig).len();
        succeeded(&rig.run(&PUSH).await);
        assert_eq!(writes(&rig).len(), done, "killed after {requests}: the next push changes something");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_go_wrong_are_looked_after() {
    let goal = goal().await;
    for fault in [
        "reset-after:POST /api/virtualization/virtual-machines/*2",
        "reset-before:POST /api/virtualization/interfaces/*2",
        "502-after:POST /api/dcim/mac-addresses/*2",
        "504:POST /api/ipam/ip-addresses/*2",
        "503:GET /api/virtualization/**",
        "429:PATCH /api/virtualization/virtual-machines/*/*3",
        "reset-after:PATCH /api/virtualization/interfaces/*/*2",
        "slow:GET /api/ipam/ip-addresses/*3=2s",
    ] {
        let fault = if fault.starts_with("503:") { "503:GET /api/virtualization/virtual-machines/*3" } else { fault };
        let rig = rig(&[fault]).await;
        let output = rig.run(&PUSH).await;
        assert_eq!(output.code, Some(0), "{fault}: {}", output.text);
        assert_eq!(rig.house.netbox(), goal, "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_netbox_refuses_is_told_in_its_words() {
    for (fault, said) in [
        ("403:POST /api/virtualization/virtual-machines/", "NetBox says 403"),
        ("500:POST /api/virtualization/interfaces/=out of luck", "out of luck"),
    ] {
        let rig = rig(&[fault]).await;
        let output = rig.run(&PUSH).await;
        assert_ne!(output.code, Some(0), "{fault}: {}", output.text);
        assert!(output.text.contains(said), "{fault}: {}", output.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_setup_meets_each_fault_of_a_request() {
    let trial =
        Trial::of("tiny", &[], None, "netbox.setup", &[]).await.unwrap_or_else(|e| panic!("{e}: {:?}", e.details));
    for place in ["cluster-types", "clusters", "custom-fields"] {
        let app = if place == "custom-fields" { "extras" } else { "virtualization" };
        for how in ["reset-before", "reset-after", "500", "502-after", "403", "hang"] {
            let fault = format!("{how}:POST /api/{app}/{place}/*1");
            let tried = trial.run(vec![Laid { fault: fault.clone(), when: When::AtOnce }]).await.unwrap();
            assert_eq!(tried.findings, Vec::<String>::new(), "{fault}: {:?}\n{}", tried.statuses, tried.story);
            assert!(how != "reset-after" || tried.statuses == [RunStatus::Succeeded], "{fault}: {}", tried.story);
        }
    }
}
