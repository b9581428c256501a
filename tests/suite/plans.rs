//! A saved plan: applied later as it was written, or refused by name.

use crate::harness::{Got, Lab, World};

/// Plans, does `between`, applies.
fn after(between: &str) -> (World, Got) {
    let world = World::new();
    let script =
        format!("runbook plan evacuate pve2 --out p.plan >/dev/null || exit 99\n{between}\nrunbook apply p.plan --yes");
    let got = world.lab(&Lab::default(), &script);
    (world, got)
}

#[track_caller]
fn refused(between: &str, by: &[&str]) {
    let (world, got) = after(between);
    got.exits(6).without_data().complains(by);
    world.nothing_changed();
}

#[test]
fn a_plan_still_applies_ten_minutes_later() {
    let world = World::new();
    let lab = Lab { time_scale: 1200, ..Lab::default() };
    let got =
        world.lab(&lab, "runbook plan evacuate pve2 --out p.plan >/dev/null && sleep 1 && runbook apply p.plan --yes");
    got.exits(0).says(&["Done: node-evacuation"]);
    let times: Vec<u64> = world.ledger().iter().map(|entry| entry["at_ms"].as_u64().unwrap()).collect();
    let first_change = world.ledger().iter().find(|e| e["mutating"] == true).unwrap()["at_ms"].as_u64().unwrap();
    assert!(first_change - times[0] > 600_000, "only {} s of the lab's time went by", (first_change - times[0]) / 1000);
    assert_eq!(world.work().len(), 11);
}

#[test]
fn a_guest_that_is_locked_now_refuses_it() {
    refused(
        "runbook lab fault set-lock:104=backup",
        &["the plan no longer fits", "VM 104 (web) is not locked", "now \"backup\"", "make a new plan"],
    );
}

#[test]
fn a_target_that_is_gone_refuses_it() {
    refused("runbook lab fault node-down:pve3", &["the plan no longer fits", "pve3 is online"]);
}

#[test]
fn another_guest_under_the_same_id_refuses_it() {
    refused(
        "runbook lab fault replace-guest:104",
        &["VM 104 (web) is still the one that was planned for", "another object has its place now", "uuid is"],
    );
}

#[test]
fn a_plan_that_was_applied_already_is_refused() {
    let (world, got) = after("runbook apply p.plan --yes >/dev/null 2>&1 || exit 98");
    got.exits(6).without_data().complains(&["VM 104 (web) is on pve2", "now \"pve1\""]);
    assert_eq!(world.work().len(), 11, "the first time only");
}

#[test]
fn an_edited_file_refuses_it() {
    refused(
        "sed -i 's/\"to\": \"pve3\"/\"to\": \"pve1\"/' p.plan",
        &["the file was edited", "does not match its hash"],
    );
    refused("sed -i 's/\"max_parallel\": 1/\"max_parallel\": 8/' p.plan", &["the file was edited"]);
}

#[test]
fn half_a_file_refuses_it() {
    refused("head -c 3000 p.plan >half; mv half p.plan", &["p.plan", "not a plan", "EOF", "make it again"]);
    refused(": >p.plan", &["not a plan"]);
    refused("echo '{}' >p.plan", &["its format is none"]);
    refused("sed -i 's/\"format_version\": \"1.1\"/\"format_version\": \"9.0\"/' p.plan", &["its format is 9.0"]);
    refused("head -c 100 /dev/urandom >p.plan", &["p.plan"]);
}

#[test]
fn another_configuration_refuses_it() {
    refused("echo '# later' >>$RUNBOOK_CONFIG", &["was changed after the plan was made", "make a new plan"]);
    refused("echo '# later' >>$(dirname $RUNBOOK_CONFIG)/clusters/prod.yaml", &["or a cluster profile was changed"]);
}

#[test]
fn another_site_refuses_it() {
    let world = World::new();
    world.lab(&Lab::default(), "runbook plan evacuate pve2 --out p.plan").exits(0);
    let recorded = Lab { scenario: "recorded", ..Lab::default() };
    let got = world.lab(&recorded, "runbook apply p.plan --yes");
    got.exits(6).without_data().complains(&["the plan is for site \"lab.example\"", "clustername"]);
    world.nothing_changed();
}

#[test]
fn a_plan_takes_no_arguments_and_must_be_there() {
    let world = World::new();
    let script = "runbook plan evacuate pve2 --out p.plan >/dev/null; runbook apply p.plan pve3 --yes; echo $?; \
                  runbook apply no.plan --yes; echo $?; runbook apply ./no.plan --yes; echo $?; runbook apply p.plan; echo $?";
    let got = world.lab(&Lab::default(), script);
    assert_eq!(got.stdout, "2\n5\n5\n6\n", "{}", got.stderr);
    got.complains(&["a saved plan has its parameters in it", "no.plan", "add --yes"]);
    world.nothing_changed();
}

#[test]
fn a_saved_plan_is_its_owners_alone_and_a_failed_one_is_not_saved() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    world
        .lab(&Lab::default(), "runbook plan evacuate pve2 --out p.plan; runbook plan evacuate pve1 --out q.plan")
        .exits(6);
    let mode = std::fs::metadata(world.path("p.plan")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!world.path("q.plan").exists());
    let script = "runbook plan evacuate pve2 --out /no/such/folder/p.plan";
    world.lab(&Lab::default(), script).exits(3).complains(&["/no/such/folder"]);
}
