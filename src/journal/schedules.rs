//! Standing approvals: what a timer may run without anybody's yes.

use serde_json::{Value, json};

use super::act::ActKind;
use super::error::StoreError;
use super::store::Store;

/// What was approved, by whom and since when.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    pub name: String,
    /// Milliseconds since 1970.
    pub since: u64,
    pub by: String,
    /// The runbook with its digest, and the parameters.
    pub body: Value,
}

impl Store {
    /// All of them, by name.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn schedules(&self) -> Result<Vec<Schedule>, StoreError> {
        self.reader().schedules()
    }

    /// Approves it, in place of what was approved under that name. `runs`: for people.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn schedule(&self, name: &str, by: &str, body: &Value, runs: &str) -> Result<(), StoreError> {
        let schedule = Schedule { name: name.to_owned(), since: self.now(), by: by.to_owned(), body: body.clone() };
        let deed = self.deed(ActKind::Scheduled, by, name, json!({"runs": runs, "approved": body}));
        self.connect()?.schedule(&schedule, &deed)
    }

    /// Whether there was one.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn unschedule(&self, name: &str, by: &str) -> Result<bool, StoreError> {
        let deed = self.deed(ActKind::Unscheduled, by, name, json!({}));
        self.connect()?.unschedule(name, &deed)
    }
}
