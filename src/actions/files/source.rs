//! The World's source of files: `file/state/PATH`, how one is with its text, and `file/digest/PATH`, `{size, sha256}` of one
//! that may be of any size, null where there is none.

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
        if let Some(path) = resource.as_str().strip_prefix("file/digest").filter(|path| path.starts_with('/')) {
            let digest = self.0.digest(path.into()).await;
            let digest =
                digest.map_err(|e| Failure::new(Class::Precondition, format!("read {path}"), e.to_string()))?;
            return Ok(digest.map_or(Value::Null, |(size, sha256)| json!({"size": size, "sha256": sha256})));
        }
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
