//! Every command as a person or a script types it: what it says, on which stream, and its exit code.

use serde_json::{Value, json};

use crate::harness::{Lab, World, lab_exec};

const CHANGES: [&str; 7] = ["create", "change", "destroy", "disrupt", "none", "read", "unknown"];

#[track_caller]
fn keys<'a>(value: &'a Value, wanted: &[&str]) -> &'a Value {
    for key in wanted {
        assert!(value.get(key).is_some(), "no {key} in {value:#}");
    }
    value
}

/// The shape that the contract promises of a plan.
#[track_caller]
pub fn is_plan(plan: &Value) {
    keys(plan, &["format_version", "runbook", "hash", "summary", "steps"]);
    assert_eq!(plan["hash"].as_str().unwrap().len(), 64);
    let figures = ["create", "change", "destroy", "disrupt", "unchanged", "unknown"];
    assert!(keys(&plan["summary"], &figures).as_object().unwrap().values().all(Value::is_u64), "{}", plan["summary"]);
    for step in plan["steps"].as_array().unwrap() {
        keys(step, &["path", "uses", "effect", "change", "summary", "undo"]);
        assert!(CHANGES.contains(&step["change"].as_str().unwrap()), "{step}");
    }
}

/// The shape that the contract promises of a run.
#[track_caller]
pub fn is_run(run: &Value) {
    keys(run, &["format_version", "run", "runbook", "status", "steps"]);
    assert!(run["run"].is_string() && run["status"].is_string(), "{run}");
    for step in run["steps"].as_array().unwrap() {
        keys(step, &["path", "status", "attempts", "cause"]);
        assert!(step["attempts"].is_u64(), "{step}");
    }
}

#[test]
fn a_dry_run_says_first_and_last_that_nothing_was_changed() {
    let world = World::new();
    for args in [["--lab", "plan", "evacuate", "pve2"], ["--lab", "run", "node-evacuation", "pve2"]] {
        let got = world.runbook(&args);
        let lines: Vec<&str> = got.exits(0).stdout.lines().collect();
        let apply = format!("To apply it: runbook --lab run {} pve2 --apply", args[2]);
        assert_eq!(lines[..2], ["DRY RUN: nothing was changed", &apply]);
        assert_eq!(lines[lines.len() - 2..], ["DRY RUN: nothing was changed", &apply]);
        got.says(&[
            "Plan: 11 to change.",
            "VM 104 (web): pve2 -> pve1, live, 8.0 GiB",
            "undo: move VM 104 (web) back to pve2",
        ]);
    }
}

#[test]
fn the_plan_as_json_has_the_promised_shape() {
    let got = World::new().runbook(&["--lab", "plan", "evacuate", "pve2", "-o", "json"]);
    let plan = got.exits(0).json();
    is_plan(&plan);
    assert_eq!(plan["runbook"], "node-evacuation");
    assert_eq!(
        plan["summary"],
        json!({"create": 0, "change": 11, "destroy": 0, "disrupt": 0, "unchanged": 0, "unknown": 0})
    );
    let changing: Vec<&str> = plan["steps"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|s| s["change"] == "change")
        .map(|s| s["path"].as_str().unwrap())
        .collect();
    assert_eq!(changing.len(), 11);
    assert_eq!(changing[0], "maintenance");
    assert!(changing[1..].iter().all(|path| path.starts_with("move[")), "{changing:?}");
}

#[test]
fn a_plan_in_every_form() {
    let world = World::new();
    let of = |form: &str| world.runbook(&["--lab", "plan", "evacuate", "pve2", "-o", form]);
    let line = of("jsonl");
    assert_eq!(line.exits(0).stdout.lines().count(), 1);
    is_plan(&line.json());
    let yaml = of("yaml");
    yaml.exits(0).says(&["format_version:", "runbook: node-evacuation", "- path: placement"]);
    let names = of("name");
    let names: Vec<&str> = names.exits(0).stdout.lines().collect();
    assert_eq!(names[..4], ["placement", "confirm", "maintenance", "still_fits"]);
    assert_eq!(names.last(), Some(&"node_empty"));
    of("wide").exits(0).says(&["DRY RUN: nothing was changed", "Plan: 11 to change."]);
    of("xml").exits(2).without_data().complains(&["invalid value 'xml'", "possible values"]);
}

