//! Who is told of a run, and of which moments: what `notify` and `metrics` of the configuration say.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// A moment of a run that somebody may want to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    Started,
    /// It is parked: for an answer, with a step in doubt, or because a person paused it.
    Waiting,
    Succeeded,
    /// Also when what was done was then rolled back by itself, wholly or not.
    Failed,
    RolledBack,
    /// Also when it was stopped before it changed anything more: declined, or the lock was not to be had.
    Cancelled,
}

impl Moment {
    pub const ALL: [Self; 6] =
        [Self::Started, Self::Waiting, Self::Succeeded, Self::Failed, Self::RolledBack, Self::Cancelled];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Waiting => "waiting",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::RolledBack => "rolled_back",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One receiver, and what it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    pub to: Receiver,
    /// At least one; `all` of the file is all of them.
    pub on: BTreeSet<Moment>,
    /// PEM, below the configuration's folder; the system's authorities where neither this nor a fingerprint is given.
    pub ca_file: Option<String>,
    /// SHA-256 of the receiver's certificate, as Proxmox writes it.
    pub fingerprint: Option<String>,
}

/// What takes the message. An address is a URL or a reference to one: some addresses are secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Receiver {
    Ntfy {
        /// Of a topic.
        url: String,
        /// A reference to an access token.
        token: Option<String>,
        /// From 1 to 5, over the defaults.
        #[serde(default)]
        priority: BTreeMap<Moment, u8>,
    },
    Slack {
        url: String,
    },
    Webhook {
        url: String,
        /// A reference to the key that bodies are signed with.
        secret: Option<String>,
        /// Names to texts or references.
        #[serde(default)]
        headers: BTreeMap<String, String>,
    },
}

impl Receiver {
    /// The key of the file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Ntfy { .. } => "ntfy",
            Self::Slack { .. } => "slack",
            Self::Webhook { .. } => "webhook",
        }
    }

    /// A URL, or a reference to one.
    pub fn address(&self) -> &str {
        match self {
            Self::Ntfy { url, .. } | Self::Slack { url } | Self::Webhook { url, .. } => url,
        }
    }
}

/// Where figures about runs go.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// The folder that node_exporter's textfile collector reads.
    pub textfile_dir: Option<String>,
}
