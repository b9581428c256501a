//! The JSON of an Ansible script inventory, with the names of facts and groups that the `community.proxmox` inventory
//! plugin gives, so that playbooks for the one work with the other.
//!
//! Source of the names: the plugin's documentation and source, community.proxmox, plugins/inventory/proxmox.py; of the
//! form: "Developing dynamic inventory" of the Ansible documentation.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::inventory::names::unique_names;
use crate::model::ids::GuestKind;
use crate::model::inventory::{DiscoveredHost, Inventory, Seen};

/// What `--list` answers: groups, and everybody's variables under `_meta`.
pub fn ansible(inventory: &Inventory) -> Value {
    let names = unique_names(&inventory.hosts);
    let mut groups: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for group in ["lxc", "qemu", "running", "stopped", "templates"] {
        groups.entry(safe(&format!("proxmox_all_{group}"))).or_default();
    }
    let mut vars = Map::new();
    for (host, name) in inventory.hosts.iter().zip(&names) {
        for group in groups_of(host) {
            groups.entry(group).or_default().insert(name);
        }
        vars.insert(name.clone(), Value::Object(variables(host)));
    }
    let mut out = Map::new();
    out.insert("_meta".into(), json!({"hostvars": vars}));
    let children: Vec<&String> = groups.keys().collect();
    // What could not be read, where a playbook can ask for it: a script that fails would take all hosts along.
    out.insert(
        "all".into(),
        json!({"children": children, "vars": {"proxmox_missing": inert(json!(inventory.missing))}}),
    );
    for (group, hosts) in &groups {
        out.insert(group.clone(), json!({"hosts": hosts}));
    }
    Value::Object(out)
}

/// What `--host NAME` answers; nothing of a host that is not known.
pub fn ansible_host(inventory: &Inventory, name: &str) -> Value {
    let names = unique_names(&inventory.hosts);
    let found = inventory.hosts.iter().zip(&names).find(|(_, own)| own.as_str() == name);
    found.map_or_else(|| json!({}), |(host, _)| Value::Object(variables(host)))
}

/// A template is in no group but that of templates, as the plugin has it.
fn groups_of(host: &DiscoveredHost) -> Vec<String> {
    let mut groups = Vec::new();
    if host.template {
        groups.push("proxmox_all_templates".to_owned());
    } else {
        if let Some(kind) = host.kind {
            groups.push(format!("proxmox_all_{kind}"));
            groups.extend(host.node.as_ref().map(|node| format!("proxmox_{node}_{kind}")));
        }
        groups.push(format!("proxmox_all_{}", host.status));
        // Where it says more than its status, as the plugin has it with `qemu_extended_statuses`.
        let more = host.qmpstatus.as_deref().filter(|said| ["prelaunch", "paused"].contains(said));
        groups.extend(more.map(|said| format!("proxmox_all_{said}")));
    }
    groups.extend(host.pool.as_ref().map(|pool| format!("proxmox_pool_{pool}")));
    groups.iter().map(|group| safe(group)).collect()
}

/// Ansible takes a script's texts for templates, and these are partly a guest's own words: what looks like one is marked as text.
fn inert(value: Value) -> Value {
    match value {
        Value::String(text) if ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark)) => {
            json!({"__ansible_unsafe": text})
        }
        Value::Array(all) => all.into_iter().map(inert).collect(),
        Value::Object(all) => Value::Object(all.into_iter().map(|(key, value)| (key, inert(value))).collect()),
        other => other,
    }
}

/// A name that Ansible takes for a group or a variable.
fn safe(text: &str) -> String {
    text.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

fn variables(host: &DiscoveredHost) -> Map<String, Value> {
    let mut vars = Map::new();
    if let Some(primary) = host.primary {
        vars.insert("ansible_host".into(), json!(primary));
    }
    let mut fact = |name: &str, value: Value| {
        vars.insert(safe(&format!("proxmox_{name}")), inert(value));
    };
    fact("name", json!(host.name));
    fact("vmid", json!(host.vmid));
    fact("node", json!(host.node));
    fact("vmtype", json!(host.kind));
    fact("status", json!(host.status));
    fact("template", json!(host.template));
    if !host.tags.is_empty() {
        fact("tags", json!(host.tags.join(";")));
        fact("tags_parsed", json!(host.tags));
    }
    if let Some(snapshots) = &host.snapshots {
        fact("snapshots", json!(snapshots));
    }
    if let Some(said) = &host.qmpstatus {
        fact("qmpstatus", json!(said));
    }
    if let Some(unknown) = &host.unknown {
        fact("unknown", json!(unknown));
    }
    for (key, line) in &host.lines {
        fact(key, line_as_map(line));
    }
    match host.kind {
        Some(GuestKind::Qemu) if !host.seen.is_empty() => {
            fact("agent_interfaces", host.seen.iter().map(of_agent).collect());
        }
        Some(GuestKind::Lxc) if !host.seen.is_empty() => {
            fact("lxc_interfaces", host.seen.iter().map(of_container).collect());
        }
        _ => {}
    }
    vars
}

/// A property string whose parts all have a name is a map; any other stays a text.
fn line_as_map(line: &str) -> Value {
    let parts: Option<Map<String, Value>> =
        line.split(',').map(|part| part.split_once('=').map(|(name, value)| (name.to_owned(), json!(value)))).collect();
    parts.map_or_else(|| json!(line), Value::Object)
}

fn of_agent(seen: &Seen) -> Value {
    let addresses = seen.addresses.iter().map(|a| match a.prefix {
        Some(prefix) => format!("{}/{prefix}", a.address),
        None => a.address.to_string(),
    });
    let mac = seen.mac.map(|mac| mac.to_string()).unwrap_or_default();
    json!({"name": seen.name, "mac-address": mac, "ip-addresses": addresses.collect::<Vec<_>>()})
}

fn of_container(seen: &Seen) -> Value {
    let mac = seen.mac.map(|mac| mac.to_string()).unwrap_or_default();
    let mut row = json!({"name": seen.name, "hwaddr": mac});
    for address in &seen.addresses {
        let key = if address.address.is_ipv4() { "inet" } else { "inet6" };
        let prefix = address.prefix.map(|prefix| format!("/{prefix}")).unwrap_or_default();
        row[key] = json!(format!("{}{prefix}", address.address));
    }
    row
}
