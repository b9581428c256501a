//! The lock that holds for every controller: two machines (two state folders) and one site.

use std::time::Duration;

use runbook::app::Exit;
use runbook::app::site_lock;
use runbook::event::{Fact, RunStatus};

use super::harness::{Lab, World, flat};
use super::rig::{Output, Rig, finish};

const RUN: [&str; 5] = ["run", "evacuate", "pve2", "--apply", "--yes"];
const OTHER: [&str; 5] = ["run", "evacuate", "pve1", "--apply", "--yes"];

async fn rig() -> Rig {
    let rig = Rig::start("tiny", 200.0, &[]).await;
    rig.variant("");
    rig
}

/// The same person on another machine.
async fn elsewhere(rig: &Rig, args: &[&str]) -> Output {
    let mut command = rig.command(args);
    command.env("XDG_STATE_HOME", rig.house.folder().join("other-state"));
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    finish(command.spawn().unwrap()).await
}

#[track_caller]
fn refused(output: &Output, run: &str) {
    assert_eq!(output.code, Some(8), "{}", output.text);
    let text = flat(&output.text);
    let resume = format!("`runbook resume {run}`");
    for part in
        ["the site is locked", run, " since 20", "pid ", &resume, "`runbook lock break site/lab.example --reason"]
    {
        assert!(text.contains(part), "lacks {part:?}: {text}");
    }
}

fn run_id(rig: &Rig) -> String {
    rig.store().find("last").unwrap().id.to_string()
}

