//! Backups: locked while they are made, restored with other volumes, pruned by the server's rules.

use super::*;

fn backups(world: &mut World, vmid: &str) -> Vec<String> {
    let rows = get_with(world, "/nodes/pve2/storage/local/content", &[("content", "backup"), ("vmid", vmid)]);
    rows.as_array().unwrap().iter().map(|row| row["volid"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_guest_is_locked_until_its_backup_has_its_name() {
    let mut world = site("tiny");
    let params = [("vmid", "104"), ("storage", "local"), ("compress", "zstd"), ("notes-template", "{{guestname}}")];
    let task = upid(post(&mut world, "/nodes/pve2/vzdump", &params).unwrap());
    run(&mut world, 2);
    assert_eq!(world.guest_config(Vmid(104)).unwrap()["lock"], "backup");
    assert!(backups(&mut world, "104").is_empty());
    run(&mut world, 600);
    assert_eq!(outcome(&mut world, &task).0, "OK");
    assert!(!world.guest_config(Vmid(104)).unwrap().contains_key("lock"));
    let all = backups(&mut world, "104");
    assert!(
        all[0].starts_with("local:backup/vzdump-qemu-104-2026_11_21-12_0") && all[0].ends_with(".vma.zst"),
        "{all:?}"
    );
}

#[test]
fn one_job_at_a_time_on_a_node_and_a_locked_guest_fails_its_job() {
    let mut world = site("tiny");
    let dump = |world: &mut World, vmid: &str, storage: &str| {
        upid(post(world, "/nodes/pve2/vzdump", &[("vmid", vmid), ("storage", storage)]).unwrap())
    };
    let (first, second) = (dump(&mut world, "104", "local"), dump(&mut world, "111", "local"));
    run(&mut world, 5);
    assert!(outcome(&mut world, &second).1.contains("trying to get global lock"));
    run(&mut world, 900);
    assert_eq!((outcome(&mut world, &first).0, outcome(&mut world, &second).0), ("OK".into(), "OK".into()));
    world.set_lock(Vmid(104), Some("migrate"));
    let (locked, wrong) = (dump(&mut world, "104", "local"), dump(&mut world, "111", "nfs-shared"));
    run(&mut world, 60);
    let (status, log) = outcome(&mut world, &locked);
    assert_eq!(status, "job errors");
    assert!(log.contains("ERROR: Backup of VM 104 failed - VM is locked (migrate)"), "{log}");
    assert_eq!(outcome(&mut world, &wrong).0, "can't use storage 'nfs-shared' for backups - wrong content type");
    assert_eq!(post(&mut world, "/nodes/pve3/vzdump", &[("vmid", "104")]).unwrap(), "OK");
}

#[test]
fn protected_backups_are_neither_counted_nor_deleted() {
    let mut world = site("tiny");
    let path = "/nodes/pve2/storage/local/prunebackups";
    let params = [("vmid", "108"), ("prune-backups", "keep-last=1")];
    let rows = get_with(&mut world, path, &params);
    let marks: Vec<&str> = rows.as_array().unwrap().iter().map(|row| row["mark"].as_str().unwrap()).collect();
    assert_eq!(marks, ["keep", "remove", "protected"]);
    let task = upid(world.handle(&call(Verb::Delete, path, &params)).unwrap().data);
    run(&mut world, 5);
    assert_eq!((outcome(&mut world, &task).0.as_str(), backups(&mut world, "108").len()), ("OK", 2));
    let monthly = get_with(&mut world, path, &[("vmid", "108"), ("prune-backups", "keep-monthly=3")]);
    assert!(monthly.as_array().unwrap().iter().all(|row| row["mark"] != "remove"), "{monthly}");
}

#[test]
fn a_guest_is_overwritten_only_by_force_and_when_it_is_off() {
    let mut world = site("tiny");
    let archive = backups(&mut world, "108").pop().unwrap();
    let restore = |world: &mut World, vmid: &str, force: &str| {
        post(
            world,
            "/nodes/pve2/qemu",
            &[("vmid", vmid), ("archive", archive.as_str()), ("force", force), ("unique", "1")],
        )
    };
    let said = restore(&mut world, "108", "0").unwrap_err().message;
    assert_eq!(said, "unable to restore VM 108 - VM 108 already exists on node 'pve2'");
    assert_eq!(restore(&mut world, "104", "1").unwrap_err().message, "unable to restore VM 104 - vm is running");
    let task = upid(restore(&mut world, "208", "0").unwrap());
    assert_eq!(world.guest_config(Vmid(208)).unwrap()["lock"], "create");
    run(&mut world, 60);
    assert_eq!(outcome(&mut world, &task).0, "OK");
    let (new, old) = (world.guest_config(Vmid(208)).unwrap().clone(), world.guest_config(Vmid(108)).unwrap());
    assert_eq!(new["name"], old["name"]);
    assert!(new["smbios1"] != old["smbios1"] && new["net0"] != old["net0"] && new["scsi0"].contains("vm-208-disk-0"));
}

#[test]
fn a_reboot_takes_a_node_away_and_brings_it_back() {
    let mut world = site("tiny");
    post(&mut world, "/nodes/pve3/status", &[("command", "reboot")]).unwrap();
    let uptime = |world: &mut World| get(world, "/nodes/pve3/status")["uptime"].as_i64().unwrap();
    let before = uptime(&mut world);
    run(&mut world, 10);
    assert!(!world.node_up(&NodeName::new("pve3")));
    run(&mut world, 60);
    assert!(uptime(&mut world) < 60 && before > 60);
}
