//! Talos machines and the guests that they run on are one.

use super::*;

fn answers(world: &World, vmid: u32) -> bool {
    world.is_serving(Vmid(vmid))
}

#[test]
fn a_guest_that_is_switched_on_is_a_machine_that_boots() {
    let mut world = site("three-node");
    let before = world.boot_id(Vmid(1052));
    post(&mut world, "/nodes/pve2/qemu/1052/status/stop", &[]).unwrap();
    run(&mut world, 5);
    assert!(!answers(&world, 1052) && world.machine_at("10.0.0.52").is_none() && world.etcd_has_quorum());
    post(&mut world, "/nodes/pve2/qemu/1052/status/start", &[]).unwrap();
    run(&mut world, 10);
    assert!(world.machine_at("10.0.0.52").is_none(), "it boots");
    run(&mut world, 60);
    assert!(answers(&world, 1052) && world.boot_id(Vmid(1052)) != before);
    post(&mut world, "/nodes/pve2/qemu/1052/status/reset", &[]).unwrap();
    run(&mut world, 5);
    assert!(!answers(&world, 1052) && world.guests[&Vmid(1052)].running());
    run(&mut world, 60);
    assert!(answers(&world, 1052));
    assert_eq!(world.talos_violations(), &[]);
}

#[test]
fn a_request_that_takes_quorum_away_is_seen_whatever_way_it_comes() {
    let mut world = site("three-node");
    post(&mut world, "/nodes/pve2/qemu/1052/status/shutdown", &[]).unwrap();
    run(&mut world, 200);
    assert_eq!(world.talos_violations(), &[]);
    post(&mut world, "/nodes/pve3/qemu/1053/status/stop", &[]).unwrap();
    let seen = world.talos_violations()[0].what.clone();
    assert_eq!(seen, "POST /nodes/pve3/qemu/1053/status/stop takes down cp3, without which etcd has no quorum");
    run(&mut world, 10);
    assert_eq!(world.talos_violations()[1].what, "no control plane's API server answers");
    run(&mut world, 100);
    assert_eq!(world.talos_violations().len(), 2, "once each");
    let mut world = site("three-node");
    world.set_node_up(&"pve3".into(), false);
    post(&mut world, "/nodes/pve1/status", &[("command", "reboot")]).unwrap();
    assert!(world.talos_violations()[0].what.starts_with("POST /nodes/pve1/status takes down cp1"));
}
