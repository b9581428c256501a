//! Which lines of a configuration change, and which may not be changed in this way.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::actions::proxmox::config::{GuestConfig, is_secret, same};
use crate::actions::proxmox::guest::power;
use crate::actions::proxmox::object::Guest;
use crate::actions::proxmox::property::Property;
use crate::actions::proxmox::source::{is_disk, is_numbered};
use crate::engine::ports::Call;
use crate::model::failure::{Class, Failure};
use crate::model::ids::GuestKind;

/// One line, as it will be after the next start and as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub key: String,
    pub old: Option<String>,
    pub new: Option<String>,
}

/// Parameters of the call and not lines of a configuration.
const CONTROLS: [&str; 8] = ["node", "vmid", "digest", "delete", "revert", "skiplock", "force", "background_delay"];

/// Text of a value as it is written in YAML.
fn text(key: &str, value: &Value) -> Result<String, Failure> {
    match value {
        Value::Bool(flag) => Ok(u8::from(*flag).to_string()),
        Value::Number(number) => Ok(number.to_string()),
        Value::String(text) if !text.is_empty() => Ok(text.clone()),
        other => {
            let cause = format!("{key}: expected a text, a number or true and false, got {other}");
            let remedy = "write the line as the configuration has it; name the key in `delete` to take it away";
            Err(Failure::new(Class::Precondition, "read the parameter `set`", cause).remedy(remedy))
        }
    }
}

/// Why a key is not to be set or taken away here: what to use instead.
fn elsewhere(key: &str) -> Option<&'static str> {
    match key {
        "lock" => Some("use proxmox.guest_unlock"),
        "template" => Some("a template is made of a guest by Proxmox itself, which changes its disks too"),
        "smbios1" | "vmgenid" => Some("it is who the guest is: change it in Proxmox, while nothing is planned for it"),
        _ if CONTROLS.contains(&key) => Some("it is no line of a configuration"),
        _ => None,
    }
}

/// Whether a disk's line would have a new volume made, each time anew.
fn makes_a_volume(line: &str) -> bool {
    let property = Property::parse(line);
    let volume = property.main(&["file", "volume"]).unwrap_or_default();
    let size = volume.split_once(':').map(|(_, size)| size);
    property.get("import-from").is_some() || size.is_some_and(|size| size.parse::<f64>().is_ok())
}

fn volume(line: &str) -> Option<String> {
    Property::parse(line).main(&["file", "volume"]).map(ToOwned::to_owned)
}

fn is_cdrom(line: &str) -> bool {
    Property::parse(line).get("media") == Some("cdrom")
}

/// A network device without an address keeps the one that it has: Proxmox would make a new one.
fn with_mac(kind: GuestKind, key: &str, new: String, old: Option<&str>) -> String {
    let mac = old.and_then(|line| Property::parse(line).mac()).filter(|_| is_numbered(key, &["net"]));
    let Some(mac) = mac.filter(|_| Property::parse(&new).mac().is_none()) else { return new };
    match kind {
        GuestKind::Lxc => format!("{new},hwaddr={mac}"),
        GuestKind::Qemu if new.contains("model=") => format!("{new},macaddr={mac}"),
        GuestKind::Qemu => match new.split_once(',') {
            Some((model, rest)) => format!("{model}={mac},{rest}"),
            None => format!("{new}={mac}"),
        },
    }
}

