//! `runbook init` against a running lab: at a terminal, without one, with a file that is there, and with somebody between.

use serde_json::Value;

use crate::harness::{Got, Lab, World};

/// What each script begins with: no configuration is known, `$at` is where pve1 listens, `$print` what it shows.
const OWN: &str = "cp \"$RUNBOOK_LAB/cluster-config.yaml\" lab.yaml; cp \"$RUNBOOK_LAB/token\" token; chmod 600 token; \
    unset RUNBOOK_CONFIG; at=$(grep -o '127\\.0\\.0\\.[0-9]*:[0-9]*' lab.yaml | head -n 1); \
    print=$(grep -oE '([0-9A-F]{2}:){31}[0-9A-F]{2}' lab.yaml | head -n 1);\n";

fn lab(script: &str) -> (World, Got) {
    let world = World::new();
    let got = world.lab(&Lab::default(), &format!("{OWN}{script}"));
    (world, got)
}

#[test]
fn a_script_writes_a_configuration_that_works() {
    let (world, got) = lab(
        "runbook init $at --fingerprint $print --token file:$PWD/token --yes -o json >init; echo $?
         chmod go-w cluster-config.yaml; runbook guest list --node pve2 -o name >guests; echo $?
         cp cluster-config.yaml first; runbook init $at --fingerprint $print --yes; cmp first cluster-config.yaml; echo $?",
    );
    got.exits(0).says(&["0\n0\n", "has all of it already", "0"]);
    let init: Value = serde_json::from_str(&world.read("init")).unwrap();
    assert_eq!((&init["nodes"], &init["version"]), (&serde_json::json!(["pve1", "pve2", "pve3"]), &"9.2.3".into()));
    let text = world.read("cluster-config.yaml");
    for part in
        ["# in use: 100-", "storage: local-lvm", "network_bridge: vmbr0", "name: pve3", "# storages: ", "token: "]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let secret = world.read("token").lines().last().unwrap().to_owned();
    assert!(!text.contains(&secret) && !got.both().contains(&secret), "the secret is in the file's text");
    assert!(world.read("guests").lines().any(|vmid| vmid == "104"));
    world.nothing_changed();
}

#[test]
fn nothing_is_sent_to_somebody_whose_certificate_nobody_knows() {
    let wrong = "00".to_owned() + &":00".repeat(31);
    let (world, got) = lab(&format!(
        "runbook init $at --token file:$PWD/token --yes; echo $?; \
         runbook init $at --token file:$PWD/token --yes --fingerprint {wrong}; echo $?; \
         runbook init 127.0.0.1:1 --yes; echo $?; runbook init $at --fingerprint $print --yes; echo $?; \
         runbook init $at --fingerprint $print --token file:$PWD/token; echo $?; ls"
    ));
    got.exits(0).says(&["6\n6\n7\n6\n6\n"]).complains(&[
        "nobody has said whose certificate this is: nothing was sent",
        "--fingerprint ",
        "another certificate than the one that was given",
        "refuses connections",
        "there is no token, and no terminal to ask at",
        "nobody has said yes: nothing was written",
    ]);
    assert!(!world.path("cluster-config.yaml").exists());
    // Only the last one had a certificate, a token and so something to ask.
    assert!(world.ledger().iter().all(|entry| entry["method"] == "GET"));
}

#[test]
fn a_file_that_is_there_is_completed_and_keeps_its_comments() {
    let (world, got) = lab(
        "cat >cluster-config.yaml <<EOF\n# ours, since 2019\ncluster:\n  name: shop   # as on the door\n  nodes:\n    \
         - {name: pve1, host: \"$at\"}   # the old one\ncredentials:\n  token: file:$PWD/token\nEOF\n\
         runbook init $at --fingerprint $print --yes; echo $?",
    );
    got.exits(0).says(&["is written", "0"]).complains(&["cluster.nodes: pve2, cluster.nodes: pve3"]);
    let text = world.read("cluster-config.yaml");
    for kept in ["# ours, since 2019\n", "name: shop   # as on the door", "# the old one", "fingerprint: ", "local-lvm"]
    {
        assert!(text.contains(kept), "{kept}: {text}");
    }
    let lines: Vec<&str> = text.lines().collect();
    let old = lines.iter().position(|line| line.ends_with("# the old one")).unwrap();
    assert!(
        lines[old + 1].starts_with("    - {name: pve2, host: ") && lines[old + 2].starts_with("    - {name: pve3, ")
    );
    assert!(lines[old + 3].starts_with("credentials:"), "{text}");
}

#[test]
fn at_a_terminal_it_asks_for_the_certificate_and_hides_the_secret() {
    let (world, got) = lab("id=$(head -n 1 token); secret=$(tail -n 1 token); \
         (for word in yes $id $secret yes; do sleep 2; echo $word; done; sleep 2) | \
         script -qefc \"runbook init $at\" seen >/dev/null; echo $?; \
         chmod go-w cluster-config.yaml; runbook guest list --tag web -o name; stat -c %a \"$XDG_CONFIG_HOME\"/runbook/*.token");
    got.exits(0).says(&["0 104 121 221 600"]);
    let (seen, secret) = (world.read("seen"), world.read("token").lines().last().unwrap().to_owned());
    assert!(seen.contains("Is it this node's?") && seen.contains("Its secret (not shown): "), "{seen}");
    assert!(!seen.contains(&secret), "the secret was shown");
    let holders: Vec<_> =
        world.files().into_iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "token")).collect();
    assert_eq!(holders.len(), 1);
    assert!(String::from_utf8_lossy(&holders[0].1).contains(&secret));
    assert!(
        world.read("cluster-config.yaml").contains("token: \"file:")
            || world.read("cluster-config.yaml").contains("token: file:")
    );
}

