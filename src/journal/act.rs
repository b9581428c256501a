//! Acts outside runs, each chained to the one before it: who broke a lock, froze a site, pruned, exported, imported.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::entry::Hash;

/// What kinds of acts there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActKind {
    LockBroken,
    Frozen,
    Unfrozen,
    Pruned,
    /// Exported without being handed over.
    Exported,
    HandedOver,
    Imported,
    /// A run that was handed over, or is a copy, is gone on with here all the same.
    TakenBack,
    /// What may be run by a timer, from now on and no longer.
    Scheduled,
    Unscheduled,
}

impl ActKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LockBroken => "lock_broken",
            Self::Frozen => "frozen",
            Self::Unfrozen => "unfrozen",
            Self::Pruned => "pruned",
            Self::Exported => "exported",
            Self::HandedOver => "handed_over",
            Self::Imported => "imported",
            Self::TakenBack => "taken_back",
            Self::Scheduled => "scheduled",
            Self::Unscheduled => "unscheduled",
        }
    }
}

/// An act as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Act {
    pub seq: u64,
    /// Milliseconds since 1970.
    pub at: u64,
    pub actor: String,
    /// As [`ActKind::as_str`] spells it; one of a newer version is any word.
    pub kind: String,
    /// What it was done to: a run's id, a lock's name, a site.
    pub subject: String,
    pub detail: Value,
}

/// An act that is about to be done, and is written in the transaction that does it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Deed {
    pub at: u64,
    pub actor: String,
    pub kind: ActKind,
    pub subject: String,
    pub detail: Value,
}

/// An act as a row. The hash is over these very bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ActRow {
    pub seq: u64,
    pub at: u64,
    pub actor: String,
    pub kind: String,
    pub subject: String,
    pub detail: String,
    pub hash: Hash,
}

impl ActRow {
    /// The hash that this row must have after one with the hash `before`.
    pub fn hash_after(&self, before: &Hash) -> Hash {
        let mut sha = Sha256::new();
        sha.update(before);
        sha.update(self.seq.to_be_bytes());
        sha.update(self.at.to_be_bytes());
        for text in [&self.actor, &self.kind, &self.subject, &self.detail] {
            sha.update((text.len() as u64).to_be_bytes());
            sha.update(text);
        }
        sha.finalize().into()
    }

    pub fn act(self) -> Act {
        let detail = serde_json::from_str(&self.detail).unwrap_or(Value::Null);
        Act { seq: self.seq, at: self.at, actor: self.actor, kind: self.kind, subject: self.subject, detail }
    }
}

/// What the first act is chained to.
pub(super) fn root() -> Hash {
    Sha256::digest(b"runbook audit\0").into()
}
