//! What a person says to a run from elsewhere: the real binary, two processes, one run.

use serde_json::Value;

use super::harness::{Got, Lab, World, flat};

/// `t NAME args…` runs the program, keeps what it said in `NAME.out` and prints `NAME=CODE;`.
/// `begin args…` starts it in the background; `held` waits until the run stands in its middle; `heard TEXT` until the
/// run has said that; `over` lets it go on and waits for its end.
const WORDS: &str = r#"
t() { n=$1; shift; runbook "$@" >"$n.out" 2>&1; echo "$n=$?;"; }
begin() { rm -f go held; runbook --progress plain "$@" >run.out 2>&1 & p=$!; }
held() { i=0; until [ -e held ]; do i=$((i+1)); [ $i -lt 600 ] || { cat run.out; exit 99; }; sleep 0.05; done; }
heard() { i=0; until grep -q "$1" run.out; do i=$((i+1)); [ $i -lt 600 ] || { cat run.out; exit 98; }; sleep 0.05; done; }
over() { touch go; wait $p; echo "run=$?;"; }
"#;

const FINALLY: &str = "finally:\n  - {id: told, uses: local.run, with: {script: 'echo told >>told'}}\n";

/// A guest is moved, a person is asked, a file is made.
fn asks() -> String {
    format!(
        "runbook: asks\nschema: 1\ntarget: proxmox\nsteps:\n\
         \x20 - {{id: move, uses: proxmox.guest_migrate, with: {{guest: 104, to: pve1}}}}\n\
         \x20 - {{id: sure, confirm: {{message: Go on with the file?, show: [a file], type: please}}}}\n\
         \x20 - {{id: file, uses: local.run, with: {{argv: [touch, file], creates: file}}}}\n{FINALLY}"
    )
}

/// A guest is moved, then the run stands still until it is let go on.
fn holds() -> String {
    format!(
        "runbook: holds\nschema: 1\ntarget: proxmox\nsteps:\n\
         \x20 - {{id: move, uses: proxmox.guest_migrate, with: {{guest: 104, to: pve1}}}}\n\
         \x20 - id: hold\n    rollback: {{none: it only waits}}\n    uses: local.run\n    with:\n      script: |\n\
         \x20       touch held\n        while [ ! -e go ]; do sleep 0.02; done\n\
         \x20 - {{id: file, uses: local.run, with: {{argv: [touch, file], creates: file}}}}\n{FINALLY}"
    )
}

fn at(lab: &Lab<'_>, script: &str) -> (World, Got) {
    let world = World::new();
    world.write("asks.yaml", &asks()).write("holds.yaml", &holds());
    let got = world.lab(lab, &format!("{WORDS}\n{script}"));
    got.exits(0);
    (world, got)
}

fn tiny(script: &str) -> (World, Got) {
    at(&Lab { scenario: "tiny", ..Lab::default() }, script)
}

#[track_caller]
fn said(world: &World, name: &str, parts: &[&str]) {
    let text = flat(&world.read(&format!("{name}.out")));
    for part in parts {
        assert!(text.contains(&flat(part)), "{name} lacks {part:?}:\n{text}");
    }
}

#[track_caller]
fn silent(world: &World, name: &str, part: &str) {
    let text = world.read(&format!("{name}.out"));
    assert!(!text.contains(part), "{name}:\n{text}");
}

/// Where the guest was asked to go, in order; nothing is ever asked for twice in a row.
#[track_caller]
fn moves(world: &World) -> Vec<String> {
    let taken = |e: &Value| e["mutating"] == true && e["accepted"] == true;
    let moves = world.ledger().into_iter().filter(|e| taken(e) && e["path"].as_str().unwrap().ends_with("/migrate"));
    let moves: Vec<String> = moves.map(|e| e["params"]["target"].as_str().unwrap().to_owned()).collect();
    assert!(moves.windows(2).all(|two| two[0] != two[1]), "{moves:?}");
    moves
}

fn there(world: &World, name: &str) -> bool {
    world.path(name).exists()
}

