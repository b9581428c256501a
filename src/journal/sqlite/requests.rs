//! Rows of what is said to runs.

use rusqlite::{Row, params};

use super::{Db, StoreError};
use crate::journal::requests::{Pending, RequestRow};
use crate::model::ids::RunId;

impl Db {
    /// `false`: the key is taken.
    pub fn add_request(&mut self, run: &RunId, row: &RequestRow) -> Result<bool, StoreError> {
        self.writing(|conn| {
            let added = conn.execute(
                "INSERT INTO requests (run, key, at, actor, body) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
                params![run.as_str(), row.key, row.at, row.actor, row.body],
            )?;
            Ok(added == 1)
        })
    }

    /// What was said to the run and not taken yet, in the order in which it was said.
    pub fn pending_requests(&self, run: &RunId) -> Result<Vec<RequestRow>, StoreError> {
        self.reading(|conn| {
            let mut query = conn.prepare_cached(
                "SELECT key, at, actor, body FROM requests WHERE run = ?1 AND taken_at IS NULL ORDER BY id",
            )?;
            query.query_map([run.as_str()], request)?.collect()
        })
    }

    pub fn requests_taken(&mut self, taken: &[Pending], at: u64) -> Result<(), StoreError> {
        self.writing(|conn| {
            for one in taken {
                conn.execute(
                    "UPDATE requests SET taken_at = ?2 WHERE key = ?1 AND taken_at IS NULL",
                    params![one.key, at],
                )?;
            }
            Ok(())
        })
    }

    /// A number that changes when another connection has written. Costs no look at any page of a table.
    pub fn data_version(&self) -> Result<i64, StoreError> {
        self.reading(|conn| conn.pragma_query_value(None, "data_version", |row| row.get(0)))
    }
}

fn request(row: &Row<'_>) -> rusqlite::Result<RequestRow> {
    Ok(RequestRow { key: row.get(0)?, at: row.get(1)?, actor: row.get(2)?, body: row.get(3)? })
}
