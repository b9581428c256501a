//! A guest's configuration as the file has it: keys and texts. Knows the grammar of disks and networks, no guest.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::model::ids::{GuestKind, StorageId, Vmid};

/// Keys to texts. Snapshots are kept beside it, not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Config(pub BTreeMap<String, String>);

/// A volume that a configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Disk {
    pub key: String,
    pub volid: String,
    pub storage: StorageId,
    /// Bytes.
    pub size: u64,
    pub cdrom: bool,
    pub cloudinit: bool,
    pub unused: bool,
}

/// A volume as its line says it.
#[derive(Debug, Clone, Copy)]
pub(super) struct DiskLine<'a> {
    pub key: &'a str,
    pub volid: &'a str,
    pub storage: &'a str,
    /// Bytes.
    pub size: u64,
    pub cdrom: bool,
}

impl DiskLine<'_> {
    pub fn cloudinit(&self) -> bool {
        self.volid.ends_with("-cloudinit")
    }

    pub fn unused(&self) -> bool {
        stem(self.key) == "unused"
    }

    fn to_disk(self) -> Disk {
        Disk {
            key: self.key.into(),
            volid: self.volid.into(),
            storage: self.storage.into(),
            size: self.size,
            cdrom: self.cdrom,
            cloudinit: self.cloudinit(),
            unused: self.unused(),
        }
    }
}

impl Disk {
    /// The base image that this volume is a linked clone of (`base-9001-disk-0`).
    pub fn clone_of(&self) -> Option<&str> {
        let (_, volume) = self.volid.split_once(':')?;
        let (base, _) = volume.split_once('/')?;
        base.starts_with("base-").then_some(base)
    }
}

/// Keys whose values the server sends as numbers; all others stay text, `memory` of a VM among them.
const QEMU_NUMBERS: &[&str] = &[
    "acpi",
    "autostart",
    "balloon",
    "bootdisk",
    "cores",
    "cpulimit",
    "cpuunits",
    "freeze",
    "kvm",
    "localtime",
    "numa",
    "onboot",
    "protection",
    "shares",
    "sockets",
    "tablet",
    "template",
    "vcpus",
];
const LXC_NUMBERS: &[&str] = &[
    "cores",
    "cpulimit",
    "cpuunits",
    "console",
    "debug",
    "memory",
    "onboot",
    "protection",
    "swap",
    "template",
    "tty",
    "unprivileged",
];

impl Config {
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.0.insert(key.into(), value.into());
    }

    pub fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }

    pub fn flag(&self, key: &str) -> bool {
        self.get(key) == Some("1")
    }

    pub fn number(&self, key: &str) -> Option<u64> {
        self.get(key)?.parse().ok()
    }

    /// Forty hexadecimal digits over the file's text, as the server's digest is.
    pub fn digest(&self) -> String {
        let mut text = String::new();
        for (key, value) in &self.0 {
            let _ = writeln!(text, "{key}: {value}");
        }
        short_hash(&text)
    }

    /// Every volume named, `unusedN` included; bind mounts and empty drives are no volumes.
    pub fn disks(&self) -> Vec<Disk> {
        self.disk_lines().map(DiskLine::to_disk).collect()
    }

    /// What a snapshot keeps of it: unused disks are no part of it.
    pub fn of_snapshot(&self) -> Self {
        Self(self.0.iter().filter(|(key, _)| stem(key) != "unused").map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    /// The same without copies, for what looks at every guest.
    pub fn disk_lines(&self) -> impl Iterator<Item = DiskLine<'_>> {
        self.0.iter().filter(|(key, _)| is_disk_key(key)).filter_map(|(key, value)| disk_line(key, value))
    }

    /// Host directories that a container mounts: key and whether it says `shared=1`.
    pub fn bind_mounts(&self) -> Vec<(String, bool)> {
        let mounts = self.0.iter().filter(|(key, value)| stem(key) == "mp" && value.starts_with('/'));
        mounts.map(|(key, value)| (key.clone(), option(value, "shared") == Some("1"))).collect()
    }

    pub fn bridges(&self) -> Vec<&str> {
        let nets = self.0.iter().filter(|(key, _)| stem(key) == "net" && *key != "net");
        nets.filter_map(|(_, value)| option(value, "bridge")).collect()
    }

    /// As the API gives it: numbers where the server has numbers, secrets starred.
    pub fn to_json(&self, kind: GuestKind) -> Map<String, Value> {
        let numbers = if kind == GuestKind::Qemu { QEMU_NUMBERS } else { LXC_NUMBERS };
        let mut out = Map::new();
        for (key, value) in &self.0 {
            let shown = match value.parse::<i64>() {
                _ if key == "cipassword" => json!("**********"),
                Ok(number) if numbers.contains(&key.as_str()) => json!(number),
                _ => json!(value),
            };
            out.insert(key.clone(), shown);
        }
        out
    }
}

