//! What is different between two inventories: which hosts came and went, and what of the others changed.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::model::ids::Vmid;
use crate::model::inventory::{DiscoveredHost, Inventory, Mac};

/// One host that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diff {
    pub vmid: Option<Vmid>,
    pub name: String,
    /// Where it is, or was.
    pub node: Option<String>,
    /// Its primary address, or what it was.
    pub primary: Option<String>,
    pub changes: Vec<Change>,
}

/// One thing that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "change")]
pub enum Change {
    Came,
    Went,
    /// To another node.
    Moved {
        from: String,
        to: String,
    },
    Name {
        from: String,
        to: String,
    },
    Status {
        from: String,
        to: String,
    },
    Tags {
        from: String,
        to: String,
    },
    Pool {
        from: String,
        to: String,
    },
    /// The primary address, or why there is none.
    Primary {
        from: String,
        to: String,
    },
    /// Its other addresses.
    Addresses {
        came: Vec<String>,
        went: Vec<String>,
    },
    /// Its network cards' hardware addresses.
    Macs {
        came: Vec<String>,
        went: Vec<String>,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, what: &str, came: &[String], went: &[String]| {
            let signed = |sign: char| move |text: &String| format!("{sign}{text}");
            let all: Vec<String> = went.iter().map(signed('-')).chain(came.iter().map(signed('+'))).collect();
            write!(f, "{what} {}", all.join(" "))
        };
        let empty = |text: &str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
        match self {
            Self::Came => f.write_str("came"),
            Self::Went => f.write_str("went"),
            Self::Moved { from, to } => write!(f, "moved {from} -> {to}"),
            Self::Name { from, to } => write!(f, "name {} -> {}", empty(from), empty(to)),
            Self::Status { from, to } => write!(f, "{from} -> {to}"),
            Self::Tags { from, to } => write!(f, "tags {} -> {}", empty(from), empty(to)),
            Self::Pool { from, to } => write!(f, "pool {} -> {}", empty(from), empty(to)),
            Self::Primary { from, to } => write!(f, "address {from} -> {to}"),
            Self::Addresses { came, went } => list(f, "addresses", came, went),
            Self::Macs { came, went } => list(f, "MACs", came, went),
        }
    }
}

/// What a host is known by: site and VMID; without a VMID its MACs, and without those its name.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    Guest(&'a str, Vmid),
    Macs(Vec<Mac>),
    Name(&'a str),
}

fn key(host: &DiscoveredHost) -> Key<'_> {
    if let Some(vmid) = host.vmid {
        return Key::Guest(&host.site, vmid);
    }
    match macs(host) {
        macs if macs.is_empty() => Key::Name(&host.name),
        macs => Key::Macs(macs),
    }
}

fn macs(host: &DiscoveredHost) -> Vec<Mac> {
    let mut macs: Vec<Mac> =
        host.interfaces.iter().filter(|i| i.nic.is_some() || host.vmid.is_none()).filter_map(|i| i.mac).collect();
    macs.sort_unstable();
    macs.dedup();
    macs
}

/// Every host that came, went or changed, in the order of VMIDs.
pub fn diff(before: &Inventory, after: &Inventory) -> Vec<Diff> {
    let (old, new) = (index_of(&before.hosts), index_of(&after.hosts));
    let mut keys: Vec<&Key<'_>> = old.keys().chain(new.keys()).collect();
    keys.sort();
    keys.dedup();
    keys.into_iter()
        .filter_map(|key| {
            let changes = match (old.get(key), new.get(key)) {
                (Some(old), Some(new)) => changes(old, new),
                (None, Some(_)) => vec![Change::Came],
                (Some(_), None) => vec![Change::Went],
                (None, None) => Vec::new(),
            };
            let host = new.get(key).or(old.get(key))?;
            (!changes.is_empty()).then(|| Diff {
                vmid: host.vmid,
                name: host.name.clone(),
                node: host.node.as_ref().map(ToString::to_string),
                primary: host.primary.map(|address| address.to_string()),
                changes,
            })
        })
        .collect()
}

fn index_of(hosts: &[DiscoveredHost]) -> BTreeMap<Key<'_>, &DiscoveredHost> {
    hosts.iter().map(|host| (key(host), host)).collect()
}

fn changes(old: &DiscoveredHost, new: &DiscoveredHost) -> Vec<Change> {
    let mut all = Vec::new();
    let text = |node: &DiscoveredHost| node.node.as_ref().map(ToString::to_string).unwrap_or_default();
    if old.node != new.node {
        all.push(Change::Moved { from: text(old), to: text(new) });
    }
    if old.name != new.name {
        all.push(Change::Name { from: old.name.clone(), to: new.name.clone() });
    }
    if old.status != new.status {
        all.push(Change::Status { from: old.status.clone(), to: new.status.clone() });
    }
    if old.tags != new.tags {
        all.push(Change::Tags { from: old.tags.join(";"), to: new.tags.join(";") });
    }
    if old.pool != new.pool {
        let pool = |host: &DiscoveredHost| host.pool.clone().unwrap_or_default();
        all.push(Change::Pool { from: pool(old), to: pool(new) });
    }
    // What could not be read is not known to have changed.
    let is_read = |host: &DiscoveredHost| !host.unknown.as_ref().is_some_and(|unknown| unknown.reason.is_missing());
    if !(is_read(old) && is_read(new)) {
        return all;
    }
    if old.primary != new.primary {
        all.push(Change::Primary { from: reached(old), to: reached(new) });
    }
    let addresses = |host: &DiscoveredHost| {
        let others = host.addresses().map(|a| a.address).filter(|a| Some(*a) != host.primary);
        others.map(|a| a.to_string()).collect::<Vec<_>>()
    };
    if let Some((came, went)) = sets(&addresses(old), &addresses(new)) {
        all.push(Change::Addresses { came, went });
    }
    let texts = |host| macs(host).iter().map(Mac::to_string).collect::<Vec<_>>();
    if let Some((came, went)) = sets(&texts(old), &texts(new)) {
        all.push(Change::Macs { came, went });
    }
    all
}

fn reached(host: &DiscoveredHost) -> String {
    let why = || host.unknown.as_ref().map_or("none".to_owned(), |unknown| format!("unknown ({})", unknown.text));
    host.primary.map_or_else(why, |address| address.to_string())
}

/// What is in one and not in the other; nothing where they are alike.
fn sets(old: &[String], new: &[String]) -> Option<(Vec<String>, Vec<String>)> {
    let without = |from: &[String], these: &[String]| -> Vec<String> {
        from.iter().filter(|text| !these.contains(text)).cloned().collect()
    };
    let (came, went) = (without(new, old), without(old, new));
    (!came.is_empty() || !went.is_empty()).then_some((came, went))
}
