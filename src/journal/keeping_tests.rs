//! What is kept beside the runs' histories: requests, freezes, acts, locks given up; and what goes.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::engine::ports::{Clock, Journal, Locks};
use crate::event::{Body, Event, Fact, Note, Request, RunStatus, Signal};
use crate::model::ids::RunId;

struct At(u64);

impl Clock for At {
    fn now(&self) -> u64 {
        self.0
    }
}

const NOW: u64 = 1_763_691_185_000;
const DAY: u64 = 86_400_000;

fn store(dir: &Path) -> Arc<Store> {
    let options = Options { clock: Arc::new(At(NOW)), host: "host".into(), pid: 1234, offset: 0 };
    Arc::new(Store::open_with(dir, options).unwrap())
}

fn event(seq: u64, body: Body) -> Event {
    Event { seq, at: NOW, actor: "engine".into(), body }
}

fn note(seq: u64) -> Event {
    event(seq, Body::Note(Note::Message { line: format!("line {seq}") }))
}

fn ended(seq: u64) -> Event {
    event(seq, Body::Fact(Fact::RunFinished { status: RunStatus::Succeeded }))
}

fn begin(store: &Store, id: &str, events: &[Event]) -> RunWriter {
    let run = NewRun {
        id: RunId::from(id),
        runbook: "node-evacuation".into(),
        site: "home".into(),
        cluster: None,
        created: NOW,
        plan_hash: "abc".into(),
        actor: "ops@host".into(),
    };
    let mut writer = store.create_run(&run).unwrap();
    writer.append(events).unwrap();
    writer
}

#[test]
fn a_run_is_listed_with_its_first_event_and_never_without() {
    let temp = tempfile::tempdir().unwrap();
    let store = store(temp.path());
    let run = begin(&store, "one", &[note(1)]);
    drop(run);
    let never = NewRun { id: RunId::from("never"), ..new("x") };
    drop(store.create_run(&never).unwrap());
    assert_eq!(store.runs(&RunFilter::default()).unwrap().len(), 1);
    assert!(matches!(store.create_run(&new("one")), Err(StoreError::Exists { .. })));
    assert_eq!(store.verify_chain(&RunId::from("one")).unwrap().events, 1);
}

fn new(id: &str) -> NewRun {
    NewRun {
        id: RunId::from(id),
        runbook: "x".into(),
        site: "home".into(),
        cluster: None,
        created: NOW,
        plan_hash: String::new(),
        actor: "ops@host".into(),
    }
}

#[test]
fn what_is_said_to_a_run_is_told_until_it_is_taken() {
    let temp = tempfile::tempdir().unwrap();
    let store = store(temp.path());
    let (run, other) = (RunId::from("run"), RunId::from("other"));
    let mut writer = begin(&store, "run", &[note(1)]);
    let _other = begin(&store, "other", &[note(1)]);
    let mut inbox = store.inbox(&run).unwrap();
    assert_eq!(inbox.look().unwrap(), []);
    let pause = Request::Signal(Signal::Pause);
    let first = store.request(&run, "ops@host", &pause).unwrap();
    let second = store
        .request(&run, "ops@host", &Request::Approve { path: None, attempt: None, word: Some("pve1".into()) })
        .unwrap();
    store.request(&other, "ops@host", &pause).unwrap();
    assert_ne!(first, second);
    let told = inbox.look().unwrap();
    let keys: Vec<&str> = told.iter().map(|p| p.key.as_str()).collect();
    assert_eq!(keys, [first.as_str(), second.as_str()]);
    assert_eq!((told[0].request.clone(), told[0].actor.as_str(), told[0].at), (pause.clone(), "ops@host", NOW));
    assert_eq!(inbox.look().unwrap(), [], "nobody has written since");
    inbox.taken(&told[..1], NOW).unwrap();
    let left = store.pending_requests(&run).unwrap();
    assert_eq!(left, told[1..]);
    assert_eq!(store.inbox(&run).unwrap().look().unwrap(), told[1..], "another process is told what is left");

    writer.append(&[ended(2)]).unwrap();
    let refused = store.request(&run, "ops@host", &pause).unwrap_err();
    assert_eq!((refused.code(), refused.fault()), ("journal::over", Fault::Gate));
    store.request(&run, "ops@host", &Request::Signal(Signal::RollBack)).unwrap();
    assert_eq!(store.request(&RunId::from("none"), "x", &pause).unwrap_err().fault(), Fault::NotFound);
}

