//! What is made, taken for ours, and never deleted.

use serde_json::{Value, json};

use super::{GuestClone, GuestCreate, GuestDelete};
use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Seen};
use crate::actions::proxmox::testing::{FakeWorld, but, call, node, vm};
use crate::engine::ports::{Call, Probe, Unreadable};
use crate::model::failure::{Class, Failure};
use crate::model::ids::Vmid;
use crate::model::site::{VmidRange, VmidRanges};

fn settled(error: Unreadable) -> Failure {
    match error {
        Unreadable::Failed(failure) => failure,
        Unreadable::Unknown(why) | Unreadable::Later(why) => panic!("{why}"),
    }
}

fn stopped() -> Value {
    but(vm(), json!({"status": "stopped", "qmpstatus": "stopped", "tags": ["prod", "talos"]}))
}

async fn delete(guest: Value, with: Value) -> Result<Probe, Failure> {
    let world = FakeWorld::default().with("proxmox/guest/104", guest);
    GuestDelete::new(Timing::default()).look(&call(but(json!({"guest": 104}), with)), &world).await.map_err(settled)
}

#[tokio::test]
async fn the_one_that_is_meant_is_deleted() {
    let tags = json!(["prod", "talos"]);
    assert!(!delete(stopped(), json!({"tags": tags, "is": {"uuid": "u-104"}})).await.unwrap().satisfied);
    assert!(delete(Value::Null, json!({})).await.unwrap().satisfied, "gone already");
}

async fn kept(guest: Value, with: Value, why: &str) {
    let failure = delete(guest, with).await.unwrap_err();
    assert!(failure.cause.contains(why), "{failure}");
}

#[tokio::test]
async fn a_guest_without_the_tags_is_never_deleted() {
    let tags = || json!({"tags": ["prod", "talos"]});
    kept(but(stopped(), json!({"tags": []})), tags(), "prod, talos is missing; it has none").await;
}

#[tokio::test]
async fn a_guest_with_only_some_of_the_tags_is_never_deleted() {
    let tags = || json!({"tags": ["prod", "talos"]});
    kept(but(stopped(), json!({"tags": ["talos"]})), tags(), "prod is missing").await;
}

#[tokio::test]
async fn a_protected_guest_is_never_deleted() {
    kept(but(stopped(), json!({"protection": true})), json!({}), "protection").await;
}

#[tokio::test]
async fn a_template_is_deleted_only_when_one_is_meant() {
    let template = || but(stopped(), json!({"template": true}));
    kept(template(), json!({}), "template").await;
    assert!(!delete(template(), json!({"template": true})).await.unwrap().satisfied);
}

#[tokio::test]
async fn a_guest_whose_number_was_given_to_another_is_never_deleted() {
    kept(but(stopped(), json!({"uuid": "u-other"})), json!({"is": {"uuid": "u-104"}}), "another guest").await;
    kept(stopped(), json!({"is": {"mark": "made by runbook run r, step s"}}), "another guest").await;
    let probe = delete(stopped(), json!({})).await.unwrap();
    let uuid = ("/uuid".to_owned(), json!("u-104"));
    assert!(probe.identities[0].expect.contains(&uuid), "checked again before anything is sent");
}

#[tokio::test]
async fn what_runs_is_locked_or_belongs_to_ha_is_not_deleted() {
    kept(vm(), json!({}), "running").await;
    kept(but(stopped(), json!({"lock": "backup"})), json!({}), "locked (backup)").await;
    kept(but(stopped(), json!({"ha": "stopped"})), json!({"purge": false}), "HA manager").await;
}

