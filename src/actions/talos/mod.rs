//! Acts on the nodes of a Talos cluster, and the source of what they say.

mod backup;
mod disaster;
mod plan;
mod source;
mod status;
mod survey;
mod upgrade;

pub use backup::{
    BackupSource, EtcdBackups, EtcdCopy, EtcdDiscard, EtcdDrill, EtcdEncrypt, EtcdPrune, EtcdSnapshot, EtcdVerify,
};
pub use disaster::{LostQuorum, RecoverEtcd, ResetNode, WipeEtcd};
pub use plan::TalosPlanUpgrade;
pub use source::{Machine, TalosSource};
pub use status::TalosStatus;
pub use upgrade::TalosUpgradeNode;
