//! Bulk work, on some two hundred guests: each is asked once, so many at a time, in the order of its boot; the process does
//! not grow with their number, and planned again nothing is left to do.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use runbook::event::{Fact, RunStatus};

use super::rig::Rig;

/// How long one process may take over all the guests.
const LONG: Duration = Duration::from_secs(600);

/// What a process left behind.
struct Output {
    code: Option<i32>,
    text: String,
}

/// What the process held at most, KiB.
struct Held(u64);

async fn run(rig: &Rig, args: &[&str]) -> (Output, Held) {
    let child = rig.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = child.id().unwrap();
    let going = tokio::spawn(tokio::time::timeout(LONG, child.wait_with_output()));
    let mut most = 0;
    while !going.is_finished() {
        most = most.max(held(pid));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let output = going.await.unwrap().expect("the process stands still").unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    (Output { code: output.status.code(), text }, Held(most))
}

#[allow(clippy::disallowed_methods, reason = "the test looks at the process from outside")]
fn held(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

fn well(output: &Output) {
    assert_eq!(output.code, Some(0), "{}", output.text);
}

/// The VMIDs that were asked for, in order.
fn asked(rig: &Rig, verb: &str, last: &str) -> Vec<u32> {
    let work = rig.work();
    let of = work.iter().filter(|entry| entry.method == verb && entry.path.ends_with(last));
    of.map(|entry| {
        let mut words = entry.path.split('/');
        words.find_map(|word| word.parse().ok()).unwrap_or_else(|| panic!("{}", entry.path))
    })
    .collect()
}

/// How many of a run's steps were under way at once, at most.
fn widest(rig: &Rig) -> usize {
    let (mut now, mut most) = (std::collections::BTreeSet::new(), 0);
    for event in rig.events() {
        match event.fact() {
            Some(Fact::Started { path, .. }) => drop(now.insert(path.clone())),
            Some(Fact::Finished { path, .. }) => drop(now.remove(path)),
            _ => {}
        }
        most = most.max(now.len());
    }
    most
}

/// That never more was under way than the step and the site allow, and that steps were at work at the same time; `least`:
/// their tasks as well, where these are long enough to meet.
fn within(rig: &Rig, least: usize, at_once: usize) {
    let width = widest(rig);
    assert!((2..=at_once).contains(&width), "{at_once}: {width} steps");
    let (tasks, requests) =
        rig.house.with_world(|world| world.most_tasks().clone()).map(|t| (t, rig.house.most_requests())).unwrap();
    assert!((least..=at_once).contains(&tasks.site), "{at_once}: {tasks:?}");
    assert!(tasks.nodes.values().all(|most| *most <= tasks.site), "{tasks:?}");
    // `cluster.api.per_node` of the configuration.
    assert!(requests.values().all(|most| *most <= 2) && requests.values().any(|most| *most == 2), "{requests:?}");
    rig.house.with_world(runbook::lab::world::World::count_anew);
}

fn statuses(rig: &Rig) -> BTreeMap<u32, String> {
    let state = rig.state();
    let guests = state["guests"].as_object().unwrap();
    guests.iter().map(|(id, guest)| (id.parse().unwrap(), guest["status"].as_str().unwrap().to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_guests_go_down_and_up_in_their_order() {
    let rig = Rig::start("herd", 600.0, &[]).await;
    let running = |rig: &Rig| statuses(rig).values().filter(|status| *status == "running").count();
    let before = running(&rig);
    assert!(statuses(&rig).len() == 214 && before > 180, "{before}");

    let few = ["run", "bulk-shutdown", "--set", "name=vm-100?", "--set", "max_parallel=8"];
    let sure = ["--apply", "--yes", "--confirm", "shutdown", "--progress", "plain"];
    let (down, small) = run(&rig, &[&few[..], &sure].concat()).await;
    well(&down);
    let some = asked(&rig, "POST", "/status/shutdown").len();
    assert!((4..=10).contains(&some), "{some}");

    let all = ["--set", "name=*", "--set", "max_parallel=24"];
    let (down, large) = run(&rig, &[&["run", "bulk-shutdown"], &all[..], &sure].concat()).await;
    well(&down);
    assert!(down.text.contains("guest 102 (kept) is left out: it is protected"), "{}", down.text);
    assert!(down.text.contains("guest 103 (vault) is left out: it belongs to the HA manager"), "{}", down.text);
    let order = asked(&rig, "POST", "/status/shutdown");
    // The protected one and the one of the HA manager are left alone.
    assert_eq!((order.len(), running(&rig)), (before - 2, 2));
    let once: std::collections::BTreeSet<u32> = order.iter().copied().collect();
    assert_eq!(once.len(), order.len(), "each is asked once");
    assert_eq!(order[order.len() - 2..], [101, 100], "the order of their boot, backwards");
    let width = widest(&rig);
    assert!((12..=24).contains(&width), "{width} at once");
    within(&rig, 2, 24);
    assert!(large.0 > 0 && large.0 < small.0 + 48 * 1024, "{} KiB for few, {} KiB for all", small.0, large.0);

    let (again, _) = run(&rig, &[&["plan", "bulk-shutdown", "--detailed-exitcode"], &all[..]].concat()).await;
    assert!(again.code == Some(0) && again.text.contains("No changes."), "{:?} {}", again.code, again.text);

    // Up again, those of some names.
    let (up, _) = run(&rig, &["run", "bulk-start", "router", "dns", "vm-1001", "--apply", "--yes"]).await;
    well(&up);
    let started = asked(&rig, "POST", "/status/start");
    assert_eq!(started, [100, 101, 1001], "the lowest order first, those without one last");
    let (again, _) = run(&rig, &["plan", "bulk-start", "router", "dns", "vm-1001", "--detailed-exitcode"]).await;
    assert!(again.code == Some(0) && again.text.contains("No changes."), "{:?} {}", again.code, again.text);
    assert_eq!(rig.status(), Some(RunStatus::Succeeded));
    rig.house.with_world(runbook::lab::world::World::count_anew);

    let (up, _) =
        run(&rig, &["run", "bulk-start", "--set", "node=pve02", "--set", "max_parallel=6", "--apply", "--yes"]).await;
    well(&up);
    assert!(asked(&rig, "POST", "/status/start").len() > 30, "{}", up.text);
    within(&rig, 1, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_every_guest_of_a_tag_is_taken_so_many_at_a_time() {
    let rig = Rig::start("herd", 600.0, &[]).await;
    let state = rig.state();
    let tagged = |guest: &&serde_json::Value| guest["tags"].as_array().unwrap().iter().any(|tag| tag == "prod");
    let number = state["guests"].as_object().unwrap().values().filter(tagged).count();
    let args = ["run", "snapshot-by-tag", "prod", "--set", "max_parallel=6", "--apply", "--yes"];
    let (taken, _) = run(&rig, &args).await;
    well(&taken);
    let once: std::collections::BTreeSet<u32> = asked(&rig, "POST", "/snapshot").into_iter().collect();
    assert_eq!((asked(&rig, "POST", "/snapshot").len(), once.len()), (number, number));
    assert!(number > 40, "{number}");
    within(&rig, 2, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guests_of_a_node_are_tagged_and_keep_their_own_tags() {
    let rig = Rig::start("herd", 600.0, &[]).await;
    let tags = |rig: &Rig| -> BTreeMap<String, String> {
        let state = rig.state();
        let guests = state["guests"].as_object().unwrap();
        let own = |guest: &serde_json::Value| {
            guest["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap()).collect::<Vec<_>>().join(";")
        };
        guests.iter().map(|(id, guest)| (id.clone(), own(guest))).collect()
    };
    let before = tags(&rig);
    let all = ["--set", "node=pve01", "--set", "max_parallel=24"];
    let (added, _) = run(&rig, &[&["run", "tag-add", "audited,dev"], &all[..], &["--apply", "--yes"]].concat()).await;
    well(&added);
    let state = rig.state();
    let here = |id: &str| state["guests"][id]["node"] == "pve01";
    for (id, tags) in tags(&rig) {
        let new: &[&str] = if here(&id) { &["audited", "dev"] } else { &[] };
        let own = before[&id].split(';').filter(|tag| !tag.is_empty()).chain(new.iter().copied());
        let own: std::collections::BTreeSet<&str> = own.collect();
        assert_eq!(tags, own.into_iter().collect::<Vec<_>>().join(";"), "guest {id}");
    }
    let number = before.keys().filter(|id| here(id)).count();
    assert_eq!((asked(&rig, "PUT", "/config").len(), number), (36, 36));
    // No task does it: what counts is how many steps were under way, and how many requests at the node.
    assert!((2..=24).contains(&widest(&rig)), "{}", widest(&rig));
    assert!(rig.house.most_requests().values().all(|most| *most <= 2), "{:?}", rig.house.most_requests());
    let (again, _) = run(&rig, &[&["plan", "tag-add", "audited,dev", "--detailed-exitcode"], &all[..]].concat()).await;
    assert!(again.code == Some(0) && again.text.contains("No changes."), "{:?} {}", again.code, again.text);
    let (off, _) = run(&rig, &[&["run", "tag-remove", "audited"], &all[..], &["--apply", "--yes"]].concat()).await;
    well(&off);
    assert!(tags(&rig).values().all(|tags| !tags.contains("audited")));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_chosen_by_nothing() {
    let rig = Rig::start("tiny", 600.0, &[]).await;
    let (output, _) = run(&rig, &["plan", "bulk-shutdown"]).await;
    assert_eq!(output.code, Some(6), "{}", output.text);
    assert!(output.text.contains("nothing says which guests: it would be all of the site"), "{}", output.text);
    assert_eq!(rig.work().len(), 0);
}