#[tokio::test]
async fn gone_is_gone_on_every_node_with_every_volume() {
    let act = GuestDelete::new(Timing::default());
    let nodes = json!({"pve2": node("pve2"), "pve3": node("pve3")});
    let world = |pve3: Value, volumes: Value| {
        FakeWorld::default()
            .with("proxmox/guest/104", Value::Null)
            .with("proxmox/nodes", nodes.clone())
            .with("proxmox/node/pve2/guests", json!({}))
            .with("proxmox/node/pve3/guests", pve3)
            .with("proxmox/node/pve2/content/local-lvm", volumes)
    };
    let judge =
        async |world: FakeWorld| act.judge(&call(json!({"guest": 104})), &stopped(), None, &world).await.unwrap();
    assert_eq!(judge(world(json!({}), json!({}))).await, Seen::Done(json!({"vmid": 104})));
    let row = json!({"104": {"vmid": 104, "kind": "qemu", "name": "web", "status": "stopped"}});
    assert!(matches!(judge(world(row, json!({}))).await, Seen::Partial(why) if why.contains("pve3 still lists")));
    let left = json!({"local-lvm:vm-104-disk-0": {"volid": "local-lvm:vm-104-disk-0", "content": "images"}});
    assert!(matches!(judge(world(json!({}), left)).await, Seen::Partial(why) if why.contains("vm-104-disk-0")));
}

fn ranges() -> VmidRanges {
    VmidRanges { templates: None, vms: Some(VmidRange { first: Vmid(104), last: Vmid(106) }) }
}

fn create() -> GuestCreate {
    GuestCreate::new(Timing::default(), ranges())
}

fn in_run(with: Value) -> Call {
    Call { run: Some("r1".into()), ..call(with) }
}

fn wanted(with: Value) -> Value {
    but(json!({"node": "pve2", "name": "new", "config": {"memory": 1024, "onboot": true}}), with)
}

fn site(guests: Value) -> FakeWorld {
    FakeWorld::default().with("proxmox/node/pve2", node("pve2")).with("proxmox/guests", guests)
}

fn entry(vmid: u32, name: &str) -> Value {
    json!({"vmid": vmid, "kind": "qemu", "name": name, "node": "pve2", "status": "unknown"})
}

#[tokio::test]
async fn the_lowest_free_number_of_the_range_is_taken() {
    let world = site(json!({"104": entry(104, "web"), "106": entry(106, "x")}));
    let probe = create().look(&in_run(wanted(json!({}))), &world).await.map_err(settled).unwrap();
    assert_eq!(probe.before["vmid"], 105);
    let request = create().request(&in_run(wanted(json!({}))), &probe.before).unwrap();
    let has = |key: &str, value: &str| request.params.as_slice().contains(&(key.to_owned(), value.to_owned()));
    assert!(has("vmid", "105") && has("memory", "1024") && has("onboot", "1") && request.path == "/nodes/pve2/qemu");
    assert!(has("description", "made by runbook run r1, step step"), "{:?}", request.params);
    let full = site(json!({"104": entry(104, "a"), "105": entry(105, "b"), "106": entry(106, "c")}));
    let failure = create().look(&in_run(wanted(json!({}))), &full).await.map_err(settled).unwrap_err();
    assert!(failure.cause.contains("all of 104 to 106 are taken"), "{failure}");
    let taken = create().look(&in_run(wanted(json!({"vmid": 104}))), &world).await.map_err(settled).unwrap_err();
    assert!(taken.class == Class::Precondition && taken.cause.contains("VM 104 (web)"), "{taken}");
}

