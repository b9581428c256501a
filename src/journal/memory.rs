//! A journal and locks that live in memory: for tests, rehearsals and drivers that crash on purpose.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::engine::ports::{Journal, JournalError, Locks};
use crate::event::Event;
use crate::model::ids::RunId;

/// Clones share one history, so that a test keeps one and hands the other to a driver.
#[derive(Debug, Clone, Default)]
pub struct MemoryJournal(Arc<Mutex<History>>);

#[derive(Debug, Default)]
struct History {
    events: Vec<Event>,
    facts: usize,
    commits: u64,
    crash_after: Option<usize>,
    crashed: bool,
}

impl MemoryJournal {
    /// A journal that has this history already.
    pub fn with(events: Vec<Event>) -> Self {
        let facts = events.iter().filter(|e| e.fact().is_some()).count();
        Self(Arc::new(Mutex::new(History { events, facts, ..History::default() })))
    }

    /// The append that would bring more than `facts` facts into this journal is lost as a whole, and so is each after it.
    pub fn crash_after(self, facts: usize) -> Self {
        self.history().crash_after = Some(facts);
        self
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn events(&self) -> Vec<Event> {
        self.history().events.clone()
    }

    pub fn commits(&self) -> u64 {
        self.history().commits
    }

    pub fn crashed(&self) -> bool {
        self.history().crashed
    }
}

impl Journal for MemoryJournal {
    fn append(&mut self, events: &[Event]) -> Result<(), JournalError> {
        if events.is_empty() {
            return Ok(());
        }
        let mut history = self.history();
        let facts = history.facts + events.iter().filter(|e| e.fact().is_some()).count();
        if history.crashed || history.crash_after.is_some_and(|most| facts > most) {
            history.crashed = true;
            return Err(JournalError::Crashed);
        }
        let first = history.events.len() as u64 + 1;
        if let Some((due, event)) = (first..).zip(events).find(|(due, event)| event.seq != *due) {
            let got = event.seq;
            return Err(JournalError::Unwritable(format!("event {got} was given where event {due} is due")));
        }
        history.events.extend_from_slice(events);
        history.facts = facts;
        history.commits += 1;
        Ok(())
    }
}

/// Locks without a store; clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemoryLocks(Arc<Mutex<BTreeMap<String, RunId>>>);

#[async_trait]
impl Locks for MemoryLocks {
    async fn acquire(&self, name: &str, run: &RunId) -> Result<Result<(), String>, JournalError> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let holder = held.entry(name.to_owned()).or_insert_with(|| run.clone());
        Ok(if holder == run { Ok(()) } else { Err(format!("run {holder}")) })
    }

    async fn release(&self, name: &str, run: &RunId) -> Result<(), JournalError> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.get(name) == Some(run) {
            held.remove(name);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Body, Fact, Note};

    fn event(seq: u64, body: Body) -> Event {
        Event { seq, at: seq, actor: "engine".into(), body }
    }

    #[test]
    fn it_crashes_after_so_many_facts_and_stays_so() {
        let journal = MemoryJournal::default().crash_after(1);
        let mut writer = journal.clone();
        let note = Body::Note(Note::Message { line: "hello".into() });
        assert_eq!(writer.append(&[event(1, Body::Fact(Fact::LockGranted)), event(2, note.clone())]), Ok(()));
        assert_eq!(writer.append(&[event(3, Body::Fact(Fact::LockReleased))]), Err(JournalError::Crashed));
        assert_eq!(writer.append(&[event(3, note)]), Err(JournalError::Crashed));
        assert_eq!((journal.events().len(), journal.commits(), journal.crashed()), (2, 1, true));
    }

    #[test]
    fn a_gap_is_refused() {
        let refused = MemoryJournal::default().append(&[event(2, Body::Fact(Fact::LockGranted))]);
        assert!(matches!(refused, Err(JournalError::Unwritable(_))));
    }

    #[tokio::test]
    async fn a_lock_is_one_runs_and_only_its_holder_frees_it() {
        let (locks, a, b) = (MemoryLocks::default(), RunId::from("a"), RunId::from("b"));
        assert_eq!(locks.acquire("site", &a).await, Ok(Ok(())));
        assert_eq!(locks.acquire("site", &a).await, Ok(Ok(())));
        assert_eq!(locks.acquire("site", &b).await, Ok(Err("run a".into())));
        locks.release("site", &b).await.unwrap();
        assert!(locks.acquire("site", &b).await.unwrap().is_err());
        locks.release("site", &a).await.unwrap();
        assert_eq!(locks.acquire("site", &b).await, Ok(Ok(())));
    }
}
