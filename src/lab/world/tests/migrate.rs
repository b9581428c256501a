use super::*;

fn migrate(world: &mut World, from: &str, vmid: u32, params: &[(&str, &str)]) -> Result<String, PveError> {
    let kind = if world.guests[&Vmid(vmid)].kind == crate::model::ids::GuestKind::Qemu { "qemu" } else { "lxc" };
    post(world, &format!("/nodes/{from}/{kind}/{vmid}/migrate"), params).map(upid)
}

/// Starts a migration that a task must refuse; gives the task's end and log.
fn refused(world: &mut World, from: &str, vmid: u32, params: &[(&str, &str)]) -> (String, String) {
    let task = migrate(world, from, vmid, params).unwrap();
    run(world, 30);
    assert_eq!(node(world, vmid), from, "it must stay where it is");
    outcome(world, &task)
}

#[test]
fn a_running_vm_on_shared_storage_moves_live() {
    let mut world = site("three-node");
    let before = world.snapshot_state();
    let task = migrate(&mut world, "pve2", 104, &[("target", "pve3"), ("online", "1")]).unwrap();
    run(&mut world, 5);
    assert_eq!(row(&mut world, "qemu/104")["lock"], "migrate");
    assert_eq!(node(&world, 104), "pve2");
    assert_eq!(world.guest_status(Vmid(104)), Some("running"));
    run(&mut world, 30);
    let (end, log) = outcome(&mut world, &task);
    assert_eq!(end, "OK", "{log}");
    for line in [
        "2026-11-21 12:00:00 starting migration of VM 104 to node 'pve3' (10.0.0.13)",
        "starting VM 104 on remote node 'pve3'",
        "start remote tunnel",
        "starting online/live migration on unix:/run/qemu-server/104.migrate",
        "migration active, transferred 400.0 MiB of 8.0 GiB VM-state, 400.0 MiB/s",
        "migration status: completed",
        "migration finished successfully (duration 00:00:2",
        "TASK OK",
    ] {
        assert!(log.contains(line), "{line:?} is not in\n{log}");
    }
    let changes = diff(&before, &world.snapshot_state());
    assert_eq!(changes, ["guests.104.node: \"pve2\" -> \"pve3\""]);
}

#[test]
fn the_node_flips_before_the_lock_goes() {
    let mut world = site("three-node");
    migrate(&mut world, "pve2", 102, &[("target", "pve3"), ("online", "1")]).unwrap();
    let mut seen = Vec::new();
    while let Some(at) = world.next_event().filter(|at| *at < 40_000) {
        world.advance_to(at);
        let guest = &world.guests[&Vmid(102)];
        let now = (guest.node.to_string(), guest.config.get("lock").map(str::to_owned));
        if seen.last() != Some(&now) {
            seen.push(now);
        }
    }
    let lock = || Some("migrate".to_owned());
    let expected = [("pve2".into(), None), ("pve2".into(), lock()), ("pve3".into(), lock()), ("pve3".into(), None)];
    assert!(seen == expected || seen == expected[1..], "{seen:?}");
}

#[test]
fn local_disks_take_their_time() {
    let mut world = site("three-node");
    let task =
        migrate(&mut world, "pve2", 107, &[("target", "pve3"), ("online", "1"), ("with-local-disks", "1")]).unwrap();
    run(&mut world, 300);
    assert_eq!(outcome(&mut world, &task).0, "running");
    run(&mut world, 300);
    let (end, log) = outcome(&mut world, &task);
    assert_eq!(end, "OK", "{log}");
    assert!(
        log.contains("found local disk 'local-lvm:vm-107-disk-0' (attached)")
            && log.contains("starting storage migration")
    );
    assert_eq!(node(&world, 107), "pve3");
}

#[test]
fn a_stopped_vm_moves_at_once_even_if_online_is_said() {
    let mut world = site("three-node");
    let task = migrate(&mut world, "pve2", 108, &[("target", "pve1"), ("online", "1")]).unwrap();
    run(&mut world, 10);
    assert_eq!(outcome(&mut world, &task).0, "OK");
    assert_eq!((node(&world, 108).as_str(), world.guest_status(Vmid(108))), ("pve1", Some("stopped")));
}

