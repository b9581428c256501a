//! Broken steps: expressions, references, modifiers, and what is said of them.

use insta::assert_snapshot;

use super::*;

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

    error RB011 x.yaml:7:94: `every` without `within` or `stable_for`: how long?
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
fn local_procedures() {
    assert_snapshot!(report("runbook: x\nschema: 1\ntarget: proxmox\nsteps:\n  - uses: local.onne\n  - uses: local.one\n    with: {b: 1}\ndefine:\n  one: {params: {a: {type: int}}, steps: [{confirm: \"{{ params.b }}\"}], stpes: []}\n"), @r#"
    error RB015 x.yaml:5:11: `local.onne` is neither an action nor defined in this file
       5 |   - uses: local.onne
         |           ^^^^^^^^^^
      help: did you mean `local.one`?

    error RB016 x.yaml:6:11: `local.one` needs `a`
       6 |   - uses: local.one
         |           ^^^^^^^^^
      help: with: {a: <int>}

    error RB016 x.yaml:7:12: `local.one` has no parameter `b`
       7 |     with: {b: 1}
         |            ^
      help: it has a

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
fn fan_outs_and_times() {
    assert_snapshot!(steps("  - uses: proxmox.node_empty\n    with: {node: pve1}\n    gate: [{uses: proxmox.node_empty, with: {node: pve1}}]\n    timeout: 10m\n    deadline: 5m\n    verify: [{expect: \"true\", stable_for: 10s}, {uses: proxmox.node_empty, with: {node: pve1}, every: 1s, stable_for: 10s}]\n  - for_each: \"[1, 2]\"\n    uses: proxmox.guest_unlock\n    with: {guest: \"{{ item }}\"}\n    batches: [0, 0%, 101%, 25%]\n    gate: [{expect: item == 1}]\n  - for_each: \"[1, 2]\"\n    uses: proxmox.guest_unlock\n    with: {guest: \"{{ item }}\"}\n    batches: []\n"), @r#"
    error RB011 x.yaml:7:5: `gate` needs `for_each`, and this step has none
       7 |     gate: [{uses: proxmox.node_empty, with: {node: pve1}}]
         |     ^^^^
      help: add for_each, or take `gate` off

    warning RB011 x.yaml:9:15: the deadline is over before the timeout of a single attempt is
       9 |     deadline: 5m
         |               ^^
      help: `timeout` is for one attempt, `deadline` for all of them: make it longer

    error RB011 x.yaml:10:31: `stable_for` needs `uses`
      10 |     verify: [{expect: "true", stable_for: 10s}, {uses: proxmox.node_empty, with: {node: pve1}, every: 1s, stable_for: 10s}]
         |                               ^^^^^^^^^^
      help: without `uses` a check is a test of `result`, made once

    error RB008 x.yaml:14:15: a batch of nothing
      14 |     batches: [0, 0%, 101%, 25%]
         |               ^
      help: a number from 1, or a share from 1%

    error RB008 x.yaml:14:18: a batch of nothing
      14 |     batches: [0, 0%, 101%, 25%]
         |                  ^^
      help: a number from 1, or a share from 1%

    error RB008 x.yaml:14:22: expected a whole number, or a share such as 25%, but `101%` stands here
      14 |     batches: [0, 0%, 101%, 25%]
         |                      ^^^^

    error RB021 x.yaml:15:21: there is no `item`
      15 |     gate: [{expect: item == 1}]
         |                     ^^^^
      help: names are params, vars, cluster, config, run, steps; a text needs quotes: 'item'

    error RB008 x.yaml:19:14: `batches` is empty
      19 |     batches: []
         |              ^
      help: say how many at first: [1, 25%, 100%]
    "#);
}

#[test]
fn the_whole_language_is_taken() {
    assert_eq!(
        report(
            "runbook: x\nschema: 1\ntarget: proxmox\ndeadline: 4h\non_failure: ask\nsteps:\n  - parallel: [{confirm: A}, {confirm: B}]\n  - uses: local.one\n    with: {a: 1}\n  - id: shut\n    uses: ssh.run\n    with: {host: a}\n    verify: [{uses: proxmox.node_empty, with: {node: pve1}, within: 1m, stable_for: 10s}]\n  - for_each: steps.shut.stdout\n    uses: proxmox.guest_unlock\n    with: {guest: \"{{ item }}\"}\n    batches: [1, 25%]\n    max_parallel: 2\n    gate: [{uses: proxmox.node_empty, with: {node: pve1}}]\n    max_failures: 10%\n    optional: true\n    deadline: 1h\n  - for_each: \"[1, 2]\"\n    steps: [{uses: local.one, with: {a: \"{{ item }}\"}}]\n    gate: [{expect: steps.shut.stdout != ''}]\n    on_failure: rollback\ndefine:\n  one: {params: {a: {type: int}}, steps: [{confirm: A}]}\n"
        ),
        ""
    );
}
