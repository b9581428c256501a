//! The World's source of what Talos nodes say of themselves.
//!
//! | key | value |
//! |---|---|
//! | `talos/CLUSTER/nodes` | `[{name, vmid, address, control_plane}]` of its profile; address null where the profile has none |
//! | `talos/CLUSTER/node/NAME` | [`Node`]: what runs there; `why` instead where it does not answer |
//! | `talos/CLUSTER/images/NAME` | `{images}`: installers that it has fetched; `why` instead where it does not answer |
//! | `talos/CLUSTER/look/NAME` | [`Look`](super::look::Look): its services, logs, clock and disks; `why` instead where it does not answer |
//! | … | machine configurations: config/resource.rs |
//! | `talos/CLUSTER/etcd/NAME` | [`Etcd`] as that control plane sees it; `why` instead where it does not answer |
//! | `talos/CLUSTER/maintenance/NAME` | [`Stage`] of a machine without a configuration; `why` instead where it does not answer so |
//! | `talos/CLUSTER/plane/NAME` | [`Seen`]: what the etcd of that control plane does |

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::config;
use super::disaster::{self, Seen};
use super::look::look;
use super::survey::{self, Answer};
use super::text;
use crate::clients::talos::{Alarm, Extension, Member, MemberStatus, Stage, Talos, TalosError};
use crate::engine::ports::{Call, Observed, Source, World};
use crate::model::failure::{Class, Failure};
use crate::model::ids::{ResourceKey, Vmid};
use crate::model::talos::Version;
use crate::placement::quorum::Told;

/// The name that talosctl gives the schematic among extensions.
const SCHEMATIC: &str = "schematic";

/// A machine of a cluster, as its profile has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    pub name: String,
    pub vmid: Option<Vmid>,
    /// Without its prefix.
    pub address: Option<String>,
    /// The same with it.
    #[serde(default)]
    pub ip: Option<String>,
    /// Where it is to be.
    #[serde(default)]
    pub host: Option<String>,
    pub control_plane: bool,
}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub version: Version,
    pub platform: Option<String>,
    pub stage: Stage,
    /// Nothing: an image without one.
    pub schematic: Option<String>,
    pub extensions: Vec<Extension>,
    pub boot_id: String,
    /// What Kubernetes calls it.
    pub kubernetes_name: Option<String>,
}

/// etcd as one control plane sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Etcd {
    pub members: Vec<Member>,
    pub status: MemberStatus,
    pub alarms: Vec<Alarm>,
}

/// The clusters with a profile, each with its machines and the way to them.
#[derive(Clone, Default)]
pub struct TalosSource {
    clusters: BTreeMap<String, (Talos, Vec<Machine>)>,
    /// Where their files are, absolute.
    folders: BTreeMap<String, PathBuf>,
}

impl TalosSource {
    pub fn with(mut self, cluster: &str, talos: Talos, machines: Vec<Machine>) -> Self {
        self.clusters.insert(cluster.to_owned(), (talos, machines));
        self
    }

    /// Where the machine configurations of a cluster are.
    pub fn configs_in(mut self, cluster: &str, folder: Option<PathBuf>) -> Self {
        self.folders.extend(folder.map(|folder| (cluster.to_owned(), folder)));
        self
    }

    pub(super) fn cluster(&self, name: &str) -> Result<&(Talos, Vec<Machine>), Failure> {
        self.clusters.get(name).ok_or_else(|| {
            let cause = format!("there is no profile of a Talos cluster {name:?}");
            Failure::new(Class::Precondition, format!("look at cluster {name}"), cause)
                .remedy("say --cluster NAME, of a profile clusters/NAME.yaml of type talos")
        })
    }

    /// The machines of a cluster.
    ///
    /// # Errors
    /// There is no such cluster.
    pub(super) fn machines(&self, cluster: &str) -> Result<&[Machine], Failure> {
        Ok(&self.cluster(cluster)?.1)
    }

    /// What the etcd of a control plane tells now.
    ///
    /// # Errors
    /// There is no such machine.
    pub(super) async fn told(&self, cluster: &str, name: &str) -> Result<Told, Failure> {
        let (talos, address) = self.machine(cluster, name)?;
        let answer = match address {
            Ok(address) => etcd(talos, address).await.map_or_else(|e| Answer::Not(e.to_string()), Answer::Said),
            Err(why) => Answer::Not(why),
        };
        Ok(survey::told(name, &answer))
    }

    /// The way to a machine; or why there is none.
    pub(super) fn machine(&self, cluster: &str, name: &str) -> Result<(&Talos, Result<&str, String>), Failure> {
        let (talos, machines) = self.cluster(cluster)?;
        let machine = machines.iter().find(|machine| machine.name == name).ok_or_else(|| {
            let cause = format!("the profile of {cluster} has no machine {name:?}");
            Failure::new(Class::Precondition, format!("look at {name}"), cause)
        })?;
        let address = machine.address.as_deref().ok_or_else(|| {
            format!("its address is not known: give it in clusters/{cluster}.yaml, nodes: … assignments: - {{name: {name}, ip: …}}")
        });
        Ok((talos, address))
    }
}

