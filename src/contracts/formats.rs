//! The registered formats that callers get wrong: ids, addresses, lists of them. An unknown one accepts everything.
//!
//! Source: PVE::JSONSchema and the modules that register formats of their own; the texts are the server's, without
//! their final newline.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use regex::Regex;

type Check = fn(&str) -> Result<(), String>;

/// Checks one value (`pve-vmid`), each element of a list (`pve-vmid-list`), or an optional one (`email-opt`).
pub fn check(format: &str, value: &str) -> Result<(), String> {
    if let Some(check) = known(format) {
        return check(value);
    }
    if let Some(check) = format.strip_suffix("-list").and_then(known) {
        return split_list(value).try_for_each(check);
    }
    match format.strip_suffix("-opt").and_then(known) {
        Some(check) if !value.is_empty() => check(value),
        _ => Ok(()),
    }
}

/// Commas, semicolons, white space and NUL separate elements (PVE::Tools::split_list).
pub fn split_list(value: &str) -> impl Iterator<Item = &str> {
    value.split(|c: char| matches!(c, ',' | ';' | '\0') || c.is_whitespace()).filter(|item| !item.is_empty())
}

fn known(format: &str) -> Option<Check> {
    Some(match format {
        "pve-node" => node,
        "pve-vmid" => vmid,
        "pve-configid" | "pve-ha-group-or-rule-id" => config_id,
        "pve-storage-id" => storage_id,
        "pve-bridge-id" => bridge,
        "pve-iface" => interface,
        "pve-poolid" => pool,
        "pve-userid" => user,
        "pve-realm" => realm,
        "pve-roleid" => role,
        "pve-tag" => tag,
        "pve-ha-resource-or-vm-id" | "pve-ha-resource-id" => ha_resource,
        "pve-ha-node" => ha_node,
        "pve-storage-content" => storage_content,
        "storage-pair" => storage_pair,
        "bridge-pair" => bridge_pair,
        "mac-addr" => mac,
        "dns-name" => dns_name,
        "address" => address,
        "ip" => ip,
        "ipv4" => ipv4,
        "ipv6" => ipv6,
        "CIDR" => cidr,
        "CIDRv4" => cidr4,
        "CIDRv6" => cidr6,
        "IPorCIDR" => ip_or_cidr,
        "disk-size" => disk_size,
        "urlencoded" => urlencoded,
        "email" => email,
        _ => return None,
    })
}

macro_rules! regex {
    ($pattern:expr) => {{
        static REGEX: LazyLock<Regex> = LazyLock::new(|| Regex::new($pattern).expect("the pattern is a literal"));
        &REGEX
    }};
}

fn require(fits: bool, text: impl FnOnce() -> String) -> Result<(), String> {
    if fits { Ok(()) } else { Err(text()) }
}

fn looks_like(fits: bool, what: &str) -> Result<(), String> {
    require(fits, || format!("value does not look like a valid {what}"))
}

fn is_node(value: &str) -> bool {
    regex!(r"^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?$").is_match(value)
}

fn node(value: &str) -> Result<(), String> {
    looks_like(is_node(value), "node name")
}

/// `pve1:2`: a node with its priority.
fn ha_node(value: &str) -> Result<(), String> {
    let (name, priority) = value.split_once(':').unwrap_or((value, "0"));
    let fits = is_node(name) && !priority.is_empty() && priority.bytes().all(|b| b.is_ascii_digit());
    require(fits, || format!("invalid group member '{value}'"))
}

fn is_vmid(value: &str) -> bool {
    regex!(r"^[1-9][0-9]{2,8}$").is_match(value)
}

fn vmid(value: &str) -> Result<(), String> {
    looks_like(is_vmid(value), "VM ID")
}

fn ha_resource(value: &str) -> Result<(), String> {
    let id = value.strip_prefix("vm:").or_else(|| value.strip_prefix("ct:")).unwrap_or(value);
    require(is_vmid(id), || format!("value does not look like a valid HA resource id: '{value}'"))
}

fn config_id(value: &str) -> Result<(), String> {
    require(regex!(r"(?i)^[a-z][a-z0-9_-]+$").is_match(value), || format!("invalid configuration ID '{value}'"))
}

fn is_storage_id(value: &str) -> bool {
    regex!(r"(?i)^[a-z][a-z0-9\-_.]*[a-z0-9]$").is_match(value)
}

fn storage_id(value: &str) -> Result<(), String> {
    require(is_storage_id(value), || format!("storage ID '{value}' contains illegal characters"))
}

fn is_interface(value: &str) -> bool {
    (2..=20).contains(&value.len()) && regex!(r"(?i)^[a-z][a-z0-9_]{1,20}([:.]\d+)?$").is_match(value)
}

fn bridge(value: &str) -> Result<(), String> {
    require(regex!(r"^[-_.\w\d]+$").is_match(value), || "invalid bridge name".to_owned())
}

fn interface(value: &str) -> Result<(), String> {
    require(is_interface(value), || format!("invalid network interface name '{value}'"))
}

/// Pools nest up to three deep.
fn pool(value: &str) -> Result<(), String> {
    let one = r"[A-Za-z0-9.\-_]+";
    let fits = Regex::new(&format!("^{one}(/{one}){{0,2}}$")).is_ok_and(|r| r.is_match(value));
    require(fits, || format!("value '{value}' does not look like a valid pool name"))
}

fn user(value: &str) -> Result<(), String> {
    let fits = value.len() <= 64 && regex!(r"^[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+$").is_match(value);
    require(fits, || format!("value '{value}' does not look like a valid user name"))
}