#[test]
fn a_container_stops_moves_and_starts() {
    let mut world = site("three-node");
    let error = migrate(&mut world, "pve1", 112, &[("target", "pve2")]).unwrap_err();
    assert_eq!(error.message, "can't migrate running container without --online or --restart");
    let task = migrate(&mut world, "pve1", 112, &[("target", "pve2"), ("restart", "1")]).unwrap();
    run(&mut world, 5);
    assert_eq!(world.guest_status(Vmid(112)), Some("stopped"));
    run(&mut world, 30);
    let (end, log) = outcome(&mut world, &task);
    assert_eq!(end, "OK", "{log}");
    assert!(log.contains("shutdown CT 112") && log.contains("start container on target node"), "{log}");
    assert_eq!((node(&world, 112).as_str(), world.guest_status(Vmid(112))), ("pve2", Some("running")));
    let (end, log) = refused(&mut world, "pve1", 101, &[("target", "pve2"), ("online", "1")]);
    assert_eq!(end, "migration aborted");
    assert!(log.contains("lxc live migration is currently not implemented"), "{log}");
}

#[test]
fn what_is_refused_before_any_task() {
    let mut world = site("three-node");
    let mut error =
        |from: &str, vmid: u32, params: &[(&str, &str)]| migrate(&mut world, from, vmid, params).unwrap_err();
    let local = error("pve2", 104, &[("target", "pve2"), ("online", "1")]);
    assert_eq!((local.status, local.errors["target"].as_str()), (400, "target is local node."));
    assert_eq!(error("pve2", 104, &[("target", "pve9")]).message, "no such cluster node 'pve9'");
    assert_eq!(error("pve2", 104, &[("target", "pve3")]).message, "can't migrate running VM without --online");
    assert_eq!(error("pve1", 115, &[("target", "pve3"), ("online", "1")]).message, "VM is locked (backup)");
    assert_eq!(
        error("pve3", 104, &[("target", "pve1")]).message,
        "Configuration file 'nodes/pve3/qemu-server/104.conf' does not exist"
    );
    let force = error("pve2", 104, &[("target", "pve3"), ("online", "1"), ("force", "1")]);
    assert_eq!(force.errors["force"], "Only root may use this option.");
    let map = error("pve2", 104, &[("target", "pve3"), ("online", "1"), ("targetstorage", "a:b,a:c")]);
    assert!(map.errors["targetstorage"].starts_with("failed to parse storage map"));
    let mut world = site("no-shared-storage");
    let missing = migrate(&mut world, "pve2", 104, &[("target", "pve3"), ("online", "1")]).unwrap_err();
    assert_eq!(missing.message, "storage 'local-lvm' is not available on node 'pve3'");
}

#[test]
fn what_only_the_task_refuses() {
    let mut world = site("three-node");
    for (from, vmid, cause) in [
        (
            "pve1",
            113,
            "ERROR: can't migrate local disk 'local:iso/debian-12.11.0-amd64-netinst.iso': local cdrom image",
        ),
        ("pve1", 113, "Problem found while scanning volumes - can't migrate VM - check log"),
        ("pve1", 114, "can't migrate VM which uses local devices: hostpci0"),
        ("pve2", 107, "can't live migrate attached local disks without with-local-disks option"),
        ("pve1", 120, "can't migrate 'local-lvm:base-9001-disk-0/vm-120-disk-0' as it's a clone of 'base-9001-disk-0'"),
        ("pve1", 9001, "referenced by linked clone(s)"),
        ("pve3", 224, "online storage migration not possible if non-replicated snapshot exists"),
        ("pve3", 225, "can't migrate to 'pve2': missing mapped devices hostpci0"),
    ] {
        let target = if from == "pve2" { "pve3" } else { "pve2" };
        let (end, log) = refused(&mut world, from, vmid, &[("target", target), ("online", "1")]);
        assert_eq!(end, "migration aborted", "{vmid}");
        assert!(log.contains(cause), "{cause:?} is not in\n{log}");
        assert_eq!(world.guests[&Vmid(vmid)].config.get("lock"), None, "{vmid}");
    }
    let (_, log) = refused(&mut world, "pve3", 225, &[("target", "pve1"), ("online", "1")]);
    assert!(log.contains("can't live migrate running VM which uses following mapped devices: hostpci0"), "{log}");
    let (_, log) = refused(&mut world, "pve3", 228, &[("target", "pve1"), ("restart", "1")]);
    assert!(log.contains("cannot migrate local bind mount point 'mp0'"), "{log}");
    assert_eq!(world.guest_status(Vmid(228)), Some("running"));
}

#[test]
fn a_missing_bridge_and_missing_memory_come_late() {
    let mut world = site("three-node");
    world.nodes.get_mut("pve3").unwrap().bridges = vec!["vmbr1".into()];
    let (end, log) = refused(&mut world, "pve2", 104, &[("target", "pve3"), ("online", "1")]);
    assert_eq!(end, "migration problems");
    assert!(log.contains("bridge 'vmbr0' does not exist") && log.contains("aborting phase 2"), "{log}");
    let mut world = site("full");
    let (_, log) = refused(&mut world, "pve2", 105, &[("target", "pve3"), ("online", "1")]);
    assert!(log.contains("kvm: cannot set up guest memory 'pc.ram': Cannot allocate memory"), "{log}");
    assert_eq!(world.guests[&Vmid(105)].config.get("lock"), None);
}

