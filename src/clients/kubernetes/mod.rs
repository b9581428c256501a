//! A Kubernetes cluster by way of `kubectl`: raw paths of its API, a deadline of our own for each call, and a control
//! plane's own address rather than the one that they share, which goes away with whoever holds it.
//!
//! Nothing that changes something is repeated by itself.

mod direct;
mod error;
mod object;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

pub use direct::{SharedStandIn, StandIn};
pub use error::KubernetesError;
pub use object::{Budget, Ceph, Component, MARK, Node, Owner, Pod, Volume};

use crate::sys::process::{self, Ended, Spec};

/// For one call, from beginning to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// After so much kubectl itself gives up, so that it is its words that are told.
const OWN: Duration = Duration::from_secs(15);
/// A control plane's port.
const PORT: u16 = 6443;
/// What the certificate of every API server is for, whatever addresses are in it.
const SERVER_NAME: &str = "kubernetes";

/// How a path is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Get,
    Post,
    Put,
    Delete,
}

impl Verb {
    fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "create",
            Self::Put => "replace",
            Self::Delete => "delete",
        }
    }

    pub fn method(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// One raw request.
#[derive(Debug, Clone, PartialEq)]
pub struct Raw {
    /// A control plane's own address; nothing: what the kubeconfig has.
    pub server: Option<String>,
    pub verb: Verb,
    /// With its query.
    pub path: String,
    pub body: Option<Value>,
}

/// What a call left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
}

/// By which way calls go.
#[derive(Debug, Clone)]
pub enum Via {
    /// The program.
    System(PathBuf),
    /// The lab in this process.
    Direct(SharedStandIn),
}

/// One cluster. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Kubernetes {
    via: Via,
    kubeconfig: Option<PathBuf>,
    /// The control planes' own addresses.
    servers: Vec<String>,
    /// Which of them answered last.
    last: Arc<Mutex<Option<String>>>,
}

impl Kubernetes {
    pub fn new(via: Via, kubeconfig: Option<PathBuf>, servers: Vec<String>) -> Self {
        Self { via, kubeconfig, servers, last: Arc::default() }
    }

    /// The words of a call, the program's name left out.
    fn words(&self, kubeconfig: &str, raw: &Raw) -> Vec<String> {
        let mut words = vec!["--kubeconfig".to_owned(), kubeconfig.to_owned()];
        if let Some(server) = &raw.server {
            let host = if server.contains(':') { format!("[{server}]") } else { server.clone() };
            words.extend(["--server".to_owned(), format!("https://{host}:{PORT}")]);
            words.extend(["--tls-server-name", SERVER_NAME].map(str::to_owned));
        }
        words.extend([format!("--request-timeout={}s", OWN.as_secs()), raw.verb.word().to_owned()]);
        words.extend(["--raw".to_owned(), raw.path.clone()]);
        if raw.body.is_some() {
            words.extend(["-f", "-"].map(str::to_owned));
        }
        words
    }

    /// One call; only what came of it.
    async fn call(&self, raw: &Raw) -> Result<Output, KubernetesError> {
        let attempted = || format!("{} {}", raw.verb.method(), raw.path.split('?').next().unwrap_or_default());
        let late = || KubernetesError::Deadline { attempted: attempted(), after: PATIENCE };
        tracing::debug!(server = raw.server, verb = raw.verb.method(), path = raw.path, "kubectl");
        match &self.via {
            Via::System(program) => {
                let path = self.kubeconfig.as_ref().ok_or(KubernetesError::NoConfig)?;
                let words = self.words(&path.display().to_string(), raw);
                let body = raw.body.as_ref().map(Value::to_string).unwrap_or_default();
                let mut spec = Spec::new(program).args(words).stdin(body).deadline(PATIENCE);
                spec.keep = 64 << 20;
                let ended = process::run(spec).await?;
                match ended.ended {
                    Ended::Exit(exit) => Ok(Output {
                        exit,
                        stdout: ended.stdout_text(),
                        stderr: String::from_utf8_lossy(&ended.stderr).into_owned(),
                    }),
                    Ended::Signal(_) | Ended::Deadline | Ended::Cancelled => Err(late()),
                }
            }
            Via::Direct(lab) => match tokio::time::timeout(PATIENCE, lab.0.kubectl(raw)).await {
                Ok(output) => Ok(output),
                Err(_) => Err(late()),
            },
        }
    }

