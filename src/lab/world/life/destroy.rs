//! Destroying guests, with their volumes.

use super::create::word;
use super::{Work, forked};
use crate::lab::call::{Call, PveError, Reply};
use crate::lab::world::World;
use crate::lab::world::jobs::Next;
use crate::model::ids::{GuestKind, Vmid};

pub(in crate::lab::world) fn take(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let guest = world.guest_of(call)?;
    let (vmid, node, kind, what) = (guest.vmid, guest.node.clone(), guest.kind, word(guest.kind));
    if call.params.contains_key("skiplock") && !call.root_ticket {
        return Err(PveError::parameter("skiplock", "Only root may use this option."));
    }
    if guest.config.flag("protection") {
        return Err(PveError::die(format!("can't remove {what} {vmid} - protection mode enabled")));
    }
    if world.ha.resources.contains_key(&guest.sid()) && !call.flag("purge") {
        let text = format!("unable to remove {what} {vmid} - used in HA resources and purge parameter not set.");
        return Err(PveError::die(text));
    }
    if guest.running() && !call.flag("force") {
        return Err(PveError::die(match kind {
            GuestKind::Qemu => format!("VM {vmid} is running - destroy failed"),
            GuestKind::Lxc => format!("unable to destroy CT {vmid} - container is running"),
        }));
    }
    let task = if kind == GuestKind::Qemu { "qmdestroy" } else { "vzdestroy" };
    Ok(forked(world, call, &node, task, vmid.to_string(), Work::Destroy { vmid }))
}

pub(super) fn step(world: &mut World, vmid: Vmid, first: bool) -> Next {
    let Some(guest) = world.guests.get(&vmid) else { return Next::Done(Ok(())) };
    if first {
        if let Err(error) = guest.check_lock() {
            return Next::Done(Err(error.message));
        }
        let bases: Vec<String> = guest.config.disks().into_iter().map(|disk| format!("{}/", disk.volid)).collect();
        let used = world.volumes().find_map(|volume| bases.iter().find(|base| volume.volid.starts_with(*base)));
        if let Some(base) = used {
            let volid = base.trim_end_matches('/');
            return Next::Done(Err(format!("base volume '{volid}' is still in use by linked cloned")));
        }
        if let Some(guest) = world.guests.get_mut(&vmid) {
            guest.config.set("lock", "destroyed");
        }
        return Next::In(2000);
    }
    world.destroy_guest(vmid);
    Next::Done(Ok(()))
}

impl World {
    /// Takes it out of everything that knows of it.
    pub(in crate::lab::world) fn destroy_guest(&mut self, vmid: Vmid) {
        let Some(guest) = self.guests.remove(&vmid) else { return };
        let sid = guest.sid();
        self.machine_destroyed(vmid);
        self.published.guests.remove(&vmid);
        self.ha.resources.remove(&sid);
        for rule in &mut self.ha.rules {
            let left: Vec<&str> = rule.resources.split(',').filter(|one| *one != sid).collect();
            rule.resources = left.join(",");
        }
        self.ha.rules.retain(|rule| !rule.resources.is_empty());
    }
}
