//! The world driven as the front drives it, with time told by hand.

mod acme;
mod backup;
mod ha;
mod life;
mod lifecycle;
mod migrate;
mod pools;
mod schema;
mod storms;
mod talos;
mod views;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::*;
use crate::lab::call::Privileges;
use crate::lab::scenario::Scenario;

struct Everything;

impl Privileges for Everything {
    fn may(&self, _: &str, _: &str) -> bool {
        true
    }
}

/// 2026-11-21 12:00:00 UTC.
const EPOCH: i64 = 1_795_262_400;

fn site(name: &str) -> World {
    World::from_scenario(&Scenario::named(name).unwrap(), 7, EPOCH)
}

fn call(verb: Verb, path: &str, params: &[(&str, &str)]) -> Call {
    let (template, values) = template(path);
    Call {
        verb,
        template,
        path: values,
        params: params.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        user: "ops@pve!runbook".into(),
        root_ticket: false,
        privileges: Arc::new(Everything),
        via: NodeName::new("pve1"),
        upload: None,
    }
}

/// `/nodes/pve2/qemu/104/config` as the schema writes it, with the values.
fn template(path: &str) -> (String, BTreeMap<String, String>) {
    let names = [
        ("nodes", "node"),
        ("qemu", "vmid"),
        ("lxc", "vmid"),
        ("tasks", "upid"),
        ("storage", "storage"),
        ("resources", "sid"),
        ("rules", "rule"),
        ("groups", "group"),
        ("pools", "poolid"),
        ("snapshot", "snapname"),
        ("plugins", "id"),
        ("account", "name"),
    ];
    let mut values = BTreeMap::new();
    let mut words: Vec<String> = Vec::new();
    for word in path.trim_start_matches('/').split('/') {
        let name = words.last().and_then(|last| names.iter().find(|(stem, _)| stem == last)).map(|(_, name)| *name);
        match name.filter(|_| !path.contains("capabilities") || words.len() == 1) {
            Some(name) => {
                values.insert(name.to_owned(), word.to_owned());
                words.push(format!("{{{name}}}"));
            }
            None => words.push(word.to_owned()),
        }
    }
    (format!("/{}", words.join("/")), values)
}

fn get(world: &mut World, path: &str) -> Value {
    world.handle(&call(Verb::Get, path, &[])).unwrap().data
}

fn get_with(world: &mut World, path: &str, params: &[(&str, &str)]) -> Value {
    world.handle(&call(Verb::Get, path, params)).unwrap().data
}

fn post(world: &mut World, path: &str, params: &[(&str, &str)]) -> Result<Value, PveError> {
    world.handle(&call(Verb::Post, path, params)).map(|reply| reply.data)
}

fn upid(data: Value) -> String {
    data.as_str().expect("a UPID").to_owned()
}

/// What a task's status says, and its log in one text.
fn outcome(world: &mut World, upid: &str) -> (String, String) {
    let node = upid.split(':').nth(1).unwrap();
    let status = get(world, &format!("/nodes/{node}/tasks/{upid}/status"));
    let log = get_with(world, &format!("/nodes/{node}/tasks/{upid}/log"), &[("limit", "0")]);
    let lines: Vec<&str> = log.as_array().unwrap().iter().filter_map(|row| row["t"].as_str()).collect();
    let end = status["exitstatus"].as_str().unwrap_or("running").to_owned();
    (end, lines.join("\n"))
}

fn run(world: &mut World, seconds: u64) {
    let until = world.now_ms() + seconds * 1000;
    world.advance_to(until);
}

fn row(world: &mut World, id: &str) -> Value {
    let rows = get(world, "/cluster/resources");
    rows.as_array().unwrap().iter().find(|row| row["id"] == id).cloned().unwrap_or_else(|| panic!("no row {id}"))
}

fn node(world: &World, vmid: u32) -> String {
    world.guest_node(Vmid(vmid)).unwrap().to_string()
}
