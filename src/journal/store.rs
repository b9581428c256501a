//! The store of runs: makes them, takes them over, finds and reads them.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::entry::{Entry, root};
use super::error::StoreError;
use super::header::{NewRun, RunFilter, RunHeader};
use super::locks::StoreLocks;
use super::place::{Place, SystemClock};
use super::sqlite::{Db, Owner, Taken, Tip};
use super::writer::RunWriter;
use crate::engine::ports::Clock;
use crate::event::{Event, FORMAT};
use crate::model::ids::RunId;
use crate::sys;

/// Entries read at once: enough to cost little, few enough to hold.
pub(super) const PAGE: u32 = 500;
/// Ids that an error names.
const SHOWN: u32 = 5;

/// What a store takes from its surroundings; tests set it.
#[derive(Clone)]
pub struct Options {
    pub clock: Arc<dyn Clock>,
    pub host: String,
    pub pid: u32,
    /// Seconds east of Greenwich, for the times in messages.
    pub offset: i32,
}

impl Default for Options {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock), host: sys::host(), pid: std::process::id(), offset: 0 }
    }
}

/// The runs of a state folder.
pub struct Store {
    pub(super) place: Place,
    pub(super) options: Options,
    reader: Mutex<Db>,
}

/// The end of a run's chain: two histories with the same head are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    pub events: u64,
    /// SHA-256, in hexadecimal.
    pub head: String,
}

