//! `runbook do`, and plans as commands for a person who takes over by hand.

use std::collections::BTreeMap;

use runbook::contracts::{self, Verb};
use runbook::event::RunStatus;
use serde_json::Value;

use super::rig::Rig;

/// Holds every `pvesh` line of a text against the official schema; how many there were.
fn check_calls(text: &str) -> usize {
    let mut count = 0;
    for line in text.lines() {
        let line = line.trim_start_matches("# check: ").split("  (").next().unwrap();
        let Some(rest) = line.strip_prefix("pvesh ") else { continue };
        let words: Vec<&str> = rest.split(' ').collect();
        let verb = match words[0] {
            "create" => Verb::parse("POST"),
            "get" => Verb::parse("GET"),
            other => panic!("{other}: {line}"),
        };
        let params: BTreeMap<String, String> = words[2..]
            .chunks(2)
            .map(|pair| (pair[0].strip_prefix("--").unwrap().to_owned(), pair[1].trim_matches('\'').to_owned()))
            .collect();
        if let Err(violation) = contracts::check_call(contracts::NEWEST, verb.unwrap(), words[1], &params) {
            panic!("{line}: {violation}");
        }
        count += 1;
    }
    count
}

/// What would be typed: neither a comment nor an empty line.
fn typed(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evacuation_as_commands_is_what_the_official_schema_takes() {
    let rig = Rig::start("three-node", 60.0, &[]).await;
    let got = rig.run(&["plan", "evacuate", "pve2", "--as", "commands"]).await;
    assert_eq!(got.code, Some(0), "{}", got.text);
    assert_eq!(check_calls(&got.text), 20, "ten moves and a look at each:\n{}", got.text);
    let lines = typed(&got.text);
    assert_eq!(lines.len(), 11, "{lines:#?}");
    assert_eq!(lines[0], "ha-manager crm-command node-maintenance enable pve2");
    assert!(lines.contains(&"pvesh create /nodes/pve2/qemu/107/migrate --target pve1 --online 1 --with-local-disks 1"));
    assert_eq!(rig.taken().len(), 0, "nothing was done");

    let json = rig.run(&["plan", "evacuate", "pve2", "--as", "commands", "-o", "json"]).await;
    let json: Value = serde_json::from_str(&json.text).unwrap();
    let steps = json["steps"].as_array().unwrap();
    let maintenance = steps.iter().find(|step| step["path"] == "maintenance").unwrap();
    assert_eq!(maintenance["commands"][0], lines[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_changing_action_has_its_commands() {
    let rig = Rig::start("three-node", 60.0, &["set-lock:105=migrate"]).await;
    for (given, expected) in [
        (
            &["proxmox.guest_migrate", "guest=web", "to=pve3", "mode=restart"][..],
            &[
                "pvesh create /nodes/pve2/qemu/104/status/shutdown",
                "pvesh create /nodes/pve2/qemu/104/migrate --target pve3",
                "pvesh create /nodes/pve3/qemu/104/status/start",
            ][..],
        ),
        (
            &["proxmox.guest_migrate", "guest=101", "to=pve3", "mode=restart", "storages=local-lvm=nfs-shared"],
            &[
                "pvesh create /nodes/pve1/lxc/101/migrate --target pve3 --restart 1 --target-storage local-lvm:nfs-shared",
            ],
        ),
        (
            &["proxmox.guest_shutdown", "guest=104", "timeout=90s", "force=true"],
            &["pvesh create /nodes/pve2/qemu/104/status/shutdown --timeout 90 --forceStop 1"],
        ),
        (&["proxmox.guest_unlock", "guest=105", "lock=migrate"], &["ssh root@pve2 qm unlock 105"]),
        (
            &["proxmox.ha_maintenance", "node=pve2", "enabled=true"],
            &["ha-manager crm-command node-maintenance enable pve2"],
        ),
        (&["proxmox.guest_shutdown", "guest=109"], &[]),
    ] {
        let got = rig.run(&[&["do"], given, &["--as", "commands"]].concat()).await;
        assert_eq!(got.code, Some(0), "{}", got.text);
        assert_eq!(typed(&got.text), expected, "{}", got.text);
        check_calls(&got.text);
        assert_eq!(got.text.contains("# check: "), !expected.is_empty(), "{}", got.text);
    }
    assert_eq!(rig.taken().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_action_goes_the_way_of_every_runbook() {
    let rig = Rig::start("three-node", 60.0, &[]).await;
    let given = ["do", "proxmox.guest_shutdown", "guest=web"];
    let dry = rig.run(&given).await;
    assert_eq!(dry.code, Some(0), "{}", dry.text);
    let apply = "To apply it: runbook do proxmox.guest_shutdown guest=web --apply";
    assert!(dry.text.starts_with("DRY RUN: nothing was changed") && dry.text.contains(apply), "{}", dry.text);
    let unconfirmed = rig.run(&[&given[..], &["--apply"]].concat()).await;
    assert_eq!(unconfirmed.code, Some(6), "{}", unconfirmed.text);
    assert_eq!(rig.taken().len(), 0);

    let done = rig.run(&[&given[..], &["--apply", "--yes"]].concat()).await;
    assert_eq!(done.code, Some(0), "{}", done.text);
    assert_eq!((rig.work().len(), rig.status()), (1, Some(RunStatus::Succeeded)));
    rig.assert_chain("do");
    let again = rig.run(&[&given[..], &["--apply", "--yes"]].concat()).await;
    assert!(again.text.contains("Nothing to do") && again.code == Some(0), "{}", again.text);

    let plan = rig.house.folder().join("down.plan").display().to_string();
    let saved = rig.run(&["do", "proxmox.guest_shutdown", "guest=git", "--out", &plan]).await;
    assert_eq!(saved.code, Some(0), "{}", saved.text);
    let applied = rig.run(&["apply", &plan, "--yes"]).await;
    assert_eq!(applied.code, Some(0), "{}", applied.text);
    assert_eq!(rig.work().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_action_is_resumed_like_any_run() {
    let rig = Rig::start("three-node", 60.0, &[]).await;
    let given =
        ["do", "proxmox.guest_migrate", "guest=web", "to=pve3", "--apply", "--yes", "--inject", "crash-after:6"];
    let crashed = rig.run(&given).await;
    assert_eq!(crashed.code, Some(1), "{}", crashed.text);
    let resumed = rig.run(&["resume", "last", "--yes"]).await;
    assert_eq!(resumed.code, Some(0), "{}", resumed.text);
    assert_eq!(rig.migrations().values().flatten().collect::<Vec<_>>(), ["pve3"], "asked for once");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_that_looks_tells_what_it_saw() {
    let rig = Rig::start("three-node", 60.0, &[]).await;
    let got = rig.run(&["do", "proxmox.plan_evacuation", "node=pve2", "-o", "json"]).await;
    assert_eq!(got.code, Some(0), "{}", got.text);
    let json: Value = serde_json::from_str(&got.text).unwrap();
    assert_eq!(json["outputs"]["plan"]["node"], "pve2");
    let text = rig.run(&["do", "proxmox.plan_evacuation", "node=pve2"]).await;
    assert!(text.text.contains("pve2: 10 to move") && text.text.contains("\n  node: pve2\n"), "{}", text.text);
    let not = rig.run(&["do", "proxmox.node_empty", "node=pve2"]).await;
    assert!(not.code == Some(6) && not.text.contains("VM 102 (dns2) is still on pve2"), "{}", not.text);
    assert_eq!(rig.store().find("last").map(|_| ()).map_err(|_| ()), Err(()), "a look is no run");
}
