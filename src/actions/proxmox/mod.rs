//! Acts on a Proxmox site, and the source of its resources.

pub mod access;
pub mod acme;
mod act;
pub mod api;
pub mod backup;
mod config;
pub mod evacuation;
mod failures;
pub mod guest;
pub mod ha;
pub mod image;
pub mod inventory;
pub(super) mod look;
pub mod node;
pub mod object;
mod one;
mod property;
pub mod resource;
pub mod source;
mod state;
pub mod storage;
pub mod task;
#[cfg(test)]
pub(in crate::actions) mod testing;
mod typed;
mod work;

pub use access::SecretSource;
pub use one::One;
pub use source::ProxmoxSource;

/// What a call of this site failed with, for whoever calls it outside an action.
pub fn failure(
    site: &crate::clients::proxmox::Site,
    attempted: impl Into<String>,
    error: &crate::clients::proxmox::ProxmoxError,
) -> crate::model::failure::Failure {
    failures::proxmox(&failures::we(site), attempted, error)
}
