//! `runbook guest` and `runbook template`: the same plans as `runbook do`, in fewer words.

use serde_json::Value;

use crate::harness::{Lab, World};

/// What is typed, and the long way of it.
const WAYS: [(&str, &str); 19] = [
    ("guest status web", "proxmox.guest_status guest=web"),
    ("guest config 104", "proxmox.guest_config guest=104"),
    ("vm start old-wiki", "proxmox.guest_start guest=old-wiki"),
    ("guest stop web --timeout 90s --force", "proxmox.guest_shutdown guest=web timeout=90s force=true"),
    ("guest kill web", "proxmox.guest_stop guest=web"),
    ("guest clone debian-12 new", "proxmox.guest_clone guest=debian-12 name=new"),
    (
        "guest clone 9001 new --full --vmid 1200 --pool apps",
        "proxmox.guest_clone guest=9001 name=new full=true vmid=1200 pool=apps",
    ),
    ("guest clone 9001 new --linked", "proxmox.guest_clone guest=9001 name=new full=false"),
    ("guest set web cores=2 memory=4096", "proxmox.guest_set guest=web set=cores=2,memory=4096"),
    (
        "guest set web 'description=a, b' --delete onboot",
        "proxmox.guest_set guest=web 'set={\"description\":\"a, b\"}' delete=onboot",
    ),
    ("guest resize web scsi0 64G", "proxmox.guest_resize guest=web disk=scsi0 size=64G"),
    ("guest migrate web pve1", "proxmox.guest_migrate guest=web to=pve1"),
    ("guest migrate 109 pve1 --mode offline", "proxmox.guest_migrate guest=109 to=pve1 mode=offline"),
    ("guest delete old-wiki", "proxmox.guest_delete guest=old-wiki"),
    ("guest delete 108 --tag dev --unreferenced", "proxmox.guest_delete guest=108 tags=dev unreferenced=true"),
    ("guest unlock 105", "proxmox.guest_unlock guest=105"),
    ("guest unlock 105 --lock backup", "proxmox.guest_unlock guest=105 lock=backup"),
    (
        "guest snapshot web before --description 'by hand'",
        "proxmox.guest_snapshot guest=web name=before 'description=by hand'",
    ),
    ("guest snapshot web", "proxmox.guest_snapshots guest=web"),
];

#[test]
fn a_short_way_makes_the_plan_of_the_long_one() {
    let world = World::new();
    let lines = WAYS.iter().enumerate().map(|(n, (short, long))| {
        format!(
            "runbook {short} -o json >short{n} 2>/dev/null; echo $? >>short{n}\n\
             runbook do {long} -o json >long{n} 2>/dev/null; echo $? >>long{n}\n"
        )
    });
    let script: String = lines.collect();
    world.lab(&Lab { faults: &["set-lock:105=migrate"], ..Lab::default() }, &script).exits(0);
    for (n, (short, _)) in WAYS.iter().enumerate() {
        let of = |which: &str| {
            let text = world.read(&format!("{which}{n}"));
            let (json, exit) = text.trim_end().rsplit_once('\n').unwrap();
            let mut value: Value = serde_json::from_str(json).unwrap_or_else(|e| panic!("{short}: {e}: {text}"));
            // The moment that a plan was made, and figures of use, are others each time.
            let fleeting = ["hash", "created", "uptime", "cpu", "memory_used"];
            value.as_object_mut().unwrap().retain(|key, _| !fleeting.contains(&key.as_str()));
            if let Some(outputs) = value["outputs"].as_object_mut() {
                outputs.retain(|key, _| !fleeting.contains(&key.as_str()));
            }
            (value, exit.to_owned())
        };
        let (short_way, long_way) = (of("short"), of("long"));
        assert_eq!(short_way.0, long_way.0, "{short}");
        assert_eq!(short_way.1, long_way.1, "{short}");
        let refused = short.contains("--lock backup");
        assert_eq!(short_way.1, if refused { "6" } else { "0" }, "{short}: {:#}", short_way.0);
        let found = short_way.0["steps"].is_array() || short_way.0["outputs"].is_object();
        assert!(found, "{short}: {:#}", short_way.0);
    }
    world.nothing_changed();
}