    /// Asks the control planes one after another until one is there: that which answered last first. What changes
    /// something goes to the next only where it was certainly not sent.
    async fn send(&self, verb: Verb, path: &str, body: Option<Value>) -> Result<Value, KubernetesError> {
        let mut servers: Vec<Option<String>> = self.servers.iter().cloned().map(Some).collect();
        if servers.is_empty() {
            servers.push(None);
        }
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        servers.sort_by_key(|server| last.is_none() || *server != last);
        let mut error = KubernetesError::NoConfig;
        for server in servers {
            let raw = Raw { server: server.clone(), verb, path: path.to_owned(), body: body.clone() };
            match self.once(&raw).await {
                Ok(value) => {
                    *self.last.lock().unwrap_or_else(PoisonError::into_inner) = server;
                    return Ok(value);
                }
                Err(why) if why.is_nobody() || (verb == Verb::Get && why.may_pass()) => error = why,
                Err(why) => return Err(why),
            }
        }
        Err(error)
    }

    async fn once(&self, raw: &Raw) -> Result<Value, KubernetesError> {
        let attempted = format!("{} {}", raw.verb.method(), raw.path.split('?').next().unwrap_or_default());
        let output = self.call(raw).await?;
        if output.exit != 0 {
            return Err(KubernetesError::of(&attempted, &output.stderr));
        }
        serde_json::from_str(&output.stdout)
            .map_err(|e| KubernetesError::Strange { attempted, why: format!("it is no JSON: {e}") })
    }

    /// Whether the API server at this very address answers from etcd, whoever else does.
    ///
    /// # Errors
    /// It does not.
    pub async fn answers_at(&self, address: &str) -> Result<(), KubernetesError> {
        let path = "/api/v1/nodes?limit=1".to_owned();
        self.once(&Raw { server: Some(address.to_owned()), verb: Verb::Get, path, body: None }).await.map(drop)
    }

    async fn items(&self, path: &str) -> Result<Vec<Value>, KubernetesError> {
        let list = self.send(Verb::Get, path, None).await?;
        let strange = || KubernetesError::Strange { attempted: format!("GET {path}"), why: "it is no list".into() };
        list["items"].as_array().cloned().ok_or_else(strange)
    }

    /// # Errors
    /// It does not answer, or refuses.
    pub async fn nodes(&self) -> Result<Vec<Node>, KubernetesError> {
        Ok(self.items("/api/v1/nodes").await?.iter().map(Node::of).collect())
    }

    /// Each control plane's own API server, and why it does not answer where it does not.
    pub async fn answers(&self) -> Vec<(String, Option<KubernetesError>)> {
        let ask = |server: String| async move {
            let raw = Raw { server: Some(server.clone()), verb: Verb::Get, path: "/api/v1/nodes".into(), body: None };
            (server, self.once(&raw).await.err())
        };
        futures_util::future::join_all(self.servers.iter().cloned().map(ask)).await
    }

    /// A node as the API has it, to be changed and put back.
    ///
    /// # Errors
    /// As [`Kubernetes::nodes`]; there is none.
    pub async fn node(&self, name: &str) -> Result<Value, KubernetesError> {
        self.send(Verb::Get, &format!("/api/v1/nodes/{name}"), None).await
    }

    /// Puts a changed node back; refused where somebody has changed it meanwhile.
    ///
    /// # Errors
    /// As [`Kubernetes::nodes`].
    pub async fn put_node(&self, node: Value) -> Result<(), KubernetesError> {
        let path = format!("/api/v1/nodes/{}", node["metadata"]["name"].as_str().unwrap_or_default());
        self.send(Verb::Put, &path, Some(node)).await.map(drop)
    }

