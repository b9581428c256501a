//! Procedures and other runbooks: what is wrong with calls, and the model that good ones give.

use insta::assert_snapshot;
use serde_json::json;

use super::*;
use crate::model::runbook::{LockScope, OnFailure, Runbook, Step, Template, Verb};

/// A runbook `x` with these lines after its head; the first line is 4.
fn x(rest: &str) -> String {
    format!("runbook: x\nschema: 1\ntarget: proxmox\n{rest}")
}

fn good(files: &[(&str, &str)]) -> Runbook {
    let loaded = read_of(files);
    assert_eq!(said(&loaded.found), "");
    loaded.runbook.unwrap()
}

fn call(step: &Step) -> (&str, &[(String, Template)]) {
    match &step.verb {
        Verb::Call { procedure, with } => (procedure, with),
        other => panic!("no call: {other:?}"),
    }
}

const BACKUP: &str = "runbook: etcd-backup\nschema: 1\ntitle: Save it\naliases: [save]\ntarget: proxmox\nparams:\n  host: {type: string}\n  keep: {type: int, default: 3}\n  where: {type: string, default: \"{{ config.cluster.name }}\"}\n  tag: {type: string, required: false}\nvars: {name: \"{{ params.host ~ params.where }}\"}\ndeadline: 10m\non_failure: rollback\nrequire: [{expect: params.keep > 0}]\nsteps:\n  - id: save\n    uses: local.save\n    with: {host: \"{{ params.host }}\"}\nfinally: [{uses: ./clean.yaml}]\noutputs: {file: \"{{ steps.save.file }}\"}\ndefine:\n  save:\n    params: {host: {type: string}}\n    steps: [{id: run, uses: ssh.run, with: {host: \"{{ params.host }}\"}}]\n    outputs: {file: \"{{ steps.run.stdout }}\"}\n";
const CLEAN: &str = "runbook: clean\nschema: 1\ntarget: none\nsteps: [{confirm: Clean?}]\n";

#[test]
fn everything_that_is_called_is_in_one_map_with_full_names() {
    let root = x(
        "steps:\n  - id: backup\n    uses: runbook:save\n    with: {host: a}\n  - confirm: \"{{ steps.backup.file }}\"\n  - steps: [{uses: local.again}]\n    rollback: [{uses: ./etcd-backup.yaml, with: {host: b, keep: 1}}]\ndefine:\n  again: {title: Once more, steps: [{uses: runbook:etcd-backup, with: {host: c}}], deadline: 1h, vars: {a: 1}}\n  unused: {steps: [{confirm: A}]}\n",
    );
    let runbook = good(&[("x.yaml", &root), ("etcd-backup.yaml", BACKUP), ("clean.yaml", CLEAN)]);
    let names: Vec<&str> = runbook.procedures.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["local.again", "local.unused", "runbook:clean", "runbook:etcd-backup", "runbook:etcd-backup/local.save"]
    );
    let (name, with) = call(&runbook.steps[0]);
    assert_eq!((name, runbook.steps[0].id.as_str()), ("runbook:etcd-backup", "backup"));
    // Every parameter has its value: given, by default, by an expression, or nothing.
    let with: Vec<(&str, String)> = with.iter().map(|(n, t)| (n.as_str(), serde_json::to_string(t).unwrap())).collect();
    assert_eq!(
        with,
        [
            ("host", json!({"literal": "a"}).to_string()),
            ("keep", json!({"literal": 3}).to_string()),
            ("where", r#"{"expr":{"source":"config.cluster.name","place":{"line":0,"column":0}}}"#.to_owned()),
            ("tag", json!({"literal": null}).to_string()),
        ]
    );
    let backup = &runbook.procedures["runbook:etcd-backup"];
    assert_eq!((backup.title.as_deref(), backup.deadline), (Some("Save it"), Some(600_000)));
    assert_eq!((backup.on_failure, backup.require.len(), backup.vars.len()), (Some(OnFailure::Rollback), 1, 1));
    assert_eq!(backup.digest.as_deref().map(str::len), Some(64));
    assert_eq!(call(&backup.steps[0]).0, "runbook:etcd-backup/local.save");
    assert_eq!(call(&backup.finally[0]).0, "runbook:clean");
    let again = &runbook.procedures["local.again"];
    assert_eq!((again.title.as_deref(), again.deadline, again.on_failure), (Some("Once more"), Some(3_600_000), None));
    assert_eq!((call(&again.steps[0]).0, &again.digest), ("runbook:etcd-backup", &None));
    assert_eq!(runbook.lock, LockScope::Site);
}

