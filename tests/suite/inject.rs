//! Failures and crashes on demand with the journal that people have and `finally`, against a small and fast lab.
//! Every place of every shipped runbook is disturbed in `rehearse.rs`, with a journal in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use runbook::app::Exit;
use runbook::event::{Ending, Outcome, RunStatus};
use runbook::lab::world::diff;
use runbook::model::ids::Vmid;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::rig::{HA_GUEST, Rig, outcome_of, torture};

const SCALE: f64 = 600.0;
const FINALLY: &str = "finally:\n  - {id: told, uses: proxmox.ha_maintenance, with: {node: pve1, enabled: false}}\n";

async fn tiny() -> Rig {
    Rig::start("tiny", SCALE, &[]).await
}

async fn variant(on_failure: &str) -> Rig {
    let rig = tiny().await;
    rig.variant(&format!("on_failure: {on_failure}\n{FINALLY}"));
    rig
}

/// Each case in a lab of its own, a few at once.
async fn each<T, F>(cases: Vec<T>, run: impl Fn(T) -> F)
where
    T: std::fmt::Debug,
    F: Future<Output = ()> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(4));
    let mut all = JoinSet::new();
    for case in cases {
        let (room, work) = (room.clone(), run(case));
        all.spawn(async move {
            let _place = room.acquire_owned().await.unwrap();
            work.await;
        });
    }
    let mut broken = Vec::new();
    while let Some(ended) = all.join_next().await {
        broken.extend(ended.err().map(|e| e.to_string()));
    }
    assert!(broken.is_empty(), "{} cases failed: {broken:#?}", broken.len());
}

/// After how many facts to crash: every fifth, the first among them; in torture every one.
fn some_of(facts: usize) -> Vec<usize> {
    (1..facts).step_by(if torture() > 1 { 1 } else { 5 }).collect()
}

