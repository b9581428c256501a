//! Broken files and what is said of them.

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
fn expressions() {
    assert_snapshot!(steps("  - confirm: A\n    when: params.x ==\n  - confirm: \"a {{ b\"\n  - confirm: A\n    when: \"1 | lenght > 0\"\n  - confirm: A\n    when: \"{{ true }}\"\n  - confirm: A\n    when: \"x {{ true }}\"\n  - confirm: A\n    when: [a]\n  - confirm: \"{% if a %}\"\n"), @r#"
    error RB020 x.yaml:6:20: in the expression `params.x ==`: unexpected end of input, expected expression
       6 |     when: params.x ==
         |                    ^

    error RB020 x.yaml:7:17: `{{` is not closed: `}}` expected
       7 |   - confirm: "a {{ b"
         |                 ^

    error RB020 x.yaml:9:16: in the expression `1 | lenght > 0`: there is no filter `lenght`; did you mean `length`?
       9 |     when: "1 | lenght > 0"
         |                ^

    warning RB025 x.yaml:11:11: the braces are not needed here
      11 |     when: "{{ true }}"
         |           ^^^^^^^^^^^^
      help: write `true`; `runbook fmt` takes them off

    error RB020 x.yaml:13:14: in the expression `x {{ true }}`: unexpected input after expression
      13 |     when: "x {{ true }}"
         |              ^

    error RB008 x.yaml:15:11: expected an expression, but a list stands here
      15 |     when: [a]
         |           ^

    error RB020 x.yaml:16:15: only `{{ expression }}` has a meaning in text; for the characters themselves write {{ '{%' }}
      16 |   - confirm: "{% if a %}"
         |               ^
    "#);
}

#[test]
fn names_that_do_not_exist() {
    assert_snapshot!(report("runbook: x\nschema: 1\ntarget: proxmox\nparams: {node: {type: node}}\nvars: {a: \"{{ vars.b }}\", b: 1}\nsteps:\n  - confirm: \"{{ param.node }} and {{ params.nod }}\"\n  - confirm: A\n    when: run.idd == config.polcy.x and result.a and foo\n  - confirm: A\n    when: steps == cluster.tlaos\n"), @r#"
    error RB021 x.yaml:5:15: `vars.b` is defined further down
       5 | vars: {a: "{{ vars.b }}", b: 1}
         |               ^^^^^^
      help: a variable may use those above it

    error RB021 x.yaml:7:18: there is no `param`
       7 |   - confirm: "{{ param.node }} and {{ params.nod }}"
         |                  ^^^^^^^^^^
      help: did you mean `params`?

    error RB021 x.yaml:7:39: there is no `params.nod`
       7 |   - confirm: "{{ param.node }} and {{ params.nod }}"
         |                                       ^^^^^^^^^^
      help: did you mean `params.node`?

    error RB021 x.yaml:9:11: there is no `run.idd`
       9 |     when: run.idd == config.polcy.x and result.a and foo
         |           ^^^^^^^
      help: did you mean `run.id`?

    error RB021 x.yaml:9:22: there is no `config.polcy`
       9 |     when: run.idd == config.polcy.x and result.a and foo
         |                      ^^^^^^^^^^^^^^
      help: did you mean `config.policy`?

    error RB021 x.yaml:9:41: there is no `result` here
       9 |     when: run.idd == config.polcy.x and result.a and foo
         |                                         ^^^^^^^^
      help: it is known in verify, outputs and rollback of a step with `uses`, and in expect of a check

    error RB021 x.yaml:9:54: there is no `foo`
       9 |     when: run.idd == config.polcy.x and result.a and foo
         |                                                      ^^^
      help: names are params, vars, cluster, config, run, steps; a text needs quotes: 'foo'

    error RB021 x.yaml:11:11: `steps` takes the id of a step as it is written
      11 |     when: steps == cluster.tlaos
         |           ^^^^^
      help: write steps.ID.OUTPUT

    error RB021 x.yaml:11:20: there is no `cluster.tlaos`
      11 |     when: steps == cluster.tlaos
         |                    ^^^^^^^^^^^^^
      help: did you mean `cluster.talos`?
    "#);
}

#[test]
fn references_to_steps() {
    assert_snapshot!(steps("  - id: late\n    confirm: A\n    when: steps.plan.moves | length > 0\n  - id: plan\n    needs: []\n    uses: proxmox.plan_evacuation\n    with: {node: pve2}\n    skip_if: steps.plan.moves == []\n  - confirm: A\n    when: steps.plan.movs == [] or steps.plna.moves == []\n  - uses: proxmox.guest_migrate\n    with: {guest: 1000, to: pve3}\n  - confirm: \"{{ steps.guest_migrate.node }}\"\n"), @r#"
    error RB022 x.yaml:7:11: `plan` does not surely come before this step
       7 |     when: steps.plan.moves | length > 0
         |           ^^^^^^^^^^^^^^^^
       8 |   - id: plan
         |     ^ it is here
      help: add it to what `late` needs: needs: [plan]

    error RB022 x.yaml:12:14: `plan` refers to itself
      12 |     skip_if: steps.plan.moves == []
         |              ^^^^^^^^^^^^^^^^
       8 |   - id: plan
         |     ^ it is here
      help: what it gave is `result`, in its verify, outputs and rollback

    error RB023 x.yaml:14:11: `steps.plan` has no output `movs`
      14 |     when: steps.plan.movs == [] or steps.plna.moves == []
         |           ^^^^^^^^^^^^^^^
      help: did you mean `steps.plan.moves`?

    error RB021 x.yaml:14:36: there is no step `plna` here
      14 |     when: steps.plan.movs == [] or steps.plna.moves == []
         |                                    ^^^^^^^^^^^^^^^^
      help: did you mean `steps.plan`?

    error RB021 x.yaml:17:18: the step that would be `guest_migrate` has no id of its own
      17 |   - confirm: "{{ steps.guest_migrate.node }}"
         |                  ^^^^^^^^^^^^^^^^^^^^^^^^
      15 |   - uses: proxmox.guest_migrate
         |     ^ this one
      help: give it id: guest_migrate
    "#);
}

#[test]
fn scripts() {
    assert_snapshot!(steps("  - uses: ssh.run\n    with: {host: a, script: \"rm {{ params.file }}\"}\n  - uses: ssh.run\n    with:\n      host: a\n      script: |\n        echo {{ run.id }}\n"), @r#"
    error RB024 x.yaml:6:33: `{{ }}` inside a script: text of a script is fixed
       6 |     with: {host: a, script: "rm {{ params.file }}"}
         |                                 ^^
      help: hand it over: env: {FILE: "{{ params.file }}"}, and write "$FILE" in the script

    error RB024 x.yaml:11:9: `{{ }}` inside a script: text of a script is fixed
      11 |         echo {{ run.id }}
         |         ^^^^^^^^^^^^^^^^^
      help: hand it over: env: {ID: "{{ run.id }}"}, and write "$ID" in the script
    "#);
}

#[test]
fn effects_retries_and_rollbacks() {
    assert_snapshot!(steps("  - uses: proxmox.guest_destroy\n    with: {guest: 100}\n    effect: change\n    retry: {attempts: 2}\n  - uses: proxmox.guest_unlock\n    with: {guest: 100}\n    effect: destroy\n    retry: {attempts: 0, factor: 0, errors: [transiant], backof: 3s}\n    rollback: auto\n  - uses: proxmox.guest_unlock\n    with: {guest: 100}\n    rollback: {}\n  - uses: proxmox.guest_unlock\n    with: {guest: 100}\n    rollback: never\n"), @r#"
    error RB018 x.yaml:7:13: `proxmox.guest_destroy` has effect destroy; it cannot be lowered to change
       7 |     effect: change
         |             ^^^^^^
      help: an author may only raise the effect: take the key off

    error RB019 x.yaml:8:12: `proxmox.guest_destroy` destroys: it is never retried by itself
       8 |     retry: {attempts: 2}
         |            ^
      help: take `retry` off; a person looks first and then says `runbook resume`

    error RB019 x.yaml:12:12: `proxmox.guest_unlock` destroys: it is never retried by itself
      12 |     retry: {attempts: 0, factor: 0, errors: [transiant], backof: 3s}
         |            ^
      help: take `retry` off; a person looks first and then says `runbook resume`

    error RB008 x.yaml:12:23: expected a whole number from 1, but the number 0 stands here
      12 |     retry: {attempts: 0, factor: 0, errors: [transiant], backof: 3s}
         |                       ^

    error RB008 x.yaml:12:34: expected a number from 1 to 100, but the number 0 stands here
      12 |     retry: {attempts: 0, factor: 0, errors: [transiant], backof: 3s}
         |                                  ^

    error RB008 x.yaml:12:46: expected one of transient, timeout, unreachable, locked, but `transiant` stands here
      12 |     retry: {attempts: 0, factor: 0, errors: [transiant], backof: 3s}
         |                                              ^^^^^^^^^
      help: did you mean `transient`?

    error RB006 x.yaml:12:58: a retry has no key `backof`
      12 |     retry: {attempts: 0, factor: 0, errors: [transiant], backof: 3s}
         |                                                          ^^^^^^
      help: did you mean `backoff`?

    error RB028 x.yaml:13:15: `proxmox.guest_unlock` has no inverse of its own
      13 |     rollback: auto
         |               ^^^^
      help: give steps that undo it, or rollback: {none: "why"}

    error RB007 x.yaml:16:15: a rollback needs the key `none`
      16 |     rollback: {}
         |               ^
      help: none: why nothing undoes it

    error RB008 x.yaml:19:15: expected auto, {none: "why"} or a list of steps, but `never` stands here
      19 |     rollback: never
         |               ^^^^^
    "#);
}

#[test]
fn modifiers_in_the_wrong_place() {
    assert_snapshot!(steps("  - confirm: A\n    as: m\n    with: {a: 1}\n    retry: {attempts: 2}\n    timeout: 30\n    rollback: auto\n  - uses: proxmox.guest_unlock\n    for_each: \"[100]\"\n    as: params\n    with: {guest: \"{{ item }}\"}\n    max_parallel: 0\n    limit: {by: item.to}\n    max_failures: 120%\n    on_failure: retry\n    optional: maybe\n"), @r#"
    error RB011 x.yaml:6:5: `as` needs `for_each`, and this step has none
       6 |     as: m
         |     ^^
      help: add for_each, or take `as` off

    error RB011 x.yaml:7:5: `with` needs `uses`, and this step has none
       7 |     with: {a: 1}
         |     ^^^^
      help: take `with` off

    error RB011 x.yaml:8:5: `retry` needs `uses`, and this step has none
       8 |     retry: {attempts: 2}
         |     ^^^^^
      help: take `retry` off

    error RB011 x.yaml:9:5: a `confirm` cannot have `timeout`
       9 |     timeout: 30
         |     ^^^^^^^
      help: take `timeout` off

    error RB008 x.yaml:9:14: expected a duration such as 90s, 5m or 1h30m, but the number 30 stands here
       9 |     timeout: 30
         |              ^^

    error RB011 x.yaml:10:5: a `confirm` cannot have `rollback`
      10 |     rollback: auto
         |     ^^^^^^^^
      help: take `rollback` off

    error RB012 x.yaml:13:9: `params` has a meaning already
      13 |     as: params
         |         ^^^^^^
      help: choose another name

    error RB008 x.yaml:15:19: expected a whole number from 1, or "{{ expression }}", but the number 0 stands here
      15 |     max_parallel: 0
         |                   ^

    error RB007 x.yaml:16:12: a limit needs the key `max`
      16 |     limit: {by: item.to}
         |            ^
      help: max: how many at once

    error RB008 x.yaml:17:19: expected a whole number, or a share such as 25%, but `120%` stands here
      17 |     max_failures: 120%
         |                   ^^^^

    error RB008 x.yaml:18:17: expected one of stop, rollback, ask, continue, but `retry` stands here
      18 |     on_failure: retry
         |                 ^^^^^

    error RB008 x.yaml:19:15: expected true or false, but `maybe` stands here
      19 |     optional: maybe
         |               ^^^^^
    "#);
}

#[test]
fn checks() {
    assert_snapshot!(report("runbook: x\nschema: 1\ntarget: proxmox\nrequire:\n  - {}\n  - {expect: result.x, every: 5s}\n  - {uses: proxmox.plan_evacuation, with: {node: pve1}, expect: 'result.movs == [1]', every: 5s}\n  - {uses: proxmox.guest_unlock, with: {guest: 100}}\nsteps:\n  - id: move\n    uses: proxmox.guest_migrate\n    with: {guest: 100, to: pve3}\n    verify: [{expect: result.nod == 'pve3', message: \"{{ before.x }}\"}]\n"), @r#"
    error RB007 x.yaml:5:5: a check needs `uses`, `expect` or both
       5 |   - {}
         |     ^

    error RB021 x.yaml:6:14: there is no `result` here
       6 |   - {expect: result.x, every: 5s}
         |              ^^^^^^^^
      help: it is known in verify, outputs and rollback of a step with `uses`, and in expect of a check

    error RB011 x.yaml:6:24: `every` needs `uses`
       6 |   - {expect: result.x, every: 5s}
         |                        ^^^^^
      help: without `uses` a check is a test of `result`, made once

    error RB023 x.yaml:7:66: `result` has no output `movs`
       7 |   - {uses: proxmox.plan_evacuation, with: {node: pve1}, expect: 'result.movs == [1]', every: 5s}
         |                                                                  ^^^^^^^^^^^
      help: did you mean `result.moves`?

    error RB011 x.yaml:7:94: `every` without `within`: how long?
       7 |   - {uses: proxmox.plan_evacuation, with: {node: pve1}, expect: 'result.movs == [1]', every: 5s}
         |                                                                                              ^^
      help: add within: 5m

    error RB018 x.yaml:8:12: a check only reads, but `proxmox.guest_unlock` has effect change
       8 |   - {uses: proxmox.guest_unlock, with: {guest: 100}}
         |            ^^^^^^^^^^^^^^^^^^^^
      help: make it a step of its own

    error RB023 x.yaml:13:23: `result` has no output `nod`
      13 |     verify: [{expect: result.nod == 'pve3', message: "{{ before.x }}"}]
         |                       ^^^^^^^^^^
      help: did you mean `result.node`?
    "#);
}

#[test]
fn what_is_not_executed_yet() {
    assert_snapshot!(report("runbook: x\nschema: 1\ntarget: proxmox\ndeadline: 4h\non_failure: ask\nsteps:\n  - parallel: [{confirm: A}, {confirm: B}]\n  - uses: runbook:etcd-backup\n  - uses: local.one\n    with: {a: 1}\n  - id: shut\n    uses: ssh.run\n    with: {host: a}\n    verify: [{uses: proxmox.node_empty, with: {node: pve1}, within: 1m, stable_for: 10s}]\n  - for_each: steps.shut.stdout\n    uses: proxmox.guest_unlock\n    with: {guest: \"{{ item }}\"}\n    batches: [1, 25%]\n    gate: [{expect: \"true\"}]\n    deadline: 1h\ndefine:\n  one: {params: {a: {type: int}}, steps: [{confirm: A}]}\n"), @r#"
    not yet RB040 x.yaml:4:11: `deadline`: understood, but not executed by this version
       4 | deadline: 4h
         |           ^^

    not yet RB040 x.yaml:5:13: `on_failure: ask`: understood, but not executed by this version
       5 | on_failure: ask
         |             ^^^

    not yet RB040 x.yaml:7:15: `parallel`: understood, but not executed by this version
       7 |   - parallel: [{confirm: A}, {confirm: B}]
         |               ^

    not yet RB040 x.yaml:8:11: another runbook as a step: understood, but not executed by this version
       8 |   - uses: runbook:etcd-backup
         |           ^^^^^^^^^^^^^^^^^^^

    not yet RB040 x.yaml:9:11: a local procedure (`local.`): understood, but not executed by this version
       9 |   - uses: local.one
         |           ^^^^^^^^^

    not yet RB040 x.yaml:14:85: `stable_for`: understood, but not executed by this version
      14 |     verify: [{uses: proxmox.node_empty, with: {node: pve1}, within: 1m, stable_for: 10s}]
         |                                                                                     ^^^

    not yet RB040 x.yaml:15:15: `for_each` over what only an applied step gives: understood, but not executed by this version
      15 |   - for_each: steps.shut.stdout
         |               ^^^^^^^^^^^^^^^^^

    not yet RB040 x.yaml:18:14: `batches`: understood, but not executed by this version
      18 |     batches: [1, 25%]
         |              ^

    not yet RB040 x.yaml:19:11: `gate`: understood, but not executed by this version
      19 |     gate: [{expect: "true"}]
         |           ^

    not yet RB040 x.yaml:20:15: `deadline`: understood, but not executed by this version
      20 |     deadline: 1h
         |               ^^

    not yet RB040 x.yaml:22:3: `define`: understood, but not executed by this version
      22 |   one: {params: {a: {type: int}}, steps: [{confirm: A}]}
         |   ^
    "#);
}

#[test]
fn local_procedures() {
    assert_snapshot!(report("runbook: x\nschema: 1\ntarget: proxmox\nsteps:\n  - uses: local.onne\n  - uses: local.one\n    with: {b: 1}\ndefine:\n  one: {params: {a: {type: int}}, steps: [{confirm: \"{{ params.b }}\"}], stpes: []}\n"), @r#"
    not yet RB040 x.yaml:5:11: a local procedure (`local.`): understood, but not executed by this version
       5 |   - uses: local.onne
         |           ^^^^^^^^^^

    error RB015 x.yaml:5:11: `define` has no `onne`
       5 |   - uses: local.onne
         |           ^^^^^^^^^^
      help: did you mean `local.one`?

    not yet RB040 x.yaml:6:11: a local procedure (`local.`): understood, but not executed by this version
       6 |   - uses: local.one
         |           ^^^^^^^^^

    error RB016 x.yaml:6:11: `local.one` needs `a`
       6 |   - uses: local.one
         |           ^^^^^^^^^
      help: with: {a: <int>}

    error RB016 x.yaml:7:12: `local.one` has no parameter `b`
       7 |     with: {b: 1}
         |            ^
      help: it has a

    not yet RB040 x.yaml:9:3: `define`: understood, but not executed by this version
       9 |   one: {params: {a: {type: int}}, steps: [{confirm: "{{ params.b }}"}], stpes: []}
         |   ^

    error RB021 x.yaml:9:57: there is no `params.b`
       9 |   one: {params: {a: {type: int}}, steps: [{confirm: "{{ params.b }}"}], stpes: []}
         |                                                         ^^^^^^^^
      help: `params` has a

    error RB006 x.yaml:9:73: a local procedure has no key `stpes`
       9 |   one: {params: {a: {type: int}}, steps: [{confirm: "{{ params.b }}"}], stpes: []}
         |                                                                         ^^^^^
      help: did you mean `steps`?
    "#);
}

#[test]
fn an_alias_bomb_is_refused_at_once() {
    let mut text = String::from("a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n");
    for i in 1..12 {
        let aliases = vec![format!("*a{}", i - 1); 9].join(", ");
        text.push_str(&format!("a{i}: &a{i} [{aliases}]\n"));
    }
    let report = report(&text);
    assert!(report.contains("RB003") && report.contains("more than 100000 values"), "{report}");
}

#[test]
fn values_of_an_alias_are_taken() {
    assert_eq!(report("runbook: x\nschema: 1\ntarget: proxmox\nvars: {a: &a [1], b: *a}\nsteps: []\n"), "");
}
