//! `GET …/migrate`: what the server says beforehand, with its quirks: every other node is in `not_allowed_nodes`
//! (allowed ones with `{}`), nodes that are down are allowed, and memory, bridges and snapshots do not count.

use serde_json::{Map, Value, json};

use super::scan;
use crate::lab::call::{Call, PveError, Reply};
use crate::lab::world::World;
use crate::lab::world::guest::Guest;
use crate::model::ids::{GuestKind, NodeName};

pub(in crate::lab::world) fn read(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    world.check_quorum()?;
    let guest = world.guest_of(call)?;
    let nine = world.nodes.get(&guest.node).is_some_and(|node| node.is_nine());
    match guest.kind {
        GuestKind::Qemu => {
            guest.check_lock()?;
            Ok(Reply::read(Value::Object(vm(world, guest, nine))))
        }
        GuestKind::Lxc => Ok(Reply::read(Value::Object(container(world, guest)))),
    }
}

/// Allowed nodes, and what stands against each of the others.
fn nodes(world: &World, guest: &Guest, storages: bool, ha: bool) -> (Vec<String>, Map<String, Value>) {
    let (mut allowed, mut against) = (Vec::new(), Map::new());
    for name in world.nodes.keys().filter(|name| **name != guest.node) {
        let reasons = reasons(world, guest, name, storages, ha);
        if reasons.is_empty() {
            allowed.push(name.to_string());
        }
        against.insert(name.to_string(), Value::Object(reasons));
    }
    (allowed, against)
}

fn reasons(world: &World, guest: &Guest, node: &NodeName, storages: bool, ha: bool) -> Map<String, Value> {
    let mut reasons = Map::new();
    let missing = if storages { scan::unavailable_storages(world, guest, node) } else { Vec::new() };
    if !missing.is_empty() {
        reasons.insert("unavailable_storages".into(), json!(missing));
    }
    let lacking: Vec<String> = world
        .mapped_devices(guest)
        .into_iter()
        .filter(|(_, id, class)| storages && !world.has_mapping(class, id, node.as_str()))
        .map(|(key, _, _)| key)
        .collect();
    if !lacking.is_empty() {
        reasons.insert("unavailable-resources".into(), json!(lacking));
    }
    let blocking = if ha { world.ha.blocking(world, &guest.sid(), node) } else { Vec::new() };
    if !blocking.is_empty() {
        let rows: Vec<Value> = blocking.iter().map(|sid| json!({"sid": sid, "cause": "resource-affinity"})).collect();
        reasons.insert("blocking-ha-resources".into(), json!(rows));
    }
    reasons
}

fn vm(world: &World, guest: &Guest, nine: bool) -> Map<String, Value> {
    let mut out = Map::new();
    let (allowed, against) = nodes(world, guest, true, nine);
    out.insert("running".into(), json!(u8::from(guest.running())));
    if nine {
        out.insert("has-dbus-vmstate".into(), json!(1));
    }
    out.insert("allowed_nodes".into(), json!(allowed));
    out.insert("not_allowed_nodes".into(), Value::Object(against));
    let disks: Vec<Value> = scan::local_disks(world, guest)
        .into_iter()
        .map(|disk| {
            json!({"volid": disk.volid, "size": disk.size, "cdrom": u8::from(disk.cdrom),
                "is_unused": u8::from(disk.unused)})
        })
        .collect();
    out.insert("local_disks".into(), json!(disks));
    let mapped = world.mapped_devices(guest);
    let mut local = scan::local_devices(guest);
    local.extend(mapped.iter().map(|(key, _, _)| key.clone()));
    local.sort();
    out.insert("local_resources".into(), json!(local));
    let keys: Vec<&String> = mapped.iter().map(|(key, _, _)| key).collect();
    out.insert("mapped-resources".into(), json!(keys));
    let info: Map<String, Value> = mapped.iter().map(|(key, id, _)| (key.clone(), json!({"name": id}))).collect();
    out.insert("mapped-resource-info".into(), Value::Object(info));
    dependent(world, guest, nine, &mut out);
    out
}

fn container(world: &World, guest: &Guest) -> Map<String, Value> {
    let mut out = Map::new();
    let (allowed, against) = nodes(world, guest, false, true);
    out.insert("running".into(), json!(u8::from(guest.running())));
    out.insert("allowed-nodes".into(), json!(allowed));
    out.insert("not-allowed-nodes".into(), Value::Object(against));
    dependent(world, guest, true, &mut out);
    out
}

fn dependent(world: &World, guest: &Guest, nine: bool, out: &mut Map<String, Value>) {
    if nine && world.ha.manages(&guest.sid()) {
        out.insert("dependent-ha-resources".into(), json!(world.ha.dependent(&guest.sid())));
    }
}