#[test]
fn a_storage_map_renames_the_volumes() {
    let mut world = site("no-shared-storage");
    let params = [("target", "pve3"), ("online", "1"), ("with-local-disks", "1"), ("targetstorage", "local-zfs")];
    migrate(&mut world, "pve2", 104, &params).unwrap();
    run(&mut world, 500);
    assert_eq!(node(&world, 104), "pve3");
    let config = get(&mut world, "/nodes/pve3/qemu/104/config");
    assert!(config["scsi0"].as_str().unwrap().starts_with("local-zfs:vm-104-disk-0,"), "{config}");
}

#[test]
fn a_storage_that_is_full_half_way_ends_the_copy_and_leaves_the_guest_where_it_was() {
    let mut world = site("no-shared-storage");
    let fault = TaskFault { kind: FaultKind::Full, task_type: None, vmid: Some(Vmid(104)), times: 1 };
    world.inject(fault);
    let params = [("target", "pve3"), ("online", "1"), ("with-local-disks", "1"), ("targetstorage", "local-zfs")];
    let task = migrate(&mut world, "pve2", 104, &params).unwrap();
    run(&mut world, 500);
    let (end, log) = outcome(&mut world, &task);
    assert_eq!(end, "migration aborted");
    assert!(log.contains("transferred") && log.contains("failed - No space left on device"), "{log}");
    assert_eq!((node(&world, 104).as_str(), world.guests[&Vmid(104)].config.get("lock")), ("pve2", None));
}

#[test]
fn a_target_that_is_down_fails_in_the_task() {
    let mut world = site("three-node");
    world.set_node_up(&NodeName::new("pve3"), false);
    let (end, log) = refused(&mut world, "pve2", 104, &[("target", "pve3"), ("online", "1")]);
    assert_eq!(end, "migration aborted");
    assert!(log.contains("Can't connect to destination address using public key"), "{log}");
}

#[test]
fn faults_on_tasks() {
    let mut world = site("three-node");
    let fault = |kind, vmid| TaskFault { kind, task_type: Some("qmigrate".into()), vmid: Some(Vmid(vmid)), times: 1 };
    world.inject(fault(FaultKind::Abort, 104));
    world.inject(fault(FaultKind::KeepLock, 104));
    let (end, _) = refused(&mut world, "pve2", 104, &[("target", "pve3"), ("online", "1")]);
    assert_eq!(end, "migration aborted");
    assert_eq!(world.guests[&Vmid(104)].config.get("lock"), Some("migrate"));
    assert_eq!(world.command(&NodeName::new("pve2"), &["qm".into(), "unlock".into(), "104".into()]).exit, 0);
    world.inject(fault(FaultKind::Fail("no space".into()), 104));
    assert_eq!(refused(&mut world, "pve2", 104, &[("target", "pve3"), ("online", "1")]).0, "no space");
    world.inject(fault(FaultKind::Hang, 104));
    let task = migrate(&mut world, "pve2", 104, &[("target", "pve3"), ("online", "1")]).unwrap();
    run(&mut world, 3600);
    assert_eq!(outcome(&mut world, &task).0, "running");
    world.handle(&call(Verb::Delete, &format!("/nodes/pve2/tasks/{task}"), &[])).unwrap();
    assert_eq!(outcome(&mut world, &task).0, "migration aborted");
    let task = migrate(&mut world, "pve2", 105, &[("target", "pve3"), ("online", "1")]).unwrap();
    run(&mut world, 5);
    let again = migrate(&mut world, "pve2", 105, &[("target", "pve1"), ("online", "1")]).unwrap_err();
    assert_eq!(again.message, "VM is locked (migrate)");
    world.set_node_up(&NodeName::new("pve3"), false);
    run(&mut world, 5);
    assert_eq!(outcome(&mut world, &task).0, "migration problems");
    assert_eq!((node(&world, 105).as_str(), world.guest_status(Vmid(105))), ("pve2", Some("running")));
    world.set_node_up(&NodeName::new("pve3"), true);
    world.inject(fault(FaultKind::Warn, 104));
    let task = migrate(&mut world, "pve2", 104, &[("target", "pve3"), ("online", "1")]).unwrap();
    run(&mut world, 60);
    assert_eq!(outcome(&mut world, &task).0, "WARNINGS: 1");
    assert_eq!(node(&world, 104), "pve3");
}

