//! Which interfaces and addresses are a guest's own inner workings, that nobody outside reaches it by.

use std::net::{IpAddr, Ipv6Addr};

use crate::model::inventory::{Mac, Seen};

/// Beginnings of names that container engines, Kubernetes networks and hypervisors give to what they make. An interface
/// that has a network card's MAC is never taken for one of these.
const MADE: [&str; 25] = [
    "docker",
    "br-",
    "veth",
    "podman",
    "cni",
    "cali",
    "cilium",
    "lxc",
    "flannel",
    "weave",
    "kube-",
    "nodelocaldns",
    "vxlan",
    "geneve",
    "tunl",
    "ip6tnl",
    "sit",
    "gre",
    "erspan",
    "dummy",
    "virbr",
    "vnet",
    "tap",
    "ovs-",
    "antrea",
];

/// What Calico gives all its interfaces.
const CALICO: Mac = Mac([0xee; 6]);

/// Whether an interface that is no network card is made by what runs inside the guest.
pub fn is_noise(seen: &Seen) -> bool {
    let name = seen.name.to_ascii_lowercase();
    name == "lo"
        || name.starts_with("loopback")
        || seen.mac == Some(CALICO)
        || MADE.iter().any(|made| name.starts_with(made))
}

/// Whether an address reaches nobody from outside, whatever interface has it.
pub fn is_inner(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() || v4.is_multicast(),
        IpAddr::V6(v6) => v6.is_loopback() || is_link_local(v6) || v6.is_unspecified() || v6.is_multicast(),
    }
}

fn is_link_local(v6: Ipv6Addr) -> bool {
    v6.segments()[0] & 0xffc0 == 0xfe80
}
