//! Which of its addresses a guest is reached at. The rule, in this order:
//!
//! 1. No noise: neither loopback nor link-local, nothing of container networks.
//! 2. Network cards before what only the guest knows; of cards the one with the lowest number that has an address; of
//!    the others one with hardware before a tunnel.
//! 3. What the guest says of itself before what its configuration says, and that before what others have seen of it.
//! 4. IPv4 before IPv6.
//! 5. An IPv4 address with a network before one that stands alone (`/32` floats between machines); an IPv6 address that
//!    is valid everywhere before one of `fc00::/7`.
//! 6. The order in which they are reported.
//!
//! docs/explanation/inventory.md says why.

use std::net::IpAddr;

use crate::model::inventory::{Address, Family, Interface};

/// The primary address.
pub fn primary(interfaces: &[Interface]) -> Option<IpAddr> {
    best(interfaces, |_| true).map(|address| address.address)
}

/// The primary one of a family.
pub fn primary_of(interfaces: &[Interface], family: Family) -> Option<&Address> {
    best(interfaces, |address| address.family == family)
}

fn best(interfaces: &[Interface], wanted: impl Fn(&Address) -> bool) -> Option<&Address> {
    let all = interfaces.iter().enumerate().filter(|(_, interface)| !interface.noise);
    let all = all.flat_map(|(place, interface)| interface.addresses.iter().map(move |a| (place, interface, a)));
    let fit = all.filter(|(_, _, address)| !address.noise && wanted(address));
    // The first of those that are alike is the one that was reported first.
    fit.min_by_key(|(place, interface, address)| {
        (
            interface.nic.is_none(),
            interface.nic.is_none() && interface.mac.is_none(),
            *place,
            address.source,
            address.family == Family::Ipv6,
            stands_alone(address),
        )
    })
    .map(|(_, _, address)| address)
}

fn stands_alone(address: &Address) -> bool {
    match address.address {
        IpAddr::V4(_) => address.prefix == Some(32),
        IpAddr::V6(v6) => v6.segments()[0] & 0xfe00 == 0xfc00,
    }
}
