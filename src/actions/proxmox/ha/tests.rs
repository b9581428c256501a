//! Decision tables of maintenance: probe, prediction, recovery, undo.

use serde_json::{Value, json};

use super::HaMaintenance;
use super::watch::{Stage, stage};
use crate::actions::deps::Timing;
use crate::actions::proxmox::testing::{FakeWorld, but, call, intent, node};
use crate::engine::ports::{Action, Probe, Recovery, Unreadable};
use crate::model::effect::{Done, Effect};
use crate::model::failure::Class;

fn action() -> HaMaintenance {
    HaMaintenance::new(Timing::default())
}

fn on() -> Value {
    json!({"node": "pve2", "enabled": true})
}

fn off() -> Value {
    json!({"node": "pve2", "enabled": false})
}

fn service(state: &str, at: &str) -> Value {
    json!({"vmid": 111, "kind": "qemu", "node": at, "state": state, "request_state": "started"})
}

/// Nothing asked for, VM 111 started on pve2.
fn idle() -> Value {
    json!({"quorate": true, "node_status": {"pve2": "online"}, "services": {"vm:111": service("started", "pve2")}})
}

fn asked() -> Value {
    but(idle(), json!({"node_request": {"pve2": "maintenance"}}))
}

fn in_it() -> Value {
    but(asked(), json!({"node_status": {"pve2": "maintenance"}}))
}

fn done() -> Value {
    but(in_it(), json!({"services": {"vm:111": service("started", "pve3")}}))
}

fn guest(vmid: u32, kind: &str, name: &str) -> Value {
    json!({"vmid": vmid, "kind": kind, "name": name, "node": "pve2", "status": "running"})
}

fn world(ha: Value) -> FakeWorld {
    FakeWorld::default()
        .with("proxmox/ha", ha)
        .with("proxmox/guests", json!({"111": guest(111, "qemu", "db-1"), "201": guest(201, "lxc", "proxy")}))
        .with("proxmox/node/pve2", node("pve2"))
        .with("proxmox/nodes", json!({"pve2": node("pve2"), "pve3": node("pve3")}))
}

async fn probe(with: Value, ha: Value) -> Probe {
    action().probe(&call(with), &world(ha)).await.unwrap()
}

#[test]
fn stages_are_told_apart() {
    let at = |ha: Value, enabled| stage(&serde_json::from_value(ha).unwrap(), &"pve2".into(), enabled);
    assert_eq!(at(idle(), true), Stage::NotAsked);
    assert_eq!(at(asked(), true), Stage::Under("1 HA guest still on pve2".into()));
    assert_eq!(at(in_it(), true), Stage::Under("1 HA guest still on pve2".into()));
    assert_eq!(at(done(), true), Stage::Done);
    let failed = but(in_it(), json!({"services": {"vm:111": service("error", "pve2")}}));
    assert!(matches!(at(failed, true), Stage::Stuck(why) if why.contains("vm:111")));
    assert_eq!(at(idle(), false), Stage::Done);
    assert_eq!(at(done(), false), Stage::NotAsked);
    let leaving = but(done(), json!({"node_request": null}));
    assert!(matches!(at(leaving, false), Stage::Under(_)));
}

#[tokio::test]
async fn it_is_satisfied_when_in_maintenance_and_free_of_started_services() {
    assert!(!probe(on(), idle()).await.satisfied);
    assert!(!probe(on(), in_it()).await.satisfied, "a guest is left");
    assert!(probe(on(), done()).await.satisfied);
    assert!(probe(off(), idle()).await.satisfied);
    assert!(!probe(off(), done()).await.satisfied);
}

