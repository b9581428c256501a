//! The front over real TLS, and in-process with paused time.

mod accounts;
mod client;
mod golden;
mod in_process;
mod pools;
mod schema;
mod transport;