fn realm(value: &str) -> Result<(), String> {
    looks_like(regex!(r"^[A-Za-z][A-Za-z0-9.\-_]+$").is_match(value), "realm")
}

fn role(value: &str) -> Result<(), String> {
    require(regex!(r"^[A-Za-z0-9.\-_]+$").is_match(value), || format!("role '{value}' contains invalid characters"))
}

fn tag(value: &str) -> Result<(), String> {
    require(regex!(r"(?i)^[a-z0-9_][a-z0-9_\-+.]*$").is_match(value), || "invalid characters in tag".to_owned())
}

fn storage_content(value: &str) -> Result<(), String> {
    let known = ["images", "rootdir", "vztmpl", "iso", "backup", "snippets", "import", "none"];
    require(known.contains(&value), || format!("invalid content type '{value}'"))
}

/// `1` keeps every name; `local` sends all there; `a:b` one to another.
fn storage_pair(value: &str) -> Result<(), String> {
    value.split(':').try_for_each(|id| if value == "1" { Ok(()) } else { storage_id(id) })
}

fn bridge_pair(value: &str) -> Result<(), String> {
    value.split(':').try_for_each(|id| if value == "1" { Ok(()) } else { bridge(id) })
}

/// Unicast: the lowest bit of the first byte is clear.
fn mac(value: &str) -> Result<(), String> {
    let fits = regex!(r"(?i)^[a-f0-9][02468ace](:[a-f0-9]{2}){5}$").is_match(value);
    looks_like(fits, "unicast MAC address")
}

fn is_dns_name(value: &str) -> bool {
    let label = |label: &str| label.len() <= 63 && regex!(r"^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?$").is_match(label);
    !value.is_empty() && value.split('.').all(label)
}

fn dns_name(value: &str) -> Result<(), String> {
    looks_like(is_dns_name(value), "DNS name")
}

fn address(value: &str) -> Result<(), String> {
    looks_like(value.parse::<IpAddr>().is_ok() || is_dns_name(value), &format!("address: {value}"))
}

fn ip(value: &str) -> Result<(), String> {
    looks_like(value.parse::<IpAddr>().is_ok(), "IP address")
}

fn ipv4(value: &str) -> Result<(), String> {
    looks_like(value.parse::<Ipv4Addr>().is_ok(), "IPv4 address")
}

fn ipv6(value: &str) -> Result<(), String> {
    looks_like(value.parse::<Ipv6Addr>().is_ok(), "IPv6 address")
}

/// The prefix length is at least 8 (IPv4: 32 at most, IPv6: 128).
fn is_cidr(value: &str, v4: bool, v6: bool) -> bool {
    let Some((network, length)) = value.split_once('/') else { return false };
    let longest = match network.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) if v4 => 32,
        Ok(IpAddr::V6(_)) if v6 => 128,
        _ => return false,
    };
    length.parse::<u8>().is_ok_and(|n| (8..=longest).contains(&n))
}

fn cidr(value: &str) -> Result<(), String> {
    looks_like(is_cidr(value, true, true), "CIDR network")
}

fn cidr4(value: &str) -> Result<(), String> {
    looks_like(is_cidr(value, true, false), "IPv4 network")
}

fn cidr6(value: &str) -> Result<(), String> {
    looks_like(is_cidr(value, false, true), "IPv6 network")
}

fn ip_or_cidr(value: &str) -> Result<(), String> {
    looks_like(value.parse::<IpAddr>().is_ok() || is_cidr(value, true, true), "IP address or CIDR network")
}

fn disk_size(value: &str) -> Result<(), String> {
    looks_like(regex!(r"^\d+(\.\d+)?[KMGT]?$").is_match(value), &format!("disk size: {value}"))
}

fn urlencoded(value: &str) -> Result<(), String> {
    let fits = regex!(r"^[-%a-zA-Z0-9_.!~*'()]*$").is_match(value);
    require(fits, || format!("invalid urlencoded string: {value}"))
}

fn email(value: &str) -> Result<(), String> {
    looks_like(regex!(r"^[\w+\-~]+(\.[\w+\-~]+)*@[a-zA-Z0-9\-]+(\.[a-zA-Z0-9\-]+)*$").is_match(value), "email address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_fit() {
        for (format, value) in [
            ("pve-node", "pve-1"),
            ("pve-vmid-list", "100, 101;102"),
            ("storage-pair-list", "local-lvm:ceph,other"),
            ("storage-pair-list", "1"),
            ("CIDR", "10.0.0.0/24"),
            ("ip", "fe80::1"),
            ("mac-addr", "BC:24:11:00:00:01"),
            ("pve-ha-node-list", "pve1:2,pve2"),
            ("email-opt", ""),
            ("something-new", "?!"),
        ] {
            assert_eq!(check(format, value), Ok(()), "{format} {value}");
        }
    }

    #[test]
    fn values_that_do_not() {
        for (format, value, text) in [
            ("pve-node", "pve_1", "value does not look like a valid node name"),
            ("pve-vmid-list", "100,7", "value does not look like a valid VM ID"),
            ("pve-storage-id", "a b", "storage ID 'a b' contains illegal characters"),
            ("storage-pair-list", "aa:bb,-x", "storage ID '-x' contains illegal characters"),
            ("pve-configid", "1a", "invalid configuration ID '1a'"),
            ("CIDR", "10.0.0.1", "value does not look like a valid CIDR network"),
            ("mac-addr", "01:24:11:00:00:01", "value does not look like a valid unicast MAC address"),
            ("dns-name", "talos_1", "value does not look like a valid DNS name"),
        ] {
            assert_eq!(check(format, value), Err(text.to_owned()), "{format} {value}");
        }
    }
}
