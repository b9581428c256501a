//! Kubernetes clusters, read for the World.
//!
//! | key | value |
//! |---|---|
//! | `kubernetes/CLUSTER/nodes` | [`Node`](crate::clients::kubernetes::Node) by name |
//! | `kubernetes/CLUSTER/servers` | why each control plane's own API server does not answer, by address; null where it does |
//! | `kubernetes/CLUSTER/pods/NODE` | `{pods, budgets}`: what is on the node (`*`: on all), and the budgets of all namespaces |
//! | `kubernetes/CLUSTER/components` | [`Component`](crate::clients::kubernetes::Component) by `NODE/NAME`: the static pods of the control planes |
//! | `kubernetes/CLUSTER/storage` | `{longhorn: [volume], rook: [cluster]}`; null where it is not installed |

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::versions::by_place;
use super::{Clusters, On, failed};
use crate::clients::kubernetes::{Kubernetes, KubernetesError};
use crate::engine::ports::Source;
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;

/// Reads them.
pub struct KubernetesSource(Clusters);

impl KubernetesSource {
    pub fn new(clusters: Clusters) -> Self {
        Self(clusters)
    }
}

async fn fetch(client: &Kubernetes, kind: &str, name: Option<&str>) -> Result<Option<Value>, KubernetesError> {
    Ok(Some(match (kind, name) {
        ("nodes", None) => {
            let nodes = client.nodes().await?;
            Value::Object(nodes.into_iter().map(|node| (node.name.clone(), json!(node))).collect::<Map<_, _>>())
        }
        ("pods", Some(node)) => {
            let pods = client.pods(Some(node).filter(|node| *node != "*")).await?;
            json!(On { pods, budgets: client.budgets().await? })
        }
        ("components", None) => json!(by_place(client.components().await?)),
        ("servers", None) => {
            let all = client.answers().await.into_iter();
            Value::Object(
                all.map(|(server, error)| (server, json!(error.map(|e| e.to_string())))).collect::<Map<_, _>>(),
            )
        }
        ("storage", None) => json!({"longhorn": client.volumes().await?, "rook": client.ceph().await?}),
        _ => return Ok(None),
    }))
}

#[async_trait]
impl Source for KubernetesSource {
    async fn fetch(&self, resource: &ResourceKey) -> Result<Value, Failure> {
        let words: Vec<&str> = resource.as_str().split('/').collect();
        let (cluster, kind, name) = match words[..] {
            ["kubernetes", cluster, kind] => (cluster, kind, None),
            ["kubernetes", cluster, kind, name] => (cluster, kind, Some(name)),
            _ => return Err(Failure::new(Class::Internal, format!("read {resource}"), "it is no resource")),
        };
        let attempted = match name {
            Some(name) => format!("look at the {kind} of {name} in cluster {cluster}"),
            None => format!("look at the {kind} of cluster {cluster}"),
        };
        let found = fetch(self.0.of(cluster, &attempted)?, kind, name).await.map_err(|e| failed(&attempted, &e))?;
        found.ok_or_else(|| Failure::new(Class::Internal, attempted, "expected one of actions/kubernetes/source.rs"))
    }
}
