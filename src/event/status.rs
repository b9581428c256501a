//! What has become of a step and of a run, in the words that people and JSON see.

use serde::{Deserialize, Serialize};

use crate::model::failure::Failure;
use crate::model::ids::StepPath;

/// What has become of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Pending,
    /// For a person.
    Waiting,
    Running,
    /// Between two attempts.
    Retrying,
    Ok,
    Unchanged,
    Skipped(String),
    /// A step that it needs failed, or the run stopped first.
    NotRun(Option<StepPath>),
    Failed(Box<Failure>),
    InDoubt(String),
    Cancelled,
}

impl Outcome {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Ok => "ok",
            Self::Unchanged => "unchanged",
            Self::Skipped(_) => "skipped",
            Self::NotRun(_) => "not_run",
            Self::Failed(_) => "failed",
            Self::InDoubt(_) => "in_doubt",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more happens to the step by itself. A step in doubt is open until it is resolved.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Pending | Self::Waiting | Self::Running | Self::Retrying | Self::InDoubt(_))
    }

    /// Whether it satisfies what needs it.
    pub fn satisfies(&self) -> bool {
        matches!(self, Self::Ok | Self::Unchanged | Self::Skipped(_))
    }
}

/// What has become of a step's undo; it does not erase the step's own outcome.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UndoStatus {
    #[default]
    None,
    /// A person's to do.
    Listed(String),
    RolledBack,
    RollbackFailed,
}

impl UndoStatus {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Listed(_) => "listed",
            Self::RolledBack => "rolled_back",
            Self::RollbackFailed => "rollback_failed",
        }
    }
}

/// What has become of a run. `interrupted` is no status: it is a running one whose owner is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    Running,
    /// For a person.
    Waiting,
    Paused,
    RollingBack,
    Succeeded,
    Failed,
    /// A person declined, or the lock was not to be had: nothing failed.
    Stopped,
    Cancelled,
    RolledBack,
    RollbackIncomplete,
}

impl RunStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::RollingBack => "rolling_back",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Cancelled => "cancelled",
            Self::RolledBack => "rolled_back",
            Self::RollbackIncomplete => "rollback_incomplete",
        }
    }

    pub fn is_final(self) -> bool {
        !matches!(self, Self::Running | Self::Waiting | Self::Paused | Self::RollingBack)
    }
}
