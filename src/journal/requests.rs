//! What another process says to a run: kept until the run's owner has it in the run's history.

use super::error::StoreError;
use super::sqlite::Db;
use super::store::Store;
use crate::event::{Request, Signal};
use crate::model::ids::RunId;

/// A request that the run's owner has not taken yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Of this request alone, in every journal: a fact that has it counts once.
    pub key: String,
    /// Milliseconds since 1970: when it was said.
    pub at: u64,
    pub actor: String,
    pub request: Request,
}

/// A request as a row; `body` is JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestRow {
    pub key: String,
    pub at: u64,
    pub actor: String,
    pub body: String,
}

impl RequestRow {
    /// `None`: a newer version said it, in words that this one does not know.
    fn pending(self) -> Option<Pending> {
        let request = serde_json::from_str(&self.body).ok()?;
        Some(Pending { key: self.key, at: self.at, actor: self.actor, request })
    }
}

impl Store {
    /// Says something to a run, whoever has it; the key under which it is filed.
    ///
    /// # Errors
    /// No such run; it is over, and the request is not to roll it back; or another journal has it.
    pub fn request(&self, run: &RunId, actor: &str, request: &Request) -> Result<String, StoreError> {
        let header = self.find(run.as_str())?;
        let reopens = matches!(request, Request::Signal(Signal::RollBack));
        if header.status.is_final() && !reopens {
            return Err(StoreError::Over { status: header.state(), run: header.id });
        }
        let mut db = self.connect()?;
        if let Some(elsewhere) = db.elsewhere(&header.id)? {
            return Err(self.is_elsewhere(&header.id, &elsewhere));
        }
        let unwritable = |why: String| StoreError::Unreadable { run: header.id.clone(), seq: header.events, why };
        let body = serde_json::to_string(request).map_err(|e| unwritable(e.to_string()))?;
        let row = RequestRow { key: new_key(), at: self.now(), actor: actor.to_owned(), body };
        if db.add_request(&header.id, &row)? { Ok(row.key) } else { Err(unwritable("a key was given twice".into())) }
    }

    /// What was said to the run and not taken yet, in order.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn pending_requests(&self, run: &RunId) -> Result<Vec<Pending>, StoreError> {
        let rows = self.reader().pending_requests(run)?;
        Ok(rows.into_iter().filter_map(RequestRow::pending).collect())
    }

    /// Where the owner of a run finds what is said to it.
    ///
    /// # Errors
    /// The journal cannot be opened.
    pub fn inbox(&self, run: &RunId) -> Result<Inbox, StoreError> {
        Ok(Inbox { db: self.connect()?, run: run.clone(), seen: None })
    }
}

/// What is said to one run, on a connection of its own, so that looking hinders no append.
pub struct Inbox {
    db: Db,
    run: RunId,
    /// The state of the journal that was looked at last.
    seen: Option<i64>,
}

impl Inbox {
    /// What is pending now; empty, at the price of one number, where nobody has written since the last look. Each is
    /// told again by the next look after a write until it is [`taken`](Self::taken).
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn look(&mut self) -> Result<Vec<Pending>, StoreError> {
        let now = self.db.data_version()?;
        if self.seen == Some(now) {
            return Ok(Vec::new());
        }
        let rows = self.db.pending_requests(&self.run)?;
        self.seen = Some(now);
        Ok(rows.into_iter().filter_map(RequestRow::pending).collect())
    }

    /// These are in the run's history now (or say nothing to it), and are not told again. A process that dies between
    /// the two is told them again after its resume: a fact's key makes it count once.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn taken(&mut self, taken: &[Pending], at: u64) -> Result<(), StoreError> {
        if taken.is_empty() { Ok(()) } else { self.db.requests_taken(taken, at) }
    }
}

/// Sixteen random digits. Numbers would be given again on another machine, to which a run was handed over.
fn new_key() -> String {
    format!("{:016x}", rand::random::<u64>())
}
