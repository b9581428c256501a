//! The machine, model-checked.

mod cases;
mod graphs;
mod mark;
mod moves;
mod rules;
mod search;
mod world;

use std::io::Write;

use search::{Case, Tally, explore};

fn check(what: &str, cases: impl IntoIterator<Item = Case>) -> Tally {
    let mut total = Tally::default();
    let verbose = std::env::var_os("MODEL").is_some();
    for case in cases {
        let began = std::time::Instant::now();
        let tally = explore(&case);
        if verbose {
            let _ = writeln!(std::io::stderr(), "{} {:?}: {tally}", case.name, began.elapsed());
        }
        total.add(&tally);
    }
    // Not through the harness, which would keep it to itself.
    let _ = writeln!(std::io::stderr(), "model check, {what}: {total}");
    total
}

#[test]
fn plain_graphs() {
    let tally = check("plain graphs", cases::plain());
    assert!(tally.states > 1_000, "{tally}");
}

#[test]
fn graphs_with_a_scope() {
    let tally = check("graphs with one scope", cases::scoped(1));
    assert!(tally.states > 1_000, "{tally}");
}

#[test]
fn graphs_with_two_scopes() {
    let tally = check("graphs with two scopes", cases::scoped(2));
    assert!(tally.states > 1_000, "{tally}");
}

#[test]
fn features_by_pairs() {
    let tally = check("features by pairs", cases::features());
    assert!(tally.states > 1_000, "{tally}");
}
