//! Runs and locks that change hands: a lock broken, a run handed over, taken back, brought in.

use serde_json::json;

use super::act::ActKind;
use super::error::{LockGone, StoreError};
use super::parcel::Parcel;
use super::sqlite::{Elsewhere, Imported, Surrendered};
use super::store::Store;
use crate::event::FORMAT;
use crate::journal::RunHeader;
use crate::model::ids::RunId;

/// A lock that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldLock {
    pub name: String,
    pub run: RunId,
    /// Milliseconds since 1970.
    pub since: u64,
    /// Who asked for the run.
    pub by: String,
    /// The run that holds it; `None`: it is not in this journal.
    pub header: Option<RunHeader>,
}

impl Store {
    /// All locks of this journal, by name.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn lock_list(&self) -> Result<Vec<HeldLock>, StoreError> {
        let rows = self.reader().locks()?;
        let held = rows.into_iter().map(|(name, row)| {
            let header = self.find(row.run.as_str()).ok();
            HeldLock { name, run: row.run, since: row.since, by: row.holder, header }
        });
        Ok(held.collect())
    }

    /// That nobody holds a lock of that name, with those that are held.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn unknown_lock(&self, name: &str) -> Result<StoreError, StoreError> {
        let held: Vec<String> = self.reader().locks()?.into_iter().map(|(name, _)| name).collect();
        let hint = if held.is_empty() { "none is".to_owned() } else { format!("held: {}", held.join(", ")) };
        Ok(StoreError::UnknownLock { name: name.to_owned(), hint })
    }

    /// Takes the lock from a run that no process has. A run that is not over must get it back before it goes on.
    ///
    /// # Errors
    /// Nobody holds it; the process that has its run lives; the journal cannot be written.
    pub fn break_lock(&self, name: &str, actor: &str, reason: &str) -> Result<HeldLock, StoreError> {
        let held = self.lock_list()?.into_iter().find(|held| held.name == name);
        let Some(held) = held else { return Err(self.unknown_lock(name)?) };
        let mut db = self.connect()?;
        // Held while it is done, so that nobody goes on with the run meanwhile.
        let Some(_kept) = self.place.own(&held.run)? else { return Err(self.owned_by_another(&held.run)?) };
        let deed = self.deed(ActKind::LockBroken, actor, name, json!({"run": held.run, "reason": reason}));
        if db.break_lock(name, &held.run, &deed, reason)? { Ok(held) } else { Err(self.unknown_lock(name)?) }
    }

    /// Records that a lock was broken which no run of this journal holds: the site's own.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn record_broken(&self, name: &str, actor: &str, held: &str, reason: &str) -> Result<(), StoreError> {
        let deed = self.deed(ActKind::LockBroken, actor, name, json!({"held": held, "reason": reason}));
        self.connect()?.note_deed(&deed)
    }

    /// The run, whole, as it is; it stays this journal's.
    ///
    /// # Errors
    /// A process is at work on it, its history is not as it was written, or the journal cannot be read.
    pub fn export(&self, run: &RunId, actor: &str) -> Result<Parcel, StoreError> {
        let header = self.find(run.as_str())?;
        if header.owned {
            return Err(self.owned_by_another(run)?);
        }
        let parcel = self.parcel(run, false, Vec::new())?;
        // A journal that cannot be written can still be copied out of.
        if let Ok(mut db) = self.connect() {
            let detail = json!({"events": parcel.run.events, "head": super::entry::hex(&parcel.head())});
            let _ = db.note_deed(&self.deed(ActKind::Exported, actor, run.as_str(), detail));
        }
        Ok(parcel)
    }

    /// The run, whole, given away with its locks: from now on it is not gone on with here. Done again, it gives the
    /// same run once more (the file was lost).
    ///
    /// # Errors
    /// It is over, a process is at work on it, it is itself a copy, or the journal cannot be written.
    pub fn hand_over(&self, run: &RunId, actor: &str) -> Result<Parcel, StoreError> {
        let header = self.find(run.as_str())?;
        if header.status.is_final() {
            return Err(StoreError::Over { run: run.clone(), status: header.state() });
        }
        let mut db = self.connect()?;
        let Some(_kept) = self.place.own(run)? else { return Err(self.owned_by_another(run)?) };
        if let Some(elsewhere) = db.elsewhere(run)?.filter(|e| e.copied) {
            return Err(self.is_elsewhere(run, &elsewhere));
        }
        // Proved before it is given away: what cannot be imported must not leave.
        self.parcel(run, true, Vec::new())?;
        let deed = self.deed(ActKind::HandedOver, actor, run.as_str(), json!({"events": header.events}));
        let locks = db.hand_over(run, &deed)?;
        self.parcel(run, true, locks)
    }

    /// Makes a run that another journal has this one's again. Nothing keeps the other one from going on with it.
    ///
    /// # Errors
    /// No such run, or the journal cannot be written.
    pub fn take_back(&self, run: &RunId, actor: &str) -> Result<(), StoreError> {
        let header = self.find(run.as_str())?;
        if header.elsewhere {
            let deed = self.deed(ActKind::TakenBack, actor, run.as_str(), json!({}));
            self.connect()?.take_back(run, &deed)?;
        }
        Ok(())
    }

    /// Brings a run in, with its locks. One that was handed over from here comes back, longer than it was.
    ///
    /// # Errors
    /// It is here already, one of its locks is another run's, its events are newer than this version knows, or the
    /// journal cannot be written.
    pub fn import(&self, parcel: &Parcel, actor: &str) -> Result<RunHeader, StoreError> {
        let run = &parcel.run.id;
        let found = parcel.run.format;
        if found > FORMAT && !parcel.run.status.is_final() {
            return Err(StoreError::NewerRun { run: run.clone(), found, known: FORMAT });
        }
        let mut db = self.connect()?;
        let Some(_kept) = self.place.own(run)? else { return Err(self.owned_by_another(run)?) };
        let detail = json!({"from": parcel.run.host, "events": parcel.run.events, "copy": parcel.is_copy()});
        match db.import(parcel, &self.deed(ActKind::Imported, actor, run.as_str(), detail))? {
            Imported::Yes => {}
            Imported::Exists => return Err(StoreError::Exists { run: run.clone() }),
            Imported::Differs => {
                let why =
                    format!("run {run} is in this journal, and its events here are not the beginning of those there");
                return Err(StoreError::Parcel { why });
            }
            Imported::Locked { name, by } => {
                let why = format!("its lock {name} is run {by}'s here; import it when that run is over");
                return Err(StoreError::Parcel { why });
            }
        }
        drop(_kept);
        self.find(run.as_str())
    }

    fn parcel(
        &self,
        run: &RunId,
        handed_over: bool,
        locks: Vec<(String, super::sqlite::LockRow)>,
    ) -> Result<Parcel, StoreError> {
        let mut entries = Vec::new();
        self.prove(run, |entry| {
            entries.push(entry.clone());
            Ok(())
        })?;
        Ok(Parcel { run: self.find(run.as_str())?, handed_over, locks, entries })
    }

    pub(super) fn is_elsewhere(&self, run: &RunId, elsewhere: &Elsewhere) -> StoreError {
        let (run, by, since) = (run.clone(), elsewhere.actor.clone(), self.time(elsewhere.at));
        if elsewhere.copied { StoreError::Copied { run, by, since } } else { StoreError::HandedOver { run, by, since } }
    }

    pub(super) fn lock_gone(&self, run: &RunId, lost: Surrendered) -> StoreError {
        let Surrendered { name, at, actor: by, reason, now: holder } = lost;
        StoreError::LockGone(Box::new(LockGone { run: run.clone(), name, by, at: self.time(at), reason, holder }))
    }
}
