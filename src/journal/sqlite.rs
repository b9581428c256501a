//! The one place that names the database. It stores and finds rows; what they mean is said elsewhere.

mod outbox;

mod acts;
mod custody;
mod requests;
mod retention;
mod room;
mod schedules;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, TransactionBehavior, named_params, params};

use super::act::Deed;
use super::entry::{Entry, Hash};
use super::error::StoreError;
use super::header::{NewRun, RunFilter, RunHeader};
use super::migrations::{MIGRATIONS, VERSION};
use crate::event::{Body, Event, Note, RunStatus};
use crate::model::ids::RunId;

pub(super) use custody::{Elsewhere, Imported, LockRow, Surrendered, Taken};
pub(super) use room::{SHORT, WHOLE};

/// How long a writer waits for another one's transaction.
const BUSY: Duration = Duration::from_secs(10);

pub(super) struct Db {
    conn: Connection,
    path: PathBuf,
    /// The journal's version, where it is higher than ours: then nothing is written.
    newer: Option<u32>,
}

/// Where a run's chain ends, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tip {
    pub epoch: u64,
    pub format: u32,
    pub status: RunStatus,
    pub events: u64,
    pub head: Hash,
}

/// The process that has a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub host: String,
    pub pid: u32,
    pub since: u64,
}

