//! Acts on the nodes of a Talos cluster, and the source of what they say.

mod backup;
mod config;
mod plan;
mod replace;
mod source;
mod status;
mod survey;
mod upgrade;

pub use backup::{BackupSource, EtcdBackups, EtcdCopy, EtcdDiscard, EtcdEncrypt, EtcdPrune, EtcdSnapshot, EtcdVerify};
pub use config::{TalosApplyConfig, TalosPlanConfig};
pub use plan::TalosPlanUpgrade;
pub use replace::{TalosJoinNode, TalosPlanReplace, TalosRemoveMember};
pub use source::{Machine, TalosSource};
pub use status::TalosStatus;
pub use upgrade::TalosUpgradeNode;
