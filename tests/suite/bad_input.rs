//! What is wrong is said: what, where, what to do; with the contract's exit code, and nothing is changed.

use std::os::unix::fs::PermissionsExt;

use crate::harness::{Lab, World, lab_exec};

/// A configuration of one node that nobody answers at.
const DEAD: &str =
    "cluster: {name: dead, nodes: [{name: pve1, host: \"127.0.0.1:1\"}]}\ncredentials: {token: env:TOKEN}\n";

fn dead() -> World {
    let mut world = World::new();
    world.write("cluster-config.yaml", DEAD);
    world.set("TOKEN", "ops@pve!x=11111111-2222-3333-4444-555555555555");
    world
}

#[track_caller]
fn refused(lab: &Lab<'_>, script: &str, code: i32, by: &[&str]) {
    let world = World::new();
    world.lab(lab, script).exits(code).without_data().complains(by);
    world.nothing_changed();
}

#[track_caller]
fn plan_refused(args: &str, code: i32, by: &[&str]) {
    refused(&Lab::default(), &format!("runbook plan {args}"), code, by);
}

#[test]
fn a_host_that_cannot_be_reached() {
    let world = dead();
    let got = world.runbook(&["plan", "evacuate", "pve1"]);
    got.exits(7).without_data().complains(&["reach site dead", "127.0.0.1:1", "refuses connections", "pveproxy"]);
    world.runbook(&["doctor"]).exits(7).says(&["failed", "node pve1", "refuses connections"]);
    let faults = ["node-down:pve1", "node-down:pve2", "node-down:pve3"];
    let lab = Lab { faults: &faults, ..Lab::default() };
    refused(&lab, "runbook plan evacuate pve2", 7, &["none of the site's 3 nodes can be reached"]);
}

#[test]
fn the_first_node_is_down_and_the_others_answer() {
    let (world, got) = lab_exec("empty-node", &["node-down:pve1"], "runbook plan evacuate pve2");
    got.exits(0).says(&["pve2 has no guest"]);
    world.nothing_changed();
}

/// A wrong certificate counts as refused: whoever answers is not let near the credential.
#[test]
fn a_wrong_fingerprint() {
    let script = "sed 's/\"fingerprint\": \"..:../\"fingerprint\": \"00:11/' $RUNBOOK_CONFIG >c.yaml; runbook --config c.yaml plan evacuate pve2";
    let (world, got) = lab_exec("three-node", &[], script);
    got.exits(4).without_data().complains(&[
        "another certificate than the pinned one",
        "expected 00:11:",
        ", got ",
        "put the new fingerprint into the configuration",
    ]);
    assert_eq!(world.ledger().len(), 0, "a request was sent to somebody unknown");
}

#[test]
fn no_fingerprint_and_no_known_authority() {
    let script = "sed '/\"fingerprint\"/d' $RUNBOOK_CONFIG >c.yaml; runbook --config c.yaml plan evacuate pve2";
    let (world, got) = lab_exec("three-node", &[], script);
    got.exits(4).without_data().complains(&["127.0.0.1", "ertificate", "fingerprint or the ca_file"]);
    assert_eq!(world.ledger().len(), 0);
}

#[test]
fn insecure_works_and_warns_each_time() {
    let script = "sed '/\"fingerprint\"/d; s/\"insecure\": false/\"insecure\": true/' $RUNBOOK_CONFIG >c.yaml; \
                  for i in 1 2; do runbook --config c.yaml plan evacuate pve2 -o name >/dev/null || exit 9; done";
    let (_, got) = lab_exec("three-node", &[], script);
    got.exits(0);
    assert_eq!(got.stderr.matches("insecure").count(), 2, "{}", got.stderr);
}

#[test]
fn a_program_is_run_only_for_a_configuration_that_was_named() {
    let world = World::new();
    world.write(
        "cluster-config.yaml",
        "cluster: {name: x, nodes: [{name: a, host: \"127.0.0.1:1\"}]}\n\
         credentials: {token: 'cmd:[\"touch\", \"ran\"]'}\n",
    );
    let got = world.sh("runbook plan evacuate a; echo ended with $?; test -e ran && echo it ran; echo done");
    got.says(&["ended with 3", "done"]).complains(&["cmd: runs a program", "--config"]);
    assert!(!got.stdout.contains("it ran"), "{}", got.stdout);
    world.sh("runbook --config cluster-config.yaml plan evacuate a; test -e ran && echo it ran").says(&["it ran"]);
}