#[test]
fn plan_says_by_its_exit_code_whether_there_is_something_to_do() {
    let world = World::new();
    let plan = |lab: &str, node: &str| world.runbook(&[lab, "plan", "evacuate", node, "--detailed-exitcode"]);
    plan("--lab", "pve2").exits(2).says(&["Plan: 11 to change."]);
    plan("--lab=full", "pve2").exits(1).says(&["The plan fails at placement"]);
    plan("--lab", "pve9").exits(1).complains(&["there is no node \"pve9\""]);
    let got = lab_exec(
        "empty-node",
        &[],
        "runbook run evacuate pve2 --apply --yes && runbook plan evacuate pve2 --detailed-exitcode",
    );
    got.1.exits(0).says(&["No changes."]);
}

#[test]
fn saved_applied_and_looked_at() {
    let script = "runbook plan evacuate pve2 --out p.plan >/dev/null && runbook apply p.plan --yes -o json >run.json && \
                  runbook status last && runbook status -o json >status.json && runbook logs last && runbook runs && \
                  runbook logs last 'move[104]' >one.log && runbook logs last -o jsonl >logs.jsonl && \
                  runbook runs -o json >runs.json; echo exit $?; runbook logs last nostep; echo exit $?; runbook status zzz; echo exit $?";
    let (world, got) = lab_exec("three-node", &[], script);
    got.exits(0).says(&["exit 0", "move[104]", "node-evacuation, succeeded", "TASK OK"]);
    got.complains(&["has no step nostep", "its steps: placement", "no run \"zzz\""]);
    assert!(got.stdout.ends_with("exit 0\nexit 5\nexit 5\n"), "{}", got.stdout);
    let parse = |name: &str| serde_json::from_str::<Value>(&world.read(name)).unwrap();
    for name in ["run.json", "status.json"] {
        let run = parse(name);
        is_run(&run);
        assert_eq!(run["status"], "succeeded", "{name}");
    }
    let runs = parse("runs.json");
    assert_eq!(runs["runs"].as_array().unwrap().len(), 1);
    assert_eq!((&runs["runs"][0]["status"], &runs["runs"][0]["site"]), (&json!("succeeded"), &json!("lab.example")));
    let lines: Vec<Value> = world.read("logs.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() > 30 && lines.iter().zip(1..).all(|(line, seq)| line["seq"] == seq), "{lines:?}");
    let one = world.read("one.log");
    assert!(one.contains("move[104]") && !one.contains("move[105]"), "{one}");
}

#[test]
fn killed_half_way_and_resumed() {
    let script = "runbook run evacuate pve2 --apply --yes --inject crash-after:40; echo crashed $?; \
                  runbook resume last --yes && runbook status last && runbook status last -o json >run.json";
    let (world, got) = lab_exec("three-node", &[], script);
    got.exits(0)
        .says(&["Done: node-evacuation"])
        .complains(&["crashed, as asked for by --inject", "runbook resume last"]);
    assert!(!got.stdout.contains("crashed 0"), "{}", got.stdout);
    let run: Value = serde_json::from_str(&world.read("run.json")).unwrap();
    assert_eq!(run["status"], "succeeded");
    let changes = world.work();
    let mut once = changes.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), changes.len(), "something was sent twice: {changes:#?}");
    assert_eq!(changes.len(), 11, "{changes:#?}");
}

#[test]
fn a_lab_that_stays_up() {
    let world = World::new();
    let got = world.sh(
        "set -e; runbook lab up --time-scale 600; eval \"$(runbook lab env)\"; trap 'runbook lab down 2>/dev/null' EXIT; \
         runbook doctor; runbook list; runbook show evacuate; runbook runs; runbook lab status; \
         runbook lab fault set-lock:104=backup; runbook plan evacuate pve2 -o name || echo refused $?; \
         runbook lab up || echo twice $?; runbook lab down; trap - EXIT; runbook lab status || echo down $?",
    );
    got.exits(0)
        .says(&["pve1", "answers, Proxmox VE 9.2.3", "node-evacuation", "Empty a Proxmox node for maintenance"])
        .says(&["Plan it: runbook plan node-evacuation NODE", "lab three-node is up", "refused 6", "twice 8", "down 5"])
        .complains(&["No runs yet.", "So it will be.", "The lab is down.", "a lab is up already", "no lab is up"]);
}

#[test]
fn a_lab_for_one_program_can_be_asked_and_disturbed() {
    let (_, got) =
        lab_exec("three-node", &[], "runbook lab status; runbook lab fault node-down:pve3; runbook lab down; exit 7");
    got.exits(7)
        .says(&["lab three-node is up"])
        .complains(&["So it will be.", "ends with the program that runs in it"]);
}