#[test]
fn it_does_nothing_without_apply_and_all_of_it_with() {
    let world = World::new();
    let script = "runbook guest start old-wiki >dry; runbook guest start old-wiki --apply </dev/null; echo $?; \
                  runbook guest start old-wiki --apply --yes --progress quiet -o json >run && runbook runs -o json >runs; \
                  runbook guest start old-wiki --apply --yes";
    let got = world.lab(&Lab::default(), script);
    got.exits(0).says(&["6"]).complains(&["add --yes", "Nothing to do"]);
    assert!(world.read("dry").starts_with("DRY RUN: nothing was changed"), "{}", world.read("dry"));
    assert_eq!(world.work(), ["POST /nodes/pve2/qemu/109/status/start"]);
    let run: Value = serde_json::from_str(&world.read("run")).unwrap();
    assert_eq!((&run["status"], &run["runbook"]), (&"succeeded".into(), &"do".into()));
    assert!(world.read("runs").contains(run["run"].as_str().unwrap()));
}

#[test]
fn the_list_is_a_table_that_filters_narrow() {
    let world = World::new();
    let script = "runbook guest list >all; runbook vm list --tag prod --tag worker -o name >tags; \
                  runbook guest list --node pve2 --state stopped --pool apps -o json >none; \
                  runbook guest list --name 'web-?' --type qemu -o name >names; runbook guest list --node pve9; echo $?; \
                  runbook template list --tag talos";
    let got = world.lab(&Lab { faults: &["set-lock:105=backup"], ..Lab::default() }, script);
    got.exits(0).says(&["5\nvmid name node tags disks made of", "9000 talos pve1 talos, template shared"]);
    got.complains(&["there is no node \"pve9\""]);
    let all = world.read("all");
    let line = |vmid: &str| all.lines().find(|line| line.trim_start().starts_with(vmid)).unwrap().to_owned();
    let words = |vmid: &str| line(vmid).split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
    assert!(all.starts_with("vmid  name"), "{all}");
    assert_eq!(words("105"), "105 db-replica vm pve2 running apps 8 16.0 GiB backup");
    assert_eq!(words("111"), "111 vault vm pve2 running infra 2 4.0 GiB started");
    assert_eq!(words("9001"), "9001 debian-12 template pve1 stopped cloudinit, template 2 2.0 GiB");
    assert_eq!(world.read("names"), "121\n221\n");
    assert_eq!(world.read("tags").lines().count(), 3);
    let none: Value = serde_json::from_str(&world.read("none")).unwrap();
    assert_eq!((&none["action"], &none["outputs"]["count"]), (&"proxmox.guests".into(), &0.into()));
}

#[test]
fn a_lock_stays_while_its_task_is_at_work_and_goes_when_it_has_ended() {
    let world = World::new();
    let script = "runbook guest unlock db-replica --apply --yes --progress quiet && runbook guest status 105 -o json >after; \
                  runbook guest unlock web";
    let got = world.lab(&Lab { faults: &["set-lock:105=migrate"], ..Lab::default() }, script);
    got.exits(0).says(&["guest_unlock", "No changes."]);
    assert_eq!(world.work(), ["ssh qm unlock 105"]);
    let after: Value = serde_json::from_str(&world.read("after")).unwrap();
    assert_eq!(after["outputs"]["lock"], Value::Null);
    // A backup that never ends by itself has its lock by right.
    let script = "runbook do proxmox.guest_backup guest=104 storage=local --apply --yes >/dev/null 2>&1 & \
                  until runbook guest status 104 -o json | grep -q '\"lock\": \"backup\"'; do sleep 0.1; done; \
                  runbook guest unlock 104; echo $?; kill -9 $!; true";
    let got = world.lab(&Lab { faults: &["task-hang:vzdump/104"], ..Lab::default() }, script);
    got.says(&["(vzdump) is still at work on it", "wait until it has ended", "6"]);
}
