//! Decision tables of the acts of one request on a guest.

use serde_json::{Value, json};

use super::{
    GuestProtect, GuestReboot, GuestResize, GuestResume, GuestSet, GuestStart, GuestStop, GuestSuspend, GuestTag,
};
use crate::actions::deps::Timing;
use crate::actions::proxmox::One;
use crate::actions::proxmox::testing::{FakeWorld, but, call, ct, intent, vm};
use crate::engine::ports::{Action, Probe, Recovery, Unreadable};
use crate::model::failure::{Class, Failure};

const TASKS: &str = "proxmox/node/pve2/tasks/104";

fn world(guest: Value) -> FakeWorld {
    FakeWorld::default().with("proxmox/guest/104", guest).with(TASKS, json!([]))
}

fn off() -> Value {
    but(vm(), json!({"status": "stopped", "qmpstatus": "stopped"}))
}

fn paused() -> Value {
    but(vm(), json!({"qmpstatus": "paused"}))
}

fn on_disk() -> Value {
    but(off(), json!({"lock": "suspended"}))
}

async fn probe(action: &dyn Action, with: Value, world: &FakeWorld) -> Result<Probe, Failure> {
    action.probe(&call(but(json!({"guest": 104}), with)), world).await.map_err(|e| match e {
        Unreadable::Failed(failure) => failure,
        Unreadable::Unknown(why) | Unreadable::Later(why) => panic!("{why}"),
    })
}

/// What is found out where no handle was kept.
async fn recover(action: &dyn Action, with: Value, before: Value, world: FakeWorld) -> Recovery {
    let call = call(but(json!({"guest": 104}), with));
    action.recover(&call, &intent(before, &[]), None, &world).await.unwrap()
}

