//! Changes that a running guest gets only with its next start, and the views with and without them.

use serde_json::{Map, Value, json};

use super::World;
use super::config::{self, Config};
use super::guest::Guest;
use crate::lab::call::{Call, PveError, Reply};
use crate::model::ids::GuestKind;

/// Keys of a VM that change while it runs (qemu-server's fast-plug options and what it plugs by default).
const AT_ONCE: &[&str] = &[
    "affinity",
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
    "lock",
    "name",
    "nameserver",
    "net",
    "onboot",
    "parent",
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

fn waits(kind: GuestKind, key: &str, value: Option<&str>) -> bool {
    let stem = config::stem(key);
    match kind {
        GuestKind::Lxc => CONTAINER_WAITS.contains(&key),
        // A disc is changed at once, a disk on these buses is not.
        GuestKind::Qemu if matches!(stem, "ide" | "sata") => !value.is_some_and(|text| text.contains("media=cdrom")),
        GuestKind::Qemu => !AT_ONCE.contains(&stem),
    }
}

impl Guest {
    /// Takes over a configuration that is wanted as a whole: what cannot change while the guest runs is put off.
    pub fn reconfigure(&mut self, mut wanted: Config) {
        self.pending.clear();
        if self.running() {
            let mut keys: Vec<String> = self.config.0.keys().chain(wanted.0.keys()).cloned().collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let (old, new) = (self.config.get(&key).map(str::to_owned), wanted.get(&key).map(str::to_owned));
                if old == new || !waits(self.kind, &key, new.as_deref().or(old.as_deref())) {
                    continue;
                }
                match old {
                    Some(old) => wanted.set(&key, old),
                    None => wanted.remove(&key),
                }
                self.pending.insert(key, new);
            }
        }
        self.config = wanted;
    }

    /// The configuration as it will be after the next start.
    pub fn merged(&self) -> Config {
        let mut config = self.config.clone();
        for (key, value) in &self.pending {
            match value {
                Some(value) => config.set(key, value.clone()),
                None => config.remove(key),
            }
        }
        config
    }

    /// Makes what was put off come true: the guest is off.
    pub fn settle_pending(&mut self) {
        self.config = self.merged();
        self.pending.clear();
    }

    /// The digest of the whole file, changes put off included.
    pub fn digest(&self) -> String {
        if self.pending.is_empty() {
            return self.config.digest();
        }
        config::short_hash(&format!("{} {:?}", self.config.digest(), self.pending))
    }

    /// The configuration's body for the API, merged or as it is in force.
    pub fn config_body(&self, in_force: bool) -> Map<String, Value> {
        let mut body = if in_force { self.config.to_json(self.kind) } else { self.merged().to_json(self.kind) };
        body.insert("digest".into(), json!(self.digest()));
        body
    }
}

/// Each key with what is in force and what waits.
pub(super) fn read(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let guest = world.guest_of(call)?;
    let mut rows: Vec<Value> = Vec::new();
    let in_force = guest.config.to_json(guest.kind);
    let merged = guest.merged().to_json(guest.kind);
    for (key, value) in &in_force {
        let mut row = json!({"key": key, "value": value});
        match guest.pending.get(key) {
            Some(None) => row["delete"] = json!(1),
            Some(Some(_)) => row["pending"] = merged.get(key).cloned().unwrap_or_default(),
            None => {}
        }
        rows.push(row);
    }
    for key in guest.pending.keys().filter(|key| !in_force.contains_key(*key)) {
        rows.push(json!({"key": key, "pending": merged.get(key)}));
    }
    Ok(Reply::read(json!(rows)))
}
