//! What several collectors have found becomes one list. A guest is known by its site and VMID; what has none (a lease, an
//! answer on the network) is laid to the guest that has its MAC, where exactly one has it: MACs are copied with images,
//! so two guests with one MAC prove nothing.

use std::collections::BTreeMap;

use super::primary::primary;
use crate::model::ids::Vmid;
use crate::model::inventory::{DiscoveredHost, Interface, Mac};

/// All hosts, those with a VMID first; and what a person should know of it.
pub fn merge(mut found: Vec<Vec<DiscoveredHost>>) -> (Vec<DiscoveredHost>, Vec<String>) {
    if let [only] = &mut found[..]
        && only.iter().all(|host| host.vmid.is_some())
    {
        // One source alone, as nearly always: sorting ten thousand again would hold them twice.
        return (std::mem::take(only), Vec::new());
    }
    let (known, others): (Vec<_>, Vec<_>) = found.into_iter().flatten().partition(|host| host.vmid.is_some());
    let mut hosts: BTreeMap<(String, Option<Vmid>), DiscoveredHost> = BTreeMap::new();
    for host in known {
        match hosts.entry((host.site.clone(), host.vmid)) {
            std::collections::btree_map::Entry::Occupied(mut there) => lay(there.get_mut(), host),
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(host);
            }
        }
    }
    let mut hosts: Vec<DiscoveredHost> = hosts.into_values().collect();
    let owners = owners(&hosts);
    let (mut strangers, mut notes): (Vec<DiscoveredHost>, Vec<String>) = (Vec::new(), Vec::new());
    for other in others {
        let macs: Vec<Mac> = other.interfaces.iter().filter_map(|interface| interface.mac).collect();
        let mut places: Vec<usize> = macs.iter().filter_map(|mac| owners.get(mac)).flatten().copied().collect();
        places.sort_unstable();
        places.dedup();
        match places[..] {
            [place] => lay(&mut hosts[place], other),
            [] => add_stranger(&mut strangers, other),
            _ => {
                let who: Vec<String> = places.iter().map(|place| hosts[*place].title()).collect();
                notes.push(format!(
                    "{} of {} has the MAC of {}: left apart; give each a MAC of its own",
                    other.name,
                    other.source,
                    who.join(" and ")
                ));
                add_stranger(&mut strangers, other);
            }
        }
    }
    strangers.sort_by(|a, b| a.name.cmp(&b.name));
    hosts.extend(strangers);
    (hosts, notes)
}

/// Which hosts have a MAC.
fn owners(hosts: &[DiscoveredHost]) -> BTreeMap<Mac, Vec<usize>> {
    let mut owners: BTreeMap<Mac, Vec<usize>> = BTreeMap::new();
    for (place, host) in hosts.iter().enumerate() {
        for mac in host.interfaces.iter().filter_map(|interface| interface.mac) {
            let places = owners.entry(mac).or_default();
            if places.last() != Some(&place) {
                places.push(place);
            }
        }
    }
    owners
}

/// Two strangers with one MAC are one machine, seen by two collectors.
fn add_stranger(strangers: &mut Vec<DiscoveredHost>, other: DiscoveredHost) {
    let shares = |host: &DiscoveredHost| {
        let has = |mac: Option<Mac>| mac.is_some() && host.interfaces.iter().any(|own| own.mac == mac);
        other.interfaces.iter().any(|interface| has(interface.mac))
    };
    match strangers.iter_mut().find(|host| shares(host)) {
        Some(there) => lay(there, other),
        None => strangers.push(other),
    }
}

/// Lays what another collector knows to a host; what the host has is kept.
fn lay(host: &mut DiscoveredHost, other: DiscoveredHost) {
    for interface in other.interfaces {
        let own = host.interfaces.iter_mut().find(|own| own.mac.is_some() && own.mac == interface.mac);
        match own {
            Some(own) => add_addresses(own, interface),
            None => host.interfaces.push(interface),
        }
    }
    if host.name.is_empty() {
        host.name = other.name;
    }
    host.primary = primary(&host.interfaces);
    if host.primary.is_some() {
        host.unknown = None;
    }
}

fn add_addresses(own: &mut Interface, more: Interface) {
    for address in more.addresses {
        if !own.addresses.iter().any(|there| there.address == address.address) {
            own.addresses.push(address);
        }
    }
}
