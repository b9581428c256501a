//! Acts on the nodes of a Talos cluster, and the source of what they say.

mod backup;
mod source;
mod status;

pub use backup::{BackupSource, EtcdBackups, EtcdCopy, EtcdDiscard, EtcdEncrypt, EtcdPrune, EtcdSnapshot, EtcdVerify};
pub use source::{Machine, TalosSource};
pub use status::TalosStatus;
