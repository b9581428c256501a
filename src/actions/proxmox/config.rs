//! A guest's configuration as its file has it, with what waits for its next start.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::property::Property;
use crate::clients::proxmox::{GuestConfig as Lines, Pending};
use crate::model::ids::GuestKind;

/// Keys whose values are credentials: neither shown, nor compared, nor put back.
const SECRET: [&str; 2] = ["cipassword", "password"];
/// What is shown in their place.
const STARS: &str = "**********";

/// A change that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waiting {
    Value(String),
    Delete(bool),
}

/// The configuration. Values are texts, as the file has them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GuestConfig {
    /// Of the whole file; absent in a plan past a step that changes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// In force now.
    pub values: BTreeMap<String, String>,
    /// By key: what comes with the next start.
    #[serde(default)]
    pub pending: BTreeMap<String, Waiting>,
}

/// Whether a key's value is a credential.
pub fn is_secret(key: &str) -> bool {
    SECRET.contains(&key)
}

impl GuestConfig {
    pub fn of(lines: Lines, pending: Vec<Pending>) -> Self {
        let mut config = Self { digest: lines.digest, values: lines.values, pending: BTreeMap::new() };
        for row in pending {
            let waiting = match row.pending {
                Some(value) => Waiting::Value(value),
                None if row.delete => Waiting::Delete(true),
                None => continue,
            };
            config.pending.insert(row.key, waiting);
        }
        for key in SECRET {
            if let Some(value) = config.values.get_mut(key) {
                STARS.clone_into(value);
            }
            if let Some(Waiting::Value(value)) = config.pending.get_mut(key) {
                STARS.clone_into(value);
            }
        }
        config
    }

    /// The value after the next start.
    pub fn next(&self, key: &str) -> Option<&str> {
        match self.pending.get(key) {
            Some(Waiting::Value(value)) => Some(value),
            Some(Waiting::Delete(_)) => None,
            None => self.values.get(key).map(String::as_str),
        }
    }
}

/// Keys of a VM that change while it runs: qemu-server's own, and those of what it plugs in and out by default.
const AT_ONCE: &[&str] = &[
    "affinity",
    "autostart",
    "balloon",
    "cicustom",
    "cipassword",
    "citype",
    "ciupgrade",
    "ciuser",
    "cpulimit",
    "cpuunits",
    "description",
    "hookscript",
    "hotplug",
    "ipconfig",
    "name",
    "nameserver",
    "net",
    "onboot",
    "protection",
    "scsi",
    "searchdomain",
    "shares",
    "sshkeys",
    "startup",
    "tags",
    "template",
    "unused",
    "usb",
    "virtio",
    "vmstatestorage",
];
/// Keys of a container that wait.
const CONTAINER_WAITS: &[&str] = &["arch", "console", "features", "ostype", "rootfs", "tty", "unprivileged"];

/// Whether a running guest gets a key's new value only with its next start, as far as its kind says: memory and
/// processors can be plugged in where the guest is prepared for it.
pub fn waits(kind: GuestKind, key: &str, value: Option<&str>) -> bool {
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    match kind {
        GuestKind::Lxc => CONTAINER_WAITS.contains(&key),
        GuestKind::Qemu if matches!(stem, "ide" | "sata") => !value.is_some_and(|text| text.contains("media=cdrom")),
        GuestKind::Qemu => !AT_ONCE.contains(&stem),
    }
}

/// Whether two texts say the same of a key, however they are written: the order of options and of tags does not count,
/// and a disk's size is what it is.
pub fn same(key: &str, a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    if key == "tags" {
        return tags(a) == tags(b);
    }
    let parsed = |text: &str| {
        let mut property = Property::parse(text);
        if property.head.as_deref().is_some_and(|head| head.contains(':')) {
            property.fields.remove("size");
        }
        property
    };
    // Free text has no options.
    !matches!(key, "description" | "name" | "hostname" | "args" | "sshkeys") && parsed(a) == parsed(b)
}

fn tags(text: &str) -> Vec<String> {
    let mut tags = crate::clients::proxmox::loose::split_list(text);
    tags.sort();
    tags.dedup();
    tags
}

/// `memory: 4096 -> 8192`, with nothing for what is not there, and nothing of a credential.
pub fn shown(key: &str, old: Option<&str>, new: Option<&str>) -> String {
    let text = |value: Option<&str>| match value {
        None => "(none)".to_owned(),
        Some(_) if is_secret(key) => "(secret)".to_owned(),
        Some(value) => value.replace('\n', "\\n"),
    };
    format!("{key}: {} -> {}", text(old), text(new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_comes_with_the_next_start_and_credentials_stay_unseen() {
        let lines = Lines {
            digest: Some("d".into()),
            values: [("memory", "2048"), ("cores", "2"), ("cipassword", "x")].map(|(k, v)| (k.into(), v.into())).into(),
        };
        let row = |key: &str, pending: Option<&str>, delete| Pending {
            key: key.into(),
            value: None,
            pending: pending.map(Into::into),
            delete,
        };
        let config = GuestConfig::of(
            lines,
            vec![row("memory", Some("4096"), false), row("cores", None, true), row("cipassword", Some("y"), false)],
        );
        assert_eq!((config.next("memory"), config.next("cores"), config.next("numa")), (Some("4096"), None, None));
        assert_eq!((config.values["cipassword"].as_str(), config.next("cipassword")), (STARS, Some(STARS)));
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<GuestConfig>(&text).unwrap(), config);
        assert_eq!(shown("cipassword", Some("x"), Some("y")), "cipassword: (secret) -> (secret)");
        assert_eq!(shown("memory", Some("1"), None), "memory: 1 -> (none)");
    }

    #[test]
    fn values_are_compared_by_what_they_say() {
        for (key, a, b, equal) in [
            ("tags", "b;a", "a,b", true),
            ("startup", "up=30,order=1", "order=1,up=30", true),
            ("scsi0", "s:vm-1-disk-0,discard=on", "s:vm-1-disk-0,discard=on,size=32G", true),
            ("scsi0", "s:vm-1-disk-0", "s:vm-1-disk-1", false),
            ("net0", "virtio=A,bridge=vmbr0", "virtio=A,bridge=vmbr1", false),
            ("memory", "2048", "4096", false),
            ("description", "a,b=c", "b=c,a", false),
        ] {
            assert_eq!(same(key, a, b), equal, "{key}: {a} and {b}");
        }
    }
}
