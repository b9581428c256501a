//! `kill -9` at any moment loses nothing and repeats nothing that was accepted: the real binary, in labs that outlive it.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::rig::{Output, Rig, torture};

const KILLS: usize = 50;
const AT_ONCE: usize = 4;
const SCALE: f64 = 250.0;
const RUN: [&str; 5] = ["run", "evacuate", "pve2", "--apply", "--yes"];
const MOST_LIVES: usize = 15;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_killed_evacuation_is_resumed_and_nothing_is_asked_for_twice() {
    let seed: u64 = std::env::var("KILL_SEED").ok().and_then(|v| v.parse().ok()).unwrap_or_else(rand::random);
    let rig = Rig::start("three-node", SCALE, &[]).await;
    let undisturbed = rig.run(&RUN).await;
    assert_eq!(undisturbed.code, Some(0), "{}", undisturbed.text);
    rig.assert_evacuated("undisturbed");
    // Being killed while planning is only a run that never was: few of the moments are for that.
    let plan = rig.house.ledger().iter().position(|e| e.mutating).unwrap();
    let moments = plan * 9 / 10..=rig.requests();
    rig.house.leave().await;

    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut cases = JoinSet::new();
    for case in 0..KILLS * torture() {
        let (room, moments) = (room.clone(), moments.clone());
        cases.spawn(async move {
            let _place = room.acquire_owned().await.unwrap();
            one_case(seed, case, moments).await;
        });
    }
    let mut broken = Vec::new();
    while let Some(ended) = cases.join_next().await {
        if let Err(error) = ended {
            broken.push(error.to_string());
        }
    }
    assert!(broken.is_empty(), "KILL_SEED={seed}: {} cases failed: {broken:#?}", broken.len());
}

async fn one_case(seed: u64, case: usize, moments: RangeInclusive<usize>) {
    let mut dice = StdRng::seed_from_u64(seed.wrapping_add(case as u64));
    let late: &[&str] = if case.is_multiple_of(2) { &["tasks-late=40s"] } else { &[] };
    let rig = Rig::start("three-node", SCALE, late).await;
    let mut story = format!("KILL_SEED={seed} case {case} {late:?}");
    let kill_at = dice.random_range(moments.clone());
    let requests = moments.end() - moments.start();
    // Some move several guests at once.
    let args: Vec<&str> = RUN
        .into_iter()
        .chain(if case.is_multiple_of(3) { &["--set", "max_parallel=3"][..] } else { &[] }.iter().copied())
        .collect();
    let later = Duration::from_millis(dice.random_range(0..25));
    let mut last = rig.run_and_kill(&args, kill_at, later).await;
    story.push_str(&format!("; killed after {kill_at} requests"));
    for _ in 0..MOST_LIVES {
        last = match rig.status() {
            Some(status) if status.is_final() => break,
            Some(_) if !rig.events().is_empty() => go_on(&rig, &mut dice, requests, &mut story).await,
            // Killed while planning, or before the first event was written.
            _ => rig.run(&args).await,
        };
    }
    assert!(rig.status().is_some_and(|s| s.is_final()), "{story}: no end in sight: {last:?}");
    rig.assert_evacuated(&format!("{story}: {}", last.text));
    let shown = rig.run(&["status", "last", "-o", "json"]).await;
    assert!(shown.text.contains("\"status\": \"succeeded\""), "{story}: {}", shown.text);
    rig.house.leave().await;
}

async fn go_on(rig: &Rig, dice: &mut StdRng, requests: usize, story: &mut String) -> Output {
    match dice.random_range(0..6) {
        0 | 1 => {
            let at = dice.random_range(1..=requests / 2);
            let later = Duration::from_millis(dice.random_range(0..25));
            story.push_str(&format!(", resume killed after {at}"));
            rig.run_and_kill(&["resume", "last", "--yes"], at, later).await
        }
        2 => {
            let after = format!("crash-after:{}", dice.random_range(1..20));
            story.push_str(&format!(", resume with {after}"));
            rig.run(&["resume", "last", "--yes", "--inject", &after]).await
        }
        _ => {
            story.push_str(", resume");
            rig.run(&["resume", "last", "--yes"]).await
        }
    }
}
