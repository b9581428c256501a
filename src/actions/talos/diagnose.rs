//! `talos.diagnose`: everything that one looks at first when a cluster is ill, in one report, the most suspicious thing first.
//! It reads, and a machine that does not answer costs its time-out once.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::look::Look;
use super::source::Machine;
use super::status::row;
use super::survey::{Answer, Survey, ask};
use super::suspects::{Facts, suspects};
use crate::actions::proxmox::object::{GuestEntry, Node};
use crate::actions::proxmox::resource::Resource;
use crate::clients::kubernetes;
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::param::{Param, ValueType};

/// The action.
pub struct TalosDiagnose {
    spec: ActionSpec,
}

impl Default for TalosDiagnose {
    fn default() -> Self {
        let spec = ActionSpec::new(
            "talos.diagnose",
            Effect::Read,
            "Find what is wrong with a Talos cluster, most suspicious first",
        )
        .param(Param::new("cluster", ValueType::String).required().help("Its profile's name"))
        .output(
            "suspects",
            ValueType::List,
            "Most suspicious first: maps of node (null: of the cluster), what, evidence (lines, without secrets), next (commands)",
        )
        .output("nodes", ValueType::List, "As those of talos.status")
        .output("healthy", ValueType::Bool, "Whether there is no suspect")
        .needs_privilege("none of Proxmox: the role os:reader of a talosconfig")
        .needs_privilege("none of Proxmox: get and list of nodes, by the cluster's kubeconfig")
        .needs_privilege("VM.Audit on /vms");
        Self { spec }
    }
}

/// What another system says of all its objects; why not is a finding, and no failure of the reading.
pub(super) async fn all<T: DeserializeOwned>(world: &dyn World, key: ResourceKey) -> Result<Vec<T>, String> {
    let value = world.read(&key).await.map_err(|failure| failure.cause)?;
    let value = value.known("it").map_err(|why| why.to_string())?;
    let each = value.as_object().into_iter().flatten().map(|(_, one)| T::deserialize(one).map_err(|e| e.to_string()));
    each.collect()
}

#[async_trait]
impl Action for TalosDiagnose {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let cluster: String = call.arg("cluster")?;
        let key = ResourceKey::new(format!("talos/{cluster}/nodes"));
        let machines = world.read(&key).await?.known("the nodes of the cluster")?;
        let machines: Vec<Machine> = serde_json::from_value((*machines).clone())
            .map_err(|e| Failure::new(Class::Internal, format!("read {key}"), e.to_string()))?;
        let looks = machines.iter().map(|one| ask::<Look>(world, format!("talos/{cluster}/look/{}", one.name)));
        let kubernetes = ResourceKey::new(format!("kubernetes/{cluster}/nodes"));
        let (survey, looks, kubernetes, guests, hosts) = tokio::join!(
            Survey::of(world, &cluster),
            try_join_all(looks),
            all::<kubernetes::Node>(world, kubernetes),
            all::<GuestEntry>(world, Resource::Guests.key()),
            all::<Node>(world, Resource::Nodes.key()),
        );
        let (survey, looks) = (survey?, looks?);
        let looks: BTreeMap<String, Look> = machines
            .iter()
            .zip(looks)
            .filter_map(|(machine, answer)| match answer {
                Answer::Said(look) => Some((machine.name.clone(), look)),
                Answer::Not(_) => None,
            })
            .collect();
        let facts = Facts { cluster: &cluster, survey: &survey, looks: &looks, kubernetes, guests, hosts };
        let suspects = suspects(&facts);
        let summary = match suspects.first() {
            None => format!("{cluster}: nothing is wrong, as far as {} nodes tell", machines.len()),
            Some(first) => format!("{cluster}: {} to look at, first {}", suspects.len(), first.title()),
        };
        let nodes: Vec<_> = survey.nodes.iter().map(|(one, answer)| row(one, answer, survey.role(&one.name))).collect();
        let notes = suspects.iter().take(1).map(|first| format!("first to look at: {}", first.title())).collect();
        let outputs = json!({"nodes": nodes, "healthy": suspects.is_empty(), "suspects": suspects});
        Ok(Reading { outputs, summary, guards: Vec::new(), notes })
    }
}
