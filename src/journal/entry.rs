//! An event as a row, and the chain of hashes that ties each row to the one before it.

use sha2::{Digest, Sha256};

use crate::event::{Body, Event, Note};
use crate::model::ids::RunId;

pub(super) type Hash = [u8; 32];

/// A row of the table of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub seq: u64,
    pub at: u64,
    pub actor: String,
    pub path: Option<String>,
    pub attempt: u32,
    pub kind: String,
    /// The body as JSON. The hash is over these very bytes, so nothing depends on how a later version would spell them.
    pub payload: String,
    pub hash: Hash,
}

impl Entry {
    /// # Errors
    /// A body that JSON cannot hold.
    pub fn of(event: &Event, before: &Hash) -> Result<Self, serde_json::Error> {
        let (attempt, kind) = match &event.body {
            Body::Fact(fact) => (fact.attempt(), fact.kind()),
            Body::Note(Note::Progress { .. }) => (0, "progress"),
            Body::Note(Note::Log { .. }) => (0, "log"),
            Body::Note(Note::Message { .. }) => (0, "message"),
        };
        let mut entry = Self {
            seq: event.seq,
            at: event.at,
            actor: event.actor.clone(),
            path: event.path().map(|p| p.as_str().to_owned()),
            attempt,
            kind: kind.to_owned(),
            payload: serde_json::to_string(&event.body)?,
            hash: [0; 32],
        };
        entry.hash = entry.hash_after(before);
        Ok(entry)
    }

    /// # Errors
    /// A body that this version does not know.
    pub fn event(&self) -> Result<Event, serde_json::Error> {
        let body = serde_json::from_str(&self.payload)?;
        Ok(Event { seq: self.seq, at: self.at, actor: self.actor.clone(), body })
    }

    /// What a reader of an older version can still say of it.
    pub fn as_message(&self) -> Event {
        let of = self.path.as_deref().map(|p| format!(" of step {p}")).unwrap_or_default();
        let line = format!("{}{of}: written by a newer runbook", self.kind);
        Event { seq: self.seq, at: self.at, actor: self.actor.clone(), body: Body::Note(Note::Message { line }) }
    }

    /// The hash that this entry must have after one with the hash `before`.
    pub fn hash_after(&self, before: &Hash) -> Hash {
        let mut sha = Sha256::new();
        sha.update(before);
        sha.update(self.seq.to_be_bytes());
        sha.update(self.at.to_be_bytes());
        sha.update(self.attempt.to_be_bytes());
        sha.update([u8::from(self.path.is_some())]);
        let path = self.path.as_deref().unwrap_or_default();
        for text in [self.actor.as_str(), path, &self.kind, &self.payload] {
            // With its length first, so that no two different rows spell the same bytes.
            sha.update((text.len() as u64).to_be_bytes());
            sha.update(text);
        }
        sha.finalize().into()
    }
}

/// A hash as people and files have it: hexadecimal.
pub(super) fn hex(hash: &Hash) -> String {
    hash.iter().map(|b| format!("{b:02x}")).collect()
}

/// What `hex` wrote; `None`: something else.
pub(super) fn unhex(text: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, at) in hash.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(hash)
}

/// What the first entry of a run is chained to: the run itself, so that a history cannot be put under another run.
pub(super) fn root(run: &RunId) -> Hash {
    Sha256::new().chain_update(b"runbook journal\0").chain_update(run.as_str()).finalize().into()
}
