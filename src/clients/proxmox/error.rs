//! The error ladder: every way in which a call to Proxmox fails, told apart by what can be done about it.

use std::collections::BTreeMap;
use std::fmt;

use super::Verb;
use crate::clients::Class;
use crate::model::ids::{NodeName, Upid};
use crate::sys::http::HttpError;

/// Where it happened: the call, and the node that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    pub verb: Verb,
    /// The API path, without `/api2/json`.
    pub path: String,
    pub node: NodeName,
}

impl At {
    /// Whether it changes the world. Taking a ticket does not, although it is a POST: it may be repeated freely.
    pub fn is_change(&self) -> bool {
        self.verb.is_change() && self.path != super::login::PATH
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} on {}", self.verb, self.path, self.node)
    }
}

/// Source of the texts and statuses: pve-http-server, pve-common and pve-cluster (`AnyEvent.pm`, `JSONSchema.pm`,
/// `Cluster.pm`); see `phrases.rs` for the literal ones.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProxmoxError {
    #[error("{at}: {cause}")]
    Unreachable { at: Box<At>, cause: String, sent: bool },
    #[error("{at}: no answer in time{}", .sent.then_some("; it may have been taken").unwrap_or_default())]
    Timeout { at: Box<At>, sent: bool },
    /// Unknown issuer, wrong fingerprint, or no TLS at all on that port.
    #[error("{at}: {cause}")]
    Tls { at: Box<At>, cause: HttpError },
    #[error("{at}: not accepted: {message}; check the token or the user and password")]
    Unauthorized { at: Box<At>, message: String },
    #[error("{at}: {user} has a second factor, which is not supported; use an API token")]
    SecondFactor { at: Box<At>, user: String },
    /// `acl_path` and `privilege` (alternatives joined by `|`) are empty when Proxmox does not say them.
    #[error("{at}: {message}")]
    Forbidden { at: Box<At>, acl_path: String, privilege: String, message: String },
    #[error("{at}: {message}{}", listed(.errors))]
    Parameter { at: Box<At>, message: String, errors: BTreeMap<String, String> },
    /// `lock` is Proxmox's word for it (`migrate`), or the name of the lock file or cluster lock.
    #[error("{at}: {message}")]
    Locked { at: Box<At>, lock: String, message: String },
    /// Proxmox has no 404: this comes from the texts of a 400 or 500.
    #[error("{at}: {message}")]
    NotFound { at: Box<At>, message: String },
    #[error("{at}: {message}")]
    NoQuorum { at: Box<At>, message: String },
    /// The digest given is not the configuration's any more.
    #[error("{at}: {message}")]
    Changed { at: Box<At>, message: String },
    /// The node asked could not pass the call on to the node it concerns.
    #[error("{at}: the node it concerns cannot be asked: {message} ({status})")]
    Proxy { at: Box<At>, status: u16, message: String, may_have_been_taken: bool },
    #[error("{at}: {message} ({status})")]
    Server { at: Box<At>, status: u16, message: String },
    /// The server's version does not have this call.
    #[error("{at}: {message}")]
    NotImplemented { at: Box<At>, message: String },
    #[error("{at}: in the answer, {field}: expected {expected}, got {got}")]
    Shape { at: Box<At>, field: String, expected: &'static str, got: String },
    /// Our own call does not fit the official schema: a defect of this program, found before sending.
    #[error("{at}: not in the official schema: {message}")]
    Contract { at: Box<At>, message: String },
    /// The task's node stopped answering; the task itself may go on.
    #[error("task {upid}: lost sight of it: {cause}")]
    TaskLost { upid: Box<Upid>, cause: Box<ProxmoxError> },
    /// We stopped watching (deadline or cancelled); the task goes on.
    #[error("task {upid}: still running when {}", if *.cancelled { "watching it was cancelled" } else { "its time was up" })]
    TaskRunning { upid: Box<Upid>, cancelled: bool },
    #[error("site {site}: {message}")]
    Setup { site: String, message: String },
}

fn listed(errors: &BTreeMap<String, String>) -> String {
    errors.iter().map(|(name, text)| format!("; {name}: {text}")).collect()
}

