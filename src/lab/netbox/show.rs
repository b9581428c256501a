//! Objects as the API shows them: references as short objects, choices with their labels, MAC addresses in upper case.

use serde_json::{Map, Value, json};

use super::check::address;
use super::kind::{Kind, Takes, VM_INTERFACE};
use super::store::{Row, Store, interface_of};

/// As a server behind a proxy writes it, which knows neither its outer name nor its scheme.
pub const OWN_URL: &str = "http://netbox:8080";

fn url(kind: Kind, id: u64) -> String {
    let (app, name) = kind.place();
    format!("{OWN_URL}/api/{app}/{name}/{id}/")
}

fn display(kind: Kind, row: &Row) -> Value {
    let field = match kind {
        Kind::Mac => "mac_address",
        Kind::Ip => "address",
        _ => "name",
    };
    row.get(field).cloned().unwrap_or_default()
}

fn label(choice: &str) -> String {
    let mut letters = choice.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}", first.to_uppercase(), letters.as_str()))
}

fn choice(value: &Value) -> Value {
    value.as_str().map_or(Value::Null, |text| json!({"value": text, "label": label(text)}))
}

fn family(row: &Row) -> Value {
    match row.get("address").and_then(Value::as_str).and_then(address) {
        Some((ip, _)) if ip.is_ipv4() => json!({"value": 4, "label": "IPv4"}),
        Some(_) => json!({"value": 6, "label": "IPv6"}),
        None => Value::Null,
    }
}

/// Within another object.
pub fn brief(store: &Store, kind: Kind, id: u64) -> Value {
    let Some(row) = store.get(kind, id) else { return Value::Null };
    let mut shown = json!({"id": id, "url": url(kind, id), "display": display(kind, row)});
    for field in ["name", "slug", "mac_address", "address", "description"] {
        if let Some(value) = row.get(field) {
            shown[field] = value.clone();
        }
    }
    if kind == Kind::Ip {
        shown["family"] = family(row);
    }
    if kind == Kind::Interface {
        let vm = row.get("virtual_machine").and_then(Value::as_u64);
        shown["virtual_machine"] = vm.map_or(Value::Null, |vm| brief(store, Kind::Vm, vm));
    }
    shown
}

/// By itself.
pub fn full(store: &Store, kind: Kind, id: u64) -> Value {
    let Some(row) = store.get(kind, id) else { return Value::Null };
    let mut shown = json!({"id": id, "url": url(kind, id), "display": display(kind, row)});
    for field in kind.fields() {
        let value = row.get(field.name).unwrap_or(&Value::Null);
        shown[field.name] = match field.takes {
            Takes::One(other) => value.as_u64().map_or(Value::Null, |id| brief(store, other, id)),
            Takes::Choice(_) => choice(value),
            Takes::Custom => Value::Object(custom(store, kind, value)),
            _ => value.clone(),
        };
    }
    shown["last_updated"] = store.etag(kind, id).map(|tag| tag.trim_matches(['W', '/', '"']).to_owned()).into();
    more(store, kind, id, row, &mut shown);
    shown
}

fn more(store: &Store, kind: Kind, id: u64, row: &Row, shown: &mut Value) {
    let count = |kind, field| store.referring(kind, field, id).len();
    match kind {
        Kind::Vm => {
            let both = [shown["primary_ip4"].clone(), shown["primary_ip6"].clone()];
            shown["primary_ip"] = both.into_iter().find(|ip| !ip.is_null()).unwrap_or_default();
            shown["interface_count"] = json!(count(Kind::Interface, "virtual_machine"));
            shown["virtual_disk_count"] = json!(count(Kind::Disk, "virtual_machine"));
            shown["tags"] = json!([]);
        }
        Kind::Interface => {
            let all = store.assigned(Kind::Mac, id);
            shown["mac_addresses"] = all.into_iter().map(|mac| brief(store, Kind::Mac, mac)).collect();
            // Read only since 4.2: what the primary one is.
            shown["mac_address"] = shown["primary_mac_address"]["mac_address"].clone();
            shown["count_ipaddresses"] = json!(store.assigned(Kind::Ip, id).len());
        }
        Kind::Mac | Kind::Ip => {
            let object = interface_of(row).map_or(Value::Null, |id| brief(store, Kind::Interface, id));
            shown["assigned_object"] = object;
            if kind == Kind::Ip {
                shown["family"] = family(row);
            }
        }
        Kind::Cluster => shown["virtualmachine_count"] = json!(count(Kind::Vm, "cluster")),
        Kind::ClusterType => shown["cluster_count"] = json!(count(Kind::Cluster, "type")),
        Kind::CustomField | Kind::Disk => {}
    }
}