#[test]
fn the_precondition_says_what_the_server_says() {
    let mut world = site("three-node");
    let body = get(&mut world, "/nodes/pve2/qemu/107/migrate");
    assert_eq!(body["running"], 1);
    assert_eq!(body["allowed_nodes"], serde_json::json!(["pve1", "pve3"]));
    assert_eq!(body["not_allowed_nodes"], serde_json::json!({"pve1": {}, "pve3": {}}));
    assert_eq!(body["local_disks"][0]["volid"], "local-lvm:vm-107-disk-0");
    assert_eq!(body["local_disks"][0]["size"], 40_u64 << 30);
    let body = get(&mut world, "/nodes/pve3/qemu/225/migrate");
    assert_eq!(body["not_allowed_nodes"]["pve2"]["unavailable-resources"], serde_json::json!(["hostpci0"]));
    assert_eq!(body["mapped-resource-info"]["hostpci0"]["name"], "gpu0");
    let body = get(&mut world, "/nodes/pve1/qemu/121/migrate");
    assert_eq!(body["not_allowed_nodes"]["pve3"]["blocking-ha-resources"][0]["sid"], "vm:221");
    let body = get(&mut world, "/nodes/pve1/lxc/112/migrate");
    assert_eq!(body["allowed-nodes"], serde_json::json!(["pve2", "pve3"]));
    let error = world.handle(&call(Verb::Get, "/nodes/pve1/qemu/115/migrate", &[])).unwrap_err();
    assert_eq!(error.message, "VM is locked (backup)");
    let mut old = site("mixed-version");
    let error = old.handle(&call(Verb::Get, "/nodes/pve2/lxc/107/migrate", &[])).unwrap_err();
    assert_eq!(
        (error.status, error.message.as_str()),
        (501, "Method 'GET /nodes/pve2/lxc/107/migrate' not implemented")
    );
}

#[test]
fn a_newer_machine_does_not_start_on_an_older_node() {
    let mut world = site("mixed-version");
    let (end, log) = refused(&mut world, "pve3", 108, &[("target", "pve1"), ("online", "1")]);
    assert_eq!(end, "migration problems");
    assert!(log.contains("unsupported machine type 'pc-q35-10.1+pve0'"), "{log}");
    let task = migrate(&mut world, "pve2", 104, &[("target", "pve3"), ("online", "1")]).unwrap();
    run(&mut world, 60);
    assert_eq!(outcome(&mut world, &task).0, "OK");
}

#[test]
fn what_leaves_one_node_at_a_time_shares_its_link() {
    let alone = {
        let mut world = site("three-node");
        migrate(&mut world, "pve2", 105, &[("target", "pve3"), ("online", "1")]).unwrap();
        (0..200).find(|_| {
            run(&mut world, 1);
            node(&world, 105) == "pve3"
        })
    };
    let mut world = site("three-node");
    migrate(&mut world, "pve2", 105, &[("target", "pve3"), ("online", "1")]).unwrap();
    migrate(&mut world, "pve2", 1052, &[("target", "pve1"), ("online", "1")]).unwrap();
    let shared = (0..200).find(|_| {
        run(&mut world, 1);
        node(&world, 105) == "pve3"
    });
    assert!(alone.is_some() && shared > alone, "{alone:?} {shared:?}");
}

/// The default site's evacuation from beginning to end: HA takes its own, the rest goes one by one.
#[test]
fn everything_on_pve2_can_leave_without_a_stop() {
    let mut world = site("three-node");
    let words = ["ha-manager", "crm-command", "node-maintenance", "enable", "pve2"].map(str::to_owned);
    assert_eq!(world.command(&NodeName::new("pve1"), &words).exit, 0);
    run(&mut world, 90);
    let here: Vec<Vmid> = world.guests().into_iter().filter(|vmid| node(&world, vmid.0) == "pve2").collect();
    assert_eq!(here.len(), 10);
    for (n, vmid) in here.into_iter().enumerate() {
        let status = world.guest_status(vmid);
        let target = ("target", ["pve1", "pve3"][n % 2]);
        let task = if world.guests[&vmid].kind == crate::model::ids::GuestKind::Qemu {
            migrate(&mut world, "pve2", vmid.0, &[target, ("online", "1"), ("with-local-disks", "1")]).unwrap()
        } else {
            migrate(&mut world, "pve2", vmid.0, &[target]).unwrap()
        };
        run(&mut world, 600);
        let (end, log) = outcome(&mut world, &task);
        assert_eq!(end, "OK", "{vmid}: {log}");
        assert_eq!(world.guest_status(vmid), status, "{vmid}");
    }
    assert_eq!(get(&mut world, "/nodes/pve2/qemu"), serde_json::json!([]));
    assert_eq!(get(&mut world, "/nodes/pve2/lxc"), serde_json::json!([]));
}