#[test]
fn a_question_without_a_terminal_waits_without_a_process_and_is_answered_from_elsewhere() {
    let (world, got) = tiny(
        "t run run asks.yaml --apply --yes; t status status; runbook status -o json >status.json; t locks lock list
         t other run asks.yaml --apply --yes; t without approve; t wrong approve --confirm never
         t nostep approve last nostep --confirm please; t decide approve --decide skip; t resume resume last
         t right approve --confirm please; t twice approve --confirm please; runbook lock list 2>&1; runbook logs last >logs.out",
    );
    got.says(&["run=9;", "status=0;", "other=8;", "without=6;", "wrong=6;", "nostep=5;", "decide=2;", "resume=9;"]);
    got.says(&["right=0;", "twice=6;", "No lock is held."]);
    said(&world, "run", &["waits for an answer; it keeps its lock", "Go on with the file?", "- a file", "type please"]);
    said(&world, "run", &["runbook approve", "--confirm please", "runbook cancel"]);
    said(&world, "status", &["waiting", "asks: Go on with the file?", "answer: type please", "--confirm please"]);
    silent(&world, "status", "runbook resume");
    said(&world, "locks", &["waiting", "runbook approve"]);
    said(&world, "other", &["the site is locked"]);
    for name in ["without", "wrong"] {
        said(&world, name, &["approve::word", "--confirm please", "Go on with the file?"]);
    }
    said(&world, "nostep", &["run::unknown_step", "it waits for: sure"]);
    said(&world, "decide", &["approve::decision"]);
    said(&world, "twice", &["run::not_waiting", "succeeded"]);
    said(&world, "logs", &["sure: approved by"]);
    let status: Value = serde_json::from_str(&world.read("status.json")).unwrap();
    assert_eq!(status["status"], "waiting");
    let question = &status["questions"][0];
    assert_eq!((question["step"].as_str(), question["word"].as_str()), (Some("sure"), Some("please")), "{status:#}");
    assert_eq!(moves(&world), ["pve1"]);
    assert!(there(&world, "file"));
    assert_eq!(world.read("told"), "told\n");
}

#[test]
fn a_no_is_an_answer_too() {
    let (world, got) =
        tiny("t run run asks.yaml --apply --yes; t no approve --decline 'not tonight'; runbook lock list 2>&1");
    got.says(&["run=9;", "no=6;", "No lock is held."]);
    said(&world, "no", &["Stopped", "declined sure: not tonight", "Changed already:", "VM 104"]);
    assert!(!there(&world, "file"));
    assert_eq!((moves(&world), world.read("told").as_str()), (vec!["pve1".to_owned()], "told\n"));
}

#[test]
fn an_answer_that_is_only_recorded_is_taken_by_whoever_resumes() {
    let (world, got) = tiny(
        "t run run asks.yaml --apply --yes; t record approve --record --confirm please; t status status
         t resume resume last --progress plain",
    );
    got.says(&["run=9;", "record=0;", "resume=0;"]);
    said(&world, "record", &["whoever resumes it goes on"]);
    said(&world, "status", &["waiting"]);
    said(&world, "resume", &["sure: approved by", "file: ok"]);
    assert_eq!(moves(&world), ["pve1"]);
}

#[test]
fn a_run_that_waits_at_its_terminal_takes_the_answer_from_elsewhere() {
    let (world, got) = tiny(
        "(until [ -e ended ]; do sleep 0.05; done) | script -qefc 'runbook run asks.yaml --apply --yes' /dev/null \
           >run.out 2>&1 & p=$!
         i=0; until runbook status 2>&1 | grep -q waiting; do i=$((i+1)); [ $i -lt 400 ] || break; sleep 0.05; done
         t status status; t wrong approve --confirm no; t right approve --confirm please
         i=0; until [ -e told ]; do i=$((i+1)); [ $i -lt 200 ] || break; sleep 0.05; done
         until runbook status | grep -q succeeded; do i=$((i+1)); [ $i -lt 400 ] || break; sleep 0.05; done
         touch ended; wait $p; echo run=$?\\;; t end status",
    );
    got.says(&["wrong=6;", "right=0;", "run=0;"]);
    said(&world, "status", &["waiting", "Go on with the file?"]);
    said(&world, "right", &["is told: it goes on where it runs"]);
    said(&world, "end", &["succeeded"]);
    assert!(there(&world, "file"));
    assert_eq!(moves(&world), ["pve1"]);
}

