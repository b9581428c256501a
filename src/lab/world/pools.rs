//! Pools: who is in them, and the calls about them.
//!
//! Source: PVE::API2::Pool (8.4, 9.2): its literal texts, and the order of its checks.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{World, cluster_rows};
use crate::lab::access::Memberships;
use crate::lab::call::{Call, PveError, Reply};
use crate::model::ids::{StorageId, Vmid};

/// A pool. Guests say for themselves which one they are in; a storage may be in several.
#[derive(Debug, Clone, Default)]
pub(super) struct Pool {
    comment: Option<String>,
    storages: BTreeSet<StorageId>,
}

/// The pools of a scenario: id and comment.
pub(super) fn from_spec(pools: &BTreeMap<String, String>) -> BTreeMap<String, Pool> {
    let pool = |comment: &String| Pool { comment: some(comment), storages: BTreeSet::new() };
    pools.iter().map(|(id, comment)| (id.clone(), pool(comment))).collect()
}

/// An empty comment is none.
fn some(comment: &str) -> Option<String> {
    Some(comment).filter(|comment| !comment.is_empty()).map(str::to_owned)
}

impl World {
    /// Which pools an object's rights are inherited from, by its ACL path.
    pub(super) fn pool_memberships(&self) -> Memberships {
        let mut out = Memberships::new();
        for guest in self.guests.values() {
            if let Some(pool) = &guest.pool {
                out.entry(format!("/vms/{}", guest.vmid)).or_default().insert(pool.clone());
            }
        }
        for (id, pool) in &self.pools {
            for storage in &pool.storages {
                out.entry(format!("/storage/{storage}")).or_default().insert(id.clone());
            }
        }
        out
    }
}

/// All pools, or with `poolid` that one with its members (the form that replaced `/pools/{poolid}`).
pub(super) fn list(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    if let Some(id) = call.params.get("poolid") {
        may(call, &format!("/pool/{id}"), &["Pool.Audit"])?;
        let mut row = with_members(world, call, id)?;
        row.insert("poolid".into(), json!(id));
        return Ok(Reply::read(json!([row])));
    }
    let seen = world.pools.iter().filter(|(id, _)| call.privileges.may(&format!("/pool/{id}"), "Pool.Audit"));
    let rows = seen.map(|(id, pool)| {
        let mut row = Map::from_iter([("poolid".to_owned(), json!(id))]);
        row.extend(pool.comment.as_ref().map(|comment| ("comment".to_owned(), json!(comment))));
        Value::Object(row)
    });
    Ok(Reply::read(rows.collect()))
}

pub(super) fn read(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    Ok(Reply::read(Value::Object(with_members(world, call, id_of(call))?)))
}

fn with_members(world: &World, call: &Call, id: &str) -> Result<Map<String, Value>, PveError> {
    let pool = world.pools.get(id).ok_or_else(|| PveError::die(missing(id)))?;
    let wanted = call.params.get("type").map(String::as_str);
    let wants = |kind: &str| wanted.is_none_or(|wanted| wanted == kind);
    let guests = world.guests.values().filter(|guest| guest.pool.as_deref() == Some(id));
    let mut members: Vec<Value> =
        guests.filter(|guest| wants(guest.kind.as_str())).map(|guest| cluster_rows::guest_row(world, guest)).collect();
    for storage in pool.storages.iter().filter_map(|storage| world.storages.get(storage)).filter(|_| wants("storage")) {
        // The node that was asked if it has the storage, else the first that has.
        let asked = Some(&call.via).filter(|node| storage.on(node.as_str()));
        let node = asked.or_else(|| world.nodes.keys().find(|node| storage.on(node.as_str())));
        members.extend(node.map(|node| cluster_rows::storage_row(world, node, storage)));
    }
    let mut out = Map::new();
    out.extend(pool.comment.as_ref().map(|comment| ("comment".to_owned(), json!(comment))));
    out.insert("members".into(), json!(members));
    Ok(out)
}

/// Atomic: of two who create the same pool, one is told that it is there.
pub(super) fn create(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let id = id_of(call);
    let failed = |why: String| Err(PveError::die(format!("create pool failed: {why}")));
    if world.pools.contains_key(id) {
        return failed(format!("pool '{id}' already exists"));
    }
    if let Some((parent, _)) = id.rsplit_once('/').filter(|(parent, _)| !world.pools.contains_key(*parent)) {
        return failed(format!("parent '{parent}' of pool '{id}' does not exist"));
    }
    let comment = call.params.get("comment").and_then(|comment| some(comment));
    world.pools.insert(id.to_owned(), Pool { comment, storages: BTreeSet::new() });
    Ok(Reply::changed(Value::Null))
}

