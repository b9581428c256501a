//! The driver that needs nothing but this process and a journal.
//!
//! `dispatcher` owns the state and is the journal's only writer; a `unit` is one attempt of one step, a task of its
//! own that talks to the dispatcher alone. Decisions are the machine's; neither file has any.

mod dispatcher;
mod unit;

pub use dispatcher::{DriverError, Ports, RunEnd, Told, resume, start};

#[cfg(test)]
mod tests;
