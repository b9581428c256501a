//! Calls that are answered in this process: a simulated site without programs.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::Output;
use crate::model::talos::Minor;

/// Stands in for talosctl.
#[async_trait]
pub trait StandIn: Send + Sync {
    /// `minor`: which version of talosctl is asked; nothing: the newest.
    async fn talosctl(&self, minor: Option<Minor>, words: &[String]) -> Output;
}

/// One that is shared.
#[derive(Clone)]
pub struct SharedStandIn(pub Arc<dyn StandIn>);

impl fmt::Debug for SharedStandIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedStandIn")
    }
}
