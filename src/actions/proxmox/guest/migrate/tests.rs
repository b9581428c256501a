//! Decision tables of a move: probe, prediction, requests, verdicts, recovery, undo.

use serde_json::{Value, json};

use super::*;
use crate::actions::proxmox::testing::{FakeWorld, but, call, ct, intent, node, vm};
use crate::clients::proxmox::Params;
use crate::model::effect::Effect;
use order::Phase;

const UPID: &str = "UPID:pve2:0001ABCD:00A1B2C3:67400000:qmigrate:104:ops@pve!runbook:";
const OLD: &str = "UPID:pve2:00000001:00A1B2C3:67300000:qmigrate:104:ops@pve!runbook:";
const TASKS: &str = "proxmox/node/pve2/tasks/104";

fn action() -> GuestMigrate {
    GuestMigrate::new(Timing::default())
}

fn live() -> Value {
    json!({"guest": 104, "to": "pve3", "mode": "live"})
}

fn restart() -> Value {
    json!({"guest": 104, "to": "pve3", "mode": "restart"})
}

fn world(guest: Value) -> FakeWorld {
    let key = format!("proxmox/guest/{}", guest["vmid"]);
    FakeWorld::default().with(&key, guest).with("proxmox/node/pve3", node("pve3"))
}

fn entry(upid: &str, running: bool) -> Value {
    let kind = upid.split(':').nth(5).unwrap();
    json!({"upid": upid, "kind": kind, "id": "104", "start": 1, "running": running, "status": (!running).then_some("migration aborted")})
}

async fn probe(with: Value, world: &FakeWorld) -> Result<Probe, Failure> {
    action().probe(&call(with), world).await.map_err(|e| match e {
        Unreadable::Failed(failure) => failure,
        Unreadable::Unknown(why) | Unreadable::Later(why) => panic!("{why}"),
    })
}

#[tokio::test]
async fn a_live_move_reads_in_a_line_and_guards_what_it_rests_on() {
    let probe = probe(live(), &world(vm())).await.unwrap();
    assert_eq!(probe.summary, "VM 104 (web): pve2 -> pve3, live, 8.0 GiB, about 30 s");
    let texts: Vec<&str> = probe.guards.iter().map(|g| g.text.as_str()).collect();
    assert_eq!(
        texts,
        ["VM 104 (web) is on pve2", "VM 104 (web) is running", "pve3 is online", "pve3 is not in maintenance"]
    );
    assert_eq!(probe.effect, None);
    assert!(probe.identities[0].expect.contains(&("/uuid".into(), json!("u-104"))));
}

#[tokio::test]
async fn it_is_satisfied_only_when_there_and_free() {
    let there = but(vm(), json!({"node": "pve3"}));
    assert!(probe(live(), &world(there.clone())).await.unwrap().satisfied);
    let locked = but(there.clone(), json!({"lock": "migrate"}));
    assert_eq!(probe(live(), &world(locked)).await.unwrap_err().class, Class::Locked);
    let stopped = but(there, json!({"status": "stopped", "qmpstatus": "stopped"}));
    let wanted = but(live(), json!({"status": "running"}));
    let start = probe(wanted, &world(stopped)).await.unwrap();
    assert!(!start.satisfied && start.summary.contains("start on pve3"), "{}", start.summary);
}

#[tokio::test]
async fn what_stands_in_the_way_is_a_precondition() {
    let failing = |with: Value, guest: Value, part: &'static str, class: Class| async move {
        let failure = probe(with, &world(guest)).await.unwrap_err();
        assert_eq!(failure.class, class, "{failure}");
        assert!(failure.to_string().contains(part), "{part} in {failure}");
    };
    failing(live(), but(vm(), json!({"lock": "backup"})), "locked (backup)", Class::Locked).await;
    failing(live(), but(vm(), json!({"ha": "started"})), "HA manager owns", Class::Precondition).await;
    let gone = world(vm()).with("proxmox/guest/104", Value::Null);
    assert!(probe(live(), &gone).await.unwrap_err().to_string().contains("no node has it"));
    failing(but(live(), json!({"mode": "offline"})), vm(), "needs it stopped", Class::Precondition).await;
    failing(json!({"guest": 201, "to": "pve3"}), ct(), "no live migration for containers", Class::Precondition).await;
    let (off, away) = (but(node("pve3"), json!({"online": false})), but(node("pve3"), json!({"maintenance": true})));
    for (target, part) in [(off, "pve3 is offline"), (away, "pve3 is in maintenance"), (Value::Null, "no such node")] {
        let world = world(vm()).with("proxmox/node/pve3", target);
        assert!(probe(live(), &world).await.unwrap_err().to_string().contains(part), "{part}");
    }
    assert!(probe(live(), &world(but(vm(), json!({"ha": "ignored"})))).await.is_ok(), "ignored ones count as ours");
}

