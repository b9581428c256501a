//! A line for each address, and one for a card or a guest that has none (RFC 4180).

use crate::model::inventory::{DiscoveredHost, Interface, Inventory};

const HEAD: [&str; 19] = [
    "vmid",
    "name",
    "type",
    "node",
    "status",
    "template",
    "tags",
    "pool",
    "nic",
    "interface",
    "mac",
    "bridge",
    "vlan",
    "model",
    "address",
    "prefix",
    "source",
    "primary",
    "unknown",
];

/// With a line of titles.
pub fn csv(inventory: &Inventory) -> String {
    let mut out = HEAD.join(",");
    out.push_str("\r\n");
    for host in &inventory.hosts {
        let mut lines = 0;
        for interface in &host.interfaces {
            if interface.addresses.is_empty() {
                line(&mut out, host, Some(interface), None);
                lines += 1;
            }
            for place in 0..interface.addresses.len() {
                line(&mut out, host, Some(interface), Some(place));
                lines += 1;
            }
        }
        if lines == 0 {
            line(&mut out, host, None, None);
        }
    }
    out
}

fn line(out: &mut String, host: &DiscoveredHost, interface: Option<&Interface>, place: Option<usize>) {
    let text = |value: Option<String>| value.unwrap_or_default();
    let address = interface.zip(place).and_then(|(interface, place)| interface.addresses.get(place));
    let of = |read: fn(&Interface) -> Option<String>| text(interface.and_then(read));
    let cells = [
        text(host.vmid.map(|vmid| vmid.to_string())),
        host.name.clone(),
        text(host.kind.map(|kind| kind.to_string())),
        text(host.node.as_ref().map(ToString::to_string)),
        host.status.clone(),
        u8::from(host.template).to_string(),
        host.tags.join(";"),
        text(host.pool.clone()),
        of(|i| i.nic.clone()),
        of(|i| i.name.clone()),
        of(|i| i.mac.map(|mac| mac.to_string())),
        of(|i| i.bridge.clone()),
        of(|i| i.vlan.map(|vlan| vlan.to_string())),
        of(|i| i.model.clone()),
        text(address.map(|a| a.address.to_string())),
        text(address.and_then(|a| a.prefix).map(|prefix| prefix.to_string())),
        text(address.map(|a| a.source.as_str().to_owned())),
        text(address.map(|a| u8::from(host.primary == Some(a.address)).to_string())),
        text(host.unknown.as_ref().map(|unknown| unknown.reason.as_str().to_owned())),
    ];
    let cells: Vec<String> = cells.iter().map(|cell| quoted(cell)).collect();
    out.push_str(&cells.join(","));
    out.push_str("\r\n");
}

/// Inside a guest an interface may be called anything: what a spreadsheet would take for a formula gets an apostrophe.
fn quoted(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@', '\t']) { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}
