//! Acts on a Kubernetes cluster × what its API can do to a request, as kubectl sees it: nothing is done twice, nothing that
//! was refused counts as done, and a doubt has its evidence. How uncordon fares the ordeals show: its node was cordoned by
//! the same run.

use std::collections::BTreeMap;
use std::sync::Arc;

use runbook::app::rehearse::{Laid, Trial, When};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::super::rig::torture;

struct Row {
    action: &'static str,
    given: &'static [(&'static str, &'static str)],
    /// What it sends that changes something, and what it reads.
    changes: &'static [&'static str],
    reads: &'static [&'static str],
}

const ROWS: [Row; 2] = [
    Row {
        action: "kubernetes.cordon",
        given: &[("cluster", "prod"), ("node", "w1")],
        changes: &["PUT /api/v1/nodes/*"],
        reads: &["GET /api/v1/nodes/*"],
    },
    Row {
        action: "kubernetes.drain",
        given: &[("cluster", "prod"), ("node", "w2"), ("bare", "true"), ("emptydir", "true"), ("within", "60s")],
        changes: &["PUT /api/v1/nodes/*", "POST /api/v1/namespaces/*/pods/*/eviction"],
        reads: &["GET /api/v1/pods"],
    },
];

/// Refused, failed, overloaded, late, in conflict; before and after it was carried out; no answer at all.
const OF_CHANGES: [&str; 13] = [
    "reset-before",
    "reset-after",
    "hang",
    "500",
    "503",
    "504",
    "409",
    "429",
    "401",
    "403",
    "500-after",
    "503-after",
    "504-after",
];
const OF_READS: [&str; 4] = ["reset-before", "503", "403", "hang"];

/// What stands for its sort where time is short: of readings, and of what happens every time.
const SORTS: [&str; 3] = ["503", "403", "hang"];

fn columns(row: &Row) -> Vec<Laid> {
    let mut all = Vec::new();
    for (places, once, read) in [(row.changes, &OF_CHANGES[..], false), (row.reads, &OF_READS[..], true)] {
        for (place, fault) in places.iter().flat_map(|place| once.iter().map(move |fault| (place, fault))) {
            let sort = torture() > 1 || SORTS.contains(fault);
            // A path that ends with a star of its own takes the count after it.
            let counts = [("*1", !read || sort), ("", sort)];
            let of = |count: &str| Laid { fault: format!("{fault}:{place}{count}"), when: When::AtOnce };
            all.extend(counts.iter().filter(|(_, asked_for)| *asked_for).map(|(count, _)| of(count)));
        }
    }
    // While one is worked on: CELL=hang:PUT.
    let only = std::env::var("CELL").unwrap_or_default();
    all.retain(|laid| laid.fault.starts_with(&only));
    all
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::disallowed_macros, reason = "how many cells were run is shown with --nocapture")]
async fn acts_on_kubernetes_meet_every_fault_of_its_api() {
    let (mut ends, mut bad, mut run) = (BTreeMap::new(), Vec::new(), 0);
    let room = Arc::new(Semaphore::new(2));
    for row in &ROWS {
        let given: Vec<(String, String)> = row.given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let trial = Trial::of("three-node", &[], None, row.action, &given).await;
        let trial = Arc::new(trial.unwrap_or_else(|e| panic!("{}: {e}: {:?}", row.action, e.details)));
        let mut going = JoinSet::new();
        for laid in columns(row) {
            let (trial, room) = (trial.clone(), room.clone());
            let name = format!("{} × {}", row.action, laid.fault);
            going.spawn(async move {
                let _place = room.acquire_owned().await;
                let tried = trial.run(vec![laid]).await.unwrap_or_else(|e| panic!("{name}: {e}"));
                (name, tried)
            });
        }
        for (name, tried) in going.join_all().await {
            run += 1;
            let how: Vec<&str> = tried.statuses.iter().map(|status| status.as_str()).collect();
            if !tried.findings.is_empty() {
                bad.push(format!(
                    "{name}: {}\n  {}\n{}",
                    how.join(", then "),
                    tried.findings.join("\n  "),
                    tried.story
                ));
            }
            *ends.entry(how.join(", then ")).or_insert(0) += 1;
        }
    }
    println!("{run} cells of Kubernetes: {ends:?}");
    assert!(bad.is_empty(), "{} of {run} cells:\n{}", bad.len(), bad.join("\n"));
    if std::env::var("CELL").is_err() {
        assert_eq!(run, if torture() > 1 { 94 } else { 60 }, "{ends:?}");
        assert!(ends["succeeded"] > 0 && ends["failed"] > 0, "{ends:?}");
    }
}
