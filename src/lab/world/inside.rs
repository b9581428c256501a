//! Guests as they see themselves: what an agent answers, and how a container's interfaces are shown.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::World;
use super::config;
use super::guest::Guest;
use crate::lab::call::{Call, PveError, Reply};
use crate::lab::scenario::AgentSpec;
use crate::model::ids::GuestKind;

/// How long the server waits for the answer to a ping, and to a command. Source: PVE::QemuServer::Agent,
/// PVE::QMPClient; real time, whatever the world's does.
const PING: Duration = Duration::from_secs(3);
const COMMAND: Duration = Duration::from_secs(5);

/// An interface inside a guest.
struct Inside {
    name: String,
    mac: String,
    addresses: Vec<Address>,
}

struct Address {
    /// With its zone, where there is one.
    text: String,
    prefix: u8,
    six: bool,
}

impl Address {
    /// `10.0.0.5/24`, `fe80::1%6/64`.
    fn read(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
        let ip: IpAddr = address.split('%').next()?.parse().ok()?;
        let whole = if ip.is_ipv4() { 32 } else { 128 };
        Some(Self { text: address.to_owned(), prefix: prefix.parse().unwrap_or(whole), six: ip.is_ipv6() })
    }
}

/// What the agent does; nothing where none can answer.
fn agent(guest: &Guest) -> Option<AgentSpec> {
    if !guest.has_agent() || !guest.running() {
        return None;
    }
    Some(match guest.agent {
        // It stands still with all the rest.
        _ if guest.paused() => AgentSpec::Dead,
        AgentSpec::ByAddress if guest.ip.is_none() && guest.inside.is_empty() => AgentSpec::Dead,
        AgentSpec::ByAddress => AgentSpec::Answers,
        other => other,
    })
}

/// How long the daemon's worker is held by this call beyond its own work.
pub(super) fn busy(world: &World, call: &Call) -> Duration {
    if !call.template.ends_with("/agent/network-get-interfaces") {
        return Duration::ZERO;
    }
    match world.guest_of(call).ok().and_then(agent) {
        Some(AgentSpec::Dead) => PING,
        Some(AgentSpec::Stuck) => COMMAND,
        _ => Duration::ZERO,
    }
}

/// The agent's own answer, or why there is none, in the server's order of checks.
pub(super) fn agent_interfaces(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let guest = world.guest_of(call)?;
    if !guest.has_agent() {
        return Err(PveError::die("No QEMU guest agent configured"));
    }
    match agent(guest) {
        None => Err(PveError::die(format!("VM {} is not running", guest.vmid))),
        Some(AgentSpec::Dead) => Err(PveError::die("QEMU guest agent is not running")),
        Some(AgentSpec::Stuck) => Err(PveError::die(format!(
            "VM {} qga command 'guest-network-get-interfaces' failed - got timeout",
            guest.vmid
        ))),
        Some(AgentSpec::Blocked) => Ok(Reply::read(json!({"result": {"error": {
            "class": "CommandNotFound",
            "desc": "Command guest-network-get-interfaces has been disabled",
        }}}))),
        Some(AgentSpec::Answers | AgentSpec::ByAddress) => {
            let rows: Vec<Value> = interfaces(guest).iter().map(agent_row).collect();
            Ok(Reply::read(json!({"result": rows})))
        }
    }
}

/// An interface without an address has neither addresses nor counters.
fn agent_row(inside: &Inside) -> Value {
    let mut row = Map::from_iter([("name".to_owned(), json!(inside.name))]);
    if !inside.mac.is_empty() {
        row.insert("hardware-address".into(), json!(inside.mac));
    }
    if !inside.addresses.is_empty() {
        let kind = |six| if six { "ipv6" } else { "ipv4" };
        row.insert("ip-addresses".into(), inside.addresses.iter().map(|a| address_row(a, kind(a.six))).collect());
        row.insert(
            "statistics".into(),
            json!({"rx-bytes": 255_388, "rx-packets": 625, "rx-errs": 0, "rx-dropped": 0,
            "tx-bytes": 127_022, "tx-packets": 667, "tx-errs": 0, "tx-dropped": 0}),
        );
    }
    Value::Object(row)
}

