//! Emptying a Proxmox node: facts about the cluster in; moves, stops, blockers and warnings out.
//!
//! Each guest has one owner: the HA manager (state `started`) or us. A guest without a place stops the plan
//! before anything moves. This module judges; it reads nothing, moves nothing and waits for nothing.

mod answer;
mod assess;
pub mod facts;
mod fit;
mod ha;
mod order;
pub mod outcome;
mod plan;
mod reach;
mod recheck;
pub mod settings;
mod site;
mod storage;
mod text;
mod warnings;

#[cfg(test)]
mod tests;

pub use facts::Facts;
pub use outcome::{Blocker, Evacuation, HaMove, Limit, Mode, Move, NodeUsage, Owner, Refusal, Staying, Stop};
pub use plan::plan;
pub use recheck::{still_fits, verify_target};
pub use settings::{HaRoom, QuorumGroup, Settings, Speed};
pub use text::gib;