#[tokio::test]
async fn containers_make_it_downtime_and_a_site_without_quorum_is_refused() {
    let ct = json!({"vmid": 201, "kind": "lxc", "node": "pve2", "state": "started", "request_state": "started"});
    let got = probe(on(), but(idle(), json!({"services": {"ct:201": ct}}))).await;
    assert_eq!(got.effect, Some(Effect::Disrupt));
    assert!(got.notes[0].contains("ct:201"));
    let lost = world(but(idle(), json!({"quorate": false})));
    let Err(Unreadable::Failed(failure)) = action().probe(&call(on()), &lost).await else { panic!("refused") };
    assert_eq!(failure.class, Class::Precondition);
}

#[tokio::test]
async fn it_names_the_guests_that_the_manager_moves() {
    let names = |probe: Probe| -> Vec<String> { probe.identities.into_iter().map(|i| i.object).collect() };
    assert_eq!(names(probe(on(), idle()).await), ["VM 111 (db-1)"]);
    let home = but(service("started", "pve3"), json!({"home": "pve2"}));
    let away = but(done(), json!({"services": {"vm:111": home, "vm:112": service("started", "pve3")}}));
    assert_eq!(names(probe(off(), away).await), ["VM 111 (db-1)"], "only what goes back");
    assert!(names(probe(off(), done()).await).is_empty());
}

#[tokio::test]
async fn a_prediction_loses_sight_of_the_guests_that_are_moved() {
    let got = action().predict(&call(on()), &probe(on(), idle()).await);
    let tainted: Vec<&str> = got.taints.iter().map(|(key, _)| key.as_str()).collect();
    for key in ["proxmox/guest/111", "proxmox/placement", "proxmox/ha", "proxmox/node/pve3/memory"] {
        assert!(tainted.contains(&key), "{key}");
    }
    let maintenance = |key: &str| {
        got.deltas.iter().any(|d| d.resource.as_str() == key && d.patch.to_string().contains("\"maintenance\":true"))
    };
    assert!(maintenance("proxmox/node/pve2") && maintenance("proxmox/nodes"));

    let alone = but(idle(), json!({"services": null}));
    let got = action().predict(&call(on()), &probe(on(), alone).await);
    assert!(got.taints.is_empty(), "without HA guests nothing is disturbed");
}

async fn recover(with: Value, handle: Option<Value>, world: FakeWorld) -> Recovery {
    action().recover(&call(with), &intent(Value::Null, &[]), handle.as_ref(), &world).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn recovery_reads_the_manager() {
    let handle = || Some(json!({"asked": "pve1"}));
    assert!(matches!(recover(on(), None, world(done())).await, Recovery::Done(_)));
    assert!(matches!(recover(on(), None, world(asked())).await, Recovery::Running(_)));
    assert_eq!(recover(on(), handle(), world(in_it())).await, Recovery::Running(handle().unwrap()));
    let unseen = recover(on(), None, world(idle())).await;
    assert!(matches!(&unseen, Recovery::Unseen { done: Done::None, evidence } if evidence.contains("after 45 s")));
    assert!(matches!(recover(on(), handle(), world(idle())).await, Recovery::InDoubt(_)));
    let failed = but(in_it(), json!({"services": {"vm:111": service("error", "pve2")}}));
    assert!(matches!(recover(on(), handle(), world(failed)).await, Recovery::Partial(_)));
    let late = FakeWorld::default().in_turn("proxmox/ha", vec![idle(), idle(), asked()]);
    assert!(matches!(recover(on(), None, late).await, Recovery::Running(_)), "the manager's rounds are slow");
    assert!(matches!(recover(off(), None, world(idle())).await, Recovery::Done(_)));
}

#[tokio::test]
async fn undoing_leaves_what_was_in_maintenance_before() {
    let undo = |before: Value, with: Value| action().undo(&call(with), &before, None);
    let fresh = probe(on(), idle()).await.before;
    assert_eq!(undo(fresh, on()).unwrap().with, off());
    assert_eq!(undo(probe(on(), in_it()).await.before, on()), None, "it was in maintenance already");
    assert_eq!(undo(probe(off(), done()).await.before, off()).unwrap().with, on());
}