#[test]
fn a_token_that_is_rejected() {
    let by = ["not accepted", "Authentication failed!", "check that token ops@pve!runbook exists"];
    refused(&Lab { faults: &["token-rejected"], ..Lab::default() }, "runbook plan evacuate pve2", 4, &by);
    let lab = Lab { token: Some("ops@pve!gone"), ..Lab::default() };
    refused(&lab, "runbook run evacuate pve2 --apply --yes", 4, &["token ops@pve!gone exists"]);
}

#[test]
fn a_privilege_that_is_missing_is_named() {
    let lab = Lab { token: Some("ops@pve!nothing"), ..Lab::default() };
    let world = World::new();
    let got = world.lab(&lab, "runbook plan evacuate pve2");
    got.exits(4).says(&["token ops@pve!nothing lacks VM.Audit on /vms", "--tokens 'ops@pve!nothing' --roles ROLE"]);
    world.nothing_changed();
    let got = world.lab(&lab, "runbook doctor");
    got.exits(4).says(&[
        "ops@pve!nothing lacks Sys.Audit on /",
        "missing: Datastore.Allocate, Datastore.AllocateSpace, ",
        "VM.Audit, VM.Backup, VM.Clone",
        "runbook doctor --runbook NAME",
    ]);
    let got = world.lab(&lab, "runbook doctor --runbook evacuate");
    got.exits(4).says(&[
        "missing: Datastore.AllocateSpace, Datastore.Audit, Sys.Audit, VM.Audit, VM.Migrate, VM.PowerMgmt",
        "pveum role add Runbook --privs 'Datastore.AllocateSpace Datastore.Audit Sys.Audit VM.Audit VM.Migrate VM.PowerMgmt'; pveum acl modify / --users 'ops@pve' --tokens 'ops@pve!nothing' --roles Runbook",
    ]);
}

#[test]
fn a_token_that_may_only_look_plans_and_says_what_it_could_not_verify() {
    let world = World::new();
    let lab = Lab { token: Some("ops@pve!readonly"), ..Lab::default() };
    let got = world.lab(&lab, "runbook plan evacuate pve2");
    got.exits(0).says(&[
        "Plan: 11 to change.",
        "not verified by Proxmox's own precondition",
        "ops@pve!readonly lacks VM.Migrate on /vms/104",
    ]);
    let got = world.lab(&lab, "runbook doctor");
    got.exits(4).says(&[
        "VM.Migrate, VM.PowerMgmt",
        "pveum acl modify / --users 'ops@pve' --tokens 'ops@pve!readonly' --roles Runbook",
    ]);
    // Not half-way: maintenance goes over SSH, which does not ask the token.
    let got = world.lab(&lab, "runbook run evacuate pve2 --apply --yes");
    got.exits(4).complains(&["missing: VM.Migrate on /vms/104", "nothing was changed", "pveum acl modify"]);
    world.nothing_changed();
}

#[test]
fn names_that_are_unknown() {
    plan_refused("evacuate pve9", 5, &["there is no node \"pve9\"", "did you mean \"pve1\"?", "pve1, pve2, pve3"]);
    plan_refused("evcuate pve2", 5, &["no runbook \"evcuate\"", "did you mean \"evacuate\"?"]);
    plan_refused("./evacuate.yaml pve2", 5, &["no file ./evacuate.yaml"]);
    plan_refused("evacuate pve2 --cluster prd", 5, &["no cluster \"prd\"", "known: prod"]);
    plan_refused("evacuate pve2 --set stay=9999", 5, &["there is no guest \"9999\"", "VMID"]);
    plan_refused("evacuate pve2 --set stay=nobody", 5, &["there is no guest \"nobody\""]);
    let world = World::new();
    world
        .runbook(&["--lab=nosuch", "list"])
        .exits(5)
        .without_data()
        .complains(&["no scenario is called \"nosuch\"", "three-node, two-node"]);
    world
        .runbook(&["--lab", "--fault", "teapot:/x", "list"])
        .exits(2)
        .without_data()
        .complains(&["expected one of reset-before"]);
}