#[tokio::test]
async fn a_restart_is_downtime_and_a_stopped_guest_moves_offline() {
    let probe_vm = probe(restart(), &world(vm())).await.unwrap();
    assert_eq!(probe_vm.effect, Some(Effect::Disrupt));
    let stopped = but(vm(), json!({"status": "stopped", "qmpstatus": "stopped"}));
    for mode in ["live", "offline", "restart"] {
        let with = but(live(), json!({"mode": mode}));
        let got = probe(with, &world(stopped.clone())).await.unwrap();
        assert!(got.summary.contains("offline") && got.effect.is_none(), "{}", got.summary);
    }
}

#[tokio::test]
async fn a_prediction_moves_the_guest_and_forgets_memory_figures() {
    let before = probe(live(), &world(vm())).await.unwrap();
    let got = action().predict(&call(live()), &before);
    let patch = |key: &str| got.deltas.iter().find(|d| d.resource.as_str() == key).unwrap().patch.clone();
    assert_eq!(patch("proxmox/guest/104")["node"], "pve3");
    assert_eq!(patch("proxmox/guests")["104"]["node"], "pve3");
    let tainted: Vec<&str> = got.taints.iter().map(|(key, _)| key.as_str()).collect();
    for key in ["proxmox/placement", "proxmox/node/pve2/guests", "proxmox/node/pve3/memory"] {
        assert!(tainted.contains(&key), "{key}");
    }
    assert!(!tainted.contains(&"proxmox/node/pve3"), "the next move must still be able to look at its target");
    assert_eq!(got.outputs["to"], "pve3");
    let there = probe(live(), &world(but(vm(), json!({"node": "pve3"})))).await.unwrap();
    assert!(action().predict(&call(live()), &there).deltas.is_empty());
}

fn request(with: Value, guest: Value, phase: Phase) -> (String, Params) {
    Order::of(&call(with)).unwrap().request(phase, &serde_json::from_value(guest).unwrap())
}

#[test]
fn a_request_has_exactly_the_parameters_it_needs() {
    let target = Params::new().set("target", "pve3");
    let stopped = but(vm(), json!({"status": "stopped"}));
    let storages = json!({"storages": {"local-lvm": "fast", "local": "local"}});
    let (path, params) = request(live(), vm(), Phase::Migrate);
    assert_eq!(path, "/nodes/pve2/qemu/104/migrate");
    assert_eq!(params, target.clone().flag("online", true));
    assert_eq!(request(live(), stopped, Phase::Migrate).1, target.clone(), "online only for what runs");
    let mapped = target.clone().flag("online", true).flag("with-local-disks", true);
    let same = but(live(), json!({"storages": {"local-lvm": "local-lvm"}}));
    assert_eq!(request(same, vm(), Phase::Migrate).1, mapped, "a volume keeps its storage's name by itself");
    let with = but(live(), storages.clone());
    let map = "local:local,local-lvm:fast";
    assert_eq!(request(with, vm(), Phase::Migrate).1, mapped.set("targetstorage", map));
    let (path, params) =
        request(but(json!({"guest": 201, "to": "pve3", "mode": "restart"}), storages), ct(), Phase::Migrate);
    assert_eq!(path, "/nodes/pve2/lxc/201/migrate");
    assert_eq!(params, target.flag("restart", true).set("target-storage", map));
    assert_eq!(request(restart(), vm(), Phase::Start).0, "/nodes/pve2/qemu/104/status/start");
}

#[test]
fn phases_follow_from_the_guest_as_it_is() {
    let next = |with: Value, before: Value, now: Value| {
        Order::of(&call(with))
            .unwrap()
            .next(&serde_json::from_value(before).unwrap(), &serde_json::from_value(now).unwrap())
    };
    let (off, there) = (json!({"status": "stopped"}), json!({"node": "pve3"}));
    let off_there = json!({"status": "stopped", "node": "pve3"});
    assert_eq!(next(live(), vm(), vm()), Some(Phase::Migrate));
    assert_eq!(next(live(), vm(), but(vm(), there.clone())), None);
    assert_eq!(next(restart(), vm(), vm()), Some(Phase::Shutdown));
    assert_eq!(next(restart(), vm(), but(vm(), off.clone())), Some(Phase::Migrate));
    assert_eq!(next(restart(), vm(), but(vm(), off_there.clone())), Some(Phase::Start));
    assert_eq!(next(restart(), vm(), but(vm(), there)), None);
    assert_eq!(next(live(), but(vm(), off), but(vm(), off_there)), None, "what was stopped stays so");
    let ct_order = json!({"guest": 201, "to": "pve3", "mode": "restart"});
    assert_eq!(next(ct_order, ct(), ct()), Some(Phase::Migrate), "a container's move is one task");
}

