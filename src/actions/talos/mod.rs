//! Acts on the nodes of a Talos cluster, and the source of what they say.

mod plan;
mod source;
mod status;
mod survey;

pub use plan::TalosPlanUpgrade;
pub use source::{Machine, TalosSource};
pub use status::TalosStatus;
