//! The site's policy: in the plan, and again before each change.

use std::time::Duration;

use runbook::app::planning::{self, Request};
use runbook::app::{books, doing};
use runbook::event::{Ending, Fact, RunStatus};
use runbook::model::plan::Plan;
use serde_json::{Value, json};

use super::rig::Rig;

const NEVER_NOW: &str = "0 0 29 2 *";

/// Lays `policy` over the lab's own.
fn policy(rig: &Rig, policy: &Value) {
    let path = rig.house.folder().join("cluster-config.yaml");
    let text = runbook::sys::files::read_text(&path).unwrap();
    // A remark, and JSON.
    let mut config: Value = serde_json::from_str(&text[text.find('{').unwrap()..]).unwrap();
    for (key, value) in policy.as_object().unwrap() {
        config["policy"][key] = value.clone();
    }
    runbook::sys::files::write_private(path, config.to_string().as_bytes()).unwrap();
}

fn write_book(rig: &Rig, name: &str, steps: &str) {
    let folder = rig.house.folder().join("runbooks");
    std::fs::create_dir_all(&folder).unwrap();
    let text = format!("runbook: {name}\nschema: 1\ntarget: proxmox\nsteps:\n{steps}");
    runbook::sys::files::write_private(folder.join(format!("{name}.yaml")), text.as_bytes()).unwrap();
}

async fn plan_of(rig: &Rig, name: &str) -> Plan {
    let (site, book) = (rig.site().await, books::find(&rig.settings(), name).unwrap());
    let request = Request { args: vec![], set: vec![], cluster: None };
    planning::plan(&site, &book, &request).await.unwrap()
}