#[tokio::test]
async fn what_another_made_under_the_number_is_never_taken_for_ours() {
    let probe = create().look(&in_run(wanted(json!({}))), &site(json!({}))).await.map_err(settled).unwrap();
    let judge = async |guest: Value| {
        let world = FakeWorld::default().with("proxmox/guest/104", guest);
        create().judge(&in_run(wanted(json!({}))), &probe.before, None, &world).await.unwrap()
    };
    let ours = but(stopped(), json!({"description": "made by runbook run r1, step step\n"}));
    assert!(matches!(judge(ours.clone()).await, Seen::Done(_)));
    assert!(matches!(judge(stopped()).await, Seen::Theirs(why) if why.contains("given to another")));
    let other = but(stopped(), json!({"description": "made by runbook run r2, step step\n"}));
    assert!(matches!(judge(other).await, Seen::Theirs(_)));
    assert!(matches!(judge(but(stopped(), json!({"lock": "create"}))).await, Seen::Partial(_)));
    assert!(matches!(judge(Value::Null).await, Seen::Untouched(_)));
    let words = "unable to create VM 104 - VM 104 already exists on node 'pve1'";
    assert_eq!(create().class(&call(wanted(json!({}))), words), Some(Class::Transient), "the next number is tried");
    assert_eq!(create().class(&call(wanted(json!({"vmid": 104}))), words), Some(Class::Precondition));

    let world = site(json!({"104": entry(104, "")})).with("proxmox/guest/104", ours);
    let again = create().look(&in_run(wanted(json!({}))), &world).await.map_err(settled).unwrap();
    assert!(again.satisfied, "what this very step has made is not made twice");
}

#[tokio::test]
async fn what_was_made_is_taken_away_by_what_it_is() {
    let probe = create().look(&in_run(wanted(json!({}))), &site(json!({}))).await.map_err(settled).unwrap();
    let undo = |outputs: Option<Value>| create().undo(&call(json!({})), &probe.before, outputs.as_ref()).unwrap();
    assert_eq!(undo(None).with["is"], json!({"mark": "made by runbook run r1, step step"}));
    let known = undo(Some(json!({"is": {"uuid": "u"}})));
    assert_eq!((known.uses.as_str(), &known.with["is"]), ("proxmox.guest_delete", &json!({"uuid": "u"})));
}

#[tokio::test]
async fn disks_are_laid_only_on_storages_and_of_images_that_are_there() {
    let storages = json!({"local": {"kind": "dir", "shared": false, "active": true, "content": ["iso", "import"]},
        "local-lvm": {"kind": "lvmthin", "shared": false, "active": true, "content": ["images"]}});
    let world = || {
        site(json!({})).with("proxmox/node/pve2/storages", storages.clone()).with(
            "proxmox/node/pve2/content/local",
            json!({"local:import/a.qcow2": {"volid": "local:import/a.qcow2", "content": "import"}}),
        )
    };
    let of = async |line: &str| {
        let with = wanted(json!({"config": {"scsi0": line}}));
        create().look(&in_run(with), &world()).await.map_err(settled)
    };
    assert!(of("local-lvm:0,import-from=local:import/a.qcow2").await.is_ok());
    for (line, why) in [
        ("nfs:8", "pve2 has no storage nfs"),
        ("local:8", "is not for images"),
        ("local-lvm:0,import-from=local:import/b.qcow2", "pve2 has no local:import/b.qcow2"),
    ] {
        assert!(of(line).await.unwrap_err().cause.contains(why), "{line}");
    }
}

#[tokio::test]
async fn a_clone_for_another_node_needs_shared_volumes() {
    let act = GuestClone::new(Timing::default(), ranges());
    let storages = |shared: bool| json!({"local-lvm": {"kind": "lvmthin", "shared": shared, "active": true, "content": ["images"]}});
    let look = async |shared: bool, with: Value| {
        let world =
            site(json!({})).with("proxmox/guest/104", vm()).with("proxmox/node/pve2/storages", storages(shared));
        act.look(&call(but(json!({"guest": 104, "name": "copy"}), with)), &world).await.map_err(settled)
    };
    let failure = look(false, json!({"target": "pve3"})).await.unwrap_err();
    assert!(failure.remedy.unwrap().ends_with("move the clone: runbook run guest-clone 104 copy pve3"));
    let probe = look(true, json!({"target": "pve3"})).await.unwrap();
    let request = act.request(&call(json!({"target": "pve3"})), &probe.before).unwrap();
    assert!(request.params.as_slice().contains(&("target".to_owned(), "pve3".to_owned())));
    let linked = look(true, json!({"full": false})).await.unwrap_err();
    assert!(linked.cause.contains("no template"), "{linked}");
}
