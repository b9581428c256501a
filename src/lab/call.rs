//! What passes between the lab's front (HTTP, SSH) and its world: a checked call, and an answer or an error.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

pub use crate::contracts::Verb;
use crate::model::ids::NodeName;

/// What the caller may do: asked with an ACL path (`/vms/104`) and a privilege (`VM.Audit`).
pub trait Privileges: Send + Sync {
    fn may(&self, path: &str, privilege: &str) -> bool;
}

/// One API call after the front has checked it against the schema and the caller's privileges.
#[derive(Clone)]
pub struct Call {
    pub verb: Verb,
    /// The schema's own path: `/nodes/{node}/qemu/{vmid}/migrate`.
    pub template: String,
    /// The values of the names in braces.
    pub path: BTreeMap<String, String>,
    /// Parameters in the form that a form body has: booleans `0` or `1`, numbers in decimal, lists joined by commas.
    pub params: BTreeMap<String, String>,
    /// Who calls: `root@pam`, `ops@pve!runbook`.
    pub user: String,
    /// Whether this is `root@pam` by ticket: some options are for nobody else, tokens of root included.
    pub root_ticket: bool,
    pub privileges: Arc<dyn Privileges>,
    /// The node whose API took the request.
    pub via: NodeName,
    /// The file that came with it.
    pub upload: Option<Arc<Upload>>,
}

/// A file that was sent: what is known of it when it has gone by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    pub size: u64,
    /// By algorithm, lower-case hexadecimal.
    pub sums: BTreeMap<&'static str, String>,
}

impl Call {
    pub fn flag(&self, name: &str) -> bool {
        self.params.get(name).is_some_and(|value| value == "1")
    }

    /// The words of a list, which a server takes with any of these marks between them.
    pub fn list<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let text = self.params.get(name).map_or("", String::as_str);
        text.split([',', ';', ' ', '\0']).filter(|word| !word.is_empty())
    }
}

/// A successful answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    pub data: Value,
    /// Row count of a paged list, beside `data` in the envelope.
    pub total: Option<u64>,
    /// Whether it changed, or queued a change of, the state of the world.
    pub mutating: bool,
}

impl Reply {
    pub fn read(data: Value) -> Self {
        Self { data, total: None, mutating: false }
    }

    pub fn changed(data: Value) -> Self {
        Self { data, total: None, mutating: true }
    }
}

/// An error as pveproxy words it: the reason phrase is the message's first line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PveError {
    pub status: u16,
    pub message: String,
    /// By parameter, for `Parameter verification failed.`
    pub errors: BTreeMap<String, String>,
}

impl PveError {
    /// A `die` in a handler: 500 with this text.
    pub fn die(message: impl Into<String>) -> Self {
        Self { status: 500, message: message.into(), errors: BTreeMap::new() }
    }

    /// 400 for one parameter.
    pub fn parameter(name: &str, text: impl Into<String>) -> Self {
        Self {
            status: 400,
            message: "Parameter verification failed.".into(),
            errors: BTreeMap::from([(name.to_owned(), text.into())]),
        }
    }

    pub fn status(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), errors: BTreeMap::new() }
    }
}

/// What a command run over SSH on a node answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandReply {
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
    pub mutating: bool,
}

/// What a program that is stood in for left behind where it was called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProgramReply {
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
    /// A file that the program writes on its own machine: path and contents.
    pub file: Option<(String, Vec<u8>)>,
    pub mutating: bool,
    /// What it waits for before it ends: the rest is the answer to that.
    pub waits: Option<Waits>,
}

/// A program that has not ended yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// The world's number for it.
    pub id: u64,
    /// After so much of its own time, which is real time, it gives up.
    pub patience: Option<std::time::Duration>,
}
