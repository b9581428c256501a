//! A run as a list of runs shows it.

use crate::event::RunStatus;
use crate::model::ids::RunId;

/// What is known of a run before its first event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRun {
    pub id: RunId,
    pub runbook: String,
    pub site: String,
    pub cluster: Option<String>,
    /// Milliseconds since 1970.
    pub created: u64,
    pub plan_hash: String,
    /// Who asked for it: `ops@host`.
    pub actor: String,
}

/// A run without its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunHeader {
    pub id: RunId,
    pub runbook: String,
    pub site: String,
    pub cluster: Option<String>,
    /// Milliseconds since 1970.
    pub created: u64,
    /// When its last event was recorded.
    pub updated: u64,
    pub status: RunStatus,
    pub plan_hash: String,
    pub actor: String,
    /// The machine and process that had it last, and since when.
    pub host: String,
    pub pid: u32,
    pub owned_since: u64,
    /// How many events it has.
    pub events: u64,
    /// Whether a process on this machine has it now.
    pub owned: bool,
    /// Whether another journal has it: it was handed over, or is a copy.
    pub elsewhere: bool,
    /// The version of its events.
    pub format: u32,
}

impl RunHeader {
    /// A run that should be going on and whose process is gone. One that waits for a person or was paused is parked
    /// on purpose, and needs no process for that.
    pub fn interrupted(&self) -> bool {
        !self.owned && !self.elsewhere && matches!(self.status, RunStatus::Running | RunStatus::RollingBack)
    }

    /// The word that people and JSON see: the status, `interrupted`, or `elsewhere`.
    pub fn state(&self) -> &'static str {
        match self.status.is_final() {
            false if self.elsewhere => "elsewhere",
            false if self.interrupted() => "interrupted",
            _ => self.status.as_str(),
        }
    }
}

/// Which runs to list; the newest come first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunFilter {
    pub runbook: Option<String>,
    pub site: Option<String>,
    /// Only those that are not over.
    pub open: bool,
    /// At most so many.
    pub limit: Option<u32>,
}
