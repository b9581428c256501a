//! What reaches the site: nothing that changes it while planning, and exactly the plan when it is applied.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::{Lab, World, lab_exec};

#[test]
fn plan_dry_run_and_looking_change_nothing_on_any_channel() {
    let script = "runbook plan evacuate pve2 --out p.plan && runbook run node-evacuation pve2 && runbook doctor && \
                  runbook run evacuate pve2 --apply; runbook apply p.plan; runbook plan evacuate pve1 --set allow_stop=true; \
                  runbook plan evacuate pve3; true";
    let (world, got) = lab_exec("three-node", &[], script);
    got.exits(0);
    assert!(world.ledger().len() > 100, "the ledger must have seen the reads");
    world.nothing_changed();
    // `doctor` tries whether commands get there, by one that does nothing.
    let looks = |entry: &Value| match entry["channel"].as_str() {
        Some("http" | "ssh") => entry["method"] == "GET" || entry["params"]["argv"] == "true",
        _ => entry["mutating"] == false,
    };
    assert!(world.ledger().iter().all(looks), "{:#?}", world.changes());
}

#[test]
fn apply_sends_exactly_the_plan() {
    let world = World::new();
    let script = "runbook plan evacuate pve2 --out p.plan -o json >plan.json && wc -l <ledger >before && runbook apply p.plan --yes";
    world.lab(&Lab::default(), script).exits(0);
    let plan: Value = serde_json::from_str(&world.read("plan.json")).unwrap();
    let steps = plan["steps"].as_array().unwrap();
    let wanted: BTreeSet<String> = steps
        .iter()
        .filter(|step| step["uses"] == "proxmox.guest_migrate")
        .map(|step| {
            let kind = if step["summary"].as_str().unwrap().starts_with("CT") { "lxc" } else { "qemu" };
            format!("POST /nodes/pve2/{kind}/{}/migrate", step["with"]["guest"])
        })
        .collect();
    assert_eq!(wanted.len(), 10);
    let changes = world.work();
    let (ssh, http): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| change.starts_with("ssh"));
    assert_eq!(ssh.len(), 1, "{ssh:?}");
    assert!(ssh[0].contains("ha-manager crm-command node-maintenance enable pve2"), "{ssh:?}");
    assert_eq!(http.len(), 10, "{http:#?}");
    assert_eq!(http.into_iter().collect::<BTreeSet<_>>(), wanted);
}

#[test]
fn each_migration_says_its_target_and_mode() {
    let (world, got) = lab_exec("three-node", &[], "runbook run evacuate pve2 --apply --yes -o json >/dev/null");
    got.exits(0);
    let entry = |guest: &str| {
        let ledger = world.ledger();
        let path = format!("/nodes/pve2/{guest}/migrate");
        ledger
            .into_iter()
            .find(|e| e["mutating"] == true && e["path"] == path.as_str())
            .unwrap_or_else(|| panic!("{guest}"))
    };
    let live = entry("qemu/104");
    assert_eq!((&live["params"]["target"], &live["params"]["online"]), (&"pve1".into(), &"1".into()));
    assert_eq!(live["user"], "ops@pve!runbook");
    let stopped = entry("qemu/108");
    assert_ne!(stopped["params"]["online"], "1");
    let local = entry("qemu/107");
    assert_eq!(local["params"]["with-local-disks"], "1", "{local}");
}