#[test]
fn the_object_says_how_much_was_done() {
    let judge_it = |now: Option<Value>| {
        let order = Order::of(&call(live())).unwrap();
        let now: Option<Guest> = now.map(|v| serde_json::from_value(v).unwrap());
        how_much(&judge(&order, &serde_json::from_value(vm()).unwrap(), now.as_ref()))
    };
    let there = json!({"node": "pve3"});
    assert_eq!(judge_it(Some(vm())), Done::None);
    assert_eq!(judge_it(Some(but(vm(), there.clone()))), Done::Whole);
    for partial in [
        json!({"lock": "migrate"}),
        json!({"status": "stopped"}),
        json!({"node": "pve3", "lock": "migrate"}),
        json!({"node": "pve3", "status": "stopped"}),
        json!({"node": "pve3", "qmpstatus": "postmigrate"}),
    ] {
        assert_eq!(judge_it(Some(but(vm(), partial.clone()))), Done::Partial, "{partial}");
    }
    for unclear in [json!({"node": "pve4"}), json!({"uuid": "another"})] {
        assert_eq!(judge_it(Some(but(vm(), unclear.clone()))), Done::Unknown, "{unclear}");
    }
    assert_eq!(judge_it(None), Done::Unknown);
}

async fn recover(with: Value, handle: Option<Value>, world: FakeWorld) -> Recovery {
    let intent = intent(vm(), &[OLD]);
    action().recover(&call(with), &intent, handle.as_ref(), &world).await.unwrap()
}

fn handle(phase: &str) -> Option<Value> {
    Some(json!({"upid": UPID, "phase": phase}))
}

fn task(running: bool) -> Value {
    json!({"upid": UPID, "kind": "qmigrate", "running": running, "outcome": (!running).then_some("failed"), "cause": (!running).then_some("no space left")})
}

fn task_key() -> String {
    format!("proxmox/task/{UPID}")
}

