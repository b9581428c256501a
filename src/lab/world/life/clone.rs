//! Clones: full ones are copied, linked ones rest on a template's base volumes.

use super::create::{reserved, word};
use super::volume::Place;
use super::{COPY_RATE, Work, described, forked};
use crate::lab::call::{Call, PveError, Reply};
use crate::lab::world::config::{self, Config, Disk};
use crate::lab::world::guest::Guest;
use crate::lab::world::jobs::Next;
use crate::lab::world::task::TaskKey;
use crate::lab::world::{FaultKind, World};
use crate::model::ids::{GuestKind, NodeName, Vmid};

/// How long a worker waits for the source's lock file.
const LOCK_WAIT_MS: u64 = 1000;
/// Storage kinds that make linked clones.
const LINKING: [&str; 6] = ["lvmthin", "zfspool", "rbd", "dir", "nfs", "cifs"];

/// A clone in the making.
#[derive(Debug, Clone)]
pub(in crate::lab::world) struct Copying {
    source: Vmid,
    pub newid: Vmid,
    node: NodeName,
    config: Config,
    copied: u64,
    began: bool,
    /// Why it cannot be: the new configuration is another node's.
    pub doomed: Option<String>,
}

pub(in crate::lab::world) fn take(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let source = world.guest_of(call)?.clone();
    source.check_lock()?;
    let param = |name: &str| call.params.get(name).map(String::as_str);
    let newid: Vmid = param("newid")
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| PveError::parameter("newid", "property is missing and it is not optional"))?;
    let full = param("full").map_or(!source.is_template(), |flag| flag == "1");
    for name in ["storage", "format"].into_iter().filter(|_| !full) {
        if param(name).is_some() {
            return Err(PveError::parameter(name, format!("parameter '{name}' not allowed for linked clones")));
        }
    }
    let node = match param("target") {
        Some(target) => world.check_node_exists(target)?,
        None => source.node.clone(),
    };
    let mut old = source.config.clone();
    if let Some(name) = param("snapname") {
        let snapshot = source.snapshots.iter().find(|one| one.name == name);
        old = snapshot.ok_or_else(|| PveError::die(format!("snapshot '{name}' does not exist")))?.config.clone();
    } else if source.kind == GuestKind::Lxc && full && source.running() {
        return Err(PveError::die("Full clone of a running container is only possible from a snapshot"));
    }
    if node != source.node {
        elsewhere(world, &source, &node, param("storage"))?;
    }
    if let Some(there) = world.guests.get(&newid).filter(|there| there.node == node) {
        let what = word(there.kind);
        return Err(PveError::die(format!("unable to create {what} {newid}: config file already exists")));
    }
    let (config, copied) = cloned(world, call, &source, old, &node, newid, full)?;
    let folder = if source.kind == GuestKind::Qemu { "qemu-server" } else { "lxc" };
    let doomed = world.guests.contains_key(&newid).then(|| {
        format!("close (rename) atomic file '/etc/pve/nodes/{node}/{folder}/{newid}.conf' failed: File exists")
    });
    if doomed.is_none() {
        let pool = param("pool").map(str::to_owned);
        world.guests.insert(newid, reserved(newid, source.kind, &node, "clone", pool));
    }
    let task = if source.kind == GuestKind::Qemu { "qmclone" } else { "vzclone" };
    let (vmid, at) = (source.vmid, source.node.clone());
    let copying = Copying { source: vmid, newid, node, config, copied, began: false, doomed };
    Ok(forked(world, call, &at, task, vmid.to_string(), Work::Clone(copying)))
}

/// A clone for another node: every volume must be there, too.
fn elsewhere(world: &World, source: &Guest, node: &NodeName, storage: Option<&str>) -> Result<(), PveError> {
    if let Some(storage) = storage.filter(|storage| !world.is_shared(storage)) {
        return Err(PveError::die(format!("can't clone to non-shared storage '{storage}'")));
    }
    if source.config.disks().iter().any(|disk| !world.is_shared(disk.storage.as_str())) {
        let what = word(source.kind);
        return Err(PveError::die(format!("can't clone {what} to node '{node}' ({what} uses local storage)")));
    }
    Ok(())
}

