//! What a [`Site`](super::Site) is made from. Plain data: where it came from (files, references) is known elsewhere.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::wire::SharedWire;
use crate::model::ids::{Fingerprint, NodeName};

/// One node's API: `https://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeEndpoint {
    pub name: NodeName,
    /// A name or an address; an IPv6 address without brackets.
    pub host: String,
    pub port: u16,
    /// Pins this node's certificate; wins over `ca_file` and `insecure`.
    pub fingerprint: Option<Fingerprint>,
}

/// Who we are to Proxmox. Debug output never shows a secret (secrecy sees to it).
#[derive(Debug, Clone)]
pub enum Credential {
    /// `id` is `user@realm!tokenname`, `secret` the UUID.
    Token { id: String, secret: SecretString },
    /// `user` is `user@realm`; a ticket is taken, renewed and never stored.
    Password { user: String, password: SecretString },
}

impl Credential {
    /// The token's id or the user's name; never a secret.
    pub fn user(&self) -> &str {
        match self {
            Self::Token { id, .. } => id.trim(),
            Self::Password { user, .. } => user,
        }
    }
}

/// How often a task is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Poll {
    pub first: Duration,
    /// The interval grows by half each time up to this.
    pub most: Duration,
    /// How long a node that does not answer is asked again before the task counts as lost.
    pub patience: Duration,
}

impl Default for Poll {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), most: Duration::from_secs(2), patience: Duration::from_secs(60) }
    }
}

/// Told each secret that the site itself hands out (tickets), so that it can be redacted.
#[derive(Clone)]
pub struct SecretSink(pub Arc<dyn Fn(&str) + Send + Sync>);

impl fmt::Debug for SecretSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretSink")
    }
}

/// One Proxmox site: a cluster or a single node.
#[derive(Debug, Clone)]
pub struct SiteSettings {
    pub name: String,
    /// At least one. Calls about a node that is not listed go to any that is; the server passes them on.
    pub nodes: Vec<NodeEndpoint>,
    pub ca_file: Option<PathBuf>,
    /// No certificate is checked for nodes without a fingerprint.
    pub insecure: bool,
    /// For one request. pveproxy itself gives up on a node it passes a call to after 30 s.
    pub timeout: Duration,
    /// Calls at once to one node; a node has three workers for everybody.
    pub per_node: usize,
    pub credential: Credential,
    pub poll: Poll,
    pub on_secret: Option<SecretSink>,
    /// Instead of HTTPS.
    pub wire: Option<SharedWire>,
}

impl SiteSettings {
    /// With system roots, 35 s a request, two calls at once to a node.
    pub fn new(name: impl Into<String>, nodes: Vec<NodeEndpoint>, credential: Credential) -> Self {
        Self {
            name: name.into(),
            nodes,
            ca_file: None,
            insecure: false,
            timeout: Duration::from_secs(35),
            per_node: 2,
            credential,
            poll: Poll::default(),
            on_secret: None,
            wire: None,
        }
    }
}
