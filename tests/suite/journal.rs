//! The journal as its keeper meets it: handed over, frozen, unlocked, pruned, proved; of another version, or damaged.

use std::path::PathBuf;

use rusqlite::Connection;

use crate::harness::{Lab, World};

const CRASH: &str = "runbook run evacuate pve2 --apply --yes --progress quiet --inject crash-after:14 >/dev/null 2>&1";

fn tiny() -> Lab<'static> {
    Lab { scenario: "tiny", ..Lab::default() }
}

/// A state folder below the working folder, as `XDG_STATE_HOME=$PWD/NAME` has it.
fn database(world: &World, name: &str) -> PathBuf {
    world.path(name).join("runbook/journal.db")
}

fn sql(world: &World, name: &str, text: &str) {
    Connection::open(database(world, name)).unwrap().execute_batch(text).unwrap();
}

/// A journal in `state-a` with one run that was interrupted.
fn interrupted() -> World {
    let mut world = World::new();
    let state = world.path("state-a");
    world.set("XDG_STATE_HOME", state);
    // The lab has a state folder of its own, unless it is told.
    world.lab(&tiny(), &format!("export XDG_STATE_HOME=$PWD/state-a; {CRASH}; runbook runs")).says(&["interrupted"]);
    // What this run did is no part of what a test asks about.
    std::fs::remove_file(world.path("ledger")).unwrap();
    world
}

#[test]
fn a_run_is_handed_over_and_gone_on_with_on_another_machine() {
    let world = World::new();
    let script = format!(
        "export XDG_STATE_HOME=$PWD/here; {CRASH}\n\
         runbook export last --to copy.jsonl && runbook export last --hand-over --to run.jsonl || exit 90\n\
         runbook resume last --yes; echo here $?; runbook lock list; runbook runs\n\
         export XDG_STATE_HOME=$PWD/there\n\
         runbook import copy.jsonl; runbook resume last --yes; echo copy $?\n\
         runbook import run.jsonl || exit 91\n\
         runbook import run.jsonl; echo again $?; runbook lock list; runbook resume last --yes --progress quiet\n\
         echo there $?; runbook audit verify; runbook export last --to back.jsonl\n\
         export XDG_STATE_HOME=$PWD/here; runbook import back.jsonl; runbook audit verify; runbook audit log\n\
         sed '3s/\"at\":[0-9]*/\"at\":7/' run.jsonl >bad.jsonl; head -n 5 run.jsonl >cut.jsonl; head -c 1000 run.jsonl >torn.jsonl\n\
         export XDG_STATE_HOME=$PWD/third; for f in bad cut torn none; do runbook import $f.jsonl; echo $f $?; done; runbook runs"
    );
    let got = world.lab(&tiny(), &script);
    got.exits(0).says(&[
        "here 6",
        "elsewhere",
        "At the site, held from elsewhere",
        "copy 6",
        "again 1",
        "there 0",
        "handed it over to another machine",
    ]);
    got.says(&["site/lab.example", "interrupted", "Done: node-evacuation", "bad 1", "cut 1", "torn 1", "none 5"]);
    got.complains(&[
        "was handed over to another machine",
        "is a copy that",
        "it exists already",
        "was changed: its hash is",
        "it is not whole: it has 4 events",
        "No runs yet",
    ]);
    assert!(!got.stdout.contains("BROKEN"), "{}", got.stdout);
    let mut asked = world.changes();
    asked.sort();
    let all = asked.len();
    asked.dedup();
    assert_eq!(asked.len(), all, "something was asked for twice: {asked:#?}");
    assert!(asked.iter().any(|c| c.ends_with("/migrate")), "{asked:#?}");
}

#[test]
fn a_run_that_was_handed_over_is_taken_back_by_force() {
    let world = World::new();
    let script = format!(
        "{CRASH}; runbook export last --hand-over >run.jsonl; runbook resume last --yes --force --progress quiet; echo ended $?\n\
         runbook audit log; runbook audit verify; runbook export last --hand-over; echo over $?"
    );
    let got = world.lab(&tiny(), &script);
    got.exits(0).says(&["ended 0", "took it back by force", "over 6"]).complains(&["is over: succeeded"]);
}

