//! `talos-config-apply` in the lab: that the files are in force afterwards, that each thing that goes wrong ends as a stop with
//! its cause, and that what is secret in a file is nowhere else.

use std::path::{Path, PathBuf};

use runbook::lab::ledger::{Channel, Entry};

use super::harness::flat;
use super::rig::{Output, Rig};

const CANARY: &str = "c4n4ry-0f-a-s3cret";
/// At once, and with a reboot.
const LIGHT: &str = "    sysctls:\n        vm.max_map_count: \"262144\"\n";
const HEAVY: &str = "    env:\n        GODEBUG: madvdontneed=1\n";

async fn rig(faults: &[&str]) -> Rig {
    let rig = Rig::start("three-node", 1000.0, faults).await;
    runbook::sys::files::make_private_dir(rig.house.folder().join("kept")).unwrap();
    rig
}

fn file(rig: &Rig, node: &str) -> PathBuf {
    rig.house.folder().join("talos").join("prod").join(format!("{node}.yaml"))
}

fn read(path: &Path) -> String {
    runbook::sys::files::read_text(path).unwrap()
}

/// Changes a node's file.
#[track_caller]
fn edit(rig: &Rig, node: &str, from: &str, to: &str) {
    let text = read(&file(rig, node));
    assert!(text.contains(from), "{text}");
    runbook::sys::files::write_private(file(rig, node), text.replacen(from, to, 1).as_bytes()).unwrap();
}

/// Adds settings to a node's file.
fn add(rig: &Rig, node: &str, what: &str) {
    edit(rig, node, "    network:\n", &format!("{what}    network:\n"));
}

fn in_force(rig: &Rig, node: &str) -> String {
    rig.house.with_world(|world| world.machine_configs()[node].clone()).unwrap()
}

async fn apply(rig: &Rig, more: &[&str]) -> Output {
    let keep = format!("keep={}", rig.house.folder().join("kept").display());
    let mut args = vec!["run", "talos-config-apply", "--cluster", "prod", "--set", &keep];
    for set in ["bare=true", "emptydir=true", "within=6s"] {
        args.extend(["--set", set]);
    }
    args.extend(more);
    args.extend(["--apply", "--yes", "--progress", "quiet"]);
    rig.run(&args).await
}

/// The nodes that were given a configuration, in their order.
fn given(rig: &Rig) -> Vec<String> {
    let is_one = |entry: &Entry| entry.channel == Channel::Talosctl && entry.mutating;
    let argv = |entry: Entry| entry.params.get("argv").cloned().unwrap_or_default();
    let lines = rig.house.ledger().into_iter().filter(is_one).map(argv).filter(|line| line.contains("apply-config"));
    let node = |line: String| line.split("--nodes ").nth(1)?.split(' ').next().map(str::to_owned);
    lines.filter_map(node).map(|address| address.trim_start_matches("10.0.0.").to_owned()).collect()
}

#[track_caller]
fn held(rig: &Rig, output: &Output) {
    assert_eq!(rig.house.talos_violations(), Vec::<String>::new(), "{}", output.text);
}

