//! Typed reads, one noun a file. Each takes what is needed and leaves the rest; wrong shapes are errors with a place.

mod access;
mod agent;
mod cluster;
mod guest;
mod ha;
mod migrate;
mod network;
mod node;
mod nodes;
mod resources;
mod snapshots;
mod storage;
mod tasks;
#[cfg(test)]
mod testing;
mod version;

pub use access::Permissions;
pub use agent::{AgentAnswer, GuestAddress, GuestInterface};
pub use cluster::{ClusterInfo, ClusterNode, ClusterStatus};
pub use guest::{GuestConfig, GuestStatus, HaOfGuest, Pending};
pub use ha::{HaGroup, HaManagerStatus, HaNode, HaResource, HaRule, HaRuleKind, HaService, HaStatusRow};
pub use migrate::{BlockingResource, LocalDisk, MigratePrecondition, NotAllowed};
pub use network::NetworkRow;
pub use node::{Amount, NodeStatus};
pub use nodes::NodeRow;
pub use resources::{GuestRow, Resources, StorageRow};
pub use snapshots::{Machine, Snapshot};
pub use storage::{ContentRow, NodeStorage, StorageConfig};
pub use tasks::{LogLine, TaskRow, TaskStatus};
pub use version::Version;
