//! How two records differ, a line each: `+` comes, `-` goes, `~` changes.

use super::record::{Nic, Record};

/// `web (lab.example/104)`
pub fn title(record: &Record) -> String {
    format!("{} ({})", record.name, record.key)
}

/// From `old` to `new`; nothing where they are alike.
pub fn diff(old: Option<&Record>, new: Option<&Record>) -> Vec<String> {
    match (old, new) {
        (None, None) => Vec::new(),
        (Some(old), None) => all('-', old),
        (None, Some(new)) => all('+', new),
        (Some(old), Some(new)) => changes(old, new),
    }
}

fn all(sign: char, record: &Record) -> Vec<String> {
    let figures = [
        record.status.clone(),
        record.vcpus.map(|n| format!("{n} vCPUs")),
        record.memory.map(|n| format!("{n} MB of memory")),
        record.disk.map(|n| format!("{n} MB of disk")),
        record.node.as_ref().map(|node| format!("on {node}")),
    ];
    let figures: Vec<String> = figures.into_iter().flatten().collect();
    let mut lines = vec![format!("{sign} {} in {}: {}", title(record), record.cluster, figures.join(", "))];
    for nic in record.nics() {
        lines.push(interface(sign, nic));
        lines.extend(nic.addresses.iter().flatten().map(|address| format!("{sign} {address} on {}", nic.name)));
    }
    let primaries = record.primary4.iter().chain(&record.primary6);
    lines.extend(primaries.map(|address| format!("{sign} primary {address}")));
    lines
}

fn interface(sign: char, nic: &Nic) -> String {
    let mac = nic.mac.as_ref().map(|mac| format!(" {mac}")).unwrap_or_default();
    let off = if nic.enabled { "" } else { ", disabled" };
    format!("{sign} interface {}{mac}{off}", nic.name)
}

fn shown<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(|| "nothing".to_owned(), T::to_string)
}

fn changed<T: ToString + PartialEq>(what: &str, old: Option<&T>, new: Option<&T>) -> Option<String> {
    (old != new).then(|| format!("~ {what} {} -> {}", shown(old), shown(new)))
}

fn changes(old: &Record, new: &Record) -> Vec<String> {
    let fields = [
        changed("name", Some(&old.name), Some(&new.name)),
        changed("cluster", Some(&old.cluster), Some(&new.cluster)),
        changed("status", old.status.as_ref(), new.status.as_ref()),
        changed("vCPUs", old.vcpus.as_ref(), new.vcpus.as_ref()),
        changed("memory (MB)", old.memory.as_ref(), new.memory.as_ref()),
        changed("disk (MB)", old.disk.as_ref(), new.disk.as_ref()).filter(|_| !old.has_disks && !new.has_disks),
        changed("VMID", old.vmid.as_ref(), new.vmid.as_ref()),
        changed("node", old.node.as_ref(), new.node.as_ref()),
        changed("type", old.kind.as_ref(), new.kind.as_ref()),
    ];
    let mut lines: Vec<String> = fields.into_iter().flatten().collect();
    for nic in new.nics() {
        let was = old.nics().iter().find(|was| was.name == nic.name);
        lines.extend(one_interface(was, nic));
    }
    for gone in old.nics().iter().filter(|was| !new.nics().iter().any(|nic| nic.name == was.name)) {
        lines.extend(gone.addresses.iter().flatten().map(|address| format!("- {address} on {}", gone.name)));
        lines.push(interface('-', gone));
    }
    lines.extend(changed("primary IPv4", old.primary4.as_ref(), new.primary4.as_ref()));
    lines.extend(changed("primary IPv6", old.primary6.as_ref(), new.primary6.as_ref()));
    lines
}

fn one_interface(was: Option<&Nic>, nic: &Nic) -> Vec<String> {
    let mut lines = Vec::new();
    let none = Nic { name: nic.name.clone(), ..Nic::default() };
    match was {
        None => lines.push(interface('+', nic)),
        Some(was) => {
            if was.enabled != nic.enabled {
                lines.push(format!("~ interface {} {}", nic.name, if nic.enabled { "enabled" } else { "disabled" }));
            }
            lines.extend(changed(&format!("MAC of {}", nic.name), was.mac.as_ref(), nic.mac.as_ref()));
            let more = was.more_macs.iter().filter(|mac| !nic.more_macs.contains(mac));
            lines.extend(more.map(|mac| format!("- MAC {mac} on {}, which is there beside the primary one", nic.name)));
        }
    }
    let was = was.unwrap_or(&none);
    let of = |nic: &Nic| nic.addresses.clone().unwrap_or_default();
    let (old, new) = (of(was), of(nic));
    lines.extend(old.iter().filter(|a| !new.contains(a)).map(|address| format!("- {address} on {}", nic.name)));
    lines.extend(new.iter().filter(|a| !old.contains(a)).map(|address| format!("+ {address} on {}", nic.name)));
    lines
}
