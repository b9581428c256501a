//! Backups of etcd: the check of a file with real snapshots of a real etcd, and the acts with the real program, on the
//! lab's cluster and files of a temporary folder.

use std::path::Path;
use std::time::{Duration, Instant};

use runbook::clients::talos::snapshot::{self, NoSnapshot};
use sha2::Digest as _;

use super::harness::{Got, Lab, World, flat};

const LAB: Lab<'_> = Lab { scenario: "three-node", time_scale: 1000, faults: &[], token: None };

fn read(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    runbook::sys::files::read_through(path, |part| bytes.extend_from_slice(part)).unwrap();
    bytes
}

fn write(path: &Path, bytes: &[u8]) {
    runbook::sys::files::write_private(path, bytes).unwrap();
}

/// A port that nobody listened on a moment ago.
fn port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Has a real etcd of one member write a snapshot of a few hundred keys.
fn real_snapshot(world: &World, name: &str) {
    let (client, peer) = (port(), port());
    let (url, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    let words = [
        "--name",
        "one",
        "--data-dir",
        "etcd-data",
        "--listen-client-urls",
        &url,
        "--advertise-client-urls",
        &url,
        "--listen-peer-urls",
        &peer,
        "--initial-advertise-peer-urls",
        &peer,
        "--initial-cluster",
        &format!("one={peer}"),
    ];
    let log = std::fs::OpenOptions::new().create(true).append(true).open(world.path("etcd.log")).unwrap();
    let mut etcd = world.command("etcd", &words).stderr(log).spawn().expect("etcd: run scripts/test-tools");
    let script = format!(
        "export ETCDCTL_API=3 ETCDCTL_ENDPOINTS={url}; for n in $(seq 20); do etcdctl put key$n value$n || exit 1; done; \
         etcdctl put /registry/namespaces/shop x; \
         etcdctl snapshot save {name} && etcdctl snapshot status {name} -w json >{name}.status"
    );
    let until = Instant::now() + Duration::from_secs(60);
    let got = loop {
        let got = world.sh(&script);
        if got.exit == Some(0) || Instant::now() > until {
            break got;
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    etcd.kill().unwrap();
    etcd.wait().unwrap();
    assert_eq!(got.exit, Some(0), "{}\n{}", got.both(), world.read("etcd.log"));
}

#[test]
fn a_real_snapshot_is_whole_and_a_damaged_one_is_not() {
    let world = World::new();
    real_snapshot(&world, "real");
    let path = world.path("real");
    let whole = read(&path);
    let seen = snapshot::check(&path).unwrap();
    assert_eq!(seen.bytes, whole.len() as u64);
    world.sh("sha256sum real").exits(0).says(&[&seen.sha256]);
    let damaged = |name: &str, bytes: &[u8]| {
        write(&world.path(name), bytes);
        snapshot::check(&world.path(name)).unwrap_err()
    };
    let without = damaged("without", &whole[..whole.len() - 32]);
    assert!(matches!(without, NoSnapshot::Size(_)) && without.to_string().contains("a bare copy of the database"));
    assert!(matches!(damaged("cut", &whole[..whole.len() / 2 + 7]), NoSnapshot::Size(_)));
    // Cut where the length alone says nothing.
    assert!(matches!(damaged("cut512", &whole[..whole.len() - 512]), NoSnapshot::Sum));
    for at in [0, 17, whole.len() / 2, whole.len() - 33, whole.len() - 1] {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        assert!(matches!(damaged("flipped", &flipped), NoSnapshot::Sum), "byte {at}");
    }
    let mut more = whole.clone();
    more.push(0);
    assert!(matches!(damaged("longer", &more), NoSnapshot::Size(_)));
    assert!(matches!(damaged("empty", &[]), NoSnapshot::Size(0)));
    // As an operator sees it.
    world.runbook(&["do", "talos.etcd_verify", "path=real"]).exits(0).says(&["whole: true"]);
    let got = world.runbook(&["do", "talos.etcd_verify", "path=flipped"]);
    assert_ne!(got.exit, Some(0));
    assert!(flat(&got.both()).contains("its sum is not that of its contents"), "{}", got.both());
}

/// A lab's cluster and a folder for backups.
fn lab(world: &World, script: &str) -> Got {
    world.sh("mkdir -p -m 700 backups second").exits(0);
    world.lab(&LAB, &format!("set -e; B=\"$PWD/backups\"; S=\"$PWD/second\"; {script}"))
}

fn backups(world: &World, folder: &str) -> Vec<String> {
    runbook::sys::files::names(world.path(folder)).unwrap()
}

#[test]
fn a_backup_is_taken_checked_and_kept() {
    let world = World::new();
    let got = lab(
        &world,
        "runbook plan etcd-backup --cluster prod --set folder=$B; \
         runbook run etcd-backup --cluster prod --set folder=$B --set second=$S --apply --yes; \
         runbook do talos.etcd_backups cluster=prod folder=$B",
    );
    got.exits(0).says(&["snapshot of the etcd of prod from", "from cp2 into", "newest: /"]);
    // What was to be known only later is said as it was when it came to it.
    assert!(flat(&got.both()).contains("= prune unchanged talos.etcd_prune"), "{}", got.both());
    let (first, second) = (backups(&world, "backups"), backups(&world, "second"));
    assert_eq!((first.len(), &first), (1, &second), "{}", got.both());
    assert!(first[0].starts_with("prod-etcd-") && first[0].ends_with("Z.snapshot"), "{first:?}");
    assert_eq!(read(&world.path("backups").join(&first[0])), read(&world.path("second").join(&second[0])));
    world.sh("stat -c %a backups/* second/*").exits(0).says(&["600 600"]);
    assert!(snapshot::check(&world.path("backups").join(&first[0])).is_ok());
}

/// A name tells no more than the second, and three of a lab's snapshots take less than one.
#[test]
fn snapshots_that_follow_one_another_at_once_have_names_of_their_own() {
    let world = World::new();
    let step = "  - {uses: talos.etcd_snapshot, with: {cluster: prod, folder: \"{{ params.folder }}\"}}\n";
    let head = "runbook: x\nschema: 1\ntarget: talos\nparams: {folder: {type: path}}\nsteps:\n";
    world.write("x.yaml", &format!("{head}{}", step.repeat(3)));
    let got = lab(&world, "runbook run x.yaml --cluster prod --set folder=$B --apply --yes");
    got.exits(0);
    assert_eq!(backups(&world, "backups").len(), 3, "{}", got.both());
}

#[test]
fn a_cluster_without_quorum_gives_none_and_the_way_out_is_said() {
    let world = World::new();
    let got = lab(
        &world,
        "runbook lab fault node-down:pve1; runbook lab fault node-down:pve2; \
         runbook run etcd-backup --cluster prod --set folder=$B --apply --yes",
    );
    assert_ne!(got.exit, Some(0));
    let text = flat(&got.both());
    assert!(text.contains("etcd has no quorum") && text.contains("cp /var/lib/etcd/member/snap/db"), "{text}");
    assert!(backups(&world, "backups").is_empty());
}

#[test]
fn a_folder_that_is_not_there_is_no_backup() {
    let world = World::new();
    let got = lab(&world, "runbook run etcd-backup --cluster prod --set folder=$B/none --apply --yes");
    assert_ne!(got.exit, Some(0));
    assert!(flat(&got.both()).contains("mkdir -m 700"), "{}", got.both());
}

#[test]
fn an_encrypted_backup_is_read_by_its_key_alone() {
    let world = World::new();
    world.sh("age-keygen -o key 2>/dev/null && age-keygen -y key >public").exits(0);
    let public = world.read("public");
    let got = lab(
        &world,
        &format!(
            "runbook run etcd-backup --cluster prod --set folder=$B --set second=$S --set recipients={} --apply --yes",
            public.trim()
        ),
    );
    got.exits(0);
    let names = backups(&world, "backups");
    assert!(names.len() == 1 && names[0].ends_with(".snapshot.age"), "{names:?}: {}", got.both());
    assert_eq!(backups(&world, "second"), names);
    world.sh("age --decrypt --identity key --output plain backups/*.age").exits(0);
    assert!(snapshot::check(&world.path("plain")).is_ok());
    // What is cut or no age file at all is told.
    let (path, whole) = (world.path("cut.age"), read(&world.path("backups").join(&names[0])));
    write(&path, &whole[..whole.len() - 1000]);
    let got = world.runbook(&["do", "talos.etcd_verify", "path=cut.age"]);
    assert!(got.exit != Some(0) && flat(&got.both()).contains("which no snapshot has"), "{}", got.both());
    let private = world.read("key");
    let secret = private.lines().find(|line| line.starts_with("AGE-SECRET")).unwrap();
    let word = format!("recipients={secret}");
    let got = world.runbook(&["do", "talos.etcd_encrypt", "path=plain", &word, "--apply", "--yes"]);
    assert!(flat(&got.both()).contains("begins neither with age1 nor with ssh-"), "{}", got.both());
}

/// Files with the names of old backups: whole ones, and broken ones.
fn old_ones(world: &World) {
    let got = lab(world, "runbook run etcd-backup --cluster prod --set folder=$B --apply --yes");
    got.exits(0);
    let now = backups(world, "backups").pop().unwrap();
    for (day, whole) in [(1, true), (2, true), (3, false), (4, true), (5, true)] {
        let mut bytes = read(&world.path("backups").join(&now));
        if !whole {
            bytes.truncate(1000);
        }
        write(&world.path(&format!("backups/prod-etcd-2025010{day}T000000Z.snapshot")), &bytes);
    }
    for name in
        ["other-etcd-20250101T000000Z.snapshot", "prod-etcd-notes.snapshot", "prod-etcd-20250101T000000Z.snapshot.bak"]
    {
        world.write(&format!("backups/{name}"), "keep me");
    }
}

#[test]
fn only_whole_old_ones_of_this_cluster_go() {
    let world = World::new();
    old_ones(&world);
    let all = backups(&world, "backups");
    let prune = |more: &[&str]| {
        let folder = format!("folder={}", world.path("backups").display());
        let mut words = vec!["do", "talos.etcd_prune", "cluster=prod", &folder];
        words.extend(more);
        world.runbook(&words)
    };
    prune(&["keep_last=2"]).exits(0).says(&["goes:", "20250104T000000Z", "is no whole backup", "20250103T000000Z"]);
    assert_eq!(backups(&world, "backups"), all, "a plan removes nothing");
    prune(&["keep_last=2", "keep_within=3650d", "--apply", "--yes"]).exits(0);
    assert_eq!(backups(&world, "backups"), all, "all are younger than ten years");
    prune(&["keep_last=2", "--apply", "--yes"]).exits(0);
    let left = backups(&world, "backups");
    let gone: Vec<&String> = all.iter().filter(|name| !left.contains(name)).collect();
    assert_eq!(gone.len(), 3, "{gone:?}");
    for day in [1, 2, 4] {
        assert!(gone.iter().any(|name| name.contains(&format!("2025010{day}T"))), "{gone:?}");
    }
    assert!(prune(&["keep_last=0"]).exit != Some(0));
}

#[test]
fn what_a_step_made_is_taken_back_and_nothing_else() {
    let world = World::new();
    world.write(
        "x.yaml",
        "runbook: x\nschema: 1\ntarget: talos\non_failure: rollback\nparams: {folder: {type: path}, second: {type: path}}\nsteps:\n  \
         - {id: s, uses: talos.etcd_snapshot, with: {cluster: prod, folder: \"{{ params.folder }}\"}}\n  \
         - {uses: talos.etcd_copy, with: {path: \"{{ steps.s.path }}\", to: \"{{ params.second }}\"}}\n  \
         - {uses: local.run, with: {argv: [/bin/false]}}\n",
    );
    world.sh("mkdir backups; echo mine >backups/mine").exits(0);
    let got =
        lab(&world, "runbook run x.yaml --cluster prod --set folder=$B --set second=$S --apply --yes || echo failed");
    got.says(&["failed"]);
    assert_eq!(
        (backups(&world, "backups"), backups(&world, "second")),
        (vec!["mine".to_owned()], vec![]),
        "{}",
        got.both()
    );
    // Another file than the one that is meant is left alone.
    write(&world.path("other"), b"x");
    let sum = "sha256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let got = world.runbook(&["do", "talos.etcd_discard", "path=other", sum, "--apply", "--yes"]);
    assert!(got.exit != Some(0) && world.path("other").exists(), "{}", got.both());
}

#[test]
fn a_crash_leaves_a_whole_backup_or_none() {
    let world = World::new();
    for after in 2..7 {
        let got = lab(
            &world,
            &format!(
                "rm -rf $B/*; RUN='runbook do talos.etcd_snapshot cluster=prod folder='$B; \
                 $RUN --apply --yes --inject crash-after:{after} && exit 0; runbook resume last --yes"
            ),
        );
        got.exits(0);
        // What talosctl wrote for an attempt that crashed is no backup by its name.
        let names: Vec<String> =
            backups(&world, "backups").into_iter().filter(|name| name.ends_with(".snapshot")).collect();
        assert_eq!(names.len(), 1, "{after}: {names:?}");
        assert!(snapshot::check(&world.path("backups").join(&names[0])).is_ok(), "{after}: {}", got.both());
    }
}

/// What Prometheus is told of the last success, by the textfile that the configuration names.
fn last_success(rig: &super::rig::Rig) -> Option<f64> {
    let folder = rig.house.folder().join("metrics");
    let files = runbook::sys::files::names(folder.clone()).unwrap();
    let text: String = files.iter().map(|name| runbook::sys::files::read_text(folder.join(name)).unwrap()).collect();
    let is_ours = |line: &&str| {
        line.starts_with("runbook_last_success_timestamp_seconds{")
            && line.contains("runbook=\"etcd-backup\"")
            && line.contains("cluster=\"prod\"")
    };
    text.lines().find(is_ours)?.rsplit_once(' ')?.1.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_is_told_of_whole_backups_alone() {
    let rig = super::rig::Rig::start("three-node", 1000.0, &[]).await;
    for name in ["backups", "metrics"] {
        runbook::sys::files::make_private_dir(rig.house.folder().join(name)).unwrap();
    }
    let path = rig.house.folder().join("cluster-config.yaml");
    let text = runbook::sys::files::read_text(&path).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text[text.find('{').unwrap()..]).unwrap();
    config["metrics"]["textfile_dir"] = rig.house.folder().join("metrics").display().to_string().into();
    runbook::sys::files::write_private(path, config.to_string().as_bytes()).unwrap();
    let folder = format!("folder={}", rig.house.folder().join("backups").display());
    let words = ["run", "etcd-backup", "--cluster", "prod", "--set", &folder, "--apply", "--yes"];
    let taken = rig.run(&words).await;
    assert_eq!(taken.code, Some(0), "{}", taken.text);
    let first = last_success(&rig).expect("a figure after the first backup");
    assert!(first > 1_700_000_000.0, "{first}");
    // One that is damaged is no backup, and no success.
    rig.fault("snapshot-damaged");
    let damaged = rig.run(&words).await;
    assert_eq!(damaged.code, Some(1), "{}", damaged.text);
    assert_eq!(last_success(&rig), Some(first));
    let again = rig.run(&words).await;
    assert_eq!(again.code, Some(0), "{}", again.text);
    assert!(last_success(&rig).unwrap() > first);
}

#[test]
fn the_newest_backup_is_restored_into_a_real_etcd_and_thrown_away() {
    let mut world = World::new();
    let temporary = world.path("temporary");
    world.set("TMPDIR", &temporary).sh("mkdir -m 700 temporary backups").exits(0);
    real_snapshot(&world, "real");
    world.sh("cp real backups/prod-etcd-20261121T231538Z.snapshot").exits(0);
    let within = |max_age: &str| {
        let args = ["run", "etcd-restore-drill", "prod", "--set", "folder=backups", "--set", max_age];
        world.runbook(&args.into_iter().chain(["--apply", "--yes", "--progress", "quiet"]).collect::<Vec<_>>())
    };
    let drill = || within("max_age=9000d");
    let refused = |got: &Got, cause: &str| {
        assert_ne!(got.exit, Some(0), "{}", got.both());
        assert!(flat(&got.both()).contains(cause), "{cause}: {}", got.both());
    };
    drill().exits(0);
    // 20 keys and a namespace, each written once after the first revision.
    let said = flat(&world.runbook(&["logs", "last"]).both());
    assert!(said.contains("revision 22, 21 keys, 1 namespaces") && said.contains("20261121T231538Z"), "{said}");
    world.sh("test -z \"$(ls temporary)\"").exits(0);
    refused(&within("max_age=1s"), "can be restored, and is");
    // The newest one counts, and an older one does not stand in for it.
    let newer = "backups/prod-etcd-20261122T000000Z.snapshot";
    let mut bytes = read(&world.path("real"));
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    write(&world.path(newer), &bytes);
    refused(&drill(), "its sum is not that of its contents");
    // Whole by its sum, and no database: only etcd itself sees that.
    write(&world.path(newer), &hollow(&read(&world.path("real"))));
    refused(&drill(), "this backup cannot be relied on");
    world.sh("rm backups/*").exits(0);
    refused(&drill(), "has no backup of prod");
}

/// A file with the form of a snapshot and a right sum, of which etcd can read nothing.
fn hollow(real: &[u8]) -> Vec<u8> {
    let mut bytes = real[..real.len() - 32].to_vec();
    let half = bytes.len() / 2;
    bytes[64..half].fill(0xAB);
    let sum = sha2::Sha256::digest(&bytes);
    bytes.extend_from_slice(&sum);
    bytes
}

#[test]
fn an_encrypted_backup_is_drilled_with_its_key() {
    let world = World::new();
    real_snapshot(&world, "real");
    let script = "mkdir -m 700 backups && age-keygen -o key 2>/dev/null && \
                  age -r $(age-keygen -y key) -o backups/prod-etcd-20261121T231538Z.snapshot.age real";
    world.sh(script).exits(0);
    let args =
        ["run", "etcd-restore-drill", "prod", "--set", "folder=backups", "--set", "max_age=9000d", "--apply", "--yes"];
    let got = world.runbook(&args);
    assert!(
        got.exit != Some(0) && flat(&got.both()).contains("is encrypted, and no identity is given"),
        "{}",
        got.both()
    );
    let with_key: Vec<&str> = args.into_iter().chain(["--set", "identity=key"]).collect();
    world.runbook(&with_key).exits(0);
    world.sh("age-keygen -o other 2>/dev/null").exits(0);
    let wrong: Vec<&str> = args.into_iter().chain(["--set", "identity=other"]).collect();
    let got = world.runbook(&wrong);
    assert!(got.exit != Some(0) && flat(&got.both()).contains("age --decrypt"), "{}", got.both());
}
