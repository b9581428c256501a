//! From what `inventory.collect` puts out to what a NetBox should have. Read leniently: what is not said is not known,
//! and what is not known is not touched.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::record::{Nic, Record, host_of};

/// The longest name that NetBox takes.
const LONGEST: usize = 64;

/// A guest as it was found.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Host {
    #[serde(default)]
    site: Option<String>,
    #[serde(default)]
    vmid: Option<u64>,
    #[serde(default, rename = "type", alias = "kind")]
    kind: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    node: Option<String>,
    #[serde(default)]
    template: Option<bool>,
    #[serde(default, alias = "vcpus", alias = "cores", alias = "maxcpu")]
    cpus: Option<f64>,
    /// Bytes.
    #[serde(default, alias = "maxmem")]
    memory: Option<u64>,
    /// Bytes.
    #[serde(default, alias = "maxdisk")]
    disk: Option<u64>,
    #[serde(default)]
    interfaces: Option<Vec<Port>>,
    /// An address, or an object with one.
    #[serde(default)]
    primary: Value,
    /// Why something of it is not known: anything but nothing.
    #[serde(default)]
    unknown: Value,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Port {
    /// `net0`; null for what only the guest itself knows.
    #[serde(default, deserialize_with = "said")]
    nic: Option<Option<String>>,
    /// As the guest calls it.
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    mac: Option<String>,
    #[serde(default)]
    link_down: Option<bool>,
    #[serde(default)]
    addresses: Option<Vec<Address>>,
}

/// Tells null from nothing.
fn said<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Address {
    address: String,
    #[serde(default)]
    prefix: Option<u8>,
}

/// What cannot be as it was found, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clash {
    pub key: String,
    pub why: String,
}

/// Records, sorted by VMID, and what was left out of them.
#[derive(Debug, Clone, Default)]
pub struct Built {
    pub records: Vec<Record>,
    pub left_out: Vec<Clash>,
}

/// What a NetBox should have of these guests.
pub fn records(hosts: &[Host], site: &str, cluster: &str, templates: bool) -> Built {
    let chosen = hosts.iter().filter(|host| templates || host.template != Some(true));
    let chosen = chosen.filter_map(|host| Some(record(host, host.vmid?, site, cluster)));
    let mut built = Built { records: chosen.collect(), left_out: Vec::new() };
    built.records.sort_by_key(|record| record.vmid);
    built.records.dedup_by(|a, b| a.key == b.key);
    name(&mut built.records);
    shared(&mut built);
    built
}

fn is_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(all) => !all.is_empty(),
        Value::Object(all) => all.values().any(is_something),
        Value::String(text) => !text.is_empty(),
        _ => true,
    }
}

fn record(host: &Host, vmid: u64, site: &str, cluster: &str) -> Record {
    let status = match host.status.as_deref() {
        Some("running") => Some("active"),
        Some("stopped") => Some("offline"),
        Some("paused" | "suspended" | "prelaunch") => Some("paused"),
        _ => None,
    };
    let kind = match host.kind.as_deref() {
        Some("qemu") => Some("vm".to_owned()),
        other => other.map(str::to_owned),
    };
    // Who does not run tells nothing of itself.
    let unknown = is_something(&host.unknown) || host.status.as_deref() != Some("running");
    let told = host.interfaces.as_ref().filter(|ports| !(ports.is_empty() && unknown));
    let interfaces: Option<Vec<Nic>> = told.map(|ports| {
        let nics = ports.iter().filter_map(|port| nic(port, unknown));
        let by_name: BTreeMap<String, Nic> = nics.map(|nic| (nic.name.clone(), nic)).collect();
        by_name.into_values().collect()
    });
    let mut record = Record {
        key: format!("{}/{}", host.site.as_deref().unwrap_or(site), vmid),
        name: host.name.clone().filter(|name| !name.trim().is_empty()).unwrap_or_else(|| format!("guest-{vmid}")),
        cluster: cluster.to_owned(),
        status: status.map(str::to_owned),
        vcpus: host.cpus.filter(|n| *n > 0.0),
        memory: host.memory.map(megabytes),
        disk: host.disk.filter(|bytes| *bytes > 0).map(megabytes),
        vmid: Some(vmid),
        node: host.node.clone(),
        kind,
        interfaces,
        primary4: None,
        primary6: None,
    };
    let named = host.primary.as_str().or_else(|| host.primary["address"].as_str()).and_then(host_of);
    (record.primary4, record.primary6) = (primary(&record, named, true), primary(&record, named, false));
    record.sorted()
}

