//! Rows that go when their time is over, and rows that auditors ask for.

use rusqlite::{Connection, params};

use super::acts::record;
use super::{Db, HEADER, StoreError, entry, header, tip};
use crate::journal::act::Deed;
use crate::journal::entry::Entry;
use crate::journal::header::RunHeader;
use crate::model::ids::RunId;

/// A run that could go.
pub(in crate::journal) struct Old {
    pub header: RunHeader,
    /// Bytes of its rows, as far as they can be counted.
    pub bytes: u64,
    pub holds_lock: bool,
}

impl Db {
    /// Runs whose last event is before `before`, without the newest `keep` of all, newest first.
    pub fn old_runs(&self, before: u64, keep: u32) -> Result<Vec<Old>, StoreError> {
        self.reading(|conn| {
            // What SQLite needs for a row beside its texts: the hash, numbers, the key's copy, the header.
            let mut query = conn.prepare(&format!(
                "SELECT {HEADER},
                    (SELECT coalesce(sum(octet_length(payload) + octet_length(actor) + octet_length(kind)
                        + coalesce(octet_length(path), 0) + 80), 0) FROM events WHERE run = runs.id) AS bytes,
                    EXISTS (SELECT 1 FROM locks WHERE locks.run = runs.id) AS holds
                 FROM (SELECT *, rowid AS nth FROM runs ORDER BY created DESC, rowid DESC LIMIT -1 OFFSET ?2) AS runs
                 WHERE updated < ?1 ORDER BY created DESC, nth DESC"
            ))?;
            let found = query.query_map(params![before, keep], |row| {
                Ok(Old { header: header(row)?, bytes: row.get("bytes")?, holds_lock: row.get("holds")? })
            })?;
            found.collect()
        })
    }

    /// Deletes those of the runs that are over and hold no lock; which ones that were.
    pub fn prune(&mut self, runs: &[RunId], deed: &Deed) -> Result<Vec<RunId>, StoreError> {
        self.writing(|conn| {
            let mut gone = Vec::new();
            for run in runs {
                if may_go(conn, run)? {
                    for (table, column) in [
                        ("events", "run"),
                        ("requests", "run"),
                        ("elsewhere", "run"),
                        ("surrendered", "run"),
                        ("runs", "id"),
                    ] {
                        conn.execute(&format!("DELETE FROM {table} WHERE {column} = ?1"), [run.as_str()])?;
                    }
                    gone.push(run.clone());
                }
            }
            if !gone.is_empty() {
                record(conn, deed)?;
            }
            Ok(gone)
        })
    }

    /// Gives the room of what was deleted back to the file system.
    pub fn shrink(&mut self) -> Result<(), StoreError> {
        self.writable()?;
        self.reading(|conn| conn.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)"))
    }

    /// What SQLite itself finds wrong with the file; empty: nothing.
    pub fn damage(&self) -> Result<Vec<String>, StoreError> {
        self.reading(|conn| {
            let mut query = conn.prepare("PRAGMA integrity_check(10)")?;
            let found: Vec<String> = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok(if found == ["ok"] { Vec::new() } else { found })
        })
    }

    /// Runs that have events and are in no list of runs.
    pub fn orphans(&self) -> Result<Vec<String>, StoreError> {
        self.reading(|conn| {
            let mut query =
                conn.prepare("SELECT DISTINCT run FROM events WHERE run NOT IN (SELECT id FROM runs) ORDER BY run")?;
            query.query_map([], |row| row.get(0))?.collect()
        })
    }

    /// What people said to runs and who took them over, oldest first.
    pub fn said(&self) -> Result<Vec<(RunId, Entry)>, StoreError> {
        self.reading(|conn| {
            let mut query = conn.prepare(
                "SELECT seq, at, actor, path, attempt, kind, payload, hash, run FROM events
                 WHERE kind IN ('approved', 'declined', 'decided', 'signalled', 'driver_restarted') ORDER BY at",
            )?;
            query.query_map([], |row| Ok((RunId::new(row.get::<_, String>(8)?), entry(row)?)))?.collect()
        })
    }
}

fn may_go(conn: &Connection, run: &RunId) -> rusqlite::Result<bool> {
    let over = tip(conn, run)?.is_some_and(|tip| tip.status.is_final());
    let locked: bool =
        conn.query_row("SELECT EXISTS (SELECT 1 FROM locks WHERE run = ?1)", [run.as_str()], |row| row.get(0))?;
    Ok(over && !locked)
}
