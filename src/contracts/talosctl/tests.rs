use super::*;

fn parse(version: &str, line: &str) -> Result<Typed, String> {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    Contract::of(version).unwrap().parse(&words).map_err(|refusal| refusal.message)
}

#[test]
fn each_version_is_that_of_its_minor_or_of_the_one_before() {
    let tag = |version| Contract::of(version).map(|contract| contract.tag.as_str());
    assert_eq!(tag("v1.13.2"), Some("v1.13.9"));
    assert_eq!(tag("1.10.4"), Some("v1.9.6"), "1.10 was not read; it has what 1.9 has");
    assert_eq!(tag("1.15"), Some("v1.14.0-rc.1"));
    assert_eq!((tag("1.8.1"), tag("nonsense")), (None, None));
}

#[test]
fn commands_aliases_and_flags_are_read_as_cobra_reads_them() {
    let typed = parse("1.13", "-n 10.0.0.2 etcd snapshot db.snapshot --endpoints=10.0.0.2,10.0.0.3").unwrap();
    assert_eq!((typed.path.join(" "), typed.args), ("etcd snapshot".to_owned(), vec!["db.snapshot".to_owned()]));
    assert_eq!((typed.flags["nodes"].len(), typed.flags["endpoints"].len()), (1, 2));
    let typed = parse("1.13", "g members -ojson -n10.0.0.2").unwrap();
    assert_eq!((typed.path[0].as_str(), typed.flag("output")), ("get", Some("json")));
    let typed = parse("1.13", "upgrade -n 1 --drain=false -i img").unwrap();
    assert!(typed.flags.contains_key("drain") && !typed.is_on("drain") && typed.flag("image") == Some("img"));
    assert!(parse("1.13", "etcd").unwrap().help, "a head of others shows its help");
}

#[test]
fn what_a_version_does_not_have_is_refused_in_its_own_words() {
    for (version, line, said) in [
        ("1.13", "frobnicate", "unknown command \"frobnicate\" for \"talosctl\""),
        ("1.13", "version now", "unknown command \"now\" for \"talosctl version\""),
        ("1.13", "etcd snapshot", "accepts 1 arg(s), received 0"),
        ("1.13", "get", "accepts between 1 and 2 arg(s), received 0"),
        ("1.13", "version --clien", "unknown flag: --clien"),
        ("1.13", "version -z", "unknown shorthand flag: 'z' in -z"),
        ("1.13", "version -n", "flag needs an argument: 'n' in -n"),
        ("1.13", "gen crt --name x", "required flag(s) \"ca\", \"csr\" not set"),
        ("1.9", "gen key", "required flag(s) \"name\" not set"),
        ("1.13", "upgrade --image", "flag needs an argument: --image"),
        ("1.12", "upgrade --drain", "unknown flag: --drain"),
        ("1.12", "upgrade --no-reboot", "unknown flag: --no-reboot"),
        ("1.14", "upgrade --insecure", "unknown flag: --insecure"),
        ("1.9", "etcd downgrade validate 3.5", "unknown command"),
        ("1.13", "upgrade --wait=maybe", "invalid argument \"maybe\" for \"--wait\" flag: strconv.ParseBool"),
        ("1.13", "health --wait-timeout 5", "time: invalid duration \"5\""),
        ("1.14", "apply-config -m reboot", "invalid argument \"reboot\" for \"-m, --mode\" flag"),
    ] {
        match (parse(version, line), said) {
            (Err(message), _) => assert!(message.contains(said), "{line}: {message}"),
            // Words after a head of other commands are not looked at.
            (Ok(typed), _) => assert!(typed.help && line.starts_with("etcd downgrade"), "{line}: {typed:?}"),
        }
    }
}

#[test]
fn a_flag_that_goes_away_is_said() {
    assert!(parse("1.12", "upgrade --preserve").unwrap().warnings.is_empty());
    let warnings = parse("1.13", "upgrade --preserve").unwrap().warnings;
    assert!(warnings[0].starts_with("Flag --preserve has been deprecated, legacy flag"), "{warnings:?}");
}

/// Every flag of every command of every version, given as its type wants it, is taken; the same with another name is not.
#[test]
fn the_whole_contract_is_walked() {
    for minor in MINORS {
        let contract = Contract::of(minor).unwrap();
        for command in contract.commands.iter().filter(|command| command.runnable) {
            for flag in contract.flags_of(command) {
                let value = match flag.kind.as_str() {
                    "bool" => "false",
                    "int" | "int32" | "uint" | "uint16" | "float" => "1",
                    "duration" => "1m",
                    choices if choices.contains(", ") => choices.split(", ").next().unwrap(),
                    _ => "x",
                };
                let mut words = command.path.clone();
                words.push(format!("--{}={value}", flag.name));
                // Enough words for any command, or too many: then only that is wrong.
                words.extend(["a".to_owned()]);
                if let Err(refusal) = contract.parse(&words) {
                    let said = &refusal.message;
                    let about_words =
                        ["arg(s)", "unknown command", "required flag(s)"].iter().any(|of| said.contains(of));
                    assert!(about_words, "{minor} {words:?}: {refusal}");
                }
                let wrong = [&command.path[..], &[format!("--{}-no={value}", flag.name)]].concat();
                let refusal = contract.parse(&wrong).unwrap_err();
                assert_eq!(refusal.message, format!("unknown flag: --{}-no", flag.name), "{minor} {wrong:?}");
            }
        }
    }
}

/// What is not known yet is taken for what would be right, and nothing else is.
#[test]
fn open_words_are_left_alone() {
    let open = |line: &str| parse("1.13", &line.replace('?', &OPEN.to_string()));
    for line in [
        "?",
        "? --no-such-flag",
        "etcd ? x y z",
        "-n ? version",
        "get ? -o ?",
        "get members ? ? ?",
        "upgrade --image x:v? --wait=?",
        "upgrade --? x",
        "reboot -?",
        "health --wait-timeout ?m",
        "apply-config -f ? -m ?",
    ] {
        assert!(open(line).is_ok(), "{line}: {:?}", open(line));
    }
    for (line, said) in [
        ("frobnicate ?", "unknown command \"frobnicate\""),
        ("upgrade --image ? --no-such-flag", "unknown flag: --no-such-flag"),
        ("etcd snapshot db other?", "accepts 1 arg(s), received 2"),
    ] {
        assert!(open(line).unwrap_err().contains(said), "{line}");
    }
}
