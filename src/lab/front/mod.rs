//! The lab's front: everything of a simulated site that a client can touch. It checks and words, delays and breaks;
//! what a call does is the world's business.

mod calls;
mod clock;
mod core;
mod dispatch;
#[cfg(test)]
pub(crate) mod fake;
mod faults;
mod kubernetes;
mod latency;
mod listener;
mod multipart;
mod netbox;
mod own_calls;
mod request;
mod response;
pub mod site;
#[cfg(test)]
mod tests;
mod tls;
mod tools;
mod workers;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub(crate) use self::core::Core;
pub use self::core::Timing;
pub use self::dispatch::Answer;
pub use self::faults::Faults;
pub use self::kubernetes::{Door, KubernetesAnswer};
pub use self::latency::ClientLatency;
pub use self::multipart::Passing;
pub use self::netbox::{NetboxAnswer, query};
pub use self::request::Request;
pub(crate) use self::request::percent_decode;
pub use self::response::{Body, Response};
use self::site::SiteWorld;
use super::access::Access;
use super::call::{CommandReply, ProgramReply};
use super::kubernetes as kube;
use super::ledger::Ledger;
use super::netbox::{Ask, Netbox};
use crate::model::ids::{Fingerprint, NodeName};

/// Where the nodes listen; always on loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// 127.0.0.1, a port of its own for each node.
    AnyPort,
    /// 127.0.0.1, 127.0.0.2 and so on, all on this port (8006).
    AnyAddress { port: u16 },
    /// Nowhere: the lab is asked in-process alone.
    Nowhere,
}

/// How a lab is set up.
pub struct LabOptions {
    pub world: Box<dyn SiteWorld>,
    /// World milliseconds for each real one; 1 or more in practice.
    pub time_scale: f64,
    pub listen: Listen,
    /// Where the ledger is appended to, as JSON lines.
    pub ledger: Option<PathBuf>,
    /// Workers of pveproxy and of pvedaemon, each, on every node.
    pub workers: usize,
    pub timing: Timing,
    pub access: Access,
    pub netbox: Netbox,
}

impl LabOptions {
    /// A site as it is by default: a free port for each node, three workers, time sixty times as fast.
    pub fn new(world: impl SiteWorld) -> Self {
        Self {
            world: Box::new(world),
            time_scale: 60.0,
            listen: Listen::AnyPort,
            ledger: None,
            workers: 3,
            timing: Timing::default(),
            access: Access::new(),
            netbox: Netbox::default(),
        }
    }
}

/// Why a lab did not start.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    #[error("the lab cannot listen on {address} for {node}: {source}; is another lab up?")]
    Listen { node: NodeName, address: SocketAddr, source: std::io::Error },
    #[error("the lab cannot make a certificate: {0}")]
    Certificate(String),
    #[error("the lab cannot write its ledger {}: {source}", path.display())]
    Ledger { path: PathBuf, source: std::io::Error },
}

/// Where a node's API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub node: NodeName,
    pub addr: SocketAddr,
    pub fingerprint: Fingerprint,
}

/// A running lab; everything it started ends when it is dropped or shut down.
pub struct Lab {
    core: Arc<Core>,
    endpoints: Vec<Endpoint>,
    netbox: Option<SocketAddr>,
    kubernetes: Option<Door>,
    tasks: JoinSet<()>,
}

impl Lab {
    /// Binds every node's listener and starts the clock.
    ///
    /// # Errors
    /// When an address is taken, or a file cannot be written.
    pub async fn start(options: LabOptions) -> Result<Self, LabError> {
        let ledger = match options.ledger {
            Some(path) => Ledger::with_file(&path).map_err(|source| LabError::Ledger { path, source })?,
            None => Ledger::new(),
        };
        let nodes = options.world.nodes();
        let (access, ledger) = (Arc::new(options.access), Arc::new(ledger));
        let (scale, workers, timing) = (options.time_scale, options.workers, options.timing);
        let core = Core::new(options.world, scale, access, ledger, workers, timing, options.netbox);
        let mut lab =
            Self { core: Arc::new(core), endpoints: Vec::new(), netbox: None, kubernetes: None, tasks: JoinSet::new() };
        for (i, node) in nodes.into_iter().enumerate() {
            if let Some(address) = address(options.listen, i) {
                lab.listen(node, address).await?;
            }
        }
        if options.listen != Listen::Nowhere {
            lab.listen_as_netbox().await?;
            lab.listen_as_kubernetes().await?;
        }
        lab.tasks.spawn(clock::run_scheduler(lab.core.clone()));
        Ok(lab)
    }

