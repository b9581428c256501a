//! Rules (from 9 on) and groups (before): read, made, changed, removed.
//!
//! Source of the texts: facts/pve/behaviour.md, 9; PVE::API2::HA::Rules and ::Groups.

use serde_json::{Map, Value, json};

use super::Group;
use super::api::{has_rules, sid_of};
use crate::lab::call::{Call, PveError, Reply};
use crate::lab::scenario::HaRuleSpec;
use crate::lab::world::{World, config};
use crate::model::ids::NodeName;

const STALE: &str = "detected modified configuration - file changed by other user? Try again.";

fn digest(world: &World) -> String {
    let rows = world.ha.rules.iter();
    let text = rows.map(|rule| format!("{rule:?}\n")).collect::<String>();
    config::short_hash(&text)
}

fn rule_row(world: &World, order: usize, rule: &HaRuleSpec) -> Value {
    let mut row = Map::new();
    row.insert("rule".into(), json!(rule.rule));
    row.insert("type".into(), json!(rule.kind));
    row.insert("resources".into(), json!(rule.resources));
    if rule.kind == "node-affinity" {
        row.insert("nodes".into(), json!(rule.nodes));
        row.insert("strict".into(), json!(u8::from(rule.strict)));
    } else {
        row.insert("affinity".into(), json!(rule.affinity));
    }
    if rule.disable {
        row.insert("disable".into(), json!(1));
    }
    if !rule.comment.is_empty() {
        row.insert("comment".into(), json!(rule.comment));
    }
    row.insert("order".into(), json!(order + 1));
    row.insert("digest".into(), json!(digest(world)));
    Value::Object(row)
}

pub(in crate::lab::world) fn list(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let kind = call.params.get("type");
    let resource = call.params.get("resource").map(|text| sid_of(world, text));
    let rows = world.ha.rules.iter().enumerate().filter(|(_, rule)| {
        kind.is_none_or(|kind| *kind == rule.kind)
            && resource.as_ref().is_none_or(|sid| rule.resources.split(',').any(|one| one == sid))
    });
    Ok(Reply::read(rows.map(|(order, rule)| rule_row(world, order, rule)).collect()))
}

fn place(world: &World, call: &Call) -> Result<usize, PveError> {
    let name = call.path.get("rule").map(String::as_str).unwrap_or_default();
    let found = world.ha.rules.iter().position(|rule| rule.rule == name);
    found.ok_or_else(|| PveError::die(format!("no such ha rule '{name}'")))
}

pub(in crate::lab::world) fn read(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let order = place(world, call)?;
    Ok(Reply::read(rule_row(world, order, &world.ha.rules[order])))
}

/// What the call says, laid over a rule.
fn laid(world: &World, call: &Call, mut rule: HaRuleSpec) -> Result<HaRuleSpec, PveError> {
    let param = |name: &str| call.params.get(name).cloned();
    let list = |text: String, each: &dyn Fn(&str) -> String| {
        let all = text.split([',', ';', ' ']).filter(|one| !one.is_empty()).map(each).collect::<Vec<_>>();
        all.join(",")
    };
    if let Some(text) = param("resources") {
        rule.resources = list(text, &|one| sid_of(world, one));
    }
    if let Some(text) = param("nodes") {
        rule.nodes = list(text, &str::to_owned);
    }
    rule.affinity = param("affinity").unwrap_or(rule.affinity);
    rule.comment = param("comment").unwrap_or(rule.comment);
    rule.strict = param("strict").map_or(rule.strict, |flag| flag == "1");
    rule.disable = param("disable").map_or(rule.disable, |flag| flag == "1");
    for key in call.list("delete") {
        match key {
            "comment" => rule.comment.clear(),
            "strict" => rule.strict = false,
            "disable" => rule.disable = false,
            _ => {}
        }
    }
    checked(world, rule)
}

fn checked(world: &World, rule: HaRuleSpec) -> Result<HaRuleSpec, PveError> {
    let members: Vec<&str> = rule.resources.split(',').filter(|one| !one.is_empty()).collect();
    let strange: Vec<&str> = members.iter().copied().filter(|sid| !world.ha.resources.contains_key(*sid)).collect();
    if !strange.is_empty() {
        return Err(PveError::die(format!("cannot use unmanaged resource(s) {}.", strange.join(", "))));
    }
    no_strange_node(world, &rule.nodes)?;
    let invalid = |field: &str, text: &str| {
        let mut error = PveError::parameter(field, text);
        error.message = format!("Rule '{}' is invalid.", rule.rule);
        error
    };
    match rule.kind.as_str() {
        "node-affinity" if rule.nodes.is_empty() => Err(invalid("nodes", "property is missing and it is not optional")),
        "resource-affinity" if members.len() < 2 => {
            Err(invalid("resources", "rule is ineffective as there are less than two resources"))
        }
        "resource-affinity" if rule.affinity == "negative" && members.len() > world.nodes.len() => {
            Err(invalid("resources", "rule defines more resources than available nodes"))
        }
        _ => Ok(rule),
    }
}

