//! Acts on a Kubernetes cluster: what its nodes, pods and storages are like, and a node emptied of pods.

mod blocks;
mod cordon;
mod delete;
mod drain;
mod look;
mod source;
mod storage;
#[cfg(test)]
mod tests;
mod versions;

use std::collections::BTreeMap;

pub use cordon::Cordon;
pub use delete::DeleteNode;
pub use drain::Drain;
pub use look::{Nodes, Pods, Servers};
pub use source::KubernetesSource;
pub use storage::StorageHealth;
pub use versions::Versions;
pub(in crate::actions) use versions::{Running, look_at_versions, running};

use super::class;
use crate::clients::kubernetes::{Budget, Kubernetes, KubernetesError, Node, Pod};
use crate::engine::ports::{Call, Mutate, Unreadable, World};
use crate::model::effect::Done;
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;

/// The way to each cluster with a profile, by its name.
#[derive(Clone, Default)]
pub struct Clusters(pub BTreeMap<String, Kubernetes>);

impl Clusters {
    pub(in crate::actions) fn of(&self, name: &str, attempted: &str) -> Result<&Kubernetes, Failure> {
        self.0.get(name).ok_or_else(|| {
            let cause = format!("there is no profile of a Talos cluster {name:?}");
            Failure::new(Class::Precondition, attempted, cause)
                .remedy("say --cluster NAME, of a profile clusters/NAME.yaml of type talos")
        })
    }
}

/// What was asked of a cluster, and what came of it.
fn failed(attempted: impl Into<String>, error: &KubernetesError) -> Failure {
    let failure = Failure::new(class(error.class()), attempted, error.to_string());
    match error {
        KubernetesError::NoConfig => failure.remedy(
            "`talosctl kubeconfig` writes one; it belongs into talos.config_dir of clusters/NAME.yaml as `kubeconfig`",
        ),
        KubernetesError::Program(_) => failure.remedy(
            "install kubectl (Debian: kubernetes-client), or name it: talos.tools.kubectl of the configuration",
        ),
        _ if failure.class == Class::Refused => {
            failure.remedy("see what the cluster's kubeconfig is allowed: `kubectl auth can-i --list`")
        }
        _ if error.is_conflict() => {
            failure.remedy("somebody changes it at the same time: see who (`kubectl get events -A`), and run it again")
        }
        _ => failure.remedy("see that the API answers (`kubectl get --raw /readyz`), and run it again"),
    }
}

/// Of a reading in a run, where nothing is known later.
fn settled(error: Unreadable) -> Failure {
    match error {
        Unreadable::Failed(failure) => failure,
        Unreadable::Unknown(why) | Unreadable::Later(why) => {
            Failure::new(Class::Internal, "read a Kubernetes cluster in a run", why)
        }
    }
}

fn nodes_key(cluster: &str) -> ResourceKey {
    ResourceKey::new(format!("kubernetes/{cluster}/nodes"))
}

fn pods_key(cluster: &str, node: &str) -> ResourceKey {
    ResourceKey::new(format!("kubernetes/{cluster}/pods/{node}"))
}

async fn read<T: for<'de> serde::Deserialize<'de>>(
    world: &dyn World,
    key: &ResourceKey,
    what: &str,
) -> Result<T, Unreadable> {
    let value = world.read(key).await?.known(what)?;
    let read = T::deserialize(&*value);
    Ok(read.map_err(|e| Failure::new(Class::Internal, format!("read {key}"), e.to_string()))?)
}

/// The node that a step is about.
async fn node(call: &Call, world: &dyn World) -> Result<Node, Unreadable> {
    let (cluster, name): (String, String) = (call.arg("cluster")?, call.arg("node")?);
    let mut nodes: BTreeMap<String, Node> = read(world, &nodes_key(&cluster), "the nodes of the cluster").await?;
    let known = nodes.keys().cloned().collect::<Vec<_>>().join(", ");
    Ok(nodes.remove(&name).ok_or_else(|| {
        Failure::new(Class::Precondition, format!("look at {name}"), format!("{cluster} has no node {name}"))
            .remedy(format!("one of {known}"))
    })?)
}

/// What is on a node.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
struct On {
    pods: Vec<Pod>,
    budgets: Vec<Budget>,
}

/// The client of the cluster that a step is about.
fn client(call: &Call, mutate: &Mutate, attempted: &str) -> Result<Kubernetes, Failure> {
    let clusters = mutate.client::<Clusters>()?;
    let cluster: String = call.arg("cluster")?;
    clusters.of(&cluster, attempted).cloned()
}

/// A failure of an act of which so much was done before.
fn broken(attempted: impl Into<String>, error: &KubernetesError, done: Done) -> Failure {
    let failure = failed(attempted, error).done(done);
    if error.may_be_done() && done == Done::None { failure.lost() } else { failure }
}
