//! Whose a run and a lock are: locks taken, given back, broken; runs that go from one journal to another.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::acts::record;
use super::{Db, Owner, StoreError, Tip, insert_entries, note, tip};
use crate::event::FORMAT;
use crate::journal::act::Deed;
use crate::journal::parcel::Parcel;
use crate::model::ids::RunId;

/// A row of the table of locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::journal) struct LockRow {
    pub run: RunId,
    pub since: u64,
    pub holder: String,
}

/// Why a run of this journal is not gone on with here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::journal) struct Elsewhere {
    pub at: u64,
    pub actor: String,
    /// It is a copy of a run that another journal has; otherwise it was handed over.
    pub copied: bool,
}

/// A lock that was taken from a run, and who has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::journal) struct Surrendered {
    pub name: String,
    pub at: u64,
    pub actor: String,
    pub reason: String,
    pub now: RunId,
}

/// What came of the wish to have a run.
pub(in crate::journal) enum Taken {
    Yes(Tip),
    Unknown,
    Elsewhere(Elsewhere),
    LockGone(Surrendered),
}

/// What came of the wish to bring a run in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::journal) enum Imported {
    Yes,
    /// There is one of that id, and it is this journal's.
    Exists,
    /// There is one of that id, and what was brought does not begin as it does.
    Differs,
    Locked {
        name: String,
        by: RunId,
    },
}

impl Db {
    pub fn lock(&self, name: &str) -> Result<Option<LockRow>, StoreError> {
        self.reading(|conn| lock(conn, name))
    }

