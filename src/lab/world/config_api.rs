//! Reading and changing a guest's configuration.

use std::collections::BTreeMap;

use serde_json::Value;

use super::World;
use super::config::{self, Config};
use super::jobs::Job;
use super::task::Start;
use crate::lab::call::{Call, PveError, Reply};
use crate::model::ids::{GuestKind, Vmid};

/// Parameters that say how, not what.
const CONTROLS: [&str; 6] = ["digest", "delete", "revert", "skiplock", "force", "background_delay"];

/// A change that has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    set: BTreeMap<String, String>,
    delete: Vec<String>,
    /// Keys whose waiting change is called off.
    revert: Vec<String>,
    digest: Option<String>,
    skiplock: bool,
}

pub(super) fn read(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let guest = world.guest_of(call)?;
    if let Some(name) = call.params.get("snapshot") {
        let snapshot = guest.snapshots.iter().find(|snapshot| snapshot.name == *name);
        let snapshot = snapshot.ok_or_else(|| PveError::die(format!("snapshot '{name}' does not exist")))?;
        let mut body = snapshot.config.to_json(guest.kind);
        body.insert("digest".into(), guest.digest().into());
        return Ok(Reply::read(Value::Object(body)));
    }
    Ok(Reply::read(Value::Object(guest.config_body(call.params.get("current").is_some_and(|flag| flag == "1")))))
}

/// PUT: at once.
pub(super) fn change(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let change = asked(call)?;
    let vmid = world.guest_of(call)?.vmid;
    apply(world, vmid, &change)?;
    Ok(Reply::changed(Value::Null))
}

/// POST: in a task; the same checks come first and again inside.
pub(super) fn change_in_task(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let change = asked(call)?;
    let guest = world.guest_of(call)?;
    check(guest, &change)?;
    let (vmid, node) = (guest.vmid, guest.node.clone());
    let start = Start { node: &node, kind: "qmconfig", id: vmid.to_string(), user: &call.user };
    let key = world.fork(start, Job::Config { vmid, change });
    Ok(Reply::changed(world.upid(key)))
}

fn asked(call: &Call) -> Result<Change, PveError> {
    let skiplock = call.params.get("skiplock").is_some_and(|flag| flag == "1");
    if call.params.contains_key("skiplock") && !call.root_ticket {
        return Err(PveError::parameter("skiplock", "Only root may use this option."));
    }
    let set: BTreeMap<String, String> = call
        .params
        .iter()
        .filter(|(key, _)| !CONTROLS.contains(&key.as_str()))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    let keys = |name: &str| call.list(name).map(str::to_owned).collect::<Vec<_>>();
    let (delete, revert) = (keys("delete"), keys("revert"));
    if let Some(key) = delete.iter().find(|key| set.contains_key(*key)) {
        return Err(PveError::parameter(
            "delete",
            format!("you can't use '-{key}' and -delete {key}' at the same time"),
        ));
    }
    if !call.root_ticket {
        let names = set.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        only_for_root(names.chain(delete.iter().map(|key| (key.as_str(), ""))))?;
    }
    if set.is_empty() && delete.is_empty() && revert.is_empty() {
        return Err(PveError::die("no options specified"));
    }
    Ok(Change { set, delete, revert, digest: call.params.get("digest").cloned(), skiplock })
}

/// Options that no privilege gives to anybody but `root@pam`, tokens of root included.
fn only_for_root<'a>(mut changes: impl Iterator<Item = (&'a str, &'a str)>) -> Result<(), PveError> {
    let found = changes.find_map(|(key, value)| match config::stem(key) {
        "lock" | "args" | "parallel" => Some(format!("only root can set '{key}' config")),
        "hostpci" | "usb" if !value.is_empty() && !value.contains("mapping=") && !value.starts_with("spice") => {
            Some(format!("only root can set '{key}' config for non-mapped devices"))
        }
        _ => None,
    });
    found.map_or(Ok(()), |text| Err(PveError::die(text)))
}

fn check(guest: &super::guest::Guest, change: &Change) -> Result<(), PveError> {
    guest.check_digest(change.digest.as_deref())?;
    if !change.skiplock {
        guest.check_lock()?;
    }
    Ok(())
}

