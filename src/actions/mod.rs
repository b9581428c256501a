//! The catalogue of actions: what a runbook can use. Each looks through the World alone and changes something only
//! through the clients that `apply` and `attach` are given.

mod catalogue;
mod deps;
pub mod files;
pub mod local;
pub mod proxmox;
mod sources;
pub mod tools;

pub use catalogue::{catalogue, specs};
pub use deps::{Deps, PlacementDefaults, Timing};
pub use sources::Sources;