#[test]
fn the_lock_follows_from_all_that_can_run() {
    let lock = |root: &str, other: &str| good(&[("x.yaml", &x(root)), ("y.yaml", other)]).lock;
    let y = |rest: &str| format!("runbook: y\nschema: 1\ntarget: none\n{rest}");
    let call = "steps: [{uses: runbook:y}]\n";
    let changes = y("steps: [{uses: ssh.run, with: {host: a}}]\n");
    assert_eq!(lock(call, &changes), LockScope::Site);
    assert_eq!(lock(&format!("lock: none\n{call}"), &changes), LockScope::None);
    assert_eq!(lock(call, &y("steps: [{confirm: A}]\n")), LockScope::None);
    assert_eq!(lock(call, &y("lock: site\nsteps: [{confirm: A}]\n")), LockScope::Site);
    let unused = "steps: []\ndefine: {a: {steps: [{uses: runbook:y}]}}\n";
    assert_eq!(lock(unused, &changes), LockScope::None);
}

#[test]
fn what_is_called_keeps_to_itself_and_is_checked_once_per_file() {
    assert_snapshot!(report(&x("params: {node: {type: node}}\nvars: {v: 1}\nsteps:\n  - id: first\n    confirm: A\n  - for_each: \"[1]\"\n    uses: local.one\n    with: {n: \"{{ item }}\"}\ndefine:\n  one:\n    params: {n: {type: int, default: \"{{ run.id }}\"}}\n    vars: {w: \"{{ vars.u }}\", u: \"{{ params.n }}\"}\n    steps: [{confirm: \"{{ params.node }} {{ vars.v }} {{ item }} {{ steps.first }}\"}]\n")), @r#"
    error RB021 x.yaml:14:39: the default of `n` uses `run`
      14 |     params: {n: {type: int, default: "{{ run.id }}"}}
         |                                       ^^^^^^^^^^^^
      help: a default may use `cluster` and `config`

    error RB021 x.yaml:15:19: `vars.u` is defined further down
      15 |     vars: {w: "{{ vars.u }}", u: "{{ params.n }}"}
         |                   ^^^^^^
      help: a variable may use those above it

    error RB021 x.yaml:16:27: there is no `params.node`
      16 |     steps: [{confirm: "{{ params.node }} {{ vars.v }} {{ item }} {{ steps.first }}"}]
         |                           ^^^^^^^^^^^
      help: `params` has n

    error RB021 x.yaml:16:45: there is no `vars.v`
      16 |     steps: [{confirm: "{{ params.node }} {{ vars.v }} {{ item }} {{ steps.first }}"}]
         |                                             ^^^^^^
      help: `vars` has w, u

    error RB021 x.yaml:16:58: there is no `item`
      16 |     steps: [{confirm: "{{ params.node }} {{ vars.v }} {{ item }} {{ steps.first }}"}]
         |                                                          ^^^^
      help: names are params, vars, cluster, config, run, steps; a text needs quotes: 'item'

    error RB021 x.yaml:16:69: there is no step `first` here
      16 |     steps: [{confirm: "{{ params.node }} {{ vars.v }} {{ item }} {{ steps.first }}"}]
         |                                                                     ^^^^^^^^^^^
      help: a step sees those of its own list and of the lists around it; a group hands values out with `outputs`
    "#);
}

#[test]
fn a_made_up_id_keeps_out_of_the_way_of_paths() {
    let root = x("steps: [{uses: local.finally}]\ndefine: {finally: {steps: [{confirm: A}]}}\n");
    assert_eq!(good(&[("x.yaml", &root)]).steps[0].id, "finally_2");
}

#[test]
fn calls_that_do_not_fit() {
    let root = x(
        "steps:\n  - id: a\n    uses: runbook:etcd-backup\n    with: {hots: a, keep: many}\n  - confirm: \"{{ steps.a.files }}\"\n  - uses: runbook:etcd-bakcup\n  - uses: ./none.yaml\n  - uses: local.one\n    with: {n: [1]}\ndefine: {one: {params: {n: {type: int}}, steps: []}}\n",
    );
    assert_snapshot!(report_of(&[("x.yaml", &root), ("etcd-backup.yaml", BACKUP), ("clean.yaml", CLEAN)]), @r#"
    error RB016 x.yaml:6:11: `runbook:etcd-backup` needs `host`
       6 |     uses: runbook:etcd-backup
         |           ^^^^^^^^^^^^^^^^^^^
      help: with: {host: <string>}

    error RB016 x.yaml:7:12: `runbook:etcd-backup` has no parameter `hots`
       7 |     with: {hots: a, keep: many}
         |            ^^^^
      help: did you mean `host`?

    error RB017 x.yaml:7:27: `keep`: expected a whole number, but `many` stands here
       7 |     with: {hots: a, keep: many}
         |                           ^^^^

    error RB023 x.yaml:8:18: `steps.a` has no output `files`
       8 |   - confirm: "{{ steps.a.files }}"
         |                  ^^^^^^^^^^^^^
      help: did you mean `steps.a.file`?

    error RB015 x.yaml:9:11: there is no `runbook:etcd-bakcup`
       9 |   - uses: runbook:etcd-bakcup
         |           ^^^^^^^^^^^^^^^^^^^
      help: write one

    error RB015 x.yaml:10:11: there is no `./none.yaml`
      10 |   - uses: ./none.yaml
         |           ^^^^^^^^^^^
      help: write one

    error RB017 x.yaml:12:15: `n`: expected a whole number, but a list stands here
      12 |     with: {n: [1]}
         |               ^
    "#);
}

#[test]
fn modifiers_that_a_call_or_a_group_cannot_have() {
    let root = x(
        "steps:\n  - uses: local.one\n    retry: {attempts: 2}\n    effect: change\n    timeout: 1m\n    verify: [{expect: \"true\"}]\n    outputs: {a: 1}\n    deadline: 1h\n    on_failure: ask\n    optional: true\n    rollback: {none: because}\n  - parallel: []\n    timeout: 1m\n    deadline: 1h\n    on_failure: continue\nrequire: [{uses: local.one}]\ndefine: {one: {steps: []}}\n",
    );
    assert_snapshot!(report(&root), @r#"
    error RB011 x.yaml:6:5: a call cannot have `retry`
       6 |     retry: {attempts: 2}
         |     ^^^^^
      help: give it to those steps of what is called that may be tried again

    error RB011 x.yaml:7:5: a call cannot have `effect`
       7 |     effect: change
         |     ^^^^^^
      help: the steps of what is called have their own: take `effect` off

    error RB011 x.yaml:8:5: a call cannot have `timeout`
       8 |     timeout: 1m
         |     ^^^^^^^
      help: `timeout` is for one attempt of one step; write `deadline` for all of it

    error RB011 x.yaml:9:5: a call cannot have `verify`
       9 |     verify: [{expect: "true"}]
         |     ^^^^^^
      help: what is called verifies its own steps; make a check of yours the next step

    error RB011 x.yaml:10:5: a call cannot have `outputs`
      10 |     outputs: {a: 1}
         |     ^^^^^^^
      help: a call puts out what the procedure says under `outputs`

    error RB011 x.yaml:16:5: a group cannot have `timeout`
      16 |     timeout: 1m
         |     ^^^^^^^
      help: `timeout` is for one attempt of one step; write `deadline` for all of it

    error RB018 x.yaml:19:18: a check only reads, but `local.one` is a procedure
      19 | require: [{uses: local.one}]
         |                  ^^^^^^^^^
      help: make it a step of its own
    "#);
}

#[test]
fn a_target_that_does_not_fit() {
    let of = |own: &str, its: &str| {
        let root = format!("runbook: x\nschema: 1\ntarget: {own}\nsteps: [{{uses: runbook:y}}]\n");
        report_of(&[("x.yaml", &root), ("y.yaml", &format!("runbook: y\nschema: 1\ntarget: {its}\nsteps: []\n"))])
    };
    for (own, its) in [("proxmox", "none"), ("talos", "talos"), ("talos", "proxmox"), ("none", "none")] {
        assert_eq!(of(own, its), "", "{own} calls {its}");
    }
    assert!(of("none", "proxmox").contains("RB030") && of("none", "talos").contains("RB030"));
    assert_snapshot!(of("proxmox", "talos"), @r"
    error RB030 x.yaml:4:16: `runbook:y` is for talos, this runbook for proxmox
       4 | steps: [{uses: runbook:y}]
         |                ^^^^^^^^^
      help: call what has the same target or none; a runbook with target talos may also call one for proxmox
    ");
}

#[test]
fn a_problem_in_another_file_is_shown_there() {
    let root = x("steps: [{uses: ./y.yaml}, {uses: runbook:z}]\ntilte: A\n");
    let y = "runbook: y\nschema: 1\ntarget: none\nsteps:\n  - uses: ssh.run\n    with: {hosst: a, host: \"{{ params.h }}\"}\n  - confirm: A\n    when: \"{{ true }}\"\n";
    assert_snapshot!(report_of(&[("x.yaml", &root), ("y.yaml", y), ("z.yaml", "- 1\n")]), @r#"
    error RB006 x.yaml:5:1: a runbook has no key `tilte`
       5 | tilte: A
         | ^^^^^
      help: did you mean `title`?

    error RB016 y.yaml:6:12: `ssh.run` has no parameter `hosst`
       6 |     with: {hosst: a, host: "{{ params.h }}"}
         |            ^^^^^
      help: did you mean `host`?

    error RB021 y.yaml:6:32: there is no `params.h`
       6 |     with: {hosst: a, host: "{{ params.h }}"}
         |                                ^^^^^^^^
      help: `params` has nothing

    error RB008 z.yaml:1:1: expected a runbook as a map, but a list stands here
       1 | - 1
         | ^
    "#);
}

#[test]
fn two_files_of_one_name() {
    let file = |name: &str, rest: &str| format!("runbook: {name}\nschema: 1\ntarget: none\n{rest}");
    let (x, y) = (file("x", "steps: [{uses: ./a/y.yaml}, {uses: ./b/z.yaml}]\n"), file("y", "steps: []\n"));
    let (other, z) = (file("y", "title: B\nsteps: []\n"), file("z", "steps: [{uses: ./y.yaml}]\n"));
    let report = |y2: &str| report_of(&[("x.yaml", &x), ("a/y.yaml", &y), ("b/z.yaml", &z), ("b/y.yaml", y2)]);
    assert_snapshot!(report(&other), @r"
    error RB027 b/z.yaml:4:16: two different runbooks would be `runbook:y`: a/y.yaml and b/y.yaml
       4 | steps: [{uses: ./y.yaml}]
         |                ^^^^^^^^
      help: give one of them another name
    ");
    // The same text is the same runbook, wherever it lies.
    assert_eq!(report(&y), "");
}
