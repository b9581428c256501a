//! What is known of the guests of a site and of other machines on its networks: who they are, their network cards, and
//! their addresses with where each is known from. Field names are those of `runbook inventory -o json`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ids::{BadId, GuestKind, NodeName, Vmid};

/// All that was found, and what could not be asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    /// The configured name of the site.
    pub site: String,
    /// In the order of VMIDs; those without one after them, by name.
    pub hosts: Vec<DiscoveredHost>,
    /// Empty: the inventory is complete.
    pub missing: Vec<Missing>,
    /// Why there may be guests that the list does not have: what our login may not see is left out of it without a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<String>,
}

/// A machine that a collector has found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DiscoveredHost {
    /// The collector: `proxmox`.
    pub source: String,
    pub site: String,
    /// Not unique: Proxmox lets guests share a name.
    pub name: String,
    /// With the site's name it is what a guest is known by.
    pub vmid: Option<Vmid>,
    pub node: Option<NodeName>,
    #[serde(rename = "type")]
    pub kind: Option<GuestKind>,
    /// `running`, `stopped`, or `unknown` where its node does not say.
    pub status: String,
    #[serde(default)]
    pub template: bool,
    #[serde(default)]
    pub tags: Vec<String>,
    #[serde(default)]
    pub pool: Option<String>,
    #[serde(default)]
    pub cpus: Option<f64>,
    /// Bytes.
    #[serde(default)]
    pub memory: Option<u64>,
    /// Bytes, of the disk that it boots from.
    #[serde(default)]
    pub disk: Option<u64>,
    /// Network cards first, in the order of their numbers.
    pub interfaces: Vec<Interface>,
    /// The address that it is reached at, by the rule of `inventory::primary`.
    pub primary: Option<IpAddr>,
    /// Why there is no primary address.
    pub unknown: Option<Unknown>,
    /// Why the guest itself said nothing, whatever its configuration knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent: Option<Unknown>,
    /// How many seconds ago the guest was asked, where that was in an earlier run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<u64>,
    /// `netN` and `ipconfigN` as the configuration has them.
    #[serde(skip)]
    pub lines: BTreeMap<String, String>,
    /// What the guest itself said.
    #[serde(skip)]
    pub seen: Vec<Seen>,
    /// Names of its snapshots, oldest first; absent where nobody asked.
    #[serde(skip)]
    pub snapshots: Option<Vec<String>>,
    /// What QEMU says of it beyond its status: `paused`, `prelaunch`; absent where nobody asked, and of what does not run.
    #[serde(skip)]
    pub qmpstatus: Option<String>,
}

impl DiscoveredHost {
    /// `104 (web)`, or the name alone.
    pub fn title(&self) -> String {
        match self.vmid {
            Some(vmid) => format!("{vmid} ({})", self.name),
            None => self.name.clone(),
        }
    }

    /// All addresses, in the interfaces' order.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.interfaces.iter().flat_map(|interface| &interface.addresses)
    }
}

/// A network card of the configuration, an interface inside the guest, or both joined by their MAC.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Interface {
    /// `net0`; none for what only the guest knows: a tunnel, a card that is passed through.
    pub nic: Option<String>,
    /// What the guest, or a container's configuration, calls it.
    pub name: Option<String>,
    pub mac: Option<Mac>,
    pub bridge: Option<String>,
    /// The tag of the card's own VLAN.
    pub vlan: Option<u16>,
    /// `virtio`, `e1000`; `veth` for a container.
    pub model: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub link_down: bool,
    pub addresses: Vec<Address>,
    /// Of the guest's own inner workings (loopback, container networks); shown only where all is asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub noise: bool,
}

/// An address of an interface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Address {
    pub address: IpAddr,
    /// Length of the network's part.
    pub prefix: Option<u8>,
    pub family: Family,
    /// Of a link-local one, as Windows writes it: `6` of `fe80::1%6`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Where it is known from. What is configured and reported is reported.
    pub source: Known,
    /// Reaches nobody from outside: loopback, link-local.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub noise: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::Ipv4 } else { Self::Ipv6 }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}

/// Where an address is known from; what a guest says of itself is first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Known {
    /// The guest agent.
    Agent,
    /// The container's own interfaces, as its node sees them.
    Container,
    /// `ipconfigN` of a VM.
    CloudInit,
    /// `ip=` of a container's network card.
    Config,
    /// The leases of a DHCP server.
    Dhcp,
    /// It answered at that address.
    Scan,
}

