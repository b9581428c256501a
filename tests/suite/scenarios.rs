//! Plans for every scenario of the lab: sensible, with reasons, and with the contract's exit code.

use crate::harness::{Got, Lab, World};

fn plan(scenario: &str, args: &str) -> (World, Got) {
    let world = World::new();
    let got = world.lab(&Lab { scenario, ..Lab::default() }, &format!("runbook plan evacuate {args}"));
    world.nothing_changed();
    (world, got)
}

#[track_caller]
fn possible(scenario: &str, args: &str, says: &[&str]) {
    plan(scenario, args).1.exits(0).says(&["DRY RUN: nothing was changed", "Plan: ", "to change"]).says(says);
}

#[track_caller]
fn impossible(scenario: &str, args: &str, says: &[&str]) {
    let (_, got) = plan(scenario, args);
    got.exits(6)
        .says(&["DRY RUN: nothing was changed, and this plan cannot be applied", "The plan fails at placement"])
        .says(says);
}

/// Applies it and looks whether the plan is empty afterwards.
#[track_caller]
fn done(scenario: &str, args: &str, moves: usize) {
    let world = World::new();
    let script = format!(
        "runbook run evacuate {args} --apply --yes --confirm {} && runbook plan evacuate {args} --detailed-exitcode",
        args.split(' ').next().unwrap()
    );
    let got = world.lab(&Lab { scenario, ..Lab::default() }, &script);
    got.exits(0).says(&["Done: node-evacuation", "No changes."]);
    let changes = world.work();
    let migrations = changes.iter().filter(|c| c.ends_with("/migrate")).count();
    assert_eq!((migrations, changes.len() - migrations), (moves, 1), "{changes:#?}");
}

#[test]
fn every_awkward_guest_of_pve1_has_its_reason() {
    impossible(
        "three-node",
        "pve1",
        &[
            "7 things stand in the way; nothing was moved",
            "101 proxy: needs a stop, and allow_stop is false: container",
            "112 mail: needs a stop",
            "113 installer: a CD-ROM that only this node has: ide2 holds local:iso/debian-12.11.0-amd64-netinst.iso",
            "eject local:iso/debian-12.11.0-amd64-netinst.iso",
            "114 render: a device of this node: hostpci0",
            "115 files: locked: lock `backup`",
            "120 dev-clone: a linked clone or its base on local storage",
            "make a full clone of it, or list it in stay",
            "9001 debian-12: a linked clone or its base",
        ],
    );
}

#[test]
fn what_may_stop_and_what_may_stay_is_taken_off_the_list() {
    impossible(
        "three-node",
        "pve1 --set allow_stop=true",
        &["5 things stand in the way", "113 installer", "9001 debian-12"],
    );
    impossible(
        "three-node",
        "pve1 --set allow_stop=true --set stay=files",
        &["4 things stand in the way", "114 render"],
    );
    let args = "pve1 --set allow_stop=true --set stay=113,114,115,120,9001";
    possible(
        "three-node",
        args,
        &[
            "Loss and downtime",
            "! move[112]",
            "CT 101 (proxy): pve1 -> pve3, restart",
            "5 stay",
            "These guests will be down for a while",
        ],
    );
    let json = plan("three-node", &format!("{args} -o json")).1.exits(0).json();
    assert_eq!(json["summary"]["disrupt"], 2, "{}", json["summary"]);
    let gate = json["steps"].as_array().unwrap().iter().find(|s| s["planned"] == "gate").expect("a gate");
    assert_eq!(gate["gate"]["word"], "pve1");
}

#[test]
fn every_awkward_guest_of_pve3_has_its_reason() {
    impossible(
        "three-node",
        "pve3",
        &[
            "223 spare: its HA state leaves open who moves it: HA state `stopped`",
            "224 ledger: snapshots on local disks",
            "225 licence: needs a stop, and allow_stop is false: the mapped device hostpci0 cannot move live",
            "227 cache: needs a stop",
            "228 media: storage that cannot be moved: mp0 is a mount of /srv/media",
        ],
    );
    possible(
        "three-node",
        "pve3 --set allow_stop=true --set stay=223,224,228",
        &["3 stay", "! move[225]", "! move[227]"],
    );
}