/// Comment and members: all of it or, where something is refused, nothing.
pub(super) fn change(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let id = id_of(call);
    let failed = |mut error: PveError| {
        if error.status == 500 {
            error.message = format!("update pools failed: {}", error.message);
        }
        error
    };
    let mut pool = world.pools.get(id).cloned().ok_or_else(|| failed(PveError::die(missing(id))))?;
    if let Some(comment) = call.params.get("comment") {
        pool.comment = Some(comment.clone());
    }
    let guests = change_guests(world, call, id).map_err(failed)?;
    change_storages(&mut pool, call).map_err(failed)?;
    for (vmid, to) in guests {
        if let Some(guest) = world.guests.get_mut(&vmid) {
            guest.pool = to;
        }
    }
    world.pools.insert(id.to_owned(), pool);
    Ok(Reply::changed(Value::Null))
}

/// Which guest will be in which pool.
fn change_guests(world: &World, call: &Call, id: &str) -> Result<Vec<(Vmid, Option<String>)>, PveError> {
    let mut changes = Vec::new();
    for vmid in call.list("vms").filter_map(|text| text.parse::<Vmid>().ok()) {
        may(call, &format!("/vms/{vmid}"), &["Permissions.Modify", "VM.Allocate"])?;
        let now = world.guests.get(&vmid).and_then(|guest| guest.pool.as_deref());
        if call.flag("delete") {
            if now != Some(id) {
                return Err(PveError::die(format!("VM {vmid} is not a pool member")));
            }
            changes.push((vmid, None));
            continue;
        }
        match now {
            Some(other) if other == id => return Err(PveError::die(format!("VM {vmid} is already a pool member"))),
            Some(other) if !call.flag("allow-move") => {
                let text = format!("VM {vmid} belongs already to pool '{other}' and 'allow-move' is not set");
                return Err(PveError::die(text));
            }
            Some(other) => may(call, &format!("/pool/{other}"), &["Pool.Allocate"])?,
            None => {}
        }
        changes.push((vmid, Some(id.to_owned())));
    }
    Ok(changes)
}

fn change_storages(pool: &mut Pool, call: &Call) -> Result<(), PveError> {
    for storage in call.list("storage").map(StorageId::new) {
        may(call, &format!("/storage/{storage}"), &["Permissions.Modify", "Datastore.Allocate"])?;
        let (changed, how) = if call.flag("delete") {
            (pool.storages.remove(&storage), "not")
        } else {
            (pool.storages.insert(storage.clone()), "already")
        };
        if !changed {
            return Err(PveError::die(format!("Storage '{storage}' is {how} a pool member")));
        }
    }
    Ok(())
}

/// Only an empty one. Its entries in the access control list go with it (the front does that).
pub(super) fn remove(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let id = id_of(call);
    let failed = |why: String| Err(PveError::die(format!("delete pool failed: {why}")));
    let Some(pool) = world.pools.get(id) else { return failed(missing(id)) };
    let below = world.pools.keys().find(|other| other.strip_prefix(id).is_some_and(|rest| rest.starts_with('/')));
    let guest = world.guests.values().find(|guest| guest.pool.as_deref() == Some(id));
    let storage = pool.storages.iter().find(|storage| world.storages.contains_key(*storage));
    let content = below.map(|below| format!("pool '{below}'"));
    let content = content.or_else(|| guest.map(|guest| format!("VM {}", guest.vmid)));
    if let Some(content) = content.or_else(|| storage.map(|storage| format!("storage '{storage}'"))) {
        return failed(format!("pool '{id}' is not empty (contains {content})"));
    }
    world.pools.remove(id);
    Ok(Reply::changed(Value::Null))
}

/// The pool that a call is about, in either form.
pub(in crate::lab) fn id_of(call: &Call) -> &str {
    call.path.get("poolid").or_else(|| call.params.get("poolid")).map_or("", String::as_str)
}

fn missing(id: &str) -> String {
    format!("pool '{id}' does not exist")
}

/// Any one of these privileges.
fn may(call: &Call, path: &str, privileges: &[&str]) -> Result<(), PveError> {
    if privileges.iter().any(|privilege| call.privileges.may(path, privilege)) {
        return Ok(());
    }
    Err(PveError::status(403, format!("Permission check failed ({path}, {})", privileges.join("|"))))
}