fn pool(rig: &Rig) -> bool {
    let (taken, left) = rig.lock_calls();
    taken > left
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_controller_is_refused_until_the_first_ones_run_is_over() {
    let rig = rig().await;
    let mut first = rig.spawn(&RUN);
    while rig.migrations().is_empty() {
        assert!(first.try_wait().unwrap().is_none(), "it was over before it began: {:?}", finish(first).await);
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let run = run_id(&rig);
    first.start_kill().unwrap();
    first.wait().await.unwrap();
    // Killed or not: the lock is the run's.
    refused(&elsewhere(&rig, &RUN).await, &run);
    refused(&elsewhere(&rig, &OTHER).await, &run);
    let resumed = rig.run(&["resume", "last", "--yes"]).await;
    assert_eq!(resumed.code, Some(0), "{}", resumed.text);
    assert!(resumed.text.contains("the lock of the site is this run's"), "{}", resumed.text);
    rig.assert_evacuated("killed, resumed");
    assert_eq!(rig.lock_calls(), (1, 1));
    let then = elsewhere(&rig, &OTHER).await;
    assert_eq!(then.code, Some(0), "{}", then.text);
    assert_eq!(rig.lock_calls(), (2, 2));
    rig.house.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_under_way_keeps_others_out() {
    let rig = rig().await;
    let first = rig.spawn(&RUN);
    while rig.lock_calls().0 == 0 {
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let second = elsewhere(&rig, &RUN).await;
    refused(&second, &run_id(&rig));
    let first = finish(first).await;
    assert_eq!(first.code, Some(0), "{}", first.text);
    rig.assert_evacuated("another one knocked");
    rig.house.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_begin_at_once_one_gets_it() {
    let rig = rig().await;
    let (a, b) = tokio::join!(rig.run(&RUN), elsewhere(&rig, &RUN));
    let mut codes = [a.code, b.code];
    codes.sort();
    // The later one either meets the lock, or a node that is empty already, or a plan that has become stale.
    assert_eq!(codes[0], Some(0), "{}\n{}", a.text, b.text);
    assert!(matches!(codes[1], Some(8 | 0 | 6)), "{}\n{}", a.text, b.text);
    assert!(rig.migrations().values().all(|asked| asked.len() == 1), "{:?}", rig.migrations());
    assert!(!pool(&rig));
    rig.house.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_run_keeps_its_lock() {
    let rig = rig().await;
    rig.with_timeout("2s");
    rig.fault("task-hang:qmigrate/104");
    let (ended, _) = rig.apply(rig.plan().await, &[]).await;
    assert_eq!(ended.unwrap().status, RunStatus::Paused);
    assert_eq!(rig.lock_calls(), (1, 0));
    refused(&elsewhere(&rig, &OTHER).await, &run_id(&rig));
    assert!(pool(&rig));
    rig.house.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_is_made_good_by_looking() {
    for fault in [
        "reset-after:POST /pools*1",
        "reset-before:POST /pools*1",
        "596-after:POST /pools*1",
        "reset-after:DELETE /pools*1",
        "reset-before:DELETE /pools*1",
        "596-after:DELETE /pools*1",
        "500:DELETE /pools*1=cfs-lock 'file-user_cfg' error: got lock request timeout",
    ] {
        let rig = rig().await;
        rig.fault(fault);
        let (ended, _) = rig.apply(rig.plan().await, &[]).await;
        assert_eq!(ended.unwrap().exit, Exit::Done, "{fault}");
        assert_eq!(rig.lock_calls(), (1, 1), "{fault}");
        rig.assert_evacuated(fault);
        rig.house.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_cannot_be_given_back_is_said_and_taken_over_by_the_next_run_here() {
    let rig = rig().await;
    rig.fault("500:DELETE /pools*1=unable to write");
    let first = rig.run(&RUN).await;
    assert_eq!(first.code, Some(0), "{}", first.text);
    let text = flat(&first.text);
    assert!(text.contains("the lock of the site could not be given back") && text.contains("lock break"), "{text}");
    assert!(rig.events().iter().any(|e| e.fact() == Some(&Fact::LockReleased)));
    assert!(pool(&rig));
    let then = rig.run(&OTHER).await;
    assert_eq!(then.code, Some(0), "{}", then.text);
    assert!(then.text.contains("was left behind and is taken over"), "{}", then.text);
    assert!(!pool(&rig));
    rig.house.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_does_not_say_is_an_error_and_the_run_can_be_resumed() {
    let rig = rig().await;
    rig.fault("500:POST /pools*1=unable to write");
    let first = rig.run(&RUN).await;
    assert_eq!(first.code, Some(7), "{}", first.text);
    assert!(
        first.text.contains("take the lock of the site") && first.text.contains("runbook resume"),
        "{}",
        first.text
    );
    assert!(rig.taken().is_empty());
    let resumed = rig.run(&["resume", "last", "--yes"]).await;
    assert_eq!(resumed.code, Some(0), "{}", resumed.text);
    rig.assert_evacuated("the lock came late");
    rig.house.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_was_broken_meanwhile_is_taken_again_or_its_new_holder_is_named() {
    let rig = rig().await;
    let crashed = rig.run(&[&RUN[..], &["--inject", "crash-after:12"]].concat()).await;
    assert_ne!(crashed.code, Some(0), "{}", crashed.text);
    let run = run_id(&rig);
    let site = rig.site().await;
    assert!(site_lock::holder(&site).await.unwrap().is_some_and(|holder| holder.contains(&run)));
    assert_eq!(site_lock::break_(&site, " ").await.unwrap_err().code, "lock::reason");
    let broken = site_lock::break_(&site, "the host is gone").await.unwrap();
    assert!(broken.is_some_and(|holder| holder.contains(&run)));
    assert_eq!(site_lock::break_(&site, "once more").await.unwrap(), None);
    // Somebody else comes, and is left half-way, too.
    let other = elsewhere(&rig, &[&OTHER[..], &["--inject", "crash-after:3"]].concat()).await;
    assert!(other.text.contains("crashed, as asked for"), "{}", other.text);
    let before = rig.taken().len();
    let refused = rig.run(&["resume", "last", "--yes"]).await;
    assert_eq!(refused.code, Some(8), "{}", refused.text);
    assert!(refused.text.contains("has lost the lock of the site"), "{}", refused.text);
    assert_eq!(rig.taken().len(), before, "nothing was done without the lock");
    site_lock::break_(&site, "that one, too").await.unwrap();
    let resumed = rig.run(&["resume", "last", "--yes"]).await;
    assert_eq!(resumed.code, Some(0), "{}", resumed.text);
    assert!(resumed.text.contains("somebody has broken the lock of the site"), "{}", resumed.text);
    assert!(!pool(&rig));
    rig.house.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_lock_is_broken_under_it_begins_nothing_more() {
    let rig = rig().await;
    let (plan, site) = (rig.plan().await, rig.site().await);
    let breaks = async {
        while rig.migrations().is_empty() {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        site_lock::break_(&site, "somebody believes it is gone").await.unwrap()
    };
    let ((ended, _), broken) = tokio::join!(rig.apply(plan, &[]), breaks);
    assert!(broken.is_some());
    assert_eq!(ended.unwrap().status, RunStatus::Failed);
    let lost = |event: &runbook::event::Event| match event.fact() {
        Some(Fact::LockLost { why }) => why.contains("the pool runbook-lock is gone from the site"),
        _ => false,
    };
    assert!(rig.events().iter().any(lost), "{:?}", rig.events());
    let begun = rig.migrations().len();
    assert!(begun < 3, "{begun} guests were moved");
    assert_eq!(rig.lock_calls(), (1, 1), "what was broken is not given back again");
    rig.house.leave().await;
}

#[test]
fn a_token_that_may_create_no_pools_locks_its_host_and_says_so() {
    let world = World::new();
    let lab = Lab { token: Some("ops@pve!no-pools"), scenario: "tiny", ..Lab::default() };
    let sentence = "locked on this host only: the token may not create pools (Pool.Allocate on /pool/runbook-lock)";
    let script = "runbook plan evacuate pve2 --out p.plan; runbook doctor >doctor; \
                  runbook apply p.plan --yes >/dev/null 2>run && runbook runs -o json >runs.json";
    let got = world.lab(&lab, script);
    got.exits(0).says(&[sentence]);
    // Once where the plan is shown, and once in the story of the run.
    assert_eq!(flat(&world.read("run")).matches(sentence).count(), 2, "{}", world.read("run"));
    assert!(!world.changes().iter().any(|change| change.contains("/pools")), "{:#?}", world.changes());
    let doctor = flat(&world.read("doctor"));
    assert!(
        doctor.contains("pveum acl modify /pool --users 'ops@pve' --tokens 'ops@pve!no-pools' --roles RunbookLock")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_locks_a_site_by_hand_and_a_token_that_may_create_no_pools_sees_it() {
    let rig = rig().await;
    rig.site().await.proxmox.unwrap().create_pool(site_lock::POOL, "Eva works here").await.unwrap();
    let folder = rig.house.folder();
    let secret = rig.house.secret("ops@pve!no-pools").unwrap();
    let token = format!("ops@pve!no-pools\n{secret}\n");
    runbook::sys::files::write_private(folder.join("no-pools"), token.as_bytes()).unwrap();
    let config = runbook::sys::files::read_text(folder.join("cluster-config.yaml")).unwrap();
    let (old, new) = (folder.join("token").display().to_string(), folder.join("no-pools").display().to_string());
    let config = config.replace(&old, &new);
    runbook::sys::files::write_private(folder.join("no-pools.yaml"), config.as_bytes()).unwrap();
    for config in ["cluster-config.yaml", "no-pools.yaml"] {
        let got = rig.run(&[&["--config", config][..], &RUN].concat()).await;
        assert_eq!(got.code, Some(8), "{}", got.text);
        let text = flat(&got.text);
        let held = "the site is locked: somebody has made the pool runbook-lock and says: Eva works here";
        assert!(text.contains(held), "{config}: {text}");
    }
    assert_eq!(rig.work(), []);
    rig.house.leave().await;
}