    /// Takes a node off the list; this one alone, not one that has its name by then.
    ///
    /// # Errors
    /// As [`Kubernetes::nodes`].
    pub async fn delete_node(&self, name: &str, uid: &str) -> Result<(), KubernetesError> {
        let body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}});
        self.send(Verb::Delete, &format!("/api/v1/nodes/{name}"), Some(body)).await.map(drop)
    }

    /// The pods of a node, or of all.
    ///
    /// # Errors
    /// As [`Kubernetes::nodes`].
    pub async fn pods(&self, node: Option<&str>) -> Result<Vec<Pod>, KubernetesError> {
        let query = node.map_or_else(String::new, |node| format!("?fieldSelector=spec.nodeName%3D{node}"));
        Ok(self.items(&format!("/api/v1/pods{query}")).await?.iter().map(Pod::of).collect())
    }

    /// What the control planes run as static pods.
    ///
    /// # Errors
    /// As [`Kubernetes::nodes`].
    pub async fn components(&self) -> Result<Vec<Component>, KubernetesError> {
        let path = "/api/v1/namespaces/kube-system/pods?labelSelector=tier%3Dcontrol-plane";
        Ok(self.items(path).await?.iter().filter_map(Component::of).collect())
    }

    /// # Errors
    /// As [`Kubernetes::nodes`].
    pub async fn budgets(&self) -> Result<Vec<Budget>, KubernetesError> {
        Ok(self.items("/apis/policy/v1/poddisruptionbudgets").await?.iter().map(Budget::of).collect())
    }

    /// Asks for a pod's end, which its budgets may forbid; of this pod alone, not of one that has its name by then.
    ///
    /// # Errors
    /// As [`Kubernetes::nodes`]; a budget forbids it.
    pub async fn evict(&self, pod: &Pod) -> Result<(), KubernetesError> {
        let body = json!({"apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": pod.name, "namespace": pod.namespace},
            "deleteOptions": {"preconditions": {"uid": pod.uid}}});
        let path = format!("/api/v1/namespaces/{}/pods/{}/eviction", pod.namespace, pod.name);
        self.send(Verb::Post, &path, Some(body)).await.map(drop)
    }

    /// Longhorn's volumes; nothing where there is no Longhorn.
    ///
    /// # Errors
    /// As [`Kubernetes::nodes`].
    pub async fn volumes(&self) -> Result<Option<Vec<Volume>>, KubernetesError> {
        let items = self.installed("longhorn.io", "/apis/longhorn.io/v1beta2/volumes").await?;
        Ok(items.map(|items| items.iter().map(Volume::of).collect()))
    }

    /// Rook's Ceph clusters; nothing where there is no Rook.
    ///
    /// # Errors
    /// As [`Kubernetes::nodes`].
    pub async fn ceph(&self) -> Result<Option<Vec<Ceph>>, KubernetesError> {
        let items = self.installed("ceph.rook.io", "/apis/ceph.rook.io/v1/cephclusters").await?;
        Ok(items.map(|items| items.iter().map(Ceph::of).collect()))
    }

    /// A group that the API does not list is not installed; one that it lists and does not serve is an error.
    async fn installed(&self, group: &str, path: &str) -> Result<Option<Vec<Value>>, KubernetesError> {
        let groups = self.send(Verb::Get, "/apis", None).await?;
        let all = groups["groups"].as_array().ok_or_else(|| KubernetesError::Strange {
            attempted: "GET /apis".into(),
            why: "it has no groups".into(),
        })?;
        if !all.iter().any(|one| one["name"] == group) {
            return Ok(None);
        }
        self.items(path).await.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_plane_is_asked_at_its_own_address() {
        let client = Kubernetes::new(Via::System("kubectl".into()), None, Vec::new());
        let raw = Raw { server: Some("10.0.0.51".into()), verb: Verb::Put, path: "/x".into(), body: Some(json!({})) };
        let words = client.words("/c/kubeconfig", &raw).join(" ");
        assert_eq!(
            words,
            "--kubeconfig /c/kubeconfig --server https://10.0.0.51:6443 --tls-server-name kubernetes --request-timeout=15s \
             replace --raw /x -f -"
        );
        let own = client.words("k", &Raw { server: None, verb: Verb::Get, body: None, ..raw }).join(" ");
        assert_eq!(own, "--kubeconfig k --request-timeout=15s get --raw /x");
    }
}
