//! What the site's policy forbids, for every runbook and for `do`: while planning, and again before each change.

mod planned;
mod port;
mod quorum;
mod start;
#[cfg(test)]
mod tests;

pub use planned::{Onlooker, violation};
pub use port::SitePolicy;
pub use start::{may_start, outside};

use std::collections::BTreeMap;

use crate::actions::proxmox::object::GuestEntry;
use crate::actions::proxmox::resource::Resource;
use crate::engine::ports::{Observed, World};
use crate::model::failure::{Class, Failure};
use crate::model::ids::{ResourceKey, Vmid};
use crate::model::site::Protect;
use crate::model::world::Identity;

/// The guest that a key is about.
fn guest_of(resource: &ResourceKey) -> Option<Vmid> {
    match resource.as_str().parse() {
        Ok(Resource::Guest(vmid) | Resource::GuestEvacuation(vmid)) => Some(vmid),
        _ => None,
    }
}

/// The guests among the objects of a step.
fn guests_of(identities: &[Identity]) -> impl Iterator<Item = (Vmid, &Identity)> {
    identities.iter().filter_map(|identity| Some((guest_of(&identity.resource)?, identity)))
}

/// How many guests a step that destroys takes away; a guest's disk counts as one. What it is about may be neither (a
/// snapshot, an image); where that is not known yet, one.
fn lost(identities: &[Identity]) -> usize {
    let disks = identities.iter().filter(|identity| is_disk(identity)).count();
    if identities.is_empty() { 1 } else { guests_of(identities).count() + disks }
}

/// A volume that is told by what it is for.
fn is_disk(identity: &Identity) -> bool {
    let is = |(pointer, value): &(String, serde_json::Value)| {
        pointer.ends_with("/content") && matches!(value.as_str(), Some("images" | "rootdir"))
    };
    matches!(identity.resource.as_str().parse(), Ok(Resource::Content(..))) && identity.expect.iter().any(is)
}

/// The guests of the site, templates left out; nothing where a plan cannot know.
async fn guests(world: &dyn World) -> Result<Option<BTreeMap<Vmid, GuestEntry>>, Failure> {
    let Observed::Known(value) = world.read(&Resource::Guests.key()).await? else { return Ok(None) };
    let mut guests = BTreeMap::new();
    for (vmid, entry) in value.as_object().into_iter().flatten() {
        let entry: GuestEntry = serde_json::from_value(entry.clone())
            .map_err(|e| Failure::new(Class::Internal, format!("read guest {vmid} of the site"), e.to_string()))?;
        if !entry.template {
            guests.insert(entry.vmid, entry);
        }
    }
    Ok(Some(guests))
}

/// Why nothing may destroy this guest.
fn protected(protect: &Protect, vmid: Vmid, tags: &[String]) -> Option<String> {
    if protect.vmids.contains(&vmid) {
        return Some(format!("policy.protect.vmids has {vmid}"));
    }
    let tag = tags.iter().find(|tag| protect.tags.contains(tag))?;
    Some(format!("it has the tag {tag:?} of policy.protect.tags"))
}

fn forbidden_loss(object: &str, path: &str, why: String) -> Failure {
    Failure::new(Class::Precondition, format!("destroy {object} (step {path})"), why)
        .remedy("if it is really to go, take it out of policy.protect in cluster-config.yaml first")
}

fn too_many(destroyed: usize, most: u32) -> Failure {
    let cause = format!("policy.max_destroyed allows {most} in one run");
    Failure::new(Class::Precondition, format!("destroy {destroyed} guests in one run"), cause)
        .remedy("do it in several runs, or raise policy.max_destroyed in cluster-config.yaml")
}
