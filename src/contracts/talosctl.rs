//! The command line of `talosctl`, by version: is this one that it takes, and if not, in what words does it refuse?
//!
//! Used by the lab's stand-in, as talosctl's own check, and by the tests of our client. It knows nothing of a cluster.
//!
//! Source: the reference of each tag (`cli.md`, made by cobra) and `cmd/talosctl`, as data; the texts of refusals are
//! cobra's and pflag's, compared with their sources and not with the real binary.

mod data;
mod parse;
#[cfg(test)]
mod tests;

pub use data::{Command, Contract, Flag, MINORS};
pub use parse::{OPEN, Refusal, Typed};
