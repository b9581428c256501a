//! The store as its users see it: crashes, owners, tampering, versions, locks.

#![allow(clippy::disallowed_methods, reason = "tests put files in the way by hand")]

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::engine::ports::{Clock, Journal, JournalError, Locks};
use crate::event::{Body, Event, Fact, Note, RunStatus};
use crate::model::ids::{RunId, StepPath};

struct At(u64);

impl Clock for At {
    fn now(&self) -> u64 {
        self.0
    }
}

/// 02:13:05 UTC on some day.
const NOW: u64 = 1_763_691_185_000;

fn store(dir: &Path) -> Arc<Store> {
    let options = Options { clock: Arc::new(At(NOW)), host: "host".into(), pid: 1234, offset: 0 };
    Arc::new(Store::open_with(dir, options).unwrap())
}

fn run(id: &str) -> NewRun {
    NewRun {
        id: RunId::from(id),
        runbook: "node-evacuation".into(),
        site: "home".into(),
        cluster: None,
        created: NOW,
        plan_hash: "abc".into(),
        actor: "ops@host".into(),
    }
}

fn fact(seq: u64, fact: Fact) -> Event {
    Event { seq, at: NOW + seq, actor: "engine".into(), body: Body::Fact(fact) }
}

fn note(seq: u64) -> Event {
    let line = format!("line {seq}");
    Event { seq, at: NOW + seq, actor: "engine".into(), body: Body::Note(Note::Message { line }) }
}

fn finished(seq: u64, status: RunStatus) -> Event {
    fact(seq, Fact::RunFinished { status })
}

