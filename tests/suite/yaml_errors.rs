//! Broken runbooks through `runbook lint FILE`: exit code 2, each problem with its place, what was expected, and the
//! nearest right word where there is one. The messages themselves are held by the loader's own tests.

use crate::harness::{Lab, World};

const HEAD: &str = "runbook: x\nschema: 1\ntarget: proxmox\n";

/// Lints `text`; each expectation is `LINE:COLUMN` and parts of what is said.
#[track_caller]
fn lint(text: &str, places: &[&str], parts: &[&str]) {
    let world = World::new();
    world.write("x.yaml", text);
    let got = world.runbook(&["lint", "x.yaml"]);
    got.exits(2).complains(parts);
    for place in places {
        // A line that may hold a secret is not shown; only its place is.
        let shown = [format!("x.yaml:{place}]"), format!("x.yaml:{place}: ")];
        assert!(shown.iter().any(|s| got.stderr.contains(s)), "no problem at {place}:\n{}", got.stderr);
    }
    let problems = got.stderr.lines().filter(|line| line.starts_with("RB") || line.starts_with("error RB")).count();
    assert_eq!(problems, places.len(), "{}", got.stderr);
    let says = if problems == 1 { "x.yaml: 1 problem\n".to_owned() } else { format!("x.yaml: {problems} problems\n") };
    assert_eq!(got.stdout, says);
    let json = world.runbook(&["lint", "x.yaml", "-o", "json"]).exits(2).json();
    assert_eq!(json["diagnostics"].as_array().unwrap().len(), problems);
    let plan = world.runbook(&["plan", "x.yaml"]);
    plan.exits(2).without_data().complains(&["x.yaml: "]);
}