/// As NetBox counts: 1,000,000 bytes.
fn megabytes(bytes: u64) -> u64 {
    bytes / 1_000_000
}

fn nic(port: &Port, unknown: bool) -> Option<Nic> {
    let name = port.nic.clone().unwrap_or_else(|| port.name.clone()).filter(|name| !name.is_empty())?;
    let mut addresses: Vec<String> = port.addresses.iter().flatten().filter_map(assignable).collect();
    addresses.dedup();
    // None found while something could not be asked for is no finding.
    let known = port.addresses.is_some() && !(addresses.is_empty() && unknown);
    Some(Nic {
        name: name.chars().take(LONGEST).collect(),
        enabled: port.link_down != Some(true),
        mac: port.mac.as_ref().map(|mac| mac.to_uppercase()),
        addresses: known.then_some(addresses),
        more_macs: Vec::new(),
    })
}

/// The address with its prefix, where an interface can have it: none of this link or machine alone, and no network's own.
fn assignable(address: &Address) -> Option<String> {
    let (text, inside) =
        address.address.split_once('/').map_or((address.address.as_str(), None), |(a, p)| (a, Some(p)));
    let ip: IpAddr = text.split('%').next()?.parse().ok()?;
    let whole = if ip.is_ipv4() { 32 } else { 128 };
    let prefix = address.prefix.or_else(|| inside?.parse().ok()).unwrap_or(whole);
    let good = match ip {
        IpAddr::V4(ip) => {
            let host = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or_default();
            let part = u32::from(ip) & host;
            !ip.is_loopback() && !ip.is_link_local() && (prefix >= 31 || (part != 0 && part != host))
        }
        IpAddr::V6(ip) => {
            let host = u128::MAX.checked_shr(u32::from(prefix)).unwrap_or_default();
            !ip.is_loopback() && !ip.is_unicast_link_local() && (prefix >= 127 || u128::from(ip) & host != 0)
        }
    };
    (good && prefix > 0 && prefix <= whole && !ip.is_unspecified() && !ip.is_multicast())
        .then(|| format!("{ip}/{prefix}"))
}

/// The one that the collector names; else the first of the first interface that has one.
fn primary(record: &Record, named: Option<IpAddr>, four: bool) -> Option<String> {
    let of = |address: &&str| host_of(address).is_some_and(|ip| ip.is_ipv4() == four);
    let all: Vec<&str> = record.addresses().map(|(_, address)| address).filter(of).collect();
    let found = all.iter().find(|address| host_of(address) == named).or(all.first());
    found.map(|address| (*address).to_owned())
}

/// Cuts names, and tells those apart that NetBox takes for one.
fn name(records: &mut [Record]) {
    for record in records.iter_mut() {
        record.name = record.name.trim().chars().take(LONGEST).collect();
    }
    loop {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for record in records.iter() {
            *seen.entry(record.name.to_lowercase()).or_default() += 1;
        }
        let mut done = true;
        for record in records.iter_mut().filter(|record| seen[&record.name.to_lowercase()] > 1) {
            let end = format!("-{}", record.vmid.unwrap_or_default());
            if record.name.ends_with(&end) {
                continue;
            }
            let room = LONGEST - end.len();
            record.name = format!("{}{end}", record.name.chars().take(room).collect::<String>());
            done = false;
        }
        if done {
            return;
        }
    }
}

/// An address that several guests have (a virtual one, a container network's) is nobody's own: it is left out everywhere.
fn shared(built: &mut Built) {
    let mut holders: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
    for record in &built.records {
        for ip in record.addresses().filter_map(|(_, address)| host_of(address)) {
            holders.entry(ip).or_default().insert(record.key.clone());
        }
    }
    for (ip, keys) in holders.into_iter().filter(|(_, keys)| keys.len() > 1) {
        let all: Vec<&str> = keys.iter().map(String::as_str).collect();
        let why = format!("{ip} is on {}: NetBox would take it for one only", all.join(" and "));
        for record in built.records.iter_mut().filter(|record| keys.contains(&record.key)) {
            *record = std::mem::take(record).without(&ip.to_string());
            (record.primary4, record.primary6) = (
                record.primary4.take().or_else(|| primary(record, None, true)),
                record.primary6.take().or_else(|| primary(record, None, false)),
            );
            built.left_out.push(Clash { key: record.key.clone(), why: why.clone() });
        }
    }
}
