//! VMs that stand still, in memory or on disk, and go on; the reset button.
//!
//! Source: `vm_suspend`, `vm_resume` and `vm_reset` of PVE::API2::Qemu and PVE::QemuServer.

use super::World;
use super::guest::Guest;
use super::jobs::{Job, Next};
use super::lifecycle::{forked, no_guest, start_step};
use super::task::TaskKey;
use crate::lab::call::{Call, PveError, Reply};
use crate::model::ids::Vmid;

/// What a VM's memory on disk is known by in its configuration.
const ON_DISK: [&str; 3] = ["vmstate", "runningmachine", "runningcpu"];
/// How long its memory takes to be written.
const WRITE_MS: u64 = 6000;

fn running<'a>(world: &'a World, call: &Call) -> Result<&'a Guest, PveError> {
    let guest = world.guest_of(call)?;
    match guest.running() {
        true => Ok(guest),
        false => Err(PveError::die(format!("VM {} not running", guest.vmid))),
    }
}

pub(super) fn suspend(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let to_disk = call.flag("todisk");
    let guest = running(world, call)?;
    if to_disk && world.ha.manages(&guest.sid()) {
        return Err(PveError::die("Cannot suspend HA managed VM to disk"));
    }
    let (vmid, node) = (guest.vmid, guest.node.clone());
    let kind = if to_disk { "qmsuspend" } else { "qmpause" };
    Ok(forked(world, call, &node, kind, vmid, Job::Suspend { vmid, to_disk }))
}

pub(super) fn resume(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let guest = world.guest_of(call)?;
    if guest.config.get("lock") != Some("suspended") {
        running(world, call)?;
    }
    let guest = world.guest_of(call)?;
    let (vmid, node) = (guest.vmid, guest.node.clone());
    Ok(forked(world, call, &node, "qmresume", vmid, Job::Resume { vmid }))
}

pub(super) fn reset(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let guest = running(world, call)?;
    let (vmid, node) = (guest.vmid, guest.node.clone());
    Ok(forked(world, call, &node, "qmreset", vmid, Job::Reset { vmid }))
}

pub(super) fn suspend_step(world: &mut World, vmid: Vmid, to_disk: bool, first: bool) -> Next {
    let Some(guest) = world.guests.get_mut(&vmid) else { return Next::Done(Err(no_guest(vmid))) };
    if !first {
        if guest.config.get("lock") != Some("suspending") {
            return Next::Done(Err("lock changed unexpectedly".into()));
        }
        guest.config.set("lock", "suspended");
        world.power_off(vmid);
        return Next::Done(Ok(()));
    }
    if let Err(error) = guest.check_lock() {
        return Next::Done(Err(error.message));
    }
    let Some(run) = guest.run.as_mut() else { return Next::Done(Err(format!("VM {vmid} not running"))) };
    if !to_disk {
        run.paused = true;
        return Next::Done(Ok(()));
    }
    let machine = run.machine.clone();
    let storage = guest.config.disks().first().map_or_else(|| "local".to_owned(), |disk| disk.storage.to_string());
    guest.config.set("lock", "suspending");
    guest.config.set("vmstate", format!("{storage}:vm-{vmid}-state-suspend"));
    guest.config.set("runningmachine", machine);
    Next::In(WRITE_MS)
}

pub(super) fn resume_step(world: &mut World, key: TaskKey, vmid: Vmid, first: bool) -> Next {
    let Some(guest) = world.guests.get_mut(&vmid) else { return Next::Done(Err(no_guest(vmid))) };
    let Some(run) = guest.run.as_mut() else { return start_step(world, key, vmid, first) };
    run.paused = false;
    match guest.check_lock() {
        Err(error) => Next::Done(Err(error.message)),
        Ok(()) => Next::Done(Ok(())),
    }
}

pub(super) fn reset_step(world: &mut World, vmid: Vmid) -> Next {
    let done = match world.guests.get(&vmid) {
        None => Err(no_guest(vmid)),
        Some(guest) if !guest.running() => Err(format!("VM {vmid} not running")),
        Some(guest) => guest.check_lock().map_err(|error| error.message),
    };
    if done.is_ok() {
        world.machine_power(vmid, true);
    }
    Next::Done(done)
}

impl Guest {
    /// Forgets the memory on disk: the guest has taken it over.
    pub(super) fn wake(&mut self) {
        if self.config.get("lock") == Some("suspended") {
            for key in ON_DISK.into_iter().chain(["lock"]) {
                self.config.remove(key);
            }
        }
    }
}
