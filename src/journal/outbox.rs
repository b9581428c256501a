//! What is still to be told of runs. Letters are made from the facts in the journal, so a process that dies between a
//! fact and its letter loses nothing; their text is made when they are sent.
//!
//! It keeps no address and no text: a target is known by a digest of its address.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::error::StoreError;
use super::sqlite::Db;
use super::store::Store;
use crate::event::Event;
use crate::model::ids::RunId;

/// A letter is given up when what it tells is so old: milliseconds. Nobody acts on yesterday's alarm.
const EXPIRY: u64 = 24 * 3600 * 1000;
/// What is over is remembered for so long, for `runbook notify list`: milliseconds.
const MEMORY: u64 = 7 * EXPIRY;
/// After so many tries a letter is given up.
const TRIES: u32 = 12;
/// Milliseconds after the first try, the second, …; the last one for all further.
const BACKOFF: [u64; 6] = [5_000, 30_000, 120_000, 600_000, 1_800_000, 3_600_000];
/// How long a try has before another process may try too; more than any sender's deadline.
const LEASE: u64 = 20_000;

/// Facts that may be told.
const KINDS: [&str; 3] = ["run_created", "parked", "run_finished"];

/// What has become of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailState {
    Pending,
    Delivered,
    /// The receiver will never take it, or it was tried too often.
    GivenUp,
    Expired,
}

impl MailState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::GivenUp => "given_up",
            Self::Expired => "expired",
        }
    }

    /// A word that this version does not know is nothing to be sent.
    pub(super) fn of(text: &str) -> Self {
        [Self::Pending, Self::Delivered, Self::GivenUp]
            .into_iter()
            .find(|s| s.as_str() == text)
            .unwrap_or(Self::Expired)
    }
}

/// A letter in the outbox: what it is about and how far it is. Its key is run, event and target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub run: RunId,
    /// Of the fact that it tells.
    pub seq: u64,
    /// A digest of the receiver's address.
    pub target: String,
    /// As people call the receiver.
    pub label: String,
    /// The moment's word: `failed`.
    pub moment: String,
    /// When the fact was recorded: milliseconds since 1970.
    pub at: u64,
    pub state: MailState,
    pub tries: u32,
    /// When the next try may be.
    pub due: u64,
    /// Why the last try failed.
    pub why: Option<String>,
}

impl Mail {
    /// The same at each try, so that a receiver can tell a repetition.
    pub fn id(&self) -> String {
        format!("{}-{}", self.run, self.seq)
    }
}

/// A receiver, and which facts it is told: the moment's word, `None` where it is none of its.
pub struct Watched<'a> {
    pub target: &'a str,
    pub label: &'a str,
    pub wants: &'a (dyn Fn(&Event) -> Option<&'static str> + Sync),
}

/// The outbox of a store, on a connection of its own.
pub struct Outbox {
    db: Mutex<Db>,
}

impl Store {
    /// # Errors
    /// The journal cannot be opened.
    pub fn outbox(&self) -> Result<Outbox, StoreError> {
        Ok(Outbox { db: Mutex::new(Db::open(&self.place.database())?) })
    }
}

impl Outbox {
    fn db(&self) -> MutexGuard<'_, Db> {
        self.db.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a fact may be told at all.
    pub fn concerns(event: &Event) -> bool {
        event.fact().is_some_and(|fact| KINDS.contains(&fact.kind()))
    }

    /// Tells the targets of the run's events after `after`, until it is over. A watch that there is stays as it is.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn watch(&self, run: &RunId, targets: &[String], after: u64) -> Result<(), StoreError> {
        self.db().watch(run, targets, after)
    }

    /// Makes the letters that the recorded facts ask for. Done twice it makes none twice.
    ///
    /// # Errors
    /// The journal cannot be read or written.
    pub fn collect(&self, watched: &Watched<'_>) -> Result<(), StoreError> {
        let mut db = self.db();
        for (run, after) in db.watched(watched.target)? {
            let entries = db.entries_of(&run, after, &KINDS)?;
            let Some(last) = entries.last().map(|entry| entry.seq) else { continue };
            // What a newer version wrote is told by that one.
            let events = entries.iter().filter_map(|entry| entry.event().ok());
            let mail: Vec<Mail> = events.filter_map(|event| letter(&run, &event, watched)).collect();
            let over = entries.last().is_some_and(|entry| entry.kind == "run_finished");
            db.post(&run, watched.target, &mail, (!over).then_some(last))?;
        }
        Ok(())
    }

    /// Gives up what is too old at `now`, and forgets what has long been over.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn expire(&self, now: u64) -> Result<(), StoreError> {
        self.db().expire(now.saturating_sub(EXPIRY), now.saturating_sub(MEMORY))
    }

    /// All letters, oldest first.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn all(&self) -> Result<Vec<Mail>, StoreError> {
        self.db().mail()
    }

    /// What is to be sent, oldest first.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn pending(&self) -> Result<Vec<Mail>, StoreError> {
        Ok(self.all()?.into_iter().filter(|mail| mail.state == MailState::Pending).collect())
    }

    /// Takes a letter for one try; `false`: another process has it or was faster.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn claim(&self, mail: &Mail, now: u64) -> Result<bool, StoreError> {
        self.db().claim(mail, now + LEASE)
    }

    /// # Errors
    /// The journal cannot be written.
    pub fn delivered(&self, mail: &Mail) -> Result<(), StoreError> {
        self.db().settle(mail, MailState::Delivered, 0, None)
    }

    /// A try failed: `why`, with nothing secret in it. `refused`: another one would fail too.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn failed(&self, mail: &Mail, now: u64, why: &str, refused: bool) -> Result<(), StoreError> {
        let over = refused || mail.tries + 1 >= TRIES;
        let state = if over { MailState::GivenUp } else { MailState::Pending };
        let wait = BACKOFF[(mail.tries as usize).min(BACKOFF.len() - 1)];
        self.db().settle(mail, state, now + wait, Some(why))
    }
}

