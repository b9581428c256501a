//! The cluster as a whole: members and quorum, next id, options.

use serde_json::{Map, Value, json};

use super::{World, config};
use crate::lab::call::{Call, PveError, Reply};
use crate::model::ids::Vmid;

/// One row for the cluster (none on a host that is in no cluster), one for each member.
pub(super) fn status(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let mut rows = Vec::new();
    if world.nodes.len() > 1 {
        rows.push(
            json!({"type": "cluster", "id": "cluster", "name": cluster_name(&world.site), "version": world.nodes.len(),
            "nodes": world.nodes.len(), "quorate": u8::from(world.quorate())}),
        );
    }
    for (name, node) in &world.nodes {
        rows.push(json!({"type": "node", "id": format!("node/{name}"), "name": name.as_str(), "nodeid": node.id,
            "ip": node.ip, "local": u8::from(*name == call.via), "online": u8::from(node.up), "level": ""}));
    }
    Ok(Reply::read(json!(rows)))
}

/// A cluster's name has no dots: `lab` of `lab.example`.
fn cluster_name(site: &str) -> &str {
    site.split('.').next().unwrap_or(site)
}

/// The lowest free id, or whether a given one is free.
pub(super) fn next_id(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    if let Some(text) = call.params.get("vmid") {
        let taken = text.parse::<Vmid>().is_ok_and(|vmid| world.guests.contains_key(&vmid));
        return if taken {
            Err(PveError::parameter("vmid", format!("VM {text} already exists")))
        } else {
            Ok(Reply::read(text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number))))
        };
    }
    let range = world.datacenter.get("next-id").map(String::as_str).unwrap_or_default();
    let bound = |name: &str, default: u32| config::option(range, name).and_then(|n| n.parse().ok()).unwrap_or(default);
    let (lower, upper) = (bound("lower", 100), bound("upper", 1_000_000));
    let free = (lower..upper).find(|n| !world.guests.contains_key(&Vmid(*n)));
    free.map(|n| Reply::read(json!(n)))
        .ok_or_else(|| PveError::die(format!("unable to get any free VMID in range [{lower}, {}]", upper - 1)))
}

/// `datacenter.cfg`: property strings with a format come as objects.
pub(super) fn options(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let mut out = Map::new();
    for (key, value) in &world.datacenter {
        let shown = match key.as_str() {
            "migration" | "ha" | "crs" | "next-id" | "bwlimit" | "tag-style" => property_object(value),
            _ => value.parse::<u64>().map_or_else(|_| json!(value), |number| json!(number)),
        };
        out.insert(key.clone(), shown);
    }
    if call.privileges.may("/", "Sys.Audit") || !out.is_empty() {
        out.insert("allowed-tags".into(), json!(all_tags(world)));
    }
    Ok(Reply::read(Value::Object(out)))
}

fn all_tags(world: &World) -> Vec<String> {
    let tags = world.guests.values().filter_map(|guest| guest.config.get("tags"));
    let mut all: Vec<String> = tags.flat_map(|tags| tags.split(';')).map(str::to_owned).collect();
    all.sort();
    all.dedup();
    all
}

fn property_object(text: &str) -> Value {
    let pairs = text.split(',').filter_map(|part| part.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), json!(value))).collect::<Map<String, Value>>().into()
}

/// Members as corosync's configuration has them, each with one vote.
pub(super) fn corosync_nodes(world: &mut World, _: &Call) -> Result<Reply, PveError> {
    let rows = world.nodes.iter().filter(|_| world.nodes.len() > 1).map(|(name, node)| {
        json!({"node": name.as_str(), "name": name.as_str(), "nodeid": node.id.to_string(), "quorum_votes": "1",
            "ring0_addr": node.ip})
    });
    Ok(Reply::read(rows.collect()))
}

pub(super) fn no_qdevice(_: &mut World, _: &Call) -> Result<Reply, PveError> {
    Ok(Reply::read(json!({})))
}

pub(super) fn nothing(_: &mut World, _: &Call) -> Result<Reply, PveError> {
    Ok(Reply::read(json!([])))
}
