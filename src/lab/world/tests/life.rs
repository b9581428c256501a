use super::*;

/// Runs the task of that call to its end: how it ended, and its log.
fn done(world: &mut World, verb: Verb, path: &str, params: &[(&str, &str)]) -> (String, String) {
    let answer = world.handle(&call(verb, path, params)).unwrap_or_else(|e| panic!("{path}: {e:?}"));
    let task = upid(answer.data);
    run(world, 300);
    outcome(world, &task)
}

fn refused(world: &mut World, verb: Verb, path: &str, params: &[(&str, &str)]) -> PveError {
    world.handle(&call(verb, path, params)).unwrap_err()
}

fn config(world: &World, vmid: u32, key: &str) -> String {
    world.guest_config(Vmid(vmid)).and_then(|config| config.get(key)).cloned().unwrap_or_default()
}

#[test]
fn a_vm_is_reserved_at_once_and_made_by_its_task() {
    let mut world = site("three-node");
    let params = [
        ("vmid", "900"),
        ("name", "new"),
        ("description", "mine"),
        ("tags", "B,a"),
        ("scsi0", "local-lvm:0,import-from=nfs-shared:iso/talos-v1.11.2-metal-amd64.iso"),
        ("scsi1", "ceph-vm:10,ssd=1"),
        ("ide2", "local-lvm:cloudinit"),
        ("net0", "virtio,bridge=vmbr0"),
    ];
    let error = refused(&mut world, Verb::Post, "/nodes/pve2/qemu", &params);
    assert_eq!(
        error.errors["scsi0"],
        "'nfs-shared:iso/talos-v1.11.2-metal-amd64.iso' has wrong type 'iso' - needs to be 'images' or 'import'"
    );
    let mut params = params;
    params[4] = ("scsi0", "local-lvm:32");
    let task = upid(post(&mut world, "/nodes/pve2/qemu", &params).unwrap());
    assert_eq!(get(&mut world, "/nodes/pve2/qemu/900/config")["lock"], "create");
    assert!(row(&mut world, "qemu/900").get("name").is_none(), "lists show names late");
    let again = refused(&mut world, Verb::Post, "/nodes/pve1/qemu", &params);
    assert_eq!(again.message, "unable to create VM 900 - VM 900 already exists on node 'pve2'");
    run(&mut world, 30);
    assert_eq!(outcome(&mut world, &task).0, "OK");
    let made = get(&mut world, "/nodes/pve2/qemu/900/config");
    assert_eq!(made["scsi0"], "local-lvm:vm-900-disk-0,size=32G");
    assert_eq!(made["scsi1"], "ceph-vm:vm-900-disk-0,size=10G,ssd=1");
    assert_eq!(made["ide2"], "local-lvm:vm-900-cloudinit,media=cdrom,size=4M");
    assert_eq!((made["tags"].as_str(), made["description"].as_str()), (Some("a;b"), Some("mine\n")));
    assert!(made.get("lock").is_none() && made["smbios1"].as_str().unwrap().starts_with("uuid="));
    assert_eq!(refused(&mut world, Verb::Get, "/cluster/nextid", &[("vmid", "900")]).status, 400);
}

#[test]
fn a_worker_that_fails_takes_its_reservation_back() {
    let mut world = site("three-node");
    for (kind, path, params) in [
        ("qmcreate", "/nodes/pve2/qemu", vec![("vmid", "900")]),
        ("qmclone", "/nodes/pve2/qemu/108/clone", vec![("newid", "900")]),
    ] {
        world.inject(TaskFault {
            kind: FaultKind::Fail("no".into()),
            task_type: Some(kind.into()),
            vmid: None,
            times: 1,
        });
        assert_eq!(done(&mut world, Verb::Post, path, &params).0, "no");
        assert!(world.guest_node(Vmid(900)).is_none(), "{kind}");
    }
}

