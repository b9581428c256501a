//! A secret is looked for, by its bytes, everywhere that it must not be.

use std::collections::BTreeSet;
use std::path::Path;

use crate::harness::{Got, Lab, World};

/// Plans, applies, kills, resumes and looks, all as loud as can be, while `/proc` is read for arguments.
const ALL: &str = "\
    ( while :; do for p in /proc/[0-9]*; do [ \"$p\" = /proc/$$ ] || tr '\\0' ' ' <$p/cmdline 2>/dev/null; done; \
      echo; sleep 0.05; done >args.seen 2>/dev/null ) & watcher=$!
    export RUST_LOG=trace
    runbook doctor; runbook doctor -o json
    runbook plan evacuate pve2 --out p.plan -o json
    runbook apply p.plan --yes --inject crash-after:40 --progress jsonl
    runbook resume last --yes
    runbook status last; runbook status -o json; runbook logs last; runbook logs last -o jsonl; runbook runs -o yaml
    runbook lab fault token-rejected; runbook plan evacuate pve1
    cp -r $XDG_STATE_HOME state.copy
    kill $watcher";

/// The secret of the lab's token, told by the only file that may have it.
fn secret_of(world: &World, folder_copy: &str) -> String {
    world.read(folder_copy).lines().last().unwrap().to_owned()
}

#[track_caller]
fn nowhere(world: &World, got: &Got, secret: &str, but: &[&str]) {
    assert!(secret.len() >= 12, "no secret to look for: {secret:?}");
    assert!(!got.stdout.contains(secret), "stdout has the secret");
    let line = got.stderr.lines().find(|line| line.contains(secret));
    assert!(line.is_none(), "stderr has the secret: {line:?}");
    let files = world.files();
    let names: BTreeSet<&str> = files.iter().filter_map(|(path, _)| path.file_name()?.to_str()).collect();
    for wanted in ["p.plan", "ledger", "args.seen"] {
        assert!(names.contains(wanted), "{wanted} was not made: {names:?}");
    }
    assert!(names.iter().any(|name| name.contains(".db") || name.contains("sqlite")), "no journal: {names:?}");
    for (path, bytes) in files {
        let exempt = path.file_name().and_then(|n| n.to_str()).is_some_and(|name| but.contains(&name));
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(exempt || !found, "{} has the secret", path.display());
    }
}

#[test]
fn a_token_is_nowhere_but_in_its_file() {
    let world = World::new();
    let got = world.lab(&Lab::default(), &format!("cp $(dirname $RUNBOOK_CONFIG)/token planted; {ALL}"));
    got.exits(0).says(&["Done: node-evacuation"]).complains(&["TRACE", "not accepted"]);
    assert!(world.read("args.seen").contains("runbook"), "the watcher saw nothing");
    nowhere(&world, &got, &secret_of(&world, "planted"), &["planted"]);
}

#[test]
fn a_token_from_the_environment_is_nowhere() {
    let world = World::new();
    let script = format!(
        "cp $(dirname $RUNBOOK_CONFIG)/token planted
         sed 's|\"token\": \"file:[^\"]*/token\"|\"token\": \"env:PLANTED\"|' $RUNBOOK_CONFIG >cluster-config.yaml
         cp -r $(dirname $RUNBOOK_CONFIG)/clusters clusters
         export RUNBOOK_CONFIG=$PWD/cluster-config.yaml PLANTED=\"$(head -n1 planted)=$(tail -n1 planted)\"
         {ALL}"
    );
    let got = world.lab(&Lab::default(), &script);
    got.exits(0).says(&["Done: node-evacuation"]);
    assert!(world.read("cluster-config.yaml").contains("env:PLANTED"));
    nowhere(&world, &got, &secret_of(&world, "planted"), &["planted"]);
}

#[test]
fn a_password_logs_in_and_is_nowhere() {
    let world = World::new();
    let script = format!(
        "cp $(dirname $RUNBOOK_CONFIG)/password planted
         sed 's|\"token\": \"file:[^\"]*/token\"|\"user\": \"ops@pve\", \"password\": \"env:PLANTED\"|' $RUNBOOK_CONFIG >cluster-config.yaml
         cp -r $(dirname $RUNBOOK_CONFIG)/clusters clusters
         export RUNBOOK_CONFIG=$PWD/cluster-config.yaml PLANTED=\"$(cat planted)\"
         {}",
        ALL.replace("runbook lab fault token-rejected; runbook plan evacuate pve1", "true")
    );
    let got = world.lab(&Lab::default(), &script);
    got.exits(0).says(&["Done: node-evacuation"]);
    assert!(world.ledger().iter().any(|entry| entry["path"] == "/access/ticket"), "nobody logged in");
    assert!(world.ledger().iter().any(|entry| entry["user"] == "ops@pve" && entry["mutating"] == true));
    nowhere(&world, &got, &secret_of(&world, "planted"), &["planted"]);
    // Tickets and their CSRF tokens are as good as the password.
    for (path, bytes) in world.files() {
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("PVE:ops@pve:"), "{} has a ticket", path.display());
    }
    assert!(!got.both().contains("PVE:ops@pve:"), "an output has a ticket");
}

#[test]
fn a_wrong_password_is_refused_and_not_shown() {
    let world = World::new();
    let script = "sed 's|\"token\": \"file:[^\"]*/token\"|\"user\": \"ops@pve\", \"password\": \"env:PLANTED\"|' $RUNBOOK_CONFIG >cluster-config.yaml
         export PLANTED=not-the-password RUST_LOG=trace
         runbook --config cluster-config.yaml plan evacuate pve2";
    let got = world.lab(&Lab::default(), script);
    got.exits(4).without_data().complains(&["not accepted", "user ops@pve"]);
    assert!(!got.stderr.contains("not-the-password"), "{}", got.stderr);
}

#[test]
fn a_secret_that_cannot_be_had_is_named_by_its_reference() {
    let world = World::new();
    world.write(
        "c.yaml",
        "cluster: {name: x, nodes: [{name: a, host: \"127.0.0.1:1\"}]}\ncredentials: {token: env:NO_SUCH}\n",
    );
    world
        .runbook(&["--config", "c.yaml", "plan", "evacuate", "a"])
        .exits(3)
        .without_data()
        .complains(&["env:NO_SUCH", "not set"]);
    let missing = Path::new("/no/such/token");
    let text = format!(
        "cluster: {{name: x, nodes: [{{name: a, host: \"127.0.0.1:1\"}}]}}\ncredentials: {{token: \"file:{}\"}}\n",
        missing.display()
    );
    world.write("c.yaml", &text);
    world
        .runbook(&["--config", "c.yaml", "plan", "evacuate", "a"])
        .exits(3)
        .without_data()
        .complains(&["/no/such/token"]);
    // A secret in the place of a reference is no reference, and is not shown either.
    world.write(
        "c.yaml",
        "cluster: {name: x, nodes: [{name: a, host: \"127.0.0.1:1\"}]}\ncredentials: {token: 0f1e2d3c-planted-4b5a}\n",
    );
    let got = world.runbook(&["--config", "c.yaml", "plan", "evacuate", "a"]);
    got.exits(3).without_data();
    assert!(!got.stderr.contains("planted"), "{}", got.stderr);
}
