//! Plans and checks over made-up facts: texts, outputs, guards, refusals.

use serde_json::{Value, json};

use super::{CheckEvacuation, PlanEvacuation};
use crate::actions::deps::PlacementDefaults;
use crate::actions::proxmox::testing::{FakeWorld, but, call, node};
use crate::engine::ports::{Action, Reading, Unreadable};
use crate::model::failure::{Class, Failure};
use crate::model::world::Predicate;

const GIB: u64 = 1 << 30;

fn node_facts(name: &str) -> Value {
    json!({"name": name, "online": true, "version": "9.2.11", "memory_total": 128 * GIB, "memory_used": 16 * GIB,
        "threads": 32, "bridges": ["vmbr0"],
        "storages": [{"id": "ceph", "kind": "rbd", "shared": true, "content": ["images"], "total": 1000 * GIB,
            "avail": 900 * GIB, "active": true}]})
}

fn guest(vmid: u32, kind: &str, at: &str) -> Value {
    json!({"vmid": vmid, "kind": kind, "name": format!("g{vmid}"), "node": at, "running": true, "memory": 8 * GIB,
        "vcpus": 4, "bridges": ["vmbr0"], "precondition": {"known": {}},
        "disks": [{"key": "scsi0", "volid": format!("ceph:vm-{vmid}-disk-0"), "storage": "ceph", "bytes": 8 * GIB}]})
}

fn facts(guests: Vec<Value>) -> Value {
    json!({"node": "pve2", "nodes": [node_facts("pve1"), node_facts("pve2"), node_facts("pve3")], "guests": guests,
        "quorate": true})
}

fn world(facts: Value) -> FakeWorld {
    FakeWorld::default()
        .with("proxmox/placement/pve2", facts)
        .with("proxmox/nodes", json!({"pve1": node("pve1"), "pve2": node("pve2"), "pve3": node("pve3")}))
}

fn with() -> Value {
    json!({"node": "pve2", "keep_free": 15, "stay": [], "allow_stop": false})
}

async fn plan(with: Value, world: &FakeWorld) -> Result<Reading, Failure> {
    let action = PlanEvacuation::new(PlacementDefaults::default());
    action.read(&call(with), world).await.map_err(|e| match e {
        Unreadable::Failed(failure) => failure,
        Unreadable::Unknown(why) | Unreadable::Later(why) => panic!("{why}"),
    })
}

#[tokio::test]
async fn a_plan_has_its_moves_and_what_they_rest_on() {
    let reading =
        plan(with(), &world(facts(vec![guest(104, "qemu", "pve2"), guest(105, "qemu", "pve1")]))).await.unwrap();
    assert!(reading.summary.starts_with("pve2: 1 to move"), "{}", reading.summary);
    let m = &reading.outputs["moves"][0];
    assert_eq!((&m["vmid"], &m["from"], &m["mode"]), (&json!(104), &json!("pve2"), &json!("live")));
    let to = m["to"].as_str().unwrap();
    let texts: Vec<&str> = reading.guards.iter().map(|g| g.text.as_str()).collect();
    let room = format!("{to} has at least 8.0 GiB of memory free for the guests that come");
    for part in [room.as_str(), &format!("{to} is online"), "VM 104 (g104) is not locked"] {
        assert!(texts.contains(&part), "{part} in {texts:?}");
    }
    let status = reading.guards.iter().find(|g| g.pointer == "/status").unwrap();
    assert_eq!((status.predicate, &status.value), (Predicate::Equals, &json!("running")));
    assert!(reading.outputs["plan"]["settings"]["keep_free"] == json!(15.0));
}

#[tokio::test]
async fn a_guard_on_memory_stays_away_from_what_is_free_now() {
    let mut facts = facts(vec![guest(104, "qemu", "pve2")]);
    for node in facts["nodes"].as_array_mut().unwrap() {
        node["memory_used"] = json!(123 * GIB);
    }
    let reading = plan(with(), &world(facts)).await.unwrap();
    let free = reading.guards.iter().find(|g| g.pointer == "/free");
    assert!(free.is_none(), "5 GiB free less the slack is no bound: {free:?}");
    assert!(reading.notes.iter().any(|n| n.contains("free by its own figure now")), "{:?}", reading.notes);
}

