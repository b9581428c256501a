//! `kubernetes.versions`: what each node runs of Kubernetes, its kubelet and its static pods: before an upgrade, after it,
//! and where one has stopped half way.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::json;

use super::look::{PRIVILEGES, cluster};
use super::{failed, nodes_key, read};
use crate::clients::kubernetes::{Component, Kubernetes, Node};
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::param::ValueType;
use crate::model::talos::Version;

const KUBELET: &str = "kubelet";
const PLANE: &str = "control-plane";
/// What every control plane has.
const STATIC: [&str; 3] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// One part of Kubernetes on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::actions) struct Part {
    pub node: String,
    /// `kubelet`, `kube-apiserver`
    pub name: String,
    pub version: Version,
    pub ready: bool,
}

/// All parts of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::actions) struct Running(pub Vec<Part>);

impl Running {
    pub fn lowest(&self) -> Option<&Version> {
        self.0.iter().map(|part| &part.version).min()
    }

    pub fn highest(&self) -> Option<&Version> {
        self.0.iter().map(|part| &part.version).max()
    }

    /// Those that do not run this version or are not ready, in words.
    pub fn other_than(&self, version: &Version) -> Vec<String> {
        let others = self.0.iter().filter(|part| part.version != *version || !part.ready);
        let told = |part: &Part| {
            let ready = if part.ready { "" } else { " and is not ready" };
            format!("{} of {} runs {}{ready}", part.name, part.node, part.version)
        };
        others.map(told).collect()
    }

    fn of<'a>(
        nodes: impl IntoIterator<Item = &'a Node>,
        components: &BTreeMap<String, Component>,
    ) -> Result<Self, String> {
        let version = |of: &str, text: Option<&str>| -> Result<Version, String> {
            let text = text.ok_or_else(|| format!("the image of {of} does not say a version"))?;
            text.parse().map_err(|e| format!("{of}: {e}"))
        };
        let mut parts = Vec::new();
        for node in nodes {
            parts.push(Part {
                node: node.name.clone(),
                name: KUBELET.to_owned(),
                version: version(&format!("the kubelet of {}", node.name), Some(&node.version))?,
                ready: node.ready == "True",
            });
            for name in STATIC.iter().filter(|_| node.roles.iter().any(|role| role == PLANE)) {
                let own = components.get(&format!("{}/{name}", node.name));
                let own = own.ok_or_else(|| format!("nothing is known of {name} of {}", node.name))?;
                let version = version(&format!("{name} of {}", node.name), own.version.as_deref())?;
                parts.push(Part { node: node.name.clone(), name: own.name.clone(), version, ready: own.ready });
            }
        }
        if !parts.iter().any(|part| part.name != KUBELET) {
            return Err("the cluster has no control plane".into());
        }
        Ok(Self(parts))
    }
}

/// Reads them.
///
/// # Errors
/// As any reading; a part of which nothing is known.
pub(in crate::actions) async fn running(world: &dyn World, cluster: &str) -> Result<Running, Unreadable> {
    let key = ResourceKey::new(format!("kubernetes/{cluster}/components"));
    let nodes: BTreeMap<String, Node> = read(world, &nodes_key(cluster), "the nodes of the cluster").await?;
    let components: BTreeMap<String, Component> = read(world, &key, "the static pods of the cluster").await?;
    let attempted = format!("see which Kubernetes {cluster} runs");
    Ok(Running::of(nodes.values(), &components).map_err(|why| Failure::new(Class::Precondition, attempted, why))?)
}

/// The same at once, for what acts.
///
/// # Errors
/// As [`running`].
pub(in crate::actions) async fn look_at_versions(kube: &Kubernetes, cluster: &str) -> Result<Running, Failure> {
    let attempted = format!("see which Kubernetes {cluster} runs");
    let said = tokio::try_join!(kube.nodes(), kube.components());
    let (nodes, components) = said.map_err(|e| failed(&attempted, &e))?;
    Running::of(&nodes, &by_place(components)).map_err(|why| Failure::new(Class::Precondition, attempted, why))
}

/// `NODE/NAME` of each.
pub(super) fn by_place(components: Vec<Component>) -> BTreeMap<String, Component> {
    components.into_iter().map(|one| (format!("{}/{}", one.node, one.name), one)).collect()
}

/// The reading.
pub struct Versions {
    spec: ActionSpec,
}

impl Default for Versions {
    fn default() -> Self {
        let spec = ActionSpec::new("kubernetes.versions", Effect::Read, "See which Kubernetes each node runs")
            .param(cluster())
            .output("lowest", ValueType::Version, "The oldest of all kubelets and static pods")
            .output("highest", ValueType::Version, "The newest")
            .output("mixed", ValueType::Bool, "Whether they are not all the same")
            .output("parts", ValueType::List, "Maps of node, name (kubelet, kube-apiserver, …), version, ready")
            .needs_privilege(PRIVILEGES);
        Self { spec }
    }
}

#[async_trait]
impl Action for Versions {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let cluster: String = call.arg("cluster")?;
        let running = running(world, &cluster).await?;
        let (lowest, highest) = (running.lowest(), running.highest());
        let mixed = lowest != highest;
        let text = |version: Option<&Version>| version.map(Version::to_string).unwrap_or_default();
        let summary = match mixed {
            false => format!("{cluster}: Kubernetes {} on all nodes", text(highest)),
            true => format!("{cluster}: Kubernetes {} to {}", text(lowest), text(highest)),
        };
        let row =
            |part: &Part| json!({"node": part.node, "name": part.name, "version": part.version, "ready": part.ready});
        let parts: Vec<_> = running.0.iter().map(row).collect();
        let outputs = json!({"lowest": lowest, "highest": highest, "mixed": mixed, "parts": parts});
        Ok(Reading { outputs, summary, guards: Vec::new(), notes: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, version: &str, roles: &[&str]) -> Node {
        Node {
            name: name.to_owned(),
            uid: "u".into(),
            ready: "True".into(),
            reason: None,
            version: version.to_owned(),
            os: String::new(),
            schedulable: true,
            cordoned_by: None,
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            address: None,
        }
    }

    fn component(name: &str, version: Option<&str>) -> Component {
        Component { name: name.to_owned(), node: "cp1".into(), version: version.map(str::to_owned), ready: true }
    }

    #[test]
    fn each_part_counts_and_one_that_is_not_known_is_not_passed_over() {
        let nodes = [node("cp1", "1.34.1", &[PLANE]), node("w1", "1.34.0", &[])];
        let mut components = by_place(STATIC.iter().map(|name| component(name, Some("1.35.2"))).collect());
        let running = Running::of(&nodes, &components).unwrap();
        assert_eq!(running.0.len(), 5);
        assert_eq!(running.lowest().unwrap().to_string(), "1.34.0");
        assert_eq!(running.highest().unwrap().to_string(), "1.35.2");
        assert_eq!(
            running.other_than(&"1.35.2".parse().unwrap()),
            ["kubelet of cp1 runs 1.34.1", "kubelet of w1 runs 1.34.0"]
        );
        let (place, gone) = components.pop_last().unwrap();
        assert_eq!(Running::of(&nodes, &components).unwrap_err(), "nothing is known of kube-scheduler of cp1");
        components.insert(place, Component { version: None, ..gone });
        assert!(Running::of(&nodes, &components).unwrap_err().contains("does not say a version"));
        assert!(Running::of(&nodes[1..], &BTreeMap::new()).unwrap_err().contains("no control plane"));
    }
}
