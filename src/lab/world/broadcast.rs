//! The figures that every node publishes each ten seconds, and that `/cluster/resources` shows until the next.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::World;
use super::guest::Guest;
use super::node::HOST_MEMORY;
use crate::model::ids::{GuestKind, NodeName, StorageId, Vmid};

pub(super) const PERIOD_MS: u64 = 10_000;

/// The last figures of each thing, as parts of its row.
#[derive(Debug, Clone, Default)]
pub(super) struct Published {
    pub nodes: BTreeMap<NodeName, Map<String, Value>>,
    pub guests: BTreeMap<Vmid, Map<String, Value>>,
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
    let mut loads: BTreeMap<NodeName, (f64, u64)> = BTreeMap::new();
    for guest in world.guests.values().filter(|guest| guest.running()) {
        let sum = loads.entry(guest.node.clone()).or_default();
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

/// The figures of one guest, as lists on its node give them too.
pub(super) fn guest_figures(world: &World, guest: &Guest) -> Map<String, Value> {
    let load = &guest.load;
    let on = guest.running();
    let live = |n: u64| if on { n } else { 0 };
    let used = live(used_memory(guest));
    let mut row = Map::new();
    let mut put = |key: &str, value: Value| {
        row.insert(key.to_owned(), value);
    };
    put("name", json!(guest.name()));
    put("status", json!(guest.status()));
    put("template", json!(u8::from(guest.is_template())));
    put("uptime", json!(guest.uptime(world.now)));
    put("cpu", if on { json!(load.cpu) } else { json!(0) });
    put("maxcpu", json!(guest.cpus()));
    put("mem", json!(used));
    put("maxmem", json!(guest.memory()));
    if world.nodes.get(&guest.node).is_some_and(super::node::Node::is_nine) && guest.kind == GuestKind::Qemu {
        put("memhost", json!(if on { used + (120 << 20) } else { 0 }));
    }
    let disk = if guest.kind == GuestKind::Lxc && on { guest.max_disk() / 3 } else { 0 };
    put("disk", json!(disk));
    put("maxdisk", json!(guest.max_disk()));
    put("diskread", json!(live(load.disk_read)));
    put("diskwrite", json!(live(load.disk_write)));
    put("netin", json!(live(load.net_in)));
    put("netout", json!(live(load.net_out)));
    row
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