/// What a person types at a terminal, a line every two seconds; what they see is in `seen`.
fn typed(words: &[&str], then: &str) -> (World, Got) {
    let words: String = words.iter().map(|word| format!("\"{word}\" ")).collect();
    lab(&format!(
        "root=$(cat \"$RUNBOOK_LAB/root-password\"); ops=$(cat \"$RUNBOOK_LAB/password\"); echo $root >root; echo $ops >ops; \
         at_pve1() {{ ssh -F \"$RUNBOOK_LAB/ssh/ssh_config\" pve1 \"$@\"; }}; {}
         (for word in {words}; do sleep 2; echo \"$word\"; done; sleep 4) | \
         script -qefc \"stty cols 400; runbook init $at\" seen >/dev/null; echo init $?; {then}",
        if then.contains("second factor") { "at_pve1 pveum user modify ops@pve --keys x;" } else { "" }
    ))
}

fn hides(seen: &str, world: &World, files: &[&str]) {
    for secret in files.iter().map(|file| world.read(file)) {
        let secret = secret.lines().last().unwrap();
        assert!(secret.len() > 8 && !seen.contains(secret), "a secret was shown:\n{seen}");
    }
}

#[test]
fn a_token_is_made_where_there_is_none_and_its_secret_is_never_seen() {
    let (world, got) = typed(
        &["yes", "", "", "$root", "", "look", "", "yes", "yes"],
        "cp \"$XDG_CONFIG_HOME\"/runbook/*.token made; stat -c %a \"$XDG_CONFIG_HOME\"/runbook/*.token; \
         chmod go-w cluster-config.yaml; runbook guest list --tag web -o name; \
         at_pve1 pveum role list --output-format json >roles; runbook guest start 108 --apply --yes; echo start $?",
    );
    got.exits(0).says(&["init 0 600 104 121 221"]);
    assert!(!got.stdout.contains("start 0"), "a token to look with starts nothing: {}", got.both());
    let seen = world.read("seen");
    for told in ["user runbook@pve, where there is none yet", "role Runbook-look: Datastore.Audit, ", "is made; its id"]
    {
        assert!(seen.contains(told), "{told}: {seen}");
    }
    hides(&seen, &world, &["root", "made"]);
    assert!(world.read("made").starts_with("runbook@pve!runbook\n"));
    assert!(world.read("roles").contains("Runbook-look"));
    assert!(!world.read("cluster-config.yaml").contains(world.read("made").lines().last().unwrap()));
    let made: Vec<String> = world.changes().into_iter().filter(|change| change.contains("/access")).collect();
    let token = "POST /access/users/runbook@pve/token/runbook";
    assert_eq!(made, ["POST /access/users", "POST /access/roles", "PUT /access/acl", token, "PUT /access/acl"]);
}

#[test]
fn what_the_login_may_not_give_is_said_as_commands_that_do_it() {
    let (world, got) = typed(
        &["yes", "", "ops@pve", "$ops", "ops@pve!mine", "", "file:$PWD/kept", "yes"],
        "tr -d '\\r' <seen | grep -o 'pveum .*' >lines; cat lines; stat -c %a kept; \
         while read -r line; do at_pve1 \"$line\" </dev/null; echo done $?; done <lines; \
         runbook init $at --fingerprint $print --token file:$PWD/kept --yes; echo init $?; \
         chmod go-w cluster-config.yaml; runbook guest list --tag web -o name",
    );
    got.exits(0).says(&[
        "init 6",
        "pveum acl modify / --users ops@pve --roles Runbook-operate",
        "pveum acl modify / --tokens 'ops@pve!mine' --roles Runbook-operate",
        "600 done 0 done 0",
        "init 0 104 121 221",
    ]);
    hides(&world.read("seen"), &world, &["ops", "kept"]);
}

#[test]
fn a_wrong_password_and_a_second_factor_are_told_apart_and_nothing_is_made() {
    let (world, got) = typed(&["yes", "", "ops@pve", "no-such-password"], "ls");
    got.exits(0).says(&["init 6"]);
    assert!(
        world.read("seen").contains("the site does not accept ops@pve with this password"),
        "{}",
        world.read("seen")
    );
    world.nothing_changed();
    let (world, got) = typed(&["yes", "", "ops@pve", "$ops"], "ls # second factor");
    got.exits(0).says(&["init 6"]);
    let seen = world.read("seen");
    assert!(
        seen.contains("ops@pve has a second factor, and init logs in with a password alone: nothing was made"),
        "{seen}"
    );
    assert_eq!(world.changes(), ["ssh pveum user modify ops@pve --keys x"]);
}
