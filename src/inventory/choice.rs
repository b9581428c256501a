//! Which guests are asked for.

use serde::{Deserialize, Serialize};

use crate::model::ids::{GuestKind, NodeName};

/// What a guest must be like; nothing given means all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    pub node: Option<NodeName>,
    /// All of these.
    pub tags: Vec<String>,
    pub kind: Option<GuestKind>,
    pub status: Option<String>,
    pub pool: Option<String>,
}

impl Choice {
    /// Whether a guest that is so is one of them.
    pub fn takes(&self, node: &NodeName, tags: &[String], kind: GuestKind, status: &str, pool: Option<&str>) -> bool {
        self.node.as_ref().is_none_or(|wanted| wanted == node)
            && self.tags.iter().all(|wanted| tags.iter().any(|tag| tag.eq_ignore_ascii_case(wanted)))
            && self.kind.is_none_or(|wanted| wanted == kind)
            // One whose state nobody can say may be in the wanted one: it is listed, and told as missing.
            && self.status.as_deref().is_none_or(|wanted| wanted == status || status == "unknown")
            && self.pool.as_deref().is_none_or(|wanted| pool == Some(wanted))
    }
}
