use super::*;

fn power(world: &mut World, path: &str, params: &[(&str, &str)]) -> (String, String) {
    let task = upid(post(world, path, params).unwrap());
    run(world, 90);
    outcome(world, &task)
}

#[test]
fn a_vm_starts_stops_and_says_why_not() {
    let mut world = site("three-node");
    assert_eq!(power(&mut world, "/nodes/pve2/qemu/108/status/start", &[]).0, "OK");
    assert_eq!(world.guest_status(Vmid(108)), Some("running"));
    assert_eq!(power(&mut world, "/nodes/pve2/qemu/108/status/start", &[]).0, "VM 108 already running");
    assert_eq!(power(&mut world, "/nodes/pve2/qemu/108/status/shutdown", &[]).0, "OK");
    assert_eq!(world.guest_status(Vmid(108)), Some("stopped"));
    assert_eq!(power(&mut world, "/nodes/pve2/qemu/108/status/stop", &[]).0, "OK");
    assert_eq!(
        power(&mut world, "/nodes/pve1/qemu/9000/status/start", &[]).0,
        "you can't start a vm if it's a template"
    );
    assert_eq!(power(&mut world, "/nodes/pve1/qemu/115/status/stop", &[]).0, "VM is locked (backup)");
    assert_eq!(post(&mut world, "/nodes/pve2/qemu/108/status/reboot", &[]).unwrap_err().message, "VM 108 not running");
    assert_eq!(post(&mut world, "/nodes/pve2/lxc/110/status/stop", &[]).unwrap_err().message, "CT 110 not running");
}

#[test]
fn a_guest_that_will_not_go_is_left_or_switched_off() {
    let mut world = site("three-node");
    let path = "/nodes/pve3/qemu/229/status/shutdown";
    assert_eq!(power(&mut world, path, &[("timeout", "20")]).0, "VM quit/powerdown failed - got timeout");
    assert_eq!(world.guest_status(Vmid(229)), Some("running"));
    assert_eq!(power(&mut world, path, &[("timeout", "20"), ("forceStop", "1")]).0, "OK");
    assert_eq!(world.guest_status(Vmid(229)), Some("stopped"));
}

#[test]
fn a_waiting_shutdown_holds_the_configuration() {
    let mut world = site("three-node");
    post(&mut world, "/nodes/pve3/qemu/229/status/shutdown", &[]).unwrap();
    run(&mut world, 2);
    let task = upid(post(&mut world, "/nodes/pve3/qemu/229/status/stop", &[]).unwrap());
    run(&mut world, 15);
    assert_eq!(outcome(&mut world, &task).0, "can't lock file '/var/lock/qemu-server/lock-229.conf' - got timeout");
}

#[test]
fn configuration_changes_by_digest() {
    let mut world = site("three-node");
    let path = "/nodes/pve2/qemu/104/config";
    let config = get(&mut world, path);
    let digest = config["digest"].as_str().unwrap().to_owned();
    assert_eq!(digest.len(), 40);
    assert_eq!((config["memory"].clone(), config["cores"].clone()), ("8192".into(), 4.into()));
    let mut put = |params: &[(&str, &str)]| world.handle(&call(Verb::Put, path, params));
    put(&[("tags", "Web, prod web"), ("digest", &digest)]).unwrap();
    assert_eq!(
        put(&[("onboot", "0"), ("digest", &digest)]).unwrap_err().message,
        "checksum mismatch (file change by other user?)"
    );
    assert_eq!(put(&[]).unwrap_err().message, "no options specified");
    assert_eq!(put(&[("onboot", "0"), ("delete", "onboot")]).unwrap_err().status, 400);
    put(&[("net0", "virtio,bridge=vmbr0"), ("delete", "agent")]).unwrap();
    let config = get(&mut world, path);
    assert_eq!(config["tags"], "prod;web");
    assert!(config["net0"].as_str().unwrap().starts_with("virtio=BC:24:11:"), "{config}");
    assert!(config.get("agent").is_none());
    let task = upid(post(&mut world, path, &[("scsi1", "ceph-vm:10")]).unwrap());
    run(&mut world, 1);
    assert_eq!(outcome(&mut world, &task).0, "OK");
    assert_eq!(get(&mut world, path)["scsi1"], "ceph-vm:vm-104-disk-1,size=10G");
}