#[test]
fn pause_parks_the_run_with_its_lock_and_resume_goes_on() {
    let (world, got) = tiny(
        "begin run holds.yaml --apply --yes; held; t pause pause; heard ' pauses'; over
         t status status; t locks lock list; t other run asks.yaml --apply --yes; t again pause
         t resume resume last; t over pause",
    );
    got.says(&["pause=0;", "run=9;", "other=8;", "again=6;", "resume=0;", "over=6;"]);
    said(&world, "pause", &["is told: it keeps its lock", "runbook resume"]);
    said(&world, "status", &["paused", "runbook resume", "hold ok"]);
    said(&world, "locks", &["paused", "runbook resume"]);
    said(&world, "again", &["run::not_running", "is paused"]);
    said(&world, "over", &["run::over", "is over: it succeeded"]);
    assert_eq!((moves(&world), world.read("told").as_str()), (vec!["pve1".to_owned()], "told\n"));
    assert!(there(&world, "file"));
}

#[test]
fn cancel_lets_what_is_under_way_finish_and_undoes_only_where_asked() {
    let cancelled = |words: &str| {
        tiny(&format!(
            "begin run holds.yaml --apply --yes; held; t cancel cancel {words}; heard ' cancels'; over
             runbook lock list 2>&1; t again cancel"
        ))
    };
    let (world, got) = cancelled("");
    got.says(&["cancel=0;", "run=130;", "No lock is held.", "again=6;"]);
    said(&world, "run", &["Cancelled", "hold ok", "Changed already"]);
    said(&world, "again", &["is over: it was cancelled"]);
    silent(&world, "again", "Bringing");
    assert_eq!((moves(&world), world.read("told").as_str()), (vec!["pve1".to_owned()], "told\n"));
    let (world, got) = cancelled("--rollback");
    got.says(&["cancel=0;", "run=10;", "No lock is held."]);
    said(&world, "run", &["what was done will be rolled back", "Rolled back: move"]);
    assert_eq!((moves(&world).len(), world.read("told").as_str()), (2, "told\n"));
    assert!(!there(&world, "file"));
}

#[test]
fn cancel_now_stops_what_can_be_stopped_and_leaves_it_in_doubt() {
    let (world, got) = tiny(
        "begin run holds.yaml --apply --yes; held; t cancel cancel --now; wait $p; echo run=$?\\;
         t status status; t abandon abandon --yes; runbook lock list 2>&1",
    );
    got.says(&["cancel=0;", "run=11;", "abandon=1;", "No lock is held."]);
    said(&world, "status", &["in doubt", "runbook resume", "runbook abandon"]);
    said(&world, "abandon", &["gives the run up"]);
    assert_eq!((moves(&world), world.read("told").as_str()), (vec!["pve1".to_owned()], "told\n"));
}

#[test]
fn a_run_that_waits_is_parked_or_was_killed_is_cancelled_without_its_process() {
    for (words, code, moved) in [("", 130, 1), ("--rollback", 10, 2)] {
        let (world, got) =
            tiny(&format!("t run run asks.yaml --apply --yes; t cancel cancel {words}; runbook lock list 2>&1"));
        got.says(&["run=9;", &format!("cancel={code};"), "No lock is held."]);
        assert_eq!((moves(&world).len(), world.read("told").as_str()), (moved, "told\n"));
        assert!(!there(&world, "file"));
    }
    let (world, got) = tiny(
        "begin run holds.yaml --apply --yes; held; kill -9 $p; wait $p; touch go; t cancel cancel; t then abandon --yes
         runbook lock list 2>&1",
    );
    // What the killed process had begun is looked at: a command that leaves nothing behind stays in doubt.
    got.says(&["cancel=11;"]);
    got.says(&["then=11;", "No lock is held."]);
    assert_eq!((moves(&world), world.read("told").as_str()), (vec!["pve1".to_owned()], "told\n"));
}

