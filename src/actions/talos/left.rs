//! Nodes that an earlier upgrade has left behind: cordoned, since it stopped at them. Such a node may run the wanted version
//! and still not be as wanted, so its version alone does not count.

use std::collections::BTreeMap;

use crate::clients::kubernetes::Node;
use crate::engine::ports::{Unreadable, World};
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::talos::Version;

/// What Kubernetes says of the nodes, by its own names for them.
pub(super) struct Left(BTreeMap<String, Node>);

impl Left {
    /// # Errors
    /// As any reading: which nodes were left behind is not known without Kubernetes.
    pub async fn of(world: &dyn World, cluster: &str) -> Result<Self, Unreadable> {
        let key = ResourceKey::new(format!("kubernetes/{cluster}/nodes"));
        let value = world.read(&key).await?.known("the nodes of the cluster")?;
        let nodes = serde_json::from_value((*value).clone());
        let failed = |e: serde_json::Error| Failure::new(Class::Internal, format!("read {key}"), e.to_string());
        Ok(Self(nodes.map_err(failed)?))
    }

    /// Whether pods may come to a node; of one that Kubernetes does not know that is not known, so it may.
    pub fn takes_pods(&self, kubernetes_name: &str) -> bool {
        self.0.get(kubernetes_name).is_none_or(|node| node.schedulable)
    }

    /// Which run stopped at this node on its way to a version.
    pub fn by(&self, kubernetes_name: &str, machine: &str, version: &Version) -> Option<&str> {
        let mark = self.0.get(kubernetes_name)?.cordoned_by.as_deref()?;
        let (run, path) = mark.split_once('/')?;
        (path.contains(&format!("[{version}]")) && path.contains(&format!("[{machine}]"))).then_some(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_was_left_behind_by_a_run_that_stopped_at_it_on_the_way_to_that_version() {
        let node = |by: Option<&str>| -> Node {
            serde_json::from_value(serde_json::json!({"name": "w1", "uid": "u", "ready": "True", "reason": null,
                "version": "1.34.1", "os": "", "schedulable": false, "cordoned_by": by, "roles": [], "address": null}))
            .unwrap()
        };
        let version: Version = "1.12.11".parse().unwrap();
        for (mark, by) in [
            (Some("run-7/hop[1.12.11]/worker[w1]/drain"), Some("run-7")),
            (Some("run-7/hop[1.13.9]/worker[w1]/drain"), None),
            (Some("run-7/hop[1.12.11]/worker[w2]/drain"), None),
            (Some("run-7/drain"), None),
            (None, None),
        ] {
            let left = Left([("w1".to_owned(), node(mark))].into());
            assert_eq!(left.by("w1", "w1", &version), by, "{mark:?}");
        }
    }
}