/// The first forty digits of a SHA-256: looks like the SHA-1 that the server sends.
pub(super) fn short_hash(text: &str) -> String {
    let mut out = String::with_capacity(40);
    for byte in &Sha256::digest(text.as_bytes())[..20] {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// `scsi` of `scsi0`.
pub(super) fn stem(key: &str) -> &str {
    key.trim_end_matches(|c: char| c.is_ascii_digit())
}

/// The value of `name=` in a property string.
pub(super) fn option<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

/// A disk's line with another size, in the largest unit that says it wholly.
pub(super) fn with_size(line: &str, size: u64) -> String {
    let unit =
        [("T", 40), ("G", 30), ("M", 20), ("K", 10)].into_iter().find(|(_, shift)| size.is_multiple_of(1 << shift));
    let text = unit.map_or_else(|| size.to_string(), |(unit, shift)| format!("{}{unit}", size >> shift));
    let kept = line.split(',').filter(|part| !part.starts_with("size="));
    let mut parts: Vec<String> = kept.map(str::to_owned).chain([format!("size={text}")]).collect();
    // The volume first, the rest by the alphabet.
    if let Some(options) = parts.get_mut(1..) {
        options.sort();
    }
    parts.join(",")
}

fn is_disk_key(key: &str) -> bool {
    matches!(key, "rootfs" | "efidisk0" | "tpmstate0")
        || (matches!(stem(key), "scsi" | "sata" | "ide" | "virtio" | "unused" | "mp") && stem(key) != key)
}

fn disk_line<'a>(key: &'a str, value: &'a str) -> Option<DiskLine<'a>> {
    let volid = value.split(',').next()?.trim_start_matches("file=").trim_start_matches("volume=");
    let (storage, _) = volid.split_once(':').filter(|(storage, _)| !storage.starts_with('/'))?;
    Some(DiskLine {
        key,
        volid,
        storage,
        size: option(value, "size").and_then(bytes).unwrap_or(0),
        cdrom: option(value, "media") == Some("cdrom"),
    })
}

/// `32G`, `4M`, `528K` or bare bytes.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'K' => (&text[..text.len() - 1], 10),
        b'M' => (&text[..text.len() - 1], 20),
        b'G' => (&text[..text.len() - 1], 30),
        b'T' => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    Some((digits.parse::<f64>().ok()? * (1_u64 << shift) as f64) as u64)
}

/// Whose a volume is by its name: 104 of `104/vm-104-disk-0.qcow2`.
pub(super) fn owner_of(path: &str) -> Option<Vmid> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let rest = ["vm-", "base-", "subvol-", "basevol-"].iter().find_map(|prefix| name.strip_prefix(prefix))?;
    rest.split_once('-')?.0.parse().ok()
}

/// What a new volume is called on a storage of that kind.
pub(super) fn volume_name(plugin: &str, kind: GuestKind, vmid: Vmid, n: u32) -> String {
    match (plugin, kind) {
        ("dir" | "nfs" | "cifs", GuestKind::Qemu) => format!("{vmid}/vm-{vmid}-disk-{n}.qcow2"),
        ("dir" | "nfs" | "cifs", GuestKind::Lxc) => format!("{vmid}/vm-{vmid}-disk-{n}.raw"),
        ("zfspool", GuestKind::Lxc) => format!("subvol-{vmid}-disk-{n}"),
        _ => format!("vm-{vmid}-disk-{n}"),
    }
}
