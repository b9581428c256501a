//! What a run meets outside, and what comes back when it leaves this process.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::engine::inject::Inject;
use crate::engine::machine::BadFact;
use crate::engine::ports::{
    Actions, Approver, Capabilities, Clock, Journal, JournalError, Locks, Observer, Policy, World,
};
use crate::event::{Request, RunStatus};
use crate::model::failure::Failure;

/// Everything outside that a run meets.
pub struct Ports {
    pub actions: Actions,
    pub world: Arc<dyn World>,
    pub clients: Capabilities,
    pub journal: Box<dyn Journal>,
    pub locks: Arc<dyn Locks>,
    pub policy: Arc<dyn Policy>,
    pub clock: Arc<dyn Clock>,
    pub approver: Arc<dyn Approver>,
    pub observer: Box<dyn Observer>,
    pub inject: Inject,
    /// What is said to the run from elsewhere.
    pub requests: mpsc::UnboundedReceiver<Told>,
    /// Who drives: `ops@host`.
    pub actor: String,
    pub host: String,
    pub process: u32,
}

/// What somebody says to a run from another process.
#[derive(Debug, Clone)]
pub struct Told {
    pub who: String,
    /// Makes it count once.
    pub key: String,
    pub request: Request,
}

/// How a process's part in a run ended.
#[derive(Debug)]
pub struct RunEnd {
    pub status: RunStatus,
    /// The lock was not to be had: who holds it.
    pub lock_holder: Option<String>,
    /// Some step's end is not known.
    pub in_doubt: bool,
}

/// The run cannot go on in this process; nothing is lost that was journalled.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Corrupt(#[from] BadFact),
    #[error("{0}")]
    Unusable(Failure),
}
