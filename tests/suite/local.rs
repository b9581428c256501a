//! `local.run` with the real program: nothing but this machine, no configuration, no credential, no network.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::harness::World;

const HEAD: &str = "runbook: x\nschema: 1\ntarget: none\n";

/// A world with this runbook in a file.
fn world(steps: &str) -> World {
    let world = World::new();
    world.write("x.yaml", &format!("{HEAD}{steps}"));
    world
}

const APPLY: [&str; 4] = ["run", "x.yaml", "--apply", "--yes"];

#[test]
fn a_run_that_is_over_says_how_to_do_the_same_again() {
    let world = world("steps:\n  - {uses: local.run, with: {argv: [/bin/true]}}\n");
    for (run, again) in [
        (&["do", "local.run", "argv=/bin/true", "--apply", "--yes"][..], "`runbook do …`"),
        (&APPLY[..], "`runbook plan x …`"),
    ] {
        world.runbook(run).exits(0);
        let refused = world.runbook(&["resume", "last"]);
        refused.exits(6).complains(&["run::over", again]);
        assert!(!refused.stderr.contains("Going on with"), "{}", refused.stderr);
    }
}

#[test]
fn an_unknown_local_name_is_told_of_the_action_and_of_the_procedures() {
    let world = world("steps:\n  - {uses: local.command, with: {argv: [/bin/true]}}\n  - uses: local.rum\n");
    let lint = world.runbook(&["lint", "./x.yaml"]);
    lint.exits(2).complains(&[
        "`local.command` is neither an action nor defined in this file",
        "`local.run` is an action, and `define` has nothing",
        "did you mean `local.run`?",
    ]);
    world.write(
        "x.yaml",
        &format!("{HEAD}steps:\n  - uses: local.command\ndefine:\n  drain: {{steps: [{{confirm: A}}]}}\n"),
    );
    world.runbook(&["lint", "./x.yaml"]).exits(2).complains(&["and `define` has `local.drain`"]);
}

#[test]
fn a_plan_says_that_its_runbook_has_warnings() {
    let world = world("steps:\n  - {uses: local.run, with: {argv: [talosctl, upgrade, --preserve, --image, x]}}\n");
    world.runbook(&["lint", "x.yaml"]).exits(0).complains(&["--preserve has been deprecated"]);
    let plan = world.runbook(&["plan", "x.yaml"]);
    plan.exits(0).says(&["Warning: there is something to say about x.yaml: see `runbook lint x.yaml`"]);
}

#[test]
fn a_run_of_local_commands_needs_no_configuration_and_no_site() {
    let world = world(
        r#"
params: {who: {type: string, default: "a b; c"}}
steps:
  - id: make
    uses: local.run
    with: {argv: [/bin/sh, -c, 'printf "%s\n" "$1" >out; echo "made $WORD"; echo oops >&2', name, "{{ params.who }}"], env: {WORD: "{{ params.who }}"}, creates: out}
  - id: count
    uses: local.run
    with: {script: "test -n \"$GIVEN\"\nwc -c", stdin: "{{ steps.make.stdout }}", env: {GIVEN: "{{ steps.make.code }}"}}
  - id: odd
    uses: local.run
    with: {argv: [/bin/sh, -c, exit 3], ok_codes: [0], unchanged_codes: [3]}
  - when: steps.odd.changed
    uses: local.run
    with: {argv: [/bin/touch, never]}
"#,
    );
    let plan = world.runbook(&["plan", "x.yaml"]);
    plan.exits(0).says(&["not previewed: a local command", "DRY RUN: nothing was changed", "known later: stdin, env"]);
    assert!(!world.path("out").exists());
    world.runbook(&APPLY).exits(0);
    assert_eq!(world.read("out"), "a b; c\n");
    assert!(!world.path("never").exists());
    world.runbook(&["logs", "last"]).exits(0).says(&["made a b; c", "oops"]);
    // What is there already is not made again.
    world.runbook(&["plan", "x.yaml"]).exits(0).says(&["1 step: nothing to do", "3 to change, 1 unchanged"]);
    world.runbook(&APPLY).exits(0);
}

