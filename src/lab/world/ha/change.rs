//! Changes of what HA manages.

use serde_json::Value;

use super::api::{digest, has_rules, path_sid, sid_of};
use super::{Resource, State};
use crate::lab::call::{Call, PveError, Reply};
use crate::lab::world::World;
use crate::model::ids::Vmid;

pub(in crate::lab::world) fn add_resource(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let sid = sid_of(world, call.params.get("sid").map(String::as_str).unwrap_or_default());
    if world.ha.resources.contains_key(&sid) {
        return Err(PveError::die(format!("resource ID '{sid}' already defined")));
    }
    let vmid = sid.split_once(':').and_then(|(_, id)| id.parse::<Vmid>().ok());
    let guest = vmid.and_then(|vmid| world.guests.get(&vmid)).filter(|guest| guest.sid() == sid);
    let guest = guest.ok_or_else(|| PveError::die(format!("resource '{sid}' does not exist in cluster")))?;
    let mut resource = Resource::new(guest.vmid, "started", None);
    set(world, &mut resource, call)?;
    world.ha.resources.insert(sid, resource);
    Ok(Reply::changed(Value::Null))
}

pub(in crate::lab::world) fn change_resource(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let sid = path_sid(world, call);
    let mut resource =
        world.ha.resources.get(&sid).cloned().ok_or_else(|| PveError::die(format!("no such resource '{sid}'")))?;
    if call.params.get("digest").is_some_and(|given| *given != digest(world)) {
        return Err(PveError::die("detected modified configuration - file changed by other user? Try again."));
    }
    let state = call.params.get("state").map(String::as_str);
    let broken = world.ha.services.get(&sid).is_some_and(|service| service.state == State::Error);
    if broken && !matches!(state, Some("disabled" | "ignored") | None) {
        return Err(PveError::die(format!("service '{sid}' in error state, must be disabled and fixed first")));
    }
    set(world, &mut resource, call)?;
    for key in call.list("delete") {
        match key {
            "comment" => resource.comment = None,
            "group" => resource.group = None,
            "state" => resource.state = "started".into(),
            _ => {}
        }
    }
    world.ha.resources.insert(sid, resource);
    Ok(Reply::changed(Value::Null))
}

fn set(world: &World, resource: &mut Resource, call: &Call) -> Result<(), PveError> {
    if let Some(group) = call.params.get("group") {
        if has_rules(world) {
            return Err(PveError::die("invalid parameter 'group': ha groups have been migrated to rules"));
        }
        resource.group = Some(group.clone());
    }
    if let Some(state) = call.params.get("state") {
        resource.state = if state == "enabled" { "started".into() } else { state.clone() };
    }
    if let Some(comment) = call.params.get("comment") {
        resource.comment = Some(comment.clone());
    }
    if let Some(failback) = call.params.get("failback") {
        resource.failback = failback == "1";
    }
    for (key, field) in [("max_restart", &mut resource.max_restart), ("max_relocate", &mut resource.max_relocate)] {
        if let Some(number) = call.params.get(key).and_then(|text| text.parse().ok()) {
            *field = number;
        }
    }
    Ok(())
}

/// Takes a guest from HA; with `purge` (the default) from its rules too, and rules left without members go.
pub(in crate::lab::world) fn remove_resource(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let sid = path_sid(world, call);
    if world.ha.resources.remove(&sid).is_none() {
        return Err(PveError::die(format!("cannot delete service '{sid}', not HA managed!")));
    }
    if call.params.get("purge").is_none_or(|flag| flag == "1") {
        for rule in &mut world.ha.rules {
            let left: Vec<&str> = rule.resources.split(',').filter(|one| *one != sid).collect();
            rule.resources = left.join(",");
        }
        world.ha.rules.retain(|rule| !rule.resources.is_empty());
    }
    Ok(Reply::changed(Value::Null))
}
