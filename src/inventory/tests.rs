//! Whole guests: recorded bodies, what is joined and left out, which address is the primary one, other programs' words.

mod formats;
mod fuzz;
mod hosts;
mod recorded;

use std::collections::BTreeMap;

use crate::inventory::{Facts, Told, host, without_noise};
use crate::model::ids::{GuestKind, Vmid};
use crate::model::inventory::{
    Address, DiscoveredHost, Family, Interface, Inventory, Known, Reason, Seen, SeenAddress, Unknown,
};

pub fn facts(vmid: u32, name: &str, kind: GuestKind) -> Facts {
    Facts {
        site: "lab.example".into(),
        vmid: Vmid(vmid),
        kind,
        node: "pve1".into(),
        name: name.into(),
        status: "running".into(),
        template: false,
        tags: vec!["prod".into(), "web".into()],
        pool: Some("Shop".into()),
        cpus: Some(4.0),
        memory: Some(4 << 30),
        disk: Some(32 << 30),
    }
}

pub fn lines(lines: &[(&str, &str)]) -> BTreeMap<String, String> {
    lines.iter().map(|(key, line)| ((*key).to_owned(), (*line).to_owned())).collect()
}

pub fn seen(name: &str, mac: &str, addresses: &[&str]) -> Seen {
    let address = |text: &&str| {
        let (bare, prefix) = text.split_once('/').unwrap_or((text, ""));
        SeenAddress { address: bare.parse().unwrap(), prefix: prefix.parse().ok(), zone: None }
    };
    Seen { name: name.into(), mac: mac.parse().ok(), addresses: addresses.iter().map(address).collect() }
}

/// A VM with one card and what its agent says.
pub fn vm(seen: Vec<Seen>) -> DiscoveredHost {
    let config = lines(&[("net0", "virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=20"), ("agent", "1")]);
    host(facts(104, "web", GuestKind::Qemu), Some(&config), Told::Interfaces(seen))
}

pub fn silent(vmid: u32, name: &str) -> DiscoveredHost {
    let unknown = Unknown::new(Reason::AgentNotRunning, "its guest agent does not run");
    let config = lines(&[("net0", &format!("virtio=BC:24:11:00:01:{:02X},bridge=vmbr0", vmid % 256))]);
    host(facts(vmid, name, GuestKind::Qemu), Some(&config), Told::Nothing(unknown))
}

/// What a DHCP server knows of somebody.
pub fn lease(name: &str, mac: &str, address: &str) -> DiscoveredHost {
    let address = Address {
        address: address.parse().unwrap(),
        prefix: None,
        family: Family::Ipv4,
        zone: None,
        source: Known::Dhcp,
        noise: false,
    };
    let interface = Interface { mac: mac.parse().ok(), addresses: vec![address.clone()], ..Interface::default() };
    DiscoveredHost {
        source: "dhcp".into(),
        name: name.into(),
        vmid: None,
        node: None,
        kind: None,
        status: "unknown".into(),
        interfaces: vec![interface],
        primary: Some(address.address),
        unknown: None,
        silent: None,
        lines: BTreeMap::new(),
        seen: Vec::new(),
        ..silent(100, "")
    }
}

pub fn inventory(hosts: Vec<DiscoveredHost>) -> Inventory {
    Inventory { site: "lab.example".into(), hosts, missing: Vec::new(), hidden: None }
}

pub fn shown(mut host: DiscoveredHost) -> Vec<String> {
    without_noise(&mut host);
    host.addresses().map(|a| a.address.to_string()).collect()
}
