//! Where runs are kept: an append-only, hash-chained history for each run, and the locks that runs hold.
//!
//! It stores what it is given and decides nothing. `sqlite.rs` is the one file that names the database, `place.rs`
//! the one that touches files.

mod act;
mod custody;
mod entry;
mod error;
mod freeze;
mod header;
#[cfg(test)]
mod keeping_tests;
mod locks;
pub mod memory;
mod migrations;
mod outbox;
mod parcel;
mod place;
mod proof;
mod requests;
mod retention;
mod schedules;
mod sqlite;
mod store;
#[cfg(test)]
mod store_tests;
mod writer;

pub use act::{Act, ActKind};
pub use custody::HeldLock;
pub use error::{Fault, LockGone, StoreError};
pub use freeze::Freeze;
pub use header::{NewRun, RunFilter, RunHeader};
pub use locks::StoreLocks;
pub use outbox::{Mail, MailState, Outbox, Watched};
pub use parcel::Parcel;
pub use place::SystemClock;
pub use requests::{Inbox, Pending};
pub use retention::{OldRun, Retention};
pub use schedules::Schedule;
pub use store::{Chain, EventStream, Options, Store};
pub use writer::RunWriter;
