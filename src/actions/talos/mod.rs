//! Acts on the nodes of a Talos cluster, and the source of what they say.

mod backup;
mod config;
mod diagnose;
mod disaster;
mod etcd;
mod gate;
mod guest;
mod left;
mod look;
mod plan;
mod pull;
mod replace;
mod rollback;
mod settle;
mod source;
mod status;
mod survey;
mod suspects;
mod upgrade;
mod upgrade_kubernetes;
mod wait;
mod without;

pub use backup::{
    BackupSource, EtcdBackups, EtcdCopy, EtcdDiscard, EtcdDrill, EtcdEncrypt, EtcdPrune, EtcdSnapshot, EtcdVerify,
};
pub use config::{TalosApplyConfig, TalosPlanConfig};
pub use diagnose::TalosDiagnose;
pub use disaster::{LostQuorum, RecoverEtcd, ResetNode, WipeEtcd};
pub use etcd::{EtcdDefragment, EtcdDisarm, EtcdMembers};
pub use plan::TalosPlanUpgrade;
pub use pull::TalosPullImage;
pub use replace::{TalosJoinNode, TalosPlanReplace, TalosRemoveMember};
pub use rollback::TalosRollbackNode;
pub use source::{Machine, TalosSource};
pub use status::TalosStatus;
pub use upgrade::TalosUpgradeNode;
pub use upgrade_kubernetes::TalosUpgradeKubernetes;
pub use without::TalosGoesOnWithout;

use crate::clients::talos::TalosError;
use crate::engine::ports::{Call, Unreadable};
use crate::model::effect::Done;
use crate::model::failure::{Class, Failure};

fn text<'a>(call: &'a Call, name: &str) -> &'a str {
    call.get(name).as_str().unwrap_or_default()
}

/// What talosctl said to an act of which so much was done.
fn broken(attempted: String, error: &TalosError, done: Done) -> Failure {
    let class = match error {
        TalosError::Program(_) => Class::Precondition,
        error if error.is_denied() => Class::Refused,
        error if error.is_unreachable() => Class::Unreachable,
        _ => Class::Failed,
    };
    let remedy = match class {
        Class::Precondition => "install talosctl, or name it: talos.tools.talosctl of the configuration",
        Class::Refused => "use a talosconfig with the role os:admin",
        _ => "mend what it says, and run it again: `runbook run talos-status` shows the whole cluster",
    };
    Failure::new(class, attempted, error.to_string()).done(done).remedy(remedy)
}

/// Of a reading in a run, where nothing is known later.
fn settled(error: Unreadable) -> Failure {
    match error {
        Unreadable::Failed(failure) => failure,
        Unreadable::Unknown(why) | Unreadable::Later(why) => {
            Failure::new(Class::Internal, "read a Talos cluster in a run", why)
        }
    }
}