#[test]
fn the_configured_site_is_named_for_the_lock_and_not_contacted() {
    let world = world("steps: [{uses: local.run, with: {argv: [/usr/bin/env]}}]\n");
    world.write(
        "cluster-config.yaml",
        "cluster: {name: far, nodes: [{name: pve1, host: 192.0.2.1}]}\ncredentials: {token: 'env:FAR_TOKEN'}\n",
    );
    let mut world = world;
    world.set("FAR_TOKEN", "ops@pve!x=11112222-3333-4444").set("OTHER", "handed-on");
    world.runbook(&APPLY).exits(0);
    let logs = world.runbook(&["logs", "last"]);
    logs.exits(0).says(&["OTHER=handed-on", "RUNBOOK_RUN="]);
    assert!(!logs.both().contains("11112222"), "our own credential is nobody else's");
    world.runbook(&["runs", "--output", "json"]).exits(0).says(&["\"far\""]);
}

#[test]
fn a_failing_command_fails_the_run_with_its_last_words() {
    let world =
        world("steps: [{uses: local.run, with: {argv: [/bin/sh, -c, 'echo broken pipe dreams >&2; exit 7']}}]\n");
    world.runbook(&APPLY).exits(1).says(&["exit code 7", "broken pipe dreams"]);
    let world = self::world("steps: [{uses: local.run, with: {argv: [no-such-program]}}]\n");
    let got = world.runbook(&APPLY);
    assert!(got.both().contains("no-such-program: not found on PATH"), "{}", got.both());
    let world = self::world("steps: [{uses: local.run, with: {argv: [/bin/true], creates: nothing}}]\n");
    world.runbook(&APPLY).exits(1).says(&["nothing is not there"]);
    let world = self::world("steps: [{uses: local.run, with: {script: 'echo {{ params.x }}'}}]\n");
    world.runbook(&["lint", "x.yaml"]).exits(2).complains(&["inside a script"]);
}

#[test]
fn a_timeout_ends_the_whole_group_and_is_no_doubt() {
    let world =
        world("steps: [{timeout: 300ms, uses: local.run, with: {script: 'sleep 60 & echo $! >child; wait'}}]\n");
    let since = Instant::now();
    world.runbook(&APPLY).exits(1).says(&["ended by us"]);
    assert!(since.elapsed() < Duration::from_secs(20));
    // Where nobody takes orphans away, what is left of it is a zombie.
    world.sh("grep State: /proc/$(cat child)/status 2>/dev/null | grep -v Z").exits(1).without_data();
}

#[test]
fn a_killed_run_waits_for_its_command_and_never_runs_it_twice() {
    let steps = "steps: [{uses: local.run, with: {script: 'echo begun >>log; sleep 2; touch made', creates: made}}]\n";
    let world = world(steps);
    let mut run = world.command(super::harness::RUNBOOK, &APPLY);
    let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let since = Instant::now();
    while !world.path("log").exists() && since.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(10));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    assert!(!world.path("made").exists());
    world.runbook(&["resume", "last"]).exits(0);
    assert!(world.path("made").exists(), "it was waited for");
    assert_eq!(world.read("log"), "begun\n");
}

#[test]
fn what_became_of_a_command_that_ended_unseen_is_asked_and_not_guessed() {
    let world = world("steps: [{uses: local.run, with: {script: 'echo begun >>log; sleep 0.5'}}]\n");
    let mut run = world.command(super::harness::RUNBOOK, &APPLY);
    let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let since = Instant::now();
    while !world.path("log").exists() && since.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(10));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    std::thread::sleep(Duration::from_millis(900));
    let got = world.runbook(&["resume", "last"]);
    assert!(got.both().contains("how it ended was not seen"), "{}", got.both());
    assert_ne!(got.exit, Some(0));
    assert_eq!(world.read("log"), "begun\n");
}