/// The way to the machine that a step is about.
pub(super) fn way<'a>(
    call: &Call,
    source: &'a TalosSource,
    attempted: String,
) -> Result<(&'a Talos, &'a str), Failure> {
    let (talos, address) = source.machine(text(call, "cluster"), text(call, "node"))?;
    let address = address.map_err(|why| Failure::new(Class::Precondition, attempted, why))?;
    Ok((talos, address))
}

/// All that it says of itself during one and the same boot: the version from before a reboot beside the boot that came after
/// it would look like a node that has gone back.
pub(super) async fn node(talos: &Talos, address: &str) -> Result<Node, TalosError> {
    let mut boot_id = talos.boot_id(None, address).await?;
    loop {
        let version = talos.version(address).await?;
        let minor = Some(version.version.minor());
        let (stage, extensions, kubernetes_name) = tokio::try_join!(
            talos.stage(minor, address),
            talos.extensions(minor, address),
            talos.kubernetes_name(minor, address),
        )?;
        let after = talos.boot_id(minor, address).await?;
        if after != boot_id {
            boot_id = after;
            continue;
        }
        let (schematic, extensions): (Vec<_>, Vec<_>) = extensions.into_iter().partition(|one| one.name == SCHEMATIC);
        return Ok(Node {
            version: version.version,
            platform: version.platform,
            stage,
            schematic: schematic.into_iter().next().map(|one| one.version),
            extensions,
            boot_id,
            kubernetes_name,
        });
    }
}

async fn etcd(talos: &Talos, address: &str) -> Result<Etcd, TalosError> {
    let minor = Some(talos.version(address).await?.version.minor());
    let (members, status, alarms) = tokio::try_join!(
        talos.etcd_members(minor, address),
        talos.etcd_status(minor, address),
        talos.etcd_alarms(minor, address),
    )?;
    Ok(Etcd { members, status, alarms })
}

async fn images(talos: &Talos, address: &str) -> Result<Value, TalosError> {
    let minor = talos.version(address).await?.version.minor();
    Ok(json!({"images": talos.images(minor, address).await?}))
}

/// One that does not answer is a finding, not a failure of the reading; a program that cannot be run is.
fn told<T: Serialize>(what: &str, said: Result<T, TalosError>) -> Result<Value, Failure> {
    match said {
        Ok(value) => serde_json::to_value(value)
            .map_err(|e| Failure::new(Class::Internal, format!("look at {what}"), e.to_string())),
        Err(error @ TalosError::Program(_)) => {
            Err(Failure::new(Class::Precondition, format!("look at {what}"), error.to_string())
                .remedy("install talosctl, or name it: talos.tools.talosctl of the configuration"))
        }
        Err(error) => Ok(json!({"why": error.to_string()})),
    }
}

#[async_trait]
impl Source for TalosSource {
    async fn fetch(&self, resource: &ResourceKey) -> Result<Value, Failure> {
        let words: Vec<&str> = resource.as_str().split('/').collect();
        match words[..] {
            ["talos", cluster, "nodes"] => Ok(json!(self.cluster(cluster)?.1)),
            ["talos", cluster, kind @ ("node" | "etcd" | "images" | "look" | "plane" | "maintenance"), name] => {
                let (talos, address) = self.machine(cluster, name)?;
                let address = match address {
                    Ok(address) => address,
                    Err(why) if kind == "plane" => return Ok(json!(Seen::silent(why))),
                    Err(why) => return Ok(json!({"why": why})),
                };
                match kind {
                    "node" => told(name, node(talos, address).await),
                    "images" => told(name, images(talos, address).await),
                    "look" => told(name, look(talos, address).await),
                    "maintenance" => told(name, talos.stage_in_maintenance(address).await),
                    "plane" => told(name, disaster::seen(talos, address).await),
                    _ => told(name, etcd(talos, address).await),
                }
            }
            ["talos", cluster, ..] => {
                let key = resource.as_str().strip_prefix(&format!("talos/{cluster}/")).unwrap_or_default();
                let own = || self.cluster(cluster).map(|_| self.folders.get(cluster).cloned());
                let way = |name: &str| {
                    let (talos, address) = self.machine(cluster, name)?;
                    Ok((talos, address))
                };
                let found = config::fetch(key, own, way).await?;
                found.ok_or_else(|| Failure::new(Class::Internal, format!("read {resource}"), "it is no resource"))
            }
            _ => Err(Failure::new(Class::Internal, format!("read {resource}"), "it is no resource")),
        }
    }
}

/// A run's own look between two requests, at the machines as they are now.
#[async_trait]
impl World for TalosSource {
    async fn read(&self, resource: &ResourceKey) -> Result<Observed, Failure> {
        self.fetch(resource).await.map(|value| Observed::Known(Arc::new(value)))
    }
}
