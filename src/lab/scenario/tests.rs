use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn all() -> Vec<(&'static str, Scenario)> {
    Scenario::names().into_iter().map(|name| (name, Scenario::named(name).unwrap())).collect()
}

#[test]
fn an_unknown_name_is_answered_with_the_known_ones() {
    let text = Scenario::named("four-node").unwrap_err().to_string();
    assert!(text.contains("four-node") && text.contains("three-node") && text.contains("recorded"), "{text}");
}

#[test]
fn an_unknown_key_is_refused_with_its_place() {
    let text =
        Scenario::read("mine", "site: a\nabout: b\nnodes: []\nstorages: []\ncolour: red\n").unwrap_err().to_string();
    assert!(text.contains("mine") && text.contains("colour"), "{text}");
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let head = "site: a\nabout: b\nnodes: [{name: pve1, memory_gib: 8, threads: 2}]\n\
                storages: [{id: local, type: dir, content: images, size_gib: 9}]\n";
    for (rest, expected) in [
        ("guests: [{id: 100, node: pve2, name: a, memory_mib: 512}]", "guest 100: there is no node pve2"),
        ("guests: [{id: 100, node: pve1, name: a, memory_mib: 512, disk: 'x:4'}]", "there is no storage x"),
        ("guests: [{id: 100, node: pve1, kind: lxc, name: a, memory_mib: 512, disk: 'local:4'}]", "takes no rootdir"),
        ("ha: {resources: [{sid: 'vm:100'}]}", "HA resource vm:100"),
        (
            "guests: [{id: 100, node: pve1, name: a, memory_mib: 512}, {id: 100, node: pve1, name: b, memory_mib: 512}]",
            "guest 100 is there twice",
        ),
    ] {
        let text = Scenario::read("mine", &format!("{head}{rest}\n")).unwrap_err().to_string();
        assert!(text.contains(expected), "{expected:?} is not in {text:?}");
    }
    let text = Scenario::read("mine", &head.replace("pve1", "pve_1")).unwrap_err().to_string();
    assert!(text.contains("pve_1"), "{text}");
    assert!(Scenario::read("mine", head).is_ok());
}

#[test]
fn every_vmid_is_there_once_and_on_a_node_of_the_site() {
    for (name, scenario) in all() {
        let nodes: BTreeSet<&NodeName> = scenario.nodes.iter().map(|node| &node.name).collect();
        let ids: BTreeSet<Vmid> = scenario.guests.iter().map(|guest| guest.id).collect();
        assert_eq!(ids.len(), scenario.guests.len(), "{name}");
        assert!(scenario.guests.iter().all(|guest| nodes.contains(&guest.node)), "{name}");
        assert!(!nodes.is_empty(), "{name}");
    }
}

#[test]
fn disks_are_on_storages_that_their_node_has() {
    for (name, scenario) in all() {
        for guest in scenario.guests.iter().filter(|guest| !guest.disk.is_empty()) {
            let id = guest.disk.split(':').next().unwrap();
            let storage = scenario.storages.iter().find(|storage| storage.id.as_str() == id);
            let storage = storage.unwrap_or_else(|| panic!("{name}: {} has a disk on {id}", guest.id));
            assert!(storage.nodes.is_empty() || storage.nodes.contains(&guest.node), "{name}: {}", guest.id);
            let content = if guest.kind == GuestKind::Lxc { "rootdir" } else { "images" };
            assert!(storage.content.split(',').any(|one| one == content), "{name}: {}", guest.id);
        }
    }
}

#[test]
fn the_memory_of_what_runs_fits() {
    for (name, scenario) in all() {
        let mut promised: BTreeMap<&NodeName, u64> = BTreeMap::new();
        for guest in scenario.guests.iter().filter(|guest| guest.running) {
            *promised.entry(&guest.node).or_default() += guest.memory_mib;
        }
        for node in &scenario.nodes {
            let used = promised.get(&node.name).copied().unwrap_or(0);
            assert!((used as f64) < (node.memory_gib - 2.0) * 1024.0, "{name}: {} promises {used} MiB", node.name);
        }
    }
}

#[test]
fn the_fleet_is_as_large_as_it_says_and_always_the_same() {
    let (a, b) = (Scenario::named("fleet").unwrap(), Scenario::named("fleet").unwrap());
    assert_eq!((a.nodes.len(), a.guests.len()), (64, 2000));
    assert!(a.guests.iter().zip(&b.guests).all(|(a, b)| a.memory_mib == b.memory_mib && a.node == b.node));
}

#[test]
fn a_fleet_has_the_size_that_is_asked_for() {
    let fleet = Scenario::named("fleet:nodes=10,guests=1000,dead=20,version=8.4.2").unwrap();
    assert_eq!((fleet.nodes.len(), fleet.guests.len(), fleet.nodes[0].version.as_str()), (10, 1000, "8.4.2"));
    let dead = fleet.guests.iter().filter(|guest| guest.agent == AgentSpec::Dead).count();
    assert!((10..=30).contains(&dead), "{dead}");
    let ips: std::collections::BTreeSet<_> = fleet.guests.iter().map(|guest| guest.ip.clone()).collect();
    assert_eq!(ips.len(), 1000, "each has its own address");
    for (name, part) in [
        ("fleet:nodes=0x", "whole number"),
        ("fleet:colour=red", "expected nodes="),
        ("tiny:nodes=3", "made by number"),
        ("fleet:version=7.0", "version 7.0 is not known"),
        ("flet:nodes=1", "no scenario is called"),
    ] {
        let error = Scenario::named(name).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn the_recorded_site_has_the_recorded_figures() {
    let scenario = Scenario::named("recorded").unwrap();
    let names: Vec<&str> = scenario.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["node1", "node2", "node3", "node4"]);
    assert!(scenario.nodes.iter().all(|node| node.version == "8.4.2"));
    assert_eq!((scenario.nodes[1].memory_gib * 1_073_741_824.0) as u64, 33_567_911_936);
    let server = scenario.guests.iter().find(|guest| guest.id == Vmid(100)).unwrap();
    assert_eq!((server.name.as_str(), server.node.as_str(), server.memory_mib), ("server1", "node2", 1024));
}

/// The default site's promise: whatever is on pve2 can leave it without a stop.
#[test]
fn nothing_on_pve2_needs_a_stop() {
    let scenario = Scenario::named("three-node").unwrap();
    let here: Vec<&GuestSpec> = scenario.guests.iter().filter(|guest| guest.node.as_str() == "pve2").collect();
    assert!((10..=12).contains(&here.len()));
    for guest in here {
        assert!(guest.kind == GuestKind::Qemu || !guest.running, "{}", guest.id);
        assert!(guest.snapshots.is_empty() && !guest.disk.contains("base-"), "{}", guest.id);
        let awkward = ["hostpci0", "ide2", "lock", "usb0"];
        assert!(awkward.iter().all(|key| !guest.config.contains_key(*key)), "{}", guest.id);
    }
}
