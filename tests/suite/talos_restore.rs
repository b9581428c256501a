//! `etcd-restore` in the lab: that it restores an etcd whose quorum is lost, and nothing else; that each thing that goes wrong
//! ends as a stop with its cause, and that it is gone on with.

use runbook::lab::ledger::{Channel, Entry};

use super::harness::flat;
use super::rig::{Output, Rig};

const BROKEN: [&str; 2] = ["etcd-broken:cp2", "etcd-broken:cp3"];
const LOST: &str = "lost=[\"cp2\", \"cp3\"]";

/// A lab with a backup of its etcd, which was lost afterwards.
async fn rig(faults: &[&str]) -> (Rig, String) {
    let rig = Rig::start("three-node", 1000.0, &[]).await;
    let folder = rig.house.folder().join("backups");
    runbook::sys::files::make_private_dir(&folder).unwrap();
    let set = format!("folder={}", folder.display());
    let taken = rig.run(&["run", "etcd-backup", "--cluster", "prod", "--set", &set, "--apply", "--yes"]).await;
    assert_eq!(taken.code, Some(0), "{}", taken.text);
    let name = runbook::sys::files::names(&folder).unwrap().remove(0);
    faults.iter().for_each(|fault| rig.fault(fault));
    (rig, folder.join(name).display().to_string())
}

async fn restore(rig: &Rig, snapshot: &str, more: &[&str]) -> Output {
    let mut args = vec!["run", "etcd-restore", snapshot, "--cluster", "prod", "--set", "within=10s"];
    args.extend(["--confirm", "prod", "--apply", "--yes", "--progress", "quiet"]);
    args.extend(more);
    rig.run(&args).await
}

/// What talosctl was asked for and that changed something, in its order.
fn asked(rig: &Rig) -> Vec<String> {
    let is_one = |entry: &Entry| entry.channel == Channel::Talosctl && entry.mutating;
    let argv = |entry: Entry| entry.params.get("argv").cloned().unwrap_or_default();
    rig.house.ledger().into_iter().filter(is_one).map(argv).collect()
}

fn how_many(rig: &Rig, what: &str) -> usize {
    asked(rig).iter().filter(|line| line.contains(what)).count()
}

/// Nothing was wiped, and nothing begun.
#[track_caller]
fn untouched(rig: &Rig, output: &Output) {
    assert_eq!((how_many(rig, " reset "), how_many(rig, " bootstrap ")), (0, 0), "{}", output.text);
    assert_eq!(rig.house.talos_violations(), Vec::<String>::new());
}