impl Db {
    /// Opens the journal and brings it to our version; a newer one is opened for reading.
    ///
    /// # Errors
    /// It is no journal, is damaged, or cannot be read or written.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut db = Self::connect(path, flags)?;
        let found = db.version()?;
        if found > VERSION {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            return Ok(Self { newer: Some(found), ..Self::connect(path, flags)? });
        }
        db.set_up()?;
        if found < VERSION {
            db.migrate()?;
        }
        Ok(db)
    }

    fn connect(path: &Path, flags: OpenFlags) -> Result<Self, StoreError> {
        let explain = |e| explain(path, "cannot open it", e);
        let conn = Connection::open_with_flags(path, flags).map_err(explain)?;
        conn.busy_timeout(BUSY).map_err(explain)?;
        Ok(Self { conn, path: path.to_owned(), newer: None })
    }

    fn set_up(&self) -> Result<(), StoreError> {
        let set = |pragma: &str, value: &str| self.conn.pragma_update(None, pragma, value);
        set("journal_mode", "WAL")
            .and_then(|()| set("synchronous", "FULL"))
            .and_then(|()| set("foreign_keys", "ON"))
            // A damaged page is found when it is read, not when it is written to.
            .and_then(|()| set("cell_size_check", "ON"))
            .map_err(|e| explain(&self.path, "cannot set it up", e))
    }

    fn version(&self) -> Result<u32, StoreError> {
        let found = self.conn.pragma_query_value(None, "user_version", |row| row.get(0));
        found.map_err(|e| explain(&self.path, "cannot read its version", e))
    }

    fn migrate(&mut self) -> Result<(), StoreError> {
        let path = self.path.clone();
        let explain = |e| explain(&path, "cannot bring it to this version", e);
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(explain)?;
        // Read again: another process may have done it while we waited.
        let from: u32 = tx.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(explain)?;
        for sql in MIGRATIONS.iter().skip(from as usize) {
            tx.execute_batch(sql).map_err(explain)?;
        }
        tx.pragma_update(None, "user_version", VERSION.max(from)).map_err(explain)?;
        tx.commit().map_err(explain)
    }

    pub fn is_newer(&self) -> bool {
        self.newer.is_some()
    }

    pub fn writable(&self) -> Result<(), StoreError> {
        match self.newer {
            Some(found) => Err(StoreError::Newer { path: self.path.clone(), found, known: VERSION }),
            None => Ok(()),
        }
    }

    fn reading<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        read(&self.conn).map_err(|e| explain(&self.path, "cannot read it", e))
    }

    fn writing<T>(&mut self, write: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        self.writable()?;
        let explain = |e| explain(&self.path, "cannot write to it", e);
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(explain)?;
        let done = write(&tx).map_err(explain)?;
        tx.commit().map_err(explain)?;
        Ok(done)
    }

    /// Writes the run down with its first entries, all or nothing, durably. `false`: there is a run of that id.
    pub fn begin(&mut self, run: &NewRun, owner: &Owner, entries: &[Entry], tip: &Tip) -> Result<bool, StoreError> {
        self.writing(|conn| {
            let updated = entries.last().map_or(run.created, |e| e.at);
            let rows = conn.execute(
                "INSERT INTO runs (id, runbook, site, cluster, created, updated, status, plan_hash, actor, format,
                    owner_epoch, host, pid, owned_since, events, head)
                 VALUES (:id, :runbook, :site, :cluster, :created, :updated, :status, :plan, :actor, :format,
                    :epoch, :host, :pid, :since, :events, :head) ON CONFLICT DO NOTHING",
                named_params! {
                    ":id": run.id.as_str(), ":runbook": run.runbook, ":site": run.site, ":cluster": run.cluster,
                    ":created": run.created, ":updated": updated, ":status": tip.status.as_str(),
                    ":plan": run.plan_hash, ":actor": run.actor, ":format": tip.format, ":epoch": tip.epoch,
                    ":host": owner.host, ":pid": owner.pid, ":since": owner.since, ":events": tip.events,
                    ":head": tip.head,
                },
            )?;
            if rows == 1 {
                insert_entries(conn, &run.id, entries)?;
            }
            Ok(rows == 1)
        })
    }

    pub fn tip(&self, run: &RunId) -> Result<Option<Tip>, StoreError> {
        self.reading(|conn| tip(conn, run))
    }

    /// Appends all or nothing, durably. `false`: the run has another owner than the one of `tip.epoch`.
    pub fn append(&mut self, run: &RunId, entries: &[Entry], tip: &Tip) -> Result<bool, StoreError> {
        self.writing(|conn| {
            let updated = entries.last().map_or(0, |e| e.at);
            let ours = conn
                .prepare_cached(
                    "UPDATE runs SET status = ?3, events = ?4, head = ?5, updated = ?6 WHERE id = ?1 AND owner_epoch = ?2",
                )?
                .execute(params![run.as_str(), tip.epoch, tip.status.as_str(), tip.events, tip.head, updated])?;
            if ours == 0 {
                return Ok(false);
            }
            insert_entries(conn, run, entries)?;
            Ok(true)
        })
    }

    /// At most `limit` entries of the run after `seq`.
    pub fn entries(&self, run: &RunId, after: u64, limit: u32) -> Result<Vec<Entry>, StoreError> {
        self.reading(|conn| {
            let mut query = conn.prepare_cached(
                "SELECT seq, at, actor, path, attempt, kind, payload, hash FROM events
                 WHERE run = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
            )?;
            query.query_map(params![run.as_str(), after, limit], entry)?.collect()
        })
    }

    /// Newest first. `owned` is left false: the database does not know it.
    pub fn runs(&self, filter: &RunFilter) -> Result<Vec<RunHeader>, StoreError> {
        self.reading(|conn| {
            let mut query = conn.prepare_cached(&format!(
                "SELECT {HEADER} FROM runs
                 WHERE (?1 IS NULL OR runbook = ?1) AND (?2 IS NULL OR site = ?2)
                   AND (NOT ?3 OR status IN ('running', 'waiting', 'paused', 'rolling_back'))
                 ORDER BY created DESC, rowid DESC LIMIT ?4"
            ))?;
            let limit = filter.limit.map_or(-1, i64::from);
            query.query_map(params![filter.runbook, filter.site, filter.open, limit], header)?.collect()
        })
    }

    /// The runs whose id begins with `prefix`, newest first.
    pub fn runs_like(&self, prefix: &str) -> Result<Vec<RunHeader>, StoreError> {
        self.reading(|conn| {
            let mut query = conn.prepare_cached(&format!(
                "SELECT {HEADER} FROM runs WHERE substr(id, 1, length(?1)) = ?1 ORDER BY created DESC, rowid DESC"
            ))?;
            query.query_map([prefix], header)?.collect()
        })
    }

    #[cfg(test)]
    pub fn execute(&mut self, sql: &str) {
        self.conn.execute_batch(sql).expect("a test's SQL is right");
    }
}

