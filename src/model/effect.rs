//! How much a step does to the world, and how much of it an attempt has done.

use serde::{Deserialize, Serialize};

/// What a step may do at most, from the catalogue; an author may only raise it. Ordered from harmless to final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Changes nothing.
    Read,
    /// Changes something without downtime or loss.
    Change,
    /// Means downtime: a reboot, a stop.
    Disrupt,
    /// Loses data.
    Destroy,
}

impl Effect {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Change => "change",
            Self::Disrupt => "disrupt",
            Self::Destroy => "destroy",
        }
    }
}

/// How much of its effect an attempt has had on the world when it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Done {
    /// Certainly nothing was changed.
    None,
    /// Something was changed, but not all of it.
    Partial,
    /// All of it.
    Whole,
    /// It cannot be told: recover before anything else.
    Unknown,
}