#[test]
fn clones_are_new_guests() {
    let mut world = site("three-node");
    let full = [("newid", "901"), ("name", "copy"), ("description", "mine")];
    assert_eq!(done(&mut world, Verb::Post, "/nodes/pve2/qemu/108/clone", &full).0, "OK");
    assert_eq!(config(&world, 901, "scsi0").split(',').next(), Some("ceph-vm:vm-901-disk-0"));
    for key in ["smbios1", "vmgenid", "net0"] {
        assert_ne!(config(&world, 901, key), config(&world, 108, key), "{key}");
    }
    assert_eq!(config(&world, 901, "tags"), "dev");
    let linked = [("newid", "902"), ("name", "linked")];
    assert_eq!(done(&mut world, Verb::Post, "/nodes/pve1/qemu/9001/clone", &linked).0, "OK");
    assert_eq!(config(&world, 902, "scsi0"), "local-lvm:base-9001-disk-0/vm-902-disk-0,size=16G");
    assert!(config(&world, 902, "template").is_empty() && config(&world, 902, "ide2").contains("vm-902-cloudinit"));
    let (end, _) = done(&mut world, Verb::Delete, "/nodes/pve1/qemu/9001", &[]);
    assert_eq!(end, "base volume 'local-lvm:base-9001-disk-0' is still in use by linked cloned");

    let path = "/nodes/pve1/qemu/9001/clone";
    let error = refused(&mut world, Verb::Post, path, &[("newid", "903"), ("target", "pve2")]);
    assert_eq!(error.message, "can't clone VM to node 'pve2' (VM uses local storage)");
    let error = refused(&mut world, Verb::Post, path, &[("newid", "902")]);
    assert_eq!(error.message, "unable to create VM 902: config file already exists");
    assert!(done(&mut world, Verb::Post, path, &[("newid", "104")]).0.ends_with("failed: File exists"));
    assert_eq!(config(&world, 104, "name"), "web", "nothing happens to the one that has the number");
    let error = refused(&mut world, Verb::Post, path, &[("newid", "903"), ("storage", "ceph-vm")]);
    assert_eq!(error.errors["storage"], "parameter 'storage' not allowed for linked clones");
}

#[test]
fn two_clones_of_a_running_vm_collide() {
    let mut world = site("three-node");
    let path = "/nodes/pve2/qemu/104/clone";
    let first = upid(post(&mut world, path, &[("newid", "901")]).unwrap());
    let second = upid(post(&mut world, path, &[("newid", "902")]).unwrap());
    run(&mut world, 300);
    assert_eq!(outcome(&mut world, &first).0, "OK");
    assert_eq!(outcome(&mut world, &second).0, "can't lock file '/var/lock/qemu-server/lock-104.conf' - got timeout");
    assert!(world.guest_node(Vmid(902)).is_none());
}

#[test]
fn only_what_may_go_is_destroyed_and_its_volumes_with_it() {
    let mut world = site("three-node");
    let mut no = |path: &str| refused(&mut world, Verb::Delete, path, &[]).message;
    assert_eq!(no("/nodes/pve2/qemu/104"), "VM 104 is running - destroy failed");
    assert_eq!(no("/nodes/pve1/qemu/100"), "can't remove VM 100 - protection mode enabled");
    assert_eq!(
        no("/nodes/pve3/qemu/223"),
        "unable to remove VM 223 - used in HA resources and purge parameter not set."
    );
    assert_eq!(no("/nodes/pve1/lxc/101"), "unable to destroy CT 101 - container is running");
    let content = "/nodes/pve2/storage/ceph-vm/content";
    let volumes = |world: &mut World| get(world, content).to_string().contains("vm-108-disk-0");
    let used = |world: &mut World| get(world, "/nodes/pve2/storage/ceph-vm/status")["used"].as_u64().unwrap();
    let before = (volumes(&mut world), used(&mut world));
    assert_eq!(done(&mut world, Verb::Delete, "/nodes/pve2/qemu/108", &[]).0, "OK");
    assert!(before.0 && !volumes(&mut world) && used(&mut world) < before.1);
    assert_eq!(
        refused(&mut world, Verb::Get, "/nodes/pve2/qemu/108/config", &[]).message,
        "Configuration file 'nodes/pve2/qemu-server/108.conf' does not exist"
    );
    assert_eq!(done(&mut world, Verb::Delete, "/nodes/pve3/qemu/223", &[("purge", "1")]).0, "OK");
    assert!(!get(&mut world, "/cluster/ha/resources").to_string().contains("vm:223"));
}