async fn plan_do(rig: &Rig, action: &str, given: &[(&str, &str)]) -> Plan {
    let given: Vec<(String, String)> = given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let (site, book) = (rig.site().await, doing::book(action, &given).unwrap());
    planning::plan(&site, &book, &Request { args: vec![], set: given, cluster: None }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_control_planes_never_move_at_the_same_time() {
    let rig = Rig::start("three-node", 60.0, &[]).await;
    let moves = r#"
  - id: move
    for_each: "[{'id': 1052, 'to': 'pve3'}, {'id': 1051, 'to': 'pve2'}, {'id': 105, 'to': 'pve3'}]"
    as: m
    key: m.id
    max_parallel: 3
    uses: proxmox.guest_migrate
    with: {guest: "{{ m.id }}", to: "{{ m.to }}"}
"#;
    write_book(&rig, "shuffle", moves);
    let plan = plan_of(&rig, "shuffle").await;
    assert!(plan.failure.is_none(), "{:?}", plan.failure);
    let (ended, seen) = rig.apply(plan, &[]).await;
    assert_eq!(ended.unwrap().status, RunStatus::Succeeded);
    let (mut at_work, mut most) = (Vec::new(), 0);
    for fact in seen.facts() {
        match fact {
            Fact::Started { path, .. } => at_work.push(path.to_string()),
            Fact::Finished { path, .. } => at_work.retain(|p| *p != path.to_string()),
            _ => {}
        }
        most = most.max(at_work.len());
        let planes = at_work.iter().filter(|path| path.starts_with("move[105") && *path != "move[105]").count();
        assert!(planes < 2, "both at once: {at_work:?}");
    }
    assert_eq!(most, 2, "whoever is no member does not wait");
    let asked = rig.migrations();
    assert_eq!(asked.len(), 3, "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_member_down_is_enough_in_the_plan_and_in_the_run() {
    let rig = Rig::start("three-node", 600.0, &[]).await;
    // Planned while all of them run.
    let late = plan_do(&rig, "proxmox.guest_shutdown", &[("guest", "cp2")]).await;
    assert!(late.failure.is_none(), "{:?}", late.failure);
    let both = r#"
  - {id: first, uses: proxmox.guest_shutdown, with: {guest: 1051}}
  - {id: second, uses: proxmox.guest_shutdown, with: {guest: 1053}}
"#;
    write_book(&rig, "both", both);
    let plan = plan_of(&rig, "both").await;
    let failure = plan.failure.expect("the first is down when the second is to go");
    assert_eq!(failure.path.as_str(), "policy");
    let expected = "take VM 1053 (cp3) down (step second): policy.quorum_groups \"prod-control-plane\": \
                    VM 1051 (cp1) is stopped";
    assert_eq!(failure.failure.to_string(), expected);

    let first = plan_do(&rig, "proxmox.guest_shutdown", &[("guest", "cp1")]).await;
    assert_eq!(rig.apply(first, &[]).await.0.unwrap().status, RunStatus::Succeeded);
    let taken = rig.work().len();
    let (ended, _) = rig.apply(late, &[]).await;
    assert_ne!(ended.unwrap().status, RunStatus::Succeeded);
    let Some(Ending::Failed { failure }) = rig.ending("guest_shutdown") else { panic!("{:?}", rig.events()) };
    assert!(failure.cause.contains("VM 1051 (cp1) is stopped"), "{failure}");
    assert_eq!(rig.work().len(), taken, "nothing was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_shows_all_that_policy_forbids() {
    let rig = Rig::start("three-node", 600.0, &[]).await;
    policy(&rig, &json!({"protect": {"vmids": [104], "tags": ["protected"]}, "max_destroyed": 2}));
    let steps: String = [100, 104, 105]
        .map(|vmid| format!("  - {{uses: proxmox.guest_shutdown, with: {{guest: {vmid}}}, effect: destroy}}\n"))
        .concat();
    write_book(&rig, "clean-up", &steps);
    let plan = plan_of(&rig, "clean-up").await;
    let failure = plan.failure.expect("policy forbids it").failure;
    assert_eq!(failure.attempted, "keep to the site's policy in 3 places");
    let said = failure.details.join("\n");
    for part in ["VM 100 (router)", "tag \"protected\"", "VM 104 (web)", "vmids has 104", "destroy 3 guests in one run"]
    {
        assert!(said.contains(part), "{part}:\n{said}");
    }
    let got = rig.run(&["run", "clean-up", "--apply", "--yes"]).await;
    assert_eq!(got.code, Some(6), "{}", got.text);
    assert!(got.text.contains("VM 100 (router)") && got.text.contains("destroy 3 guests"), "{}", got.text);
    assert_eq!(rig.taken().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn outside_a_window_a_run_is_not_begun_and_one_that_was_is_finished() {
    let rig = Rig::start("tiny", 600.0, &[]).await;
    let crashed = rig.apply(rig.plan().await, &["crash-after:8"]).await.0;
    assert_eq!(crashed.unwrap_err().code, "run::crashed");

    policy(&rig, &json!({"windows": [{"cron": NEVER_NOW, "duration": "1m", "timezone": "Europe/Berlin"}]}));
    let resumed = rig.resume(&[]).await.0.unwrap();
    assert_eq!(resumed.status, RunStatus::Succeeded, "what was begun is finished at any time");

    let given = ["do", "proxmox.ha_maintenance", "node=pve2", "enabled=false"];
    let shown = rig.run(&given).await;
    assert_eq!(shown.code, Some(0), "{}", shown.text);
    let opens = "outside a window; the next one opens 2028-02-29 00:00 Europe/Berlin";
    assert!(shown.text.contains(&format!("Warning: {opens}")), "{}", shown.text);
    let taken = rig.taken().len();
    let refused = rig.run(&[&given[..], &["--apply", "--yes"]].concat()).await;
    assert_eq!(refused.code, Some(6), "{}", refused.text);
    assert!(refused.text.contains(opens) && refused.text.contains("[policy::window]"), "{}", refused.text);
    let below =
        rig.apply(plan_do(&rig, "proxmox.ha_maintenance", &[("node", "pve2"), ("enabled", "false")]).await, &[]);
    assert_eq!(below.await.0.unwrap_err().code, "policy::window", "no face goes round it");
    assert_eq!(rig.taken().len(), taken);

    policy(&rig, &json!({"windows": [{"cron": "* * * * *", "duration": "5m"}]}));
    let done = rig.run(&[&given[..], &["--apply", "--yes"]].concat()).await;
    assert_eq!(done.code, Some(0), "{}", done.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cron_that_names_no_time_is_an_error_of_the_configuration() {
    let rig = Rig::start("tiny", 600.0, &[]).await;
    for (cron, why) in [("0 25 * * *", "names no time"), ("0 0 30 2 *", "no date ever is like that")] {
        policy(&rig, &json!({"windows": [{"cron": cron, "duration": "1h"}]}));
        let got = tokio::time::timeout(Duration::from_secs(20), rig.run(&["doctor"])).await.unwrap();
        assert_eq!(got.code, Some(3), "{}", got.text);
        assert!(got.text.contains("cluster-config.yaml:") && got.text.contains(why), "{}", got.text);
    }
}