#[test]
fn abandon_asks_runs_finally_and_gives_the_lock_back() {
    let (world, got) = tiny(
        "t run run asks.yaml --apply --yes; t unsaid abandon; t abandon abandon --yes; runbook lock list 2>&1
         t over abandon; t resume resume last",
    );
    got.says(&["run=9;", "unsaid=6;", "abandon=130;", "No lock is held.", "over=6;", "resume=6;"]);
    said(&world, "unsaid", &["--yes"]);
    said(&world, "over", &["is over: it was cancelled"]);
    assert_eq!((moves(&world), world.read("told").as_str()), (vec!["pve1".to_owned()], "told\n"));
}

#[test]
fn rollback_of_a_run_that_is_over_undoes_it_once() {
    let (world, got) = tiny(
        "t run run asks.yaml --apply --yes --confirm please; t unsaid rollback; t back rollback --yes
         t again rollback --yes; t status status; runbook lock list 2>&1",
    );
    got.says(&["run=0;", "unsaid=6;", "back=11;", "again=6;", "No lock is held."]);
    said(
        &world,
        "unsaid",
        &["which is over (it succeeded)", "move: runbook do proxmox.guest_migrate guest=104 to=pve2"],
    );
    said(&world, "unsaid", &["file: nothing can undo it"]);
    said(&world, "back", &["! file: nothing undoes local.run"]);
    said(&world, "again", &["rollback::nothing"]);
    said(&world, "status", &["rollback incomplete"]);
    assert_eq!(moves(&world), ["pve1", "pve2"]);
}

#[test]
fn rollback_of_a_failed_run_undoes_what_it_had_done() {
    let (world, got) = tiny(
        "t run run asks.yaml --apply --yes --confirm please --inject fail:file; t back rollback --yes; t again rollback --yes",
    );
    got.says(&["run=1;", "back=10;", "again=6;"]);
    said(&world, "back", &["which is over (it failed)", "Rolled back: move"]);
    assert_eq!(moves(&world), ["pve1", "pve2"]);
}

#[test]
fn rollback_is_refused_where_something_was_moved_since() {
    let (world, got) = tiny(
        r"t run run asks.yaml --apply --yes --confirm please
         id=$(sed -n 's/.*run \([a-z0-9]*\) of asks begins.*/\1/p' run.out)
         t moved do proxmox.guest_migrate guest=104 to=pve3 --apply --yes
         t back rollback $id --yes; t status status $id",
    );
    got.says(&["run=0;", "moved=0;", "back=6;"]);
    said(&world, "back", &["rollback::moved", "move: ", "104", "pve3", "nothing was changed"]);
    said(&world, "status", &["succeeded"]);
    assert_eq!(moves(&world), ["pve1", "pve3"]);
}

#[test]
fn a_freeze_refuses_what_would_change_and_lets_a_run_be_ended() {
    let (world, got) = tiny(
        "t run run asks.yaml --apply --yes; t freeze freeze --reason maintenance
         t plan plan asks.yaml; t other run asks.yaml --apply --yes; t approve approve --confirm please
         t resume resume last; t back rollback --yes; t abandon abandon --yes; t unfreeze unfreeze
         t second run asks.yaml --apply --yes --confirm please",
    );
    got.says(&["run=9;", "freeze=0;", "plan=0;", "approve=6;", "resume=6;", "back=6;", "abandon=130;", "unfreeze=0;"]);
    got.says(&["other=8;", "second=0;"]);
    for name in ["approve", "resume", "back"] {
        said(&world, name, &["site::frozen", "maintenance"]);
    }
    assert_eq!(moves(&world), ["pve1"]);
}

#[test]
fn what_was_said_to_a_run_whose_process_is_gone_is_heard_by_the_next() {
    let (world, got) = tiny(
        "begin run holds.yaml --apply --yes; held; t pause pause; kill -9 $p; wait $p; touch go
         t status status; t resume resume last",
    );
    got.says(&["pause=0;"]);
    said(&world, "status", &["interrupted"]);
    assert!(matches!(moves(&world).as_slice(), [one] if one == "pve1"));
}