#[test]
fn a_site_without_room_says_what_is_missing_where() {
    impossible(
        "full",
        "pve2",
        &[
            "104 web: no node can take it",
            "pve1 needs 12.2 GiB, 10.6 GiB free above the reserve: 1.6 GiB short",
            "pve3 needs 12.2 GiB, 6.6 GiB free above the reserve: 5.6 GiB short",
            "105 db: no node can take it",
            "lower keep_free or host_reserve",
        ],
    );
    impossible("full", "pve1", &["101 erp: no node can take it", "pve2 needs 24.2 GiB"]);
}

#[test]
fn a_site_of_one_node_has_nowhere_to_go() {
    impossible("one-node", "pve1", &["pve1 is the only node of the site", "shut the guests down instead"]);
}

#[test]
fn an_empty_node_has_nothing_to_move() {
    possible("empty-node", "pve2", &["pve2 has no guest: nothing to move", "Plan: 1 to change."]);
    done("empty-node", "pve2", 0);
}

#[test]
fn a_node_that_is_offline_cannot_be_emptied_and_takes_nothing() {
    let world = World::new();
    let lab = |faults| Lab { faults, ..Lab::default() };
    let got = world.lab(&lab(&["node-down:pve2"]), "runbook plan evacuate pve2");
    got.exits(6).says(&["pve2 is offline: nothing can be moved off it", "bring it back"]);
    let got = world.lab(&lab(&["node-down:pve3"]), "runbook plan evacuate pve2");
    got.exits(6).says(&["pve3 offline", "proved impossible", "GiB short"]);
    world.nothing_changed();
}

#[test]
fn the_recorded_site_can_be_planned_node_by_node() {
    for node in ["node1", "node2", "node3", "node4"] {
        let (_, got) = plan("recorded", node);
        got.exits(0).says(&["site clustername", "to change.", &format!("{node}: ")[..node.len()]]);
        let json = plan("recorded", &format!("{node} -o json")).1.exits(0).json();
        crate::commands::is_plan(&json);
    }
    plan("recorded", "node5").1.exits(5).complains(&["node1, node2, node3, node4"]);
}

#[test]
fn an_upgrade_under_way_keeps_groups_and_never_goes_back() {
    possible("mixed-version", "pve1", &["VM 103 (mail)"]);
    impossible("mixed-version", "pve2", &["107 proxy: needs a stop"]);
    possible("mixed-version", "pve2 --set allow_stop=true", &["111 (vault)", "CT 107 (proxy)"]);
    impossible("mixed-version", "pve3", &["108 newcomer", "older"]);
    done("mixed-version", "pve1", 2);
    done("mixed-version", "pve2 --set allow_stop=true", 3);
}

#[test]
fn processors_that_differ() {
    possible("mixed-cpu", "pve1", &["to change."]);
    impossible("mixed-cpu", "pve2", &["host-bound"]);
    possible("mixed-cpu", "pve3", &["VM 108 (old-faithful)"]);
}

#[test]
fn disks_that_are_all_local() {
    impossible("no-shared-storage", "pve1", &["103 mail: needs a stop"]);
    impossible("no-shared-storage", "pve2", &["106 proxy: needs a stop"]);
    possible("no-shared-storage", "pve3", &["VM 108 (backup)", "200.0 GiB"]);
    possible("no-shared-storage", "pve2 --set allow_stop=true", &["VM 105 (db)", "80.0 GiB"]);
}

#[test]
fn two_nodes() {
    impossible("two-node", "pve1", &["102 proxy: needs a stop"]);
    possible("two-node", "pve2", &["VM 105 (db): pve2 -> pve1, live"]);
    done("two-node", "pve2", 3);
}

#[test]
fn a_fleet_is_planned_in_seconds() {
    // Two thousand guests whose figures move every ten seconds are too much for a high time scale.
    let plan = |args: &str| {
        let world = World::new();
        let lab = Lab { scenario: "fleet", time_scale: 60, ..Lab::default() };
        let got = world.lab(&lab, &format!("runbook plan evacuate {args}"));
        world.nothing_changed();
        got
    };
    plan("pve07").exits(6).says(&["site fleet.example", "needs a stop"]);
    let json = plan("pve07 --set allow_stop=true -o json").exits(0).json();
    assert!(json["steps"].as_array().unwrap().len() > 30, "{}", json["summary"]);
}