#[test]
fn locks_hold_and_only_root_takes_them_off() {
    let mut world = site("three-node");
    let path = "/nodes/pve1/qemu/115/config";
    let change = |params: &[(&str, &str)]| call(Verb::Put, path, params);
    assert_eq!(world.handle(&change(&[("onboot", "1")])).unwrap_err().message, "VM is locked (backup)");
    let unlock = change(&[("delete", "lock"), ("skiplock", "1")]);
    assert_eq!(world.handle(&unlock).unwrap_err().errors["skiplock"], "Only root may use this option.");
    let error = world.handle(&change(&[("delete", "lock")])).unwrap_err();
    assert_eq!(error.message, "only root can set 'lock' config");
    let root = Call { root_ticket: true, user: "root@pam".into(), ..unlock };
    world.handle(&root).unwrap();
    assert!(get(&mut world, path).get("lock").is_none());
    world.set_lock(Vmid(101), Some("backup"));
    let error = world.handle(&call(Verb::Put, "/nodes/pve1/lxc/101/config", &[("cores", "4")])).unwrap_err();
    assert_eq!(error.message, "CT is locked (backup)");
}

#[test]
fn an_ejected_disc_is_gone_and_a_detached_disk_is_kept() {
    let mut world = site("three-node");
    world.handle(&call(Verb::Put, "/nodes/pve1/qemu/113/config", &[("ide2", "none,media=cdrom")])).unwrap();
    world.handle(&call(Verb::Put, "/nodes/pve2/qemu/108/config", &[("delete", "scsi0")])).unwrap();
    assert_eq!(get(&mut world, "/nodes/pve2/qemu/108/config")["unused0"], "ceph-vm:vm-108-disk-0");
    let task = upid(post(&mut world, "/nodes/pve1/qemu/113/migrate", &[("target", "pve3"), ("online", "1")]).unwrap());
    run(&mut world, 60);
    assert_eq!(outcome(&mut world, &task).0, "OK");
}

#[test]
fn without_quorum_nothing_is_written() {
    let mut world = site("two-node");
    world.set_node_up(&NodeName::new("pve2"), false);
    assert_eq!(get(&mut world, "/cluster/status")[0]["quorate"], 0);
    for (verb, path, params) in [
        (Verb::Post, "/nodes/pve1/qemu/103/status/start", &[][..]),
        (Verb::Put, "/nodes/pve1/qemu/103/config", &[("onboot", "1")][..]),
        (Verb::Post, "/nodes/pve1/qemu/103/migrate", &[("target", "pve2"), ("online", "1")][..]),
    ] {
        let error = world.handle(&call(verb, path, params)).unwrap_err();
        assert_eq!((error.status, error.message.as_str()), (500, "cluster not ready - no quorum?"), "{path}");
    }
    let words = ["ha-manager", "crm-command", "node-maintenance", "enable", "pve1"].map(str::to_owned);
    assert_eq!(world.command(&NodeName::new("pve1"), &words).exit, 255);
}

#[test]
fn a_node_that_dies_takes_tasks_and_guests_along() {
    let mut world = site("three-node");
    let task = upid(post(&mut world, "/nodes/pve2/qemu/104/migrate", &[("target", "pve3"), ("online", "1")]).unwrap());
    run(&mut world, 6);
    let pve2 = NodeName::new("pve2");
    world.set_node_up(&pve2, false);
    assert_eq!(row(&mut world, "node/pve2")["status"], "offline");
    assert!(row(&mut world, "node/pve2").get("mem").is_none());
    assert_eq!(row(&mut world, "qemu/104")["status"], "unknown");
    assert_eq!(world.handle(&call(Verb::Get, "/nodes/pve2/status", &[])).unwrap_err().status, 595);
    world.set_node_up(&pve2, true);
    assert_eq!(outcome(&mut world, &task).0, "unexpected status");
    assert_eq!(world.guests[&Vmid(104)].config.get("lock"), Some("migrate"), "nobody took the lock off");
    run(&mut world, 60);
    assert_eq!(world.guest_status(Vmid(102)), Some("running"), "onboot");
    assert_eq!(world.guest_status(Vmid(105)), Some("stopped"));
}

#[test]
fn what_a_running_vm_cannot_take_waits_for_its_next_start() {
    let mut world = site("three-node");
    let path = "/nodes/pve2/qemu/104/config";
    let digest = get(&mut world, path)["digest"].clone();
    world.handle(&call(Verb::Put, path, &[("memory", "4096"), ("delete", "agent"), ("onboot", "0")])).unwrap();
    assert_ne!(get(&mut world, path)["digest"], digest);
    assert_eq!(get(&mut world, path)["memory"], "4096");
    let now = get_with(&mut world, path, &[("current", "1")]);
    assert_eq!(
        (now["memory"].clone(), now["agent"].clone(), now["onboot"].clone()),
        ("8192".into(), "1".into(), 0.into())
    );
    let rows = get(&mut world, "/nodes/pve2/qemu/104/pending");
    let row = |key: &str| rows.as_array().unwrap().iter().find(|row| row["key"] == key).unwrap().clone();
    assert_eq!((row("memory")["value"].clone(), row("memory")["pending"].clone()), ("8192".into(), "4096".into()));
    assert_eq!(row("agent")["delete"], 1);
    assert!(row("onboot").get("pending").is_none());
    world.handle(&call(Verb::Put, path, &[("revert", "agent")])).unwrap();
    assert_eq!(get(&mut world, path)["agent"], "1");
    assert_eq!(power(&mut world, "/nodes/pve2/qemu/104/status/reboot", &[]).0, "OK");
    assert_eq!(get_with(&mut world, path, &[("current", "1")])["memory"], "4096");
    assert_eq!(get(&mut world, "/nodes/pve2/qemu/104/status/current")["maxmem"], 4_u64 << 30);
}