#[test]
fn a_site_is_frozen_once_and_the_acts_are_chained() {
    let temp = tempfile::tempdir().unwrap();
    let store = store(temp.path());
    assert_eq!(store.freeze("home", "ops@host", "holiday"), Ok(None));
    let before = store.freeze("home", "you@host", "again").unwrap().unwrap();
    assert_eq!((before.by.as_str(), before.reason.as_str(), before.since), ("ops@host", "holiday", NOW));
    assert_eq!(store.freeze_of("lab"), Ok(None));
    assert!(store.unfreeze("home", "you@host").unwrap().is_some());
    assert_eq!(store.unfreeze("home", "you@host"), Ok(None));
    let kinds: Vec<String> = store.acts().unwrap().into_iter().map(|act| act.kind).collect();
    assert_eq!(kinds, ["frozen", "unfrozen"]);
    for (sql, seq) in [
        ("UPDATE audit SET actor = 'nobody' WHERE seq = 1", 1),
        ("DELETE FROM audit WHERE seq = 1", 1),
        ("DELETE FROM audit WHERE seq = 2", 2),
    ] {
        let copy = tempfile::tempdir().unwrap();
        let other = super::keeping_tests::store(copy.path());
        other.freeze("home", "ops@host", "holiday").unwrap();
        other.unfreeze("home", "ops@host").unwrap();
        other.connect().unwrap().execute(sql);
        let error = other.acts().unwrap_err();
        assert!(matches!(&error, StoreError::TamperedAudit { seq: found, .. } if *found == seq), "{sql}: {error}");
    }
}

#[tokio::test]
async fn a_lock_that_was_broken_is_got_back_or_the_run_stays_where_it_is() {
    let temp = tempfile::tempdir().unwrap();
    let store = store(temp.path());
    let (a, b) = (RunId::from("aaaa"), RunId::from("bbbb"));
    let locks = store.locks().unwrap();
    let first = begin(&store, "aaaa", &[note(1)]);
    assert_eq!(locks.acquire("site/home", &a).await, Ok(Ok(())));
    let refused = store.break_lock("site/home", "you@host", "burnt").unwrap_err();
    assert_eq!(refused.fault(), Fault::Locked, "its process lives");
    drop(first);
    store.break_lock("site/home", "you@host", "burnt").unwrap();
    assert_eq!(store.break_lock("site/home", "you@host", "burnt").unwrap_err().code(), "journal::unknown_lock");
    let last = store.events(&a).unwrap().map(Result::unwrap).last().unwrap();
    assert_eq!((last.seq, last.actor.as_str()), (2, "you@host"));
    store.verify_chain(&a).unwrap();

    // Free: it is got back with the run.
    let (_, first) = store.take_over(&a).unwrap();
    assert_eq!(store.lock_list().unwrap()[0].run, a);
    drop(first);
    store.break_lock("site/home", "you@host", "burnt").unwrap();
    let mut second = begin(&store, "bbbb", &[note(1)]);
    assert_eq!(locks.acquire("site/home", &b).await, Ok(Ok(())));
    let refused = store.take_over(&a).err().expect("another run has its lock");
    insta::assert_snapshot!(refused, @"run aaaa: its lock site/home was taken from it by you@host at 02:13:05 (burnt), and run bbbb has it now; wait for that run to end");
    second.append(&[ended(2)]).unwrap();
    let (events, _first) = store.take_over(&a).unwrap();
    assert_eq!(events.len(), 3);
    assert_eq!(store.lock_list().unwrap()[0].run, a);
}

