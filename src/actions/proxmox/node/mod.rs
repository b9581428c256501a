//! Acts on one node, and what nodes say of themselves.

mod empty;
mod list;
mod reboot;
mod updates;

pub use empty::NodeEmpty;
pub use list::Nodes;
pub use reboot::NodeReboot;
pub use updates::Updates;
