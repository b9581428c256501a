//! What is left when etcd has lost its quorum: seeing that it has, wiping what is left of it, and beginning again with a
//! snapshot. And taking one node out of service.

mod look;
mod recover;
mod reset;
mod wipe;

pub use look::LostQuorum;
pub use recover::RecoverEtcd;
pub use reset::ResetNode;
pub use wipe::WipeEtcd;

use serde::{Deserialize, Serialize};

use super::source::Machine;
use crate::actions::talos::text;
use crate::clients::talos::{Talos, TalosError};
use crate::engine::ports::{Unreadable, World};
use crate::model::effect::Done;
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::param::{Param, ValueType};
use crate::model::talos::Version;
use crate::placement::lost::{self, Plane, Standing};

/// So often an object is looked at before it is said that nothing came of a request.
const LOOKS: u32 = 6;

/// A control plane and its etcd, as far as it tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    pub standing: Standing,
    pub version: Option<Version>,
    pub boot_id: Option<String>,
}

impl Seen {
    pub fn silent(why: String) -> Self {
        Self { standing: Standing::Silent { why }, version: None, boot_id: None }
    }
}

/// Asks a machine what its etcd does. Of a service that is not up it is never assumed that it will not come up.
///
/// # Errors
/// talosctl cannot be run.
pub(super) async fn seen(talos: &Talos, address: &str) -> Result<Seen, TalosError> {
    let silent = |error: TalosError| match error {
        error @ TalosError::Program(_) => Err(error),
        error => Ok(Seen::silent(error.to_string())),
    };
    let version = match talos.version(address).await {
        Ok(version) => version.version,
        Err(error) => return silent(error),
    };
    let minor = Some(version.minor());
    let boot_id = match talos.boot_id(minor, address).await {
        Ok(boot_id) => boot_id,
        Err(error) => return silent(error),
    };
    let standing = match standing(talos, minor, address).await {
        Ok(standing) => standing,
        Err(error @ TalosError::Program(_)) => return Err(error),
        Err(error) => Standing::Unsure { why: error.to_string() },
    };
    Ok(Seen { standing, version: Some(version), boot_id: Some(boot_id) })
}

async fn standing(
    talos: &Talos,
    minor: Option<crate::model::talos::Minor>,
    address: &str,
) -> Result<Standing, TalosError> {
    let services = talos.services(minor, address).await?;
    let Some(etcd) = services.into_iter().find(|service| service.name == "etcd") else {
        return Ok(Standing::Unsure { why: "it lists no service etcd".into() });
    };
    let said = format!("etcd is {}: {}", etcd.state, etcd.event);
    Ok(match etcd.state.as_str() {
        "Running" => {
            let status = talos.etcd_status(minor, address).await?;
            Standing::Member { leader: !status.leader.trim_start_matches('0').is_empty() }
        }
        // A member with data is in this state for a moment, too, while it begins.
        "Preparing" if talos.has_etcd_data(minor, address).await? => Standing::Unsure { why: said },
        "Preparing" => Standing::Empty,
        "Failed" | "Finished" | "Skipped" => Standing::Ended { why: said },
        _ => Standing::Unsure { why: said },
    })
}

fn plane_key(cluster: &str, name: &str) -> ResourceKey {
    ResourceKey::new(format!("talos/{cluster}/plane/{name}"))
}

async fn plane(world: &dyn World, cluster: &str, name: &str) -> Result<Seen, Unreadable> {
    let key = plane_key(cluster, name);
    let value = world.read(&key).await?.known("what a control plane says")?;
    let read = Seen::deserialize(&*value);
    Ok(read.map_err(|e| Failure::new(Class::Internal, format!("read {key}"), e.to_string()))?)
}

/// The control planes of the profile, side by side.
struct Planes(Vec<(Machine, Seen, Plane)>);

impl Planes {
    /// `named`: whose etcd a person says will not come back as it was.
    async fn of(world: &dyn World, cluster: &str, named: &[String]) -> Result<Self, Unreadable> {
        let key = ResourceKey::new(format!("talos/{cluster}/nodes"));
        let machines = world.read(&key).await?.known("the nodes of the cluster")?;
        let machines: Vec<Machine> = serde_json::from_value((*machines).clone())
            .map_err(|e| Failure::new(Class::Internal, format!("read {key}"), e.to_string()))?;
        let planes: Vec<Machine> = machines.into_iter().filter(|machine| machine.control_plane).collect();
        if let Some(unknown) = named.iter().find(|name| !planes.iter().any(|machine| machine.name == **name)) {
            let names: Vec<&str> = planes.iter().map(|machine| machine.name.as_str()).collect();
            let cause = format!("{unknown} is no control plane of {cluster}; there are {}", names.join(", "));
            return Err(Failure::new(Class::Precondition, format!("look at the etcd of {cluster}"), cause).into());
        }
        let all = planes.iter().map(|machine| plane(world, cluster, &machine.name));
        let all = futures_util::future::try_join_all(all).await?;
        let row = |(machine, seen): (Machine, Seen)| {
            let named = named.contains(&machine.name);
            let plane = Plane { name: machine.name.clone(), standing: seen.standing.clone(), named };
            (machine, seen, plane)
        };
        Ok(Self(planes.into_iter().zip(all).map(row).collect()))
    }

    /// # Errors
    /// There is a quorum, or there may be one.
    fn are_lost(&self, attempted: &str) -> Result<(), Failure> {
        let planes: Vec<Plane> = self.0.iter().map(|(_, _, plane)| plane.clone()).collect();
        lost::is_lost(&planes).map_err(|not| {
            Failure::new(Class::Precondition, attempted, not.cause).details(not.details).remedy(not.remedy)
        })
    }

    fn of_name(&self, name: &str) -> Option<&(Machine, Seen, Plane)> {
        self.0.iter().find(|(machine, ..)| machine.name == name)
    }

    /// Those that answer.
    fn present(&self) -> impl Iterator<Item = &(Machine, Seen, Plane)> {
        self.0.iter().filter(|(_, _, plane)| !plane.is_absent())
    }

    fn lines(&self) -> Vec<String> {
        self.0.iter().map(|(_, _, plane)| lost::line(plane)).collect()
    }
}

fn cluster_param() -> Param {
    Param::new("cluster", ValueType::String).required().help("Its profile's name")
}

fn lost_param() -> Param {
    Param::new("lost", ValueType::List)
        .items(ValueType::String)
        .default_value(serde_json::json!([]))
        .help("Control planes whose machine or data are gone for good, though nobody can see that from here")
}

/// Of a request to a node.
fn broken(attempted: &str, error: &TalosError, done: Done) -> Failure {
    let class = match error {
        TalosError::Program(_) => Class::Precondition,
        error if error.is_denied() => Class::Refused,
        error if error.is_unreachable() => Class::Unreachable,
        _ => Class::Failed,
    };
    let failure = Failure::new(class, attempted, error.to_string()).done(done);
    // Whoever was asked and did not answer may still do it.
    if error.is_unreachable() && done == Done::Unknown { failure.lost() } else { failure }
}

/// Of a reading in a run, where nothing is known later.
fn settled(attempted: &str, why: Unreadable) -> Failure {
    match why {
        Unreadable::Failed(failure) => failure,
        Unreadable::Unknown(why) | Unreadable::Later(why) => Failure::new(Class::Internal, attempted, why),
    }
}