#[tokio::test]
async fn a_refusal_has_a_line_for_each_guest_and_node_and_the_cheapest_remedy() {
    let locked = but(guest(107, "qemu", "pve2"), json!({"lock": "backup"}));
    let failure = plan(with(), &world(facts(vec![guest(201, "lxc", "pve2"), locked.clone()]))).await.unwrap_err();
    assert_eq!(failure.class, Class::Precondition);
    let all = failure.details.join("\n");
    assert!(all.contains("201 g201: needs a stop") && all.contains("107 g107: locked"), "{all}");
    let remedy = failure.remedy.unwrap();
    assert!(
        remedy.starts_with("107 (g107): wait until the backup has ended") && remedy.contains("1 more, each"),
        "{remedy}"
    );
    let big = but(guest(108, "qemu", "pve2"), json!({"memory": 500 * GIB}));
    let failure = plan(with(), &world(facts(vec![big]))).await.unwrap_err();
    let all = failure.details.join("\n");
    assert!(all.contains("pve1") && all.contains("pve3") && all.contains("short"), "{all}");
    let stopping = but(with(), json!({"allow_stop": true}));
    let reading = plan(stopping, &world(facts(vec![guest(201, "lxc", "pve2")]))).await.unwrap();
    assert_eq!(reading.outputs["stops"][0]["vmid"], 201);
}

#[tokio::test]
async fn nodes_that_cannot_be_emptied_are_told_apart() {
    let nobody = but(with(), json!({"node": "pve9"}));
    let failure = plan(nobody, &world(facts(vec![]))).await.unwrap_err();
    assert!(failure.cause.contains("no node pve9; the site has pve1, pve2, pve3"), "{failure}");
    let down = json!({"pve2": but(node("pve2"), json!({"online": false}))});
    let failure = plan(with(), &world(facts(vec![])).with("proxmox/nodes", down)).await.unwrap_err();
    assert!(failure.cause.contains("pve2 is offline"), "{failure}");
    let mut alone = facts(vec![guest(104, "qemu", "pve2")]);
    alone["nodes"] = json!([node_facts("pve2")]);
    let failure = plan(with(), &world(alone)).await.unwrap_err();
    assert!(failure.cause.contains("only node of the site"), "{failure}");
    let empty = plan(with(), &world(facts(vec![]))).await.unwrap();
    assert_eq!(empty.summary, "pve2 has no guest: nothing to move");
    assert_eq!(empty.outputs["moves"], json!([]));
}

#[tokio::test]
async fn guests_that_stay_may_be_named_and_a_missing_right_is_noted() {
    let unasked = json!({"precondition": {"unknown": "token ops@pve!t lacks VM.Migrate on /vms/105"}});
    let guest_105 = but(guest(105, "qemu", "pve2"), json!({"precondition": null}));
    let guests = vec![guest(104, "qemu", "pve2"), but(guest_105, unasked)];
    let reading = plan(but(with(), json!({"stay": ["g104"]})), &world(facts(guests.clone()))).await.unwrap();
    assert_eq!(reading.outputs["staying"][0]["vmid"], 104);
    assert!(
        reading.notes.iter().any(|n| n.contains("not verified") && n.contains("VM.Migrate")),
        "{:?}",
        reading.notes
    );
    let failure = plan(but(with(), json!({"stay": ["nobody"]})), &world(facts(guests))).await.unwrap_err();
    assert!(failure.cause.contains("no guest is called"), "{failure}");
}

#[tokio::test]
async fn a_plan_is_checked_against_the_facts_of_now() {
    let before = facts(vec![guest(104, "qemu", "pve2")]);
    let plan = plan(with(), &world(before.clone())).await.unwrap().outputs["plan"].clone();
    let check = async |facts: Value| {
        let result = CheckEvacuation::default().read(&call(json!({"plan": plan})), &world(facts)).await;
        result.map_err(|e| e.to_string())
    };
    assert_eq!(check(before.clone()).await.unwrap().outputs, json!({"left": 1}));
    let moved = facts(vec![guest(104, "qemu", plan["moves"][0]["to"].as_str().unwrap())]);
    assert_eq!(check(moved).await.unwrap().summary, "nothing is left to move");
    let stranger = facts(vec![guest(104, "qemu", "pve2"), guest(109, "qemu", "pve2")]);
    assert!(check(stranger).await.unwrap_err().contains("109 (g109)"));
    let later = FakeWorld::default().unknown("proxmox/placement/pve2", "the HA manager moves guests of pve2");
    let result = CheckEvacuation::default().read(&call(json!({"plan": plan})), &later).await;
    assert!(matches!(result, Err(Unreadable::Unknown(_))));
    let result = CheckEvacuation::default().read(&call(json!({"plan": {"x": 1}})), &later).await;
    assert!(matches!(result, Err(Unreadable::Failed(f)) if f.class == Class::Precondition));
}