/// Carries the change out.
///
/// # Errors
/// A stale digest, a lock, a storage that the node has not.
pub(super) fn apply(world: &mut World, vmid: Vmid, change: &Change) -> Result<(), PveError> {
    let missing = || PveError::die(format!("unable to find configuration file for VM {vmid}"));
    let guest = world.guests.get(&vmid).ok_or_else(missing)?;
    check(guest, change)?;
    let kind = guest.kind;
    let node = guest.node.clone();
    let mut config = guest.merged();
    for key in &change.revert {
        match guest.config.get(key) {
            Some(value) => config.set(key, value),
            None => config.remove(key),
        }
    }
    for key in &change.delete {
        detach(&mut config, key);
    }
    for (key, value) in &change.set {
        let value = match config::stem(key) {
            "net" => with_mac(kind, value, world.rng.mac()),
            "tags" => normal_tags(value),
            "scsi" | "virtio" | "sata" | "ide" | "mp" => new_volume(world, &config, kind, vmid, key, value, &node)?,
            _ => value.clone(),
        };
        if value.is_empty() { config.remove(key) } else { config.set(key, value) }
    }
    if let Some(guest) = world.guests.get_mut(&vmid) {
        guest.reconfigure(config);
    }
    Ok(())
}

/// A disk that is taken away stays as `unusedN`; all else is gone.
fn detach(config: &mut Config, key: &str) {
    let disk = config.disks().into_iter().find(|disk| disk.key == key && !disk.cdrom && !disk.unused);
    config.remove(key);
    if let Some(disk) = disk
        && let Some(free) = (0..256).map(|n| format!("unused{n}")).find(|key| config.get(key).is_none())
    {
        config.set(&free, disk.volid);
    }
}

/// Tags as they are stored: lower case, each once, in order, joined by semicolons.
pub(super) fn normal_tags(text: &str) -> String {
    let mut tags: Vec<String> =
        text.split([',', ';', ' ']).filter(|tag| !tag.is_empty()).map(str::to_lowercase).collect();
    tags.sort();
    tags.dedup();
    tags.join(";")
}

/// A network line without an address gets a new one, as on the real server.
pub(super) fn with_mac(kind: GuestKind, text: &str, fresh: String) -> String {
    let parts: Vec<&str> = text.split(',').collect();
    if kind == GuestKind::Lxc {
        let has = parts.iter().any(|part| part.starts_with("hwaddr="));
        return if has { text.to_owned() } else { format!("{text},hwaddr={fresh}") };
    }
    let given = config::option(text, "macaddr").map(str::to_uppercase);
    let (first, rest) = (parts[0], &parts[1..]);
    let head = match first.split_once('=') {
        Some(("model", model)) => format!("{model}={}", given.unwrap_or(fresh)),
        Some((model, mac)) => format!("{model}={}", mac.to_uppercase()),
        None => format!("{first}={}", given.unwrap_or(fresh)),
    };
    let rest = rest.iter().filter(|part| !part.starts_with("macaddr="));
    std::iter::once(head.as_str()).chain(rest.copied()).collect::<Vec<_>>().join(",")
}

/// `ceph-vm:32` asks for a new volume of 32 GiB; anything else is taken as it is.
fn new_volume(
    world: &World,
    config: &Config,
    kind: GuestKind,
    vmid: Vmid,
    key: &str,
    value: &str,
    node: &crate::model::ids::NodeName,
) -> Result<String, PveError> {
    let (volume, options) = value.split_once(',').unwrap_or((value, ""));
    let Some((storage, size)) = volume.split_once(':').filter(|(storage, _)| !storage.starts_with('/')) else {
        return Ok(value.to_owned());
    };
    if !world.storages.contains_key(storage) {
        return Err(PveError::die(format!("storage '{storage}' does not exist")));
    }
    if !world.available(storage, node) {
        return Err(PveError::die(format!("storage '{storage}' is not available on node '{node}'")));
    }
    let Ok(gib) = size.parse::<f64>() else { return Ok(value.to_owned()) };
    let content = if kind == GuestKind::Lxc { "rootdir" } else { "images" };
    if !world.storages.get(storage).is_some_and(|storage| storage.has_content(content)) {
        return Err(PveError::parameter(key, format!("storage '{storage}' does not support vm images")));
    }
    let taken: Vec<String> = config.disks().into_iter().map(|disk| disk.volid).collect();
    let names = (0..).map(|n| format!("{storage}:{}", config::volume_name(world.plugin(storage), kind, vmid, n)));
    let volid = names.into_iter().find(|volid| !taken.contains(volid)).expect("an endless list has a free name");
    let options = if options.is_empty() { String::new() } else { format!("{options},") };
    Ok(format!("{volid},{options}size={gib}G"))
}
