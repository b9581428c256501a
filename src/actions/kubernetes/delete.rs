//! `kubernetes.delete_node`: a node whose machine is gone, or that this program has cordoned and that is not ready, is taken off
//! the list. A node that is ready never is: its kubelet would only come back.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::look::cluster;
use super::{broken, client, nodes_key, read, settled};
use crate::clients::kubernetes::Node;
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::Intent;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::param::{Param, ValueType};
use crate::model::plan::Change;
use crate::model::world::Delta;

/// The act.
pub struct DeleteNode {
    spec: ActionSpec,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Before {
    cluster: String,
    node: String,
    /// Nothing: there is no such node.
    uid: Option<String>,
}

impl Default for DeleteNode {
    fn default() -> Self {
        let title = "Take a node that is gone off a Kubernetes cluster's list";
        let spec = ActionSpec::new("kubernetes.delete_node", Effect::Disrupt, title)
            .param(cluster())
            .param(Param::new("node", ValueType::String).required().help("What Kubernetes calls it"))
            .param(Param::new("gone", ValueType::Bool).default_value(false).help(
                "Whether its machine is known to be gone: then it need not be one that this program has cordoned",
            ))
            .output("node", ValueType::String, "Its name")
            .needs_privilege("none of Proxmox: get and delete of nodes, by the cluster's kubeconfig");
        Self { spec }
    }
}

fn attempted(call: &Call) -> String {
    let word = |name: &str| call.get(name).as_str().unwrap_or_default();
    format!("take node {} off the list of {}", word("node"), word("cluster"))
}

async fn node(call: &Call, world: &dyn World) -> Result<Option<Node>, Unreadable> {
    let (cluster, name): (String, String) = (call.arg("cluster")?, call.arg("node")?);
    let mut nodes: std::collections::BTreeMap<String, Node> =
        read(world, &nodes_key(&cluster), "the nodes of the cluster").await?;
    Ok(nodes.remove(&name))
}

fn meant(intent: &Intent) -> Result<Before, Failure> {
    let before = Before::deserialize(&intent.before);
    before.map_err(|e| Failure::new(Class::Internal, "read what a probe found", e.to_string()))
}

/// Whether the node that was meant is on the list.
async fn is_there(call: &Call, uid: Option<&str>, world: &dyn World) -> Result<bool, Failure> {
    Ok(node(call, world).await.map_err(settled)?.is_some_and(|now| Some(now.uid.as_str()) == uid))
}

#[async_trait]
impl Action for DeleteNode {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let (cluster, name): (String, String) = (call.arg("cluster")?, call.arg("node")?);
        let Some(node) = node(call, world).await? else {
            let before = Before { cluster, node: name.clone(), uid: None };
            let mut probe = Probe::new(format!("{name}: is not on the list"), json!(before));
            probe.satisfied = true;
            return Ok(probe);
        };
        if node.ready == "True" {
            if world.is_planned() && world.is_disturbed() {
                return Err(Unreadable::Later(format!("{name}: is taken off the list once it is not ready")));
            }
            let failure = Failure::new(Class::Precondition, attempted(call), "it is ready: its kubelet is there");
            return Err(failure.remedy("stop its machine first, and wait until Kubernetes has noticed").into());
        }
        if node.cordoned_by.is_none() && call.get("gone") != &json!(true) {
            let cause = "it is not ready, and this program has not cordoned it: it may come back";
            let failure = Failure::new(Class::Precondition, attempted(call), cause);
            return Err(failure.remedy("say gone: true if its machine is known to be gone").into());
        }
        let before = Before { cluster, node: name.clone(), uid: Some(node.uid) };
        let mut probe = Probe::new(format!("{name}: is taken off the list, with its pods"), json!(before));
        probe.change = Some(Change::Destroy);
        Ok(probe)
    }

    fn predict(&self, call: &Call, probe: &Probe) -> Prediction {
        let outputs = [("node".to_owned(), call.get("node").clone())].into();
        let Ok(before) = Before::deserialize(&probe.before) else { return Prediction::default() };
        if probe.satisfied {
            return Prediction { outputs, ..Prediction::default() };
        }
        let deltas = vec![Delta { resource: nodes_key(&before.cluster), patch: json!({before.node.as_str(): null}) }];
        Prediction { deltas, outputs, ..Prediction::default() }
    }

    async fn apply(&self, call: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let before = meant(intent)?;
        let kube = client(call, mutate, &attempted(call))?;
        mutate.checkpoint(json!({"asked": true})).await?;
        match kube.delete_node(&before.node, before.uid.as_deref().unwrap_or_default()).await {
            Ok(()) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(broken(attempted(call), &error, Done::None)),
        }
        Ok(json!({"node": before.node}))
    }

    async fn verify(&self, call: &Call, before: &Value, _: &Value, world: &dyn World) -> Result<(), Failure> {
        match is_there(call, before["uid"].as_str(), world).await? {
            false => Ok(()),
            true => Err(Failure::new(Class::Verify, attempted(call), "it is still on the list")),
        }
    }

    async fn recover(
        &self,
        call: &Call,
        intent: &Intent,
        _: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        let before = meant(intent)?;
        Ok(match is_there(call, before.uid.as_deref(), world).await? {
            false => Recovery::Done(json!({"node": before.node})),
            true => Recovery::Unseen { done: Done::None, evidence: format!("{} is on the list", before.node) },
        })
    }

    fn commands(&self, call: &Call, _: &Probe) -> Vec<String> {
        let name = call.get("node").as_str().unwrap_or_default();
        vec![crate::model::shell::line(["kubectl", "delete", "node", name])]
    }
}
