//! The language as it executes: small runbooks, the real binary, a lab.

use serde_json::Value;

use super::harness::{Got, Lab, World, flat};

const TIMES: &str = "t() { n=$1; shift; runbook \"$@\" >\"$n.out\" 2>&1; echo \"$n=$?;\"; }\n";
const FINALLY: &str = "finally:\n  - {id: told, uses: local.run, with: {script: 'echo told >>told'}}\n";

/// Runs `book.yaml` with `steps` (and what else belongs to its top level) by a script.
fn book(steps: &str, script: &str) -> (World, Got) {
    let world = World::new();
    world.write("book.yaml", &format!("runbook: book\nschema: 1\ntarget: proxmox\n{steps}"));
    let got = run(&world, script);
    (world, got)
}

fn run(world: &World, script: &str) -> Got {
    let got = world.lab(&Lab { scenario: "tiny", ..Lab::default() }, &format!("{TIMES}{script}"));
    got.exits(0);
    got
}

/// Applies the book once: its exit code, and every step's status by its path.
#[track_caller]
fn applied(steps: &str, exit: i32) -> (World, Vec<(String, String)>) {
    let (world, got) = book(
        steps,
        "runbook plan book.yaml >plan.out; runbook run book.yaml --apply --yes -o json >run.json 2>run.out; echo run=$?\\;",
    );
    assert!(got.stdout.contains(&format!("run={exit};")), "{}\n{}", got.both(), world.read("run.out"));
    let run: Value = serde_json::from_str(&world.read("run.json")).unwrap();
    let status = |s: &Value| (s["path"].as_str().unwrap().to_owned(), s["status"].as_str().unwrap().to_owned());
    let steps = run["steps"].as_array().unwrap().iter().map(status).collect();
    (world, steps)
}

#[track_caller]
fn are(steps: &[(String, String)], wanted: &[(&str, &str)]) {
    for (path, status) in wanted {
        let found = steps.iter().find(|(p, _)| p == path).map(|(_, s)| s.as_str());
        assert_eq!(found, Some(*status), "{path} of {steps:#?}");
    }
}

#[track_caller]
fn said(world: &World, name: &str, parts: &[&str]) {
    let text = flat(&world.read(&format!("{name}.out")));
    for part in parts {
        assert!(text.contains(&flat(part)), "{name} lacks {part:?}:\n{text}");
    }
}

/// The facts of the last run, each with its kind.
fn facts(world: &World, name: &str) -> Vec<(String, Value)> {
    let text = world.read(name);
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events
        .filter_map(|event| match &event["body"]["fact"] {
            Value::Object(fact) => fact.iter().next().map(|(kind, of)| (kind.clone(), of.clone())),
            Value::String(kind) => Some((kind.clone(), Value::Null)),
            _ => None,
        })
        .collect()
}

#[test]
fn what_is_parallel_goes_on_at_the_same_time() {
    // Each waits for the other's mark: one after another they would wait for ever.
    let waits = |own: &str, other: &str| {
        format!(
            "{{id: {own}, deadline: 30s, uses: local.run, with: {{script: 'touch {own}; while [ ! -e {other} ]; do sleep 0.02; done'}}}}"
        )
    };
    let steps =
        format!("steps:\n  - id: both\n    parallel:\n      - {}\n      - {}\n", waits("a", "b"), waits("b", "a"));
    let (_, steps) = applied(&steps, 0);
    assert_eq!(steps.len(), 2, "a group is no step: {steps:?}");
    are(&steps, &[("both/a", "ok"), ("both/b", "ok")]);
}

const CALLED: &str = "runbook: called\nschema: 1\ntarget: proxmox\nparams:\n  who: {type: string, positional: 1}\n\
    require:\n  - {uses: proxmox.plan_evacuation, with: {node: pve2}, expect: 'result.moves | length == 3', message: three moves}\n\
    steps:\n  - {id: say, uses: local.run, with: {argv: [echo, 'hello {{ params.who }}']}}\n\
    finally:\n  - {id: bye, uses: local.run, with: {script: 'echo bye >>bye'}}\n\
    outputs:\n  said: '{{ steps.say.stdout }}'\n";

