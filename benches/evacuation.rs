//! Planning an evacuation in the lab, end to end, and the placement alone.
//!
//! The lab runs in this process, so its own time is in the figures; its answers take as long as it makes them take.

mod tools;

use std::path::PathBuf;
use std::time::Instant;

use runbook::app::lab::{House, LabRequest};
use runbook::app::open::OpenSite;
use runbook::app::planning::{self, Request};
use runbook::app::{Settings, books};
use runbook::placement::evacuation::{self, Facts};
use runbook::secrets::Redactor;
use tools::{best, heading, ms, row};

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let mut facts = Vec::new();
    heading("plan of an evacuation", &["open, ms", "plan, ms", "requests", "steps"]);
    for (scenario, node) in [("three-node", "pve2"), ("fleet", "pve01")] {
        facts.push((format!("{scenario}, {node}"), runtime.block_on(plan(scenario, node))));
    }
    heading("placement alone", &["ms", "guests", "nodes", "moves"]);
    for (name, facts) in facts {
        place(&name, &facts);
    }
}

/// Plans in a fresh lab; what the planner was told of the site.
async fn plan(scenario: &str, node: &str) -> Facts {
    let mut request = LabRequest::new(scenario);
    request.sshd = false;
    let house = House::start(&request, None).await.expect("a lab");
    let mut settings = settings();
    house.settle_in(&mut settings);
    let redactor = Redactor::new();
    let start = Instant::now();
    let site = OpenSite::open(&settings, &redactor).await.unwrap_or_else(|error| panic!("{}", error.message));
    let opened = start.elapsed();
    let before = house.ledger().len();
    let book = books::find(&settings, "node-evacuation").expect("the shipped runbook");
    let set = vec![("allow_stop".to_owned(), "true".to_owned())];
    let request = Request { args: vec![node.to_owned()], set, cluster: None };
    let start = Instant::now();
    let plan = planning::plan(&site, &book, &request).await.expect("a plan");
    let took = start.elapsed();
    let asked = house.ledger().len() - before;
    assert!(house.ledger().iter().all(|entry| !entry.mutating), "a plan changes nothing");
    let failed = plan.failure.map_or(String::new(), |f| format!(" ({})", f.failure.cause));
    row(
        &format!("{scenario}, {node}{failed}"),
        &[format!("{:.0}", ms(opened)), format!("{:.0}", ms(took)), asked.to_string(), plan.steps.len().to_string()],
    );
    let key = format!("proxmox/placement/{node}").as_str().into();
    let facts = site.source.fetch(&key).await.expect("facts");
    drop(site);
    house.leave().await;
    serde_json::from_value(facts).expect("facts of the planner's own shape")
}

fn settings() -> Settings {
    let cwd = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    Settings { cwd, actor: "bench@here".into(), ..Settings::default() }
}

fn place(name: &str, facts: &Facts) {
    let settings = evacuation::Settings { allow_stop: true, ..evacuation::Settings::default() };
    let (time, placed) = best(|| evacuation::plan(facts, &settings));
    let moves = placed
        .map_or_else(|refused| format!("none: {} blocked", refused.blockers.len()), |p| p.moves.len().to_string());
    row(name, &[format!("{:.2}", ms(time)), facts.guests.len().to_string(), facts.nodes.len().to_string(), moves]);
}
