//! `kill -9` at any moment of a run, of its resuming, of its rollback and of its giving up loses nothing and repeats
//! nothing that was accepted: the real binary, in labs that outlive it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use runbook::event::RunStatus;
use runbook::lab::ledger::Entry;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::rig::{Output, Rig, torture};

const KILLS: usize = 50;
const AT_ONCE: usize = 4;
const SCALE: f64 = 250.0;
const RUN: [&str; 5] = ["run", "evacuate", "pve2", "--apply", "--yes"];
/// The last step fails, and all is undone. A failure is asked of each process, since it is no part of the run.
const FAILS: [&str; 2] = ["--inject", "fail:node_empty"];
const ROLL_BACK: [&str; 2] = ["--inject", "roll-back"];
const MOST_LIVES: usize = 15;

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    /// A run that is then carried to its end.
    Run,
    /// A run that rolls itself back.
    RollsBack,
    /// The rollback that is asked for when the run is over.
    RolledBackLater,
    /// The giving up of a run that was killed.
    Abandon,
}

impl Way {
    fn of(case: usize) -> Self {
        match case % 8 {
            0..=3 => Self::Run,
            4 | 5 => Self::RollsBack,
            6 => Self::RolledBackLater,
            _ => Self::Abandon,
        }
    }
}

/// Runs that nobody disturbs.
struct Usual {
    /// After how many requests to kill a run, and one that rolls itself back.
    run: RangeInclusive<usize>,
    back: RangeInclusive<usize>,
    /// Of one that rolls itself back.
    asked: Vec<String>,
    /// Where the guests are before all.
    places: Places,
}

type Places = BTreeMap<String, [Value; 3]>;

fn places(rig: &Rig) -> Places {
    let state = rig.state();
    let guests = state["guests"].as_object().unwrap();
    let place = |guest: &Value| ["node", "status", "lock"].map(|field| guest[field].clone());
    guests.iter().map(|(id, guest)| (id.clone(), place(guest))).collect()
}

/// What the lab was asked for and took, in any order.
fn asked(rig: &Rig) -> Vec<String> {
    let what = |entry: &Entry| match entry.params.get("argv") {
        // By which node a command goes is nobody's business.
        Some(command) => command.clone(),
        None => format!("{} {} {:?}", entry.method, entry.path, entry.params),
    };
    let mut all: Vec<String> = rig.work().iter().map(what).collect();
    all.sort();
    all
}

/// A run may be killed while it is planned, too: then it only never was, so few of the moments are for that.
fn moments(rig: &Rig) -> RangeInclusive<usize> {
    let plan = rig.house.ledger().iter().position(|e| e.mutating).unwrap();
    plan * 9 / 10..=rig.requests()
}

async fn usual() -> Usual {
    let rig = Rig::start("three-node", SCALE, &[]).await;
    let undisturbed = rig.run(&RUN).await;
    assert_eq!(undisturbed.code, Some(0), "{}", undisturbed.text);
    rig.assert_evacuated("undisturbed");
    let run = moments(&rig);
    rig.house.leave().await;
    let rig = Rig::start("three-node", SCALE, &[]).await;
    let places = places(&rig);
    let undisturbed = rig.run(&[&RUN[..], &FAILS, &ROLL_BACK].concat()).await;
    assert_eq!(rig.status(), Some(RunStatus::RolledBack), "{}", undisturbed.text);
    let (back, asked) = (moments(&rig), asked(&rig));
    rig.house.leave().await;
    Usual { run, back, asked, places }
}

