//! Local files: written whole, or edited in place. What is there already is shown as a difference in the plan, kept for
//! the way back where it is small, and never overwritten when it has changed since.

mod change;
mod diff;
pub mod resource;
mod source;
mod write;
mod yaml;

pub use source::FileSource;
pub use write::FileWrite;
pub use yaml::YamlSet;
