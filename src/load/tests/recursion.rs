//! Procedures and runbooks that call each other without an end.

use insta::assert_snapshot;

use super::*;

#[test]
fn within_a_file() {
    assert_snapshot!(report("runbook: x\nschema: 1\ntarget: none\nsteps: [{uses: local.one}]\ndefine:\n  one:\n    steps:\n      - steps: [{uses: local.two}]\n  two:\n    finally:\n      - uses: local.one\n    steps: []\n  self:\n    steps: [{confirm: A}, {uses: local.self}]\n"), @r"
    error RB029 x.yaml:8:17: these call each other without an end: `local.one` (x.yaml:8) -> `local.two` (x.yaml:11) -> `local.one`
       8 |       - steps: [{uses: local.two}]
         |                 ^
       8 |       - steps: [{uses: local.two}]
         |                 ^ `local.one` calls `local.two`
      11 |       - uses: local.one
         |         ^ `local.two` calls `local.one`
      help: take one of these calls off: repetition is `for_each`, `retry` or a check with `within`

    error RB029 x.yaml:14:27: these call each other without an end: `local.self` (x.yaml:14) -> `local.self`
      14 |     steps: [{confirm: A}, {uses: local.self}]
         |                           ^
      help: take one of these calls off: repetition is `for_each`, `retry` or a check with `within`
    ");
}

#[test]
fn over_two_files() {
    let x = "runbook: x\nschema: 1\ntarget: none\nsteps:\n  - uses: runbook:y\n";
    let y = "runbook: y\nschema: 1\ntarget: none\nsteps:\n  - confirm: A\n  - uses: local.back\ndefine:\n  back:\n    steps:\n      - uses: ./x.yaml\n";
    assert_snapshot!(report_of(&[("x.yaml", x), ("y.yaml", y)]), @r"
    error RB029 x.yaml:5:5: these call each other without an end: `runbook:x` (x.yaml:5) -> `runbook:y` (y.yaml:6) -> `runbook:y/local.back` (y.yaml:10) -> `runbook:x`
       5 |   - uses: runbook:y
         |     ^
       5 |   - uses: runbook:y
         |     ^ `runbook:x` calls `runbook:y`
      help: take one of these calls off: repetition is `for_each`, `retry` or a check with `within`
    ");
}

#[test]
fn only_among_the_called() {
    let x = "runbook: x\nschema: 1\ntarget: none\nsteps: [{uses: runbook:y}]\n";
    let y = "runbook: y\nschema: 1\ntarget: none\nsteps:\n  - uses: runbook:z\n";
    let z = "runbook: z\nschema: 1\ntarget: none\nsteps:\n  - uses: runbook:y\n";
    assert_snapshot!(report_of(&[("x.yaml", x), ("y.yaml", y), ("z.yaml", z)]), @r"
    error RB029 y.yaml:5:5: these call each other without an end: `runbook:y` (y.yaml:5) -> `runbook:z` (z.yaml:5) -> `runbook:y`
       5 |   - uses: runbook:z
         |     ^
       5 |   - uses: runbook:z
         |     ^ `runbook:y` calls `runbook:z`
      help: take one of these calls off: repetition is `for_each`, `retry` or a check with `within`
    ");
}

#[test]
fn what_only_looks_like_it() {
    // A procedure of the called file that calls the caller back, but that nobody calls, and one called twice.
    let x = "runbook: x\nschema: 1\ntarget: none\nsteps: [{uses: runbook:y}, {uses: local.a}, {uses: local.a}]\ndefine: {a: {steps: [{uses: local.b}]}, b: {steps: []}}\n";
    let y = "runbook: y\nschema: 1\ntarget: none\nsteps: []\ndefine: {unused: {steps: [{uses: runbook:x}]}}\n";
    assert_eq!(report_of(&[("x.yaml", x), ("y.yaml", y)]), "");
}