fn kills() -> usize {
    let asked = std::env::var("KILLS").ok().and_then(|v| v.parse().ok());
    asked.unwrap_or(if torture() > 1 { KILLS * torture() * 2 } else { KILLS })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_killed_is_carried_to_its_end_and_nothing_is_asked_for_twice() {
    let seed: u64 = std::env::var("KILL_SEED").ok().and_then(|v| v.parse().ok()).unwrap_or_else(rand::random);
    let only: Option<usize> = std::env::var("KILL_CASE").ok().and_then(|v| v.parse().ok());
    let (usual, room) = (Arc::new(usual().await), Arc::new(Semaphore::new(AT_ONCE)));
    let mut cases = JoinSet::new();
    for case in (0..kills()).filter(|case| only.is_none_or(|only| only == *case)) {
        let (room, usual) = (room.clone(), usual.clone());
        cases.spawn(async move {
            let _place = room.acquire_owned().await.unwrap();
            one_case(seed, case, &usual).await;
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

/// One lab and what happens in it.
struct Case<'a> {
    rig: Rig,
    dice: StdRng,
    way: Way,
    usual: &'a Usual,
    story: String,
}

async fn one_case(seed: u64, case: usize, usual: &Usual) {
    // HA work is root@pam's, in tasks of its own, in every one of them.
    let late: &[&str] = if case.is_multiple_of(2) { &["tasks-late=40s"] } else { &[] };
    let way = Way::of(case / 2);
    let mut case = Case {
        rig: Rig::start("three-node", SCALE, late).await,
        dice: StdRng::seed_from_u64(seed.wrapping_add(case as u64)),
        way,
        usual,
        story: format!("KILL_SEED={seed} KILL_CASE={case} {way:?} {late:?}"),
    };
    match way {
        Way::Run | Way::RollsBack => case.begin(true).await,
        Way::Abandon => case.begin_and_stay_interrupted().await,
        Way::RolledBackLater => case.begin(false).await,
    }
    let last = case.reach_its_end().await;
    case.see(&last).await;
    case.rig.house.leave().await;
}

impl Case<'_> {
    fn begins(&self) -> Vec<&'static str> {
        let rolls_back = [&RUN[..], &FAILS, &ROLL_BACK].concat();
        if self.way == Way::RollsBack { rolls_back } else { RUN.to_vec() }
    }

    fn goes_on(&self) -> Vec<&'static str> {
        let last = |verb| vec![verb, "last", "--yes"];
        match self.way {
            Way::Run => last("resume"),
            Way::RollsBack => [&last("resume")[..], &FAILS].concat(),
            Way::RolledBackLater if self.rig.status() == Some(RunStatus::Succeeded) => last("rollback"),
            Way::RolledBackLater => last("resume"),
            Way::Abandon => last("abandon"),
        }
    }

    fn moments(&self) -> RangeInclusive<usize> {
        let usual = self.usual;
        if self.way == Way::RollsBack { usual.back.clone() } else { usual.run.clone() }
    }

    async fn killed(&mut self, mut args: Vec<&str>, at: usize) -> Output {
        // Some move several guests at once.
        if args[0] == "run" && self.dice.random_range(0..3) == 0 {
            args.extend(["--set", "max_parallel=3"]);
        }
        let later = Duration::from_millis(self.dice.random_range(0..25));
        self.story.push_str(&format!("; {} killed after {at} requests", args[0]));
        self.rig.run_and_kill(&args, at, later).await
    }

    async fn begin(&mut self, to_be_killed: bool) {
        if to_be_killed {
            let at = self.dice.random_range(self.moments());
            self.killed(self.begins(), at).await;
            return;
        }
        let whole = self.rig.run(&self.begins()).await;
        assert_eq!(whole.code, Some(0), "{}: {}", self.story, whole.text);
    }

    async fn begin_and_stay_interrupted(&mut self) {
        while self.rig.status().is_none_or(RunStatus::is_final) || self.rig.events().is_empty() {
            if self.rig.status().is_some_and(RunStatus::is_final) {
                // Killed too late: there is nothing to give up any more.
                return;
            }
            self.begin(true).await;
        }
    }

    fn is_over(&self) -> bool {
        let status = self.rig.status().filter(|_| !self.rig.events().is_empty());
        match (self.way, status) {
            (_, None) => false,
            (Way::RolledBackLater, Some(RunStatus::Succeeded)) => false,
            (_, Some(status)) => status.is_final(),
        }
    }

    async fn reach_its_end(&mut self) -> String {
        let mut last = String::new();
        for _ in 0..MOST_LIVES {
            if self.is_over() {
                return last;
            }
            last = match self.rig.status() {
                Some(_) if !self.rig.events().is_empty() => self.go_on().await.text,
                // Killed while planning, or before the first event was written.
                _ => self.rig.run(&self.begins()).await.text,
            };
        }
        assert!(self.is_over(), "{}: no end in sight: {last}", self.story);
        last
    }

    async fn go_on(&mut self) -> Output {
        let args = self.goes_on();
        let requests = self.moments().end() - self.moments().start();
        match self.dice.random_range(0..6) {
            0..=2 => {
                let at = self.dice.random_range(1..=requests / 2);
                self.killed(args, at).await
            }
            3 if args[0] == "resume" => {
                let after = format!("crash-after:{}", self.dice.random_range(1..20));
                self.story.push_str(&format!("; resume with {after}"));
                self.rig.run(&[&args[..], &["--inject", &after]].concat()).await
            }
            _ => {
                self.story.push_str(&format!("; {}", args[0]));
                self.rig.run(&args).await
            }
        }
    }

    /// Everything that must hold in the end.
    async fn see(&self, last: &str) {
        let (rig, story) = (&self.rig, format!("{}: {last}", self.story));
        let status = rig.status().unwrap();
        match self.way {
            Way::Run => rig.assert_evacuated(&story),
            Way::RollsBack | Way::RolledBackLater => {
                assert_eq!(status, RunStatus::RolledBack, "{story}");
                assert_eq!(asked(rig), self.usual.asked, "{story}");
                self.assert_places(&story).await;
            }
            Way::Abandon => {
                let given_up = matches!(status, RunStatus::Cancelled | RunStatus::Failed | RunStatus::Succeeded);
                assert!(given_up, "{story}: {status:?}");
                self.assert_half_way(&story);
            }
        }
        let (taken, left) = rig.lock_calls();
        assert!(taken >= 1 && taken == left, "{story}: the lock was taken {taken} times and given back {left} times");
        let shown = rig.run(&["status", "last", "-o", "json"]).await;
        let word = format!("\"status\": \"{}\"", status.as_str());
        assert!(shown.text.contains(&word), "{story}: {}", shown.text);
        let verified = rig.run(&["audit", "verify"]).await;
        assert_eq!(verified.code, Some(0), "{story}: {}", verified.text);
    }

    /// All guests are where they began, those of the HA manager after its next rounds.
    async fn assert_places(&self, story: &str) {
        for _ in 0..200 {
            if places(&self.rig) == self.usual.places {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(places(&self.rig), self.usual.places, "{story}");
    }

    /// Each guest is where it was or where it was asked to go, once, and free.
    fn assert_half_way(&self, story: &str) {
        let (places, migrations) = (places(&self.rig), self.rig.migrations());
        for (vmid, targets) in &migrations {
            assert_eq!(targets.len(), 1, "{story}: guest {vmid} was asked for again: {targets:?}");
            let [node, _, lock] = &places[&vmid.to_string()];
            assert_eq!((node.as_str(), lock), (Some(targets[0].as_str()), &Value::Null), "{story}: guest {vmid}");
        }
        assert!(self.rig.maintenance_asked().0 <= 1, "{story}");
    }
}