#[test]
fn snapshots_keep_the_configuration_and_bring_it_back() {
    let mut world = site("three-node");
    let path = "/nodes/pve2/qemu/104/snapshot";
    let start = world.snapshot_state();
    let take = [("snapname", "one"), ("description", "first")];
    assert_eq!(done(&mut world, Verb::Post, path, &take).0, "OK");
    let changes = diff(&start, &world.snapshot_state());
    assert!(changes.iter().any(|line| line.starts_with("guests.104.snapshots.one:")), "{changes:?}");
    assert_eq!(done(&mut world, Verb::Post, path, &take).0, "snapshot name 'one' already used");
    world.handle(&call(Verb::Put, "/nodes/pve2/qemu/104/config", &[("name", "other")])).unwrap();
    let generation = config(&world, 104, "vmgenid");
    let rollback = format!("{path}/one/rollback");
    let (end, _) = done(&mut world, Verb::Post, &rollback, &[]);
    assert_eq!((end.as_str(), world.guest_status(Vmid(104))), ("OK", Some("stopped")));
    assert_eq!(config(&world, 104, "name"), "web");
    assert_ne!(config(&world, 104, "vmgenid"), generation);
    assert_eq!(done(&mut world, Verb::Delete, &format!("{path}/one"), &[]).0, "OK");
    assert_eq!(done(&mut world, Verb::Delete, &format!("{path}/one"), &[]).0, "snapshot 'one' does not exist");
    assert!(config(&world, 104, "parent").is_empty() && config(&world, 104, "lock").is_empty());
    let (end, _) = done(&mut world, Verb::Post, "/nodes/pve1/qemu/9000/snapshot", &[("snapname", "x1")]);
    assert_eq!(end, "you can't take a snapshot if it's a template");
}

#[test]
fn templates_rest_on_base_volumes() {
    let mut world = site("three-node");
    assert_eq!(
        refused(&mut world, Verb::Post, "/nodes/pve3/qemu/224/template", &[]).message,
        "unable to create template, because VM contains snapshots"
    );
    assert_eq!(done(&mut world, Verb::Post, "/nodes/pve2/qemu/108/template", &[]).0, "OK");
    assert_eq!(config(&world, 108, "scsi0").split(',').next(), Some("ceph-vm:base-108-disk-0"));
    let error = refused(&mut world, Verb::Post, "/nodes/pve2/qemu/108/template", &[]);
    assert_eq!(error.message, "you can't convert a template to a template");
    assert_eq!(post(&mut world, "/nodes/pve2/lxc/110/template", &[]).unwrap(), Value::Null, "a CT's keeps its id");
    run(&mut world, 5);
    assert_eq!(config(&world, 110, "template"), "1");
}