#[test]
fn a_vm_stands_still_and_goes_on() {
    let mut world = site("three-node");
    let path = |verb: &str| format!("/nodes/pve2/qemu/104/status/{verb}");
    let qmp = |world: &mut World| get(world, &path("current"))["qmpstatus"].clone();
    let began = upid(post(&mut world, &path("suspend"), &[]).unwrap());
    assert!(began.contains(":qmpause:104:"), "{began}");
    run(&mut world, 5);
    assert_eq!((outcome(&mut world, &began).0.as_str(), qmp(&mut world)), ("OK", "paused".into()));
    assert_eq!(get(&mut world, &path("current"))["status"], "running");
    let shut = post(&mut world, &path("shutdown"), &[]).unwrap_err();
    assert_eq!(shut.message, "VM is paused - cannot shutdown");
    assert_eq!(power(&mut world, &path("resume"), &[]).0, "OK");
    assert_eq!(qmp(&mut world), "running");

    assert_eq!(power(&mut world, &path("suspend"), &[("todisk", "1")]).0, "OK");
    let current = get(&mut world, &path("current"));
    assert_eq!((&current["status"], &current["lock"]), (&"stopped".into(), &"suspended".into()));
    assert!(get(&mut world, "/nodes/pve2/qemu/104/config").get("vmstate").is_some());
    assert_eq!(power(&mut world, &path("resume"), &[]).0, "OK");
    let (current, config) = (get(&mut world, &path("current")), get(&mut world, "/nodes/pve2/qemu/104/config"));
    assert_eq!((&current["status"], current.get("lock")), (&"running".into(), None));
    assert!(config.get("vmstate").is_none() && config.get("lock").is_none(), "{config}");

    assert_eq!(post(&mut world, "/nodes/pve2/qemu/108/status/resume", &[]).unwrap_err().message, "VM 108 not running");
    assert_eq!(power(&mut world, &path("reset"), &[]).0, "OK");
    let of_ha = post(&mut world, "/nodes/pve2/qemu/111/status/suspend", &[("todisk", "1")]).unwrap_err();
    assert_eq!(of_ha.message, "Cannot suspend HA managed VM to disk");
}

#[test]
fn a_reboot_has_the_time_that_it_is_given() {
    let mut world = site("three-node");
    let (path, since) = ("/nodes/pve2/qemu/104/status/reboot", world.guest_since(Vmid(104)));
    assert_eq!(power(&mut world, path, &[("timeout", "1")]).0, "VM quit/powerdown failed");
    assert_eq!(world.guest_since(Vmid(104)), since, "it is the same boot");
    assert_eq!(power(&mut world, path, &[]).0, "OK");
    assert!(world.guest_since(Vmid(104)) > since);
}

#[test]
fn a_disk_grows_and_never_shrinks() {
    let mut world = site("three-node");
    let path = "/nodes/pve2/qemu/104/resize";
    let put = |world: &mut World, params: &[(&str, &str)]| world.handle(&call(Verb::Put, path, params));
    let task = upid(put(&mut world, &[("disk", "scsi0"), ("size", "+8G")]).unwrap().data);
    run(&mut world, 5);
    assert_eq!(outcome(&mut world, &task).0, "OK");
    let line = get(&mut world, "/nodes/pve2/qemu/104/config")["scsi0"].as_str().unwrap().to_owned();
    assert!(line.contains(",size=40G"), "{line}");
    for (params, text) in [
        ([("disk", "scsi0"), ("size", "1G")], "shrinking disks is not supported"),
        ([("disk", "scsi9"), ("size", "1G")], "disk 'scsi9' does not exist"),
    ] {
        assert_eq!(put(&mut world, &params).unwrap_err().message, text);
    }
    let stale = put(&mut world, &[("disk", "scsi0"), ("size", "50G"), ("digest", "0")]).unwrap_err();
    assert_eq!(stale.message, "checksum mismatch (file change by other user?)");
}