#[tokio::test(start_paused = true)]
async fn with_a_handle_the_task_is_asked_first_and_the_object_last() {
    let running = world(vm()).with(&task_key(), task(true));
    assert_eq!(recover(live(), handle("migrate"), running).await, Recovery::Running(handle("migrate").unwrap()));
    let ended = |guest: Value| world(guest).with(&task_key(), task(false));
    let failed = recover(live(), handle("migrate"), ended(vm())).await;
    assert_eq!(failed, Recovery::Running(handle("migrate").unwrap()), "taken and failed: attaching reads why");
    let done = recover(live(), handle("migrate"), ended(but(vm(), json!({"node": "pve3"})))).await;
    assert!(matches!(done, Recovery::Done(ref outputs) if outputs["to"] == "pve3"), "{done:?}");
    let locked = recover(live(), handle("migrate"), ended(but(vm(), json!({"lock": "migrate"})))).await;
    let Recovery::Partial(evidence) = locked else { panic!("{locked:?}") };
    assert!(evidence.contains("locked (migrate)") && evidence.contains("no space left"), "{evidence}");
    let forgotten = world(vm()).with(&task_key(), Value::Null);
    let forgotten = recover(live(), handle("migrate"), forgotten).await;
    assert!(matches!(&forgotten, Recovery::InDoubt(why) if why.contains("not known to its node")), "{forgotten:?}");
    let ok = json!({"upid": UPID, "kind": "qmigrate", "running": false, "outcome": "ok"});
    let back = recover(live(), handle("migrate"), world(vm()).with(&task_key(), ok)).await;
    assert!(matches!(&back, Recovery::InDoubt(why) if why.contains("has ended well")), "{back:?}");
    let elsewhere = recover(live(), handle("migrate"), ended(but(vm(), json!({"node": "pve4"})))).await;
    assert!(matches!(elsewhere, Recovery::InDoubt(_)), "{elsewhere:?}");
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_node_is_down_leaves_doubt_unless_the_guest_has_arrived() {
    for class in [Class::Unreachable, Class::Transient, Class::Timeout] {
        let down = |guest: Value| world(guest).failing(&task_key(), class);
        assert!(matches!(recover(live(), handle("migrate"), down(vm())).await, Recovery::InDoubt(_)), "{class:?}");
        let arrived = recover(live(), handle("migrate"), down(but(vm(), json!({"node": "pve3"})))).await;
        assert!(matches!(arrived, Recovery::Done(_)), "{arrived:?}");
    }
    let all =
        FakeWorld::default().failing(&task_key(), Class::Unreachable).failing("proxmox/guest/104", Class::Unreachable);
    assert!(matches!(recover(live(), handle("migrate"), all).await, Recovery::InDoubt(_)));
}

/// No trace of it, which proves nothing where the answer was lost.
fn unseen(recovery: &Recovery, how_much: Done) -> bool {
    matches!(recovery, Recovery::Unseen { done, evidence } if *done == how_much && evidence.contains("within 45 s"))
}

#[tokio::test(start_paused = true)]
async fn without_a_handle_the_difference_of_the_task_lists_tells() {
    let old = entry(OLD, false);
    let (running, ended) = (json!([old, entry(UPID, true)]), json!([old, entry(UPID, false)]));
    let got = recover(live(), None, world(vm()).with(TASKS, running)).await;
    assert_eq!(got, Recovery::Running(handle("migrate").unwrap()));
    let failed = recover(live(), None, world(vm()).with(TASKS, ended.clone())).await;
    assert_eq!(failed, Recovery::Running(handle("migrate").unwrap()), "taken and failed: attaching reads why");
    let locked = world(but(vm(), json!({"lock": "migrate"}))).with(TASKS, ended);
    assert!(matches!(recover(live(), None, locked).await, Recovery::Partial(_)));
    let two = json!([entry(UPID, true), entry(&UPID.replace("0001ABCD", "0001ABCE"), true)]);
    assert!(matches!(recover(live(), None, world(vm()).with(TASKS, two)).await, Recovery::InDoubt(_)));
    let other = json!([old, entry(&UPID.replace("qmigrate", "vncproxy"), true)]);
    assert!(unseen(&recover(live(), None, world(vm()).with(TASKS, other)).await, Done::None));
}

#[tokio::test(start_paused = true)]
async fn a_task_may_show_late_and_its_absence_is_believed_only_after_the_bound() {
    let begun = tokio::time::Instant::now();
    let late = world(vm()).in_turn(TASKS, vec![json!([]), json!([]), json!([]), json!([entry(UPID, true)])]);
    assert!(matches!(recover(live(), None, late).await, Recovery::Running(_)));
    assert!(begun.elapsed() < Timing::default().late_task);

    let begun = tokio::time::Instant::now();
    let got = recover(live(), None, world(vm()).with(TASKS, json!([]))).await;
    assert!(unseen(&got, Done::None), "{got:?}");
    assert!(begun.elapsed() >= Timing::default().late_task);

    let begun = tokio::time::Instant::now();
    let arrived = world(but(vm(), json!({"node": "pve3"}))).with(TASKS, json!([]));
    assert!(matches!(recover(live(), None, arrived).await, Recovery::Done(_)));
    assert!(begun.elapsed().is_zero(), "the object answers at once");

    let locked = world(but(vm(), json!({"lock": "migrate"}))).with(TASKS, json!([]));
    let got = recover(live(), None, locked).await;
    assert!(matches!(&got, Recovery::InDoubt(why) if why.contains("no task has shown on pve2 within 45 s")), "{got:?}");
    let moved = world(vm()).failing(TASKS, Class::Unreachable);
    assert!(matches!(recover(live(), None, moved).await, Recovery::InDoubt(_)));
    let gone = world(vm()).with("proxmox/guest/104", Value::Null).with(TASKS, json!([]));
    assert!(matches!(recover(live(), None, gone).await, Recovery::InDoubt(_)));
}

#[tokio::test(start_paused = true)]
async fn a_restart_is_recovered_between_its_tasks() {
    let there = "proxmox/node/pve3/tasks/104";
    let down = UPID.replace("qmigrate", "qmshutdown");
    let shutdown = Some(json!({"upid": down, "phase": "shutdown"}));
    let stopped = but(vm(), json!({"status": "stopped", "qmpstatus": "stopped"}));
    let base = || {
        let ended = json!({"upid": down, "kind": "qmshutdown", "running": false, "outcome": "ok"});
        world(stopped.clone()).with(&format!("proxmox/task/{down}"), ended).with(there, json!([]))
    };
    // The migrate call after the shutdown was sent, and its answer lost.
    let sent = base().with(TASKS, json!([entry(OLD, false), entry(&down, false), entry(UPID, true)]));
    assert_eq!(recover(restart(), shutdown.clone(), sent).await, Recovery::Running(handle("migrate").unwrap()));
    // It was not.
    let unsent = base().with(TASKS, json!([entry(OLD, false), entry(&down, false)]));
    let got = recover(restart(), shutdown.clone(), unsent).await;
    assert!(unseen(&got, Done::Partial) && format!("{got:?}").contains("on pve2, stopped"), "{got:?}");
    // Its first task has failed: the cause is in its log, and nothing is sent again.
    let failed =
        json!({"upid": down, "kind": "qmshutdown", "running": false, "outcome": "failed", "cause": "got timeout"});
    let failed = world(vm()).with(&format!("proxmox/task/{down}"), failed);
    assert_eq!(recover(restart(), shutdown.clone(), failed).await, Recovery::Running(shutdown.clone().unwrap()));
    // Moved, and being started there.
    let start = UPID.replace("qmigrate", "qmstart").replace("pve2", "pve3");
    let starting = FakeWorld::default()
        .with("proxmox/guest/104", but(stopped, json!({"node": "pve3"})))
        .with(&task_key(), json!({"upid": UPID, "kind": "qmigrate", "running": false, "outcome": "ok"}))
        .with(TASKS, json!([entry(OLD, false)]))
        .with(there, json!([entry(&start, true)]));
    let got = recover(restart(), handle("migrate"), starting).await;
    assert_eq!(got, Recovery::Running(json!({"upid": start, "phase": "start"})));
}

#[tokio::test(start_paused = true)]
async fn what_the_ha_manager_was_asked_for_is_not_taken_for_refused() {
    let upid = UPID.replace("qmigrate", "hamigrate");
    let handle = Some(json!({"upid": upid, "phase": "migrate"}));
    let ended = json!({"upid": upid, "kind": "hamigrate", "running": false, "outcome": "ok"});
    let asked = world(vm()).with(&format!("proxmox/task/{upid}"), ended);
    assert!(matches!(recover(live(), handle, asked).await, Recovery::InDoubt(_)));
}

#[tokio::test]
async fn preparing_remembers_the_tasks_that_there_are() {
    let world = world(vm()).with(TASKS, json!([entry(OLD, false)])).with("proxmox/node/pve3/tasks/104", json!([]));
    for with in [live(), restart()] {
        assert_eq!(action().prepare(&call(with), &world).await.unwrap(), json!({"tasks": [OLD]}));
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_verified_on_the_guest_twice_in_a_row() {
    let (there, outputs) = (but(vm(), json!({"node": "pve3"})), json!({"status": "running"}));
    let key = "proxmox/guest/104";
    let flapping = vec![there.clone(), but(there.clone(), json!({"lock": "migrate"})), there.clone()];
    let world = FakeWorld::default().in_turn(key, flapping);
    action().verify(&call(live()), &Value::Null, &outputs, &world).await.unwrap();
    for bad in [vm(), but(there.clone(), json!({"status": "stopped"})), but(there, json!({"qmpstatus": "postmigrate"}))]
    {
        let failure = action()
            .verify(&call(live()), &Value::Null, &outputs, &FakeWorld::default().with(key, bad))
            .await
            .unwrap_err();
        assert_eq!(failure.class, Class::Verify);
        assert!(failure.cause.contains("seen last: on pve"), "{}", failure.cause);
    }
    let unreachable = FakeWorld::default().failing(key, Class::Unreachable);
    assert_eq!(
        action().verify(&call(live()), &Value::Null, &outputs, &unreachable).await.unwrap_err().class,
        Class::Verify
    );
}

#[test]
fn undoing_moves_back_with_the_maps_turned_round() {
    let with = but(restart(), json!({"storages": {"a": "x", "b": "x", "c": "c"}}));
    let undo = action().undo(&call(with), &vm(), None).unwrap();
    assert_eq!(undo.uses, "proxmox.guest_migrate");
    let wanted = json!({"guest": 104, "to": "pve2", "mode": "restart", "status": "running", "into_maintenance": true, "storages": {"x": "a", "c": "c"}});
    assert_eq!(undo.with, wanted);
    let there = but(vm(), json!({"node": "pve3"}));
    assert_eq!(action().undo(&call(live()), &there, None), None, "it was there before");
    let plain = json!({"guest": 104, "to": "pve3"});
    assert_eq!(
        action().undo(&call(plain), &vm(), None).unwrap().with,
        json!({"guest": 104, "to": "pve2", "status": "running", "into_maintenance": true})
    );
}
