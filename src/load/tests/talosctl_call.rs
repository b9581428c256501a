//! `talosctl` in an `argv`: held against the command line of each version as far as its words are literal.

use super::*;

/// What is said of `argv`, and how grave it is.
fn talosctl(argv: &str) -> (bool, String) {
    use crate::model::action_spec::ActionSpec;
    use crate::model::effect::Effect;
    use crate::model::param::{Param, ValueType};
    let text = format!(
        "runbook: x\nschema: 1\ntarget: none\nparams:\n  node: {{type: string}}\n  words: {{type: list}}\nsteps:\n  - id: a\n    uses: local.run\n    with: {{argv: {argv}}}\n"
    );
    let spec = ActionSpec::new("local.run", Effect::Change, "Run").param(Param::new("argv", ValueType::List));
    let read = read_runbook(&Source::new("x.yaml", text.as_str()), &[(spec.name.clone(), spec)].into(), &NoOthers);
    (read.found.is_broken(), said(&read.found))
}

#[test]
fn what_every_version_takes_is_fine_and_open_words_are_left_alone() {
    for argv in [
        "[talosctl, --nodes, 10.0.0.2, version]",
        "[talosctl, -n, \"{{ params.node }}\", get, members, -o, json]",
        "[talosctl, --nodes, \"{{ params.node }}\", upgrade, --image, \"x:{{ params.node }}\", \"--wait={{ params.node }}\"]",
        "[talosctl, \"{{ params.node }}\", whatever, --this-is]",
        "[talosctl, etcd, \"{{ params.node }}\"]",
        "\"{{ params.words }}\"",
        "[kubectl, get, --no-such-flag]",
        "[talosctl-1.13, upgrade, --no-reboot, --image, x]",
        "[/opt/bin/talosctl, --nodes, \"10.0.0.2,10.0.0.3\", version]",
    ] {
        assert_eq!(talosctl(argv), (false, String::new()), "{argv}");
    }
}

#[test]
fn what_no_version_takes_is_an_error_at_its_word() {
    for (argv, place, parts) in [
        ("[talosctl, frobnicate]", "10:29", ["no known version of talosctl takes this", "unknown command"]),
        (
            "[talosctl, upgrade, --imag, x]",
            "10:38",
            ["unknown flag: --imag", "`talosctl upgrade --help` says what there is"],
        ),
        ("[talosctl, etcd, snapshot]", "10:18", ["accepts 1 arg(s), received 0", "`talosctl etcd snapshot --help`"]),
        ("[talosctl, upgrade, --wait=maybe]", "10:38", ["invalid argument", "ParseBool"]),
        (
            "[talosctl-1.12, upgrade, --no-reboot]",
            "10:43",
            ["talosctl does not take this: 1.12 says", "unknown flag: --no-reboot"],
        ),
    ] {
        let (broken, found) = talosctl(argv);
        assert!(broken && found.contains(place) && parts.iter().all(|part| found.contains(part)), "{argv}: {found}");
        assert!(found.contains("RB017"), "{argv}: {found}");
    }
}

#[test]
fn what_some_versions_do_not_take_is_a_warning_that_names_them() {
    for (argv, parts) in [
        (
            "[talosctl, upgrade, --no-reboot, --image, x]",
            ["talosctl 1.9, 1.11, 1.12 does not take this", "it goes with 1.13, 1.14 alone"],
        ),
        (
            "[talosctl, upgrade, --insecure, --image, x]",
            ["talosctl 1.14 does not take this", "it goes with 1.9, 1.11, 1.12, 1.13 alone"],
        ),
        (
            "[talosctl, upgrade, --preserve, --image, x]",
            ["talosctl 1.13, 1.14 says: Flag --preserve has been deprecated", "leave it out"],
        ),
        (
            "[talosctl, etcd, downgrade, validate, \"3.5\"]",
            ["talosctl 1.9 does not take this: no command \"downgrade\"", "it goes with 1.11, 1.12, 1.13, 1.14 alone"],
        ),
    ] {
        let (broken, found) = talosctl(argv);
        assert!(!broken && parts.iter().all(|part| found.contains(part)), "{argv}: {found}");
    }
}

#[test]
fn what_takes_nodes_down_names_one_of_them() {
    for argv in [
        "[talosctl, --nodes, \"10.0.0.2,10.0.0.3\", upgrade, --image, x]",
        "[talosctl, -n, 10.0.0.2, -n, 10.0.0.3, reboot]",
        "[talosctl, reset, \"--nodes=10.0.0.2,{{ params.node }}\"]",
        "[talosctl, etcd, defrag, -n, 10.0.0.2, -n, \"{{ params.node }}\"]",
    ] {
        let (broken, found) = talosctl(argv);
        assert!(
            broken && found.contains("of 2 nodes at once: they go down together") && found.contains("max_parallel: 1"),
            "{argv}: {found}"
        );
    }
}