#[test]
fn images_come_from_addresses_and_go() {
    let mut world = site("three-node");
    let path = "/nodes/pve2/storage/local/download-url";
    let url = "https://images.example/a.iso";
    let base = [("url", url), ("content", "iso"), ("filename", "a.iso")];
    assert_eq!(done(&mut world, Verb::Post, path, &base).0, "OK");
    assert_eq!(done(&mut world, Verb::Post, path, &base).0, "refusing to override existing file 'a.iso'");
    let wrong = [base[0], base[1], base[2], ("checksum", "00"), ("checksum-algorithm", "sha256")];
    let (end, _) = done(&mut world, Verb::Post, path, &wrong);
    assert!(end.starts_with("checksum mismatch: got '") && end.ends_with("' != expect '00', aborting"), "{end}");
    let sum = end.split('\'').nth(1).unwrap().to_owned();
    let right = [base[0], base[1], base[2], ("checksum", sum.as_str()), ("checksum-algorithm", "sha256")];
    let (end, log) = done(&mut world, Verb::Post, path, &right);
    assert!(end == "OK" && log.contains("OK, got correct file already"), "{log}");
    let size = get_with(&mut world, "/nodes/pve2/query-url-metadata", &[("url", url)])["size"].clone();
    let there = get(&mut world, "/nodes/pve2/storage/local/content");
    assert!(there.as_array().unwrap().iter().any(|row| row["volid"] == "local:iso/a.iso" && row["size"] == size));
    assert!(!get(&mut world, "/nodes/pve1/storage/local/content").to_string().contains("a.iso"), "local");
    let error = refused(&mut world, Verb::Post, path, &[base[0], ("content", "import"), base[2]]);
    assert_eq!(error.errors["filename"], "invalid filename or wrong extension");
    let mut delete = call(Verb::Delete, "/nodes/pve2/storage/local/content", &[]);
    delete.template = "/nodes/{node}/storage/{storage}/content/{volume}".into();
    delete.path.insert("volume".into(), "local:iso/a.iso".into());
    let task = upid(world.handle(&delete).unwrap().data);
    run(&mut world, 5);
    assert_eq!(outcome(&mut world, &task).0, "OK");
    assert!(!get(&mut world, "/nodes/pve2/storage/local/content").to_string().contains("a.iso"));
}

#[test]
fn a_disk_of_nobody_is_listed_with_its_owner_and_goes_and_an_unused_one_goes_with_its_line() {
    let mut world = site("leftovers");
    let disks = |world: &mut World| -> Vec<String> {
        let rows = get_with(world, "/nodes/pve2/storage/fast/content", &[]);
        rows.as_array()
            .unwrap()
            .iter()
            .map(|row| format!("{} of {}", row["volid"].as_str().unwrap(), row["vmid"]))
            .collect()
    };
    let orphan = "fast:vm-999-disk-0";
    assert!(disks(&mut world).contains(&format!("{orphan} of 999")));
    let delete = |world: &mut World, volid: &str| {
        let mut call = call(Verb::Delete, "/nodes/pve2/storage/fast/content/x", &[]);
        call.template = "/nodes/{node}/storage/{storage}/content/{volume}".into();
        call.path.insert("volume".into(), volid.into());
        let task = upid(world.handle(&call).unwrap().data);
        run(world, 5);
        (task.clone(), outcome(world, &task).0)
    };
    let (task, ended) = delete(&mut world, orphan);
    assert!(task.contains(":imgdel:999@fast:") && ended == "OK", "{task} {ended}");
    assert!(!disks(&mut world).contains(&format!("{orphan} of 999")));
    assert!(delete(&mut world, orphan).1.contains("No such file"));
    let unused = "fast:vm-104-disk-1 of 104".to_owned();
    assert!(disks(&mut world).contains(&unused));
    world.handle(&call(Verb::Put, "/nodes/pve2/qemu/104/config", &[("delete", "unused0")])).unwrap();
    assert!(!disks(&mut world).contains(&unused));
    // The server asks nobody: what a guest names goes, too.
    assert_eq!(delete(&mut world, "fast:vm-104-disk-0").1, "OK");
    assert!(!disks(&mut world).iter().any(|disk| disk.starts_with("fast:vm-104-disk-0")));
}

#[test]
fn a_task_that_hangs_runs_until_it_is_stopped() {
    let mut world = site("leftovers");
    let task = "UPID:pve3:0001ABCD:00A1B2C3:67400000:vzdump:104:root@pam:";
    run(&mut world, 3600);
    assert_eq!(outcome(&mut world, task).0, "running");
    let path = format!("/nodes/pve3/tasks/{task}");
    assert_eq!(world.handle(&call(Verb::Delete, &path, &[])).unwrap().data, Value::Null);
    assert_eq!(outcome(&mut world, task), ("received interrupt".into(), "TASK ERROR: received interrupt".into()));
}
