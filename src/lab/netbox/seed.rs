//! What is in a lab's NetBox before anybody comes: the work of other people, which is not to be touched.

use serde_json::{Value, json};

use super::kind::Kind;
use super::store::Store;

fn put(store: &mut Store, kind: Kind, values: Value) -> u64 {
    let id = store.next_id(kind);
    let mut row = values.as_object().cloned().unwrap_or_default();
    for field in kind.fields() {
        row.entry(field.name).or_insert(match field.name {
            "custom_fields" => json!({}),
            "enabled" => json!(true),
            "description" | "comments" | "serial" | "dns_name" => json!(""),
            _ => Value::Null,
        });
    }
    store.put(kind, id, row);
    id
}

/// Every NetBox has a cluster that is none of ours. Those of `two-node`, `three-node` and `fleet` know the site, too: with a virtual
/// machine that has a guest's name and is somebody's own, with an address that is reserved, and with one that was a
/// guest's.
pub fn fill(store: &mut Store, scenario: &str, site: &str) {
    let manual = put(store, Kind::ClusterType, json!({"name": "Manual", "slug": "manual"}));
    let office = put(store, Kind::Cluster, json!({"name": "office", "type": manual, "status": "active"}));
    let erp = put(store, Kind::Vm, json!({"name": "erp", "cluster": office, "status": "active", "memory": 16384}));
    let nic = put(store, Kind::Interface, json!({"virtual_machine": erp, "name": "eth0"}));
    let of = json!({"type": "virtualization.vminterface", "id": nic});
    let assigned = |more: Value| {
        let mut row = json!({"assigned_object_type": of["type"], "assigned_object_id": of["id"]});
        row.as_object_mut().into_iter().for_each(|row| row.extend(more.as_object().cloned().unwrap_or_default()));
        row
    };
    put(store, Kind::Mac, assigned(json!({"mac_address": "00:50:56:00:00:01"})));
    put(store, Kind::Ip, assigned(json!({"address": "192.0.2.10/24", "status": "active"})));
    if matches!(scenario, "two-node" | "three-node" | "fleet") {
        let proxmox = put(store, Kind::ClusterType, json!({"name": "Proxmox VE", "slug": "proxmox-ve"}));
        let cluster = put(store, Kind::Cluster, json!({"name": site, "type": proxmox, "status": "active"}));
        put(
            store,
            Kind::Vm,
            json!({"name": "Vault", "cluster": cluster, "status": "active", "description": "by hand"}),
        );
        put(store, Kind::Ip, json!({"address": "192.0.2.1/24", "status": "reserved", "description": "gateway"}));
        let types = ["virtualization.virtualmachine"];
        put(
            store,
            Kind::CustomField,
            json!({"name": "runbook_guest", "type": "text", "object_types": types,
            "filter_logic": "exact"}),
        );
        // A guest that is gone.
        let mark = json!({"runbook_guest": format!("{site}/998")});
        put(
            store,
            Kind::Vm,
            json!({"name": "retired", "cluster": cluster, "status": "offline", "custom_fields": mark}),
        );
    }
}