/// Everything that the run has left behind, but for the files that are meant to have it.
fn left(folder: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
    for name in runbook::sys::files::names(folder).unwrap() {
        let path = folder.join(name);
        if path.is_dir() {
            left(&path, found);
        } else if path.is_file() {
            let mut bytes = Vec::new();
            let _ = runbook::sys::files::read_through(&path, |part| bytes.extend_from_slice(part));
            found.push((path, bytes));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_into_force_node_by_node_and_a_second_run_does_nothing() {
    let rig = rig(&[]).await;
    for node in ["cp1", "cp2", "w1", "w2"] {
        add(&rig, node, LIGHT);
    }
    add(&rig, "cp1", HEAVY);
    add(&rig, "w2", HEAVY);
    let boots = |rig: &Rig| {
        let all = rig.house.with_world(|world| world.machine_boots()).unwrap();
        ["cp1", "cp2", "w1", "w2"].map(|node| all[node].clone())
    };
    let before = boots(&rig);
    let output = apply(&rig, &[]).await;
    assert_eq!(output.code, Some(0), "{}", output.text);
    assert_eq!(given(&rig), ["52", "51", "61", "62"], "the leader last of the control planes: {}", output.text);
    for node in ["cp1", "cp2", "w1", "w2"] {
        assert_eq!(in_force(&rig, node), read(&file(&rig, node)), "{node}");
    }
    let after = boots(&rig);
    assert_eq!([0, 1, 2, 3].map(|n| before[n] != after[n]), [true, false, false, true], "only where it has to be");
    let kept = runbook::sys::files::names(rig.house.folder().join("kept")).unwrap();
    assert!(kept.len() == 4 && kept.iter().all(|name| name.ends_with(".yaml")), "{kept:?}");
    held(&rig, &output);
    let again = apply(&rig, &[]).await;
    assert_eq!((again.code, given(&rig).len()), (Some(0), 4), "{}", again.text);
    let nodes = rig.run(&["do", "kubernetes.nodes", "cluster=prod"]).await;
    assert!(!flat(&nodes.text).contains("schedulable: false"), "{}", nodes.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_secret_in_a_file_is_nowhere_else() {
    let rig = rig(&[]).await;
    let from = "token: lab001.0123456789abcdef";
    edit(&rig, "w1", from, &format!("token: {CANARY}"));
    edit(&rig, "w2", "    network:\n", &format!("    env:\n        PROXY: http://u:{CANARY}@proxy\n    network:\n"));
    let mut plan = rig.command(&["plan", "talos-config-apply", "--cluster", "prod"]);
    let traced = plan.env("RUST_LOG", "trace").output().await.unwrap();
    let plan = format!("{}{}", String::from_utf8_lossy(&traced.stdout), String::from_utf8_lossy(&traced.stderr));
    assert!(plan.contains("machine.token (not shown)"), "{plan}");
    let output = apply(&rig, &[]).await;
    assert_eq!((output.code, given(&rig)), (Some(0), vec!["61".to_owned(), "62".to_owned()]), "{}", output.text);
    for args in [
        &["export", "last", "--format", "html", "--to", "page.html"][..],
        &["export", "last", "--format", "junit", "--to", "run.xml"],
        &["logs", "last"],
        &["status", "last", "-o", "json"],
        &["replay", "last", "--progress", "jsonl"],
    ] {
        let shown = rig.run(args).await;
        assert!(shown.code.is_some_and(|code| code < 3) && !shown.text.contains(CANARY), "{args:?}: {}", shown.text);
    }
    // And where it is told what is wrong with a file.
    edit(&rig, "w3", "version: v1alpha1", &format!("version: {CANARY}"));
    let refused = apply(&rig, &[]).await;
    assert_ne!(refused.code, Some(0));
    for text in [&plan, &output.text, &refused.text] {
        assert!(!text.contains(CANARY), "{text}");
    }
    let mut found = Vec::new();
    left(rig.house.folder(), &mut found);
    let own = rig.house.folder().join("talos");
    let tells = |bytes: &[u8]| bytes.windows(CANARY.len()).any(|part| part == CANARY.as_bytes());
    let told: Vec<_> = found.iter().filter(|(path, bytes)| !path.starts_with(&own) && tells(bytes)).collect();
    assert!(told.is_empty() && found.len() > 5, "{:?}", told.iter().map(|(path, _)| path).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_the_nodes_own_or_older_is_refused_before_anything_is_done() {
    for (node, from, to, cause) in [
        ("w1", "kubelet:v1.34.1", "kubelet:v1.33.5", "older than what runs: kubelet 1.33.5, and 1.34.1 runs"),
        ("w1", ":v1.11.2", ":v1.10.9", "its installer is of Talos 1.10.9, and 1.11.2 runs"),
        ("w1", "hostname: w1", "hostname: w2", "it is of w2, and w1 has w1"),
        ("w1", "type: worker", "type: controlplane", "it is of a controlplane, and w1 is a worker"),
        ("cp2", "clusterName: prod", "clusterName: test", "it is of cluster test"),
        ("cp2", "machine:", "mashine:", "it does not say machine.type"),
    ] {
        let rig = rig(&[]).await;
        add(&rig, "cp3", LIGHT);
        edit(&rig, node, from, to);
        let output = apply(&rig, &[]).await;
        assert_ne!(output.code, Some(0), "{to}: {}", output.text);
        assert!(flat(&output.text).contains(cause), "{to}: {}", output.text);
        assert_eq!(given(&rig), Vec::<String>::new(), "{to}: {}", output.text);
    }
    let rig = rig(&[]).await;
    edit(&rig, "w1", "kubelet:v1.34.1", "kubelet:v1.33.5");
    let output = apply(&rig, &["--set", "older=true"]).await;
    assert_eq!((output.code, given(&rig)), (Some(0), vec!["61".to_owned()]), "{}", output.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_control_plane_reboots_where_etcd_is_not_whole() {
    for (fault, cause) in [
        ("etcd-unhealthy:cp3", "cp3"),
        ("etcd-learner:cp3", "cp3: it is a learner"),
        ("etcd-alarm:cp3", "alarm NOSPACE"),
        ("node-down:pve3", "does not call these nodes ready: cp3, w3"),
    ] {
        let rig = rig(&[fault]).await;
        add(&rig, "cp2", HEAVY);
        let output = apply(&rig, &[]).await;
        assert_ne!(output.code, Some(0), "{fault}: {}", output.text);
        assert!(flat(&output.text).contains(cause), "{fault}: {}", output.text);
        assert_eq!(given(&rig), Vec::<String>::new(), "{fault}: {}", output.text);
        held(&rig, &output);
    }
    // Without a reboot etcd does not feel it.
    let rig = rig(&["etcd-alarm:cp3"]).await;
    add(&rig, "cp2", LIGHT);
    let output = apply(&rig, &[]).await;
    assert_eq!((output.code, given(&rig)), (Some(0), vec!["52".to_owned()]), "{}", output.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_come_back_stops_the_run() {
    let rig = rig(&["talos-never-returns:cp2"]).await;
    for node in ["cp2", "cp3", "w1"] {
        add(&rig, node, HEAVY);
    }
    let output = apply(&rig, &[]).await;
    assert_eq!(output.code, Some(11), "{}", output.text);
    let text = flat(&output.text);
    assert!(text.contains("cp2 does not answer") && text.contains("node[cp2]/apply"), "{}", output.text);
    assert_eq!(given(&rig), ["52"], "no other node is touched: {}", output.text);
    held(&rig, &output);
    let nodes = rig.run(&["do", "kubernetes.nodes", "cluster=prod"]).await;
    assert!(flat(&nodes.text).contains("cordoned: cp2"), "{}", nodes.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_drain_leaves_the_node_as_it_is() {
    let rig = rig(&["drain-blocked:shop/web"]).await;
    add(&rig, "w1", HEAVY);
    let output = apply(&rig, &["--set", "drain_within=5s"]).await;
    assert_ne!(output.code, Some(0), "{}", output.text);
    assert!(flat(&output.text).contains("disruption budget shop/web"), "{}", output.text);
    assert_eq!(given(&rig), Vec::<String>::new(), "{}", output.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn staged_it_waits_for_the_next_boot_and_no_reboot_is_kept_to() {
    let rig = rig(&[]).await;
    add(&rig, "w1", HEAVY);
    let never = apply(&rig, &["--set", "mode=no-reboot"]).await;
    assert_ne!(never.code, Some(0), "{}", never.text);
    assert!(flat(&never.text).contains("can't be applied in immediate mode"), "{}", never.text);
    let staged = apply(&rig, &["--set", "mode=staged"]).await;
    assert_eq!(staged.code, Some(0), "{}", staged.text);
    assert!(!in_force(&rig, "w1").contains("env:"), "not yet");
    let again = apply(&rig, &["--set", "mode=staged"]).await;
    assert_eq!((again.code, given(&rig)), (Some(0), vec!["61".to_owned()]), "{}", again.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_is_brought_back_and_with_a_reboot_only_by_hand() {
    let rig = rig(&[]).await;
    let was = in_force(&rig, "w1");
    add(&rig, "w1", LIGHT);
    add(&rig, "w2", LIGHT);
    let output = apply(&rig, &["--inject", "fail:node[w2]/apply", "--inject", "roll-back"]).await;
    assert!(flat(&output.text).contains("rolled back"), "{}", output.text);
    assert_eq!((in_force(&rig, "w1"), given(&rig)), (was.clone(), vec!["61".to_owned(); 2]), "{}", output.text);
    add(&rig, "w1", HEAVY);
    let output = apply(&rig, &["--inject", "fail:node[w1]/back", "--inject", "roll-back"]).await;
    let by_hand = output.text.replace('\n', " ");
    let by_hand = by_hand.split_once("For you to do by hand:").map(|(_, rest)| rest).unwrap_or_default();
    assert!(by_hand.contains("runbook do talos.apply_config cluster=prod node=w1"), "{}", output.text);
    let (file, more) = by_hand.split_once("file=").unwrap().1.split_once(' ').unwrap();
    let file = format!("file={file}");
    let args = ["do", "talos.apply_config", "cluster=prod", "node=w1", &file, "mode=auto", "older=true", "within=6s"];
    let undone = rig.run(&[&args[..], &["--apply", "--yes"]].concat()).await;
    assert_eq!((undone.code, in_force(&rig, "w1")), (Some(0), was), "{} {more}", undone.text);
}