#[test]
fn the_log_has_room_for_commits_to_come_and_is_read_after_a_crash() {
    let (temp, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = temp.path().join("journal.db-wal");
    let length = || log.metadata().unwrap().len();
    let mut writer = store(temp.path()).create_run(&run("3f2a00000000")).unwrap();
    assert_eq!(length(), 256 << 10);
    for seq in 1..=8 {
        writer.append(&[note(seq)]).unwrap();
    }
    assert_eq!(length(), 4 << 20);
    for seq in 9..=300 {
        writer.append(&[note(seq)]).unwrap();
    }
    assert_eq!(length(), 4 << 20, "no commit made it longer, and it was begun anew on the way");
    for name in ["journal.db", "journal.db-wal"] {
        std::fs::copy(temp.path().join(name), crashed.path().join(name)).unwrap();
    }
    let chain = store(crashed.path()).verify_chain(&"3f2a00000000".into()).unwrap();
    assert_eq!(chain.events, 300);
}

#[test]
fn a_run_taken_over_goes_on_where_the_durable_history_ends() {
    let temp = tempfile::tempdir().unwrap();
    let id = RunId::from("3f2a00000000");
    let mut writer = store(temp.path()).create_run(&run("3f2a00000000")).unwrap();
    writer.append(&[fact(1, Fact::LockGranted), note(2)]).unwrap();
    writer.append(&[note(3)]).unwrap();
    assert_eq!((writer.events(), writer.commits()), (3, 2));
    drop(writer);

    let store = store(temp.path());
    let (events, mut writer) = store.take_over(&id).unwrap();
    assert_eq!(events, [fact(1, Fact::LockGranted), note(2), note(3)]);
    assert!(matches!(writer.append(&[note(7)]), Err(JournalError::Unwritable(_))), "a gap is refused");
    writer.append(&[note(4), finished(5, RunStatus::Succeeded)]).unwrap();
    assert_eq!(store.events(&id).unwrap().map(Result::unwrap).count(), 5);
    assert_eq!(store.events_after(&id, 3).unwrap().next().unwrap().unwrap(), note(4));
    assert_eq!(store.find("3f2a").unwrap().status, RunStatus::Succeeded);
    assert_eq!(store.verify_chain(&id).unwrap().events, 5);
}

/// What a power cut leaves of the write-ahead log is some beginning of it; each must be some beginning of the run.
#[test]
fn every_beginning_of_the_log_is_a_beginning_of_the_run() {
    let temp = tempfile::tempdir().unwrap();
    let mut writer = store(temp.path()).create_run(&run("cut")).unwrap();
    let mut seq = 0;
    for size in 1..=6 {
        let batch: Vec<Event> = (1..=size).map(|n| note(seq + n)).collect();
        seq += size;
        writer.append(&batch).unwrap();
    }
    let wal = std::fs::read(temp.path().join("journal.db-wal")).unwrap();
    let mut lengths = std::collections::BTreeSet::new();
    for cut in (0..=wal.len()).step_by(1500).chain([wal.len()]) {
        let copy = tempfile::tempdir().unwrap();
        std::fs::copy(temp.path().join("journal.db"), copy.path().join("journal.db")).unwrap();
        std::fs::write(copy.path().join("journal.db-wal"), &wal[..cut]).unwrap();
        let store = store(copy.path());
        if store.find("cut").is_ok() {
            let (events, _) = store.take_over(&RunId::from("cut")).unwrap();
            assert!(events.iter().zip(1..).all(|(event, n)| *event == note(n)));
            lengths.insert(events.len());
        }
    }
    // No 0: a run comes into the journal with its first event.
    assert!(lengths.is_subset(&[1, 3, 6, 10, 15, 21].into()), "an append was torn: {lengths:?}");
    assert!(lengths.len() > 3 && lengths.contains(&21), "{lengths:?}");
}

#[test]
fn an_append_is_all_or_nothing_when_the_disk_is_full() {
    let temp = tempfile::tempdir().unwrap();
    let store = store(temp.path());
    let mut writer = store.create_run(&run("full")).unwrap();
    writer.append(&[note(1)]).unwrap();
    writer.db().execute("PRAGMA max_page_count = 1");
    let big: Vec<Event> = (2..2000).map(note).collect();
    let refused = writer.append(&big).unwrap_err().to_string();
    assert!(refused.contains("journal.db") && refused.contains("free space"), "{refused}");
    writer.db().execute("PRAGMA max_page_count = 1000000");
    writer.append(&[note(2)]).unwrap();
    assert_eq!(store.verify_chain(&RunId::from("full")).unwrap().events, 2);
}

#[test]
fn a_second_owner_is_refused_by_name_and_a_fenced_one_appends_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let (store, id) = (store(temp.path()), RunId::from("owned"));
    let mut first = store.create_run(&run("owned")).unwrap();
    first.append(&[note(1)]).unwrap();
    assert!(store.find("owned").unwrap().owned);
    let error = store.take_over(&id).err().expect("it is owned");
    assert_eq!(error.fault(), Fault::Locked);
    insta::assert_snapshot!(error, @"run owned: process 1234 on host has had it since 02:13:05; `runbook status owned` shows how far it is");

    // The file lock is lost (a copied state folder, a lock daemon gone), and the run is taken over all the same.
    std::fs::remove_file(temp.path().join("runs/owned.lock")).unwrap();
    let (events, mut second) = store.take_over(&id).unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(first.append(&[note(2)]), Err(JournalError::LostOwnership(id.clone())));
    second.append(&[note(2)]).unwrap();
    assert_eq!(store.verify_chain(&id).unwrap().events, 2);
}

#[test]
fn a_run_whose_process_is_gone_is_interrupted_and_a_parked_one_is_not() {
    let temp = tempfile::tempdir().unwrap();
    let store = store(temp.path());
    let mut writer = store.create_run(&run("gone")).unwrap();
    writer.append(&[note(1)]).unwrap();
    assert_eq!(store.find("gone").unwrap().state(), "running");
    drop(writer);
    assert_eq!(store.find("gone").unwrap().state(), "interrupted");
    let (_, mut writer) = store.take_over(&RunId::from("gone")).unwrap();
    writer.append(&[finished(2, RunStatus::Paused)]).unwrap();
    drop(writer);
    assert_eq!(store.find("gone").unwrap().state(), "paused");
    assert_eq!(store.runs(&RunFilter { open: true, ..RunFilter::default() }).unwrap().len(), 1);
}