impl Store {
    /// Opens the journal in the state folder `dir` and makes both where they are missing (0700 and 0600).
    ///
    /// # Errors
    /// [`StoreError::Folder`], [`StoreError::Network`] or [`StoreError::Database`], with what to do.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_with(dir, Options::default())
    }

    /// # Errors
    /// As [`Store::open`].
    pub fn open_with(dir: &Path, options: Options) -> Result<Self, StoreError> {
        let place = Place::prepare(dir)?;
        let reader = Mutex::new(Db::open(&place.database())?);
        Ok(Self { place, options, reader })
    }

    pub(super) fn reader(&self) -> MutexGuard<'_, Db> {
        // A reader that panicked leaves nothing half done behind.
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn owner(&self) -> Owner {
        Owner { host: self.options.host.clone(), pid: self.options.pid, since: self.now() }
    }

    pub(super) fn now(&self) -> u64 {
        self.options.clock.now()
    }

    /// A connection of its own.
    pub(super) fn connect(&self) -> Result<Db, StoreError> {
        Db::open(&self.place.database())
    }

    /// Begins a run and owns it. It is in no list before its first event is appended, which is what brings it in.
    ///
    /// # Errors
    /// The id is taken, or the journal cannot be written.
    pub fn create_run(&self, run: &NewRun) -> Result<RunWriter, StoreError> {
        let db = self.connect()?;
        db.writable()?;
        let Some(lock) = self.place.own(&run.id)? else { return Err(self.owned_by_another(&run.id)?) };
        if db.tip(&run.id)?.is_some() {
            return Err(StoreError::Exists { run: run.id.clone() });
        }
        let head = root(&run.id);
        let tip = Tip { epoch: 1, format: FORMAT, status: crate::event::RunStatus::Running, events: 0, head };
        Ok(RunWriter::beginning(run.clone(), self.owner(), db, lock, tip))
    }

    /// Takes a run over from a process that is gone: its history, proved, and the right to go on with it.
    ///
    /// # Errors
    /// Another process owns it, another journal has it, one of its locks was taken from it and is another run's, it
    /// is of a newer version, or its history is not as it was written.
    pub fn take_over(&self, run: &RunId) -> Result<(Vec<Event>, RunWriter), StoreError> {
        let mut db = self.connect()?;
        let before = db.tip(run)?.ok_or_else(|| self.unknown(run.as_str()))?;
        if before.format > FORMAT {
            return Err(StoreError::NewerRun { run: run.clone(), found: before.format, known: FORMAT });
        }
        let Some(lock) = self.place.own(run)? else { return Err(self.owned_by_another(run)?) };
        let tip = match db.take_over(run, &self.owner())? {
            Taken::Yes(tip) => tip,
            Taken::Unknown => return Err(self.unknown(run.as_str())),
            Taken::Elsewhere(elsewhere) => return Err(self.is_elsewhere(run, &elsewhere)),
            Taken::LockGone(lost) => return Err(self.lock_gone(run, lost)),
        };
        let mut events = Vec::new();
        self.walk(run, &tip, |entry| {
            let unreadable =
                |e: serde_json::Error| StoreError::Unreadable { run: run.clone(), seq: entry.seq, why: e.to_string() };
            events.push(entry.event().map_err(unreadable)?);
            Ok(())
        })?;
        Ok((events, RunWriter::new(run.clone(), db, lock, tip)))
    }

    pub(super) fn owned_by_another(&self, run: &RunId) -> Result<StoreError, StoreError> {
        let header = self.reader().runs_like(run.as_str())?.into_iter().next();
        Ok(match header {
            Some(h) => {
                StoreError::Owned { run: run.clone(), host: h.host, pid: h.pid, since: self.time(h.owned_since) }
            }
            None => StoreError::Owned { run: run.clone(), host: "this host".into(), pid: 0, since: "just now".into() },
        })
    }

    /// Milliseconds since 1970 as HH:MM:SS; with the date, where that is not today.
    pub(super) fn time(&self, at: u64) -> String {
        let local = |ms: u64| i64::try_from(ms / 1000).unwrap_or(i64::MAX / 2) + i64::from(self.options.offset);
        let Ok(shown) = jiff::Timestamp::from_second(local(at)) else { return at.to_string() };
        let same_day = local(at).div_euclid(86_400) == local(self.options.clock.now()).div_euclid(86_400);
        shown.strftime(if same_day { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" }).to_string()
    }

    /// The runs that `filter` lets through, newest first.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn runs(&self, filter: &RunFilter) -> Result<Vec<RunHeader>, StoreError> {
        let found = self.reader().runs(filter)?;
        Ok(found.into_iter().map(|h| self.with_owner(h)).collect())
    }

    /// The run that `asked` names: `last`, or the beginning of an id that fits one run alone.
    ///
    /// # Errors
    /// None fits, or more than one.
    pub fn find(&self, asked: &str) -> Result<RunHeader, StoreError> {
        let mut found = if asked == "last" {
            self.reader().runs(&RunFilter { limit: Some(1), ..RunFilter::default() })?
        } else if asked.is_empty() {
            Vec::new()
        } else {
            self.reader().runs_like(asked)?
        };
        // A whole id names its run even where it is the beginning of another one's.
        if let Some(exact) = found.iter().position(|h| h.id.as_str() == asked) {
            found.swap(0, exact);
            found.truncate(1);
        }
        match found.len() {
            0 => Err(self.unknown(asked)),
            1 => Ok(self.with_owner(found.remove(0))),
            _ => {
                let candidates = found.iter().map(|h| format!("{} ({})", h.id, h.runbook)).collect();
                Err(StoreError::Ambiguous { asked: asked.to_owned(), candidates })
            }
        }
    }

    fn with_owner(&self, mut header: RunHeader) -> RunHeader {
        // A finished run is owned only by a process that is about to end.
        header.owned = !header.status.is_final() && self.place.is_owned(&header.id);
        header
    }

    pub(super) fn unknown(&self, asked: &str) -> StoreError {
        let recent = self.reader().runs(&RunFilter { limit: Some(200), ..RunFilter::default() }).unwrap_or_default();
        let near = recent.iter().filter(|h| {
            let start: String = h.id.as_str().chars().take(asked.chars().count()).collect();
            !asked.is_empty() && strsim::damerau_levenshtein(&start, asked) <= asked.len().div_ceil(4)
        });
        let names: Vec<_> = near.take(SHOWN as usize).map(|h| format!("{} ({})", h.id, h.runbook)).collect();
        let hint = match (recent.is_empty(), names.is_empty()) {
            (true, _) => "there are no runs yet: `runbook run NAME --apply` makes one".to_owned(),
            (false, true) => "`runbook runs` lists them".to_owned(),
            (false, false) => format!("near it: {}; `runbook runs` lists all", names.join(", ")),
        };
        StoreError::Unknown { asked: asked.to_owned(), hint }
    }

    /// The shortest beginning of the run's id, of at least four signs, that names it alone.
    pub fn short_id(&self, run: &RunId) -> String {
        let id = run.as_str();
        let alone = |n: &usize| self.reader().runs_like(&id[..*n]).is_ok_and(|found| found.len() <= 1);
        let ends = id.char_indices().map(|(i, _)| i).filter(|i| *i >= 4);
        ends.into_iter().find(alone).map_or(id, |n| &id[..n]).to_owned()
    }

    /// The run's events, page by page, on a connection of their own: a reader waits for no writer.
    ///
    /// # Errors
    /// The journal cannot be opened.
    pub fn events(&self, run: &RunId) -> Result<EventStream, StoreError> {
        self.events_after(run, 0)
    }

    /// The run's events after `seq`: how one follows a run that goes on.
    ///
    /// # Errors
    /// As [`Store::events`].
    pub fn events_after(&self, run: &RunId, seq: u64) -> Result<EventStream, StoreError> {
        let (db, newer) = (self.connect()?, self.is_newer(run)?);
        Ok(EventStream { db, newer, run: run.clone(), last: seq, page: VecDeque::new(), over: false })
    }

    /// The locks in this store.
    ///
    /// # Errors
    /// The journal cannot be opened.
    pub fn locks(self: &Arc<Self>) -> Result<StoreLocks, StoreError> {
        Ok(StoreLocks::new(self.clone(), self.connect()?))
    }
}

/// A run's events in order. What a newer version wrote and this one does not know is told as a message.
pub struct EventStream {
    db: Db,
    /// What this version does not know was written by a newer one, and is not damaged.
    newer: bool,
    run: RunId,
    last: u64,
    page: VecDeque<Entry>,
    over: bool,
}

impl EventStream {
    fn fill(&mut self) -> Result<(), StoreError> {
        if self.page.is_empty() {
            self.page = self.db.entries(&self.run, self.last, PAGE)?.into();
        }
        Ok(())
    }
}

impl Iterator for EventStream {
    type Item = Result<Event, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        if let Err(e) = self.fill() {
            self.over = true;
            return Some(Err(e));
        }
        let entry = self.page.pop_front()?;
        self.last = entry.seq;
        Some(match entry.event() {
            Ok(event) => Ok(event),
            Err(_) if self.newer => Ok(entry.as_message()),
            Err(e) => Err(StoreError::Unreadable { run: self.run.clone(), seq: entry.seq, why: e.to_string() }),
        })
    }
}