async fn settled(rig: &Rig, start: &serde_json::Value) -> Vec<String> {
    let mut left = Vec::new();
    // The HA manager brings its own guests home in its own rounds.
    for _ in 0..200 {
        left = diff(start, &rig.state());
        if left.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    left
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crash_after_a_fact_is_resumed_from_the_journal_and_nothing_is_asked_for_twice() {
    let rig = tiny().await;
    let (ended, _) = rig.apply(rig.plan().await, &[]).await;
    assert_eq!(ended.unwrap().exit, Exit::Done);
    rig.assert_evacuated("undisturbed");
    let facts = rig.events().iter().filter(|e| e.fact().is_some()).count();
    rig.house.leave().await;
    assert!(facts > 20, "{facts}");
    each(some_of(facts), |n| async move {
        let rig = tiny().await;
        let crash = format!("crash-after:{n}");
        let (ended, seen) = rig.apply(rig.plan().await, &[&crash]).await;
        assert_eq!(ended.unwrap_err().code, "run::crashed", "{crash}");
        let written = rig.events().iter().filter(|e| e.fact().is_some()).count();
        assert_eq!(written, n, "{crash}");
        assert!(seen.facts().len() <= n, "nobody sees what is not durable");
        let (ended, _) = rig.resume(&[]).await;
        assert_eq!(ended.unwrap().exit, Exit::Done, "{crash}");
        rig.assert_evacuated(&crash);
        rig.house.leave().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crash_in_a_rollback_still_ends_with_the_world_as_it_was() {
    let fail = "fail:move[108]";
    let rig = variant("rollback").await;
    let (ended, _) = rig.apply(rig.plan().await, &[fail]).await;
    assert_eq!(ended.unwrap().exit, Exit::RolledBack);
    let facts = rig.events().iter().filter(|e| e.fact().is_some()).count();
    rig.house.leave().await;
    each(some_of(facts), |n| async move {
        let rig = variant("rollback").await;
        let start = rig.state();
        let crash = format!("crash-after:{n}");
        let (ended, _) = rig.apply(rig.plan().await, &[fail, &crash]).await;
        assert_eq!(ended.unwrap_err().code, "run::crashed", "{crash}");
        let (ended, _) = rig.resume(&[fail]).await;
        assert_eq!(ended.unwrap().exit, Exit::RolledBack, "{crash}");
        assert_eq!(settled(&rig, &start).await, Vec::<String>::new(), "{crash}");
        for (vmid, asked) in rig.migrations() {
            assert!(asked.len() == 2 && asked[1] == "pve2", "{crash}: guest {vmid}: {asked:?}");
        }
        assert_eq!(rig.maintenance_asked(), (1, 1), "{crash}");
        assert_eq!(outcome_of(&rig.events(), "finally/told"), Some(Outcome::Unchanged), "{crash}");
        rig.assert_chain(&crash);
        rig.house.leave().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_failure_with_rollback_leaves_the_world_as_it_was_and_finally_is_carried_out() {
    each(["placement", "move[108]", "node_empty"].map(str::to_owned).into(), |path| async move {
        let rig = variant("rollback").await;
        let start = rig.state();
        let (ended, _) = rig.apply(rig.plan().await, &[&format!("fail:{path}")]).await;
        let ended = ended.unwrap();
        assert_eq!((ended.exit, ended.status), (Exit::RolledBack, RunStatus::RolledBack), "{path}");
        assert_eq!(settled(&rig, &start).await, Vec::<String>::new(), "{path}");
        assert_eq!(outcome_of(&rig.events(), "finally/told"), Some(Outcome::Unchanged), "{path}");
        rig.house.leave().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_undo_that_fails_stops_no_other_and_is_listed() {
    let undos = ["maintenance", "move[105]"].map(str::to_owned);
    each(undos.into(), |path| async move {
        let rig = variant("rollback").await;
        let fail_undo = format!("fail-undo:{path}");
        let args =
            ["run", "evacuate", "pve2", "--apply", "--yes", "--inject", "fail:node_empty", "--inject", &fail_undo];
        let shown = rig.run(&args).await;
        assert_eq!(shown.code, Some(11), "{path}: {}", shown.text);
        assert_eq!(rig.status(), Some(RunStatus::RollbackIncomplete), "{path}");
        let by_hand = match path.as_str() {
            "maintenance" => "take pve2 out of HA maintenance".to_owned(),
            item => format!("move VM {} (", &item[5..8]),
        };
        assert!(shown.text.contains(&by_hand), "{path}: what is left to do by hand is not said: {}", shown.text);
        let away = BTreeMap::from([("move[104]", 104), ("move[105]", 105), ("move[108]", 108)]);
        for (step, vmid) in away {
            let home = rig.node_of(Vmid(vmid)) == "pve2";
            assert_eq!(home, step != path, "{path}: guest {vmid}");
        }
        assert_eq!(rig.maintenance_asked().1, usize::from(path != "maintenance"), "{path}");
        assert_eq!(outcome_of(&rig.events(), "finally/told"), Some(Outcome::Unchanged), "{path}");
        rig.house.leave().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn with_continue_a_failed_move_fails_the_run_and_finally_is_carried_out() {
    for (borne, others) in [(0, 0), (1, 2)] {
        let rig = tiny().await;
        rig.variant_of_moves(FINALLY, &format!("on_failure: continue\n    max_failures: {borne}"));
        let plan = rig.plan().await;
        let first = plan.steps.iter().find(|s| s.uses == "proxmox.guest_migrate").unwrap().path.to_string();
        let (ended, _) = rig.apply(plan, &[&format!("fail:{first}")]).await;
        let ended = ended.unwrap();
        assert_eq!((ended.exit, ended.status), (Exit::Failed, RunStatus::Failed), "{borne}");
        assert_eq!(outcome_of(&rig.events(), "finally/told"), Some(Outcome::Unchanged), "{borne}");
        assert!(matches!(rig.ending(&first), Some(Ending::Failed { .. })), "{borne}");
        assert!(matches!(outcome_of(&rig.events(), "node_empty"), Some(Outcome::NotRun(_))), "{borne}");
        assert_eq!(rig.migrations().len(), others, "{borne}");
        assert_ne!(rig.node_of(HA_GUEST), "pve2");
        rig.house.leave().await;
    }
}