#[test]
fn commands_that_need_no_site() {
    let mut world = World::new();
    world.unset("HOME").unset("XDG_STATE_HOME");
    world.runbook(&["version"]).exits(0).says(&["runbook 0.", "plans: version 1"]);
    let version = world.runbook(&["version", "-o", "json"]).exits(0).json();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    world.runbook(&["list"]).exits(0).says(&["node-evacuation", "evacuate", "shipped"]);
    assert_eq!(
        world.runbook(&["list", "-o", "name"]).exits(0).stdout,
        runbook::load::shipped::names().map(|name| format!("{name}\n")).collect::<String>()
    );
    let list = world.runbook(&["list", "-o", "json"]).exits(0).json();
    let runbooks = list["runbooks"].as_array().unwrap();
    let evacuation = runbooks.iter().find(|runbook| runbook["name"] == "node-evacuation").unwrap();
    assert_eq!(evacuation["aliases"], json!(["evacuate"]));
    world.runbook(&["show", "evacuate", "-o", "yaml"]).exits(0).says(&["name: node-evacuation"]);
    world.runbook(&["lint"]).exits(0).says(&["runbooks/node-evacuation.yaml: ok"]);
    let lint = world.runbook(&["lint", "-o", "json"]).exits(0).json();
    assert_eq!(lint["diagnostics"], json!([]));
    for kind in ["runbook", "site", "cluster", "test"] {
        let schema = world.runbook(&["schema", kind]).exits(0).json();
        assert!(schema["$schema"].as_str().unwrap().contains("json-schema.org"), "{kind}");
    }
    world.runbook(&["schema", "guest"]).exits(2).without_data().complains(&["expected runbook, site, cluster or test"]);
    let completions = world.runbook(&["completions", "bash"]);
    completions.exits(0).says(&["complete -F _runbook"]);
    world.runbook(&["--help"]).exits(0).says(&["plan NAME", "doctor", "runbook --lab plan evacuate pve2"]);
    world.runbook(&["frobnicate"]).exits(2).without_data().complains(&["unrecognized subcommand"]);
}

#[test]
fn the_catalogue_of_actions() {
    let world = World::new();
    let names = world.runbook(&["actions", "-o", "name"]);
    assert_eq!(
        names.exits(0).stdout.lines().collect::<Vec<_>>(),
        runbook::actions::specs().keys().map(String::as_str).collect::<Vec<_>>()
    );
    let one = world.runbook(&["actions", "proxmox.guest_migrate", "-o", "json"]).exits(0).json();
    assert_eq!((&one["action"]["effect"], &one["action"]["undoable"]), (&json!("change"), &json!(true)));
    assert!(one["action"]["privileges"].to_string().contains("VM.Migrate"), "{one}");
    world.runbook(&["actions", "proxmox.guest_migrate"]).exits(0).says(&["has an inverse", "VM.Migrate"]);
    world.runbook(&["actions", "proxmox.guest_migrat"]).exits(5).without_data().complains(&["no action"]);
}

#[test]
fn lists_of_runs_where_there_is_none() {
    let world = World::new();
    world.runbook(&["runs"]).exits(0).without_data().complains(&["No runs yet."]);
    assert_eq!(world.runbook(&["runs", "-o", "json"]).exits(0).json()["runs"], json!([]));
    for command in ["status", "logs"] {
        world.runbook(&[command, "last"]).exits(5).without_data().complains(&["there are no runs yet", "--apply"]);
    }
    world.runbook(&["resume", "last", "--yes"]).exits(5).without_data();
}

#[test]
fn doctor_in_json() {
    let got = World::new().runbook(&["--lab", "doctor", "-o", "json"]);
    let findings = got.exits(0).json();
    let findings = findings["findings"].as_array().unwrap();
    assert!(findings.iter().all(|f| f["ok"] == true && f["state"] == "ok"), "{findings:?}");
    let asked: Vec<&str> = findings.iter().map(|f| f["what"].as_str().unwrap()).collect();
    let (tools, asked): (Vec<&str>, Vec<&str>) = asked.into_iter().partition(|what| what.contains("/bin/talosctl-"));
    assert_eq!(tools.len(), 5, "{tools:?}");
    assert_eq!(
        asked,
        [
            "configuration",
            "journal",
            "kubectl",
            "ssh",
            "credential",
            "site",
            "privileges",
            "lock",
            "node pve1",
            "ssh pve1",
            "node pve2",
            "ssh pve2",
            "node pve3",
            "ssh pve3",
            "netbox"
        ]
    );
}

