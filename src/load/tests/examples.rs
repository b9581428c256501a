use insta::assert_debug_snapshot;
use proptest::prelude::*;

use super::*;
use crate::model::runbook::{Rollback, Verb};

fn load(name: &str, text: &str) -> Result<crate::model::runbook::Runbook, String> {
    let source = Source::new(name, text);
    load_runbook(&source, &catalogue(), &NoOthers).map_err(|found| said(&found))
}

#[test]
fn the_evacuation_of_the_design_loads() {
    let text = include_str!("../../../tests/data/load/language-node-evacuation.yaml");
    let runbook = load("runbooks/node-evacuation.yaml", text).unwrap();
    let summary: Vec<String> = runbook
        .steps
        .iter()
        .map(|s| format!("{} named={} needs={} line {}", s.id, s.named, s.needs.join(","), s.place.line))
        .collect();
    assert_debug_snapshot!(summary, @r#"
    [
        "placement named=true needs= line 12",
        "confirm named=false needs=placement line 16",
        "maintenance named=true needs=confirm line 19",
        "still_fits named=true needs=maintenance line 25",
        "move named=true needs=still_fits line 29",
        "node_empty named=false needs=move line 40",
    ]
    "#);
    assert_debug_snapshot!(runbook.params[1], @r#"
    Param {
        name: "keep_free",
        ty: Percent,
        required: false,
        default: Some(
            Number(15),
        ),
        choices: [],
        pattern: None,
        min: None,
        max: None,
        items: None,
        positional: None,
        help: None,
    }
    "#);
    let step = &runbook.steps[4];
    assert_debug_snapshot!(step.for_each, @r#"
    Some(
        ForEach {
            list: Expr {
                source: "steps.placement.moves",
                place: Place {
                    line: 30,
                    column: 15,
                },
            },
            binding: "m",
            key: Some(
                Expr {
                    source: "m.vmid",
                    place: Place {
                        line: 32,
                        column: 10,
                    },
                },
            ),
            max_parallel: Some(
                Expr(
                    Expr {
                        source: "params.max_parallel",
                        place: Place {
                            line: 33,
                            column: 23,
                        },
                    },
                ),
            ),
            batches: [],
            limit: Some(
                Limit {
                    by: Expr {
                        source: "m.to",
                        place: Place {
                            line: 34,
                            column: 17,
                        },
                    },
                    max: 1,
                },
            ),
            max_failures: Count(
                0,
            ),
        },
    )
    "#);
    assert_debug_snapshot!(step.retry, @r"
    Some(
        Retry {
            attempts: 2,
            backoff: 30000,
            factor: 2.0,
            max: 300000,
            errors: [
                Transient,
                Locked,
            ],
        },
    )
    ");
    assert_eq!((runbook.steps[2].timeout, &step.rollback), (Some(1_800_000), &Rollback::Auto));
    let Verb::Uses { with, .. } = &step.verb else { panic!("a step with uses") };
    assert_debug_snapshot!(with[0], @r#"
    (
        "guest",
        Expr(
            Expr {
                source: "m.vmid",
                place: Place {
                    line: 36,
                    column: 23,
                },
            },
        ),
    )
    "#);
}

#[test]
fn the_other_examples_of_the_design_load() {
    let text = include_str!("../../../tests/data/load/language-etcd-snapshot.yaml");
    let runbook = load("etcd-snapshot.yaml", text).unwrap();
    assert_debug_snapshot!(runbook.steps[0].verb, @r#"
    Uses {
        action: "talos.etcd_snapshot",
        with: [
            (
                "to",
                Text(
                    Expr {
                        source: "{{ cluster.talos.config_dir }}/etcd-{{ run.id }}.snapshot",
                        place: Place {
                            line: 6,
                            column: 17,
                        },
                    },
                ),
            ),
        ],
    }
    "#);
    let text = include_str!("../../../tests/data/load/language-file.yaml");
    let runbook = load("node-evacuation.yaml", text).unwrap();
    assert_eq!(runbook.deadline, Some(14_400_000));
}

#[test]
fn what_is_shipped_loads() {
    for name in shipped::names() {
        let source = shipped::source(name).unwrap();
        // With the actions that there are: what is shipped must run, and not only be read.
        let others: Vec<_> = shipped::names().filter(|other| *other != name).filter_map(shipped::source).collect();
        let files = std::iter::once(&source).chain(&others).map(|one| (one.name.as_str(), one.text.as_str()));
        let loaded = read_with(&files.collect::<Vec<_>>(), &crate::actions::specs());
        let runbook = loaded.runbook.unwrap_or_else(|| panic!("{}", said(&loaded.found)));
        assert!(runbook.title.is_some() && runbook.description.is_some());
        assert!(source.text.starts_with("# yaml-language-server: $schema="));
    }
}

#[test]
fn ids_are_made_up_from_what_a_step_does() {
    let text = "runbook: x\nschema: 1\ntarget: proxmox\nsteps:\n  - uses: proxmox.guest_unlock\n    with: {guest: 100}\n  - uses: proxmox.guest_unlock\n    with: {guest: web-1}\n  - confirm: Sure?\n  - id: group\n    steps: []\n  - steps: [{confirm: A}]\nfinally:\n  - confirm: Done?\n";
    let runbook = load("x.yaml", text).unwrap();
    let ids: Vec<(&str, bool)> =
        runbook.steps.iter().chain(&runbook.finally).map(|s| (s.id.as_str(), s.named)).collect();
    assert_eq!(
        ids,
        [
            ("guest_unlock", false),
            ("guest_unlock_2", false),
            ("confirm", false),
            ("group", true),
            ("group_2", false),
            ("confirm_2", false)
        ]
    );
    assert_eq!(runbook.steps[1].needs, ["guest_unlock"]);
}

#[test]
fn a_runbook_survives_its_own_json() {
    let source = shipped::source("node-evacuation").unwrap();
    let runbook = load(&source.name, &source.text).unwrap();
    let json = serde_json::to_string(&runbook).unwrap();
    assert_eq!(serde_json::from_str::<crate::model::runbook::Runbook>(&json).unwrap(), runbook);
}

#[test]
fn steps_see_what_surely_came_before_them() {
    // A group's outputs, an outer step from inside a group, a diamond, a rollback's own step, and all in finally.
    assert_eq!(
        steps(
            r#"
  - id: plan
    uses: proxmox.plan_evacuation
    with: {node: pve1}
  - id: left
    uses: proxmox.plan_evacuation
    with: {node: "{{ steps.plan.plan.node }}"}
  - id: right
    needs: [plan]
    uses: ssh.run
    with: {host: pve1}
    rollback:
      - uses: ssh.run
        with: {host: "{{ steps.right.text ~ result.stdout ~ before.x ~ steps.plan.plan.node }}"}
    outputs: {text: "{{ result.stdout }}"}
  - id: both
    needs: [left, right]
    steps:
      - id: inner
        uses: ssh.run
        with: {host: "{{ steps.right.text }}"}
      - confirm: "{{ steps.inner.stdout }} {{ steps.left.moves | length }}"
    outputs: {said: "{{ steps.inner.stdout }}"}
  - confirm: "{{ steps.both.said }}"
    when: not steps.left.stops
  - id: each
    for_each: steps.left.moves
    key: item.vmid
    uses: ssh.run
    with: {host: "{{ item.to }}"}
    when: item.vmid > 100
  - confirm: "{{ steps.each['104'].stdout }}"
finally:
  - id: done
    confirm: A
    when: steps.right.text is defined
  - confirm: "{{ steps.both.said if steps.both is defined else '-' }}"
outputs: {said: "{{ steps.both.said }}"}
"#
        ),
        ""
    );
}

#[test]
fn literals_are_brought_into_their_json_form() {
    let text = "runbook: x\nschema: 1\ntarget: none\nsteps:\n  - uses: proxmox.guest_shutdown\n    with: {guest: 104, timeout: 5m}\n  - uses: talos.etcd_snapshot\n    with: {to: /a, version: v1.11.2}\n";
    let runbook = load("x.yaml", text).unwrap();
    let Verb::Uses { with, .. } = &runbook.steps[0].verb else { panic!("a step with uses") };
    assert_eq!(with[1], ("timeout".to_owned(), crate::model::runbook::Template::Literal(300_000.into())));
    let Verb::Uses { with, .. } = &runbook.steps[1].verb else { panic!("a step with uses") };
    assert_eq!(with[1], ("version".to_owned(), crate::model::runbook::Template::Literal("1.11.2".into())));
    assert_eq!(runbook.lock, crate::model::runbook::LockScope::Site);
}

#[test]
fn ten_thousand_steps_load_in_seconds() {
    let mut text = String::new();
    for i in 0..10_000 {
        let when = if i % 2 == 1 { format!("\n    when: steps.s{}.stdout != ''", i / 4 * 2) } else { String::new() };
        let id = if i % 2 == 0 { format!("id: s{i}\n    ") } else { String::new() };
        text.push_str(&format!("  - {id}uses: ssh.run\n    with: {{host: a}}{when}\n"));
    }
    let started = std::time::Instant::now();
    assert_eq!(steps(&text), "");
    // Measured 0.3 s in the dev profile; the bound only catches something quadratic.
    assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn loading_never_panics(text in "\\PC{0,200}") {
        report(&text);
    }

    #[test]
    fn loading_a_damaged_file_never_panics(cut in 0..4000usize, len in 0..40usize, put in "[ -~\n]{0,8}") {
        let mut text = shipped::source("node-evacuation").unwrap().text;
        let start = (0..=cut.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        let end = (0..=(start + len).min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0).max(start);
        text.replace_range(start..end, &put);
        report(&text);
    }

    #[test]
    fn loading_steps_never_panics(text in "(  - (id|uses|when|with|needs|for_each|rollback|confirm|steps|retry|verify): [ -~]{0,30}\n){0,6}") {
        steps(&text);
    }
}
