//! The driver that needs nothing but this process and a journal.
//!
//! The `dispatcher` owns the state; the `ledger` is the journal's only writer; the `crew` are the units at work, each one
//! attempt of one step, a task of its own that talks to the dispatcher alone; `questions` are put to people; `agreed` is
//! the plan, which every step is held to. Decisions are the machine's; nothing here has any.

mod agreed;
mod crew;
mod dispatcher;
mod ledger;
mod ports;
mod questions;
mod unit;

pub use dispatcher::{resume, start};
pub use ports::{DriverError, Ports, RunEnd, Told};

#[cfg(test)]
mod tests;
