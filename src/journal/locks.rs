//! Locks that belong to runs: a parked or interrupted run keeps its lock, a finished one's is there for the taking.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::error::StoreError;
use super::sqlite::{Db, LockRow};
use super::store::Store;
use crate::engine::ports::{JournalError, Locks};
use crate::model::ids::RunId;

/// The locks of a store. They hold for all processes on this machine that use the same state folder.
pub struct StoreLocks {
    store: Arc<Store>,
    db: Mutex<Db>,
    notes: Mutex<Vec<String>>,
}

/// What stands behind a lock that is held.
enum Holder {
    /// As a person reads it.
    Lives(String),
    /// Why it is there for the taking.
    Stale(String),
}

impl StoreLocks {
    pub(super) fn new(store: Arc<Store>, db: Db) -> Self {
        Self { store, db: Mutex::new(db), notes: Mutex::default() }
    }

    fn look_behind(&self, held: &LockRow) -> Result<Holder, StoreError> {
        let header = match self.store.find(held.run.as_str()) {
            Ok(header) => header,
            Err(StoreError::Unknown { .. }) => {
                return Ok(Holder::Stale(format!("its run {} is not in this journal", held.run)));
            }
            Err(e) => return Err(e),
        };
        let id = self.store.short_id(&held.run);
        if header.status.is_final() {
            return Ok(Holder::Stale(format!("run {id} ({}) is over: {}", header.runbook, header.state())));
        }
        let verb = if header.owned { "status" } else { "resume" };
        Ok(Holder::Lives(format!(
            "run {id} ({}) since {} by {}, pid {}, {}: `runbook {verb} {id}`",
            header.runbook,
            self.store.time(held.since),
            held.holder,
            header.pid,
            header.state(),
        )))
    }

    fn try_acquire(&self, name: &str, run: &RunId) -> Result<Result<(), String>, StoreError> {
        let holder = self.store.find(run.as_str()).map_or_else(|_| self.store.options.host.clone(), |h| h.actor);
        let row = LockRow { run: run.clone(), since: self.store.options.clock.now(), holder };
        let mut db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = db.take_lock(name, &row, None)? else { return Ok(Ok(())) };
        let why = match self.look_behind(&held)? {
            Holder::Lives(text) => return Ok(Err(text)),
            Holder::Stale(why) => why,
        };
        // Only from the holder that was looked at: someone else may have been faster.
        if let Some(faster) = db.take_lock(name, &row, Some(&held.run))? {
            return Ok(Err(format!("run {}, just now", faster.run)));
        }
        let note = format!("the lock {name} was left behind and is taken over: {why}");
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(note);
        Ok(Ok(()))
    }

    /// Who holds the lock `name`, as a person reads it; `None` where it is free or its run is over.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn holder(&self, name: &str) -> Result<Option<String>, StoreError> {
        let held = self.db.lock().unwrap_or_else(PoisonError::into_inner).lock(name)?;
        match held.map(|h| self.look_behind(&h)).transpose()? {
            Some(Holder::Lives(text)) => Ok(Some(text)),
            Some(Holder::Stale(_)) | None => Ok(None),
        }
    }
}

#[async_trait]
impl Locks for StoreLocks {
    async fn acquire(&self, name: &str, run: &RunId) -> Result<Result<(), String>, JournalError> {
        Ok(self.try_acquire(name, run)?)
    }

    async fn release(&self, name: &str, run: &RunId) -> Result<(), JournalError> {
        Ok(self.db.lock().unwrap_or_else(PoisonError::into_inner).drop_lock(name, run)?)
    }

    async fn lost(&self, name: &str, run: &RunId) -> Result<Option<String>, JournalError> {
        let held = self.db.lock().unwrap_or_else(PoisonError::into_inner).lock(name)?;
        Ok(match held {
            Some(row) if row.run == *run => None,
            Some(row) => Some(format!("the lock {name} is run {}'s now", row.run)),
            None => Some(format!("the lock {name} was broken on this host")),
        })
    }

    fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
