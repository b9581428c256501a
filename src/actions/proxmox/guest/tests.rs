//! Decision tables of shutting down and unlocking.

use serde_json::{Value, json};

use super::{GuestShutdown, GuestUnlock};
use crate::actions::deps::Timing;
use crate::actions::proxmox::testing::{FakeWorld, but, call, intent, node, vm};
use crate::engine::ports::{Action, Probe, Recovery, Unreadable};
use crate::model::effect::Done;
use crate::model::failure::{Class, Failure};

const UPID: &str = "UPID:pve2:0001ABCD:00A1B2C3:67400000:qmshutdown:104:ops@pve!runbook:";
const TASKS: &str = "proxmox/node/pve2/tasks/104";

fn shutdown() -> GuestShutdown {
    GuestShutdown::new(Timing::default())
}

fn unlock() -> GuestUnlock {
    GuestUnlock::new(Timing::default())
}

fn world(guest: Value) -> FakeWorld {
    FakeWorld::default()
        .with("proxmox/guest/104", guest)
        .with(TASKS, json!([]))
        .with("proxmox/node/pve1/tasks/104", json!([]))
        .with("proxmox/nodes", json!({"pve1": node("pve1"), "pve2": node("pve2")}))
}

fn stopped() -> Value {
    but(vm(), json!({"status": "stopped", "qmpstatus": "stopped"}))
}

fn locked(lock: &str) -> Value {
    but(vm(), json!({"lock": lock}))
}

async fn probe(action: &dyn Action, with: Value, world: &FakeWorld) -> Result<Probe, Failure> {
    action.probe(&call(with), world).await.map_err(|e| match e {
        Unreadable::Failed(failure) => failure,
        Unreadable::Unknown(why) | Unreadable::Later(why) => panic!("{why}"),
    })
}

fn task(upid: &str, running: bool) -> Value {
    let kind = upid.split(':').nth(5).unwrap();
    json!({"upid": upid, "kind": kind, "id": "104", "start": 1, "running": running})
}

