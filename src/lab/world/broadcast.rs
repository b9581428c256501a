//! The figures that every node publishes each ten seconds, and that `/cluster/resources` shows until the next.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::World;
use super::guest::Guest;
use super::node::HOST_MEMORY;
use crate::model::ids::{GuestKind, NodeName, StorageId, Vmid};

pub(super) const PERIOD_MS: u64 = 10_000;
/// What QEMU needs beside the memory of its guest, bytes.
const VM_OVERHEAD: u64 = 120 << 20;

/// The last figures of each thing, as parts of its row.
#[derive(Debug, Clone, Default)]
pub(super) struct Published {
    pub nodes: BTreeMap<NodeName, Map<String, Value>>,
    pub guests: BTreeMap<Vmid, Figures>,
    /// Used bytes.
    pub storages: BTreeMap<(NodeName, StorageId), u64>,
}

/// Lets the loads drift a little and publishes what nodes that are up know.
pub(super) fn refresh(world: &mut World) {
    drift(world);
    let mut published = std::mem::take(&mut world.published);
    published.guests.retain(|vmid, _| world.guests.contains_key(vmid));
    let up: Vec<NodeName> = world.nodes.iter().filter(|(_, node)| node.up).map(|(name, _)| name.clone()).collect();
    for guest in world.guests.values().filter(|guest| world.node_up(&guest.node)) {
        published.guests.insert(guest.vmid, guest_figures(world, guest));
    }
    let usage = world.usage();
    let loads = node_loads(world);
    for name in up {
        let (cpu, memory) = loads.get(&name).copied().unwrap_or_default();
        published.nodes.insert(name.clone(), node_figures(world, &name, cpu, memory));
        for id in world.storages.iter().filter(|(_, s)| s.on(name.as_str())).map(|(id, _)| id) {
            published.storages.insert((name.clone(), id.clone()), world.used(&usage, id, &name));
        }
    }
    world.published = published;
}

/// Threads in use and bytes of memory in use by guests, of each node, in one pass.
pub(super) fn node_loads(world: &World) -> BTreeMap<NodeName, (f64, u64)> {
    let mut loads: BTreeMap<NodeName, (f64, u64)> = world.nodes.keys().map(|name| (name.clone(), (0.0, 0))).collect();
    for guest in world.guests.values().filter(|guest| guest.running()) {
        let Some(sum) = loads.get_mut(&guest.node) else { continue };
        sum.0 += guest.load.cpu * guest.cpus() as f64;
        sum.1 += used_memory(guest);
    }
    loads
}

pub(super) fn used_memory(guest: &Guest) -> u64 {
    (guest.memory() as f64 * guest.load.memory) as u64
}

fn drift(world: &mut World) {
    for guest in world.guests.values_mut().filter(|guest| guest.run.is_some()) {
        let load = &mut guest.load;
        load.cpu = (load.cpu + (world.rng.fraction() - 0.5) * 0.02).clamp(0.002, 0.9);
        load.memory = (load.memory + (world.rng.fraction() - 0.5) * 0.01).clamp(0.2, 0.95);
        load.disk_read += world.rng.next() % 4_000_000;
        load.disk_write += world.rng.next() % 2_000_000;
        load.net_in += world.rng.next() % 900_000;
        load.net_out += world.rng.next() % 300_000;
    }
    for node in world.nodes.values_mut() {
        node.cpu = (node.cpu + (world.rng.fraction() - 0.5) * 0.004).clamp(0.004, 0.05);
    }
}

/// One guest's figures. They are made for every guest each ten seconds, and only turned into a row when asked for.
#[derive(Debug, Clone)]
pub(super) struct Figures {
    name: String,
    status: &'static str,
    template: bool,
    uptime: i64,
    cpu: f64,
    cpus: u64,
    memory: u64,
    max_memory: u64,
    /// What the host sees of it; only a VM's, only on 9.
    host_memory: Option<u64>,
    disk: u64,
    max_disk: u64,
    /// Bytes read, written, received and sent.
    io: [u64; 4],
}

/// The figures of one guest as they are now.
pub(super) fn guest_figures(world: &World, guest: &Guest) -> Figures {
    let load = &guest.load;
    let on = guest.running();
    let memory = if on { used_memory(guest) } else { 0 };
    let nine = world.nodes.get(&guest.node).is_some_and(super::node::Node::is_nine);
    let max_disk = guest.max_disk();
    Figures {
        name: guest.name(),
        status: guest.status(),
        template: guest.is_template(),
        uptime: guest.uptime(world.now),
        cpu: if on { load.cpu } else { 0.0 },
        cpus: guest.cpus(),
        memory,
        max_memory: guest.memory(),
        host_memory: (nine && guest.kind == GuestKind::Qemu).then_some(if on { memory + VM_OVERHEAD } else { 0 }),
        disk: if guest.kind == GuestKind::Lxc && on { max_disk / 3 } else { 0 },
        max_disk,
        io: if on { [load.disk_read, load.disk_write, load.net_in, load.net_out] } else { [0; 4] },
    }
}

impl Figures {
    /// As the parts of a row.
    pub fn row(&self) -> Map<String, Value> {
        let cpu = if self.status == "running" { json!(self.cpu) } else { json!(0) };
        let [disk_read, disk_write, net_in, net_out] = self.io;
        let mut row = Map::new();
        for (key, value) in [
            ("name", json!(self.name)),
            ("status", json!(self.status)),
            ("template", json!(u8::from(self.template))),
            ("uptime", json!(self.uptime)),
            ("cpu", cpu),
            ("maxcpu", json!(self.cpus)),
            ("mem", json!(self.memory)),
            ("maxmem", json!(self.max_memory)),
            ("disk", json!(self.disk)),
            ("maxdisk", json!(self.max_disk)),
            ("diskread", json!(disk_read)),
            ("diskwrite", json!(disk_write)),
            ("netin", json!(net_in)),
            ("netout", json!(net_out)),
        ] {
            row.insert(key.into(), value);
        }
        if let Some(bytes) = self.host_memory {
            row.insert("memhost".into(), json!(bytes));
        }
        row
    }
}

fn node_figures(world: &World, name: &NodeName, cpu: f64, memory: u64) -> Map<String, Value> {
    let Some(node) = world.nodes.get(name) else { return Map::new() };
    let figures = json!({
        "cpu": (node.cpu + cpu / f64::from(node.threads)).min(1.0),
        "maxcpu": node.threads,
        "mem": (HOST_MEMORY + memory).min(node.memory),
        "maxmem": node.memory,
        "disk": node.root / 8,
        "maxdisk": node.root,
        "uptime": (world.now as i64 - node.since) / 1000,
    });
    figures.as_object().cloned().unwrap_or_default()
}
