//! Ordeals: runbooks that work on a Talos cluster, with each fault on each object that it can hit, at each place of the run,
//! with and without a crash of the runner there; and two faults at once. The lab's witness must stay silent, and the end
//! must be what the machines really are. docs/decisions/026.
//!
//! `make ordeal` makes all of them; `make test` a choice that has each kind of fault at each kind of place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use runbook::app::rehearse::{Blow, Endured, Ordeal, Scenery, Stroke};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// `ORDEAL=all` makes all; `ORDEAL=20` that many of each kind at each kind of place; `ORDEAL=etcd-alarm` those with this
/// text in their name, `ORDEAL=etcd-alarm@20c` a single one.
fn wanted() -> Option<String> {
    std::env::var("ORDEAL").ok().filter(|text| !text.is_empty())
}

fn upgrade(talos: Option<&str>, to: &str) -> Scenery {
    let set = [("snapshots", "/backups"), ("bare", "true"), ("emptydir", "true"), ("within", "4m")];
    Scenery {
        runbook: "talos-upgrade".into(),
        scenario: "three-node".into(),
        cluster: "prod".into(),
        args: vec![to.into()],
        set: set.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        talos: talos.map(str::to_owned),
    }
}

async fn ordeal(scenery: &Scenery) -> Arc<Ordeal> {
    let ordeal = Ordeal::of(scenery).await;
    Arc::new(ordeal.unwrap_or_else(|e| panic!("{}: {e}: {}", scenery.runbook, e.details.join("\n"))))
}

/// Each blow at each place, with and without a crash. Where the runner goes on, only a place counts after which something
/// happens outside.
fn all(ordeal: &Ordeal) -> Vec<Stroke> {
    let mut all = Vec::new();
    for blow in ordeal.blows() {
        all.push(Stroke { place: None, blows: vec![blow.clone()], crash: false });
        for (place, of) in ordeal.places().iter().enumerate() {
            for crash in [false, true] {
                if crash || of.apart {
                    all.push(Stroke { place: Some(place), blows: vec![blow.clone()], crash });
                }
            }
        }
    }
    all
}

fn name(stroke: &Stroke) -> String {
    let faults: Vec<&str> = stroke.blows.iter().map(|blow| blow.fault.as_str()).collect();
    let place = stroke.place.map_or_else(|| "start".to_owned(), |place| place.to_string());
    format!("{}@{place}{}", faults.join("+"), if stroke.crash { "c" } else { "" })
}

/// A choice without chance: each kind of fault at each kind of place, with and without a crash, the places spread over the
/// run and over the machines by what comes next in a sequence.
fn choice(ordeal: &Ordeal, all: Vec<Stroke>, each: usize) -> Vec<Stroke> {
    let mut kinds: BTreeMap<(String, &str, bool), Vec<Stroke>> = BTreeMap::new();
    for stroke in all {
        // Where an act begins, is under way and is over; all else is one kind.
        let phase = match stroke.place.map_or("start", |place| ordeal.places()[place].phase) {
            phase @ ("start" | "intent" | "checkpoint" | "finished") => phase,
            _ => "other",
        };
        let fault = stroke.blows.iter().map(kind).collect::<Vec<_>>().join("+");
        kinds.entry((fault, phase, stroke.crash)).or_default().push(stroke);
    }
    let mut chosen = Vec::new();
    for (n, strokes) in kinds.into_values().enumerate() {
        for one in 0..each.min(strokes.len()) {
            // Steps of the golden section go round evenly, however many there are.
            let at = ((n * each + one) as f64 * 0.618_033_988_75).fract();
            chosen.push(strokes[(at * strokes.len() as f64) as usize].clone());
        }
    }
    chosen
}

fn kind(blow: &Blow) -> &str {
    // A request's fault is its own kind for each request.
    if blow.hits.is_empty() { &blow.fault } else { blow.kind }
}

