//! Machine configurations: what is in force on each node, what a file would change, and a file brought into force.
//!
//! They hold the secrets of the cluster. What leaves this folder are digests, versions, names, and the paths of what
//! differs; values only of settings that hold no secret: docs/decisions/024.

mod apply;
mod diff;
mod facts;
mod plan;
mod resource;

pub use apply::TalosApplyConfig;
pub(super) use facts::{Facts, MachineConfig};
pub use plan::TalosPlanConfig;
pub(super) use resource::read as read_file;
pub(super) use resource::{File, fetch, file_key, folder, running_key, trial_key};
pub(super) use resource::{Running, Trial};
