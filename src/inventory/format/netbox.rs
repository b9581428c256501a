//! The objects that NetBox has for these guests, in the order in which they have to be made: the records that are pushed,
//! in the words of NetBox's REST API. Nothing is sent here.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::VERSION;
use crate::inventory::netbox::{Host, MARK, Nic, Record, records};
use crate::model::inventory::Inventory;

/// The cluster, and its virtual machines with their interfaces, MAC addresses and addresses.
pub fn netbox(inventory: &Inventory) -> Value {
    let hosts: Vec<Host> = inventory.hosts.iter().map(Host::from).collect();
    let built = records(&hosts, &inventory.site, &inventory.site, false, &BTreeMap::new());
    let machines: Vec<Value> = built.records.iter().map(machine).collect();
    json!({
        "format_version": VERSION,
        "cluster": {"name": inventory.site, "type": "Proxmox VE"},
        "virtual_machines": machines,
        "left_out": built.left_out,
        "missing": inventory.missing,
    })
}

/// What is not known is left as NetBox has it.
fn known(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let known = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(known.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

fn machine(record: &Record) -> Value {
    let custom = [
        (MARK, json!(record.key)),
        ("proxmox_vmid", json!(record.vmid)),
        ("proxmox_node", json!(record.node)),
        ("proxmox_vm_type", json!(record.kind)),
    ];
    known([
        ("name", json!(record.name)),
        ("status", json!(record.status)),
        ("cluster", json!(record.cluster)),
        ("vcpus", json!(record.vcpus)),
        ("memory", json!(record.memory)),
        ("disk", json!(record.disk)),
        ("custom_fields", known(custom)),
        ("interfaces", json!(record.interfaces.as_ref().map(|nics| nics.iter().map(interface).collect::<Vec<_>>()))),
        ("primary_ip4", json!(record.primary4)),
        ("primary_ip6", json!(record.primary6)),
    ])
}

fn interface(nic: &Nic) -> Value {
    let address = |address: &String| json!({"address": address, "status": "active"});
    known([
        ("name", json!(nic.name)),
        ("enabled", json!(nic.enabled)),
        ("mac_address", json!(nic.mac)),
        ("ip_addresses", json!(nic.addresses.as_ref().map(|all| all.iter().map(address).collect::<Vec<_>>()))),
    ])
}