impl ProxmoxError {
    pub fn class(&self) -> Class {
        match self {
            Self::Unreachable { sent: true, .. } | Self::NoQuorum { .. } => Class::Transient,
            Self::Unreachable { .. } => Class::Unreachable,
            Self::TaskLost { cause, .. } => cause.class(),
            Self::Proxy { status: 595, .. } => Class::Unreachable,
            Self::Proxy { .. } => Class::Transient,
            Self::Timeout { .. } | Self::TaskRunning { .. } => Class::Timeout,
            Self::Locked { .. } => Class::Locked,
            Self::Tls { .. } | Self::Unauthorized { .. } | Self::SecondFactor { .. } | Self::Forbidden { .. } => {
                Class::Refused
            }
            Self::Changed { .. } | Self::NotFound { .. } | Self::Parameter { .. } => Class::Precondition,
            Self::Server { .. }
            | Self::NotImplemented { .. }
            | Self::Shape { .. }
            | Self::Contract { .. }
            | Self::Setup { .. } => Class::Failed,
        }
    }

    /// Whether a change may have been taken although no answer says so. Such a change must be looked up, not repeated.
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::Unreachable { at, sent, .. } | Self::Timeout { at, sent } => *sent && at.is_change(),
            Self::Proxy { may_have_been_taken, .. } => *may_have_been_taken,
            // The server said 200, only what it answered is not as expected.
            Self::Shape { at, .. } => at.is_change(),
            Self::TaskLost { .. } | Self::TaskRunning { .. } => true,
            _ => false,
        }
    }

    /// Whether nobody has answered a change who could have carried it out: it may still be under way, or wait to be
    /// taken. A gateway speaks for itself and not for what is behind it.
    pub fn answer_lost(&self) -> bool {
        match self {
            Self::TaskLost { .. } | Self::TaskRunning { .. } => false,
            Self::Server { at, status: 502..=504, .. } => at.is_change() && self.may_have_been_begun(),
            _ => self.outcome_unknown(),
        }
    }

    /// Whether a change was answered with a server's error that does not say that nothing was begun. Mostly nothing was;
    /// the object knows.
    pub fn may_have_been_begun(&self) -> bool {
        match self {
            Self::Server { at, status, message } => {
                at.is_change() && *status >= 500 && !super::phrases::is_refusal(message)
            }
            _ => false,
        }
    }

    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// The call, where there is one.
    pub fn at(&self) -> Option<&At> {
        match self {
            Self::Unreachable { at, .. }
            | Self::Timeout { at, .. }
            | Self::Tls { at, .. }
            | Self::Unauthorized { at, .. }
            | Self::SecondFactor { at, .. }
            | Self::Forbidden { at, .. }
            | Self::Parameter { at, .. }
            | Self::Locked { at, .. }
            | Self::NotFound { at, .. }
            | Self::NoQuorum { at, .. }
            | Self::Changed { at, .. }
            | Self::Proxy { at, .. }
            | Self::Server { at, .. }
            | Self::NotImplemented { at, .. }
            | Self::Shape { at, .. }
            | Self::Contract { at, .. } => Some(at),
            Self::TaskLost { cause, .. } => cause.at(),
            Self::TaskRunning { .. } | Self::Setup { .. } => None,
        }
    }

    /// Whether another node of the site may be asked instead: nothing was sent.
    pub(super) fn another_node_may_answer(&self) -> bool {
        matches!(self, Self::Unreachable { sent: false, .. } | Self::Timeout { sent: false, .. })
    }

    /// Whether whoever answers is not believed to be the node.
    pub(super) fn is_trust(&self) -> bool {
        matches!(self, Self::Tls { .. })
    }

    /// Whether asking again later may succeed, for reads.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self.class(), Class::Transient | Class::Unreachable | Class::Timeout)
    }

    pub(super) fn of_http(at: At, error: HttpError) -> Self {
        let at = Box::new(at);
        match error {
            HttpError::Timeout { sent, .. } => Self::Timeout { at, sent },
            e if e.is_trust() => Self::Tls { at, cause: e },
            e => Self::Unreachable { sent: e.sent(), cause: e.to_string(), at },
        }
    }
}
