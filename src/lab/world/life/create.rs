//! Making guests: the configuration is reserved at once, filled by the task.

use std::collections::BTreeMap;

use super::volume::{self, Place};
use super::{COPY_RATE, Work, described, forked};
use crate::lab::call::{Call, PveError, Reply};
use crate::lab::scenario::AgentSpec;
use crate::lab::world::backup::restore;
use crate::lab::world::config::{self, Config};
use crate::lab::world::config_api::{normal_tags, with_mac};
use crate::lab::world::guest::{Guest, Load};
use crate::lab::world::jobs::Next;
use crate::lab::world::task::TaskKey;
use crate::lab::world::{World, lifecycle};
use crate::model::ids::{GuestKind, NodeName, Vmid};

/// Parameters that say how, not what.
const CONTROLS: [&str; 20] = [
    "archive",
    "bwlimit",
    "force",
    "ha-managed",
    "ignore-unpack-errors",
    "import-working-storage",
    "live-restore",
    "node",
    "ostemplate",
    "password",
    "pool",
    "restore",
    "skip-qemu-start",
    "ssh-public-keys",
    "start",
    "storage",
    "unique",
    "vmid",
    "digest",
    "entrypoint",
];

/// A guest that is to be.
#[derive(Debug, Clone)]
pub(in crate::lab::world) struct Create {
    pub vmid: Vmid,
    config: Config,
    copied: u64,
    start: bool,
}

/// A guest of which only that it is being made is known.
pub(super) fn reserved(vmid: Vmid, kind: GuestKind, node: &NodeName, lock: &str, pool: Option<String>) -> Guest {
    let mut config = Config::default();
    config.set("lock", lock);
    Guest {
        vmid,
        kind,
        node: node.clone(),
        config,
        pending: BTreeMap::new(),
        snapshots: Vec::new(),
        run: None,
        pool,
        ip: None,
        agent: AgentSpec::default(),
        inside: Vec::new(),
        shutdown_ms: if kind == GuestKind::Qemu { 8000 } else { 4000 },
        held_by: None,
        load: Load { cpu: 0.02, memory: 0.5, ..Load::default() },
    }
}

pub(in crate::lab::world) fn take(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    if call.params.contains_key("archive") || call.flag("restore") {
        return restore::take(world, call);
    }
    let (node, _) = world.node_of(call)?;
    let kind = if call.template.ends_with("/lxc") { GuestKind::Lxc } else { GuestKind::Qemu };
    let text = call.params.get("vmid").map(String::as_str).unwrap_or_default();
    let vmid: Vmid =
        text.parse().map_err(|_| PveError::parameter("vmid", "property is missing and it is not optional"))?;
    if let Some(there) = world.guests.get(&vmid) {
        let (new, old) = (word(kind), word(there.kind));
        let text = format!("unable to create {new} {vmid} - {old} {vmid} already exists on node '{}'", there.node);
        return Err(PveError::die(text));
    }
    let (config, copied) = configured(world, call, &node, kind, vmid)?;
    let task = if kind == GuestKind::Qemu { "qmcreate" } else { "vzcreate" };
    world.guests.insert(vmid, reserved(vmid, kind, &node, "create", call.params.get("pool").cloned()));
    let work = Work::Create(Create { vmid, config, copied, start: call.flag("start") });
    Ok(forked(world, call, &node, task, vmid.to_string(), work))
}

pub(super) fn word(kind: GuestKind) -> &'static str {
    if kind == GuestKind::Qemu { "VM" } else { "CT" }
}

fn configured(
    world: &mut World,
    call: &Call,
    node: &NodeName,
    kind: GuestKind,
    vmid: Vmid,
) -> Result<(Config, u64), PveError> {
    let mut config = match kind {
        GuestKind::Qemu => of_vm(world),
        GuestKind::Lxc => of_container(vmid),
    };
    if kind == GuestKind::Lxc {
        let template = call.params.get("ostemplate").map(String::as_str).unwrap_or_default();
        let missing = || PveError::die(format!("volume '{template}' does not exist"));
        Place { world, kind, vmid, node }.file(template).ok_or_else(missing)?;
    }
    let mut copied = 0;
    for (key, value) in call.params.iter().filter(|(key, _)| !CONTROLS.contains(&key.as_str())) {
        let value = match config::stem(key) {
            "net" => {
                let mac = world.rng.mac();
                with_mac(kind, value, mac)
            }
            "tags" => normal_tags(value),
            "description" => described(value),
            _ if volume::is_disk(key) => {
                let laid = Place { world, kind, vmid, node }.lay(&config, key, value)?;
                copied += laid.copied;
                laid.line
            }
            _ => value.clone(),
        };
        if !value.is_empty() {
            config.set(key, value);
        }
    }
    if kind == GuestKind::Qemu && config.get("boot").is_none() {
        let disks = config.disk_lines().filter(|disk| !matches!(disk.key, "efidisk0" | "tpmstate0"));
        let order: Vec<&str> = disks.map(|disk| disk.key).collect();
        let order = format!("order={}", order.join(";"));
        config.set("boot", order);
    }
    Ok((config, copied))
}

fn of_vm(world: &mut World) -> Config {
    let mut config = Config::default();
    let uuid = world.rng.uuid();
    config.set("smbios1", format!("uuid={uuid}"));
    config.set("vmgenid", world.rng.uuid());
    config.set("meta", format!("creation-qemu=10.1.2,ctime={}", world.seconds()));
    config.set("memory", "512");
    config
}

fn of_container(vmid: Vmid) -> Config {
    let mut config = Config::default();
    for (key, value) in [("arch", "amd64"), ("memory", "512"), ("ostype", "debian"), ("swap", "512")] {
        config.set(key, value);
    }
    config.set("hostname", format!("CT{vmid}"));
    config
}

pub(super) fn step(world: &mut World, key: TaskKey, create: &mut Create, first: bool) -> Next {
    let vmid = create.vmid;
    if first {
        return Next::In(1000 + create.copied * 1000 / COPY_RATE);
    }
    let keeps = world.has_fault(key, &crate::lab::world::FaultKind::KeepLock);
    let Some(guest) = world.guests.get_mut(&vmid) else {
        return Next::Done(Err(format!("unable to find configuration file for VM {vmid} - no such machine")));
    };
    guest.config = create.config.clone();
    if keeps {
        guest.config.set("lock", "create");
    }
    if create.start
        && let Some(guest) = world.guests.get(&vmid)
    {
        match lifecycle::start_trouble(world, guest, &guest.node) {
            None => world.power_on(vmid),
            Some((_, cause)) => world.warn(key, &format!("starting failed: {cause}")),
        }
    }
    Next::Done(Ok(()))
}
