//! Lists as `kubectl get` prints them.

use serde_json::{Value, json};

use super::Ask;
use super::resources::Resource;
use crate::lab::world::World;

pub(super) fn is_wanted(ask: &Ask) -> bool {
    ask.accept.split(',').next().is_some_and(|first| first.contains("as=Table"))
}

pub(super) fn of(world: &World, resource: &Resource, items: &[Value]) -> Value {
    let columns: &[&str] = match resource.stored().as_str() {
        "nodes" => &["Name", "Status", "Roles", "Age", "Version"],
        "pods" => &["Name", "Ready", "Status", "Restarts", "Age"],
        "policy/poddisruptionbudgets" => &["Name", "Min Available", "Max Unavailable", "Allowed Disruptions", "Age"],
        _ => &["Name", "Age"],
    };
    let defined: Vec<Value> = columns
        .iter()
        .map(|name| json!({"name": name, "type": "string", "format": "", "description": "", "priority": 0}))
        .collect();
    let rows: Vec<Value> = items
        .iter()
        .map(|item| {
            let object =
                json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": item["metadata"]});
            let cells: Vec<Value> = columns.iter().map(|column| cell(world, resource, item, column)).collect();
            json!({"cells": cells, "object": object})
        })
        .collect();
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": world.kubernetes().revision()},
        "columnDefinitions": defined, "rows": rows})
}

fn cell(world: &World, resource: &Resource, item: &Value, column: &str) -> Value {
    let ready = || item["status"]["conditions"].as_array().into_iter().flatten().find(|one| one["type"] == "Ready");
    match column {
        "Name" => item["metadata"]["name"].clone(),
        "Age" => json!(age(world, item)),
        "Roles" if item["metadata"]["labels"]["node-role.kubernetes.io/control-plane"].is_string() => {
            json!("control-plane")
        }
        "Roles" => json!("<none>"),
        "Version" => item["status"]["nodeInfo"]["kubeletVersion"].clone(),
        "Status" if resource.plural == "nodes" => {
            let ready = if ready().is_some_and(|one| one["status"] == "True") { "Ready" } else { "NotReady" };
            let cordoned = if item["spec"]["unschedulable"] == true { ",SchedulingDisabled" } else { "" };
            json!(format!("{ready}{cordoned}"))
        }
        "Status" if !item["metadata"]["deletionTimestamp"].is_null() => json!("Terminating"),
        "Status" => item["status"]["phase"].clone(),
        "Ready" => json!(if ready().is_some_and(|one| one["status"] == "True") { "1/1" } else { "0/1" }),
        "Restarts" => json!(0),
        "Min Available" => shown(&item["spec"]["minAvailable"]),
        "Max Unavailable" => shown(&item["spec"]["maxUnavailable"]),
        "Allowed Disruptions" => item["status"]["disruptionsAllowed"].clone(),
        _ => Value::Null,
    }
}

fn shown(value: &Value) -> Value {
    if value.is_null() { json!("N/A") } else { json!(value.to_string()) }
}

fn age(world: &World, item: &Value) -> String {
    let made: Option<jiff::Timestamp> =
        item["metadata"]["creationTimestamp"].as_str().and_then(|text| text.parse().ok());
    let now: Option<jiff::Timestamp> = world.now_text().parse().ok();
    let seconds = made.zip(now).map_or(0, |(made, now)| (now.as_second() - made.as_second()).max(0));
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}