macro_rules! broken {
    ($($name:ident: $text:expr => [$($place:expr),+] $parts:expr;)+) => {
        $(#[test] fn $name() { let text: String = $text; lint(&text, &[$($place),+], &$parts); })+
    };
}

fn whole(rest: &str) -> String {
    format!("{HEAD}{rest}")
}

fn steps(steps: &str) -> String {
    whole(&format!("steps:\n{steps}"))
}

broken! {
    not_yaml_at_all: "a: b: c\n".to_owned() => ["1:5"] ["this is not YAML"];
    a_tab_for_indentation: steps("\t- confirm: A\n") => ["5:2"] ["this is not YAML"];
    a_quote_that_never_ends: whole("title: \"open\nsteps: []\n") => ["5:1"] ["this is not YAML"];
    a_bracket_that_never_closes: whole("steps: [\n") => ["4:8"] ["this is not YAML"];
    an_empty_file: String::new() => ["1:1"] ["the file is empty; a runbook is expected"];
    a_list_instead_of_a_map: "- x\n".to_owned() => ["1:1"] ["expected a runbook as a map, but a list stands here"];
    missing_keys: "runbook: x\n".to_owned() => ["1:1", "1:1", "1:1"] ["needs the key `schema`", "needs the key `target`", "needs the key `steps`"];
    a_key_that_is_unknown: whole("tilte: A\nsteps: []\n") => ["4:1"] ["no key `tilte`", "did you mean `title`?"];
    a_key_that_is_there_twice: whole("title: A\ntitle: B\nsteps: []\n") => ["5:1"] ["the key `title` is here twice", "first here"];
    a_merge_key: whole("vars: &v {a: 1}\noutputs: {<<: *v}\nsteps: []\n") => ["5:11"] ["a merge key", "write the keys out"];
    a_tag: whole("title: !!str A\nsteps: []\n") => ["4:14"] ["a tag", "take the tag off"];
    a_second_document: whole("steps: []\n---\nsteps: []\n") => ["5:1"] ["one file is one document"];
    another_schema: "runbook: x\nschema: 2\ntarget: proxmox\nsteps: []\n".to_owned() => ["2:9"] ["expected 1, the only schema there is"];
    a_target_that_is_none: "runbook: x\nschema: 1\ntarget: proxmx\nsteps: []\n".to_owned() => ["3:9"] ["did you mean `proxmox`?"];
    a_name_that_is_not_the_files: "runbook: y\nschema: 1\ntarget: proxmox\nsteps: []\n".to_owned() => ["1:10"] ["the file is called `x`"];
    steps_that_are_no_list: whole("steps: {}\n") => ["4:8"] ["expected a list of steps, but a map stands here"];
    an_old_bool: whole("params: {a: {type: bool, default: yes}}\nsteps: []\n") => ["4:35"] ["write `true`"];
    an_octal_number: whole("params: {a: {type: int, default: 010}}\nsteps: []\n") => ["4:34"] ["leading zero"];
    a_version_without_quotes: whole("params: {a: {type: version, default: 1.10}}\nsteps: []\n") => ["4:38"] ["would become 1.1", "\"1.10\""];
    a_duration_without_unit: steps("  - uses: proxmox.node_empty\n    with: {node: pve1}\n    timeout: 30\n") => ["7:14"] ["expected a duration such as 90s, 5m or 1h30m"];
    a_type_that_is_none: whole("params: {a: {type: integer}}\nsteps: []\n") => ["4:20"] ["expected one of string, int"];
    a_default_out_of_bounds: whole("params: {a: {type: int, default: 9, max: 8}}\nsteps: []\n") => ["4:34"] ["expected at most 8"];
    required_and_a_default: whole("params: {a: {type: int, required: true, default: 1}}\nsteps: []\n") => ["4:50"] ["is required and has a default"];
    a_step_without_a_verb: steps("  - id: a\n") => ["5:5"] ["a step needs a verb: uses, confirm, steps or parallel"];
    a_step_with_two_verbs: steps("  - confirm: A\n    uses: proxmox.node_empty\n    with: {node: pve1}\n") => ["6:5", "7:5"] ["a step has one verb", "make two steps of it"];
    an_action_that_there_is_not: steps("  - uses: proxmox.guest_migrte\n") => ["5:11"] ["did you mean `proxmox.guest_migrate`?"];
    an_input_that_there_is_not: steps("  - uses: proxmox.node_empty\n    with: {nod: pve1, node: pve1}\n") => ["6:12"] ["no parameter `nod`", "did you mean `node`?"];
    an_input_that_is_missing: steps("  - uses: proxmox.node_empty\n") => ["5:11"] ["`proxmox.node_empty` needs `node`"];
    an_input_of_the_wrong_type: steps("  - uses: proxmox.guest_migrate\n    with: {guest: 104, to: pve1, mode: lvie}\n") => ["6:40"] ["expected one of live, offline, restart", "did you mean `live`?"];
    an_id_that_is_none: steps("  - id: Move-It\n    confirm: A\n") => ["5:9"] ["`move_it`"];
    two_steps_of_one_id: steps("  - id: b\n    confirm: A\n  - id: b\n    confirm: A\n") => ["7:9"] ["two steps have the id `b`", "the first one"];
    a_need_that_is_unknown: steps("  - id: first\n    confirm: A\n  - id: second\n    confirm: A\n    needs: [frist]\n") => ["9:13"] ["did you mean `first`?"];
    steps_that_wait_for_each_other: steps("  - id: a\n    confirm: A\n    needs: [b]\n  - id: b\n    confirm: B\n    needs: [a]\n") => ["5:5"] ["these steps wait for each other", "take one of these needs off"];
    an_expression_that_does_not_parse: steps("  - confirm: A\n    when: params.x ==\n") => ["6:20"] ["in the expression `params.x ==`", "expected expression"];
    an_expression_with_an_unknown_name: whole("params: {node: {type: node}}\nsteps:\n  - confirm: A\n    when: params.nod == 'x'\n") => ["7:11"] ["did you mean"];
    a_step_that_comes_later: steps("  - id: a\n    confirm: A\n    when: steps.b.x\n  - id: b\n    uses: proxmox.node_empty\n    with: {node: pve1}\n") => ["7:11"] ["`b`"];
    a_secret_with_a_default: whole("params: {pw: {type: secret, default: hunter2}}\nsteps: []\n") => ["4:38"] ["expected a reference such as pass:PATH"];
}

#[test]
fn all_problems_come_at_once() {
    let text = "runbook: x\nschema: 1\ntarget: proxmx\ntilte: A\nparams: {a: {type: integer}}\nsteps:\n  - use: x\n  - uses: proxmox.guest_migrte\n";
    lint(
        text,
        &["3:9", "4:1", "5:20", "7:5", "7:5", "8:11"],
        &["`proxmox`", "`title`", "`uses`", "`proxmox.guest_migrate`"],
    );
}

#[test]
fn what_cannot_be_understood_is_refused_before_anything() {
    let cases = [
        (steps("  - ask: {message: A}\n"), "ask"),
        (steps("  - uses: runbook:there-is-none\n"), "there is no runbook `there-is-none`"),
    ];
    for (text, word) in cases {
        let world = World::new();
        world.write("x.yaml", &text);
        world.runbook(&["lint", "x.yaml"]).exits(2).complains(&[word]);
        let got = world.lab(&Lab::default(), "runbook plan x.yaml; echo $?; runbook run x.yaml --apply --yes; echo $?");
        assert_eq!(got.stdout, "2\n2\n", "{text}\n{}", got.stderr);
        got.complains(&[word]);
        assert!(world.ledger().is_empty(), "the site was asked before the runbook was refused");
    }
}

#[test]
fn a_broken_runbook_beside_the_configuration_is_listed_with_its_problems() {
    let world = World::new();
    world.write("runbooks/mine.yaml", "runbook: mine\nschema: 1\ntarget: proxmox\ntilte: A\nsteps: []\n");
    world.runbook(&["list"]).exits(0).says(&["mine", "1 problem: runbook lint mine", "node-evacuation"]);
    world.runbook(&["lint"]).exits(2).says(&["mine.yaml: 1 problem", "runbooks/node-evacuation.yaml: ok"]);
    world.runbook(&["lint", "nosuch.yaml"]).exits(5).without_data().complains(&["no file nosuch.yaml"]);
    world
        .write("runbooks/mine.yaml", "runbook: mine\nschema: 1\ntarget: proxmox\ntitle: A\naliases: [my]\nsteps: []\n");
    world.runbook(&["lint", "my"]).exits(0).says(&["mine.yaml: ok"]);
}

#[test]
fn what_is_called_is_found_by_name_by_alias_and_beside_the_file() {
    let world = World::new();
    let look = "runbook: look\nschema: 1\naliases: [peek]\ntarget: proxmox\nparams: {node: {type: node}}\nsteps:\n  - uses: proxmox.node_empty\n    with: {node: \"{{ params.node }}\"}\n";
    world.write(
        "cluster-config.yaml",
        "cluster: {name: lab.example, nodes: [{name: pve1}]}\ncredentials: {token: \"env:T\"}\n",
    );
    world.write("runbooks/look.yaml", look);
    world
        .write("runbooks/deep/beside.yaml", "runbook: beside\nschema: 1\ntarget: none\nsteps: [{uses: ./more.yaml}]\n");
    world.write("runbooks/deep/more.yaml", "runbook: more\nschema: 1\ntarget: none\nsteps: [{confirm: More?}]\n");
    world.write(
        "runbooks/top.yaml",
        "runbook: top\nschema: 1\ntarget: proxmox\nsteps:\n  - uses: runbook:look\n    with: {node: pve1}\n  - uses: runbook:peek\n    with: {node: pve2}\n  - uses: ./deep/beside.yaml\n",
    );
    world.runbook(&["lint", "top"]).exits(0).says(&[
        "top.yaml: ok, with what it calls: ",
        "look.yaml",
        "deep/more.yaml",
    ]);
    world.runbook(&["show", "top"]).exits(0).says(&[
        "  look: runbook:look\n    node_empty: proxmox.node_empty\n  peek: runbook:look\n    (its steps are above)\n",
        "  beside: runbook:beside\n    more: runbook:more\n      confirm: asks a person\n",
    ]);

    // A mistake in what is called is shown in its own file, once, and what calls it is refused.
    world.write("runbooks/look.yaml", &look.replace("node_empty", "node_emty"));
    let lint = world.runbook(&["lint"]);
    lint.exits(2).says(&["look.yaml: 1 problem\n", "top.yaml: 1 problem, with"]);
    assert_eq!(lint.stderr.matches("look.yaml:7:11]").count(), 1, "{}", lint.stderr);
    lint.complains(&["error RB015", "did you mean `proxmox.node_empty`?"]);
    world.runbook(&["show", "top"]).exits(2).complains(&["look.yaml:7:11]", "top.yaml: 1 problem"]);

    world.write(
        "runbooks/top.yaml",
        "runbook: top\nschema: 1\ntarget: proxmox\nsteps:\n  - uses: runbook:evacute\n  - uses: ./none.yaml\n",
    );
    world.runbook(&["lint", "top"]).exits(2).complains(&[
        "there is no runbook `evacute`",
        "did you mean `runbook:evacuate`?",
        "there is no file",
        "it is looked for beside the file that calls it",
    ]);
    world.write("runbooks/look.yaml", "runbook: look\nschema: 1\ntarget: proxmox\nsteps: [{uses: runbook:top}]\n");
    world.write("runbooks/top.yaml", "runbook: top\nschema: 1\ntarget: proxmox\nsteps: [{uses: runbook:look}]\n");
    world.runbook(&["plan", "top"]).exits(2).complains(&[
        "these call each other without an end",
        "top.yaml:4",
        "look.yaml:4",
    ]);
}
