//! The rows of watches and of the outbox.

use rusqlite::{Row, params};

use super::{Db, entry};
use crate::journal::entry::Entry;
use crate::journal::error::StoreError;
use crate::journal::outbox::{Mail, MailState};
use crate::model::ids::RunId;

const MAIL: &str = "run, seq, target, label, moment, at, state, tries, due, why";

impl Db {
    /// Tells `targets` of the run's events after `after`; a watch that there is stays as it is.
    pub fn watch(&mut self, run: &RunId, targets: &[String], after: u64) -> Result<(), StoreError> {
        self.writing(|conn| {
            let mut insert = conn.prepare_cached("INSERT OR IGNORE INTO watches VALUES (?1, ?2, ?3)")?;
            targets.iter().try_for_each(|target| insert.execute(params![run.as_str(), target, after]).map(drop))
        })
    }

    /// The runs that the target is told of, and from which event on.
    pub fn watched(&self, target: &str) -> Result<Vec<(RunId, u64)>, StoreError> {
        self.reading(|conn| {
            let mut query = conn.prepare_cached("SELECT run, after FROM watches WHERE target = ?1 ORDER BY run")?;
            query.query_map([target], |row| Ok((RunId::new(row.get::<_, String>(0)?), row.get(1)?)))?.collect()
        })
    }

    /// The run's events of these kinds after `after`.
    pub fn entries_of(&self, run: &RunId, after: u64, kinds: &[&str]) -> Result<Vec<Entry>, StoreError> {
        let kinds = serde_json::to_string(kinds).unwrap_or_default();
        self.reading(|conn| {
            let mut query = conn.prepare_cached(
                "SELECT seq, at, actor, path, attempt, kind, payload, hash FROM events
                 WHERE run = ?1 AND seq > ?2 AND kind IN (SELECT value FROM json_each(?3)) ORDER BY seq",
            )?;
            query.query_map(params![run.as_str(), after, kinds], entry)?.collect()
        })
    }

    /// Puts the mail of a run in and moves its watch on, or takes the watch away: all or nothing.
    pub fn post(&mut self, run: &RunId, target: &str, mail: &[Mail], after: Option<u64>) -> Result<(), StoreError> {
        self.writing(|conn| {
            let mut insert =
                conn.prepare_cached("INSERT OR IGNORE INTO outbox VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?;
            for m in mail {
                insert.execute(params![
                    m.run.as_str(),
                    m.seq,
                    m.target,
                    m.label,
                    m.moment,
                    m.at,
                    m.state.as_str(),
                    m.tries,
                    m.due,
                    m.why
                ])?;
            }
            match after {
                Some(after) => conn.execute(
                    "UPDATE watches SET after = ?3 WHERE run = ?1 AND target = ?2 AND after < ?3",
                    params![run.as_str(), target, after],
                ),
                None => conn.execute("DELETE FROM watches WHERE run = ?1 AND target = ?2", [run.as_str(), target]),
            }
            .map(drop)
        })
    }

    /// Oldest first.
    pub fn mail(&self) -> Result<Vec<Mail>, StoreError> {
        self.reading(|conn| {
            let mut query = conn.prepare_cached(&format!("SELECT {MAIL} FROM outbox ORDER BY at, run, seq, target"))?;
            query.query_map([], mail)?.collect()
        })
    }

    /// Takes a waiting letter for one try, if nobody took it since it was looked at; `lease`: when others may try too.
    pub fn claim(&mut self, m: &Mail, lease: u64) -> Result<bool, StoreError> {
        self.writing(|conn| {
            let rows = conn.execute(
                "UPDATE outbox SET tries = tries + 1, due = ?5 WHERE run = ?1 AND seq = ?2 AND target = ?3
                    AND state = 'pending' AND tries = ?4",
                params![m.run.as_str(), m.seq, m.target, m.tries, lease],
            )?;
            Ok(rows == 1)
        })
    }

    pub fn settle(&mut self, m: &Mail, state: MailState, due: u64, why: Option<&str>) -> Result<(), StoreError> {
        self.writing(|conn| {
            conn.execute(
                "UPDATE outbox SET state = ?4, due = ?5, why = ?6 WHERE run = ?1 AND seq = ?2 AND target = ?3
                    AND state = 'pending'",
                params![m.run.as_str(), m.seq, m.target, state.as_str(), due, why],
            )
            .map(drop)
        })
    }

    /// Gives up what happened before `before`, and forgets what was over before `forgotten`.
    pub fn expire(&mut self, before: u64, forgotten: u64) -> Result<(), StoreError> {
        self.writing(|conn| {
            conn.execute("UPDATE outbox SET state = 'expired' WHERE state = 'pending' AND at < ?1", [before])?;
            conn.execute("DELETE FROM outbox WHERE state <> 'pending' AND at < ?1", [forgotten])?;
            conn.execute("DELETE FROM watches WHERE run NOT IN (SELECT id FROM runs)", []).map(drop)
        })
    }
}

fn mail(row: &Row<'_>) -> rusqlite::Result<Mail> {
    Ok(Mail {
        run: RunId::new(row.get::<_, String>(0)?),
        seq: row.get(1)?,
        target: row.get(2)?,
        label: row.get(3)?,
        moment: row.get(4)?,
        at: row.get(5)?,
        state: MailState::of(&row.get::<_, String>(6)?),
        tries: row.get(7)?,
        due: row.get(8)?,
        why: row.get(9)?,
    })
}
