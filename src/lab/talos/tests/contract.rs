//! The stand-in takes exactly what the contract of its version has.

use super::*;

const WALKED: [&str; 5] = ["1.9", "1.11", "1.12", "1.13", "1.14"];

/// What the lab answers itself.
const STOOD_IN: [&str; 27] = [
    "apply-config",
    "bootstrap",
    "dmesg",
    "etcd alarm disarm",
    "etcd alarm list",
    "etcd defrag",
    "etcd forfeit-leadership",
    "etcd members",
    "etcd remove-member",
    "etcd snapshot",
    "etcd status",
    "get",
    "health",
    "image list",
    "image pull",
    "logs",
    "read",
    "reboot",
    "reset",
    "rollback",
    "service",
    "services",
    "shutdown",
    "time",
    "upgrade",
    "version",
    "",
];

#[test]
fn every_command_is_stood_in_for_or_says_that_it_is_not() {
    for version in WALKED {
        let contract = Contract::of(version).unwrap();
        for command in contract.commands.iter().filter(|command| command.runnable) {
            let path = command.path.join(" ");
            let count = command.args.as_deref().unwrap_or_default();
            let words = count.chars().find(char::is_ascii_digit).and_then(|digit| digit.to_digit(10)).unwrap_or(0);
            let mut line = format!("-n 10.0.0.51 {path}");
            (0..words).for_each(|_| line.push_str(" x"));
            let reply = call(&mut world(), version, &line);
            let says_not = reply.stderr.contains("the lab does not stand in for");
            // A flag that makes it wait for Kubernetes is the lab's to refuse as well.
            let ours = STOOD_IN.contains(&path.as_str()) && path != "upgrade";
            assert!(says_not != ours || path == "upgrade", "{version} {line}: {reply:?}");
            let wrong = call(&mut world(), version, &format!("{line} --no-such-flag"));
            assert!(
                wrong.exit == 1 && wrong.stderr.starts_with("unknown flag: --no-such-flag\n"),
                "{version} {line}: {wrong:?}"
            );
        }
        let unknown = call(&mut world(), version, "-n 10.0.0.51 frobnicate");
        assert!(unknown.stderr.starts_with("unknown command \"frobnicate\" for \"talosctl\""), "{unknown:?}");
    }
}

#[test]
fn a_flag_of_another_version_is_refused_and_one_that_goes_away_is_told() {
    let said = |version: &str, line: &str| call(&mut world(), version, &format!("-n 10.0.0.51 {line}")).stderr;
    assert!(said("1.12", "upgrade --no-reboot").starts_with("unknown flag: --no-reboot\n"));
    assert!(said("1.14", "upgrade --insecure").starts_with("unknown flag: --insecure\n"));
    assert!(said("1.13", "upgrade --preserve").starts_with("Flag --preserve has been deprecated"));
    assert!(said("1.11", "image default").contains("does not stand in"));
    assert!(said("1.12", "disks").starts_with("unknown command \"disks\""));
}

#[test]
fn a_machine_with_a_configuration_wants_a_certificate() {
    let said = call(&mut world(), "1.13", "-n 10.0.0.51 version --insecure");
    assert!(said.stderr.contains("remote error: tls: certificate required"), "{said:?}");
}
