//! Rows of standing approvals.

use rusqlite::params;

use super::acts::record;
use super::{Db, StoreError};
use crate::journal::act::Deed;
use crate::journal::schedules::Schedule;

impl Db {
    pub fn schedules(&self) -> Result<Vec<Schedule>, StoreError> {
        self.reading(|conn| {
            let mut query = conn.prepare_cached("SELECT name, since, actor, body FROM schedules ORDER BY name")?;
            let rows = query.query_map([], |row| {
                let text: String = row.get(3)?;
                // What is no JSON approves nothing.
                let body = serde_json::from_str(&text).unwrap_or_default();
                Ok(Schedule { name: row.get(0)?, since: row.get(1)?, by: row.get(2)?, body })
            })?;
            rows.collect()
        })
    }

    pub fn schedule(&mut self, schedule: &Schedule, deed: &Deed) -> Result<(), StoreError> {
        self.writing(|conn| {
            conn.execute(
                "INSERT OR REPLACE INTO schedules (name, since, actor, body) VALUES (?1, ?2, ?3, ?4)",
                params![schedule.name, schedule.since, schedule.by, schedule.body.to_string()],
            )?;
            record(conn, deed)
        })
    }

    pub fn unschedule(&mut self, name: &str, deed: &Deed) -> Result<bool, StoreError> {
        self.writing(|conn| {
            let there = conn.execute("DELETE FROM schedules WHERE name = ?1", [name])? > 0;
            if there {
                record(conn, deed)?;
            }
            Ok(there)
        })
    }
}
