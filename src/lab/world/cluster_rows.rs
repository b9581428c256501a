//! `/cluster/resources` and `/nodes`: figures as last published; node, lock, tags, pool and HA state as they are.

use serde_json::{Map, Value, json};

use super::World;
use super::guest::Guest;
use crate::lab::call::{Call, PveError, Reply};
use crate::model::ids::NodeName;

pub(super) fn resources(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let wanted = call.params.get("type").map(String::as_str);
    let wants = |kind: &str| wanted.is_none_or(|wanted| wanted == kind);
    let mut rows = Vec::new();
    if wanted.is_none() {
        rows.extend(pool_rows(world, call));
    }
    if wants("vm") {
        rows.extend(
            world.guests.values().filter(|guest| world.may_see(call, guest)).map(|guest| guest_row(world, guest)),
        );
    }
    if wants("node") {
        rows.extend(world.nodes.keys().map(|name| {
            let mut row = node_row(world, call, name);
            row.insert("cgroup-mode".into(), json!(2));
            if let Some(state) = world.ha.node_state(name) {
                row.insert("hastate".into(), json!(state));
            }
            Value::Object(row)
        }));
    }
    if wants("storage") {
        rows.extend(storage_rows(world, call));
    }
    if wants("sdn") && call.privileges.may("/sdn/zones/localnetwork", "SDN.Audit") {
        rows.extend(world.nodes.iter().map(|(name, node)| {
            let status = if node.up { "ok" } else { "unknown" };
            json!({"id": format!("sdn/{name}/localnetwork"), "node": name.as_str(), "sdn": "localnetwork",
                "status": status, "type": "sdn"})
        }));
    }
    Ok(Reply::read(json!(rows)))
}

pub(super) fn guest_row(world: &World, guest: &Guest) -> Value {
    let kind = guest.kind.as_str();
    let mut row = Map::new();
    row.insert("id".into(), json!(format!("{kind}/{}", guest.vmid)));
    row.insert("vmid".into(), json!(guest.vmid.0));
    row.insert("node".into(), json!(guest.node.as_str()));
    row.insert("type".into(), json!(kind));
    row.insert("status".into(), json!("unknown"));
    if let Some(figures) = world.published.guests.get(&guest.vmid) {
        row.extend(figures.row());
    }
    if !world.node_up(&guest.node) {
        // The figures of a node that is silent are out of date: the name stays, the rest is not known.
        row.insert("status".into(), json!("unknown"));
    }
    for key in ["lock", "tags"] {
        if let Some(value) = guest.config.get(key) {
            row.insert(key.into(), json!(value));
        }
    }
    if let Some(pool) = &guest.pool {
        row.insert("pool".into(), json!(pool));
    }
    if let Some(state) = world.ha.guest_state(&guest.sid()) {
        row.insert("hastate".into(), json!(state));
    }
    Value::Object(row)
}

pub(super) fn nodes(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let rows = world.nodes.iter().map(|(name, node)| {
        let mut row = node_row(world, call, name);
        if let Some(fingerprint) = node.fingerprint() {
            row.insert("ssl_fingerprint".into(), json!(fingerprint));
        }
        Value::Object(row)
    });
    Ok(Reply::read(rows.collect()))
}

/// Figures only for who may audit the node, and only while it is up.
fn node_row(world: &World, call: &Call, name: &NodeName) -> Map<String, Value> {
    let up = world.node_up(name);
    let mut row = Map::new();
    row.insert("id".into(), json!(format!("node/{name}")));
    row.insert("node".into(), json!(name.as_str()));
    row.insert("type".into(), json!("node"));
    row.insert("status".into(), json!(if up { "online" } else { "offline" }));
    if up && call.privileges.may(&format!("/nodes/{name}"), "Sys.Audit") {
        row.insert("level".into(), json!(""));
        if let Some(figures) = world.published.nodes.get(name) {
            row.extend(figures.clone());
        }
    }
    row
}

pub(super) fn storage_row(world: &World, name: &NodeName, storage: &super::storage::Storage) -> Value {
    let id = &storage.spec.id;
    let mut row = json!({
        "id": format!("storage/{name}/{id}"),
        "storage": id.as_str(),
        "node": name.as_str(),
        "type": "storage",
        "plugintype": storage.spec.plugin,
        "status": "unknown",
        "shared": u8::from(storage.spec.shared),
        "content": storage.content(),
    });
    if let Some(used) = world.published.storages.get(&(name.clone(), id.clone())).filter(|_| world.node_up(name)) {
        row["status"] = json!("available");
        row["disk"] = json!(used);
        row["maxdisk"] = json!(storage.size_on(name));
    }
    row
}

fn storage_rows(world: &World, call: &Call) -> Vec<Value> {
    let mut rows = Vec::new();
    for name in world.nodes.keys() {
        for (id, storage) in world.storages.iter().filter(|(_, storage)| storage.on(name.as_str())) {
            if call.privileges.may(&format!("/storage/{id}"), "Datastore.Audit") {
                rows.push(storage_row(world, name, storage));
            }
        }
    }
    rows
}

fn pool_rows(world: &World, call: &Call) -> Vec<Value> {
    let seen = world.pools.keys().filter(|pool| call.privileges.may(&format!("/pool/{pool}"), "Pool.Audit"));
    seen.map(|pool| json!({"id": format!("/pool/{pool}"), "pool": pool, "type": "pool"})).collect()
}
