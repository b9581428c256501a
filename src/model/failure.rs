//! Why a step, a probe or a check failed, as a person must be told it.

use serde::{Deserialize, Serialize};

use super::effect::Done;

/// The kinds of failure that policy tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// The world is not as the step needs it.
    Precondition,
    /// The other end refused: authentication, permission, policy.
    Refused,
    /// Something that may go away by itself.
    Transient,
    Timeout,
    Unreachable,
    /// Somebody else holds the object.
    Locked,
    /// It was done, but what success means was not observed.
    Verify,
    /// The other end tried and failed.
    Failed,
    /// Our own fault.
    Internal,
}

impl Class {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Precondition => "precondition",
            Self::Refused => "refused",
            Self::Transient => "transient",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Locked => "locked",
            Self::Verify => "verify",
            Self::Failed => "failed",
            Self::Internal => "internal",
        }
    }
}

/// A failure with what a person needs at two in the morning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{attempted}: {cause}")]
pub struct Failure {
    pub class: Class,
    /// What was attempted and on what: `migrate VM 104 (web-1) from pve2 to pve3`.
    pub attempted: String,
    /// What came back, literally where another program said it.
    pub cause: String,
    /// The last lines of a task's log or a command's output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// How much was changed nevertheless.
    pub done: Done,
    /// The answer to a changing request was lost: whoever was asked may still carry it out, however long nothing shows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lost: bool,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Failure {
    /// A failure before anything was changed.
    pub fn new(class: Class, attempted: impl Into<String>, cause: impl Into<String>) -> Self {
        Self {
            class,
            attempted: attempted.into(),
            cause: cause.into(),
            details: Vec::new(),
            done: Done::None,
            lost: false,
            remedy: None,
        }
    }

    pub fn done(mut self, done: Done) -> Self {
        self.done = done;
        self
    }

    /// How much was done is open, and stays so while nothing of it is seen.
    pub fn lost(mut self) -> Self {
        (self.done, self.lost) = (Done::Unknown, true);
        self
    }

    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// What else is known. A line that is the cause word by word says nothing more.
    pub fn details(mut self, mut lines: Vec<String>) -> Self {
        lines.retain(|line| *line != self.cause);
        self.details = lines;
        self
    }
}
