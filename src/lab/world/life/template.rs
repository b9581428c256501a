//! Guests that become templates: their disks are base volumes from then on.

use super::{Work, forked};
use crate::lab::call::{Call, PveError, Reply};
use crate::lab::world::World;
use crate::lab::world::jobs::Next;
use crate::model::ids::{GuestKind, Vmid};

pub(in crate::lab::world) fn take(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let guest = world.guest_of(call)?;
    let what = super::create::word(guest.kind);
    if !guest.snapshots.is_empty() {
        return Err(PveError::die(format!("unable to create template, because {what} contains snapshots")));
    }
    if guest.is_template() {
        return Err(PveError::die("you can't convert a template to a template"));
    }
    if guest.running() {
        return Err(PveError::die(format!("you can't convert a {what} to template if {what} is running")));
    }
    guest.check_lock()?;
    let (vmid, node, kind) = (guest.vmid, guest.node.clone(), guest.kind);
    let task = if kind == GuestKind::Qemu { "qmtemplate" } else { "vztemplate" };
    let reply = forked(world, call, &node, task, vmid.to_string(), Work::Template { vmid });
    // A container's worker is forked as well, and its id is kept to itself.
    Ok(if kind == GuestKind::Lxc { Reply::changed(serde_json::Value::Null) } else { reply })
}

pub(super) fn step(world: &mut World, vmid: Vmid, first: bool) -> Next {
    if first {
        return Next::In(1000);
    }
    let Some(guest) = world.guests.get_mut(&vmid) else {
        return Next::Done(Err(format!("unable to find configuration file for VM {vmid} - no such machine")));
    };
    if let Err(error) = guest.check_lock() {
        return Next::Done(Err(error.message));
    }
    guest.config.set("template", "1");
    for disk in guest.config.disks().into_iter().filter(|disk| !disk.cdrom && !disk.unused) {
        let line = guest.config.get(&disk.key).unwrap_or_default();
        let based = line.replacen(&format!("vm-{vmid}-disk"), &format!("base-{vmid}-disk"), 1);
        let based = based.replacen(&format!("subvol-{vmid}-disk"), &format!("basevol-{vmid}-disk"), 1);
        guest.config.set(&disk.key, based);
    }
    Next::Done(Ok(()))
}