impl Known {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Container => "container",
            Self::CloudInit => "cloud-init",
            Self::Config => "config",
            Self::Dhcp => "dhcp",
            Self::Scan => "scan",
        }
    }
}

/// Why no address is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unknown {
    pub reason: Reason,
    /// For people, with the other end's own words where it had some.
    pub text: String,
}

impl Unknown {
    pub fn new(reason: Reason, text: impl Into<String>) -> Self {
        Self { reason, text: text.into() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    Template,
    GuestStopped,
    /// `agent` is not on in the VM's configuration.
    AgentNotConfigured,
    AgentNotRunning,
    /// The agent runs, and its own configuration forbids the command, or it does not know it.
    AgentBlocked,
    AgentTimeout,
    /// The guest answered and has no address that others could reach.
    NoAddress,
    /// A privilege is missing.
    Forbidden,
    /// The cluster says that its node is offline.
    NodeOffline,
    /// Its node does not answer us.
    NodeSilent,
    /// The time for one guest was over.
    Deadline,
    /// It could not be read for another reason.
    NotRead,
    /// It was not asked.
    NotAsked,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Template => "template",
            Self::GuestStopped => "guest_stopped",
            Self::AgentNotConfigured => "agent_not_configured",
            Self::AgentNotRunning => "agent_not_running",
            Self::AgentBlocked => "agent_blocked",
            Self::AgentTimeout => "agent_timeout",
            Self::NoAddress => "no_address",
            Self::Forbidden => "forbidden",
            Self::NodeOffline => "node_offline",
            Self::NodeSilent => "node_silent",
            Self::Deadline => "deadline",
            Self::NotRead => "not_read",
            Self::NotAsked => "not_asked",
        }
    }

    /// Whether it leaves open what would have been found: then the inventory is not complete.
    pub fn is_missing(self) -> bool {
        matches!(
            self,
            Self::Forbidden
                | Self::NodeOffline
                | Self::NodeSilent
                | Self::Deadline
                | Self::NotRead
                | Self::AgentTimeout
        )
    }
}

/// Something that was asked for and could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    pub node: Option<NodeName>,
    pub vmid: Option<Vmid>,
    /// `guests`, `configuration`, `addresses`.
    pub what: String,
    pub reason: Reason,
    pub why: String,
}

/// An interface as a guest's agent or a container's node reports it. Several may share a MAC; an enslaved one has no
/// address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub name: String,
    pub mac: Option<Mac>,
    pub addresses: Vec<SeenAddress>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeenAddress {
    pub address: IpAddr,
    pub prefix: Option<u8>,
    pub zone: Option<String>,
}

/// A hardware address of six bytes; written in lower case with colons.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// What interfaces without hardware have.
    pub fn is_zero(self) -> bool {
        self.0 == [0; 6]
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        f.pad(&format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}"))
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Mac {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId { what: "MAC address", got: text.into(), expected: "six pairs of hexadecimal digits" };
        let mut bytes = [0; 6];
        let mut pairs = text.split([':', '-']);
        for byte in &mut bytes {
            let pair = pairs.next().filter(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()));
            *byte = u8::from_str_radix(pair.ok_or_else(bad)?, 16).map_err(|_| bad())?;
        }
        if pairs.next().is_some() { Err(bad()) } else { Ok(Self(bytes)) }
    }
}

impl TryFrom<String> for Mac {
    type Error = BadId;

    fn try_from(text: String) -> Result<Self, BadId> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses_are_written_in_lower_case() {
        for text in ["BC:24:11:0A:bb:CC", "bc-24-11-0a-bb-cc"] {
            assert_eq!(text.parse::<Mac>().unwrap().to_string(), "bc:24:11:0a:bb:cc");
        }
        for text in
            ["", "bc:24:11:0a:bb", "bc:24:11:0a:bb:cc:dd", "bc:24:11:0a:bb:+c", "bc24110abbcc", "ä:24:11:0a:bb:cc"]
        {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
    }

    #[test]
    fn words_are_those_of_the_json() {
        for reason in [Reason::Template, Reason::AgentNotRunning, Reason::NodeSilent, Reason::NotRead, Reason::NotAsked]
        {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
        for known in [Known::Agent, Known::CloudInit, Known::Dhcp] {
            assert_eq!(serde_json::to_value(known).unwrap(), known.as_str());
        }
        assert_eq!(serde_json::to_value(Family::Ipv4).unwrap(), Family::Ipv4.as_str());
    }
}
