//! Making a guest's disk larger.
//!
//! Source: `resize_vm` of PVE::API2::Qemu and PVE::API2::LXC.

use super::World;
use super::config::{self, bytes};
use super::guest::Guest;
use super::jobs::{Job, Next};
use super::lifecycle::{forked, no_guest};
use super::task::TaskKey;
use crate::lab::call::{Call, PveError, Reply};
use crate::model::ids::{GuestKind, Vmid};

/// What was asked for.
#[derive(Debug, Clone)]
pub(super) struct Resize {
    vmid: Vmid,
    disk: String,
    size: String,
    digest: Option<String>,
}

pub(super) fn take(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let guest = world.guest_of(call)?;
    let text = |name: &str| call.params.get(name).cloned().unwrap_or_default();
    let (vmid, node) = (guest.vmid, guest.node.clone());
    let digest = call.params.get("digest").cloned();
    let resize = Resize { vmid, disk: text("disk"), size: text("size"), digest };
    wanted(guest, &resize)?;
    Ok(forked(world, call, &node, "resize", vmid, Job::Resize(resize)))
}

/// How many bytes the disk is to have; nothing where it has them.
fn wanted(guest: &Guest, resize: &Resize) -> Result<Option<u64>, PveError> {
    guest.check_digest(resize.digest.as_deref())?;
    guest.check_lock()?;
    let disks = guest.config.disks();
    let Some(disk) = disks.into_iter().find(|disk| disk.key == resize.disk) else {
        return Err(PveError::die(format!("disk '{}' does not exist", resize.disk)));
    };
    if disk.cdrom {
        return Err(PveError::die("you can't resize a cdrom"));
    }
    let (more, size) = resize.size.strip_prefix('+').map_or((false, resize.size.as_str()), |size| (true, size));
    let asked = bytes(size).ok_or_else(|| PveError::die("invalid size string"))?;
    let size = if more { disk.size + asked } else { asked };
    match (guest.kind, size.cmp(&disk.size)) {
        (_, std::cmp::Ordering::Greater) => Ok(Some(size)),
        (GuestKind::Qemu, std::cmp::Ordering::Equal) => Ok(None),
        (GuestKind::Qemu, std::cmp::Ordering::Less) => Err(PveError::die("shrinking disks is not supported")),
        (GuestKind::Lxc, std::cmp::Ordering::Equal) => Err(PveError::die("disk is already at specified size")),
        (GuestKind::Lxc, std::cmp::Ordering::Less) => Err(PveError::die("unable to shrink disk size")),
    }
}

pub(super) fn step(world: &mut World, _: TaskKey, resize: &Resize, first: bool) -> Next {
    if first {
        return Next::In(1000);
    }
    let Some(guest) = world.guests.get_mut(&resize.vmid) else { return Next::Done(Err(no_guest(resize.vmid))) };
    match wanted(guest, resize) {
        Err(error) => Next::Done(Err(error.message)),
        Ok(None) => Next::Done(Ok(())),
        Ok(Some(size)) => {
            let line = guest.config.get(&resize.disk).unwrap_or_default();
            let line = config::with_size(line, size);
            guest.config.set(&resize.disk, line);
            Next::Done(Ok(()))
        }
    }
}
