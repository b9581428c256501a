//! The guest behind a machine. A step that takes a machine down names it, so that the site's policy holds: no other member of
//! its quorum group may be down, or on its way down in another step, and what cannot be told counts as down.

use super::source::Machine;
use crate::actions::proxmox::look::identity as identity_of;
use crate::actions::proxmox::object::Guest;
use crate::actions::proxmox::resource::Resource;
use crate::engine::ports::{Unreadable, World};
use crate::model::failure::{Class, Failure};
use crate::model::world::Identity;

/// Nothing where the profile does not say which guest it is.
pub(super) async fn identity(machine: &Machine, world: &dyn World) -> Result<Option<Identity>, Unreadable> {
    let Some(vmid) = machine.vmid else { return Ok(None) };
    let value = world.read(&Resource::Guest(vmid).key()).await?.known("the guest behind the node")?;
    let attempted = || format!("find the guest behind {}", machine.name);
    let guest: Option<Guest> = serde_json::from_value((*value).clone())
        .map_err(|e| Failure::new(Class::Internal, attempted(), e.to_string()))?;
    match guest {
        Some(guest) => Ok(Some(identity_of(&guest))),
        None => {
            let cause = format!("the profile says guest {vmid}, and there is none");
            Err(Failure::new(Class::Precondition, attempted(), cause)
                .remedy("give its vmid in clusters/NAME.yaml, nodes: … assignments: …")
                .into())
        }
    }
}
