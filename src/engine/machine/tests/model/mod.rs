//! The machine, model-checked: every state that it can come to, not a sample of them.
//!
//! A case is a graph and a number of *disturbances*: things that do not go as one would wish, at any moment, in any
//! combination. Each is one of: another end of an attempt than success (refused, transient, unchanged, answer lost,
//! request lost, half done, half done and unheard), a recovery that cannot tell, an expression that comes out
//! otherwise, a check that does not hold, a question declined, a retry decided on, the lock refused or lost, a
//! deadline passed, a signal (cancel, cancel twice, cancel with rollback, pause, abandon, roll back, resume too
//! early; roll back of a run that is over), a crash with each set of requests under way that the world has taken,
//! and each first word to the process that takes over. All else is free and explored in every order: the answers to
//! all that is outstanding, each decision of a person, the resuming of a parked run, what is found of a step in doubt.
//!
//! In every state: all that was ever answered is told again and changes nothing; the counters are recounted; what is
//! outstanding is what the steps await; widths and lanes are kept. Of every command: what a step needs is there,
//! nothing new begins while nothing may, the lock is held, undos and `finally` keep their order. Of every request:
//! it was not accepted before. Of every end: the lock is given back, the word fits what became of the steps, and the
//! switches of the world are as the outcomes say. From every state the run, left alone, comes to an end, whatever
//! comes first. For one end in 64 the log is folded anew and gives the live state.
//!
//! A request may say a handle, and a recovery too, before it ends (`Feature::Handle`).
//!
//! What is covered exhaustively (`make test`; in brackets with `TORTURE`):
//! - all needs of up to four steps without scopes, under each policy of the run; 3 disturbances for one step, 2 for
//!   two, 1 for more [one more];
//! - every shape of up to four steps in one scope and in two, side by side and one in the other; 1 [2, with four
//!   steps 1]. Of four steps in two scopes every order of an undisturbed run, and 1 in every eighth graph (in each with
//!   `MODEL_EVERY=1`, see `make model`). A scope is of
//!   one of six kinds (group, fan-outs in sequence, side by side and in waves with gates, calls with and without
//!   requirements and `finally`), under one of six policies (none, stop, continue, rollback, ask, optional), in a run
//!   under one of four. One scope round or beside up to two [three] steps is of all kinds with all policies [and so are two
//!   with up to two steps]. Else they go by turns: each shape once [two scopes twice, one four times], and over the
//!   shapes of one size (steps and scopes) each of the 144 combinations of kind, policy and the run's policy at least
//!   once, which is asserted. Fan-outs are not given to shapes that would have too many states with them: see `scopes::MOST`;
//! - each feature of a step or of the run alone, 2 [3], and each pair of them in two steps, one after the other, and
//!   every third [each] side by side, 1 [2]: see `cases::Feature`.
//!
//! The end of a request is settled when it is told or when nobody is left to hear it; that loses no order that
//! anything could see. Fan-outs have two items. Texts and times are no part of a state, and of states that differ in
//! which of two twins is which one is visited: see `mark`.

mod cases;
mod graphs;
mod mark;
mod moves;
mod rules;
mod scopes;
mod search;
mod whole;
mod world;

use std::collections::HashSet;
use std::io::Write;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};

use search::{Apart, Case, Tally, explore};

fn check(what: &str, cases: impl IntoIterator<Item = Case>) -> Tally {
    let verbose = std::env::var_os("MODEL").is_some();
    let cases: Vec<Case> = cases.into_iter().collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut total = Tally::default();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let began = std::time::Instant::now();
            let tally = explore(case);
            if verbose {
                let _ = writeln!(std::io::stderr(), "{} {:?}: {tally}", case.name, began.elapsed());
            }
            total.add(&tally);
        }
        total
    };
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let mut total = Tally::default();
    std::thread::scope(|scope| {
        let working: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for thread in working {
            total.add(&thread.join().unwrap_or_else(|broken| std::panic::resume_unwind(broken)));
        }
    });
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
    let (cases, sizes) = scopes::scoped(1);
    let tally = check(&format!("graphs with one scope ({sizes})"), cases);
    assert!(tally.states > 1_000, "{tally}");
}

#[test]
fn graphs_with_two_scopes() {
    let (cases, sizes) = scopes::scoped(2);
    let tally = check(&format!("graphs with two scopes ({sizes})"), cases);
    assert!(tally.states > 1_000, "{tally}");
}

#[test]
fn features_by_pairs() {
    let tally = check("features by pairs", cases::features());
    assert!(tally.states > 1_000, "{tally}");
}

/// Telling states apart by what decides loses none of them: told apart by all that they hold, the search comes to many more
/// states of a case, of the very same marks; and in none of them is a rule broken.
#[test]
fn no_state_is_lost_by_its_mark() {
    let (mut by_mark, mut by_all) = (Tally::default(), Tally::default());
    for case in cases::small() {
        let (mut marks, mut all) = (HashSet::new(), HashSet::new());
        by_mark.add(&search::search(&case, Apart::ByMark, &mut |model| {
            marks.insert(model.fingerprint());
        }));
        by_all.add(&search::search(&case, Apart::ByAll, &mut |model| {
            all.insert(model.fingerprint());
        }));
        assert!(marks == all, "{}: {} states by their marks, {} by all", case.name, marks.len(), all.len());
    }
    let _ = writeln!(std::io::stderr(), "model check, marks: {} for {} states", by_mark.states, by_all.states);
    assert!(by_all.states > by_mark.states);
}
