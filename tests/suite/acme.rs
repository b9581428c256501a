//! Certificates and uploads with the real binary over HTTPS: what a renewed certificate means for a site that pins it, and
//! a file on its way to a node.

use std::os::unix::fs::PermissionsExt;

use crate::harness::{Lab, World, flat};

const STAGING: &str = "--set directory=https://acme-staging-v02.api.letsencrypt.org/directory";

fn with_data(world: &World) {
    world.write("dns", "CF_Token=hunter2-hunter2-hunter2\n");
    std::fs::set_permissions(world.path("dns"), std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_pinned_node_is_told_of_before_and_after_and_refused_until_the_configuration_follows() {
    let world = World::new();
    with_data(&world);
    let words = format!("letsencrypt-dns lab.example --set api=cf --set data=file:$PWD/dns {STAGING}");
    let script = format!(
        "runbook run {words} --apply --yes --progress plain >run 2>&1; echo run=$?; \
         runbook plan {words} >again 2>&1; echo again=$?; \
         runbook logs last 'order[pve1]' >logs 2>&1; \
         grep -rl hunter2 $XDG_STATE_HOME >told; echo told=$?"
    );
    let got = world.lab(&Lab { scenario: "acme", ..Lab::default() }, &script);
    got.exits(0).says(&["run=0", "told=1"]);
    assert!(!got.stdout.contains("again=0"), "{}", world.read("again"));
    let run = flat(&world.read("run"));
    assert!(!run.contains("hunter2") && run.contains("data: CF_Token from file:"), "{run}");
    assert!(run.contains("pve1 is pinned by its fingerprint in cluster-config.yaml"), "{run}");
    for node in ["pve1", "pve2", "pve3"] {
        let told = format!("{node}: cluster-config.yaml pins the certificate of before: give {node} `fingerprint: \"");
        assert!(run.contains(&told), "{node}: {run}");
    }
    let again = flat(&world.read("again"));
    assert!(again.contains("shows another certificate than the pinned one"), "{again}");
    let sent: Vec<_> = world
        .ledger()
        .into_iter()
        .filter(|entry| entry["path"].as_str() == Some("/cluster/acme/plugins/dns"))
        .collect();
    assert!(!sent.is_empty() && sent.iter().all(|entry| entry["params"]["data"] == "***"), "{sent:?}");
}

#[test]
fn a_challenge_that_fails_is_told_and_the_next_node_is_left_alone() {
    let world = World::new();
    with_data(&world);
    let script = format!(
        "runbook run letsencrypt-dns lab.example --set api=cf --set data=file:$PWD/dns {STAGING} --apply --yes >run 2>&1; echo run=$?"
    );
    let faults = &["challenge-fails:pve1.lab.example"];
    let got = world.lab(&Lab { scenario: "acme", faults, ..Lab::default() }, &script);
    assert!(!got.stdout.contains("run=0"), "{}", world.read("run"));
    let run = flat(&world.read("run"));
    assert!(run.contains("failed - status: invalid") && run.contains("_acme-challenge entries"), "{run}");
    let orders = world
        .ledger()
        .into_iter()
        .filter(|entry| entry["path"].as_str().is_some_and(|p| p.ends_with("/acme/certificate")));
    assert_eq!(orders.count(), 1);
}

#[test]
fn an_image_is_sent_as_it_is_read_and_is_not_sent_twice() {
    let world = World::new();
    let script = "head -c 3000001 /dev/zero >zero.iso; \
        runbook do proxmox.image_upload node=pve2 storage=local path=$PWD/zero.iso --apply --yes >first 2>&1; echo first=$?; \
        runbook do proxmox.image_upload node=pve2 storage=local path=$PWD/zero.iso --apply --yes >second 2>&1; echo second=$?; \
        printf x >>zero.iso; \
        runbook do proxmox.image_upload node=pve2 storage=local path=$PWD/zero.iso --apply --yes >third 2>&1; echo third=$?";
    let got = world.lab(&Lab { scenario: "tiny", ..Lab::default() }, script);
    assert!(
        got.stdout.contains("first=0") && got.stdout.contains("second=0"),
        "{} {}",
        world.read("first"),
        world.read("second")
    );
    assert!(!got.stdout.contains("third=0"));
    let third = flat(&world.read("third"));
    assert!(third.contains("it is there and 3000001 bytes long, and the file here has 3000002 bytes"), "{third}");
    let sent: Vec<_> = world
        .ledger()
        .into_iter()
        .filter(|entry| entry["path"].as_str().is_some_and(|p| p.ends_with("/upload")))
        .collect();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!((&sent[0]["status"], &sent[0]["params"]["filename"]), (&200.into(), &"zero.iso".into()));
}
