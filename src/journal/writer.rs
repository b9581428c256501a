//! The right to append to one run, held by one process at a time.

use std::fs::File;

use super::entry::Entry;
use super::error::StoreError;
use super::header::NewRun;
use super::sqlite::{Db, Owner, SHORT, Tip, WHOLE};
use crate::engine::ports::{Journal, JournalError};
use crate::event::Event;
use crate::model::ids::RunId;

/// So many commits show that a run is not a short one.
const MANY: u64 = 8;

/// Appends to a run. Two things keep others off: the run's file lock, which ends with the process, and the owner's
/// epoch in the database, which each append checks (a process that only seemed dead is fenced out).
pub struct RunWriter {
    run: RunId,
    /// A run that is not in the journal yet: its first append brings it in.
    begins: Option<(NewRun, Owner)>,
    db: Db,
    tip: Tip,
    commits: u64,
    /// Held for as long as the writer lives.
    _lock: File,
}

impl RunWriter {
    pub(super) fn new(run: RunId, mut db: Db, lock: File, tip: Tip) -> Self {
        db.make_room(SHORT);
        Self { run, begins: None, db, tip, commits: 0, _lock: lock }
    }

    pub(super) fn beginning(run: NewRun, owner: Owner, db: Db, lock: File, tip: Tip) -> Self {
        Self { begins: Some((run.clone(), owner)), ..Self::new(run.id, db, lock, tip) }
    }

    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// How many events the run has; the next one's `seq` is one more.
    pub fn events(&self) -> u64 {
        self.tip.events
    }

    /// How many durable commits this writer has made: one fsync each.
    pub fn commits(&self) -> u64 {
        self.commits
    }

    #[cfg(test)]
    pub(super) fn db(&mut self) -> &mut Db {
        &mut self.db
    }
}

impl Journal for RunWriter {
    fn append(&mut self, events: &[Event]) -> Result<(), JournalError> {
        if events.is_empty() {
            return Ok(());
        }
        let mut tip = self.tip;
        let mut entries = Vec::with_capacity(events.len());
        for event in events {
            if event.seq != tip.events + 1 {
                let (got, due) = (event.seq, tip.events + 1);
                return Err(JournalError::Unwritable(format!("event {got} was given where event {due} is due")));
            }
            let entry = Entry::of(event, &tip.head).map_err(|e| JournalError::Unwritable(e.to_string()))?;
            (tip.events, tip.head) = (entry.seq, entry.hash);
            tip.status = event.fact().map_or(tip.status, |fact| tip.status.after(fact));
            entries.push(entry);
        }
        if let Some((run, owner)) = &self.begins {
            if !self.db.begin(run, owner, &entries, &tip)? {
                return Err(StoreError::Exists { run: self.run.clone() }.into());
            }
            self.begins = None;
        } else if !self.db.append(&self.run, &entries, &tip)? {
            return Err(JournalError::LostOwnership(self.run.clone()));
        }
        self.tip = tip;
        self.commits += 1;
        if self.commits == MANY {
            self.db.make_room(WHOLE);
        }
        Ok(())
    }
}

impl From<StoreError> for JournalError {
    fn from(error: StoreError) -> Self {
        Self::Unwritable(error.to_string())
    }
}