const HEADER: &str = "id, runbook, site, cluster, created, updated, status, plan_hash, actor, host, pid, owned_since,
    events, format, EXISTS (SELECT 1 FROM elsewhere WHERE elsewhere.run = runs.id)";

fn header(row: &Row<'_>) -> rusqlite::Result<RunHeader> {
    Ok(RunHeader {
        id: RunId::new(row.get::<_, String>(0)?),
        runbook: row.get(1)?,
        site: row.get(2)?,
        cluster: row.get(3)?,
        created: row.get(4)?,
        updated: row.get(5)?,
        status: status(&row.get::<_, String>(6)?),
        plan_hash: row.get(7)?,
        actor: row.get(8)?,
        host: row.get(9)?,
        pid: row.get(10)?,
        owned_since: row.get(11)?,
        events: row.get(12)?,
        format: row.get(13)?,
        elsewhere: row.get(14)?,
        owned: false,
    })
}

/// A status that this version does not know is an open one: nothing is concluded from it.
fn status(text: &str) -> RunStatus {
    serde_json::from_value(text.into()).unwrap_or(RunStatus::Running)
}

fn tip(conn: &Connection, run: &RunId) -> rusqlite::Result<Option<Tip>> {
    let mut query = conn.prepare_cached("SELECT owner_epoch, format, status, events, head FROM runs WHERE id = ?1")?;
    query
        .query_row([run.as_str()], |row| {
            Ok(Tip {
                epoch: row.get(0)?,
                format: row.get(1)?,
                status: status(&row.get::<_, String>(2)?),
                events: row.get(3)?,
                head: row.get(4)?,
            })
        })
        .optional()
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        seq: row.get(0)?,
        at: row.get(1)?,
        actor: row.get(2)?,
        path: row.get(3)?,
        attempt: row.get(4)?,
        kind: row.get(5)?,
        payload: row.get(6)?,
        hash: row.get(7)?,
    })
}

fn insert_entries(conn: &Connection, run: &RunId, entries: &[Entry]) -> rusqlite::Result<()> {
    let mut insert = conn.prepare_cached("INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?;
    for e in entries {
        insert.execute(params![run.as_str(), e.seq, e.at, e.actor, e.path, e.attempt, e.kind, e.payload, e.hash])?;
    }
    Ok(())
}

/// Appends a line for people to a run that no process has, in the name of whoever did the deed.
fn note(conn: &Connection, run: &RunId, deed: &Deed, line: &str) -> rusqlite::Result<()> {
    let Some(tip) = tip(conn, run)? else { return Ok(()) };
    let body = Body::Note(Note::Message { line: line.to_owned() });
    let event = Event { seq: tip.events + 1, at: deed.at, actor: deed.actor.clone(), body };
    let entry = Entry::of(&event, &tip.head).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))?;
    conn.execute(
        "UPDATE runs SET events = ?2, head = ?3, updated = max(updated, ?4) WHERE id = ?1",
        params![run.as_str(), entry.seq, entry.hash, entry.at],
    )?;
    insert_entries(conn, run, &[entry])
}

fn explain(path: &Path, doing: &str, error: rusqlite::Error) -> StoreError {
    let remedy = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "free space on its file system; nothing of this write was kept",
        Some(ErrorCode::ReadOnly) => {
            "make the file and its folder writable for this user, or set XDG_STATE_HOME to a folder that is"
        }
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            "check the rights of the file, of the -wal and -shm files beside it and of the folder"
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            "it is damaged or not a journal: `runbook audit verify` tells which runs are whole; restore a copy of it, or \
             move it away to begin a new one and keep it for `sqlite3 .recover`"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another process writes to it all the time; see which ones with `fuser`"
        }
        Some(ErrorCode::SystemIoFailure) => {
            "its file system is full, or the disk reported an error: see `df` and `dmesg`"
        }
        _ => "see whether another version of runbook or another program wrote to it",
    };
    StoreError::Database { path: path.to_owned(), why: format!("{doing}: {error}"), remedy }
}
