//! Network cards as configuration lines have them: `netN` of VMs and containers, `ipconfigN` of cloud-init, and whether
//! an agent is on.
//!
//! Source: PVE::QemuServer (`$net_fmt`, `$ipconfig_fmt`, `$agent_fmt`), PVE::LXC::Config (`$netconf_desc`).

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::model::ids::GuestKind;
use crate::model::inventory::{Known, Mac};

/// One network card.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Nic {
    /// The number of `netN`.
    pub number: u32,
    pub model: Option<String>,
    pub mac: Option<Mac>,
    pub bridge: Option<String>,
    pub vlan: Option<u16>,
    /// What a container calls it.
    pub name: Option<String>,
    pub link_down: bool,
    /// Fixed addresses of the configuration. `dhcp`, `auto` and `manual` are none.
    pub addresses: Vec<(IpAddr, Option<u8>, Known)>,
}

/// All cards of a configuration, in the order of their numbers. What a line does not say is absent; no line is refused.
pub fn nics(kind: GuestKind, config: &BTreeMap<String, String>) -> Vec<Nic> {
    let mut all: Vec<Nic> = config
        .iter()
        .filter_map(|(key, line)| {
            let number = number(key, "net")?;
            Some(match kind {
                GuestKind::Qemu => vm(number, line, config.get(&format!("ipconfig{number}"))),
                GuestKind::Lxc => container(number, line),
            })
        })
        .collect();
    all.sort_by_key(|nic| nic.number);
    all
}

/// Whether a VM's configuration lets the server ask an agent: `1`, `enabled=1`, `1,fstrim_cloned_disks=1`.
pub fn agent_enabled(config: &BTreeMap<String, String>) -> bool {
    let Some(line) = config.get("agent") else { return false };
    let enabled = line.split(',').find_map(|part| match part.trim().split_once('=') {
        Some(("enabled", value)) => Some(value),
        Some(_) => None,
        None => Some(part.trim()),
    });
    matches!(enabled, Some("1" | "yes" | "on" | "true"))
}

