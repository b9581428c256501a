//! Storages as the API shows them: definitions, state on a node, content.

use serde_json::{Map, Value, json};

use super::storage::Storage;
use super::{World, config};
use crate::lab::call::{Call, PveError, Reply};
use crate::model::ids::NodeName;

fn may_audit(call: &Call, id: &str) -> bool {
    ["Datastore.Audit", "Datastore.AllocateSpace"]
        .iter()
        .any(|right| call.privileges.may(&format!("/storage/{id}"), right))
}

pub(super) fn definitions(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let wanted = call.params.get("type");
    let seen = world.storages.values().filter(|storage| may_audit(call, storage.spec.id.as_str()));
    let rows = seen.filter(|storage| wanted.is_none_or(|wanted| *wanted == storage.spec.plugin)).map(definition_row);
    Ok(Reply::read(rows.collect()))
}

pub(super) fn definition(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    Ok(Reply::read(definition_row(named(world, call)?)))
}

fn named<'a>(world: &'a World, call: &Call) -> Result<&'a Storage, PveError> {
    let id = call.path.get("storage").map(String::as_str).unwrap_or_default();
    world.storages.get(id).ok_or_else(|| PveError::die(format!("storage '{id}' does not exist")))
}

fn definition_row(storage: &Storage) -> Value {
    let spec = &storage.spec;
    let mut row = Map::new();
    row.insert("storage".into(), json!(spec.id.as_str()));
    row.insert("type".into(), json!(spec.plugin));
    row.insert("content".into(), json!(spec.content));
    for (key, value) in &spec.options {
        row.insert(key.clone(), value.parse::<u64>().map_or_else(|_| json!(value), |number| json!(number)));
    }
    if !spec.nodes.is_empty() {
        let nodes: Vec<&str> = spec.nodes.iter().map(NodeName::as_str).collect();
        row.insert("nodes".into(), json!(nodes.join(",")));
    }
    if spec.shared {
        row.insert("shared".into(), json!(1));
    }
    let digest = config::short_hash(&Value::Object(row.clone()).to_string());
    row.insert("digest".into(), json!(digest));
    Value::Object(row)
}

pub(super) fn list(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let (name, _) = world.node_of(call)?;
    let wanted_content = call.params.get("content");
    let wanted = call.params.get("storage");
    let usage = world.usage();
    let rows = world
        .storages
        .values()
        .filter(|storage| storage.on(name.as_str()) && may_audit(call, storage.spec.id.as_str()))
        .filter(|storage| wanted.is_none_or(|id| id == storage.spec.id.as_str()))
        .filter(|storage| wanted_content.is_none_or(|list| list.split(',').any(|one| storage.has_content(one))))
        .map(|storage| {
            let mut row = state_row(storage, &name, world.used(&usage, &storage.spec.id, &name));
            row["storage"] = json!(storage.spec.id.as_str());
            row
        });
    Ok(Reply::read(rows.collect()))
}

pub(super) fn status(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let (name, _) = world.node_of(call)?;
    let storage = on_node(world, call, &name)?;
    Ok(Reply::read(state_row(storage, &name, world.used(&world.usage(), &storage.spec.id, &name))))
}

fn on_node<'a>(world: &'a World, call: &Call, name: &NodeName) -> Result<&'a Storage, PveError> {
    let storage = named(world, call)?;
    if storage.on(name.as_str()) {
        return Ok(storage);
    }
    Err(PveError::die(format!("storage '{}' is not available on node '{name}'", storage.spec.id)))
}

fn state_row(storage: &Storage, name: &NodeName, used: u64) -> Value {
    let total = storage.size_on(name);
    json!({
        "type": storage.spec.plugin,
        "content": storage.content(),
        "active": 1,
        "enabled": 1,
        "shared": u8::from(storage.spec.shared),
        "total": total,
        "used": used,
        "avail": total - used,
        "used_fraction": used as f64 / total.max(1) as f64,
    })
}

pub(super) fn content(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let (name, _) = world.node_of(call)?;
    let storage = on_node(world, call, &name)?;
    let wants = |content: &str| call.params.get("content").is_none_or(|wanted| wanted == content);
    let vmid = call.params.get("vmid");
    let mut rows: Vec<Value> = Vec::new();
    for (path, size) in &storage.files_on(&name) {
        if let Some(owner) = config::owner_of(path) {
            let content = if path.contains("vol-") { "rootdir" } else { "images" };
            if wants(content) && vmid.is_none_or(|wanted| *wanted == owner.to_string()) {
                let format = if path.ends_with(".qcow2") { "qcow2" } else { "raw" };
                rows.push(json!({"volid": format!("{}:{path}", storage.spec.id), "content": content, "format": format,
                    "size": size, "vmid": owner.0}));
            }
            continue;
        }
        let (kind, file) = path.split_once('/').unwrap_or(("iso", path));
        if vmid.is_some() {
            continue;
        }
        if wants(kind) {
            let format = match kind {
                "iso" => "iso",
                "vztmpl" => file.split_once(".tar.").map_or("tgz", |(_, end)| if end == "gz" { "tgz" } else { "tzst" }),
                _ => file.rsplit('.').next().unwrap_or("raw"),
            };
            rows.push(json!({"volid": format!("{}:{path}", storage.spec.id), "content": kind, "format": format,
                "size": size, "ctime": world.epoch - 2_592_000}));
        }
    }
    rows.extend(world.backup_rows(&storage.spec.id, &name, vmid.map(String::as_str)).filter(|_| wants("backup")));
    for volume in world.volumes().filter(|volume| volume.storage == storage.spec.id && wants(volume.content)) {
        let here = storage.spec.shared || volume.node == name;
        if here && vmid.is_none_or(|wanted| *wanted == volume.vmid.to_string()) {
            let format = if volume.volid.ends_with(".qcow2") { "qcow2" } else { "raw" };
            rows.push(json!({"volid": volume.volid, "content": volume.content, "format": format, "size": volume.size,
                "vmid": volume.vmid.0}));
        }
    }
    Ok(Reply::read(json!(rows)))
}
