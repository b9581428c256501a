//! What is read of the tools. Questions to a tool are part of the key, so that a plan asks each only once.
//!
//! | key | value |
//! |---|---|
//! | `ansible/preview/JSON` | `{syntax, listing, check}`: what it says of a playbook that it does not run |
//! | `task/look/JSON` | `{exists, known, dry, up_to_date, problem}` of a task |
//! | `git/repository/JSON` | `{top, head, branch, author, changed, staged, busy, on_remote}` |

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::ids::ResourceKey;

/// What is asked of ansible-playbook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Playbook {
    pub folder: String,
    /// Behind the program's name, without variables.
    pub args: Vec<String>,
    pub extra_vars: Map<String, Value>,
    /// Whether the site's token is handed over.
    pub token: bool,
    /// Whether `--check --diff` is run, too.
    pub check: bool,
}

/// What is asked of go-task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub taskfile: String,
    pub name: String,
    /// `NAME=value`
    pub vars: Vec<String>,
    /// Whether `--dry` is run, too.
    pub dry: bool,
}

/// What is asked of git.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Repository {
    pub folder: String,
    pub paths: Vec<String>,
    /// A commit of which is asked whether a remote has it.
    pub commit: Option<String>,
}

/// One of the keys above.
#[derive(Debug, Clone, PartialEq)]
pub enum Resource {
    Playbook(Playbook),
    Task(Task),
    Repository(Repository),
}

impl Resource {
    pub fn key(&self) -> ResourceKey {
        let text = |kind: &str, json: Result<String, serde_json::Error>| format!("{kind}/{}", json.unwrap_or_default());
        ResourceKey::new(match self {
            Self::Playbook(asked) => text("ansible/preview", serde_json::to_string(asked)),
            Self::Task(asked) => text("task/look", serde_json::to_string(asked)),
            Self::Repository(asked) => text("git/repository", serde_json::to_string(asked)),
        })
    }

    /// `None`: the key names nothing of the tools.
    pub fn of(key: &ResourceKey) -> Option<Self> {
        fn read<T: DeserializeOwned>(text: &str) -> Option<T> {
            serde_json::from_str(text).ok()
        }
        let mut parts = key.as_str().splitn(3, '/');
        let (kind, what, json) = (parts.next()?, parts.next()?, parts.next()?);
        match (kind, what) {
            ("ansible", "preview") => read(json).map(Self::Playbook),
            ("task", "look") => read(json).map(Self::Task),
            ("git", "repository") => read(json).map(Self::Repository),
            _ => None,
        }
    }
}
