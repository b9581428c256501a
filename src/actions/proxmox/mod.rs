//! Acts on a Proxmox site, and the source of its resources.

mod failures;
pub mod object;
mod property;
pub mod resource;
pub mod source;

pub use source::ProxmoxSource;
