//! The one place that names the database. It stores and finds rows; what they mean is said elsewhere.

mod outbox;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, TransactionBehavior, named_params, params};

use super::entry::{Entry, Hash};
use super::error::StoreError;
use super::header::{NewRun, RunFilter, RunHeader};
use super::migrations::{MIGRATIONS, VERSION};
use crate::event::{FORMAT, RunStatus};
use crate::model::ids::RunId;

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

/// A row of the table of locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LockRow {
    pub run: RunId,
    pub since: u64,
    pub holder: String,
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

    fn writable(&self) -> Result<(), StoreError> {
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

    /// `false`: there is a run of that id.
    pub fn insert_run(&mut self, run: &NewRun, owner: &Owner, root: &Hash) -> Result<bool, StoreError> {
        self.writing(|conn| {
            let rows = conn.execute(
                "INSERT INTO runs VALUES (:id, :runbook, :site, :cluster, :created, :created, 'running', :plan, :actor,
                    :format, 1, :host, :pid, :since, 0, :root) ON CONFLICT DO NOTHING",
                named_params! {
                    ":id": run.id.as_str(), ":runbook": run.runbook, ":site": run.site, ":cluster": run.cluster,
                    ":created": run.created, ":plan": run.plan_hash, ":actor": run.actor, ":format": FORMAT,
                    ":host": owner.host, ":pid": owner.pid, ":since": owner.since, ":root": root,
                },
            )?;
            Ok(rows == 1)
        })
    }

    /// Makes the run `owner`'s, so that whoever had it before can append no more. `None`: no such run.
    pub fn take_over(&mut self, run: &RunId, owner: &Owner) -> Result<Option<Tip>, StoreError> {
        self.writing(|conn| {
            conn.execute(
                "UPDATE runs SET owner_epoch = owner_epoch + 1, host = ?2, pid = ?3, owned_since = ?4 WHERE id = ?1",
                params![run.as_str(), owner.host, owner.pid, owner.since],
            )?;
            tip(conn, run)
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
            let mut insert = conn.prepare_cached("INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?;
            for e in entries {
                insert.execute(params![
                    run.as_str(),
                    e.seq,
                    e.at,
                    e.actor,
                    e.path,
                    e.attempt,
                    e.kind,
                    e.payload,
                    e.hash
                ])?;
            }
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

    pub fn lock(&self, name: &str) -> Result<Option<LockRow>, StoreError> {
        self.reading(|conn| lock(conn, name))
    }

    /// Takes the lock if it is free or has still the holder `seen`; the row that stands in the way otherwise.
    pub fn take_lock(
        &mut self,
        name: &str,
        row: &LockRow,
        seen: Option<&RunId>,
    ) -> Result<Option<LockRow>, StoreError> {
        self.writing(|conn| {
            if let Some(held) = lock(conn, name)?
                && seen != Some(&held.run)
            {
                return Ok((held.run != row.run).then_some(held));
            }
            conn.execute(
                "INSERT OR REPLACE INTO locks VALUES (?1, ?2, ?3, ?4)",
                params![name, row.run.as_str(), row.since, row.holder],
            )?;
            Ok(None)
        })
    }

    pub fn drop_lock(&mut self, name: &str, run: &RunId) -> Result<(), StoreError> {
        self.writing(|conn| {
            conn.execute("DELETE FROM locks WHERE name = ?1 AND run = ?2", [name, run.as_str()]).map(|_| ())
        })
    }

    #[cfg(test)]
    pub fn execute(&mut self, sql: &str) {
        self.conn.execute_batch(sql).expect("a test's SQL is right");
    }
}

const HEADER: &str =
    "id, runbook, site, cluster, created, updated, status, plan_hash, actor, host, pid, owned_since, events";

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

fn lock(conn: &Connection, name: &str) -> rusqlite::Result<Option<LockRow>> {
    let mut query = conn.prepare_cached("SELECT run, since, holder FROM locks WHERE name = ?1")?;
    query
        .query_row([name], |row| {
            Ok(LockRow { run: RunId::new(row.get::<_, String>(0)?), since: row.get(1)?, holder: row.get(2)? })
        })
        .optional()
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
            "it is damaged or not a journal: move it away to begin a new one, and keep it for `sqlite3 .recover`"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another process writes to it all the time; see which ones with `fuser`"
        }
        Some(ErrorCode::SystemIoFailure) => "the disk reported an error; see `dmesg`",
        _ => "see whether another version of runbook or another program wrote to it",
    };
    StoreError::Database { path: path.to_owned(), why: format!("{doing}: {error}"), remedy }
}
