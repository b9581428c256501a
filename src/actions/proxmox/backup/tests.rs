//! What tells a new backup from an old one, a restored guest from another, and a doomed backup from a kept one.

use serde_json::{Value, json};

use super::*;
use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Seen};
use crate::actions::proxmox::testing::{FakeWorld, but, call, vm};

const OLD: &str = "local:backup/vzdump-qemu-104-2026_11_20-12_00_00.vma.zst";
const NEW: &str = "local:backup/vzdump-qemu-104-2026_11_21-12_00_00.vma.zst";

fn backup(volid: &str, made: i64, size: u64) -> Value {
    json!({"volid": volid, "content": "backup", "size": size, "vmid": 104, "made": made, "protected": false})
}

fn world(guest: Value, backups: &[Value]) -> FakeWorld {
    let content: serde_json::Map<String, Value> =
        backups.iter().map(|one| (one["volid"].as_str().unwrap().to_owned(), one.clone())).collect();
    let local = json!({"kind": "dir", "shared": false, "active": true, "content": ["iso", "backup"]});
    FakeWorld::default()
        .with("proxmox/guest/104", guest)
        .with(
            "proxmox/node/pve2/storages",
            json!({"local": local, "fast": but(local.clone(), json!({"content": ["images"]}))}),
        )
        .with("proxmox/node/pve2/content/local", Value::Object(content))
}

#[tokio::test]
async fn a_backup_is_done_when_a_new_volume_with_a_size_is_listed() {
    let act = GuestBackup::new(Timing::default());
    let with = call(json!({"guest": 104, "storage": "local", "mode": "snapshot"}));
    let before = act.look(&with, &world(vm(), &[backup(OLD, 1, 5)])).await.unwrap().before;
    let judge = async |guest: Value, all: &[Value]| act.judge(&with, &before, None, &world(guest, all)).await.unwrap();
    assert!(matches!(judge(vm(), &[backup(OLD, 1, 5)]).await, Seen::Untouched(_)));
    assert!(matches!(judge(vm(), &[backup(OLD, 1, 5), backup(NEW, 2, 0)]).await, Seen::Untouched(_)));
    let both = [backup(OLD, 1, 5), backup(NEW, 2, 6)];
    assert!(matches!(judge(but(vm(), json!({"lock": "backup"})), &both).await, Seen::Partial(_)));
    assert!(matches!(judge(but(vm(), json!({"uuid": "other"})), &both).await, Seen::Strange(_)));
    let Seen::Done(outputs) = judge(vm(), &both).await else { panic!("not done") };
    assert_eq!((outputs["volid"].as_str(), outputs["size"].as_u64()), (Some(NEW), Some(6)));
}

#[tokio::test]
async fn a_backup_never_deletes_and_needs_a_storage_for_backups() {
    let act = GuestBackup::new(Timing::default());
    let with = call(json!({"guest": 104, "storage": "local", "mode": "stop", "compress": "zstd", "protected": true}));
    let probe = act.look(&with, &world(vm(), &[])).await.unwrap();
    assert_eq!(probe.effect, Some(crate::model::effect::Effect::Disrupt));
    let typed = act.request(&with, &probe.before).unwrap().typed();
    assert!(typed.contains("--remove 0") && typed.contains("--protected 1"), "{typed}");
    let wrong = call(json!({"guest": 104, "storage": "fast"}));
    let error = act.look(&wrong, &world(vm(), &[])).await.unwrap_err().to_string();
    assert!(error.contains("fast takes no backups"), "{error}");
}