fn cloned(
    world: &mut World,
    call: &Call,
    source: &Guest,
    mut config: Config,
    node: &NodeName,
    newid: Vmid,
    full: bool,
) -> Result<(Config, u64), PveError> {
    let kind = source.kind;
    let mut copied = 0;
    let disks = config.disks();
    for key in ["lock", "parent", "template", "vmstate"] {
        config.remove(key);
    }
    // Their places are taken one after another.
    disks.iter().for_each(|disk| config.remove(&disk.key));
    for disk in disks.iter().filter(|disk| !disk.unused) {
        let line = source.config.get(&disk.key).unwrap_or_default();
        let place = Place { world, kind, vmid: newid, node };
        let volid = if disk.cloudinit {
            place.cloudinit(call.params.get("storage").map_or(disk.storage.as_str(), String::as_str))
        } else if disk.cdrom {
            disk.volid.clone()
        } else if full {
            let storage = call.params.get("storage").map_or(disk.storage.as_str(), String::as_str);
            place.check_storage(storage)?;
            place.check_content("storage", storage)?;
            copied += disk.size;
            place.free_name(&config, storage)
        } else {
            linked(world, disk, newid)?
        };
        let rest = line.split_once(',').map(|(_, rest)| format!(",{rest}")).unwrap_or_default();
        config.set(&disk.key, format!("{volid}{rest}"));
    }
    let nets: Vec<(String, String)> = config.0.iter().filter(|(key, _)| config::stem(key) == "net").map(own).collect();
    for (key, value) in nets {
        let mac = world.rng.mac();
        config.set(&key, fresh_mac(&value, &mac));
    }
    let (key, param) = if kind == GuestKind::Qemu { ("name", "name") } else { ("hostname", "hostname") };
    let default = if kind == GuestKind::Qemu { "Copy-of-VM" } else { "Copy-of-CT" };
    let name = call.params.get(param).cloned();
    config.set(key, name.unwrap_or_else(|| format!("{default}-{}", source.name())));
    if kind == GuestKind::Qemu {
        let uuid = world.rng.uuid();
        config.set("smbios1", format!("uuid={uuid}"));
        config.set("vmgenid", world.rng.uuid());
    }
    if let Some(text) = call.params.get("description") {
        config.set("description", described(text));
    }
    Ok((config, copied))
}

fn own((key, value): (&String, &String)) -> (String, String) {
    (key.clone(), value.clone())
}

fn linked(world: &World, disk: &Disk, newid: Vmid) -> Result<String, PveError> {
    let (storage, base) = disk.volid.split_once(':').unwrap_or_default();
    if !LINKING.contains(&world.plugin(storage)) || !base.contains("base-") {
        let (volid, key) = (&disk.volid, &disk.key);
        return Err(PveError::die(format!("Linked clone feature is not supported for '{volid}' ({key})")));
    }
    let n = base.rsplit("disk-").next().and_then(|text| text.split('.').next()).unwrap_or("0");
    Ok(match base.rsplit_once('.') {
        Some((_, format)) => format!("{storage}:{base}/{newid}/vm-{newid}-disk-{n}.{format}"),
        None => format!("{storage}:{base}/vm-{newid}-disk-{n}"),
    })
}

/// The line with another address in the place of the old one.
fn fresh_mac(line: &str, mac: &str) -> String {
    let is_mac = |text: &str| text.len() == 17 && text.matches(':').count() == 5;
    let part = |part: &str| match part.split_once('=') {
        Some((name, value)) if is_mac(value) => format!("{name}={mac}"),
        _ => part.to_owned(),
    };
    line.split(',').map(part).collect::<Vec<_>>().join(",")
}

pub(super) fn step(world: &mut World, key: TaskKey, copying: &mut Copying, first: bool) -> Next {
    if first {
        return Next::In(500);
    }
    if let Some(why) = &copying.doomed {
        return Next::Done(Err(format!("clone failed: {why}")));
    }
    if !copying.began {
        copying.began = true;
        let Some(source) = world.guests.get_mut(&copying.source) else {
            return Next::Done(Err(format!("clone failed: Configuration file of {} does not exist", copying.source)));
        };
        if let Err(error) = source.check_lock() {
            return Next::Done(Err(error.message));
        }
        if source.running() {
            // A running source is locked for this one alone.
            if source.held_by.is_some_and(|holder| holder != key) {
                let file = format!("/var/lock/qemu-server/lock-{}.conf", copying.source);
                return Next::Done(Err(format!("can't lock file '{file}' - got timeout")));
            }
            source.held_by = Some(key);
        }
        return Next::In(LOCK_WAIT_MS + copying.copied * 1000 / COPY_RATE);
    }
    world.machine_cloned(copying.source, copying.newid);
    let keeps = world.has_fault(key, &FaultKind::KeepLock);
    let Some(guest) = world.guests.get_mut(&copying.newid).filter(|guest| guest.node == copying.node) else {
        return Next::Done(Err("clone failed: the new configuration is gone".into()));
    };
    guest.config = copying.config.clone();
    if keeps {
        guest.config.set("lock", "clone");
    }
    Next::Done(Ok(()))
}
