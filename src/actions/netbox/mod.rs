//! Acts on a NetBox: what it must have, what it has of the guests, and each guest's objects made so.

mod compare;
mod converge;
mod guest;
mod read;
mod setup;
mod source;
#[cfg(test)]
mod tests;

pub use compare::NetboxCompare;
pub use guest::NetboxGuest;
pub use setup::NetboxSetup;
pub use source::NetboxSource;

use std::time::Duration;

use crate::actions::class;
use crate::clients::netbox::NetboxError;
use crate::engine::ports::{Call, Unreadable};
use crate::model::effect::Done;
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;

/// `netbox` of the configuration, and the site that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetboxDeps {
    /// The first word of every key.
    pub site: String,
    /// What the site's cluster is called there.
    pub cluster: String,
}

/// How often an act is begun again where a request got no answer.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(2);

const PRIVILEGES: &str =
    "none of the site's; in NetBox: view, add, change and delete for what it touches (docs/how-to/keep-a-netbox.md)";

fn configured(deps: Option<&NetboxDeps>) -> Result<&NetboxDeps, Failure> {
    deps.ok_or_else(|| unconfigured("use a NetBox"))
}

/// There is none to talk to.
fn unconfigured(attempted: impl Into<String>) -> Failure {
    Failure::new(Class::Precondition, attempted, "the site's configuration has no `netbox`")
        .remedy("netbox: {url: https://netbox.example, token: env:NETBOX_TOKEN}")
}

/// The cluster that a step names, or the configuration's.
fn cluster(call: &Call, deps: &NetboxDeps) -> Result<String, Failure> {
    let given = call.arg::<Option<String>>("cluster")?.filter(|name| !name.is_empty());
    Ok(given.unwrap_or_else(|| deps.cluster.clone()))
}

/// What was asked of a NetBox, and what came of it. `done`: how much was changed before this.
fn failed(attempted: impl Into<String>, error: &NetboxError, done: Done) -> Failure {
    let failure = Failure::new(class(error.class()), attempted, error.to_string());
    let failure = match error.lacks_field() {
        true => failure.remedy("run the step netbox.setup before: `runbook do netbox.setup --apply`"),
        false => failure,
    };
    match done {
        // Whoever was asked may still carry it out.
        Done::None if error.may_be_done() => failure.lost(),
        done => failure.done(done),
    }
}

/// In a run nothing is unknown.
fn settled(error: Unreadable) -> Failure {
    match error {
        Unreadable::Failed(failure) => failure,
        Unreadable::Unknown(why) | Unreadable::Later(why) => {
            Failure::new(Class::Internal, "read a NetBox in a run", why)
        }
    }
}

fn guest_key(key: &str) -> ResourceKey {
    ResourceKey::new(format!("netbox/guest/{key}"))
}
