//! From what `inventory.collect` puts out to what a NetBox should have. Read leniently: what is not said is not known,
//! and what is not known is not touched.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::record::{Nic, Record, host_of};
use crate::model::inventory::DiscoveredHost;

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
    /// Why there is no primary address: anything but nothing.
    #[serde(default)]
    unknown: Value,
    /// Why the guest itself said nothing: anything but nothing.
    #[serde(default)]
    silent: Value,
}

impl From<&DiscoveredHost> for Host {
    /// By the way that it takes from one step to another, so that both are read alike.
    fn from(host: &DiscoveredHost) -> Self {
        let read = serde_json::to_value(host).and_then(serde_json::from_value);
        read.unwrap_or_default()
    }
}

/// How much of its addresses is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// It told them itself.
    All,
    /// Those that are known are all of their interface; of an interface without one nothing is known.
    Some,
    /// It was not heard: there may be others beside those that are known.
    Nothing,
}

impl Host {
    fn heard(&self) -> Heard {
        let reason = |value: &Value| value["reason"].as_str().map(str::to_owned);
        let runs = self.status.as_deref() == Some("running");
        let why = if is_something(&self.silent) { &self.silent } else { &self.unknown };
        match reason(why).as_deref() {
            // Who does not run tells nothing of itself.
            _ if !runs => Heard::Nothing,
            // There is nobody to ask, now or later: an address of the configuration is all there is. And who answers that
            // it has none may be about to get one.
            Some("agent_not_configured" | "no_address") => Heard::Some,
            _ if is_something(why) => Heard::Nothing,
            _ => Heard::All,
        }
    }

    /// Why its node says nothing of it: not even its name or whether it is a template need be right then.
    fn unread(&self) -> Option<String> {
        let why = [&self.silent, &self.unknown].into_iter().find_map(|why| why["text"].as_str());
        let is = self.status.as_deref() == Some("unknown");
        is.then(|| why.unwrap_or("its node says nothing of it").to_owned())
    }

    fn key(&self, site: &str) -> Option<String> {
        Some(format!("{}/{}", self.site.as_deref().unwrap_or(site), self.vmid?))
    }
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
    /// Addresses that several have.
    pub contested: BTreeSet<IpAddr>,
}

fn chosen(hosts: &[Host], templates: bool) -> impl Iterator<Item = &Host> {
    hosts.iter().filter(move |host| templates || host.template != Some(true))
}

/// The marks of these guests.
pub fn keys(hosts: &[Host], site: &str, templates: bool) -> BTreeSet<String> {
    chosen(hosts, templates).filter_map(|host| host.key(site)).collect()
}

/// What a NetBox should have of these guests. `now`: what it has, by their marks.
pub fn records(hosts: &[Host], site: &str, cluster: &str, templates: bool, now: &BTreeMap<String, Record>) -> Built {
    let (mut built, mut kept) = (Built::default(), BTreeSet::new());
    for host in chosen(hosts, templates) {
        let (Some(vmid), Some(key)) = (host.vmid, host.key(site)) else { continue };
        let there = now.get(&key);
        if let (Some(why), None) = (host.unread(), there) {
            let why = format!("it could not be read ({why}), and NetBox does not have it yet");
            built.left_out.push(Clash { key, why });
            continue;
        }
        let mut record = record(host, vmid, key, cluster);
        if let (true, Some(there)) = (record.name.is_empty(), there) {
            record.name.clone_from(&there.name);
            kept.insert(record.key.clone());
        } else if record.name.is_empty() {
            record.name = format!("guest-{vmid}");
        }
        built.records.push(record);
    }
    built.records.sort_by_key(|record| record.vmid);
    built.records.dedup_by(|a, b| a.key == b.key);
    name(&mut built.records, &kept);
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

fn record(host: &Host, vmid: u64, key: String, cluster: &str) -> Record {
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
    let heard = host.heard();
    let interfaces = host.interfaces.as_ref().map(|ports| {
        let nics = ports.iter().filter_map(|port| nic(port, heard));
        let by_name: BTreeMap<String, Nic> = nics.map(|nic| (nic.name.clone(), nic)).collect();
        by_name.into_values().collect::<Vec<_>>()
    });
    // No card while something could not be read is no finding.
    let interfaces = interfaces.filter(|nics| !nics.is_empty() || heard == Heard::All);
    let mut record = Record {
        key,
        name: host.name.as_deref().unwrap_or_default().trim().chars().take(LONGEST).collect(),
        cluster: cluster.to_owned(),
        status: status.map(str::to_owned),
        vcpus: host.cpus.filter(|n| *n > 0.0),
        memory: host.memory.map(megabytes),
        disk: host.disk.filter(|bytes| *bytes > 0).map(megabytes),
        has_disks: false,
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

fn nic(port: &Port, heard: Heard) -> Option<Nic> {
    let name = port.nic.clone().unwrap_or_else(|| port.name.clone()).filter(|name| !name.is_empty())?;
    let mut addresses: Vec<String> = port.addresses.iter().flatten().filter_map(assignable).collect();
    addresses.dedup();
    // None found while somebody was not heard is no finding.
    let known = port.addresses.is_some() && (!addresses.is_empty() || heard == Heard::All);
    Some(Nic {
        name: name.chars().take(LONGEST).collect(),
        enabled: port.link_down != Some(true),
        mac: port.mac.as_ref().map(|mac| mac.to_uppercase()),
        addresses: known.then_some(addresses),
        open: known && heard == Heard::Nothing,
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

/// Tells names apart that NetBox takes for one; those that nobody read stay as they are there.
fn name(records: &mut [Record], kept: &BTreeSet<String>) {
    loop {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for record in records.iter() {
            *seen.entry(record.name.to_lowercase()).or_default() += 1;
        }
        let mut done = true;
        let twice = |record: &&mut Record| seen[&record.name.to_lowercase()] > 1 && !kept.contains(&record.key);
        for record in records.iter_mut().filter(twice) {
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

/// An address that several guests have (a virtual one, a container network's) is nobody's own: nobody gets it, and it stays
/// where NetBox has it.
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
        built.contested.insert(ip);
    }
}