    /// All locks by name.
    pub fn locks(&self) -> Result<Vec<(String, LockRow)>, StoreError> {
        self.reading(|conn| {
            let mut query = conn.prepare_cached("SELECT run, since, holder, name FROM locks ORDER BY name")?;
            query.query_map([], |row| Ok((row.get(3)?, lock_row(row)?)))?.collect()
        })
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
            put_lock(conn, name, row)?;
            Ok(None)
        })
    }

    pub fn drop_lock(&mut self, name: &str, run: &RunId) -> Result<(), StoreError> {
        self.writing(|conn| {
            conn.execute("DELETE FROM locks WHERE name = ?1 AND run = ?2", [name, run.as_str()]).map(|_| ())
        })
    }

    /// Takes the lock from the run that was `seen` to hold it. `line` goes into the history of a run that is not
    /// over, and the run must get the lock back before it goes on. `false`: somebody else holds it by now.
    pub fn break_lock(&mut self, name: &str, seen: &RunId, deed: &Deed, reason: &str) -> Result<bool, StoreError> {
        self.writing(|conn| {
            if lock(conn, name)?.is_none_or(|held| held.run != *seen) {
                return Ok(false);
            }
            if tip(conn, seen)?.is_some_and(|tip| !tip.status.is_final()) {
                surrender(conn, seen, Some(name), deed, reason)?;
                note(conn, seen, deed, &format!("the lock {name} was taken from this run: {reason}"))?;
            } else {
                conn.execute("DELETE FROM locks WHERE name = ?1", [name])?;
            }
            record(conn, deed)?;
            Ok(true)
        })
    }

    pub fn elsewhere(&self, run: &RunId) -> Result<Option<Elsewhere>, StoreError> {
        self.reading(|conn| elsewhere(conn, run))
    }

    /// Makes the run `owner`'s, with the locks that were taken from it, so that whoever had it before can append no more.
    pub fn take_over(&mut self, run: &RunId, owner: &Owner) -> Result<Taken, StoreError> {
        self.writing(|conn| {
            if let Some(elsewhere) = elsewhere(conn, run)? {
                return Ok(Taken::Elsewhere(elsewhere));
            }
            if let Some(gone) = regain(conn, run)? {
                return Ok(Taken::LockGone(gone));
            }
            // Its events are ours from now on: an older binary must not go on with it.
            conn.execute(
                "UPDATE runs SET owner_epoch = owner_epoch + 1, host = ?2, pid = ?3, owned_since = ?4,
                    format = max(format, ?5) WHERE id = ?1",
                params![run.as_str(), owner.host, owner.pid, owner.since, FORMAT],
            )?;
            Ok(tip(conn, run)?.map_or(Taken::Unknown, Taken::Yes))
        })
    }

    /// Gives the run away: its locks go with it, and nobody goes on with it here. The locks that go.
    pub fn hand_over(&mut self, run: &RunId, deed: &Deed) -> Result<Vec<(String, LockRow)>, StoreError> {
        self.writing(|conn| {
            if elsewhere(conn, run)?.is_none() {
                note(conn, run, deed, "handed over to another machine")?;
                surrender(conn, run, None, deed, "handed over")?;
                conn.execute(
                    "INSERT INTO elsewhere (run, at, actor, copied) VALUES (?1, ?2, ?3, 0)",
                    params![run.as_str(), deed.at, deed.actor],
                )?;
            }
            record(conn, deed)?;
            let mut query = conn.prepare("SELECT run, since, holder, name FROM surrendered WHERE run = ?1")?;
            query.query_map([run.as_str()], |row| Ok((row.get(3)?, lock_row(row)?)))?.collect()
        })
    }

    /// The run is this journal's again; its locks too, where they are free.
    pub fn take_back(&mut self, run: &RunId, deed: &Deed) -> Result<(), StoreError> {
        self.writing(|conn| {
            conn.execute("DELETE FROM elsewhere WHERE run = ?1", [run.as_str()])?;
            note(conn, run, deed, "taken back by force, whatever another machine does with it")?;
            regain(conn, run)?;
            record(conn, deed)
        })
    }

    /// Brings a run in whole, all or nothing.
    pub fn import(&mut self, parcel: &Parcel, deed: &Deed) -> Result<Imported, StoreError> {
        self.writing(|conn| {
            let run = &parcel.run.id;
            if let Some(before) = tip(conn, run)? {
                if elsewhere(conn, run)?.is_none() {
                    return Ok(Imported::Exists);
                }
                let last = usize::try_from(before.events).unwrap_or(usize::MAX).checked_sub(1);
                if last.is_some_and(|at| parcel.entries.get(at).is_none_or(|e| e.hash != before.head)) {
                    return Ok(Imported::Differs);
                }
            }
            for (name, _) in &parcel.locks {
                if let Some(held) = in_the_way(conn, name, run)? {
                    return Ok(Imported::Locked { name: name.clone(), by: held.run });
                }
            }
            put_run(conn, parcel)?;
            for table in ["elsewhere", "surrendered"] {
                conn.execute(&format!("DELETE FROM {table} WHERE run = ?1"), [run.as_str()])?;
            }
            for (name, row) in &parcel.locks {
                put_lock(conn, name, row)?;
            }
            if parcel.is_copy() {
                conn.execute(
                    "INSERT INTO elsewhere (run, at, actor, copied) VALUES (?1, ?2, ?3, 1)",
                    params![run.as_str(), deed.at, deed.actor],
                )?;
            } else if !parcel.run.status.is_final() {
                note(conn, run, deed, &format!("imported from {}", parcel.run.host))?;
            }
            record(conn, deed)?;
            Ok(Imported::Yes)
        })
    }
}

fn put_run(conn: &Connection, parcel: &Parcel) -> rusqlite::Result<()> {
    let run = &parcel.run;
    let id = run.id.as_str();
    conn.execute("DELETE FROM events WHERE run = ?1", [id])?;
    let head = parcel.head();
    conn.execute(
        "INSERT INTO runs (id, runbook, site, cluster, created, updated, status, plan_hash, actor, format, owner_epoch,
            host, pid, owned_since, events, head) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 1, ?11, ?12, ?13, ?14, ?15)
         ON CONFLICT (id) DO UPDATE SET updated = excluded.updated, status = excluded.status, format = excluded.format,
            owner_epoch = owner_epoch + 1, host = excluded.host, pid = excluded.pid, owned_since = excluded.owned_since,
            events = excluded.events, head = excluded.head",
        params![
            id, run.runbook, run.site, run.cluster, run.created, run.updated, run.status.as_str(), run.plan_hash,
            run.actor, run.format, run.host, run.pid, run.owned_since, run.events, head
        ],
    )?;
    insert_entries(conn, &run.id, &parcel.entries)
}