fn address_row(address: &Address, kind: &str) -> Value {
    json!({"ip-address": address.text, "ip-address-type": kind, "prefix": address.prefix})
}

/// `null` for a container that is off; on 8 without the newer keys.
pub(super) fn container_interfaces(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let guest = world.guest_of(call)?;
    if !guest.running() {
        return Ok(Reply::read(Value::Null));
    }
    let nine = world.nodes.get(&guest.node).is_some_and(super::node::Node::is_nine);
    Ok(Reply::read(interfaces(guest).iter().map(|inside| container_row(inside, nine)).collect()))
}

/// `inet` and `inet6` hold the last address of their kind alone.
fn container_row(inside: &Inside, nine: bool) -> Value {
    let mut row = json!({"name": inside.name, "hwaddr": inside.mac});
    for address in &inside.addresses {
        let key = if address.six { "inet6" } else { "inet" };
        row[key] = json!(format!("{}/{}", address.text, address.prefix));
    }
    if nine {
        row["hardware-address"] = json!(inside.mac);
        let kind = |six| if six { "inet6" } else { "inet" };
        row["ip-addresses"] = inside.addresses.iter().map(|a| address_row(a, kind(a.six))).collect();
    }
    row
}

/// The loopback first, then what the scenario says, or one for each card.
fn interfaces(guest: &Guest) -> Vec<Inside> {
    let read = |texts: &[&str]| texts.iter().filter_map(|text| Address::read(text)).collect();
    let lo =
        Inside { name: "lo".into(), mac: "00:00:00:00:00:00".into(), addresses: read(&["127.0.0.1/8", "::1/128"]) };
    let mut all = vec![lo];
    if guest.inside.is_empty() {
        all.extend((0..32).map_while(|n| card(guest, n)));
        return all;
    }
    all.extend(guest.inside.iter().map(|inside| Inside {
        name: inside.name.clone(),
        mac: inside.net.map(|n| mac_of(guest, n)).or_else(|| inside.mac.clone()).unwrap_or_default().to_lowercase(),
        addresses: inside.addresses.iter().filter_map(|text| Address::read(text)).collect(),
    }));
    all
}

/// What a guest makes of its n-th card: the first one has its address, and where it has one a link-local one, too.
fn card(guest: &Guest, n: u32) -> Option<Inside> {
    let line = guest.config.get(&format!("net{n}"))?;
    let mac = mac_of(guest, n).to_lowercase();
    let name = match guest.kind {
        GuestKind::Lxc => config::option(line, "name").map(str::to_owned),
        GuestKind::Qemu => None,
    };
    let mut addresses = Vec::new();
    if let Some(ip) = guest.ip.as_ref().filter(|_| n == 0) {
        addresses.extend(Address::read(&if ip.contains('/') { ip.clone() } else { format!("{ip}/24") }));
        addresses.extend(link_local(&mac).and_then(|ip| Address::read(&format!("{ip}/64"))));
    }
    Some(Inside { name: name.unwrap_or_else(|| format!("eth{n}")), mac, addresses })
}

/// The address that an interface gives itself (RFC 4291, appendix A).
fn link_local(mac: &str) -> Option<Ipv6Addr> {
    let bytes: Option<Vec<u16>> = mac.split(':').map(|pair| u16::from_str_radix(pair, 16).ok()).collect();
    let [a, b, c, d, e, f] = bytes?[..] else { return None };
    Some(Ipv6Addr::new(0xfe80, 0, 0, 0, (a ^ 2) << 8 | b, c << 8 | 0xff, 0xfe00 | d, e << 8 | f))
}

/// The address of a network card: after the model in a VM's line, after `hwaddr` in a container's.
fn mac_of(guest: &Guest, n: u32) -> String {
    let line = guest.config.get(&format!("net{n}")).unwrap_or_default();
    let first = || line.split(',').next().and_then(|first| first.split_once('=')).map(|(_, mac)| mac);
    config::option(line, "hwaddr").or_else(first).unwrap_or_default().to_owned()
}