#[test]
fn parameters_that_are_wrong() {
    let hint = "`runbook show node-evacuation` lists its parameters";
    plan_refused("evacuate", 2, &["parameter `node`: not given", "the name of a Proxmox node", hint]);
    plan_refused("evacuate pve2 pve3", 2, &["`pve3` is one too many", "takes 1 by position", hint]);
    plan_refused("evacuate pve2 --set alow_stop=true", 2, &["no such parameter", "did you mean `allow_stop`?", hint]);
    plan_refused("evacuate pve2 --set allow_stop=maybe", 2, &["`maybe`; expected true or false"]);
    plan_refused("evacuate pve2 --set max_parallel=99", 2, &["expected at most 8"]);
    plan_refused("evacuate pve2 --set keep_free=lots", 2, &["`keep_free`", "`lots`"]);
    plan_refused("evacuate pve2 --set keep_free", 2, &["expected NAME=VALUE"]);
    plan_refused("evacuate --set node=pve2 pve2", 2, &["node"]);
    let all = ["3 parameters of node-evacuation are wrong", "`allow_stop`", "`max_parallel`", "`nonsense`"];
    plan_refused("evacuate pve2 --set allow_stop=1x --set max_parallel=a --set nonsense=1", 2, &all);
}

#[test]
fn nobody_says_yes() {
    let world = World::new();
    for script in ["runbook run evacuate pve2 --apply", "runbook apply evacuate pve2"] {
        let got = world.lab(&Lab::default(), script);
        got.exits(6).without_data().complains(&["there is no terminal to ask at", "add --yes", "VM 104 (web)"]);
    }
    world.nothing_changed();
}

const STOPS: &str = "evacuate pve1 --set allow_stop=true --set stay=113,114,115,120,9001";

#[test]
fn a_typed_confirmation_is_not_answered_by_yes() {
    for (answer, by) in [("--yes", "--confirm pve1"), ("--yes --confirm pve2", "--confirm pve1")] {
        let world = World::new();
        let got = world.lab(&Lab::default(), &format!("runbook run {STOPS} --apply {answer}"));
        // It waits for somebody to say it.
        got.exits(9).says(&["These guests will be down for a while", "runbook approve", by]);
        // The lock is all that it took, and it keeps it.
        assert_eq!(world.changes(), ["POST /pools"]);
    }
}

#[test]
fn a_typed_confirmation_is_answered_by_its_word() {
    let world = World::new();
    let got = world.lab(&Lab::default(), &format!("runbook run {STOPS} --apply --yes --confirm pve1"));
    got.exits(0).says(&["Done: node-evacuation", "CT 101 (proxy): pve1 -> pve3, restart"]);
    assert!(world.changes().contains(&"POST /nodes/pve1/lxc/101/migrate".to_owned()), "{:#?}", world.changes());
    for stays in [113, 114, 115, 120, 9001] {
        assert!(!world.changes().iter().any(|c| c.contains(&format!("/{stays}/"))), "{stays} was to stay");
    }
}

#[test]
fn no_configuration() {
    let world = World::new();
    for args in [&["plan", "evacuate", "pve2"][..], &["doctor"], &["run", "evacuate", "pve2", "--apply", "--yes"]] {
        let got = world.runbook(args);
        got.exits(3).without_data().complains(&["no cluster-config.yaml in", "--config or RUNBOOK_CONFIG", "--lab"]);
    }
    let got = world.runbook(&["--config", "nosuch.yaml", "plan", "evacuate", "pve2"]);
    got.exits(3).without_data().complains(&["nosuch.yaml", "No such file"]);
}

#[test]
fn a_configuration_that_others_can_write_is_not_trusted() {
    let world = dead();
    let path = world.path("cluster-config.yaml");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let got = world.runbook(&["plan", "evacuate", "pve1"]);
    got.exits(3).without_data().complains(&["cluster-config.yaml", "if you mean this file, say so: --config"]);
}

#[test]
fn a_broken_configuration_shows_all_its_problems() {
    let world = World::new();
    let text = "cluster:\n  name: x\n  nodes:\n    - {name: pve1, fingerprnt: \"AA\"}\n    - {name: pve1}\n  api: {timeout: 30}\n\
                credentials: {tokn: env:X}\nplacement: {keep_free: 150%}\nstorage: y\n";
    world.write("cluster-config.yaml", text);
    let got = world.runbook(&["plan", "evacuate", "pve1"]);
    got.exits(3).without_data().complains(&[
        "cluster-config.yaml:4:",
        "did you mean `fingerprint`?",
        "`pve1`",
        "expected a duration such as 90s",
        "did you mean `token`?",
        "keep_free",
        "`storage`",
        "problems",
    ]);
    let got = world.runbook(&["plan", "evacuate", "pve1", "-o", "json"]);
    let error = got.exits(3).json();
    assert_eq!((&error["error"]["exit"], &error["error"]["code"]), (&3.into(), &"config::invalid".into()));
}

