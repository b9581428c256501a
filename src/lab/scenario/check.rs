//! What must hold in a scenario beyond its form, so that a world can be built without asking again.

use std::collections::BTreeSet;

use super::Scenario;
use crate::model::ids::{GuestKind, NodeName};

/// The first thing that is wrong: the object, what was expected, what to do.
pub(super) fn check(scenario: &Scenario) -> Result<(), String> {
    let nodes = nodes(scenario)?;
    storages(scenario, &nodes)?;
    guests(scenario, &nodes)?;
    if let Some(upid) = scenario.tasks.iter().find(|upid| !nodes.contains(&upid.node())) {
        return Err(format!("task {upid}: there is no such node; take it from `nodes`"));
    }
    ha(scenario, &nodes)
}

fn nodes(scenario: &Scenario) -> Result<BTreeSet<&NodeName>, String> {
    let mut names = BTreeSet::new();
    for node in &scenario.nodes {
        let text = node.name.as_str();
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !plain || text.starts_with('-') || text.ends_with('-') {
            return Err(format!("node {text:?}: a name has letters, digits and inner hyphens only"));
        }
        if !names.insert(&node.name) {
            return Err(format!("node {text} is there twice; give one of them another name"));
        }
        if !matches!(node.version.as_str(), "9.2.3" | "8.4.2") {
            return Err(format!("node {text}: version {} is not known; use 9.2.3 or 8.4.2", node.version));
        }
        if !(node.memory_gib > 2.0 && node.threads > 0) {
            return Err(format!("node {text}: it needs more than 2 GiB of memory and at least one thread"));
        }
    }
    if names.is_empty() { Err("a site needs at least one node".into()) } else { Ok(names) }
}

fn storages(scenario: &Scenario, nodes: &BTreeSet<&NodeName>) -> Result<(), String> {
    let mut ids = BTreeSet::new();
    for storage in &scenario.storages {
        if !ids.insert(&storage.id) {
            return Err(format!("storage {} is there twice; give one of them another id", storage.id));
        }
        if let Some(name) = storage.nodes.iter().find(|name| !nodes.contains(name)) {
            return Err(format!("storage {}: there is no node {name}; take it from `nodes`", storage.id));
        }
    }
    Ok(())
}

fn guests(scenario: &Scenario, nodes: &BTreeSet<&NodeName>) -> Result<(), String> {
    let mut ids = BTreeSet::new();
    for guest in &scenario.guests {
        let id = guest.id;
        if !ids.insert(id) {
            return Err(format!("guest {id} is there twice; a VMID is unique in its cluster"));
        }
        if !nodes.contains(&guest.node) {
            return Err(format!("guest {id}: there is no node {}; put it on one of `nodes`", guest.node));
        }
        if let Some(pool) = guest.pool.as_ref().filter(|pool| !scenario.pools.contains_key(*pool)) {
            return Err(format!("guest {id}: there is no pool {pool}; add it to `pools`"));
        }
        if guest.disk.is_empty() {
            continue;
        }
        let wanted = guest.disk.split(':').next().unwrap_or_default();
        let storage = scenario.storages.iter().find(|storage| storage.id.as_str() == wanted);
        let storage =
            storage.ok_or_else(|| format!("guest {id}: there is no storage {wanted}; add it to `storages`"))?;
        if !storage.nodes.is_empty() && !storage.nodes.contains(&guest.node) {
            return Err(format!("guest {id}: storage {wanted} is not on {}; choose one that is", guest.node));
        }
        let content = if guest.kind == GuestKind::Lxc { "rootdir" } else { "images" };
        if !storage.content.split(',').any(|one| one == content) {
            return Err(format!("guest {id}: storage {wanted} takes no {content}; add it to its `content`"));
        }
    }
    Ok(())
}

fn ha(scenario: &Scenario, nodes: &BTreeSet<&NodeName>) -> Result<(), String> {
    let known =
        |sid: &str| scenario.guests.iter().any(|guest| sid == format!("{}:{}", guest.kind.ha_prefix(), guest.id));
    for resource in &scenario.ha.resources {
        if !known(&resource.sid) {
            return Err(format!("HA resource {}: there is no such guest; write vm:ID or ct:ID", resource.sid));
        }
        if !matches!(resource.state.as_str(), "started" | "stopped" | "disabled" | "ignored") {
            return Err(format!("HA resource {}: state {} is not known", resource.sid, resource.state));
        }
    }
    for rule in &scenario.ha.rules {
        let managed = |sid: &str| scenario.ha.resources.iter().any(|resource| resource.sid == sid);
        if let Some(sid) = rule.resources.split(',').find(|sid| !managed(sid)) {
            return Err(format!("HA rule {}: {sid} is not managed; add it to `ha.resources`", rule.rule));
        }
        let named = rule.nodes.split(',').filter(|one| !one.is_empty()).map(|one| one.split(':').next().unwrap_or(one));
        if let Some(name) = named.into_iter().find(|name| !nodes.contains(&NodeName::new(*name))) {
            return Err(format!("HA rule {}: there is no node {name}; take it from `nodes`", rule.rule));
        }
    }
    Ok(())
}
