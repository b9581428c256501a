//! The World's source of files.

use std::path::Path;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::clients::local::{FileState, Local, sha256};
use crate::engine::ports::Source;
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;

/// Text that a plan can show and a difference can be made of.
const MOST: usize = 4 << 20;

/// Reads files.
pub struct FileSource(Local);

impl FileSource {
    pub fn new(local: Local) -> Self {
        Self(local)
    }
}

#[async_trait]
impl Source for FileSource {
    async fn fetch(&self, resource: &ResourceKey) -> Result<Value, Failure> {
        let Some(path) = resource.as_str().strip_prefix("file/state").filter(|path| path.starts_with('/')) else {
            let cause = "no such resource: expected file/state/PATH";
            return Err(Failure::new(Class::Internal, format!("read {resource}"), cause));
        };
        let state = self.0.file(Path::new(path));
        let state = state.map_err(|e| Failure::new(Class::Precondition, format!("look at {path}"), e.to_string()))?;
        Ok(match state {
            FileState::Absent => super::resource::will_be(None, None, ""),
            FileState::Other(kind) => json!({"kind": kind, "sha256": null, "mode": null, "text": null}),
            FileState::File { bytes, mode } => {
                let sha = sha256(&bytes);
                let text = (bytes.len() <= MOST).then(|| String::from_utf8(bytes).ok()).flatten();
                json!({"kind": "file", "sha256": sha, "mode": format!("{mode:04o}"), "text": text})
            }
        })
    }
}
