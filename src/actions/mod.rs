//! The catalogue of actions: what a runbook can use. Each looks through the World alone and changes something only
//! through the clients that `apply` and `attach` are given.

mod catalogue;
mod deps;
pub mod files;
pub mod inventory;
pub mod kubernetes;
pub mod local;
pub mod net;
pub mod netbox;
pub mod proxmox;
mod sources;
pub mod ssh;
pub mod talos;
pub mod tools;
mod waiting;

pub use catalogue::{catalogue, specs};
pub use deps::{Deps, PlacementDefaults, Timing};
pub use sources::Sources;

use crate::clients::Class as Told;
use crate::model::failure::Class;

/// A client's word for a failure in the engine's.
fn class(told: Told) -> Class {
    match told {
        Told::Transient => Class::Transient,
        Told::Timeout => Class::Timeout,
        Told::Unreachable => Class::Unreachable,
        Told::Locked => Class::Locked,
        Told::Refused => Class::Refused,
        Told::Precondition => Class::Precondition,
        Told::Failed => Class::Failed,
    }
}
