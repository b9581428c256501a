//! Acts on the nodes of a Talos cluster, and the source of what they say.

mod source;
mod status;

pub use source::{Machine, TalosSource};
pub use status::TalosStatus;
