//! Where the World reads: one source for each kind of resource, which is the key's first word.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::engine::ports::Source;
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;

/// Several sources as one.
#[derive(Default, Clone)]
pub struct Sources(BTreeMap<&'static str, Arc<dyn Source>>);

impl Sources {
    pub fn with(mut self, kind: &'static str, source: Arc<dyn Source>) -> Self {
        self.0.insert(kind, source);
        self
    }
}

#[async_trait]
impl Source for Sources {
    async fn fetch(&self, resource: &ResourceKey) -> Result<Value, Failure> {
        let kind = resource.as_str().split('/').next().unwrap_or_default();
        match self.0.get(kind) {
            Some(source) => source.fetch(resource).await,
            None => {
                let cause = format!("this run has nothing that reads `{kind}/…`");
                let remedy = "name what the runbook acts on: target: proxmox or talos";
                Err(Failure::new(Class::Precondition, format!("read {resource}"), cause).remedy(remedy))
            }
        }
    }
}
