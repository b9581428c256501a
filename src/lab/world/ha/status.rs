//! The two views of HA's state: rows of free text, and the manager's own structure.

use serde_json::{Map, Value, json};

use super::Service;
use crate::lab::call::{Call, PveError, Reply};
use crate::lab::world::World;
use crate::model::ids::NodeName;

/// A local manager that was silent for longer is taken for dead, seconds.
const OLD: i64 = 60;

/// `Thu Sep 10 19:48:45 2026`.
fn ctime(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| String::new(), |time| time.strftime("%a %b %e %H:%M:%S %Y").to_string())
}

/// Whether the node's local manager has services to look after.
fn active(world: &World, name: &NodeName) -> bool {
    world.ha.services.values().any(|service| service.node == *name)
}

fn lrm_text(world: &World, name: &NodeName) -> String {
    let at = world.ha.lrm_time.get(name).copied().unwrap_or(world.epoch);
    if world.seconds() - at > OLD {
        return format!("{name} (old timestamp - dead?, {})", ctime(at));
    }
    let mode = if world.ha.lrm_maintenance.contains(name) {
        "maintenance mode, watchdog standby"
    } else if active(world, name) {
        "active, watchdog active"
    } else {
        "idle, watchdog standby"
    };
    format!("{name} ({mode}, {})", ctime(at))
}

pub(in crate::lab::world) fn current(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    Ok(Reply::read(json!(rows(world, &call.via))))
}

/// Quorum, manager, local managers and services, as seen from one node.
pub(in crate::lab::world) fn rows(world: &World, via: &NodeName) -> Vec<Value> {
    let quorate = world.quorate();
    let text = if quorate { "OK" } else { "No quorum on node!" };
    let mut rows = vec![json!({"id": "quorum", "type": "quorum", "node": via.as_str(), "status": text,
        "quorate": u8::from(quorate)})];
    let nine = world.nodes.get(via).is_some_and(|node| node.is_nine());
    if let Some(master) = &world.ha.master {
        let at = world.ha.crm_time;
        rows.push(json!({"id": "master", "type": "master", "node": master.as_str(), "timestamp": at,
            "status": format!("{master} (active, {})", ctime(at))}));
        if nine {
            rows.push(json!({"id": "fencing", "type": "fencing", "node": master.as_str(), "armed-state": "armed",
                "status": "armed (CRM watchdog active)"}));
        }
        for name in world.nodes.keys() {
            rows.push(json!({"id": format!("lrm:{name}"), "type": "lrm", "node": name.as_str(),
                "timestamp": world.ha.lrm_time.get(name), "status": lrm_text(world, name)}));
        }
    }
    for (sid, resource) in &world.ha.resources {
        rows.push(service_row(world, sid, resource, nine));
    }
    rows
}

fn service_row(world: &World, sid: &str, resource: &super::Resource, nine: bool) -> Value {
    let service = world.ha.services.get(sid);
    let node = service.map(|service| service.node.clone());
    let node = node.or_else(|| world.guests.get(&resource.vmid).map(|guest| guest.node.clone()));
    let node = node.map_or_else(String::new, |node| node.to_string());
    let state = verbose(world, resource, service);
    let mut row = json!({"id": format!("service:{sid}"), "type": "service", "sid": sid, "node": node, "state": state,
        "request_state": resource.state, "max_restart": resource.max_restart, "max_relocate": resource.max_relocate,
        "status": format!("{sid} ({node}, {state})")});
    if let Some(service) = service {
        row["crm_state"] = json!(service.state.as_str());
    }
    if nine {
        row["failback"] = json!(u8::from(resource.failback));
    }
    for (key, value) in [("group", &resource.group), ("comment", &resource.comment)] {
        if let Some(value) = value {
            row[key] = json!(value);
        }
    }
    row
}

/// States as they are told: `queued` before the manager knows it, `starting` until it runs.
fn verbose(world: &World, resource: &super::Resource, service: Option<&Service>) -> &'static str {
    let running = world.guests.get(&resource.vmid).is_some_and(|guest| guest.running());
    match service.map(|service| service.state) {
        _ if resource.state == "ignored" => "ignored",
        None => "queued",
        Some(super::State::Started) if !running => "starting",
        Some(super::State::RequestStop) => "stopping",
        Some(super::State::Stopped) if resource.state == "disabled" => "disabled",
        Some(state) => state.as_str(),
    }
}

pub(in crate::lab::world) fn manager(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let quorate = if world.quorate() { "1" } else { "0" };
    let mut manager = Map::new();
    if let Some(master) = &world.ha.master {
        manager.insert("master_node".into(), json!(master.as_str()));
        manager.insert("timestamp".into(), json!(world.ha.crm_time));
        manager.insert("node_status".into(), json!(world.ha.node_status));
        let asked: Map<String, Value> = world
            .nodes
            .keys()
            .map(|name| {
                let request =
                    if world.ha.maintenance_asked.contains(name) { json!({"maintenance": 1}) } else { json!({}) };
                (name.to_string(), request)
            })
            .collect();
        manager.insert("node_request".into(), Value::Object(asked));
        let services: Map<String, Value> =
            world.ha.services.iter().map(|(sid, service)| (sid.clone(), service_status(world, sid, service))).collect();
        manager.insert("service_status".into(), Value::Object(services));
    }
    let lrm: Map<String, Value> = world
        .nodes
        .keys()
        .map(|name| {
            let mode = if world.ha.lrm_maintenance.contains(name) { "maintenance" } else { "active" };
            let state = if active(world, name) { "active" } else { "wait_for_agent_lock" };
            let status = json!({"mode": mode, "state": state, "results": {}, "timestamp": world.ha.lrm_time.get(name)});
            (name.to_string(), status)
        })
        .collect();
    Ok(Reply::read(json!({"manager_status": manager, "lrm_status": lrm,
        "quorum": {"node": call.via.as_str(), "quorate": quorate}})))
}

fn service_status(world: &World, sid: &str, service: &Service) -> Value {
    let vmid = world.ha.resources.get(sid).map(|resource| resource.vmid);
    let running = vmid.and_then(|vmid| world.guests.get(&vmid)).is_some_and(|guest| guest.running());
    let uid = &super::super::config::short_hash(&format!("{sid} {} {:?}", service.node, service.state))[..22];
    let mut out = json!({"node": service.node.as_str(), "state": service.state.as_str(), "uid": uid});
    if running {
        out["running"] = json!(1);
    }
    if let Some(target) = &service.target {
        out["target"] = json!(target.as_str());
    }
    if let Some(home) = &service.maintenance_node {
        out["maintenance_node"] = json!(home.as_str());
    }
    out
}
