//! `file/state/PATH`: a file as it is: `{kind, sha256, mode, text}`; `kind` is `absent`, `file`, or what else is there.
//! `text` is null where it is no text, or longer than 4 MiB.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::engine::ports::{Unreadable, World};
use crate::model::failure::Failure;
use crate::model::ids::ResourceKey;
use crate::model::world::{Guard, Predicate};

/// What the World says of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct State(pub Arc<Value>);

impl State {
    pub fn is_absent(&self) -> bool {
        self.0["kind"] == "absent"
    }

    pub fn is_file(&self) -> bool {
        self.0["kind"] == "file"
    }

    /// What is there.
    pub fn kind(&self) -> &str {
        self.0["kind"].as_str().unwrap_or("something unknown")
    }

    /// Null where there is no file.
    pub fn sha256(&self) -> Value {
        self.0["sha256"].clone()
    }

    pub fn text(&self) -> Option<&str> {
        self.0["text"].as_str()
    }

    /// `0644`
    pub fn mode(&self) -> Option<&str> {
        self.0["mode"].as_str()
    }
}

/// `path` is absolute.
pub fn key(path: &Path) -> ResourceKey {
    // An absolute path brings its own slash.
    ResourceKey::new(format!("file/state{}", path.display()))
}

/// # Errors
/// It cannot be looked at, or an earlier step disturbs it.
pub async fn read(world: &dyn World, path: &Path) -> Result<State, Unreadable> {
    Ok(State(world.read(&key(path)).await?.known(&path.display().to_string())?))
}

/// In a run, where nothing is unknown.
///
/// # Errors
/// It cannot be looked at.
pub async fn seen(world: &dyn World, path: &Path) -> Result<State, Failure> {
    read(world, path).await.map_err(|why| match why {
        Unreadable::Failed(failure) => failure,
        Unreadable::Unknown(why) | Unreadable::Later(why) => {
            Failure::new(crate::model::failure::Class::Internal, format!("look at {}", path.display()), why)
        }
    })
}

/// That a file is what a plan rests on.
pub fn unchanged(path: &Path, state: &State) -> Guard {
    let text = match state.is_absent() {
        true => format!("{} is not there, as the plan has it", path.display()),
        false => format!("{} is the file that the plan was made for", path.display()),
    };
    Guard { text, resource: key(path), pointer: "/sha256".into(), predicate: Predicate::Equals, value: state.sha256() }
}

/// A file as it will be.
pub fn will_be(text: Option<&str>, sha256: Option<String>, mode: &str) -> Value {
    match text {
        Some(text) => json!({"kind": "file", "sha256": sha256, "mode": mode, "text": text}),
        None => json!({"kind": "absent", "sha256": null, "mode": null, "text": null}),
    }
}
