//! The World's source of what is on this machine. It looks, and never runs or changes anything.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::resource::Resource;
use super::work::{RUN, STEP};
use crate::clients::local::Local;
use crate::engine::ports::Source;
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;

/// Reads this machine.
pub struct LocalSource {
    local: Local,
    folder: PathBuf,
}

impl LocalSource {
    /// `folder`: where relative paths begin.
    pub fn new(local: Local, folder: PathBuf) -> Self {
        Self { local, folder }
    }
}

#[async_trait]
impl Source for LocalSource {
    async fn fetch(&self, resource: &ResourceKey) -> Result<Value, Failure> {
        let parsed = resource.as_str().parse::<Resource>();
        let parsed = parsed.map_err(|e| Failure::new(Class::Internal, format!("read {resource}"), e.to_string()))?;
        Ok(match parsed {
            Resource::Path(path) => json!({"exists": self.local.exists(&path)}),
            Resource::File(path) => file(&self.local, &path)?,
            Resource::Folder => json!({"path": self.folder}),
            Resource::Now => json!({"text": self.local.now()}),
            Resource::Process(process) => json!({"running": self.local.runs(&process)}),
            Resource::Command(run, step) => json!(self.local.marked(&[(RUN, run.as_str()), (STEP, step.as_str())])),
        })
    }
}

/// Of a text that is longer, only the digest is kept.
pub const SHORT: usize = 64 << 10;

fn file(local: &Local, path: &Path) -> Result<Value, Failure> {
    let read = local.read(path);
    let Some(bytes) = read.map_err(|e| Failure::new(Class::Precondition, format!("read {}", path.display()), e))?
    else {
        return Ok(Value::Null);
    };
    let text = std::str::from_utf8(&bytes).ok().filter(|_| bytes.len() <= SHORT);
    Ok(json!({"size": bytes.len(), "sha256": sha256(&bytes), "text": text}))
}

/// In lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
