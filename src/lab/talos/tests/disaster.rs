//! An etcd that has lost its quorum, and one that begins again.

use super::changes::{lay, pass, said, well};
use super::*;

/// A call that reads a file.
fn with(world: &mut World, line: &str, file: &str) -> Reply {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    talosctl(world, "1.13", &words, Some(file))
}

/// The state of a machine's service etcd.
fn state(world: &mut World, node: &str) -> String {
    let text = said(world, &format!("-n {node} services"));
    let row = text.lines().find(|line| line.split_whitespace().nth(1) == Some("etcd")).unwrap();
    row.split_whitespace().nth(2).unwrap().to_owned()
}

fn wiped() -> World {
    let mut world = world();
    lay(&mut world, "etcd-broken:cp2");
    lay(&mut world, "etcd-broken:cp3");
    for node in ["10.0.0.51", "10.0.0.52", "10.0.0.53"] {
        let line = format!("-n {node} reset --graceful=false --reboot --system-labels-to-wipe EPHEMERAL");
        well(&mut world, "1.13", &line);
    }
    world
}

#[test]
fn what_is_broken_is_started_again_until_it_is_wiped_and_waits_then() {
    let mut world = world();
    lay(&mut world, "etcd-broken:cp2");
    lay(&mut world, "etcd-broken:cp3");
    assert!(!world.etcd_has_quorum());
    assert_eq!(
        (state(&mut world, "10.0.0.51").as_str(), state(&mut world, "10.0.0.52").as_str()),
        ("Running", "Waiting")
    );
    assert!(said(&mut world, "-n 10.0.0.52 list /var/lib/etcd").contains("member"));
    let graceful = call(&mut world, "1.13", "-n 10.0.0.51 reset --reboot --system-labels-to-wipe EPHEMERAL");
    assert!(graceful.stderr.contains("failed to leave etcd cluster"), "{graceful:?}");
    let mut world = wiped();
    for node in ["10.0.0.51", "10.0.0.52", "10.0.0.53"] {
        assert_eq!(state(&mut world, node), "Preparing");
        assert!(!said(&mut world, &format!("-n {node} list /var/lib/etcd")).contains("member"));
    }
    pass(&mut world, 600);
    assert!(!world.etcd_has_quorum(), "nobody begins by himself");
    assert_eq!(world.talos_violations(), &[], "it was lost by faults");
}

#[test]
fn a_bootstrap_is_refused_where_it_must_be() {
    let mut world = world();
    let refused = |world: &mut World, line: &str, part: &str| {
        let reply = call(world, "1.13", line);
        assert!(reply.exit == 1 && reply.stderr.contains(part), "{line}: {reply:?}");
    };
    refused(&mut world, "-n 10.0.0.51 bootstrap", "code = AlreadyExists desc = etcd data directory is not empty");
    refused(&mut world, "-n 10.0.0.61 bootstrap", "can only be performed on a control plane node");
    refused(&mut world, "-n 10.0.0.51 bootstrap --recover-from /no/where", "no such file or directory");
    let seen = bootstrap::seen(4321);
    let foreign = with(&mut world, "-n 10.0.0.51 bootstrap --recover-from db", "foreign");
    assert!(foreign.stderr.contains("the lab does not stand in for a recovery"), "{foreign:?}");
    let taken = with(&mut world, "-n 10.0.0.51 bootstrap --recover-from db", &seen);
    assert!(taken.exit == 1 && taken.stdout.starts_with("recovering from snapshot \"db\": hash "), "{taken:?}");
    let mut world = wiped();
    well(&mut world, "1.13", "-n 10.0.0.51 reboot --wait=false");
    pass(&mut world, 45);
    refused(&mut world, "-n 10.0.0.51 bootstrap", "code = FailedPrecondition desc = bootstrap is not available yet");
    let early = with(&mut world, "-n 10.0.0.51 bootstrap --recover-from db", &seen);
    assert!(early.stderr.contains("etcd service is not ready for recovery yet"), "{early:?}");
    lay(&mut world, "talos-time-unsynced:cp2");
    refused(&mut world, "-n 10.0.0.52 bootstrap", "time is not in sync yet");
}

#[test]
fn it_begins_with_what_the_snapshot_had_and_the_others_join_one_at_a_time() {
    let mut world = wiped();
    let reply = with(&mut world, "-n 10.0.0.52 bootstrap --recover-from db", &bootstrap::seen(4321));
    assert!(reply.mutating && reply.stdout.contains("revision 4321, total keys 1287, total size 65536\n"), "{reply:?}");
    let twice = call(&mut world, "1.13", "-n 10.0.0.52 bootstrap");
    assert!(twice.stderr.contains("etcd data directory is not empty"), "{twice:?}");
    assert_eq!(state(&mut world, "10.0.0.52"), "Starting");
    pass(&mut world, 8);
    let members = said(&mut world, "-n 10.0.0.52 etcd members");
    let learners = |text: &str| text.lines().filter(|line| line.ends_with("true")).count();
    assert_eq!((members.lines().count(), learners(&members)), (3, 1), "{members}");
    let snapshot = call(&mut world, "1.13", "-n 10.0.0.52 etcd snapshot db");
    assert!(snapshot.stdout.contains("revision 4323"), "{snapshot:?}");
    pass(&mut world, 60);
    let members = said(&mut world, "-n 10.0.0.51 etcd members");
    assert_eq!((members.lines().count(), learners(&members)), (4, 0), "{members}");
    assert_eq!(world.snapshot_state()["talos"]["prod/data"]["restored"], 4321);
    assert_eq!(world.talos_violations(), &[]);
}

#[test]
fn a_second_etcd_beside_one_with_its_quorum_is_seen() {
    let mut world = world();
    let id = format!("{:016x}", world.etcd().iter().find(|(one, ..)| one.hostname == "cp3").unwrap().1.id);
    well(&mut world, "1.13", "-n 10.0.0.53 reset --graceful=false --reboot --system-labels-to-wipe EPHEMERAL");
    // As long as the old member is on the list, it waits.
    assert_eq!(state(&mut world, "10.0.0.53"), "Preparing");
    well(&mut world, "1.13", "-n 10.0.0.53 bootstrap");
    assert!(world.talos_violations()[0].what.contains("makes a second etcd"), "{:?} {id}", world.talos_violations());
}

#[test]
fn a_machine_in_maintenance_is_reset_by_older_versions_only() {
    let mut world = world();
    well(&mut world, "1.13", "-n 10.0.0.62 reset --reboot --system-labels-to-wipe STATE,EPHEMERAL");
    let closed = call(&mut world, "1.13", "-n 10.0.0.62 bootstrap");
    assert!(closed.stderr.contains("unknown authority"), "{closed:?}");
    well(&mut world, "1.12", "-n 10.0.0.62 reset --insecure --reboot --system-labels-to-wipe EPHEMERAL");
    let newer = call(&mut world, "1.14", "-n 10.0.0.62 reset --insecure");
    assert!(newer.stderr.starts_with("unknown flag: --insecure\n"), "{newer:?}");
}
