//! The objects that NetBox has for these guests, in the order in which they have to be made. Nothing is sent here.
//!
//! Source of fields and limits: NetBox 4.6, REST API of `virtualization`, `dcim` (MAC addresses) and `ipam`.

use serde_json::{Map, Value, json};

use super::VERSION;
use crate::inventory::names::unique_names;
use crate::inventory::primary::primary_of;
use crate::model::ids::GuestKind;
use crate::model::inventory::{Address, DiscoveredHost, Family, Interface, Inventory};

/// The most that NetBox takes as a virtual machine's name.
const NAME: usize = 64;

/// The cluster, and its virtual machines with their interfaces, MAC addresses and addresses.
pub fn netbox(inventory: &Inventory) -> Value {
    let guests = inventory.hosts.iter().zip(unique_names(&inventory.hosts)).filter(|(host, _)| host.vmid.is_some());
    let machines: Vec<Value> = guests.map(|(host, name)| machine(&inventory.site, host, &name)).collect();
    json!({
        "format_version": VERSION,
        "cluster": {"name": inventory.site, "type": "Proxmox VE"},
        "virtual_machines": machines,
        "missing": inventory.missing,
    })
}

fn machine(site: &str, host: &DiscoveredHost, name: &str) -> Value {
    let mut fields = Map::new();
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields.insert(key.to_owned(), value);
        }
    };
    set("name", Some(json!(name.chars().take(NAME).collect::<String>())));
    // What its node does not say is left as NetBox has it.
    set("status", status(&host.status).map(|status| json!(status)));
    set("cluster", Some(json!(site)));
    set("vcpus", host.cpus.map(|cpus| json!(cpus)));
    set("memory", host.memory.map(megabytes));
    set("disk", host.disk.filter(|disk| *disk > 0).map(megabytes));
    set(
        "custom_fields",
        Some(json!({
            "proxmox_vmid": host.vmid,
            "proxmox_node": host.node,
            "proxmox_vm_type": host.kind.map(|kind| if kind == GuestKind::Qemu { "vm" } else { "lxc" }),
        })),
    );
    set("tags", Some(json!(host.tags)));
    set("interfaces", Some(host.interfaces.iter().filter_map(interface).collect()));
    for (key, family) in [("primary_ip4", Family::Ipv4), ("primary_ip6", Family::Ipv6)] {
        set(key, primary_of(&host.interfaces, family).map(|address| json!(with_prefix(address))));
    }
    Value::Object(fields)
}

fn status(status: &str) -> Option<&'static str> {
    match status {
        "running" => Some("active"),
        "stopped" => Some("offline"),
        _ => None,
    }
}

/// NetBox counts memory and disks in megabytes of 1,000,000 bytes.
fn megabytes(bytes: u64) -> Value {
    json!(bytes / 1_000_000)
}

/// Network cards alone: what only the guest knows is its own.
fn interface(interface: &Interface) -> Option<Value> {
    let name = interface.nic.as_ref()?;
    let inside = interface.name.as_ref().map(|inside| format!("{inside} in the guest")).unwrap_or_default();
    let addresses: Vec<Value> = interface
        .addresses
        .iter()
        .filter(|address| !address.noise)
        .map(|address| json!({"address": with_prefix(address), "status": "active"}))
        .collect();
    Some(json!({
        "name": name,
        "description": inside,
        "enabled": !interface.link_down,
        "mac_address": interface.mac.map(|mac| mac.to_string().to_uppercase()),
        "untagged_vlan": interface.vlan,
        "mode": interface.vlan.map(|_| "access"),
        "ip_addresses": addresses,
    }))
}

fn with_prefix(address: &Address) -> String {
    let whole = if address.family == Family::Ipv4 { 32 } else { 128 };
    format!("{}/{}", address.address, address.prefix.unwrap_or(whole))
}