#[test]
fn cluster_profiles_that_clash() {
    let profile = |name: &str, vmid: u32, ip: &str| {
        format!(
            "name: {name}\ntype: generic\ntemplate: 9000\ntags: [{name}]\nnodes:\n  workers:\n    count: 1\n    name_prefix: {name}\n    \
             cores: 1\n    memory: 1GiB\n    disk: 8GiB\n    start_vmid: {vmid}\n    placement: spread\n    assignments:\n      \
             - {{name: {name}1, node: pve1, vmid: {vmid}, ip: {ip}/24}}\n"
        )
    };
    let world = dead();
    world
        .write("clusters/a.yaml", &profile("a", 2000, "10.0.0.9"))
        .write("clusters/b.yaml", &profile("b", 2000, "10.0.0.9"));
    let got = world.runbook(&["plan", "evacuate", "pve1"]);
    got.exits(3).without_data().complains(&[
        "the cluster profiles clash in 2 ways",
        "2000",
        "10.0.0.9",
        "a.yaml",
        "b.yaml",
    ]);
}

#[test]
fn a_state_folder_that_cannot_be() {
    let mut world = dead();
    world.write("file", "");
    let path = world.path("file").display().to_string();
    world.set("XDG_STATE_HOME", path);
    let got = world.runbook(&["runs"]);
    got.exits(3).without_data().complains(&[
        "state folder",
        "cannot create it",
        "set XDG_STATE_HOME to another folder",
    ]);
    world.unset("XDG_STATE_HOME").unset("HOME");
    world.runbook(&["runs"]).exits(3).without_data().complains(&["neither XDG_STATE_HOME nor HOME is set"]);
}

/// Root may write anywhere, so that only a file system that is mounted read-only or is full shows it; both need the
/// right to mount one.
#[test]
fn a_disk_that_is_full_or_read_only_takes_no_run() {
    let world = World::new();
    let mount = |options: &str| {
        format!(
            "mkdir -p small && if mount -t tmpfs -o {options} none small 2>/dev/null; then echo mounted >how; \
             trap 'umount -l small' EXIT; else chmod 500 small; echo dir >how; fi; {} \
             export XDG_STATE_HOME=$PWD/small; runbook run evacuate pve2 --apply --yes",
            if options.contains("size") { "head -c 200000 /dev/zero >small/fill 2>/dev/null;" } else { "" }
        )
    };
    for options in ["ro", "size=64k"] {
        let got = world.lab(&Lab::default(), &mount(options));
        assert!(matches!(got.exit, Some(1 | 3)), "{options}: {:?}\n{}", got.exit, got.stderr);
        got.without_data().complains(&["small/runbook"]);
        world.nothing_changed();
        world.sh("chmod 700 small; rm -rf small").exits(0);
    }
}

#[test]
fn a_disk_that_fills_up_during_a_run_ends_it_in_good_order() {
    let world = World::new();
    let small = "mkdir -p small && mount -t tmpfs -o size=480k none small || exit 42\n\
                 trap 'umount -l small' EXIT; export XDG_STATE_HOME=$PWD/small\n\
                 runbook runs; head -c 300000 /dev/zero >small/fill 2>/dev/null\n\
                 runbook run evacuate pve2 --apply --yes; code=$?; rm small/fill; runbook runs; exit $code\n";
    world.write("small.sh", small);
    // Mounting is root's, or anybody's in a name space of their own.
    let script = "if [ $(id -u) = 0 ]; then sh small.sh; else unshare -rm sh small.sh; fi";
    let got = world.lab(&Lab::default(), script);
    assert_ne!(got.exit, Some(42), "a small disk cannot be made here: run as root, or allow user name spaces");
    assert!(matches!(got.exit, Some(1 | 3)), "{:?}\n{}", got.exit, got.stderr);
    got.complains(&["full"]);
    assert!(world.changes().len() < 11, "{:#?}", world.changes());
}

#[test]
fn a_site_that_another_run_has_locked() {
    let world = World::new();
    let script = "runbook run evacuate pve2 --apply --yes >one.out 2>one.err & first=$!\n\
                  for i in $(seq 100); do grep -q 'maintenance' one.err && break; sleep 0.05; done\n\
                  runbook run evacuate pve3 --apply --yes --set allow_stop=true --set stay=223,224,228 --confirm pve3; second=$?\n\
                  wait $first; echo first $? second $second";
    let got = world.lab(&Lab { time_scale: 60, ..Lab::default() }, script);
    got.exits(0).says(&["first 0 second 8"]).complains(&["the site is locked", "node-evacuation", "wait for that run"]);
    assert!(!world.changes().iter().any(|c| c.contains("pve3/")), "{:#?}", world.changes());
}