#[test]
fn a_frozen_site_is_planned_and_not_changed() {
    let world = World::new();
    let script = "runbook unfreeze; echo none $?; runbook freeze --reason 'holiday until Monday'; runbook freeze --reason more; echo twice $?\n\
                  runbook plan evacuate pve2 >/dev/null; echo plan $?; runbook plan evacuate pve2 --out p >/dev/null\n\
                  runbook run evacuate pve2 --apply --yes; echo run $?; runbook apply p --yes; echo apply $?\n\
                  runbook audit log; runbook runs";
    let got = world.lab(&tiny(), script);
    got.says(&["none 5", "twice 6", "plan 0", "run 6", "apply 6", "froze site lab.example: holiday until Monday"]);
    got.complains(&[
        "is frozen since",
        "holiday until Monday [site::frozen]",
        "`runbook unfreeze` ends it",
        "No runs yet",
    ]);
    world.nothing_changed();
    let script = format!(
        "{CRASH}; runbook freeze --reason stop; runbook resume last --yes; echo frozen $?; runbook unfreeze\n\
         runbook resume last --yes --progress quiet; echo free $?"
    );
    World::new().lab(&tiny(), &script).says(&["frozen 6", "free 0"]);
}

#[test]
fn a_lock_is_broken_with_a_reason_and_got_back_by_its_run() {
    let world = World::new();
    let script = format!(
        "{CRASH}; runbook lock list; runbook lock break lab.example --reason burnt; echo asked $?\n\
         runbook lock break lab.example; echo reasonless $?; runbook lock break nosuch --reason x --yes; echo none $?\n\
         runbook lock break lab.example --reason 'host burnt' --yes; echo broken $?; runbook lock list -o json; runbook logs last | tail -1\n\
         runbook resume last --yes --progress quiet; echo ended $?; runbook audit verify; runbook audit log"
    );
    let got = world.lab(&tiny(), &script);
    got.exits(0).says(&["asked 6", "reasonless 2", "none 5", "broken 0", "\"locks\": []", "ended 0"]);
    got.says(&[
        "the lock site/lab.example was taken from this run: host burnt",
        "took the lock site/lab.example from run",
    ]);
    got.complains(&["there is no terminal to ask at", "--yes breaks the lock", "held: site/lab.example"]);
}

#[test]
fn a_lock_of_a_living_process_is_not_broken() {
    let world = World::new();
    let script = "runbook run evacuate pve2 --apply --yes >out 2>err & first=$!\n\
                  for i in $(seq 600); do grep -q ' begins' err && break; sleep 0.05; done\n\
                  runbook lock list; runbook lock break lab.example --reason x --yes; echo break $?\n\
                  runbook export last --hand-over; echo export $?; wait $first; echo first $?";
    let got = world.lab(&Lab { time_scale: 60, ..Lab::default() }, script);
    got.exits(0)
        .says(&["running", "runbook status", "break 8", "export 8", "first 0"])
        .complains(&["has had it since"]);
}

#[test]
fn pruning_is_a_dry_run_first_and_leaves_what_is_open() {
    let world = World::new();
    let script = format!(
        "runbook --lab=empty-node run evacuate pve2 --apply --yes >/dev/null 2>&1; runbook run evacuate pve2 --apply --yes --progress quiet >/dev/null 2>&1; {}\n\
         runbook runs prune; runbook runs prune --older-than 0s; runbook runs prune --older-than 0s --apply; runbook runs; runbook audit log\n\
         runbook runs prune --older-than soon; echo bad $?; runbook runs --limit 1 >/dev/null; echo list $?",
        CRASH.replace("pve2", "pve1")
    );
    let got = world.lab(&tiny(), &script);
    got.exits(0).says(&["interrupted", "deleted what was over for long", "bad 2", "list 0"]);
    got.complains(&[
        "Nothing to delete.",
        "DRY RUN: nothing was deleted. 1 run,",
        "Deleted 1 run,",
        "is old and stays: not over",
    ]);
}