fn no_strange_node(world: &World, list: &str) -> Result<(), PveError> {
    let names = list.split(',').filter(|one| !one.is_empty()).map(|one| one.split(':').next().unwrap_or(one));
    let strange: Vec<&str> = names.filter(|name| !world.nodes.contains_key(&NodeName::new(*name))).collect();
    if strange.is_empty() {
        return Ok(());
    }
    Err(PveError::die(format!("cannot use non-existent node(s) {}.", strange.join(", "))))
}

pub(in crate::lab::world) fn create(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let param = |name: &str| call.params.get(name).cloned().unwrap_or_default();
    let name = param("rule");
    if world.ha.rules.iter().any(|rule| rule.rule == name) {
        return Err(PveError::die(format!("HA rule '{name}' already defined")));
    }
    let new = HaRuleSpec { rule: name, kind: param("type"), ..HaRuleSpec::default() };
    let rule = laid(world, call, new)?;
    world.ha.rules.push(rule);
    Ok(Reply::changed(Value::Null))
}

pub(in crate::lab::world) fn change(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let order = place(world, call)?;
    if call.params.get("digest").is_some_and(|given| *given != digest(world)) {
        return Err(PveError::die(STALE));
    }
    let rule = laid(world, call, world.ha.rules[order].clone())?;
    world.ha.rules[order] = rule;
    Ok(Reply::changed(Value::Null))
}

pub(in crate::lab::world) fn remove(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let order = place(world, call)?;
    world.ha.rules.remove(order);
    Ok(Reply::changed(Value::Null))
}

fn migrated(world: &World, verb: &str) -> Result<(), PveError> {
    match has_rules(world) {
        true => Err(PveError::die(format!("cannot {verb}: ha groups have been migrated to rules"))),
        false => Ok(()),
    }
}

fn group_row(name: &str, group: &Group) -> Value {
    let mut row = json!({"group": name, "type": "group", "nodes": group.nodes,
        "nofailback": u8::from(group.nofailback), "restricted": u8::from(group.restricted)});
    row["digest"] = json!(config::short_hash(&row.to_string()));
    if !group.comment.is_empty() {
        row["comment"] = json!(group.comment);
    }
    row
}

pub(in crate::lab::world) fn groups(world: &mut World, _: &Call) -> Result<Reply, PveError> {
    migrated(world, "index groups")?;
    Ok(Reply::read(world.ha.groups.iter().map(|(name, group)| group_row(name, group)).collect()))
}

fn named_group(world: &World, call: &Call) -> Result<(String, Group), PveError> {
    let name = call.path.get("group").cloned().unwrap_or_default();
    let group = world.ha.groups.get(&name).cloned();
    Ok((name.clone(), group.ok_or_else(|| PveError::die(format!("no such ha group '{name}'")))?))
}

pub(in crate::lab::world) fn group(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    migrated(world, "read group")?;
    let (name, group) = named_group(world, call)?;
    Ok(Reply::read(group_row(&name, &group)))
}

fn laid_group(world: &World, call: &Call, mut group: Group) -> Result<Group, PveError> {
    let param = |name: &str| call.params.get(name).cloned();
    group.nodes = param("nodes").unwrap_or(group.nodes);
    group.comment = param("comment").unwrap_or(group.comment);
    group.restricted = param("restricted").map_or(group.restricted, |flag| flag == "1");
    group.nofailback = param("nofailback").map_or(group.nofailback, |flag| flag == "1");
    for key in call.list("delete") {
        match key {
            "comment" => group.comment.clear(),
            "restricted" => group.restricted = false,
            "nofailback" => group.nofailback = false,
            _ => {}
        }
    }
    no_strange_node(world, &group.nodes)?;
    Ok(group)
}

pub(in crate::lab::world) fn create_group(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    migrated(world, "create group")?;
    let name = call.params.get("group").cloned().unwrap_or_default();
    if world.ha.groups.contains_key(&name) {
        return Err(PveError::die(format!("ha group '{name}' already defined")));
    }
    let group = laid_group(world, call, Group::default())?;
    world.ha.groups.insert(name, group);
    Ok(Reply::changed(Value::Null))
}

pub(in crate::lab::world) fn change_group(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    migrated(world, "update group")?;
    let (name, group) = named_group(world, call)?;
    let stale = |given: &String| group_row(&name, &group)["digest"] != given.as_str();
    if call.params.get("digest").is_some_and(stale) {
        return Err(PveError::die(STALE));
    }
    let group = laid_group(world, call, group.clone())?;
    world.ha.groups.insert(name, group);
    Ok(Reply::changed(Value::Null))
}

pub(in crate::lab::world) fn remove_group(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    migrated(world, "delete group")?;
    let (name, _) = named_group(world, call)?;
    let user = world.ha.resources.iter().find(|(_, resource)| resource.group.as_ref() == Some(&name));
    if let Some((sid, _)) = user {
        return Err(PveError::die(format!("ha group is used by service '{sid}'")));
    }
    world.ha.groups.remove(&name);
    Ok(Reply::changed(Value::Null))
}