    async fn listen(&mut self, node: NodeName, address: SocketAddr) -> Result<(), LabError> {
        let tls = tls::for_node(&node, address.ip()).map_err(LabError::Certificate)?;
        let failed = |source| LabError::Listen { node: node.clone(), address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        self.endpoints.push(Endpoint { node: node.clone(), addr, fingerprint: tls.shown.fingerprint() });
        self.core.show(node.clone(), tls.shown);
        self.tasks.spawn(listener::listen(self.core.clone(), node, listener, TlsAcceptor::from(tls.config)));
        Ok(())
    }

    async fn listen_as_netbox(&mut self) -> Result<(), LabError> {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let failed = |source| LabError::Listen { node: super::netbox::NODE.into(), address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        self.netbox = Some(listener.local_addr().map_err(failed)?);
        self.tasks.spawn(netbox::listen(self.core.clone(), listener));
        Ok(())
    }

    async fn listen_as_kubernetes(&mut self) -> Result<(), LabError> {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let failed = |source| LabError::Listen { node: kube::NODE.into(), address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let (tls, certificate) = tls::for_kubernetes().map_err(LabError::Certificate)?;
        let proxy = listener.local_addr().map_err(failed)?;
        let door = Door { proxy, certificate, token: kubernetes::token() };
        self.kubernetes = Some(door.clone());
        self.tasks.spawn(kubernetes::listen(self.core.clone(), listener, TlsAcceptor::from(tls), door.token));
        Ok(())
    }

    /// How clients come to the Kubernetes API.
    pub fn kubernetes_door(&self) -> Option<&Door> {
        self.kubernetes.as_ref()
    }

    /// One request to the Kubernetes API in-process.
    pub async fn kubernetes(&self, ask: kube::Ask) -> KubernetesAnswer {
        kubernetes::dispatch(self.core.clone(), ask, false).await
    }

    /// Where the NetBox stand-in listens, without TLS.
    pub fn netbox_addr(&self) -> Option<SocketAddr> {
        self.netbox
    }

    pub fn netbox(&self) -> &Netbox {
        &self.core.netbox
    }

    /// One request to the NetBox stand-in in-process.
    pub async fn netbox_request(&self, ask: Ask) -> NetboxAnswer {
        netbox::dispatch(self.core.clone(), ask).await
    }

    /// Every node's address and certificate, in the world's order.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.endpoints.clone()
    }

    pub fn ledger(&self) -> &Ledger {
        &self.core.ledger
    }

    /// Users, tokens and their secrets, for whoever writes a configuration.
    pub fn access(&self) -> &Access {
        &self.core.access
    }

    pub fn faults(&self) -> Faults {
        Faults::new(self.core.clone())
    }

    /// Acts on the world at the present moment, under its lock: do not use the lab inside.
    pub fn with_world<R>(&self, act: impl FnOnce(&mut dyn SiteWorld) -> R) -> R {
        self.core.with_world(act)
    }

    /// Acts on a world of a known type; `None` if it is of another.
    pub fn with_world_as<W: SiteWorld, R>(&self, act: impl FnOnce(&mut W) -> R) -> Option<R> {
        self.core.with_world_as(act)
    }

    /// One API request in-process, past TLS and HTTP and nothing else. Works with tokio's paused time.
    pub async fn request(&self, via: &NodeName, request: Request) -> Answer {
        dispatch::dispatch(self.core.clone(), via.clone(), request).await
    }

    /// One command in-process, as over SSH: to its end, which is its task's where it has one.
    pub async fn command(&self, node: &NodeName, argv: &[String]) -> CommandReply {
        self.core.run_command(node, argv).await
    }

    /// One call of talosctl in-process, to its end. `file`: what is in the one that it reads.
    pub async fn talosctl(&self, version: Option<&str>, words: &[String], file: Option<&str>) -> ProgramReply {
        self.core.run_talosctl(version, words, file).await
    }

    /// What must never have been of the Talos machines, in words.
    pub fn talos_violations(&self) -> Vec<String> {
        self.core.with_world(|world| world.talos_violations())
    }

    /// How long each client waited so far.
    pub fn latency(&self) -> Vec<ClientLatency> {
        self.core.latency.report()
    }

    /// How many requests were under way at each node at once at most.
    pub fn most_requests(&self) -> BTreeMap<NodeName, usize> {
        self.core.latency.most()
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Closes every connection and stops the clock.
    pub async fn shutdown(mut self) {
        self.tasks.shutdown().await;
    }
}

fn address(listen: Listen, index: usize) -> Option<SocketAddr> {
    match listen {
        Listen::AnyPort => Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)),
        Listen::AnyAddress { port } => {
            let last = u8::try_from(index + 1).ok()?;
            Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), port))
        }
        Listen::Nowhere => None,
    }
}
