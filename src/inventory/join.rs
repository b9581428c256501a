//! Network cards of a configuration and interfaces inside the guest become one, by their MAC.

use super::nic::Nic;
use super::noise;
use crate::model::inventory::{Address, Family, Interface, Known, Mac, Seen, SeenAddress};

/// The cards, with what the guest says of each, then what only the guest has. `known` is who told the latter.
pub fn join(nics: &[Nic], seen: &[Seen], known: Known) -> Vec<Interface> {
    let mut joined: Vec<Interface> = nics.iter().map(|nic| of_card(nic, seen, known)).collect();
    let is_card = |mac: Option<Mac>| mac.is_some_and(|mac| nics.iter().any(|nic| nic.mac == Some(mac)));
    for one in seen.iter().filter(|one| !is_card(one.mac)) {
        let noise = noise::is_noise(one);
        joined.push(Interface {
            name: Some(one.name.clone()),
            mac: one.mac.filter(|mac| !mac.is_zero()),
            addresses: one.addresses.iter().map(|seen| reported(seen, known, noise)).collect(),
            noise,
            ..Interface::default()
        });
    }
    joined
}

fn of_card(nic: &Nic, seen: &[Seen], known: Known) -> Interface {
    // Several may share the card's MAC: a bridge and what is enslaved to it, a bond, VLANs on top.
    let same: Vec<&Seen> = seen.iter().filter(|one| nic.mac.is_some() && one.mac == nic.mac).collect();
    let mut addresses: Vec<Address> = Vec::new();
    for one in same.iter().flat_map(|one| &one.addresses) {
        if !addresses.iter().any(|there| there.address == one.address) {
            addresses.push(reported(one, known, false));
        }
    }
    for (address, prefix, known) in &nic.addresses {
        if !addresses.iter().any(|there| there.address == *address) {
            let seen = SeenAddress { address: *address, prefix: *prefix, zone: None };
            addresses.push(reported(&seen, *known, false));
        }
    }
    let named = same.iter().find(|one| !one.addresses.is_empty()).or(same.first()).map(|one| one.name.clone());
    Interface {
        nic: Some(format!("net{}", nic.number)),
        name: named.or_else(|| nic.name.clone()),
        mac: nic.mac,
        bridge: nic.bridge.clone(),
        vlan: nic.vlan,
        model: nic.model.clone(),
        link_down: nic.link_down,
        addresses,
        noise: false,
    }
}

fn reported(seen: &SeenAddress, source: Known, noise: bool) -> Address {
    Address {
        address: seen.address,
        prefix: seen.prefix,
        family: Family::of(seen.address),
        zone: seen.zone.clone(),
        source,
        noise: noise || noise::is_inner(seen.address),
    }
}