#[tokio::test]
async fn a_shutdown_is_probed() {
    let with = || json!({"guest": 104});
    assert!(!probe(&shutdown(), with(), &world(vm())).await.unwrap().satisfied);
    assert!(probe(&shutdown(), with(), &world(stopped())).await.unwrap().satisfied);
    for (guest, class) in [
        (locked("backup"), Class::Locked),
        (but(vm(), json!({"ha": "started"})), Class::Precondition),
        (but(vm(), json!({"qmpstatus": "paused"})), Class::Precondition),
        (Value::Null, Class::Precondition),
    ] {
        assert_eq!(probe(&shutdown(), with(), &world(guest)).await.unwrap_err().class, class);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_is_recovered_from_its_task_and_the_guest() {
    let recover = async |handle: Option<Value>, world: FakeWorld| {
        let intent = intent(vm(), &[]);
        shutdown().recover(&call(json!({"guest": 104})), &intent, handle.as_ref(), &world).await.unwrap()
    };
    let handle = || Some(json!({"upid": UPID}));
    let key = format!("proxmox/task/{UPID}");
    let of = |guest: Value, running: bool| {
        world(guest).with(&key, json!({"upid": UPID, "kind": "qmshutdown", "running": running}))
    };
    assert_eq!(recover(handle(), of(vm(), true)).await, Recovery::Running(handle().unwrap()));
    assert_eq!(recover(handle(), of(vm(), false)).await, Recovery::Running(handle().unwrap()), "attaching reads why");
    let forgotten = recover(handle(), world(vm()).with(&key, Value::Null)).await;
    assert!(matches!(&forgotten, Recovery::InDoubt(why) if why.contains("not known to its node")), "{forgotten:?}");
    assert!(matches!(recover(handle(), of(stopped(), false)).await, Recovery::Done(_)));
    let half = but(stopped(), json!({"lock": "suspended"}));
    assert!(matches!(recover(handle(), of(half, false)).await, Recovery::Partial(_)));
    let down = |guest: Value| world(guest).failing(&key, Class::Unreachable);
    assert!(matches!(recover(handle(), down(vm())).await, Recovery::InDoubt(_)));
    assert!(matches!(recover(handle(), down(stopped())).await, Recovery::Done(_)));

    assert_eq!(
        recover(None, world(vm()).with(TASKS, json!([task(UPID, true)]))).await,
        Recovery::Running(handle().unwrap())
    );
    let ended = |status: &str| json!([but(task(UPID, false), json!({"status": status}))]);
    let failed = recover(None, world(vm()).with(TASKS, ended("got timeout"))).await;
    assert_eq!(failed, Recovery::Running(handle().unwrap()));
    let ok = recover(None, world(vm()).with(TASKS, ended("OK"))).await;
    assert!(matches!(&ok, Recovery::InDoubt(why) if why.contains("has ended well")), "{ok:?}");
    let unseen = recover(None, world(vm())).await;
    let evidence = "VM 104 (web) runs, and no task has shown on pve2 within 45 s".to_owned();
    assert_eq!(unseen, Recovery::Unseen { done: Done::None, evidence });
    assert!(matches!(recover(None, world(stopped())).await, Recovery::Done(_)));
    assert!(matches!(recover(None, world(but(vm(), json!({"uuid": "x"})))).await, Recovery::InDoubt(_)));
    assert!(matches!(recover(None, world(vm()).failing(TASKS, Class::Timeout)).await, Recovery::InDoubt(_)));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_is_verified_on_the_guest() {
    let with = call(json!({"guest": 104}));
    shutdown().verify(&with, &Value::Null, &Value::Null, &world(stopped())).await.unwrap();
    let failure = shutdown().verify(&with, &Value::Null, &Value::Null, &world(vm())).await.unwrap_err();
    assert_eq!(failure.class, Class::Verify);
}

#[tokio::test]
async fn only_the_lock_that_is_named_is_taken_off_and_only_while_nothing_runs() {
    let with = || json!({"guest": 104, "lock": "migrate"});
    let ready = probe(&unlock(), with(), &world(locked("migrate"))).await.unwrap();
    assert!(!ready.satisfied && ready.guards.len() == 1);
    assert!(probe(&unlock(), with(), &world(vm())).await.unwrap().satisfied);
    let other = probe(&unlock(), with(), &world(locked("backup"))).await.unwrap_err();
    assert!(other.class == Class::Precondition && other.cause.contains("`backup`"), "{other}");
    let busy = world(locked("migrate")).with(TASKS, json!([task(UPID, true)]));
    assert!(probe(&unlock(), with(), &busy).await.unwrap_err().cause.contains("still at work"));
    // A migration's task stays on the node that the guest came from.
    let moved = world(locked("migrate")).with("proxmox/node/pve1/tasks/104", json!([task(UPID, true)]));
    assert!(probe(&unlock(), with(), &moved).await.unwrap_err().cause.contains("still at work"));
    let unnamed = probe(&unlock(), json!({"guest": 104}), &world(locked("backup"))).await.unwrap();
    assert!(
        unnamed.summary.ends_with("take off the lock `backup`") && unnamed.guards.len() == 1,
        "{}",
        unnamed.summary
    );
    let patch = unlock().predict(&call(with()), &ready).deltas[0].patch.clone();
    assert_eq!(patch, json!({"lock": null}));
}

#[tokio::test(start_paused = true)]
async fn an_unlock_is_recovered_from_the_guest_alone() {
    let recover = async |guest: Value| {
        let call = call(json!({"guest": 104, "lock": "migrate"}));
        unlock().recover(&call, &intent(locked("migrate"), &[]), None, &world(guest)).await.unwrap()
    };
    assert!(matches!(recover(vm()).await, Recovery::Done(_)));
    let unseen = recover(locked("migrate")).await;
    assert!(
        matches!(&unseen, Recovery::Unseen { done: Done::None, evidence } if evidence.contains("locked (migrate)"))
    );
    assert!(matches!(recover(Value::Null).await, Recovery::InDoubt(_)));
}
