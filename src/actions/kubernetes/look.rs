//! `kubernetes.nodes` and `kubernetes.pods`: what there is, and what stops a drain.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::blocks::{self, Allowed};
use super::{On, nodes_key, pods_key, read};
use crate::clients::kubernetes::{Node, Pod};
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::ids::ResourceKey;
use crate::model::param::{Param, ValueType};

pub(super) const PRIVILEGES: &str =
    "none of Proxmox: get and list of nodes, pods, budgets and what is looked at, by the cluster's kubeconfig";

pub(super) fn cluster() -> Param {
    Param::new("cluster", ValueType::String).required().help("Its profile's name")
}

/// The nodes of a cluster.
pub struct Nodes {
    spec: ActionSpec,
}

impl Default for Nodes {
    fn default() -> Self {
        let spec = ActionSpec::new("kubernetes.nodes", Effect::Read, "List the nodes of a Kubernetes cluster")
            .param(cluster())
            .output(
                "nodes",
                ValueType::List,
                "Maps of name, uid, ready (True, False or Unknown), reason, version, os, schedulable, cordoned_by, roles, address",
            )
            .output("not_ready", ValueType::List, "Names of those that are not ready, or of which that is not known")
            .output("cordoned", ValueType::List, "Names of those that take no pods")
            .needs_privilege(PRIVILEGES);
        Self { spec }
    }
}

#[async_trait]
impl Action for Nodes {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let cluster: String = call.arg("cluster")?;
        let nodes: BTreeMap<String, Node> = read(world, &nodes_key(&cluster), "the nodes of the cluster").await?;
        let names = |wanted: &dyn Fn(&Node) -> bool| -> Vec<String> {
            nodes.values().filter(|node| wanted(node)).map(|node| node.name.clone()).collect()
        };
        let (not_ready, cordoned) = (names(&|node| node.ready != "True"), names(&|node| !node.schedulable));
        let list = |what: &str, names: &[String]| match names {
            [] => String::new(),
            names => format!(", {what}: {}", names.join(", ")),
        };
        let ready = nodes.len() - not_ready.len();
        let summary = format!(
            "{cluster}: {ready} of {} nodes are ready{}{}",
            nodes.len(),
            list("not ready", &not_ready),
            list("cordoned", &cordoned)
        );
        let outputs =
            json!({"nodes": nodes.values().collect::<Vec<_>>(), "not_ready": not_ready, "cordoned": cordoned});
        Ok(Reading { outputs, summary, guards: Vec::new(), notes: Vec::new() })
    }
}

/// The API server of each control plane, asked at its own address.
pub struct Servers {
    spec: ActionSpec,
}

impl Default for Servers {
    fn default() -> Self {
        let title = "Ask the API server of each control plane at its own address";
        let spec = ActionSpec::new("kubernetes.servers", Effect::Read, title)
            .param(cluster())
            .output("answering", ValueType::List, "Addresses of those that answer")
            .output("silent", ValueType::List, "Addresses of those that do not")
            .output("lines", ValueType::List, "ADDRESS: why, of those")
            .needs_privilege(PRIVILEGES);
        Self { spec }
    }
}

#[async_trait]
impl Action for Servers {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let cluster: String = call.arg("cluster")?;
        let key = ResourceKey::new(format!("kubernetes/{cluster}/servers"));
        let all: BTreeMap<String, Option<String>> = read(world, &key, "the API servers").await?;
        let (answering, silent): (Vec<_>, Vec<_>) = all.iter().partition(|(_, why)| why.is_none());
        let lines: Vec<String> =
            silent.iter().map(|(server, why)| format!("{server}: {}", why.as_deref().unwrap_or_default())).collect();
        let mut summary = format!("{cluster}: {} of {} API servers answer", answering.len(), all.len());
        if let Some(first) = lines.first() {
            summary.push_str(&format!("; {first}"));
        }
        let names = |all: Vec<(&String, _)>| all.into_iter().map(|(server, _)| server.clone()).collect::<Vec<_>>();
        let outputs = json!({"answering": names(answering), "silent": names(silent), "lines": lines});
        Ok(Reading { outputs, summary, guards: Vec::new(), notes: Vec::new() })
    }
}