const CALLS: &str = "define:\n  local_one:\n    params:\n      who: {type: string}\n    steps:\n\
    \x20     - {id: greet, uses: local.run, with: {argv: [echo, 'dear {{ params.who }}']}}\n\
    \x20   outputs:\n      name: '{{ steps.greet.stdout }}'\n\
    steps:\n  - {id: one, uses: local.local_one, with: {who: Ann}}\n\
    \x20 - {id: two, uses: ./called.yaml, with: {who: '{{ steps.one.name }}'}}\n\
    \x20 - {id: three, uses: local.run, with: {argv: [echo, '{{ steps.two.said }}, again']}}\n";

#[test]
fn a_define_and_a_file_are_called_with_parameters_and_hand_their_outputs_back() {
    let world = World::new();
    world
        .write("book.yaml", &format!("runbook: book\nschema: 1\ntarget: proxmox\n{CALLS}"))
        .write("called.yaml", CALLED);
    let got = run(
        &world,
        "t plan plan book.yaml; t run run book.yaml --apply --yes --progress plain --junit junit.xml; runbook status -o json >status.json",
    );
    got.says(&["plan=0;", "run=0;"]);
    said(&world, "plan", &["one: calls local.local_one", "two: calls runbook:called; 1 requirement first"]);
    said(&world, "plan", &["one/greet", "dear Ann", "two/say", "known later: argv", "two/finally/bye"]);
    said(&world, "run", &["three | hello dear Ann, again", "two/require[1]: ok"]);
    said(&world, "run", &["local.run argv=[echo, hello dear Ann]"]);
    assert!(!world.read("run.out").contains("not run"), "{}", world.read("run.out"));
    assert_eq!(world.read("bye"), "bye\n");
    let junit = world.read("junit.xml");
    assert!(junit.contains("skipped=\"0\"") && !junit.contains("name=\"two\""), "{junit}");
    let status: Value = serde_json::from_str(&world.read("status.json")).unwrap();
    let paths: Vec<&str> = status["steps"].as_array().unwrap().iter().map(|s| s["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["one/greet", "two/say", "two/finally/bye", "two/require[1]", "three"]);
}

#[test]
fn a_call_whose_requirement_does_not_hold_begins_nothing() {
    let world = World::new();
    let called = CALLED.replace("length == 3", "length == 7").replace("hello {{ params.who }}", "{{ params.who }}");
    world
        .write("book.yaml", &format!("runbook: book\nschema: 1\ntarget: proxmox\n{CALLS}"))
        .write("called.yaml", &called);
    let got = run(&world, "t plan plan book.yaml; t run run book.yaml --apply --yes");
    got.says(&["run=6;"]);
    said(&world, "plan", &["The plan fails at two/require[1]", "three moves"]);
    assert!(!world.path("bye").exists(), "what never began has no finally");
}

fn waves(gate: &str) -> String {
    format!(
        "steps:\n  - id: moves\n    for_each: '[104, 105, 108]'\n    as: g\n    key: g\n    batches: [1, 100%]\n    gate:\n      \
         - {{uses: proxmox.plan_evacuation, with: {{node: pve2}}, expect: 'result.moves | length {gate}', message: enough is left}}\n    \
         uses: proxmox.guest_migrate\n    with: {{guest: '{{{{ g }}}}', to: pve1}}\n"
    )
}

#[test]
fn a_gate_is_looked_at_before_each_wave() {
    let (world, steps) = applied(&waves("> 0"), 0);
    are(&steps, &[("moves[104]", "ok"), ("moves[105]", "ok"), ("moves[108]", "ok")]);
    said(&world, "plan", &["moves: in waves of 1, then 100 %; gate before each wave: 1 check"]);
    let (world, steps) = applied(&waves("== 3"), 1);
    are(&steps, &[("moves[104]", "ok"), ("moves[105]", "not_run"), ("moves[108]", "not_run")]);
    are(&steps, &[("moves/gate[1]/1", "ok"), ("moves/gate[2]/1", "failed")]);
    let moved = world.work();
    assert_eq!(moved.len(), 1, "{moved:?}");
}

#[test]
fn so_many_may_fail_and_the_run_has_failed_all_the_same() {
    // Items 1 and 2 fail; `then` needs the fan-out.
    let fan = |most: &str| {
        format!(
            "steps:\n  - id: fan\n    for_each: '[1, 2, 3, 4]'\n    as: n\n    key: n\n{most}    uses: local.run\n    \
             with: {{argv: [test, '{{{{ n }}}}', -gt, '2']}}\n  - {{id: then, uses: local.run, with: {{argv: ['true']}}}}\n{FINALLY}"
        )
    };
    for (most, outcomes) in [
        ("", ["failed", "not_run", "not_run", "not_run"]),
        ("    max_failures: 1\n", ["failed", "failed", "not_run", "not_run"]),
        ("    max_failures: 2\n", ["failed", "failed", "ok", "ok"]),
        ("    max_failures: 50%\n", ["failed", "failed", "ok", "ok"]),
        ("    max_failures: 49%\n", ["failed", "failed", "not_run", "not_run"]),
    ] {
        let (world, steps) = applied(&fan(most), 1);
        let items: Vec<(String, &str)> = (1..).map(|n| format!("fan[{n}]")).zip(outcomes).collect();
        are(&steps, &items.iter().map(|(path, status)| (path.as_str(), *status)).collect::<Vec<_>>());
        are(&steps, &[("then", "not_run"), ("finally/told", "ok")]);
        assert_eq!(world.read("told"), "told\n", "{most}");
    }
}

#[test]
fn finally_asks_what_is_defined_of_steps_that_may_not_have_run() {
    let ask = |id: &str, of: &str| {
        format!("  - {{id: {id}, when: '{of} is defined', uses: local.run, with: {{argv: ['true']}}}}\n")
    };
    let (_, steps) = applied(
        &format!(
            "steps:\n  - {{id: first, uses: local.run, with: {{argv: ['true']}}}}\n  - {{id: breaks, uses: local.run, with: {{argv: ['false']}}}}\n\
             \x20 - {{id: never, uses: local.run, with: {{argv: ['true']}}}}\nfinally:\n{}{}{}",
            ask("a", "steps.first.code"),
            ask("b", "steps.never.code"),
            ask("c", "steps.never"),
        ),
        1,
    );
    are(&steps, &[("never", "not_run"), ("finally/a", "ok"), ("finally/b", "skipped"), ("finally/c", "skipped")]);
}

#[test]
fn a_deadline_of_a_step_a_call_and_the_run() {
    const NAP: &str = "{id: nap, uses: local.run, with: {argv: [sleep, '60']}}";
    let nap = |deadline: &str| NAP.replace("id: nap,", &format!("id: nap, {deadline}"));
    let then = "  - {id: then, uses: local.run, with: {argv: ['true']}}\n";
    let step = format!("steps:\n  - {}\n{then}{FINALLY}", nap("deadline: 1s,"));
    let (world, steps) = applied(&step, 1);
    are(&steps, &[("nap", "failed"), ("then", "not_run"), ("finally/told", "ok")]);
    assert!(world.read("run.json").contains("its deadline passed"), "{}", world.read("run.json"));
    let call = format!(
        "define:\n  naps:\n    deadline: 1s\n    steps:\n      - {NAP}\n      - {}\n    finally:\n      \
         - {{id: bye, uses: local.run, with: {{argv: ['true']}}}}\nsteps:\n  - {{id: call, uses: local.naps}}\n{then}{FINALLY}",
        NAP.replace("nap", "more")
    );
    let (_, steps) = applied(&call, 1);
    are(&steps, &[("call/nap", "failed"), ("call/more", "not_run"), ("call/finally/bye", "ok"), ("then", "not_run")]);
    let run = format!("deadline: 1s\nsteps:\n  - {NAP}\n{then}{FINALLY}");
    let (world, steps) = applied(&run, 1);
    are(&steps, &[("nap", "failed"), ("then", "not_run"), ("finally/told", "ok")]);
    said(&world, "run", &["the run's deadline has passed"]);
    said(&world, "plan", &["After 1s nothing new is begun"]);
}

const LATE: &str = "steps:\n  - {id: list, uses: local.run, with: {argv: [printf, '104 105']}}\n\
    \x20 - id: move\n    for_each: steps.list.stdout | split(' ')\n    as: g\n    uses: proxmox.guest_migrate\n\
    \x20   with: {guest: '{{ g | int }}', to: pve1}\n";

#[test]
fn a_list_that_is_known_only_later_is_asked_for_and_its_hash_is_what_is_approved() {
    let (world, got) = book(
        LATE,
        "t run run book.yaml --apply --yes; t status status; t approve approve; runbook logs last -o jsonl >first.jsonl
         t auto run book.yaml --apply --yes --auto-expand; runbook logs last -o jsonl >second.jsonl",
    );
    got.says(&["run=9;", "approve=0;"]);
    let question = "move: 2 items became known: 104, 105 (proxmox.guest_migrate). Go through them?";
    said(&world, "run", &[question, "runbook approve"]);
    said(&world, "status", &[question, "runbook approve"]);
    said(&world, "approve", &["proxmox.guest_migrate guest=104 to=pve1"]);
    let facts = facts(&world, "first.jsonl");
    let of = |kind: &str| facts.iter().find(|(k, _)| k == kind).map(|(_, fact)| fact.clone()).unwrap();
    let (plan, expanded, approved) =
        (&of("run_created")["plan"]["hash"], &of("expanded")["hash"], &of("approved")["hash"]);
    assert!(expanded.is_string() && expanded == approved && expanded != plan, "{plan} {expanded} {approved}");
    assert_eq!(world.changes().iter().filter(|c| c.ends_with("/migrate")).count(), 2);
    assert!(!self::facts(&world, "second.jsonl").iter().any(|(kind, _)| kind == "asked"));
}

fn flaky() -> String {
    format!(
        "on_failure: ask\nsteps:\n  - {{id: move, uses: proxmox.guest_migrate, with: {{guest: 104, to: pve1}}}}\n  \
         - {{id: flaky, uses: local.run, with: {{script: 'echo x >>tries; test $(wc -l <tries) -ge 2'}}}}\n  \
         - {{id: after, uses: local.run, with: {{argv: [touch, after], creates: after}}}}\n{FINALLY}"
    )
}

#[test]
fn what_becomes_of_a_failure_is_asked_at_a_terminal() {
    for (typed, code, status, after, migrations) in [
        ("retry", 0, "ok", true, 1),
        ("skip", 0, "skipped", true, 1),
        ("done", 0, "ok", true, 1),
        ("what\\nroll-back", 11, "failed", false, 2),
        ("stop", 1, "failed", false, 1),
    ] {
        let (world, got) = book(
            &flaky(),
            &format!(
                "printf '{typed}\\n' | script -qefc 'runbook run book.yaml --apply --yes --progress plain' /dev/null >run.out 2>&1
                 echo run=$?\\;; runbook status -o json >status.json; runbook lock list 2>&1"
            ),
        );
        assert!(got.stdout.contains(&format!("run={code};")), "{typed}: {}\n{}", got.both(), world.read("run.out"));
        got.says(&["No lock is held."]);
        said(&world, "run", &["flaky", "another attempt", "answer: one of these"]);
        let run: Value = serde_json::from_str(&world.read("status.json")).unwrap();
        let flaky = run["steps"].as_array().unwrap().iter().find(|s| s["path"] == "flaky").unwrap().clone();
        assert_eq!(flaky["status"], status, "{typed}: {flaky:#}");
        assert_eq!(world.path("after").exists(), after, "{typed}");
        assert_eq!(world.changes().iter().filter(|c| c.ends_with("/migrate")).count(), migrations, "{typed}");
        assert_eq!(world.read("told"), "told\n", "{typed}");
    }
}

#[test]
fn without_a_terminal_a_failure_that_asks_stops() {
    let (world, steps) = applied(&flaky(), 1);
    are(&steps, &[("flaky", "failed"), ("after", "not_run"), ("finally/told", "ok")]);
    assert_eq!(world.work().len(), 1);
}

#[test]
fn finally_runs_after_a_failure_and_a_rollback_and_its_own_failure_fails_the_run() {
    let with = |head: &str, last: &str, undo: &str| {
        format!(
            "{head}steps:\n  - {{id: move, uses: proxmox.guest_migrate, with: {{guest: 104, to: pve1}}}}\n  \
             - {{id: last, uses: local.run, with: {{argv: [{last}]}}{undo}}}\n{FINALLY}"
        )
    };
    let (world, steps) = applied(&with("", "'false'", ""), 1);
    are(&steps, &[("last", "failed"), ("finally/told", "ok")]);
    assert_eq!(world.work().len(), 1);
    // What it did before it failed is known to nobody, unless its author has said that there is nothing to undo.
    for (undo, code) in [("", 11), (", rollback: {none: it changes nothing}", 10)] {
        let (world, steps) = applied(&with("on_failure: rollback\n", "'false'", undo), code);
        are(&steps, &[("last", "failed"), ("finally/told", "ok")]);
        assert_eq!((world.work().len(), world.read("told").as_str()), (2, "told\n"));
    }
    let broken = with("", "'true'", "").replace("echo told >>told", "echo told >>told; exit 3");
    let (world, steps) = applied(&broken, 1);
    are(&steps, &[("last", "ok"), ("finally/told", "failed")]);
    assert_eq!((world.work().len(), world.read("told").as_str()), (1, "told\n"));
}
