//! HA as the API reads it, and its two commands.

use serde_json::{Map, Value, json};

use super::{Request, Resource};
use crate::lab::call::{Call, PveError, Reply};
use crate::lab::world::{World, config};
use crate::model::ids::NodeName;

pub(in crate::lab::world) use super::change::{add_resource, change_resource, remove_resource};

/// `vm:111` of a path or parameter that may say just `111`.
pub(in crate::lab::world) fn sid_of(world: &World, text: &str) -> String {
    if text.contains(':') {
        return text.to_owned();
    }
    text.parse().ok().and_then(|vmid| world.guests.get(&vmid)).map_or_else(|| format!("vm:{text}"), |guest| guest.sid())
}

pub(super) fn path_sid(world: &World, call: &Call) -> String {
    sid_of(world, call.path.get("sid").map(String::as_str).unwrap_or_default())
}

fn row(sid: &str, resource: &Resource, nine: bool) -> Map<String, Value> {
    let mut row = Map::new();
    let kind = sid.split(':').next().unwrap_or_default();
    row.insert("sid".into(), json!(sid));
    row.insert("type".into(), json!(kind));
    row.insert("state".into(), json!(resource.state));
    row.insert("max_restart".into(), json!(resource.max_restart));
    row.insert("max_relocate".into(), json!(resource.max_relocate));
    if nine {
        row.insert("failback".into(), json!(u8::from(resource.failback)));
    }
    for (key, value) in [("group", &resource.group), ("comment", &resource.comment)] {
        if let Some(value) = value {
            row.insert(key.into(), json!(value));
        }
    }
    row
}

pub(super) fn digest(world: &World) -> String {
    let rows = world.ha.resources.iter().map(|(sid, resource)| Value::Object(row(sid, resource, true)));
    config::short_hash(&rows.collect::<Value>().to_string())
}

fn is_nine(world: &World, call: &Call) -> bool {
    world.nodes.get(&call.via).is_some_and(|node| node.is_nine())
}

/// Whether the site's groups have become rules: once every node is on 9.
pub(super) fn has_rules(world: &World) -> bool {
    world.nodes.values().all(|node| node.is_nine())
}

pub(in crate::lab::world) fn resources(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let wanted = call.params.get("type");
    let (digest, nine) = (digest(world), is_nine(world, call));
    let seen =
        world.ha.resources.iter().filter(|(sid, _)| wanted.is_none_or(|kind| sid.split(':').next() == Some(kind)));
    let rows = seen.map(|(sid, resource)| {
        let mut row = row(sid, resource, nine);
        row.insert("digest".into(), json!(digest));
        Value::Object(row)
    });
    Ok(Reply::read(rows.collect()))
}

pub(in crate::lab::world) fn resource(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let sid = path_sid(world, call);
    let found = world.ha.resources.get(&sid).ok_or_else(|| PveError::die(format!("no such resource '{sid}'")))?;
    let mut row = row(&sid, found, is_nine(world, call));
    row.insert("digest".into(), json!(digest(world)));
    Ok(Reply::read(Value::Object(row)))
}

pub(in crate::lab::world) fn migrate(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    command(world, call, |sid, target| Request::Migrate { sid, target })
}

pub(in crate::lab::world) fn relocate(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    command(world, call, |sid, target| Request::Relocate { sid, target })
}

fn command(world: &mut World, call: &Call, make: fn(String, NodeName) -> Request) -> Result<Reply, PveError> {
    let sid = path_sid(world, call);
    if !world.ha.manages(&sid) {
        return Err(PveError::die(format!("resource '{sid}' is not HA managed")));
    }
    let target = world.check_node_exists(call.params.get("node").map(String::as_str).unwrap_or_default())?;
    if world.ha.services.get(&sid).is_some_and(|service| service.state == super::State::Error) {
        return Err(PveError::die(format!("service '{sid}' in error state, must be disabled and fixed first")));
    }
    let blocking = world.ha.blocking(world, &sid, &target);
    let along = world.ha.dependent(&sid);
    if blocking.is_empty() {
        world.ha.queue.push(make(sid.clone(), target.clone()));
    }
    if !is_nine(world, call) {
        return Ok(Reply::changed(Value::Null));
    }
    let mut out = json!({"sid": sid, "requested-node": target.as_str()});
    if !along.is_empty() {
        out["comigrated-resources"] = json!(along);
    }
    if !blocking.is_empty() {
        let rows: Vec<Value> = blocking.iter().map(|sid| json!({"sid": sid, "cause": "resource-affinity"})).collect();
        out["blocking-resources"] = json!(rows);
    }
    Ok(Reply::changed(out))
}
