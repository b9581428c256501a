//! Snapshots of guests: taken, deleted, gone back to, listed.

mod delete;
mod list;
mod rollback;
mod take;

pub use delete::GuestSnapshotDelete;
pub use list::GuestSnapshots;
pub use rollback::GuestRollback;
pub use take::GuestSnapshot;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::actions::proxmox::act::Seen;
use crate::actions::proxmox::look::{live, read};
use crate::actions::proxmox::object::{Guest, Snapshot, Snapshots};
use crate::actions::proxmox::resource::Resource;
use crate::engine::ports::{Call, Unreadable, World};
use crate::model::failure::{Class, Failure};
use crate::model::ids::Vmid;
use crate::model::world::Identity;

/// A guest and the snapshot that it is about, where there is one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    pub guest: Guest,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Snapshot>,
}

async fn found(call: &Call, world: &dyn World) -> Result<Snapshots, Unreadable> {
    let vmid: Vmid = call.arg("guest")?;
    let found: Option<Snapshots> = read(world, Resource::GuestSnapshots(vmid)).await?;
    let none = || Failure::new(Class::Precondition, format!("look for guest {vmid}"), "no node has it");
    Ok(found.ok_or_else(|| none().remedy("check the VMID"))?)
}

fn target(call: &Call, found: &Snapshots) -> Result<Target, Failure> {
    let name: String = call.arg("name")?;
    Ok(Target { guest: found.guest.clone(), snapshot: found.list.get(&name).cloned(), name })
}

/// The same guest with its snapshots of now.
async fn now(before: &Target, world: &dyn World) -> Result<Result<Snapshots, Seen>, Failure> {
    let vmid = before.guest.vmid;
    Ok(match live::<Option<Snapshots>>(world, Resource::GuestSnapshots(vmid)).await? {
        None => Err(Seen::Strange(format!("{} is on no node", before.guest.title()))),
        Some(now) if !now.guest.is_same_as(&before.guest) => {
            Err(Seen::Strange(format!("{vmid} is another guest now: {}", now.guest.title())))
        }
        Some(now) => Ok(now),
    })
}

/// The guest, seen through its snapshots: what goes is a snapshot, and no guest.
fn identity(target: &Target) -> Identity {
    let guest = &target.guest;
    let mut expect = vec![("/guest/kind".to_owned(), json!(guest.kind))];
    match &guest.uuid {
        Some(uuid) => expect.push(("/guest/uuid".to_owned(), json!(uuid))),
        None => expect.push(("/guest/macs".to_owned(), json!(guest.macs))),
    }
    if let Some(taken) = target.snapshot.as_ref().and_then(|snapshot| snapshot.taken) {
        expect.push((format!("/list/{}/taken", target.name), json!(taken)));
    }
    let object = format!("snapshot {} of {}", target.name, guest.title());
    Identity { object, resource: Resource::GuestSnapshots(guest.vmid).key(), expect }
}
