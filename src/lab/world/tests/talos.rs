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
fn a_clone_of_a_talos_template_waits_for_its_configuration_and_a_destroyed_machine_stays_a_member() {
    let mut world = site("three-node");
    let config = world.machine_configs()["cp2"].clone();
    post(&mut world, "/nodes/pve1/qemu/9000/clone", &[("newid", "1999"), ("full", "1")]).unwrap();
    run(&mut world, 120);
    let line = [("ipconfig0", "ip=10.0.0.52/24,gw=10.0.0.1")];
    post(&mut world, "/nodes/pve1/qemu/1999/config", &line).unwrap();
    post(&mut world, "/nodes/pve2/qemu/1052/status/stop", &[]).unwrap();
    run(&mut world, 10);
    post(&mut world, "/nodes/pve1/qemu/1999/status/start", &[]).unwrap();
    run(&mut world, 60);
    let (vmid, machine) = world.machine_at("10.0.0.52").unwrap();
    assert!(vmid == Vmid(1999) && machine.config.is_empty() && machine.etcd.is_none(), "{machine:?}");
    let ids =
        |world: &World| world.etcd().iter().map(|(one, etcd, _)| (one.hostname.clone(), etcd.id)).collect::<Vec<_>>();
    let old = ids(&world).into_iter().find(|(name, _)| name == "cp2").unwrap();
    world.destroy_guest(Vmid(1052));
    assert!(ids(&world).contains(&old), "nobody has struck it from the list");
    world.machine_given(vmid, &config);
    world.machine_mut(vmid).unwrap().staged = Some(config.clone());
    let restart = |world: &mut World| {
        post(world, "/nodes/pve1/qemu/1999/status/reset", &[]).unwrap();
        run(world, 90);
    };
    restart(&mut world);
    assert!(world.is_serving(vmid) && ids(&world).len() == 3, "its place is taken still");
    world.remove_member(old.1);
    restart(&mut world);
    assert!(ids(&world).iter().any(|(name, id)| name == "cp2" && *id != old.1), "{:?}", ids(&world));
    assert!(world.etcd().iter().all(|(_, etcd, answers)| *answers && !etcd.learner));
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
