//! What the configuration says of the tools, and what is handed to their children alone.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

/// `ansible` of the site's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnsibleSetup {
    /// Absolute.
    pub folder: PathBuf,
    /// Absolute; without one ansible's own configuration says which.
    pub inventory: Option<PathBuf>,
}

/// The site's token under the names that Ansible's Proxmox modules read. Cheap to clone; never shown.
#[derive(Clone)]
pub struct ProxmoxToken {
    host: String,
    port: u16,
    user: String,
    name: String,
    secret: SecretString,
}

impl ProxmoxToken {
    /// `id` is `user@realm!name`; `None` where it is not.
    pub fn new(host: String, port: u16, id: &str, secret: SecretString) -> Option<Self> {
        let (user, name) = id.split_once('!')?;
        Some(Self { host, port, user: user.to_owned(), name: name.to_owned(), secret })
    }

    /// For a child's environment and nothing else.
    pub fn env(&self) -> Vec<(String, Option<String>)> {
        let port = self.port.to_string();
        let pairs = [
            ("PROXMOX_HOST", self.host.as_str()),
            ("PROXMOX_PORT", &port),
            ("PROXMOX_USER", &self.user),
            ("PROXMOX_TOKEN_ID", &self.name),
            ("PROXMOX_TOKEN_SECRET", self.secret.expose_secret()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), Some(value.to_owned()))).to_vec()
    }
}
