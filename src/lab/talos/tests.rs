use super::*;
use crate::lab::scenario::Scenario;
use crate::model::ids::{NodeName, Vmid};

fn world() -> World {
    World::from_scenario(&Scenario::named("three-node").unwrap(), 1, 1_760_000_000)
}

fn call(world: &mut World, version: &str, line: &str) -> Reply {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    talosctl(world, version, &words, None)
}

#[test]
fn a_node_says_its_version_and_one_that_is_down_says_nothing() {
    let mut world = world();
    let said = call(&mut world, "1.11", "-n 10.0.0.51 version");
    assert!(said.exit == 0 && said.stdout.contains("Client:\n\tTag:         v1.11.6\n"), "{said:?}");
    assert!(said.stdout.contains("Server:\n\tNODE:        10.0.0.51\n\tTag:         v1.11.2\n"), "{said:?}");
    world.set_node_up(&NodeName::new("pve1"), false);
    let down = call(&mut world, "1.11", "-n 10.0.0.51 version");
    assert!(down.exit == 1 && down.stdout.ends_with("Server:\n"), "{down:?}");
    assert!(
        down.stderr.starts_with("error getting version: rpc error: code = Unavailable desc = connection error"),
        "{down:?}"
    );
}

#[test]
fn what_talosctl_refuses_is_refused() {
    let mut world = world();
    let said = |world: &mut World, version: &str, line: &str| {
        let reply = call(world, version, line);
        assert_eq!(reply.exit, 1, "{line}");
        reply.stderr
    };
    assert!(said(&mut world, "1.12", "-n 10.0.0.51 upgrade --drain").starts_with("unknown flag: --drain\n\nUsage:"));
    assert!(said(&mut world, "1.13", "version").starts_with("nodes are not set for the command"));
    assert!(said(&mut world, "1.13", "-n 10.0.0.61 etcd members").contains("Unimplemented"), "a worker has no etcd");
    assert!(said(&mut world, "1.13", "-n 10.0.0.51 get nonsense").contains("not registered"));
}

#[test]
fn etcd_keeps_its_leader_and_its_quorum() {
    let mut world = world();
    let members = call(&mut world, "1.13", "-n 10.0.0.51 etcd members").stdout;
    assert_eq!(members.lines().count(), 4, "{members}");
    assert!(
        members.lines().next().unwrap().starts_with("NODE        ID                 HOSTNAME   PEER URLS"),
        "{members}"
    );
    assert!(!call(&mut world, "1.9", "-n 10.0.0.51 etcd status").stdout.contains("PROTOCOL"));
    assert!(call(&mut world, "1.11", "-n 10.0.0.51 etcd status").stdout.contains("PROTOCOL"));
    assert_eq!(call(&mut world, "1.13", "-n 10.0.0.51 etcd alarm list"), Reply::default());
    world.set_node_up(&NodeName::new("pve1"), false);
    assert!(world.etcd_has_quorum());
    world.set_node_up(&NodeName::new("pve2"), false);
    assert!(!world.etcd_has_quorum() && world.etcd_leader().is_none());
    let status = call(&mut world, "1.13", "-n 10.0.0.53 etcd status").stdout;
    assert!(status.contains("no leader"), "{status}");
    assert_eq!(call(&mut world, "1.13", "-n 10.0.0.53 etcd snapshot x").exit, 1);
}

#[test]
fn a_boot_has_a_word_of_its_own() {
    let mut world = world();
    let read = |world: &mut World| call(world, "1.13", "-n 10.0.0.51 read /proc/sys/kernel/random/boot_id").stdout;
    let first = read(&mut world);
    assert_eq!((first.len(), read(&mut world)), (37, first.clone()));
    let other = world.boot_id(Vmid(1052));
    assert_ne!(first.trim(), other);
}

mod changes;
mod clients;
mod contract;
mod disaster;
