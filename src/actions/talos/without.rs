//! `talos.goes_on_without`: a gate for acts that know nothing of etcd, such as switching a guest off: immediately before them,
//! whether the cluster goes on without that node.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::json;

use super::survey::Members;
use super::text;
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::param::{Param, ValueType};
use crate::placement::quorum;

/// The action.
pub struct TalosGoesOnWithout {
    spec: ActionSpec,
}

impl Default for TalosGoesOnWithout {
    fn default() -> Self {
        let title = "See that a Talos cluster goes on without one of its nodes";
        let spec = ActionSpec::new("talos.goes_on_without", Effect::Read, title)
            .param(Param::new("cluster", ValueType::String).required().help("Its profile's name"))
            .param(Param::new("node", ValueType::String).required().help("The machine's name in the profile"))
            .output("servers", ValueType::List, "Addresses of the other control planes whose API servers answer")
            .needs_privilege("none of Proxmox: the role os:reader of a talosconfig")
            .needs_privilege(super::gate::PRIVILEGE);
        Self { spec }
    }
}

#[async_trait]
impl Action for TalosGoesOnWithout {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let (cluster, name) = (text(call, "cluster"), text(call, "node"));
        let refused = |cause: String| {
            Failure::new(Class::Precondition, format!("see that {cluster} goes on without {name}"), cause).remedy(
                format!("mend that first: `runbook run talos-status --cluster {cluster}` says what is not well"),
            )
        };
        let members = Members::of(world, cluster).await?;
        quorum::goes_on_without(&members.told, name).map_err(refused)?;
        let key = ResourceKey::new(format!("kubernetes/{cluster}/servers"));
        let all = world.read(&key).await?.known("the API servers")?;
        let all: BTreeMap<String, Option<String>> = serde_json::from_value((*all).clone())
            .map_err(|e| Failure::new(Class::Internal, format!("read {key}"), e.to_string()))?;
        let others = members.planes.iter().filter(|one| one.name != name).filter_map(|one| one.address.as_ref());
        let answer = |address: &&String| matches!(all.get(*address), Some(None));
        let servers: Vec<&String> = others.filter(answer).collect();
        if servers.is_empty() {
            return Err(refused("no other control plane's API server answers at its own address".into()).into());
        }
        let summary = format!("{cluster} goes on without {name}: {} other API servers answer", servers.len());
        Ok(Reading { outputs: json!({"servers": servers}), summary, guards: Vec::new(), notes: Vec::new() })
    }
}