/// A journal that the version before wrote, up to the first thing that a run would have changed.
#[test]
fn a_run_of_the_version_before_is_read_proved_and_gone_on_with() {
    let world = World::new();
    std::fs::create_dir_all(world.path("old/runbook")).unwrap();
    sql(&world, "old", include_str!("../data/journal-v1.sql"));
    let script = "export XDG_STATE_HOME=$PWD/old; runbook audit verify; echo proved $?; runbook status last\n\
                  runbook resume last --yes --progress quiet; echo ended $?; runbook audit verify; runbook export last --to run.jsonl";
    let got = world.lab(&tiny(), script);
    got.exits(0).says(&["proved 0", "interrupted", "ended 0", "Done: node-evacuation"]);
    assert!(world.read("run.jsonl").starts_with(r#"{"runbook_export":1,"format":2,"#), "our events are in it now");
    assert_eq!(world.changes().iter().filter(|c| c.ends_with("/migrate")).count(), 3, "{:#?}", world.changes());
}

#[test]
fn a_journal_of_a_newer_version_is_read_and_not_written() {
    let world = interrupted();
    sql(
        &world,
        "state-a",
        "INSERT INTO events SELECT id, events + 1, 5, 'engine', 'move[104]', 1, 'teleported', '{\"fact\":{\"teleported\":{}}}', zeroblob(32) FROM runs; PRAGMA user_version = 9",
    );
    world.runbook(&["runs"]).exits(0).says(&["interrupted"]);
    world.runbook(&["status"]).exits(0).says(&["node-evacuation"]);
    world.runbook(&["logs"]).exits(0).says(&["teleported of step move[104]: written by a newer runbook"]);
    world.runbook(&["lock", "list"]).exits(0);
    let by = ["journal.db", "it has version 9, and this runbook writes up to version", "can be read, not written"];
    let script = "export XDG_STATE_HOME=$PWD/state-a; runbook lock break lab.example --reason x --yes; echo break $?\n\
                  runbook freeze --reason x; echo freeze $?; runbook resume last --yes; echo resume $?; runbook runs prune --older-than 0s --apply; echo prune $?";
    let got = world.lab(&tiny(), script);
    got.says(&["break 3", "freeze 3", "resume 3", "prune 3"]).complains(&by);
    world.nothing_changed();
}

#[test]
fn a_run_of_a_newer_format_is_read_as_far_as_it_is_understood() {
    let world = interrupted();
    let change = "UPDATE events SET kind = 'beamed', payload = '{\"fact\":{\"beamed\":{}}}' WHERE seq = 14; UPDATE runs SET format = 9";
    sql(&world, "state-a", change);
    world.runbook(&["logs"]).exits(0).says(&["beamed", "written by a newer runbook"]);
    world.runbook(&["audit", "verify"]).exits(1).says(&["BROKEN", "event 14", "beamed has the hash"]);
    let got = world.lab(&tiny(), "export XDG_STATE_HOME=$PWD/state-a; runbook resume last --yes; echo resume $?");
    got.says(&["resume 3"]).complains(&["its events have version 9, and this runbook goes on with runs up to version"]);
    world.nothing_changed();
}

#[test]
fn an_event_that_was_edited_is_named() {
    let world = interrupted();
    sql(&world, "state-a", "UPDATE events SET actor = 'nobody' WHERE seq = 3");
    let got = world.runbook(&["audit", "verify"]);
    got.exits(1).says(&["BROKEN", "event 3: evaluated has the hash", "is what it and the event before it give"]);
    let json = world.runbook(&["audit", "verify", "last", "-o", "json"]).exits(1).json();
    assert_eq!((&json["ok"], &json["runs"][0]["broken"]["seq"]), (&false.into(), &3.into()));
    world.runbook(&["export", "last"]).exits(1).without_data().complains(&["journal::tampered"]);

    let world = interrupted();
    sql(&world, "state-a", "UPDATE runs SET status = 'succeeded'");
    world.runbook(&["audit", "verify"]).exits(1).says(&["the run's record says succeeded, and its events say running"]);
}

#[test]
fn a_damaged_file_is_said_with_what_to_do_and_nothing_is_begun() {
    let world = interrupted();
    let path = database(&world, "state-a");
    let mut bytes = runbook::sys::files::read_bytes(&path).unwrap();
    // The first bytes of every page but that of the schema.
    bytes.chunks_mut(4096).skip(1).for_each(|page| page[..16].fill(0xA5));
    runbook::sys::files::write_private(&path, &bytes).unwrap();
    let script = "export XDG_STATE_HOME=$PWD/state-a; runbook run evacuate pve2 --apply --yes; echo run $?; runbook runs; echo runs $?; runbook audit verify; echo verify $?";
    let got = world.lab(&tiny(), script);
    got.says(&["run 3", "runs 3", "verify 3"]);
    got.complains(&["journal.db", "malformed", "`runbook audit verify` tells which runs are whole", "restore a copy"]);
    world.nothing_changed();

    // A page of events alone: the lists are whole, and the run is known to be broken.
    let world = interrupted();
    let path = database(&world, "state-a");
    let mut bytes = runbook::sys::files::read_bytes(&path).unwrap();
    // Wherever it is: pages keep what was moved out of them.
    let places: Vec<usize> = (0..bytes.len() - 13).filter(|at| &bytes[*at..at + 13] == b"lock_granted\"").collect();
    places.iter().for_each(|at| bytes[*at..at + 4].fill(b'X'));
    runbook::sys::files::write_private(&path, &bytes).unwrap();
    world.runbook(&["runs"]).exits(0).says(&["interrupted"]);
    world.runbook(&["audit", "verify"]).exits(1).says(&["BROKEN", "event 2"]);
    let got = world.lab(&tiny(), "export XDG_STATE_HOME=$PWD/state-a; runbook resume last --yes; echo resume $?");
    got.says(&["resume 1"]).complains(&["journal::"]);
    world.nothing_changed();
}