/// Runs them, some at once.
async fn endure(ordeal: &Arc<Ordeal>, strokes: Vec<Stroke>) -> Vec<(String, Endured)> {
    let (room, mut going) = (Arc::new(Semaphore::new(2)), JoinSet::new());
    for stroke in strokes {
        let (ordeal, room) = (ordeal.clone(), room.clone());
        going.spawn(async move {
            let _place = room.acquire_owned().await;
            let at = stroke.place.map_or("the start", |place| ordeal.places()[place].at.as_str());
            let name = format!("{} ({at})", name(&stroke));
            let endured = ordeal.run(&stroke).await.unwrap_or_else(|e| panic!("{name}: {e}"));
            (name, endured)
        });
    }
    let mut all = going.join_all().await;
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

/// How many were made, and how they ended.
#[allow(clippy::disallowed_macros, reason = "the figures are shown with --nocapture")]
fn judged(what: &str, all: &[(String, Endured)]) -> BTreeMap<String, usize> {
    let mut ends = BTreeMap::new();
    let mut bad = Vec::new();
    for (name, endured) in all {
        let how: Vec<&str> =
            endured.statuses.iter().map(|status| status.map_or("refused", |status| status.as_str())).collect();
        *ends.entry(how.join(", then ")).or_insert(0) += 1;
        if !endured.findings.is_empty() {
            bad.push(format!("{name}: {}\n  {}\n", how.join(", then "), endured.findings.join("\n  ")));
        }
    }
    println!("{what}: {} ordeals, {} with findings: {ends:#?}", all.len(), bad.len());
    if let (1, [(_, endured)]) = (bad.len(), all) {
        println!("{}", endured.story);
    }
    assert!(bad.is_empty(), "{what}: {} of {} ordeals:\n{}", bad.len(), all.len(), bad.join("\n"));
    ends
}

fn chosen(ordeal: &Ordeal, all: Vec<Stroke>) -> Vec<Stroke> {
    match wanted().as_deref().map(|text| (text, text.parse())) {
        None => choice(ordeal, all, 1),
        Some(("all", _)) => all,
        Some((_, Ok(each))) => choice(ordeal, all, each),
        Some((text, Err(_))) => {
            let kind = format!("{text}:");
            all.into_iter().filter(|stroke| name(stroke) == text || name(stroke).starts_with(&kind)).collect()
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_meets_every_fault_at_every_place() {
    let ordeal = ordeal(&upgrade(None, "1.12.11")).await;
    let kinds: BTreeSet<&str> = ordeal.blows().iter().map(kind).collect();
    assert!(kinds.len() >= 14, "{kinds:?}");
    let strokes = chosen(&ordeal, all(&ordeal));
    assert!(wanted().is_some() || strokes.len() >= kinds.len() * 7, "{} ordeals", strokes.len());
    let ends = judged("talos-upgrade", &endure(&ordeal, strokes).await);
    let of = |how: &str| ends.keys().any(|ended| ended.starts_with(how));
    assert!(wanted().is_some() || of("failed") && of("succeeded"), "{ends:?}");
}

/// Between two patches of Talos 1.13 talosctl takes the steps: the image is written in one, the reboot is another, and what
/// goes wrong in between is met there.
#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_in_steps_meets_them_too() {
    let ordeal = ordeal(&upgrade(Some("1.13.0"), "1.13.9")).await;
    let mut strokes = all(&ordeal);
    let at = |stroke: &Stroke| stroke.place.map_or("", |place| ordeal.places()[place].at.as_str());
    strokes.retain(|stroke| at(stroke).ends_with("upgrade: checkpoint") || at(stroke).ends_with("upgrade: intent"));
    let strokes = chosen(&ordeal, strokes);
    assert!(wanted().is_some() || strokes.len() >= 40, "{} ordeals", strokes.len());
    judged("talos-upgrade in steps", &endure(&ordeal, strokes).await);
}

/// A node that comes back to an etcd without a leader is not what is ill: those that are, are named.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_waits_for_a_leader_says_who_else_is_ill() {
    let ordeal = ordeal(&upgrade(None, "1.12.11")).await;
    let boots = "hop[1.12.11]/node[cp1]/out/upgrade: checkpoint";
    // It was asked for, and does not boot yet: the first of its checkpoints is before that.
    let place = ordeal.places().iter().rposition(|place| place.at == boots).unwrap();
    let is = |fault: &&Blow| ["etcd-unhealthy:cp2", "etcd-learner:cp3"].contains(&fault.fault.as_str());
    let blows: Vec<Blow> = ordeal.blows().iter().filter(is).cloned().collect();
    assert_eq!(blows.len(), 2);
    let all = endure(&ordeal, vec![Stroke { place: Some(place), blows, crash: false }]).await;
    judged("no leader", &all);
    let words = all[0].1.story.split_whitespace().collect::<Vec<_>>().join(" ");
    for word in [
        "cp1: etcd says etcdserver: no leader",
        "cp2: nothing is known of its etcd",
        "cp3: nothing is known of its etcd",
    ] {
        assert!(words.contains(word), "{word}: {}", all[0].1.story);
    }
}

/// Two faults at once, on two machines: more than the cluster can bear, often enough. The run stops, and the witness is
/// silent.
#[tokio::test(flavor = "multi_thread")]
async fn two_faults_at_once_stop_it() {
    let ordeal = ordeal(&upgrade(None, "1.12.11")).await;
    let ills: Vec<&Blow> = ordeal.blows().iter().filter(|blow| !blow.hits.is_empty()).collect();
    let acting = |place: &usize| matches!(ordeal.places()[*place].phase, "intent" | "checkpoint" | "finished");
    let places: Vec<usize> = (0..ordeal.places().len()).filter(acting).collect();
    let mut storms = Vec::new();
    for (n, one) in ills.iter().enumerate() {
        for other in ills[n + 1..].iter().filter(|other| !other.hits.iter().any(|hit| one.hits.contains(hit))) {
            let blows = || vec![(*one).clone(), (*other).clone()];
            for place in &places {
                let crash = storms.len() % 2 == 0 || !ordeal.places()[*place].apart;
                storms.push(Stroke { place: Some(*place), blows: blows(), crash });
            }
        }
    }
    let strokes = match wanted().as_deref() {
        // A choice of the pairs of kinds: the places and the machines go round.
        None => choice(&ordeal, storms, 1).into_iter().step_by(6).collect(),
        Some(_) => chosen(&ordeal, storms),
    };
    assert!(wanted().is_some() || strokes.len() >= 20, "{} storms", strokes.len());
    judged("storms", &endure(&ordeal, strokes).await);
}
