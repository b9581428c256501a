//! Targets for Prometheus: the form of `file_sd_configs` and `http_sd_configs`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};

use crate::model::inventory::{DiscoveredHost, Inventory};

/// A target for each host that runs and has an address, with the port where one is given.
pub fn prometheus(inventory: &Inventory, port: Option<u16>) -> Value {
    let up = inventory.hosts.iter().filter(|host| host.status == "running");
    up.filter_map(|host| Some(json!({"targets": [target(host.primary?, port)], "labels": labels(host)}))).collect()
}

fn target(address: IpAddr, port: Option<u16>) -> String {
    match (address, port) {
        (IpAddr::V6(v6), Some(port)) => format!("[{v6}]:{port}"),
        (v4, Some(port)) => format!("{v4}:{port}"),
        (address, None) => address.to_string(),
    }
}

/// For relabelling: labels that begin with `__` are gone afterwards. Values are texts.
fn labels(host: &DiscoveredHost) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let mut set = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            labels.insert(format!("__meta_proxmox_{name}"), value);
        }
    };
    set("site", Some(host.site.clone()));
    set("name", Some(host.name.clone()));
    set("vmid", host.vmid.map(|vmid| vmid.to_string()));
    set("node", host.node.as_ref().map(ToString::to_string));
    set("type", host.kind.map(|kind| kind.to_string()));
    set("status", Some(host.status.clone()));
    set("pool", host.pool.clone());
    // With a comma at each end, so that a pattern may ask for one: `.*,web,.*`.
    set("tags", (!host.tags.is_empty()).then(|| format!(",{},", host.tags.join(","))));
    labels
}