async fn is_well(rig: &Rig) {
    let status = rig.run(&["run", "talos-status", "--cluster", "prod", "--set", "healthy=true", "--apply"]).await;
    assert_eq!(status.code, Some(0), "{}", status.text);
    assert_eq!(rig.house.talos_violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_without_quorum_is_restored() {
    let (rig, snapshot) = rig(&BROKEN).await;
    let output = restore(&rig, &snapshot, &["--set", LOST]).await;
    assert_eq!(output.code, Some(0), "{}", output.text);
    assert_eq!((how_many(&rig, " reset "), how_many(&rig, " bootstrap ")), (3, 1), "{:#?}", asked(&rig));
    let lines = asked(&rig);
    assert!(
        lines
            .iter()
            .filter(|line| line.contains(" reset "))
            .all(|line| line.contains("--graceful=false") && line.contains("--system-labels-to-wipe EPHEMERAL")),
        "{lines:#?}"
    );
    let logs = rig.run(&["logs", "last"]).await;
    let text = flat(&logs.text);
    assert!(text.contains("cp1, cp2, cp3 vote") && text.contains("whatever was written after that is lost"), "{text}");
    is_well(&rig).await;
    // Now that it has its quorum it is not restored again.
    let again = restore(&rig, &snapshot, &["--set", LOST]).await;
    assert_ne!(again.code, Some(0), "{}", again.text);
    assert!(flat(&again.text).contains("etcd has its quorum: cp1 sees a leader"), "{}", again.text);
    assert_eq!(how_many(&rig, " reset "), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_still_be_alive_is_not_restored() {
    for (faults, set, cause) in [
        (&[][..], "lost=[]", "etcd has its quorum: cp1 sees a leader"),
        (&[], "lost=[\"cp2\", \"cp3\"]", "etcd has its quorum"),
        // etcd runs and does not answer: nobody can tell.
        (
            &["etcd-unhealthy:cp2", "etcd-unhealthy:cp3"],
            "lost=[]",
            "2 of 3 control planes are needed for one, and cp1, cp2, cp3 may be alive",
        ),
        (&BROKEN, "lost=[]", "cp1, cp2, cp3 may be alive"),
        (&BROKEN, "lost=[\"cp2\"]", "cp1, cp3 may be alive"),
        (&["node-down:pve2", "node-down:pve3"], "lost=[\"cp3\"]", "cp1, cp2 may be alive"),
        (&BROKEN, "lost=[\"cp9\"]", "cp9 is no control plane of prod"),
    ] {
        let (rig, snapshot) = rig(faults).await;
        let output = restore(&rig, &snapshot, &["--set", set]).await;
        assert_ne!(output.code, Some(0), "{faults:?} {set}: {}", output.text);
        assert!(flat(&output.text).contains(cause), "{faults:?} {set}: {}", output.text);
        untouched(&rig, &output);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_whole_snapshot_nothing_is_wiped() {
    let (rig, snapshot) = rig(&BROKEN).await;
    let whole = runbook::sys::files::read_bytes(&snapshot).unwrap();
    let folder = rig.house.folder().join("backups");
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        runbook::sys::files::write_private(&path, bytes).unwrap();
        path.display().to_string()
    };
    let mut flipped = whole.clone();
    flipped[4000] ^= 1;
    let mut hidden = b"age-encryption.org/v1\n-> X25519 abc\ndef\n--- mac\n".to_vec();
    hidden.resize(hidden.len() + 16 + 1024 + 32 + 16, 7);
    for (path, cause) in [
        (put("cut", &whole[..whole.len() / 2]), "so this one is cut short"),
        (put("cut512", &whole[..whole.len() - 512]), "its sum is not that of its contents"),
        (put("flipped", &flipped), "its sum is not that of its contents"),
        (put("hidden.age", &hidden), "is encrypted: decrypt it first"),
        (folder.join("nowhere").display().to_string(), "there is no such file"),
    ] {
        let output = restore(&rig, &path, &["--set", LOST]).await;
        assert_ne!(output.code, Some(0), "{path}: {}", output.text);
        assert!(flat(&output.text).contains(cause), "{path}: {}", output.text);
        untouched(&rig, &output);
    }
    let other = restore(&rig, &snapshot, &["--set", LOST, "--set", "sha256=00"]).await;
    assert!(other.code != Some(0) && flat(&other.text).contains("and should be 00"), "{}", other.text);
    untouched(&rig, &other);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_is_typed() {
    let (rig, snapshot) = rig(&BROKEN).await;
    let args = ["run", "etcd-restore", &snapshot, "--cluster", "prod", "--set", LOST, "--apply", "--yes"];
    let output = rig.run(&args).await;
    assert_ne!(output.code, Some(0), "{}", output.text);
    untouched(&rig, &output);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_never_returns_stops_it_and_is_named_then() {
    let (rig, snapshot) = rig(&["etcd-broken:cp2", "etcd-broken:cp3", "talos-never-returns:cp2"]).await;
    let output = restore(&rig, &snapshot, &["--set", LOST]).await;
    let text = flat(&output.text);
    assert_ne!(output.code, Some(0), "{}", output.text);
    assert!(text.contains("cp2 does not answer") && text.contains("wipe[cp2]"), "{}", output.text);
    assert_eq!((how_many(&rig, " reset "), how_many(&rig, " bootstrap ")), (2, 0), "{}", output.text);
    // cp2 is gone: the other two begin again, and what was wiped is left alone.
    let output = restore(&rig, &snapshot, &["--set", LOST]).await;
    assert_eq!(output.code, Some(0), "{}", output.text);
    assert_eq!((how_many(&rig, " reset "), how_many(&rig, " bootstrap ")), (3, 1), "{:#?}", asked(&rig));
    assert_eq!(rig.house.talos_violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bootstrap_that_is_refused_is_said_and_gone_on_with() {
    let (rig, snapshot) = rig(&["etcd-broken:cp2", "etcd-broken:cp3", "talos-time-unsynced:cp1"]).await;
    let output = restore(&rig, &snapshot, &["--set", LOST]).await;
    let text = flat(&output.text);
    assert_ne!(output.code, Some(0), "{}", output.text);
    assert!(text.contains("time is not in sync yet") && text.contains("nothing was begun"), "{}", output.text);
    // By another one, whose clock is right.
    let output = restore(&rig, &snapshot, &["--set", "node=cp2"]).await;
    assert_eq!(output.code, Some(0), "{}", output.text);
    assert_eq!((how_many(&rig, " reset "), how_many(&rig, " bootstrap ")), (3, 1), "{:#?}", asked(&rig));
    is_well(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_that_comes_back_meanwhile_stops_it() {
    let (rig, snapshot) = rig(&["node-down:pve2", "node-down:pve3"]).await;
    let plan = rig.house.folder().join("plan.json").display().to_string();
    let args = ["plan", "etcd-restore", &snapshot, "--cluster", "prod", "--set", LOST, "--out", &plan];
    let output = rig.run(&args).await;
    assert_eq!(output.code, Some(0), "{}", output.text);
    rig.fault("node-up:pve2");
    rig.fault("node-up:pve3");
    // Their machines boot.
    for _ in 0..200 {
        let status = rig.run(&["run", "talos-status", "--cluster", "prod", "--set", "healthy=true", "--apply"]).await;
        if status.code == Some(0) {
            break;
        }
    }
    let output = rig.run(&["apply", &plan, "--yes", "--confirm", "prod", "--progress", "quiet"]).await;
    assert_ne!(output.code, Some(0), "{}", output.text);
    assert!(flat(&output.text).contains("etcd has its quorum"), "{}", output.text);
    untouched(&rig, &output);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_gone_on_with_and_nothing_is_wiped_or_begun_twice() {
    let (rig, snapshot) = rig(&BROKEN).await;
    let output = restore(&rig, &snapshot, &["--set", LOST, "--inject", "crash-after:16"]).await;
    assert_ne!(output.code, Some(0), "{}", output.text);
    let mut resumed = rig.run(&["resume", "last", "--yes", "--confirm", "prod", "--progress", "quiet"]).await;
    if resumed.code != Some(0) {
        // A destructive step that was interrupted before it was sent is not sent by itself.
        assert!(flat(&resumed.text).contains("start a new run"), "{}", resumed.text);
        resumed = restore(&rig, &snapshot, &["--set", LOST]).await;
    }
    assert_eq!(resumed.code, Some(0), "{}", resumed.text);
    assert_eq!((how_many(&rig, " reset "), how_many(&rig, " bootstrap ")), (3, 1), "{:#?}", asked(&rig));
    is_well(&rig).await;
}