#[test]
fn colour_only_where_it_is_asked_for() {
    let mut world = World::new();
    world.set("TERM", "xterm-256color");
    let plan = world.runbook(&["--lab", "plan", "evacuate", "pve2"]);
    assert!(!plan.exits(0).both().contains('\x1b'));
    assert!(
        world.runbook(&["--lab", "--color", "always", "plan", "evacuate", "pve2"]).exits(0).stdout.contains("\x1b[")
    );
    world.set("NO_COLOR", "1");
    assert!(!world.runbook(&["--lab", "plan", "evacuate", "pve2"]).both().contains('\x1b'));
    let error = world.runbook(&["plan", "nosuch"]);
    assert!(!error.exits(5).stderr.contains('\x1b'));
}

#[test]
fn a_terminal_gets_colour_and_no_color_takes_it_away() {
    let mut world = World::new();
    world.set("TERM", "xterm-256color");
    let on_a_terminal = "script -qec 'runbook actions' /dev/null </dev/null";
    let got = world.sh(on_a_terminal);
    assert!(got.exits(0).stdout.contains("guest_migrate"), "{}", got.both());
    let plan = "script -qec 'runbook --lab plan evacuate pve2' /dev/null </dev/null";
    assert!(world.sh(plan).exits(0).stdout.contains("\x1b["));
    world.set("NO_COLOR", "1");
    assert!(!world.sh(plan).exits(0).stdout.contains('\x1b'));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let world = World::new();
    let got = world.sh("runbook --lab plan evacuate pve2 -o json | head -n 1; runbook schema | head -c 5 >/dev/null; runbook actions | true");
    assert_eq!(got.exits(0).stdout, "{\n");
    assert_eq!(got.stderr, "");
}

#[test]
fn data_and_everything_else_go_separate_ways() {
    let (_, got) = lab_exec("three-node", &[], "runbook run evacuate pve2 --apply --yes -o json --progress plain");
    let run = got.exits(0).json();
    is_run(&run);
    assert_eq!(run["status"], "succeeded");
    got.complains(&["maintenance", "move[104]"]);
    let (_, got) = lab_exec("three-node", &[], "runbook run evacuate pve2 --apply --yes --progress jsonl -o json");
    is_run(&got.exits(0).json());
    let events = got.stderr.lines().filter(|line| line.starts_with('{'));
    let events: Vec<Value> = events.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.len() > 30, "{}", got.stderr);
    let (_, got) = lab_exec("three-node", &[], "runbook run evacuate pve2 --apply --yes --progress quiet -o json");
    assert!(!got.exits(0).stderr.contains("TASK OK"), "{}", got.stderr);
}

#[test]
fn nothing_to_do_is_said_and_makes_no_run() {
    let script = "runbook run evacuate pve2 --apply --yes >/dev/null && runbook run evacuate pve2 --apply --yes -o json && runbook runs -o json >runs.json";
    let world = World::new();
    let got = world.lab(&Lab::default(), script);
    let again = got.exits(0).complains(&["Nothing to do"]).json();
    assert_eq!((&again["status"], &again["run"], &again["steps"]), (&json!("succeeded"), &Value::Null, &json!([])));
    let runs: Value = serde_json::from_str(&world.read("runs.json")).unwrap();
    assert_eq!(runs["runs"].as_array().unwrap().len(), 1);
    assert_eq!(world.work().len(), 11, "{:#?}", world.changes());
}

#[test]
fn a_lab_that_is_told_to_end_takes_everything_with_it() {
    let world = World::new();
    let script = "runbook lab exec -- sh -c 'echo $RUNBOOK_LAB > lab; echo $$ > child; kill -TERM $PPID; exec sleep 30'; \
                  echo ended with $?; kill -0 $(cat child) && echo the command is still there; \
                  test -d $(cat lab) && echo the folder is still there; echo done";
    let got = world.sh(script);
    got.exits(0).says(&["ended with 143", "done"]);
    assert!(!got.stdout.contains("still there"), "{}", got.stdout);
}

#[test]
fn a_step_to_inject_at_must_be_in_the_plan() {
    let (world, got) =
        lab_exec("tiny", &[], "runbook run evacuate pve2 --apply --yes --inject fail:mvoe; runbook runs");
    got.complains(&["the plan has no step mvoe", "move[", "No runs yet."]);
    world.nothing_changed();
}
