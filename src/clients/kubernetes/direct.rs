//! Calls that are answered in this process: a simulated cluster without programs.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Output, Raw};

/// Stands in for kubectl.
#[async_trait]
pub trait StandIn: Send + Sync {
    async fn kubectl(&self, raw: &Raw) -> Output;
}

/// One that is shared.
#[derive(Clone)]
pub struct SharedStandIn(pub Arc<dyn StandIn>);

impl fmt::Debug for SharedStandIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedStandIn")
    }
}
