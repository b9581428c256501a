//! Proxmox's property strings: `local-lvm:vm-104-disk-0,size=32G,ssd=1`.

use std::collections::BTreeMap;

/// Taken apart: what stands alone first (a volume, a number, a mode), and the rest by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Property {
    pub head: Option<String>,
    pub fields: BTreeMap<String, String>,
}

impl Property {
    pub fn parse(text: &str) -> Self {
        let mut property = Self::default();
        for part in text.split(',') {
            match part.split_once('=') {
                Some((name, value)) => {
                    property.fields.insert(name.trim().to_owned(), value.trim().to_owned());
                }
                None if property.head.is_none() && !part.trim().is_empty() => {
                    property.head = Some(part.trim().to_owned());
                }
                None => {}
            }
        }
        property
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// The value that may stand alone, or by one of these names.
    pub fn main(&self, names: &[&str]) -> Option<&str> {
        self.head.as_deref().or_else(|| names.iter().find_map(|name| self.get(name)))
    }

    pub fn flag(&self, name: &str) -> bool {
        self.get(name) == Some("1")
    }

    /// Bytes of `size=32G`.
    pub fn size(&self) -> Option<u64> {
        self.get("size").and_then(bytes)
    }

    /// The MAC address of a network device, upper case: `virtio=MAC`, `macaddr=MAC`, `hwaddr=MAC`.
    pub fn mac(&self) -> Option<String> {
        self.fields.values().find(|value| is_mac(value)).map(|mac| mac.to_ascii_uppercase())
    }
}

fn is_mac(text: &str) -> bool {
    text.len() == 17 && text.split(':').count() == 6 && text.bytes().all(|b| b == b':' || b.is_ascii_hexdigit())
}

/// `32G`, `670M`, `4K`, `1T`, or plain bytes. Source: PVE/JSONSchema.pm `parse_size`.
pub fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let power = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        _ => return None,
    };
    let number: f64 = digits.parse().ok().filter(|n: &f64| n.is_finite() && *n >= 0.0)?;
    Some((number * 1024_f64.powi(power)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_and_a_network_device_are_taken_apart() {
        let disk = Property::parse("local-lvm:vm-104-disk-0,discard=on,size=32G");
        assert_eq!((disk.main(&["file"]), disk.size()), (Some("local-lvm:vm-104-disk-0"), Some(32 << 30)));
        let named = Property::parse("file=nfs:100/a.qcow2,media=cdrom");
        assert_eq!((named.main(&["file"]), named.get("media")), (Some("nfs:100/a.qcow2"), Some("cdrom")));
        let net = Property::parse("virtio=bc:24:11:AA:BB:CC,bridge=vmbr0,firewall=1");
        assert_eq!((net.mac().as_deref(), net.get("bridge")), (Some("BC:24:11:AA:BB:CC"), Some("vmbr0")));
        assert!(net.flag("firewall") && Property::parse("name=eth0").mac().is_none());
    }

    #[test]
    fn sizes_have_units() {
        for (text, wanted) in
            [("670M", Some(670 << 20)), ("1.5K", Some(1536)), ("7", Some(7)), ("x", None), ("1X", None)]
        {
            assert_eq!(bytes(text), wanted, "{text}");
        }
    }
}