/// Moves locks of the run (all, or the one of that name) to where the run looks for them before it goes on.
fn surrender(conn: &Connection, run: &RunId, name: Option<&str>, deed: &Deed, reason: &str) -> rusqlite::Result<()> {
    conn.execute(
        "INSERT OR REPLACE INTO surrendered (run, name, since, holder, at, actor, reason)
         SELECT run, name, since, holder, ?3, ?4, ?5 FROM locks WHERE run = ?1 AND (?2 IS NULL OR name = ?2)",
        params![run.as_str(), name, deed.at, deed.actor, reason],
    )?;
    conn.execute("DELETE FROM locks WHERE run = ?1 AND (?2 IS NULL OR name = ?2)", params![run.as_str(), name])?;
    Ok(())
}

/// Gives the run the locks back that were taken from it, all or none; the one that another run has by now.
fn regain(conn: &Connection, run: &RunId) -> rusqlite::Result<Option<Surrendered>> {
    let mut query =
        conn.prepare_cached("SELECT run, since, holder, name, at, actor, reason FROM surrendered WHERE run = ?1")?;
    let mut lost = Vec::new();
    let mut rows = query.query([run.as_str()])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(3)?;
        if let Some(held) = in_the_way(conn, &name, run)? {
            let (at, actor, reason) = (row.get(4)?, row.get(5)?, row.get(6)?);
            return Ok(Some(Surrendered { name, at, actor, reason, now: held.run }));
        }
        lost.push((name, lock_row(row)?));
    }
    for (name, row) in &lost {
        put_lock(conn, name, row)?;
    }
    if !lost.is_empty() {
        conn.execute("DELETE FROM surrendered WHERE run = ?1", [run.as_str()])?;
    }
    Ok(None)
}

/// Who holds the lock, if that is another run which is not over.
fn in_the_way(conn: &Connection, name: &str, run: &RunId) -> rusqlite::Result<Option<LockRow>> {
    let Some(held) = lock(conn, name)?.filter(|held| held.run != *run) else { return Ok(None) };
    Ok(tip(conn, &held.run)?.is_some_and(|tip| !tip.status.is_final()).then_some(held))
}

fn put_lock(conn: &Connection, name: &str, row: &LockRow) -> rusqlite::Result<()> {
    conn.execute(
        "INSERT OR REPLACE INTO locks (name, run, since, holder) VALUES (?1, ?2, ?3, ?4)",
        params![name, row.run.as_str(), row.since, row.holder],
    )?;
    Ok(())
}

fn lock(conn: &Connection, name: &str) -> rusqlite::Result<Option<LockRow>> {
    let mut query = conn.prepare_cached("SELECT run, since, holder FROM locks WHERE name = ?1")?;
    query.query_row([name], lock_row).optional()
}

fn lock_row(row: &Row<'_>) -> rusqlite::Result<LockRow> {
    Ok(LockRow { run: RunId::new(row.get::<_, String>(0)?), since: row.get(1)?, holder: row.get(2)? })
}

fn elsewhere(conn: &Connection, run: &RunId) -> rusqlite::Result<Option<Elsewhere>> {
    let mut query = conn.prepare_cached("SELECT at, actor, copied FROM elsewhere WHERE run = ?1")?;
    query
        .query_row([run.as_str()], |row| Ok(Elsewhere { at: row.get(0)?, actor: row.get(1)?, copied: row.get(2)? }))
        .optional()
}