#[test]
fn runs_are_found_by_any_unique_prefix() {
    let temp = tempfile::tempdir().unwrap();
    let store = store(temp.path());
    insta::assert_snapshot!(store.find("last").unwrap_err(), @r#"no run "last"; there are no runs yet: `runbook run NAME --apply` makes one"#);
    for id in ["3f2a11111111", "3f2b22222222", "9c0d33333333"] {
        store.create_run(&run(id)).unwrap().append(&[note(1)]).unwrap();
    }
    assert_eq!(store.find("9").unwrap().id.as_str(), "9c0d33333333");
    assert_eq!(store.find("last").unwrap().id.as_str(), "9c0d33333333");
    assert_eq!(store.short_id(&RunId::from("3f2a11111111")), "3f2a");
    let ambiguous = store.find("3f").unwrap_err();
    assert_eq!((ambiguous.fault(), ambiguous.code()), (Fault::Usage, "journal::ambiguous_run"));
    insta::assert_snapshot!(ambiguous, @r#""3f" fits 2 runs: 3f2b22222222 (node-evacuation), 3f2a11111111 (node-evacuation); give more of the id"#);
    let unknown = store.find("3f2c").unwrap_err();
    assert_eq!(unknown.fault(), Fault::NotFound);
    insta::assert_snapshot!(unknown, @r#"no run "3f2c"; near it: 3f2b22222222 (node-evacuation), 3f2a11111111 (node-evacuation); `runbook runs` lists all"#);
    assert!(matches!(store.create_run(&run("3f2a11111111")), Err(StoreError::Exists { .. })));
}

#[test]
fn tampering_is_found_wherever_it_is() {
    for (sql, seq) in [
        ("UPDATE events SET payload = replace(payload, 'line 2', 'line X') WHERE seq = 2", 2),
        ("UPDATE events SET actor = 'nobody' WHERE seq = 3", 3),
        ("DELETE FROM events WHERE seq = 1", 1),
        ("DELETE FROM events WHERE seq = 3", 3),
        ("DELETE FROM events WHERE seq = 3; UPDATE runs SET events = 2", 2),
    ] {
        let temp = tempfile::tempdir().unwrap();
        let (store, id) = (store(temp.path()), RunId::from("t"));
        let mut writer = store.create_run(&run("t")).unwrap();
        writer.append(&[note(1), note(2), note(3)]).unwrap();
        assert_eq!(store.verify_chain(&id).unwrap().events, 3);
        writer.db().execute(sql);
        drop(writer);
        let error = store.verify_chain(&id).unwrap_err();
        assert!(matches!(&error, StoreError::Tampered { seq: found, .. } if *found == seq), "{sql}: {error}");
        assert!(store.take_over(&id).is_err(), "a run with a broken history is not gone on with: {sql}");
    }
}

#[test]
fn a_newer_journal_is_read_and_not_written() {
    let temp = tempfile::tempdir().unwrap();
    let mut writer = store(temp.path()).create_run(&run("new")).unwrap();
    writer.append(&[note(1)]).unwrap();
    writer.db().execute(
        "INSERT INTO events VALUES ('new', 2, 5, 'engine', 'move[104]', 1, 'teleported', '{\"fact\":{\"teleported\":{}}}', zeroblob(32));
         PRAGMA user_version = 9",
    );
    drop(writer);
    let store = store(temp.path());
    let events: Vec<Event> = store.events(&RunId::from("new")).unwrap().map(Result::unwrap).collect();
    assert_eq!(events[0], note(1));
    let unknown = Note::Message { line: "teleported of step move[104]: written by a newer runbook".into() };
    assert_eq!(events[1].body, Body::Note(unknown));
    let error = store.take_over(&RunId::from("new")).err().expect("it is newer");
    assert_eq!((error.fault(), error.code()), (Fault::Configuration, "journal::newer"));
    assert!(error.to_string().contains("version 9"), "{error}");
    assert!(store.create_run(&run("other")).is_err());
}

#[test]
fn what_is_no_folder_or_no_journal_is_said_with_its_path() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("file");
    std::fs::write(&file, "not a journal, though long enough to be taken for one").unwrap();
    let error = Store::open(&file.join("state")).err().expect("a file is in the way");
    assert_eq!(error.fault(), Fault::Configuration);
    assert!(error.to_string().contains("move the file that is in the way"), "{error}");
    std::fs::copy(&file, temp.path().join("journal.db")).unwrap();
    let error = Store::open(temp.path()).err().expect("it is not a database").to_string();
    assert!(error.contains("journal.db") && error.contains("damaged or not a journal"), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_written_is_refused() {
    // Nobody can make a folder here, root included.
    let error = Store::open(Path::new("/sys/runbook-state")).err().expect("sysfs takes no folders");
    assert_eq!((error.fault(), error.code()), (Fault::Configuration, "journal::folder"));
    assert!(error.to_string().contains("/sys/runbook-state"), "{error}");
}

#[tokio::test]
async fn a_lock_is_its_runs_until_it_is_released_or_the_run_is_over() {
    let temp = tempfile::tempdir().unwrap();
    let store = store(temp.path());
    let locks = store.locks().unwrap();
    let mut first = store.create_run(&run("3f2a11111111")).unwrap();
    let mut second = store.create_run(&run("77aa11111111")).unwrap();
    let (a, b) = (first.run().clone(), second.run().clone());
    first.append(&[note(1)]).unwrap();
    second.append(&[note(1)]).unwrap();
    assert_eq!(locks.acquire("site/home", &a).await, Ok(Ok(())));
    assert_eq!(locks.acquire("site/home", &a).await, Ok(Ok(())), "it has it already");
    let refused = locks.acquire("site/home", &b).await.unwrap().unwrap_err();
    insta::assert_snapshot!(refused, @"run 3f2a (node-evacuation) since 02:13:05 by ops@host, pid 1234, running: `runbook status 3f2a`");
    first.append(&[note(2)]).unwrap();
    drop(first);
    let refused = locks.holder("site/home").unwrap().unwrap();
    insta::assert_snapshot!(refused, @"run 3f2a (node-evacuation) since 02:13:05 by ops@host, pid 1234, interrupted: `runbook resume 3f2a`");

    locks.release("site/home", &b).await.unwrap();
    assert!(locks.acquire("site/home", &b).await.unwrap().is_err(), "only its holder releases it");
    let (_, mut first) = store.take_over(&a).unwrap();
    first.append(&[finished(3, RunStatus::Cancelled)]).unwrap();
    assert_eq!(locks.holder("site/home"), Ok(None));
    assert_eq!(locks.acquire("site/home", &b).await, Ok(Ok(())));
    insta::assert_snapshot!(locks.take_notes().join("\n"), @"the lock site/home was left behind and is taken over: run 3f2a (node-evacuation) is over: cancelled");
    locks.release("site/home", &b).await.unwrap();
    assert_eq!(locks.acquire("site/home", &a).await, Ok(Ok(())));
    second.append(&[note(2)]).unwrap();
}

#[test]
fn ten_thousand_events_are_kept_and_read_back_in_pages() {
    let temp = tempfile::tempdir().unwrap();
    let (store, id) = (store(temp.path()), RunId::from("long"));
    let mut writer = store.create_run(&run("long")).unwrap();
    let path = StepPath::from("move[104]");
    let events: Vec<Event> =
        (1..=10_000).map(|n| fact(n, Fact::TimerFired { path: path.clone(), attempt: 1 })).collect();
    for batch in events.chunks(100) {
        writer.append(batch).unwrap();
    }
    assert_eq!(writer.commits(), 100);
    assert!(store.events(&id).unwrap().map(Result::unwrap).eq(events));
    assert_eq!(store.verify_chain(&id).unwrap().events, 10_000);
}