/// The lines that will be others.
///
/// # Errors
/// What may not be changed in this way, and nothing at all.
pub fn changes(call: &Call, guest: &Guest, config: &GuestConfig) -> Result<Vec<Change>, Failure> {
    let no = |cause: String, remedy: &str| power::impossible("configure", guest, cause, remedy);
    let set: Option<BTreeMap<String, Value>> = call.arg("set")?;
    let (set, delete) = (set.unwrap_or_default(), call.arg::<Option<Vec<String>>>("delete")?.unwrap_or_default());
    if set.is_empty() && delete.is_empty() {
        return Err(no("no line is named".into(), "name one in `set` or in `delete`"));
    }
    let mut all = Vec::new();
    for (key, value) in &set {
        let old = config.next(key).map(ToOwned::to_owned);
        if delete.contains(key) {
            return Err(no(format!("{key} is both in `set` and in `delete`"), "name it in one of them"));
        }
        if let Some(remedy) = elsewhere(key) {
            return Err(no(format!("{key} is not set here"), remedy));
        }
        if is_secret(key) {
            let remedy = "set it in Proxmox: a plan and a journal would keep it";
            return Err(no(format!("{key} is a credential"), remedy));
        }
        let new = with_mac(guest.kind, key, text(key, value)?, old.as_deref());
        if is_disk(guest.kind, key) && !is_cdrom(&new) {
            let same_volume = old.as_deref().and_then(volume) == volume(&new);
            if makes_a_volume(&new) || !same_volume {
                let cause = format!("{key} would get another volume");
                return Err(no(cause, "only the options of a disk are set here, with the volume that it has"));
            }
        }
        if !old.as_deref().is_some_and(|old| same(key, old, &new)) {
            all.push(Change { key: key.clone(), old, new: Some(new) });
        }
    }
    for key in delete {
        if let Some(remedy) = elsewhere(&key) {
            return Err(no(format!("{key} is not taken away here"), remedy));
        }
        let Some(old) = config.next(&key).map(ToOwned::to_owned) else { continue };
        if is_disk(guest.kind, &key) && !is_cdrom(&old) {
            let remedy = "detach or delete it in Proxmox, where what is on it is shown";
            return Err(no(format!("{key} is a disk"), remedy));
        }
        all.push(Change { key, old: Some(old), new: None });
    }
    Ok(all)
}

/// Whether more follows from a line than itself: disks, addresses, processors.
pub fn is_structural(kind: GuestKind, key: &str) -> bool {
    is_disk(kind, key) || is_numbered(key, &["net"]) || matches!(key, "cores" | "sockets" | "vcpus" | "memory")
}

/// What of the guest itself will be different.
pub fn of_guest(changes: &[Change]) -> Map<String, Value> {
    let field = |change: &Change| {
        let (key, new) = (change.key.as_str(), change.new.clone());
        Some(match (key, new) {
            ("name" | "hostname", Some(name)) => ("name".to_owned(), json!(name)),
            ("startup", new) => (key.to_owned(), json!(new)),
            ("protection", new) => (key.to_owned(), json!(new.as_deref() == Some("1"))),
            ("tags", new) => {
                let mut tags = crate::clients::proxmox::loose::split_list(&new.unwrap_or_default());
                tags.sort();
                tags.dedup();
                (key.to_owned(), json!(tags))
            }
            _ => return None,
        })
    };
    changes.iter().filter_map(field).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_device_keeps_its_address() {
        let old = Some("virtio=BC:24:11:AA:BB:CC,bridge=vmbr0");
        let of = |key: &str, new: &str| with_mac(GuestKind::Qemu, key, new.into(), old);
        assert_eq!(of("net0", "virtio,bridge=vmbr1"), "virtio=BC:24:11:AA:BB:CC,bridge=vmbr1");
        assert_eq!(of("net0", "model=e1000,bridge=vmbr1"), "model=e1000,bridge=vmbr1,macaddr=BC:24:11:AA:BB:CC");
        let given = "virtio=BC:24:11:00:00:01,bridge=vmbr1";
        assert_eq!(of("net0", given), given);
        assert_eq!(with_mac(GuestKind::Qemu, "net1", "virtio,bridge=vmbr1".into(), None), "virtio,bridge=vmbr1");
        let ct = with_mac(GuestKind::Lxc, "net0", "name=eth0".into(), Some("name=eth0,hwaddr=BC:24:11:AA:BB:CC"));
        assert_eq!(ct, "name=eth0,hwaddr=BC:24:11:AA:BB:CC");
    }

    #[test]
    fn a_volume_that_would_be_made_is_known() {
        for (line, makes) in [
            ("local-lvm:32", true),
            ("local-lvm:0,import-from=local:import/x.qcow2", true),
            ("local-lvm:vm-104-disk-0,discard=on", false),
            ("none,media=cdrom", false),
        ] {
            assert_eq!(makes_a_volume(line), makes, "{line}");
        }
    }
}