async fn refused(action: &dyn Action, with: Value, world: FakeWorld, class: Class, part: &str) {
    let failure = probe(action, with, &world).await.unwrap_err();
    assert!(failure.class == class && failure.to_string().contains(part), "{failure:?}");
    assert!(failure.remedy.is_some(), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_pulls_the_plug_of_what_runs_and_is_not_the_ha_managers() {
    let stop = One(GuestStop::new(Timing::default()));
    assert!(probe(&stop, json!({}), &world(off())).await.unwrap().satisfied);
    assert!(!probe(&stop, json!({}), &world(paused())).await.unwrap().satisfied);
    refused(&stop, json!({}), world(but(vm(), json!({"lock": "backup"}))), Class::Locked, "locked (backup)").await;
    let of_ha = world(but(vm(), json!({"ha": "started"})));
    refused(&stop, json!({}), of_ha, Class::Precondition, "the HA manager owns").await;
    assert!(matches!(recover(&stop, json!({}), vm(), world(off())).await, Recovery::Done(_)));
    assert!(matches!(recover(&stop, json!({}), vm(), world(vm())).await, Recovery::Unseen { .. }));
    assert!(matches!(recover(&stop, json!({}), vm(), world(Value::Null)).await, Recovery::InDoubt(_)));
}

#[tokio::test(start_paused = true)]
async fn a_guest_goes_on_running_for_as_long_as_is_asked() {
    let start = One(GuestStart::new(Timing::default()));
    let with = call(json!({"guest": 104, "steady": 30_000}));
    let began = tokio::time::Instant::now();
    start.verify(&with, &off(), &Value::Null, &world(vm())).await.unwrap();
    assert!(began.elapsed().as_secs() >= 30, "{:?}", began.elapsed());
    let falls = FakeWorld::default().in_turn("proxmox/guest/104", vec![vm(), vm(), vm(), off()]);
    let failure = start.verify(&with, &off(), &Value::Null, &falls).await.unwrap_err();
    assert!(failure.class == Class::Verify && failure.cause.contains("is stopped"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn a_reboot_is_another_boot_and_not_only_a_guest_that_runs() {
    let reboot = One(GuestReboot::new(Timing::default()));
    let boot = |pid: Option<u64>, uptime: u64| json!({"vmid": 104, "kind": "qemu", "name": "web", "node": "pve2", "status": "running", "pid": pid, "uptime": uptime});
    let with = |guest: Value, boot: Value| world(guest).with("proxmox/guest/104/state", boot);
    let before = but(vm(), json!({"boot": boot(Some(7), 500)}));
    let seen = async |guest: Value, now: Value| recover(&reboot, json!({}), before.clone(), with(guest, now)).await;
    assert!(matches!(seen(vm(), boot(Some(7), 900)).await, Recovery::Unseen { .. }));
    assert!(matches!(seen(vm(), boot(Some(8), 900)).await, Recovery::Done(_)), "another process");
    assert!(matches!(seen(vm(), boot(None, 3)).await, Recovery::Done(_)), "less time on");
    assert!(matches!(seen(off(), boot(None, 0)).await, Recovery::Partial(_)));

    let ready = probe(&reboot, json!({}), &with(vm(), boot(Some(7), 2))).await.unwrap();
    assert!(!ready.satisfied && ready.before["boot"]["pid"] == 7);
    refused(&reboot, json!({}), with(off(), boot(None, 0)), Class::Precondition, "is stopped").await;
    refused(&reboot, json!({}), with(paused(), boot(Some(7), 900)), Class::Precondition, "is paused").await;
    refused(&reboot, json!({}), with(vm(), boot(None, 2)), Class::Transient, "started 2 s ago").await;
}

#[tokio::test(start_paused = true)]
async fn a_vm_stands_still_in_memory_or_on_disk() {
    let (suspend, resume) = (One(GuestSuspend::new(Timing::default())), One(GuestResume::new(Timing::default())));
    let disk = || json!({"to_disk": true});
    assert!(probe(&suspend, json!({}), &world(paused())).await.unwrap().satisfied);
    assert!(probe(&suspend, disk(), &world(on_disk())).await.unwrap().satisfied);
    assert!(!probe(&suspend, disk(), &world(vm())).await.unwrap().satisfied);
    refused(&suspend, json!({}), world(off()), Class::Precondition, "is stopped").await;
    let of_ha = but(vm(), json!({"ha": "started"}));
    assert!(probe(&suspend, json!({}), &world(of_ha.clone())).await.is_ok());
    refused(&suspend, disk(), world(of_ha), Class::Precondition, "the HA manager owns").await;
    let container = FakeWorld::default().with("proxmox/guest/104", but(ct(), json!({"vmid": 104})));
    refused(&suspend, json!({}), container, Class::Precondition, "only VMs").await;

    assert!(matches!(recover(&suspend, json!({}), vm(), world(paused())).await, Recovery::Done(_)));
    assert!(matches!(recover(&suspend, json!({}), vm(), world(vm())).await, Recovery::Unseen { .. }));
    assert!(matches!(recover(&suspend, json!({}), vm(), world(off())).await, Recovery::Partial(_)));
    assert!(matches!(recover(&suspend, disk(), vm(), world(on_disk())).await, Recovery::Done(_)));
    let writing = but(vm(), json!({"lock": "suspending"}));
    assert!(matches!(recover(&suspend, disk(), vm(), world(writing)).await, Recovery::Partial(_)));

    assert!(probe(&resume, json!({}), &world(vm())).await.unwrap().satisfied);
    let failure = probe(&resume, json!({}), &world(off())).await.unwrap_err();
    assert_eq!(failure.remedy.as_deref(), Some("start it instead"));
    assert!(matches!(recover(&resume, json!({}), on_disk(), world(vm())).await, Recovery::Done(_)));
    assert!(matches!(recover(&resume, json!({}), on_disk(), world(on_disk())).await, Recovery::Unseen { .. }));
}

fn set() -> One<GuestSet> {
    One(GuestSet::new(Timing::default()))
}

fn config() -> Value {
    json!({"digest": "d1", "values": {"memory": "2048", "cores": "2", "onboot": "1", "cipassword": "**********",
        "net0": "virtio=BC:24:11:00:01:04,bridge=vmbr0", "scsi0": "local-lvm:vm-104-disk-0,size=32G"}})
}

fn configured(config: Value) -> FakeWorld {
    world(vm()).with("proxmox/guest/104/config", config)
}

#[tokio::test]
async fn a_change_is_shown_line_by_line_and_sent_with_the_digest() {
    let with =
        json!({"set": {"memory": 4096, "onboot": true, "net0": "virtio,bridge=vmbr1"}, "delete": ["cores", "numa"]});
    let found = probe(&set(), with.clone(), &configured(config())).await.unwrap();
    for part in ["memory: 2048 -> 4096", "cores: 2 -> (none)", "bridge=vmbr0 -> virtio=BC:24:11:00:01:04,bridge=vmbr1"]
    {
        assert!(found.summary.contains(part), "{part} in {}", found.summary);
    }
    assert!(!found.summary.contains("onboot") && !found.summary.contains("numa"), "{}", found.summary);
    assert!(found.notes[0].contains("memory, cores needs a restart"), "{:?}", found.notes);
    let guards: Vec<&str> = found.guards.iter().map(|guard| guard.pointer.as_str()).collect();
    assert_eq!(guards, ["/values/memory", "/values/net0", "/values/cores"]);
    let commands = set().commands(&call(but(json!({"guest": 104}), with.clone())), &found);
    for part in ["pvesh set /nodes/pve2/qemu/104/config", "--memory 4096", "--delete cores", "--digest d1"] {
        assert!(commands[0].contains(part), "{part} in {commands:?}");
    }
    let undo = set().undo(&call(with), &found.before, None).unwrap();
    assert_eq!(undo.with["set"]["cores"], "2");
    assert_eq!(undo.with["set"]["memory"], "2048");
}

#[tokio::test]
async fn what_is_so_already_is_unchanged_and_what_must_not_be_set_is_refused() {
    let so = json!({"set": {"memory": "2048", "scsi0": "local-lvm:vm-104-disk-0"}, "delete": ["numa"]});
    assert!(probe(&set(), so, &configured(config())).await.unwrap().satisfied);
    let waits = but(config(), json!({"pending": {"memory": {"value": "4096"}}}));
    assert!(probe(&set(), json!({"set": {"memory": 4096}}), &configured(waits)).await.unwrap().satisfied);
    for (with, part) in [
        (json!({}), "no line is named"),
        (json!({"set": {"cores": 1}, "delete": ["cores"]}), "both in"),
        (json!({"set": {"cipassword": "x"}}), "credential"),
        (json!({"set": {"lock": "backup"}}), "not set here"),
        (json!({"set": {"scsi1": "local-lvm:32"}}), "another volume"),
        (json!({"delete": ["scsi0"]}), "is a disk"),
        (json!({"set": {"memroy": 4096}}), "memroy"),
        (json!({"set": {"cores": [1]}}), "expected a text"),
    ] {
        refused(&set(), with, configured(config()), Class::Precondition, part).await;
    }
    let secret = probe(&set(), json!({"delete": ["cipassword"]}), &configured(config())).await.unwrap();
    assert!(secret.summary.contains("cipassword: (secret) -> (none)") && secret.guards.is_empty(), "{secret:?}");
}

#[tokio::test(start_paused = true)]
async fn a_change_is_recovered_from_the_lines_in_force_and_those_that_wait() {
    let with = || json!({"set": {"memory": 4096, "onboot": false}});
    let before = but(vm(), json!({"config": config()}));
    let seen = async |patch: Value| recover(&set(), with(), before.clone(), configured(but(config(), patch))).await;
    assert!(matches!(seen(json!({})).await, Recovery::Unseen { .. }));
    assert!(
        matches!(seen(json!({"digest": "d2", "values": {"cores": "8"}})).await, Recovery::Unseen { .. }),
        "by somebody else"
    );
    assert!(matches!(seen(json!({"values": {"onboot": "0"}})).await, Recovery::Partial(_)));
    let done = seen(json!({"values": {"onboot": "0"}, "pending": {"memory": {"value": "4096"}}})).await;
    let Recovery::Done(outputs) = done else { panic!("{done:?}") };
    assert_eq!(outputs["pending"], json!(["memory"]));
}

#[tokio::test(start_paused = true)]
async fn tags_are_added_and_taken_off_by_name() {
    let (on, off) = (One(GuestTag::on(Timing::default())), One(GuestTag::off(Timing::default())));
    let with = |tags: Value| json!({"tags": tags});
    assert!(probe(&on, with(json!(["WEB"])), &world(vm())).await.unwrap().satisfied);
    assert!(probe(&off, with(json!(["prod"])), &world(vm())).await.unwrap().satisfied);
    let added = probe(&on, with(json!(["web", "prod"])), &world(vm())).await.unwrap();
    assert_eq!(added.summary, "VM 104 (web): tags +prod");
    let commands = on.commands(&call(json!({"guest": 104, "tags": ["prod"]})), &added);
    assert!(commands[0].contains("--tags 'prod;web'") && commands[0].contains("--digest d"), "{commands:?}");
    let taken = probe(&off, with(json!(["web"])), &world(vm())).await.unwrap();
    assert!(off.commands(&call(json!({"guest": 104, "tags": ["web"]})), &taken)[0].contains("--delete tags"));
    let undo = on.undo(&call(json!({"guest": 104, "tags": ["web", "prod"]})), &vm(), None).unwrap();
    assert_eq!((undo.uses.as_str(), &undo.with["tags"]), ("proxmox.guest_untag", &json!(["prod"])), "only its own");
    refused(&on, with(json!(["no tag"])), world(vm()), Class::Precondition, "is no tag").await;

    let seen = async |tags: Value| {
        recover(&on, with(json!(["web", "a", "b"])), vm(), world(but(vm(), json!({"tags": tags})))).await
    };
    assert!(matches!(seen(json!(["web", "other"])).await, Recovery::Unseen { .. }));
    assert!(matches!(seen(json!(["a"])).await, Recovery::Partial(_)));
    assert!(matches!(seen(json!(["a", "b", "other"])).await, Recovery::Done(_)));
}

#[tokio::test(start_paused = true)]
async fn a_disk_becomes_larger_and_never_smaller() {
    let resize = One(GuestResize::new(Timing::default()));
    let with = |size: &str| json!({"disk": "scsi0", "size": size});
    let has = |gib: u64| world(but(vm(), json!({"disks": {"scsi0": {"bytes": gib << 30}}})));
    assert!(probe(&resize, with("32G"), &has(32)).await.unwrap().satisfied);
    let more = probe(&resize, with("+10G"), &has(32)).await.unwrap();
    assert_eq!((more.summary.as_str(), more.notes.len()), ("VM 104 (web): scsi0 32G -> 42G", 1));
    let typed = resize.commands(&call(json!({"guest": 104, "disk": "scsi0", "size": "+10G"})), &more);
    assert!(typed[0].contains("pvesh set") && typed[0].contains("--size 42G"), "nothing grows twice: {typed:?}");
    refused(&resize, with("16G"), has(32), Class::Precondition, "no disk can be made smaller").await;
    refused(&resize, with("much"), has(32), Class::Precondition, "is no size").await;
    refused(&resize, json!({"disk": "scsi7", "size": "64G"}), has(32), Class::Precondition, "has no disk scsi7").await;
    for (gib, ok) in [(40, true), (32, false)] {
        let seen = recover(&resize, with("40G"), vm(), has(gib)).await;
        assert_eq!(matches!(seen, Recovery::Done(_)), ok, "{seen:?}");
    }
}

#[tokio::test]
async fn protection_is_a_flag() {
    let protect = One(GuestProtect::new(Timing::default()));
    let on = || json!({"enabled": true});
    assert!(probe(&protect, json!({"enabled": false}), &world(vm())).await.unwrap().satisfied);
    let found = probe(&protect, on(), &world(vm())).await.unwrap();
    assert_eq!(found.summary, "VM 104 (web): not protected -> protected");
    let call = call(json!({"guest": 104, "enabled": true}));
    assert_eq!(protect.undo(&call, &found.before, None).unwrap().with["enabled"], false);
    let seen = recover(&protect, on(), vm(), world(but(vm(), json!({"protection": true})))).await;
    assert!(matches!(seen, Recovery::Done(_)), "{seen:?}");
}