/// 0 of `net0`; nothing for `net`, `network0`, `net00` and `net-1`.
fn number(key: &str, stem: &str) -> Option<u32> {
    let digits = key.strip_prefix(stem)?;
    let number: u32 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

fn parts(line: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    line.split(',').map(str::trim).filter(|part| !part.is_empty()).map(|part| match part.split_once('=') {
        Some((name, value)) => (name.trim(), Some(value.trim())),
        None => (part, None),
    })
}

/// `virtio=MAC,bridge=vmbr0,tag=20`, `model=virtio,macaddr=MAC`, `virtio,bridge=vmbr0`.
fn vm(number: u32, line: &str, ipconfig: Option<&String>) -> Nic {
    let mut nic = Nic { number, ..Nic::default() };
    for (name, value) in parts(line) {
        match (name, value) {
            ("model", Some(model)) => nic.model = Some(model.to_owned()),
            ("macaddr", Some(mac)) => nic.mac = mac.parse().ok().or(nic.mac),
            _ if common(&mut nic, name, value) => {}
            // The model's own name: what stands alone, or has an address as its value.
            (model, None) => nic.model = nic.model.or_else(|| Some(model.to_owned())),
            (model, Some(value)) => {
                if let Ok(mac) = value.parse() {
                    (nic.model, nic.mac) = (Some(model.to_owned()), Some(mac));
                }
            }
        }
    }
    nic.addresses = ipconfig.map(|line| fixed(line, Known::CloudInit)).unwrap_or_default();
    nic
}

/// `name=eth0,bridge=vmbr0,hwaddr=MAC,ip=10.0.0.5/24`.
fn container(number: u32, line: &str) -> Nic {
    let mut nic = Nic { number, ..Nic::default() };
    for (name, value) in parts(line) {
        match (name, value) {
            ("name", Some(name)) => nic.name = Some(name.to_owned()),
            ("type", Some(model)) => nic.model = Some(model.to_owned()),
            ("hwaddr", Some(mac)) => nic.mac = mac.parse().ok(),
            _ => {
                common(&mut nic, name, value);
            }
        }
    }
    nic.addresses = fixed(line, Known::Config);
    nic
}

/// What both kinds of guest have; whether it was one of these.
fn common(nic: &mut Nic, name: &str, value: Option<&str>) -> bool {
    match (name, value) {
        ("bridge", Some(bridge)) => nic.bridge = Some(bridge.to_owned()),
        ("tag", Some(tag)) => nic.vlan = tag.parse().ok(),
        ("link_down", Some(flag)) => nic.link_down = flag == "1",
        (
            "firewall" | "mtu" | "queues" | "rate" | "trunks" | "bridge" | "tag" | "link_down" | "ip" | "ip6" | "gw"
            | "gw6" | "host-managed",
            _,
        ) => {}
        _ => return false,
    }
    true
}

/// The fixed addresses of `ip=` and `ip6=`.
fn fixed(line: &str, known: Known) -> Vec<(IpAddr, Option<u8>, Known)> {
    let texts = parts(line).filter(|(name, _)| matches!(*name, "ip" | "ip6")).filter_map(|(_, value)| value);
    texts
        .filter_map(|text| {
            let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
            let address: IpAddr = address.parse().ok()?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            Some((address, prefix.parse().ok().filter(|prefix| *prefix <= most), known))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(lines: &[(&str, &str)]) -> BTreeMap<String, String> {
        lines.iter().map(|(key, line)| ((*key).to_owned(), (*line).to_owned())).collect()
    }

    fn one(kind: GuestKind, line: &str) -> Nic {
        nics(kind, &config(&[("net0", line)])).remove(0)
    }

    #[test]
    fn a_vms_card_is_read_in_each_form() {
        for line in [
            "virtio=BC:24:11:AA:BB:CC,bridge=vmbr0,firewall=1,tag=20,trunks=1;2",
            "model=virtio,macaddr=bc:24:11:aa:bb:cc,bridge=vmbr0,tag=20",
            "macaddr=BC:24:11:AA:BB:CC,tag=20,bridge=vmbr0,model=virtio",
            "bridge=vmbr0, virtio=BC:24:11:AA:BB:CC ,tag=20,mtu=1400,queues=4,rate=5.5",
        ] {
            let nic = one(GuestKind::Qemu, line);
            assert_eq!(nic.mac.unwrap().to_string(), "bc:24:11:aa:bb:cc", "{line}");
            assert_eq!(
                (nic.model.as_deref(), nic.bridge.as_deref(), nic.vlan),
                (Some("virtio"), Some("vmbr0"), Some(20))
            );
        }
        let bare = one(GuestKind::Qemu, "e1000-82540em,bridge=vmbr1,link_down=1");
        assert_eq!((bare.model.as_deref(), bare.mac, bare.link_down), (Some("e1000-82540em"), None, true));
        assert_eq!(one(GuestKind::Qemu, ""), Nic::default());
    }

    #[test]
    fn a_containers_card_has_its_name_and_fixed_addresses() {
        let nic = one(
            GuestKind::Lxc,
            "name=eth0,bridge=vmbr0,firewall=1,gw=10.0.0.1,hwaddr=5D:CF:BD:B2:C5:39,ip=10.0.0.5/24,ip6=fd00::5/64,tag=7,type=veth",
        );
        assert_eq!((nic.name.as_deref(), nic.model.as_deref(), nic.vlan), (Some("eth0"), Some("veth"), Some(7)));
        let known: Vec<_> = nic.addresses.iter().map(|(ip, prefix, known)| (ip.to_string(), *prefix, *known)).collect();
        assert_eq!(known, [("10.0.0.5".into(), Some(24), Known::Config), ("fd00::5".into(), Some(64), Known::Config)]);
        for line in ["name=eth0,ip=dhcp,ip6=auto", "name=eth0,ip=manual", "name=eth0"] {
            assert_eq!(one(GuestKind::Lxc, line).addresses, [], "{line}");
        }
    }

    #[test]
    fn several_cards_come_in_the_order_of_their_numbers() {
        let config = config(&[
            ("net10", "virtio=BC:24:11:00:00:0A"),
            ("net2", "virtio=BC:24:11:00:00:02"),
            ("net0", "virtio=BC:24:11:00:00:00"),
            ("ipconfig2", "ip=10.0.2.5/24,gw=10.0.2.1,ip6=dhcp"),
            ("ipconfig0", "ip=dhcp"),
            ("net", "virtio=BC:24:11:00:00:01"),
            ("net01", "virtio=BC:24:11:00:00:01"),
            ("network", "x"),
        ]);
        let nics = nics(GuestKind::Qemu, &config);
        assert_eq!(nics.iter().map(|nic| nic.number).collect::<Vec<_>>(), [0, 2, 10]);
        assert_eq!(nics[1].addresses, [("10.0.2.5".parse().unwrap(), Some(24), Known::CloudInit)]);
        assert_eq!(nics[0].addresses, []);
    }

    #[test]
    fn an_agent_is_on_in_each_spelling() {
        for (line, on) in [
            ("1", true),
            ("enabled=1,fstrim_cloned_disks=1", true),
            ("fstrim_cloned_disks=1,enabled=1", true),
            ("1,type=virtio", true),
            ("0", false),
            ("enabled=0", false),
            ("", false),
        ] {
            assert_eq!(agent_enabled(&config(&[("agent", line)])), on, "{line}");
        }
        assert!(!agent_enabled(&config(&[])));
    }
}
