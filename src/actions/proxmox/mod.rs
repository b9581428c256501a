//! Acts on a Proxmox site, and the source of its resources.

pub mod evacuation;
mod failures;
pub mod guest;
pub mod ha;
mod look;
pub mod node;
pub mod object;
mod property;
pub mod resource;
pub mod source;
#[cfg(test)]
mod testing;
mod work;

pub use source::ProxmoxSource;
