//! The Proxmox VE API of one site: calls, typed reads, tasks, and errors told apart by what can be done about them.
//!
//! It never repeats a change by itself: whether that is safe is for the caller to decide, by `outcome_unknown`.

mod certificate;
mod endpoint;
mod error;
mod login;
pub mod loose;
mod params;
mod phrases;
mod pools;
mod reads;
mod reply;
mod settings;
mod shown;
mod site;
mod task;
mod task_log;
mod upload;
mod wire;

pub use crate::contracts::Verb;
pub use certificate::certificate;
pub use error::{At, ProxmoxError};
pub use params::{Params, plain_seg, seg};
pub use pools::{Creation, Pool};
pub use reads::*;
pub use reply::Reply;
pub use settings::{Credential, NodeEndpoint, Poll, SecretSink, SiteSettings};
pub use shown::Shown;
pub use site::{Answer, CallCheck, Site};
pub use task::{TaskEnd, TaskOutcome, TaskProgress, Until};
pub use upload::Upload;
pub use wire::{SharedWire, Wire, WireCall};

#[cfg(test)]
mod tests;