fn letter(run: &RunId, event: &Event, watched: &Watched<'_>) -> Option<Mail> {
    let moment = (watched.wants)(event)?;
    Some(Mail {
        run: run.clone(),
        seq: event.seq,
        target: watched.target.to_owned(),
        label: watched.label.to_owned(),
        moment: moment.to_owned(),
        at: event.at,
        state: MailState::Pending,
        tries: 0,
        due: event.at,
        why: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ports::Journal;
    use crate::event::{Body, Fact, RunStatus};
    use crate::journal::NewRun;

    fn fact(seq: u64, fact: Fact) -> Event {
        Event { seq, at: 1_000 * seq, actor: "ops@host".into(), body: Body::Fact(fact) }
    }

    struct Rig {
        store: Store,
        outbox: Outbox,
        run: RunId,
        _dir: tempfile::TempDir,
    }

    /// A run that was parked at event 1 and failed at event 3.
    fn rig() -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let run = RunId::new("k3f2");
        let new = NewRun {
            id: run.clone(),
            runbook: "evacuate".into(),
            site: "home".into(),
            cluster: None,
            created: 1,
            plan_hash: String::new(),
            actor: "ops@host".into(),
        };
        let mut writer = store.create_run(&new).unwrap();
        let events = [
            fact(1, Fact::Parked),
            fact(2, Fact::LockReleased),
            fact(3, Fact::RunFinished { status: RunStatus::Failed }),
        ];
        writer.append(&events).unwrap();
        let outbox = store.outbox().unwrap();
        Rig { store, outbox, run, _dir: dir }
    }

    fn all(event: &Event) -> Option<&'static str> {
        event.fact().map(Fact::kind)
    }

    fn collect(outbox: &Outbox, target: &str) {
        outbox.collect(&Watched { target, label: target, wants: &all }).unwrap();
    }

    #[test]
    fn letters_follow_from_facts_even_when_their_process_died() {
        let rig = rig();
        rig.outbox.watch(&rig.run, &["a".into()], 0).unwrap();
        // The process died here; another one collects, and a third collects again.
        for _ in 0..2 {
            collect(&rig.store.outbox().unwrap(), "a");
        }
        let told: Vec<_> = rig.outbox.pending().unwrap().iter().map(|m| (m.id(), m.moment.clone())).collect();
        assert_eq!(told, [("k3f2-1".to_owned(), "parked".to_owned()), ("k3f2-3".into(), "run_finished".into())]);
        collect(&rig.outbox, "b");
        assert_eq!(rig.outbox.pending().unwrap().len(), 2, "nobody asked to tell b");
    }

    #[test]
    fn a_run_that_is_gone_on_with_is_told_from_there() {
        let rig = rig();
        rig.outbox.watch(&rig.run, &["a".into()], 2).unwrap();
        collect(&rig.outbox, "a");
        assert_eq!(rig.outbox.pending().unwrap()[0].seq, 3);
        assert_eq!(rig.outbox.pending().unwrap().len(), 1);
    }

    #[test]
    fn a_letter_has_one_owner_at_a_time_and_waits_longer_each_time() {
        let rig = rig();
        rig.outbox.watch(&rig.run, &["a".into()], 2).unwrap();
        collect(&rig.outbox, "a");
        let letter = || rig.outbox.all().unwrap().remove(0);
        let first = letter();
        assert!(rig.outbox.claim(&first, 5_000).unwrap());
        assert!(!rig.store.outbox().unwrap().claim(&first, 5_000).unwrap(), "two have it");
        rig.outbox.failed(&first, 5_000, "no route", false).unwrap();
        assert_eq!((letter().due, letter().tries, letter().why.as_deref()), (10_000, 1, Some("no route")));
        for _ in 1..TRIES {
            let mail = letter();
            assert!(rig.outbox.claim(&mail, mail.due).unwrap());
            rig.outbox.failed(&mail, mail.due, "no route", false).unwrap();
        }
        assert_eq!(letter().state, MailState::GivenUp);
    }

    #[test]
    fn what_is_old_is_given_up_and_then_forgotten() {
        let rig = rig();
        rig.outbox.watch(&rig.run, &["a".into()], 0).unwrap();
        collect(&rig.outbox, "a");
        rig.outbox.delivered(&rig.outbox.pending().unwrap()[0]).unwrap();
        rig.outbox.expire(EXPIRY + 60_000).unwrap();
        let states: Vec<_> = rig.outbox.all().unwrap().iter().map(|m| m.state).collect();
        assert_eq!(states, [MailState::Delivered, MailState::Expired]);
        rig.outbox.expire(MEMORY + 60_000).unwrap();
        assert!(rig.outbox.all().unwrap().is_empty());
    }
}
