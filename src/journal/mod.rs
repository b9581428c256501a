//! Where runs are kept: an append-only, hash-chained history for each run, and the locks that runs hold.
//!
//! It stores what it is given and decides nothing. `sqlite.rs` is the one file that names the database, `place.rs`
//! the one that touches files.

mod entry;
mod error;
mod header;
mod locks;
pub mod memory;
mod migrations;
mod outbox;
mod place;
mod sqlite;
mod store;
#[cfg(test)]
mod store_tests;
mod writer;

pub use error::{Fault, StoreError};
pub use header::{NewRun, RunFilter, RunHeader};
pub use locks::StoreLocks;
pub use outbox::{Mail, MailState, Outbox, Watched};
pub use place::SystemClock;
pub use store::{Chain, EventStream, Options, Store};
pub use writer::RunWriter;
