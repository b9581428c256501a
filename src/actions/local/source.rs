//! The World's source of what is on this machine. It looks, and never runs or changes anything.

use std::path::PathBuf;

use async_trait::async_trait;
use serde_json::{Value, json};

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
            Resource::Folder => json!({"path": self.folder}),
            Resource::Now => json!({"text": self.local.now()}),
            Resource::Process(process) => json!({"running": self.local.runs(&process)}),
            Resource::Command(run, step) => json!(self.local.marked(&[(RUN, run.as_str()), (STEP, step.as_str())])),
        })
    }
}