/// The pods of a node, or of all.
pub struct Pods {
    spec: ActionSpec,
}

impl Default for Pods {
    fn default() -> Self {
        let spec = ActionSpec::new("kubernetes.pods", Effect::Read, "List pods, or those that stop a drain")
            .param(cluster())
            .param(Param::new("node", ValueType::String).help("Only those on this node"))
            .param(
                Param::new("blocking", ValueType::Bool)
                    .default_value(false)
                    .help("Only those that would stop a drain of their node, with why"),
            )
            .param(
                Param::new("bare", ValueType::Bool)
                    .default_value(false)
                    .help("With blocking: pods that nothing makes again may be evicted"),
            )
            .param(
                Param::new("emptydir", ValueType::Bool)
                    .default_value(false)
                    .help("With blocking: pods with an emptyDir may be evicted"),
            )
            .output(
                "pods",
                ValueType::List,
                "Maps of namespace, name, node, phase, ready, owner (kind and name; null where nothing makes it again), why (blocking only)",
            )
            .output("count", ValueType::Int, "How many they are")
            .output("lines", ValueType::List, "With blocking: each in words: shop/web-1 on w3: why")
            .needs_privilege(PRIVILEGES);
        Self { spec }
    }
}

/// Why a drain of its node would stop at it.
fn why(pod: &Pod, on: &On, allowed: Allowed) -> Option<String> {
    match blocks::verdict(pod, allowed) {
        blocks::Verdict::Stays => None,
        blocks::Verdict::Forbidden(why) => Some(why),
        blocks::Verdict::Evict if pod.ending => None,
        blocks::Verdict::Evict => blocks::held(pod, &on.budgets),
    }
}

fn row(pod: &Pod, why: Option<String>) -> Value {
    let mut row = json!({"namespace": pod.namespace, "name": pod.name, "node": pod.node, "phase": pod.phase,
        "ready": pod.ready, "owner": pod.owner});
    if let Some(why) = why {
        row["why"] = json!(why);
    }
    row
}

#[async_trait]
impl Action for Pods {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let cluster: String = call.arg("cluster")?;
        let node = call.arg::<Option<String>>("node")?.filter(|node| !node.is_empty());
        let on: On = read(world, &pods_key(&cluster, node.as_deref().unwrap_or("*")), "the pods").await?;
        let place = node.as_ref().map_or(String::new(), |node| format!(" on {node}"));
        let mut lines: Vec<String> = Vec::new();
        let (rows, summary) = if call.get("blocking") == true {
            let allowed = Allowed::of(call);
            let found: Vec<(&Pod, String)> =
                on.pods.iter().filter_map(|pod| Some((pod, why(pod, &on, allowed)?))).collect();
            let names: Vec<String> = found.iter().map(|(pod, _)| pod.title()).collect();
            let what = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let line = |(pod, why): &(&Pod, String)| {
                format!("{} on {}: {why}", pod.title(), pod.node.as_deref().unwrap_or("no node"))
            };
            lines = found.iter().map(line).collect();
            let rows: Vec<Value> = found.into_iter().map(|(pod, why)| row(pod, Some(why))).collect();
            (rows, format!("{cluster}: pods{place} that stop a drain: {what}"))
        } else {
            let rows: Vec<Value> = on.pods.iter().map(|pod| row(pod, None)).collect();
            let count = rows.len();
            (rows, format!("{cluster}: {count} pods{place}"))
        };
        let outputs = json!({"count": rows.len(), "pods": rows, "lines": lines});
        Ok(Reading { outputs, summary, guards: Vec::new(), notes: Vec::new() })
    }
}