#[tokio::test]
async fn what_is_over_goes_and_what_is_open_or_holds_a_lock_stays() {
    let temp = tempfile::tempdir().unwrap();
    let store = store(temp.path());
    for id in ["old", "locked"] {
        begin(&store, id, &[note(1), ended(2)]);
    }
    drop(begin(&store, "open", &[note(1)]));
    store.locks().unwrap().acquire("site/home", &RunId::from("locked")).await.unwrap().unwrap();
    assert_eq!(store.old_runs(Retention { older_than: DAY, keep: 0 }).unwrap(), [], "none is a day old");
    store.connect().unwrap().execute(&format!("UPDATE runs SET updated = {}", NOW - 2 * DAY));
    assert_eq!(store.old_runs(Retention { older_than: DAY, keep: 3 }).unwrap(), []);
    let old = store.old_runs(Retention { older_than: DAY, keep: 0 }).unwrap();
    let stays: Vec<_> = old.iter().map(|o| (o.header.id.as_str(), o.stays)).collect();
    assert_eq!(stays, [("open", Some("not over")), ("locked", Some("holds a lock")), ("old", None)]);
    assert!(old[2].bytes > 100);
    let gone = store.prune(&old, "ops@host").unwrap();
    assert_eq!(gone.len(), 1);
    let left: Vec<_> = store.runs(&RunFilter::default()).unwrap().into_iter().map(|h| h.id).collect();
    assert_eq!(left, [RunId::from("open"), RunId::from("locked")]);
    let act = store.acts().unwrap().pop().unwrap();
    assert_eq!((act.kind.as_str(), &act.detail["runs"][0]["run"]), ("pruned", &"old".into()));
    assert!(store.damage().unwrap().is_empty());
}

#[test]
fn a_run_that_was_changed_on_its_way_is_not_taken() {
    let temp = tempfile::tempdir().unwrap();
    let there = tempfile::tempdir().unwrap();
    let (here, there) = (store(temp.path()), store(there.path()));
    drop(begin(&here, "moved", &[note(1), note(2)]));
    let run = RunId::from("moved");
    let text = here.hand_over(&run, "ops@host").unwrap().to_jsonl().unwrap();
    assert_eq!(here.hand_over(&run, "ops@host").unwrap().to_jsonl().unwrap(), text, "the file may be lost");
    assert_eq!(here.take_over(&run).err().map(|e| e.code()), Some("journal::handed_over"));
    let lines: Vec<&str> = text.lines().collect();
    for (broken, why) in [
        (lines[..3].join("\n"), "it is not whole: it has 2 events, and its header says 3"),
        ([lines[0], lines[1], lines[3]].join("\n"), "line 3 has event 3, and event 2 is due"),
        (text.replace("line 2", "line X"), "event 2 (message) was changed"),
        (text.replace("\"running\"", "\"succeeded\""), "its header says that the run is succeeded"),
        (text.replace("\"run\":\"moved\"", "\"run\":\"other\""), "event 1 (message) was changed"),
        (text.replace("\"runbook_export\":1", "\"runbook_export\":2"), "it is of version 2"),
        ("hello".into(), "its first line is not the header"),
    ] {
        let error = Parcel::from_jsonl(&broken).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    let parcel = Parcel::from_jsonl(&text).unwrap();
    there.import(&parcel, "you@there").unwrap();
    assert!(matches!(there.import(&parcel, "you@there"), Err(StoreError::Exists { .. })));
    let (events, mut writer) = there.take_over(&run).unwrap();
    assert_eq!(events.len(), 4, "two, and that it left, and that it came");
    writer.append(&[ended(5)]).unwrap();
    drop(writer);
    // And home again, longer than it was.
    let back = Parcel::from_jsonl(&there.export(&run, "you@there").unwrap().to_jsonl().unwrap()).unwrap();
    assert_eq!(here.import(&back, "ops@host").unwrap().status, RunStatus::Succeeded);
    assert_eq!(here.verify_chain(&run), there.verify_chain(&run));
}
