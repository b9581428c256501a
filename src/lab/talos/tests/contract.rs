//! The stand-in takes exactly what the contract of its version has.

use super::*;

const WALKED: [&str; 5] = ["1.9", "1.11", "1.12", "1.13", "1.14"];

/// What the lab answers itself.
const STOOD_IN: [&str; 29] = [
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
    "mounts",
    "read",
    "reboot",
    "reset",
    "rollback",
    "service",
    "services",
    "shutdown",
    "time",
    "upgrade",
    "upgrade-k8s",
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
            // What it does not do without is asked for before anything else.
            let says_not =
                ["the lab does not stand in for", "required flag(s)"].iter().any(|of| reply.stderr.contains(of));
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

/// A value as its type wants it, and one that it refuses.
fn values(kind: &str) -> (String, Option<&'static str>) {
    match kind {
        "bool" => ("false".into(), Some("maybe")),
        "int" | "int32" | "uint" | "uint16" => ("1".into(), Some("one")),
        "float" => ("1.5".into(), Some("half")),
        "duration" => ("1m30s".into(), Some("90")),
        choices if choices.contains(", ") => (choices.split(", ").next().unwrap_or_default().into(), Some("nonsense")),
        _ => ("x".into(), None),
    }
}

/// The least and the most words that a command takes.
fn counts(rule: Option<&str>) -> (usize, usize) {
    let rule = rule.unwrap_or("ArbitraryArgs");
    let numbers: Vec<usize> =
        rule.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
    match (rule.split('(').next().unwrap_or_default(), &numbers[..]) {
        ("NoArgs", _) => (0, 0),
        ("ExactArgs" | "MatchAll", [k, ..]) => (*k, *k),
        ("MaximumNArgs", [k]) => (0, *k),
        ("MinimumNArgs", [k]) => (*k, usize::MAX),
        ("RangeArgs", [a, b]) => (*a, *b),
        ("ArbitraryArgs", _) => (0, usize::MAX),
        other => panic!("a rule that nobody has written down here: {other:?}"),
    }
}

/// In which words talosctl itself refuses, before it speaks to anybody.
const REFUSALS: [&str; 8] = [
    "unknown flag",
    "unknown shorthand flag",
    "unknown command",
    "invalid argument",
    "flag needs an argument",
    "accepts ",
    "requires at least",
    "required flag(s)",
];

#[track_caller]
fn takes(world: &World, version: &str, line: &str) -> Reply {
    let reply = call(&mut world.clone(), version, line);
    let said = reply.stderr.lines().find(|line| !line.starts_with("Flag --")).unwrap_or_default();
    assert!(!REFUSALS.iter().any(|refusal| said.starts_with(refusal)), "{version} {line}: {reply:?}");
    reply
}

#[track_caller]
fn refuses(world: &World, version: &str, line: &str, said: &str) {
    let reply = call(&mut world.clone(), version, line);
    assert!(reply.exit == 1 && !reply.mutating && reply.stderr.contains(said), "{version} {line}: {reply:?}");
}

/// Each flag of each command of each version, long and short, with a value that it takes and one that it does not; each number
/// of words that is too few or too many. Whatever talosctl of that version refuses is refused, and nothing else in its words.
#[test]
fn the_whole_contract_is_walked_against_the_stand_in() {
    let (world, mut flags, mut deprecated) = (world(), 0, 0);
    for version in WALKED {
        let contract = Contract::of(version).unwrap();
        for command in contract.commands.iter().filter(|command| command.runnable) {
            let path = command.path.join(" ");
            let (least, most) = counts(command.args.as_deref());
            let required = match command.path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["gen", "ca" | "keypair"] => " --organization x",
                ["gen", "crt"] => " --ca x --csr x --name x",
                ["gen", "csr"] => " --ip 10.0.0.1 --key x",
                ["gen", "key"] => " --name x",
                _ => "",
            };
            let nodes = if command.globals { "-n 10.0.0.51 " } else { "" };
            let with = |n: usize| format!("{nodes}{path}{required}{}", " x".repeat(n));
            takes(&world, version, &with(least));
            if required.is_empty() && least > 0 {
                refuses(&world, version, &with(least - 1), "arg(s)");
            }
            if !required.is_empty() {
                refuses(&world, version, &format!("{path}{}", " x".repeat(least)), "required flag(s)");
            }
            if most < usize::MAX {
                takes(&world, version, &with(most));
                let said = if most == 0 { "unknown command \"x\"" } else { "arg(s)" };
                refuses(&world, version, &with(most + 1), said);
            }
            refuses(&world, version, &format!("{} --no-such-flag", with(least)), "unknown flag: --no-such-flag");
            for flag in contract.flags_of(command) {
                flags += 1;
                let (good, bad) = values(&flag.kind);
                let reply = takes(&world, version, &format!("{} --{}={good}", with(least), flag.name));
                let told = reply.stderr.contains(&format!("Flag --{} has been deprecated, ", flag.name));
                assert_eq!(told, flag.deprecated.is_some(), "{version} {path} --{}: {reply:?}", flag.name);
                deprecated += usize::from(told);
                if let Some(bad) = bad {
                    let said = format!("invalid argument {bad:?} for {:?} flag", flag.title());
                    refuses(&world, version, &format!("{} --{}={bad}", with(least), flag.name), &said);
                }
                if !flag.is_bool() {
                    let said = format!("flag needs an argument: --{}", flag.name);
                    refuses(&world, version, &format!("{} --{}", with(least), flag.name), &said);
                }
                if let Some(short) = flag.short.filter(|short| *short != 'h') {
                    takes(&world, version, &format!("{} -{short}={good}", with(least)));
                }
            }
        }
    }
    assert!(flags > 2500 && deprecated >= 9, "{flags} flags, {deprecated} of them deprecated");
}

/// What one version has and another has not, by the data themselves: taken here, refused there.
#[test]
fn each_version_refuses_what_only_another_has() {
    let (world, mut tried) = (world(), 0);
    for (version, other) in WALKED.iter().flat_map(|one| WALKED.map(|other| (*one, other))).filter(|(a, b)| a != b) {
        let (contract, others) = (Contract::of(version).unwrap(), Contract::of(other).unwrap());
        for command in others.commands.iter().filter(|command| command.runnable) {
            let path: Vec<&str> = command.path.iter().map(String::as_str).collect();
            let line = format!("-n 10.0.0.51 {}", path.join(" "));
            let Some(own) = contract.command(&path) else { continue };
            for flag in command.flags.iter().filter(|flag| !own.flags.iter().any(|one| one.name == flag.name)) {
                // A flag of all commands may have the name.
                if contract.flags_of(own).any(|one| one.name == flag.name) {
                    continue;
                }
                refuses(
                    &world,
                    version,
                    &format!("{line} --{}=x", flag.name),
                    &format!("unknown flag: --{}", flag.name),
                );
                tried += 1;
            }
        }
    }
    assert!(tried > 20, "{tried}");
}
