//! Broken files: YAML, keys, values, verbs, ids, and what is said of them.

use insta::assert_snapshot;

use super::*;

#[test]
fn no_yaml_at_all() {
    assert_snapshot!(report("runbook: [x"), @r"
    error RB001 x.yaml:1:10: this is not YAML: unclosed bracket '['
       1 | runbook: [x
         |          ^
    ");
    assert_snapshot!(report(""), @r"
    error RB001 x.yaml:1:1: the file is empty; a runbook is expected
       1 | 
         | ^
    ");
    assert_snapshot!(report("a: b: c\n"), @r"
    error RB001 x.yaml:1:5: this is not YAML: mapping values are not allowed in this context
       1 | a: b: c
         |     ^
    ");
    assert_snapshot!(report("- x\n"), @r"
    error RB008 x.yaml:1:1: expected a runbook as a map, but a list stands here
       1 | - x
         | ^
    ");
}

#[test]
fn keys_that_are_unknown_twice_or_missing() {
    assert_snapshot!(report("runbook: x\nschema: 1\ntarget: proxmox\ntilte: A\nsteps: []\n"), @r"
    error RB006 x.yaml:4:1: a runbook has no key `tilte`
       4 | tilte: A
         | ^^^^^
      help: did you mean `title`?
    ");
    assert_snapshot!(report("runbook: x\nrunbook: y\n"), @r"
    error RB007 x.yaml:1:1: a runbook needs the key `schema`
       1 | runbook: x
         | ^
      help: schema: the version of this language: 1

    error RB007 x.yaml:1:1: a runbook needs the key `target`
       1 | runbook: x
         | ^
      help: target: what it works on: proxmox, talos or none

    error RB007 x.yaml:1:1: a runbook needs the key `steps`
       1 | runbook: x
         | ^
      help: steps: what is done, one after another

    error RB002 x.yaml:2:1: the key `runbook` is here twice
       2 | runbook: y
         | ^^^^^^^
       1 | runbook: x
         | ^^^^^^^ first here
    ");
    assert_snapshot!(report("runbook: x\nschema: 1\ntarget: proxmox\nsteps: []\nparams: {a: {type: int}, a: {type: int}}\n"), @r"
    error RB002 x.yaml:5:26: the key `a` is here twice
       5 | params: {a: {type: int}, a: {type: int}}
         |                          ^
       5 | params: {a: {type: int}, a: {type: int}}
         |          ^ first here
    ");
}

#[test]
fn parts_of_yaml_that_are_not_taken() {
    assert_snapshot!(report("runbook: x\nschema: 1\ntarget: proxmox\nvars: &v {a: 1}\nsteps: []\noutputs: {<<: *v}\n"), @r"
    error RB003 x.yaml:6:11: a merge key (`<<`): write the keys out
       6 | outputs: {<<: *v}
         |           ^^
    ");
    assert_snapshot!(report("runbook: x\nschema: 1\ntarget: proxmox\ntitle: !!str A\nsteps: []\n"), @r"
    error RB003 x.yaml:4:14: a tag (`!…`): types follow from the place
       4 | title: !!str A
         |              ^
      help: take the tag off
    ");
    assert_snapshot!(report("runbook: x\nschema: 1\ntarget: proxmox\nsteps: []\n---\nsteps: []\n"), @r"
    error RB003 x.yaml:5:1: a second document: one file is one document
       5 | ---
         | ^^^
    ");
    assert_snapshot!(report("runbook: x\nschema: 1\ntarget: proxmox\nsteps: []\nvars: {? [a] : 1}\n"), @r"
    error RB008 x.yaml:5:10: a key must be a text, but a list stands here
       5 | vars: {? [a] : 1}
         |          ^
    ");
}

#[test]
fn old_bools_and_odd_numbers() {
    assert_snapshot!(report("runbook: x\nschema: 1\ntarget: proxmox\nsteps: []\nparams:\n  a: {type: bool, default: yes}\n  b: {type: int, default: 010}\n  c: {type: version, default: 1.10}\n  d: {type: duration, default: 90}\n  e: {type: size, default: 32}\n  f: {type: int, default: \"3\"}\nvars: {v: 1.10, w: off}\n"), @r#"
    error RB004 x.yaml:6:28: `yes` is a bool in some YAML and a text in other
       6 |   a: {type: bool, default: yes}
         |                            ^^^
      help: write `true`, or "yes" for the text

    error RB005 x.yaml:7:27: `010`: a number with a leading zero
       7 |   b: {type: int, default: 010}
         |                           ^^^
      help: write 10 for the number, or "010" for the text

    error RB005 x.yaml:8:31: `1.10` is a number and would become 1.1
       8 |   c: {type: version, default: 1.10}
         |                               ^^^^
      help: write "1.10" for a version or another text

    error RB017 x.yaml:9:32: `d`: expected a duration such as 90s, 5m or 1h30m, but the number 90 stands here
       9 |   d: {type: duration, default: 90}
         |                                ^^
      help: give the unit: 90s, 90m or 90h

    error RB017 x.yaml:10:28: `e`: expected a size such as 512MiB, 32GiB or 32G, but the number 32 stands here
      10 |   e: {type: size, default: 32}
         |                            ^^
      help: give the unit: 32MiB or 32GiB

    error RB017 x.yaml:11:27: `f`: expected a whole number, but `3` stands here
      11 |   f: {type: int, default: "3"}
         |                           ^^^
      help: take the quotes off

    error RB005 x.yaml:12:11: `1.10` is a number and would become 1.1
      12 | vars: {v: 1.10, w: off}
         |           ^^^^
      help: write "1.10" for a version or another text

    error RB004 x.yaml:12:20: `off` is a bool in some YAML and a text in other
      12 | vars: {v: 1.10, w: off}
         |                    ^^^
      help: write `false`, or "off" for the text
    "#);
}

#[test]
fn a_schema_a_name_and_a_target() {
    assert_snapshot!(report("runbook: Y\nschema: 2\ntarget: proxmx\non_failure: continue\nlock: none\nsteps: {}\n"), @r"
    error RB027 x.yaml:1:10: the file is called `x`, the runbook `Y`
       1 | runbook: Y
         |          ^
      help: write runbook: x, or call the file Y.yaml

    error RB008 x.yaml:2:9: expected 1, the only schema there is, but the number 2 stands here
       2 | schema: 2
         |         ^

    error RB008 x.yaml:3:9: expected one of proxmox, talos, none, but `proxmx` stands here
       3 | target: proxmx
         |         ^^^^^^
      help: did you mean `proxmox`?

    error RB008 x.yaml:4:13: expected one of stop, rollback, ask, but `continue` stands here
       4 | on_failure: continue
         |             ^^^^^^^^

    error RB008 x.yaml:6:8: expected a list of steps, but a map stands here
       6 | steps: {}
         |        ^
    ");
}

#[test]
fn parameters() {
    assert_snapshot!(report("runbook: x\nschema: 1\ntarget: proxmox\nsteps: []\nparams:\n  A: {type: int}\n  b: {type: integer}\n  c: {type: int, positional: 2}\n  d: {type: string, positional: rest, min: 1}\n  e: {type: int, required: true, default: 1}\n  f: {type: string, pattern: \"[\", items: int}\n  g: {type: int, default: 9, max: 8}\n  h: {type: string, enum: [a, b], default: c}\n  i: int\n  j: {type: string, default: \"{{ params.c }}\"}\n"), @r#"
    error RB026 x.yaml:6:3: `A` is no name of a parameter
       6 |   A: {type: int}
         |   ^
      help: lower-case letters, digits and `_`, a letter first

    error RB008 x.yaml:7:13: expected one of string, int, float, bool, list, map, path, duration, size, percent, version, ip, cidr, mac, url, vmid, node, guest, cluster, secret, but `integer` stands here
       7 |   b: {type: integer}
         |             ^^^^^^^

    error RB026 x.yaml:8:30: position 2, but there are 1 positions
       8 |   c: {type: int, positional: 2}
         |                              ^
      help: positions count from 1 without a gap

    error RB026 x.yaml:9:33: `rest` is for a list: it takes all arguments that are left
       9 |   d: {type: string, positional: rest, min: 1}
         |                                 ^^^^

    error RB017 x.yaml:9:44: `d`: expected a text, but the number 1 stands here
       9 |   d: {type: string, positional: rest, min: 1}
         |                                            ^
      help: write "1": without quotes it is a number

    error RB026 x.yaml:10:43: `e` is required and has a default
      10 |   e: {type: int, required: true, default: 1}
         |                                           ^
      help: take one off

    error RB026 x.yaml:11:30: this is no regular expression: error: unclosed character class
      11 |   f: {type: string, pattern: "[", items: int}
         |                              ^^^

    error RB026 x.yaml:11:42: `items` is for a list
      11 |   f: {type: string, pattern: "[", items: int}
         |                                          ^^^
      help: take it off, or make the type list

    error RB017 x.yaml:12:27: `g`: expected at most 8, but the number 9 stands here
      12 |   g: {type: int, default: 9, max: 8}
         |                           ^

    error RB017 x.yaml:13:44: `h`: expected one of a, b, but `c` stands here
      13 |   h: {type: string, enum: [a, b], default: c}
         |                                            ^

    error RB008 x.yaml:14:6: expected a parameter as a map, but `int` stands here
      14 |   i: int
         |      ^^^

    error RB021 x.yaml:15:31: the default of `j` uses `params`
      15 |   j: {type: string, default: "{{ params.c }}"}
         |                               ^^^^^^^^^^^^^^
      help: a default may use `cluster` and `config`
    "#);
}

#[test]
fn verbs() {
    assert_snapshot!(steps("  - id: a\n  - uses: proxmox.guest_unlock\n    with: {guest: 100}\n    confirm: Really?\n  - use: proxmox.guest_unlock\n"), @r"
    error RB010 x.yaml:5:5: a step needs a verb: uses, confirm, steps or parallel
       5 |   - id: a
         |     ^
      help: for an action of the catalogue: uses: proxmox.guest_migrate

    error RB010 x.yaml:8:5: a step has one verb, but here are `uses` and `confirm`
       8 |     confirm: Really?
         |     ^^^^^^^
       6 |   - uses: proxmox.guest_unlock
         |     ^^^^ the first one
      help: make two steps of it

    error RB006 x.yaml:9:5: a step has no key `use`
       9 |   - use: proxmox.guest_unlock
         |     ^^^
      help: did you mean `uses`?

    error RB010 x.yaml:9:5: a step needs a verb: uses, confirm, steps or parallel
       9 |   - use: proxmox.guest_unlock
         |     ^
      help: for an action of the catalogue: uses: proxmox.guest_migrate
    ");
}

#[test]
fn actions_and_their_parameters() {
    assert_snapshot!(steps("  - uses: proxmox.guest_migrte\n  - uses: guest_unlock\n  - uses: nothing.like_it\n"), @r"
    error RB015 x.yaml:5:11: there is no action `proxmox.guest_migrte`
       5 |   - uses: proxmox.guest_migrte
         |           ^^^^^^^^^^^^^^^^^^^^
      help: did you mean `proxmox.guest_migrate`?

    error RB015 x.yaml:6:11: there is no action `guest_unlock`
       6 |   - uses: guest_unlock
         |           ^^^^^^^^^^^^
      help: did you mean `proxmox.guest_unlock`?

    error RB015 x.yaml:7:11: there is no action `nothing.like_it`
       7 |   - uses: nothing.like_it
         |           ^^^^^^^^^^^^^^^
      help: `runbook actions` lists them
    ");
    assert_snapshot!(steps("  - uses: proxmox.guest_migrate\n    with: {guests: 100, mode: lvie, to: [a], storages: x}\n"), @r"
    error RB016 x.yaml:5:11: `proxmox.guest_migrate` needs `guest`
       5 |   - uses: proxmox.guest_migrate
         |           ^^^^^^^^^^^^^^^^^^^^^
      help: with: {guest: <guest>}

    error RB016 x.yaml:6:12: `proxmox.guest_migrate` has no parameter `guests`
       6 |     with: {guests: 100, mode: lvie, to: [a], storages: x}
         |            ^^^^^^
      help: did you mean `guest`?

    error RB017 x.yaml:6:31: `mode`: expected one of live, offline, restart, but `lvie` stands here
       6 |     with: {guests: 100, mode: lvie, to: [a], storages: x}
         |                               ^^^^
      help: did you mean `live`?

    error RB017 x.yaml:6:41: `to`: expected the name of a Proxmox node, but a list stands here
       6 |     with: {guests: 100, mode: lvie, to: [a], storages: x}
         |                                         ^

    error RB017 x.yaml:6:56: `storages`: expected a map, but `x` stands here
       6 |     with: {guests: 100, mode: lvie, to: [a], storages: x}
         |                                                        ^
    ");
    assert_snapshot!(steps("  - uses: talos.etcd_snapshot\n    with: {to: a, version: 1.10}\n  - uses: proxmox.guest_shutdown\n    with: {guest: 99, timeout: 30}\n"), @r#"
    error RB005 x.yaml:6:28: `1.10` is a number and would become 1.1
       6 |     with: {to: a, version: 1.10}
         |                            ^^^^
      help: write "1.10" for a version or another text

    error RB017 x.yaml:8:19: `guest`: expected a VMID or the name of a guest, but the number 99 stands here
       8 |     with: {guest: 99, timeout: 30}
         |                   ^^

    error RB017 x.yaml:8:32: `timeout`: expected a duration such as 90s, 5m or 1h30m, but the number 30 stands here
       8 |     with: {guest: 99, timeout: 30}
         |                                ^^
      help: give the unit: 30s, 30m or 30h
    "#);
}

#[test]
fn ids_that_paths_use() {
    assert_snapshot!(steps("  - id: undo\n    confirm: A\n"), @r"
    error RB012 x.yaml:5:9: `undo` cannot be a step's id
       5 |   - id: undo
         |         ^^^^
      help: paths of steps use the word, as in `STEP/undo`: say more, `undo_it` maybe
    ");
    assert!(
        ["finally", "require"].iter().all(|id| steps(&format!("  - id: {id}\n    confirm: A\n")).contains("RB012"))
    );
}

#[test]
fn ids() {
    assert_snapshot!(steps("  - id: Move-It\n    confirm: A\n  - id: b\n    confirm: A\n  - id: b\n    confirm: A\n"), @r"
    error RB012 x.yaml:5:9: `Move-It` is no id
       5 |   - id: Move-It
         |         ^^^^^^^
      help: lower-case letters, digits and `_`, a letter first: `move_it`

    error RB012 x.yaml:9:9: two steps have the id `b`
       9 |   - id: b
         |         ^
       7 |   - id: b
         |         ^ the first one
      help: ids are unique in their scope
    ");
}

#[test]
fn needs_and_cycles() {
    assert_snapshot!(steps("  - id: first\n    confirm: A\n    needs: [frist, third]\n  - id: second\n    confirm: A\n  - id: third\n    confirm: A\n  - id: own\n    confirm: A\n    needs: [own]\n"), @r"
    error RB014 x.yaml:5:5: these steps wait for each other: `first` (line 5) -> `third` (line 10) -> `second` (line 8) -> `first` (line 5)
       5 |   - id: first
         |     ^
       5 |   - id: first
         |     ^ `first` needs `third`
      10 |   - id: third
         |     ^ `third` needs `second`
       8 |   - id: second
         |     ^ `second` needs `first`
      help: take one of these needs off

    error RB013 x.yaml:7:13: there is no sibling with the id `frist`
       7 |     needs: [frist, third]
         |             ^^^^^
      help: did you mean `first`?

    error RB014 x.yaml:12:5: these steps wait for each other: `own` (line 12) -> `own` (line 12)
      12 |   - id: own
         |     ^
      12 |   - id: own
         |     ^ `own` needs `own`
      help: take one of these needs off
    ");
}

#[test]
fn an_alias_bomb_is_refused_at_once() {
    let mut text = String::from("a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n");
    for i in 1..12 {
        let aliases = vec![format!("*a{}", i - 1); 9].join(", ");
        text.push_str(&format!("a{i}: &a{i} [{aliases}]\n"));
    }
    let report = report(&text);
    assert!(report.contains("RB003") && report.contains("more than 300000 values"), "{report}");
}

#[test]
fn values_of_an_alias_are_taken() {
    assert_eq!(report("runbook: x\nschema: 1\ntarget: proxmox\nvars: {a: &a [1], b: *a}\nsteps: []\n"), "");
}

#[test]
fn what_may_be_a_secret_is_not_shown() {
    let text = "runbook: x\nschema: 1\ntarget: none\nsteps: []\nparams: {pw: {type: secret, default: hunter2}}\n";
    assert_snapshot!(report(text), @"error RB017 x.yaml:5:38: `pw`: expected a reference such as pass:PATH, env:NAME or file:PATH, but something else stands here");
}
