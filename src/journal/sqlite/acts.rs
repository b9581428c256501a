//! Rows of the audit and of freezes.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Db, StoreError};
use crate::journal::act::{ActRow, Deed, root};
use crate::journal::entry::Hash;
use crate::journal::freeze::Freeze;

impl Db {
    /// The acts in order, and the last number that was given out.
    pub fn acts(&self) -> Result<(Vec<ActRow>, u64), StoreError> {
        self.reading(|conn| {
            let mut query =
                conn.prepare_cached("SELECT seq, at, actor, kind, subject, detail, hash FROM audit ORDER BY seq")?;
            let rows = query.query_map([], act)?.collect::<Result<_, _>>()?;
            Ok((rows, last_number(conn)?))
        })
    }

    /// Writes down an act that changes nothing else.
    pub fn note_deed(&mut self, deed: &Deed) -> Result<(), StoreError> {
        self.writing(|conn| record(conn, deed))
    }

    pub fn freeze_of(&self, site: &str) -> Result<Option<Freeze>, StoreError> {
        self.reading(|conn| freeze_of(conn, site))
    }

    /// The freeze that stands in the way, if the site is frozen already.
    pub fn freeze(&mut self, freeze: &Freeze, deed: &Deed) -> Result<Option<Freeze>, StoreError> {
        self.writing(|conn| {
            if let Some(before) = freeze_of(conn, &freeze.site)? {
                return Ok(Some(before));
            }
            conn.execute(
                "INSERT INTO freezes (site, since, actor, reason) VALUES (?1, ?2, ?3, ?4)",
                params![freeze.site, freeze.since, freeze.by, freeze.reason],
            )?;
            record(conn, deed)?;
            Ok(None)
        })
    }

    /// The freeze that was ended; `None`: the site was not frozen.
    pub fn unfreeze(&mut self, site: &str, deed: &Deed) -> Result<Option<Freeze>, StoreError> {
        self.writing(|conn| {
            let before = freeze_of(conn, site)?;
            if before.is_some() {
                conn.execute("DELETE FROM freezes WHERE site = ?1", [site])?;
                record(conn, deed)?;
            }
            Ok(before)
        })
    }
}

/// Chains an act to the ones before it.
pub(super) fn record(conn: &Connection, deed: &Deed) -> rusqlite::Result<()> {
    let before: Option<Hash> =
        conn.query_row("SELECT hash FROM audit ORDER BY seq DESC LIMIT 1", [], |row| row.get(0)).optional()?;
    let mut row = ActRow {
        seq: last_number(conn)? + 1,
        at: deed.at,
        actor: deed.actor.clone(),
        kind: deed.kind.as_str().to_owned(),
        subject: deed.subject.clone(),
        detail: deed.detail.to_string(),
        hash: [0; 32],
    };
    row.hash = row.hash_after(&before.unwrap_or_else(root));
    conn.execute(
        "INSERT INTO audit (seq, at, actor, kind, subject, detail, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![row.seq, row.at, row.actor, row.kind, row.subject, row.detail, row.hash],
    )?;
    Ok(())
}

fn last_number(conn: &Connection) -> rusqlite::Result<u64> {
    let found = conn.query_row("SELECT seq FROM sqlite_sequence WHERE name = 'audit'", [], |row| row.get(0));
    Ok(found.optional()?.unwrap_or(0))
}

fn act(row: &Row<'_>) -> rusqlite::Result<ActRow> {
    Ok(ActRow {
        seq: row.get(0)?,
        at: row.get(1)?,
        actor: row.get(2)?,
        kind: row.get(3)?,
        subject: row.get(4)?,
        detail: row.get(5)?,
        hash: row.get(6)?,
    })
}

fn freeze_of(conn: &Connection, site: &str) -> rusqlite::Result<Option<Freeze>> {
    let mut query = conn.prepare_cached("SELECT site, since, actor, reason FROM freezes WHERE site = ?1")?;
    query
        .query_row([site], |row| {
            Ok(Freeze { site: row.get(0)?, since: row.get(1)?, by: row.get(2)?, reason: row.get(3)? })
        })
        .optional()
}
