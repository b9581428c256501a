//! What tells a disk that nobody uses from one that somebody needs.

use serde_json::{Value, json};

use super::VolumeDelete;
use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Seen};
use crate::actions::proxmox::testing::{FakeWorld, but, call, node, vm};

const ORPHAN: &str = "local-lvm:vm-999-disk-0";
const UNUSED: &str = "local-lvm:vm-104-disk-1";

fn act() -> VolumeDelete {
    VolumeDelete::new(Timing::default())
}

fn wants(volid: &str) -> crate::engine::ports::Call {
    call(json!({"node": "pve2", "volume": volid, "shared": false}))
}

/// VM 104 on pve2 has an unused disk; nobody has the other one.
fn world(guest: Value, shared: bool) -> FakeWorld {
    let volume = |volid: &str, vmid: u32| json!({"volid": volid, "content": "images", "size": 1 << 30, "vmid": vmid});
    let entry = json!({"vmid": 104, "kind": "qemu", "name": "web", "node": "pve2", "status": "running"});
    let kept = json!({"scsi3": "local-lvm:vm-104-disk-7,size=4G"});
    FakeWorld::default()
        .with("proxmox/guests", json!({"104": entry}))
        .with("proxmox/guest/104", guest.clone())
        .with("proxmox/guest/999", Value::Null)
        .with("proxmox/guest/104/snapshots", json!({"guest": guest, "list": {"auto-a": {}}}))
        .with("proxmox/api/nodes/pve2/qemu/104/config?snapshot=auto-a", kept)
        .with("proxmox/nodes", json!({"pve2": node("pve2")}))
        .with(
            "proxmox/node/pve2/storages",
            json!({"local-lvm": {"kind": "lvmthin", "shared": shared, "active": true, "content": ["images"]}}),
        )
        .with(
            "proxmox/node/pve2/content/local-lvm",
            json!({ORPHAN: volume(ORPHAN, 999), UNUSED: volume(UNUSED, 104),
                "local-lvm:vm-104-disk-0": volume("local-lvm:vm-104-disk-0", 104),
                "local-lvm:vm-104-disk-7": volume("local-lvm:vm-104-disk-7", 104),
                "local-lvm:vm-104-state-x": volume("local-lvm:vm-104-state-x", 104)}),
        )
}

fn guest() -> Value {
    but(vm(), json!({"disks": {"unused0": {"volid": UNUSED, "storage": "local-lvm", "cdrom": false}}}))
}

async fn refused(volid: &str, world: FakeWorld) -> String {
    act().look(&wants(volid), &world).await.unwrap_err().to_string()
}

#[tokio::test]
async fn what_anybody_names_is_refused() {
    let used = refused("local-lvm:vm-104-disk-0", world(guest(), false)).await;
    assert!(used.contains("VM 104 (web) as scsi0"), "{used}");
    let kept = refused("local-lvm:vm-104-disk-7", world(guest(), false)).await;
    assert!(kept.contains("scsi3 of the snapshot auto-a"), "{kept}");
    let state = refused("local-lvm:vm-104-state-x", world(guest(), false)).await;
    assert!(state.contains("cannot be told"), "{state}");
    let foreign = but(guest(), json!({"disks": {"scsi5": {"volid": ORPHAN, "cdrom": false}}}));
    assert!(refused(ORPHAN, world(foreign, false)).await.contains("VM 104 (web) as scsi5"));
    let locked = but(guest(), json!({"lock": "backup"}));
    assert!(refused(UNUSED, world(locked, false)).await.contains("locked (backup)"));
    assert!(refused(UNUSED, world(but(guest(), json!({"protection": true})), false)).await.contains("is protected"));
}

#[tokio::test]
async fn what_cannot_be_read_counts_as_named() {
    let mut away = node("pve2");
    away["online"] = json!(false);
    let silent = world(guest(), false).with("proxmox/nodes", json!({"pve2": away}));
    assert!(refused(ORPHAN, silent).await.contains("pve2 does not answer"));
    let shared = refused(ORPHAN, world(guest(), true)).await;
    assert!(shared.contains("another cluster may have guest 999"), "{shared}");
}

#[tokio::test]
async fn a_disk_of_nobody_is_deleted_and_an_unused_one_by_its_guest() {
    let act = act();
    let probe = act.look(&wants(ORPHAN), &world(guest(), false)).await.unwrap();
    assert_eq!(probe.summary, format!("{ORPHAN}: destroy, of guest 999, which is gone, 1.0 GiB"));
    assert!(probe.notes[0].contains("cannot be brought back") && probe.identities[0].object == ORPHAN);
    let typed = act.request(&wants(ORPHAN), &probe.before).unwrap().typed();
    assert!(typed.contains("delete /nodes/pve2/storage/local-lvm/content/local-lvm%3Avm-999-disk-0"), "{typed}");
    assert!(act.undo(&wants(ORPHAN), &probe.before, None).is_none());
    let there = act.judge(&wants(ORPHAN), &probe.before, None, &world(guest(), false)).await.unwrap();
    assert!(matches!(there, Seen::Untouched(_)));
    let gone = world(guest(), false).with("proxmox/node/pve2/content/local-lvm", json!({}));
    let done = act.judge(&wants(ORPHAN), &probe.before, None, &gone).await.unwrap();
    assert_eq!(done, Seen::Done(json!({"volid": ORPHAN})));

    let probe = act.look(&wants(UNUSED), &world(guest(), false)).await.unwrap();
    let typed = act.request(&wants(UNUSED), &probe.before).unwrap().typed();
    assert!(typed.contains("/nodes/pve2/qemu/104/config --delete unused0 --digest d"), "{typed}");
    let half = act.judge(&wants(UNUSED), &probe.before, None, &gone).await.unwrap();
    assert!(matches!(half, Seen::Partial(_)), "{half:?}");
    let whole = world(vm(), false).with("proxmox/node/pve2/content/local-lvm", json!({}));
    assert!(matches!(act.judge(&wants(UNUSED), &probe.before, None, &whole).await.unwrap(), Seen::Done(_)));
    assert!(act.look(&wants(UNUSED), &gone).await.unwrap().satisfied);
}