#[tokio::test]
async fn pruning_shows_what_goes_and_refuses_what_is_not_the_guests() {
    let act = BackupsPrune::new(Timing::default());
    let with = call(json!({"guest": 104, "storage": "local", "node": "pve2", "keep_last": 1}));
    let preview = "proxmox/api/nodes/pve2/storage/local/prunebackups?prune-backups=keep-last%3D1&vmid=104";
    let rows = |volid: &str| json!([{"volid": volid, "mark": "remove"}, {"volid": NEW, "mark": "keep"}]);
    let both = [backup(OLD, 1, 5), backup(NEW, 2, 6)];
    let probe = act.look(&with, &world(vm(), &both).with(preview, rows(OLD))).await.unwrap();
    assert_eq!(probe.summary, format!("guest 104: delete 1 of 2 backups on local: {OLD}"));
    assert_eq!(probe.identities.len(), 1);
    let done = act.judge(&with, &probe.before, None, &world(vm(), &both[1..])).await.unwrap();
    assert_eq!(done, Seen::Done(json!({"deleted": [OLD]})));
    let strange = act.look(&with, &world(vm(), &both).with(preview, rows("local:backup/x"))).await.unwrap_err();
    assert!(strange.to_string().contains("no unprotected backup of guest 104"), "{strange}");
    let nothing = call(json!({"guest": 104, "storage": "local", "node": "pve2", "keep_last": 0}));
    assert!(act.look(&nothing, &world(vm(), &both)).await.unwrap_err().to_string().contains("what to keep"));
}

#[tokio::test]
async fn a_guest_is_overwritten_only_when_asked_and_stopped() {
    let act = GuestRestore::new(Timing::default());
    let place = |guest: Value| {
        world(guest, &[backup(OLD, 1, 5)])
            .with("proxmox/node/pve2", crate::actions::proxmox::testing::node("pve2"))
            .with("proxmox/guest/104/snapshots", json!({"guest": vm(), "list": {"auto-a": {}}}))
            .with(
                &format!("proxmox/api/nodes/pve2/vzdump/extractconfig?volume={}", crate::clients::proxmox::seg(OLD)),
                json!("name: web\nsmbios1: uuid=U-104\nscsi0: local-lvm:vm-104-disk-0,size=32G\n[old]\nname: no\n"),
            )
    };
    let stopped = || but(vm(), json!({"status": "stopped"}));
    let with = |force: bool| call(json!({"backup": OLD, "vmid": 104, "node": "pve2", "force": force}));
    let said = async |guest: Value, force: bool| act.look(&with(force), &place(guest)).await.unwrap_err().to_string();
    assert!(said(stopped(), false).await.contains("VM 104 (web) is there"));
    assert!(said(vm(), true).await.contains("VM 104 (web) runs"));
    let probe = act.look(&with(true), &place(stopped())).await.unwrap();
    assert_eq!(probe.effect, Some(crate::model::effect::Effect::Destroy));
    let judge = async |guest: Value| act.judge(&with(true), &probe.before, None, &place(guest)).await.unwrap();
    assert!(matches!(judge(stopped()).await, Seen::Untouched(_)));
    assert!(matches!(judge(but(stopped(), json!({"lock": "create"}))).await, Seen::Partial(_)));
    assert!(matches!(judge(but(stopped(), json!({"name": "other", "digest": "e"}))).await, Seen::Strange(_)));
    let again = but(stopped(), json!({"digest": "e"}));
    let told = act.predict(&with(true), &probe);
    assert_eq!(told.deltas[0].patch, json!({"digest": null, "tags": []}), "the volumes have the same names again");
    assert_eq!(told.deltas[1].patch, json!({"list": {"auto-a": null}}));
    let with_spare = but(stopped(), json!({"disks": {"scsi1": {"volid": "local-lvm:vm-104-disk-1", "cdrom": false}}}));
    let other = act.look(&with(true), &place(with_spare)).await.unwrap();
    assert!(other.notes[1].contains("local-lvm:vm-104-disk-1: kept, as unused"), "{:?}", other.notes);
    assert_eq!(act.predict(&with(true), &other).deltas[0].patch["volumes"], Value::Null);
    let heard = act.judge(&with(true), &probe.before, Some(&json!("UPID")), &place(again)).await.unwrap();
    assert!(matches!(heard, Seen::Done(_)), "{heard:?}");
    let fresh = act.look(&with(false), &place(Value::Null)).await.unwrap();
    assert!(!act.request(&with(false), &fresh.before).unwrap().typed().contains("--unique"));
}
