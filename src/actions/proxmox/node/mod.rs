//! Acts on one node.

mod empty;

pub use empty::NodeEmpty;
