//! `talos.lost_quorum`: whether etcd has lost its quorum for good, and what is left of it.

use async_trait::async_trait;
use serde_json::json;

use super::{Planes, cluster_param, lost_param, text};
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::param::{Param, ValueType};

/// The action.
pub struct LostQuorum {
    spec: ActionSpec,
}

impl Default for LostQuorum {
    fn default() -> Self {
        let title = "See that the etcd of a Talos cluster has lost its quorum for good";
        let spec = ActionSpec::new("talos.lost_quorum", Effect::Read, title)
            .param(cluster_param())
            .param(lost_param())
            .param(
                Param::new("node", ValueType::String)
                    .default_value("")
                    .help("The control plane to begin again on [default: the first that answers]"),
            )
            .output("node", ValueType::String, "The control plane to begin again on")
            .output("present", ValueType::List, "Names of the control planes that answer")
            .output("absent", ValueType::List, "Names of those that do not, all of them named in `lost`")
            .output("absent_addresses", ValueType::List, "Their addresses, as far as the profile has them")
            .output("lines", ValueType::List, "What is known of each, in words")
            .needs_privilege("none of Proxmox: the role os:reader of a talosconfig");
        Self { spec }
    }
}

#[async_trait]
impl Action for LostQuorum {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let (cluster, wanted) = (text(call, "cluster"), text(call, "node"));
        let attempted = format!("see that the etcd of {cluster} has lost its quorum");
        let planes = Planes::of(world, cluster, &call.arg::<Vec<String>>("lost")?).await?;
        planes.are_lost(&attempted)?;
        let refused = |cause: String| Failure::new(Class::Precondition, attempted.clone(), cause);
        let mut present = planes.present().map(|(machine, ..)| machine.name.as_str());
        let node = match wanted {
            "" => present.next().ok_or_else(|| refused("no control plane answers".into()))?,
            wanted => present
                .find(|name| *name == wanted)
                .ok_or_else(|| refused(format!("{wanted} is no control plane of {cluster} that answers")))?,
        };
        let absent: Vec<_> = planes.0.iter().filter(|(_, _, plane)| plane.is_absent()).collect();
        let outputs = json!({
            "node": node,
            "present": planes.present().map(|(machine, ..)| &machine.name).collect::<Vec<_>>(),
            "absent": absent.iter().map(|(machine, ..)| &machine.name).collect::<Vec<_>>(),
            "absent_addresses": absent.iter().filter_map(|(machine, ..)| machine.address.as_ref()).collect::<Vec<_>>(),
            "lines": planes.lines(),
        });
        let summary = format!("{cluster}: etcd has lost its quorum; {}", planes.lines().join("; "));
        Ok(Reading { outputs, summary, guards: Vec::new(), notes: Vec::new() })
    }
}
