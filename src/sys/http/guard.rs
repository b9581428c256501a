//! Addresses that no configured server has: requests to them would reach what trusts whoever is near (a cloud's
//! metadata service at 169.254.169.254), not a machine of the site.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The machine's own names, without addresses that are off limits. Asked in the request itself, so a name cannot mean
/// something else afterwards.
pub struct GuardedNames;

impl Resolve for GuardedNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let good: Vec<SocketAddr> = found.into_iter().filter(|address| !is_off_limits(&address.ip())).collect();
            if good.is_empty() {
                return Err(
                    "dns error: it has no address but of this link alone (as a cloud's metadata service)".into()
                );
            }
            Ok(Box::new(good.into_iter()) as Addrs)
        })
    }
}

/// Link-local, unspecified, multicast and broadcast; and what the same is in IPv6. Private addresses are a site's own.
pub fn is_off_limits(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => v4(*ip),
        IpAddr::V6(ip) => ip.to_ipv4_mapped().map_or_else(|| v6(*ip), v4),
    }
}

fn v4(ip: Ipv4Addr) -> bool {
    ip.is_link_local() || ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast()
}

fn v6(ip: Ipv6Addr) -> bool {
    // fd00:ec2::254 is the metadata service of one cloud; a unique local address otherwise.
    const METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    ip.is_unicast_link_local() || ip.is_unspecified() || ip.is_multicast() || ip == METADATA
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_services_are_off_limits_and_sites_are_not() {
        for ip in
            ["169.254.169.254", "0.0.0.0", "224.0.0.1", "fe80::1", "::", "::ffff:169.254.169.254", "fd00:ec2::254"]
        {
            assert!(is_off_limits(&ip.parse().unwrap()), "{ip}");
        }
        for ip in ["127.0.0.1", "10.0.0.2", "192.168.1.1", "8.8.8.8", "fd12::1", "::1"] {
            assert!(!is_off_limits(&ip.parse().unwrap()), "{ip}");
        }
    }
}
