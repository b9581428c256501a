//! Acts on a host over SSH, and the source of what is read there.

mod copy;
mod file;
mod order;
pub mod resource;
mod run;
mod source;
mod wait;
mod work;

pub use copy::SshCopy;
pub use run::SshRun;
pub use source::SshSource;
pub use wait::SshWait;

use serde_json::Value;

use super::class;
use crate::clients::ssh::SshError;
use crate::engine::ports::{Observed, Unreadable, World};
use crate::model::failure::{Class, Failure};
use crate::model::param::{Param, ValueType};
use resource::Resource;

/// Where it is done.
fn host() -> Param {
    Param::new("host", ValueType::String).required().help("A node's name, or any host that ssh_config knows")
}

/// What a command over SSH failed with.
pub(in crate::actions) fn failure(attempted: impl Into<String>, error: &SshError) -> Failure {
    let failure = Failure::new(class(error.class()), attempted, error.to_string());
    if error.outcome_unknown() { failure.lost() } else { failure }
}

/// A reading for a probe: a host that cannot be reached while a plan is made may be there when its turn comes.
async fn seen(world: &dyn World, resource: &Resource) -> Result<Value, Unreadable> {
    match world.read(&resource.key()).await {
        Ok(observed) => Ok((*observed.known(&resource.to_string())?).clone()),
        Err(failure) if failure.class == Class::Unreachable && world.is_planned() => {
            Err(Unreadable::Unknown(failure.cause))
        }
        Err(failure) => Err(failure.into()),
    }
}

/// The same in a run.
async fn known(world: &dyn World, resource: &Resource) -> Result<Value, Failure> {
    match world.read(&resource.key()).await? {
        Observed::Known(value) => Ok((*value).clone()),
        Observed::Unknown(why) => Err(Failure::new(Class::Internal, "read a host in a run", why)),
    }
}
