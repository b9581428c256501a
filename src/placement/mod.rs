//! The evacuation planner: facts in, moves and reasons out.
//!
//! Two layers. [`pack()`] is the abstract packer (targets with capacities, guests with sizes), [`check()`] the
//! verifier that every answer must pass. [`evacuation`] turns facts about a Proxmox cluster into such a problem
//! and its answer back into moves, stops, blockers and warnings. Nothing here reads the world, the clock or a
//! random source: the same facts always give the same plan. It imports only `crate::model`.

pub mod certificate;
pub mod check;
pub mod evacuation;
pub mod lost;
pub mod pack;
pub mod problem;
pub mod quorum;
pub mod upgrade;

#[cfg(test)]
mod bench_tests;
#[cfg(test)]
mod pack_tests;

pub use certificate::Proof;
pub use check::{Broken, check};
pub use pack::{Effort, Outcome, Partial, Placement, pack};
pub use problem::{Apart, Guest, NodeSet, Problem, Room, Target};