/// Every custom field of its kind, null where it has no value.
fn custom(store: &Store, kind: Kind, values: &Value) -> Map<String, Value> {
    store.custom_fields(kind).map(|name| (name.to_owned(), values.get(name).cloned().unwrap_or_default())).collect()
}

/// Which mark a virtual machine has.
fn mark(row: &Row) -> Option<&str> {
    row.get("custom_fields")?.get("runbook_guest")?.as_str()
}

pub fn comparable(store: &Store) -> Value {
    let name = |row: &Row| row["name"].as_str().unwrap_or_default().to_owned();
    let named = |kind, show: &dyn Fn(&Row) -> Value| -> Map<String, Value> {
        store.all(kind).map(|(_, row)| (name(row), show(row))).collect()
    };
    let fields = named(Kind::CustomField, &|row| json!({"type": row["type"], "object_types": row["object_types"]}));
    let types = named(Kind::ClusterType, &|row| json!({"slug": row["slug"]}));
    let clusters = named(Kind::Cluster, &|row| {
        let of = row["type"].as_u64().and_then(|id| store.get(Kind::ClusterType, id)).map(name);
        json!({"type": of, "status": row["status"]})
    });
    let marked = |id: u64| store.get(Kind::Vm, id).and_then(mark);
    let guests: Map<String, Value> =
        store.all(Kind::Vm).filter_map(|(id, row)| Some((mark(row)?.to_owned(), guest(store, id, row)))).collect();
    let mut others = Map::new();
    for kind in [Kind::Vm, Kind::Interface, Kind::Mac, Kind::Ip, Kind::Disk] {
        for (id, row) in store.all(kind) {
            let vm = match kind {
                Kind::Vm => Some(id),
                Kind::Mac | Kind::Ip => store.vm_of(row),
                _ => row.get("virtual_machine").and_then(Value::as_u64),
            };
            if vm.and_then(marked).is_none() {
                let mut row = row.clone();
                row.remove("stamp");
                // A custom field that is new is there without a value, which changes nobody's object.
                if let Some(Value::Object(values)) = row.get_mut("custom_fields") {
                    values.retain(|_, value| !value.is_null());
                }
                others.insert(format!("{} {id}", kind.model()), Value::Object(row));
            }
        }
    }
    json!({"field": fields, "cluster_type": types, "cluster": clusters, "guest": guests, "other": others})
}

/// A marked virtual machine with all that belongs to it, and no number in it.
fn guest(store: &Store, id: u64, row: &Row) -> Value {
    let custom = &row["custom_fields"];
    let cluster = row["cluster"].as_u64().and_then(|id| store.get(Kind::Cluster, id)).map(|row| row["name"].clone());
    let text = |kind, id: &Value, field: &str| {
        id.as_u64().and_then(|id| store.get(kind, id)).map(|row| row[field].clone()).unwrap_or_default()
    };
    let mut interfaces: Vec<Value> = store
        .referring(Kind::Interface, "virtual_machine", id)
        .into_iter()
        .filter_map(|id| {
            let row = store.get(Kind::Interface, id)?;
            let all = |kind, field: &str| -> Vec<Value> {
                let mut all: Vec<Value> = store
                    .assigned(kind, id)
                    .into_iter()
                    .filter_map(|id| Some(store.get(kind, id)?[field].clone()))
                    .collect();
                all.sort_by_key(ToString::to_string);
                all
            };
            let primary = text(Kind::Mac, &row["primary_mac_address"], "mac_address");
            let mut others = all(Kind::Mac, "mac_address");
            if let Some(at) = others.iter().position(|mac| *mac == primary) {
                others.remove(at);
            }
            let mut shown = json!({"name": row["name"], "enabled": row["enabled"], "mac": primary,
                "addresses": all(Kind::Ip, "address")});
            if !others.is_empty() {
                shown["more_macs"] = json!(others);
            }
            Some(shown)
        })
        .collect();
    interfaces.sort_by_key(|interface| interface["name"].to_string());
    json!({
        "name": row["name"], "cluster": cluster, "status": row["status"], "vcpus": row["vcpus"], "memory": row["memory"],
        "disk": row["disk"], "vmid": custom["proxmox_vmid"], "node": custom["proxmox_node"],
        "type": custom["proxmox_vm_type"], "interfaces": interfaces,
        "primary4": text(Kind::Ip, &row["primary_ip4"], "address"),
        "primary6": text(Kind::Ip, &row["primary_ip6"], "address"),
    })
}

/// Whether a text is the name of an interface's model.
pub fn is_vm_interface(text: &str) -> bool {
    text == VM_INTERFACE
}
