//! Acts on the nodes of a Talos cluster, and the source of what they say.

mod backup;
mod diagnose;
mod etcd;
mod guest;
mod look;
mod plan;
mod source;
mod status;
mod survey;
mod suspects;
mod upgrade;

pub use backup::{BackupSource, EtcdBackups, EtcdCopy, EtcdDiscard, EtcdEncrypt, EtcdPrune, EtcdSnapshot, EtcdVerify};
pub use diagnose::TalosDiagnose;
pub use etcd::{EtcdDefragment, EtcdDisarm, EtcdMembers};
pub use plan::TalosPlanUpgrade;
pub use source::{Machine, TalosSource};
pub use status::TalosStatus;
pub use upgrade::TalosUpgradeNode;
