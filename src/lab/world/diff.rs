//! What two worlds are compared by: a published list of fields, and how they differ.

use serde_json::{Value, json};

use super::World;
use super::guest::Guest;
use crate::model::ids::GuestKind;

impl World {
    /// The comparable state. Per guest: `kind`, `node`, `status`, `qmpstatus` (VMs), `lock`, `digest`, `name`, `uuid`,
    /// `tags`, `pool`, `volumes`, `backups`, `template`, `snapshots` by name, `config` (its lines in force and, under `pending`, those
    /// that wait); per node: `up`, `version`, `maintenance`,
    /// `config`, `certificate` (of the custom one); `kubernetes`: which `nodes` take pods, how many `pods` each controller has; ACME `accounts` and `plugins`; files that belong to no guest by node and storage; HA:
    /// `resources`, `rules`, `groups`; `running` of tasks that ran at the beginning. Figures, times and other tasks are
    /// not in it.
    pub fn snapshot_state(&self) -> Value {
        let guests: serde_json::Map<String, Value> = self
            .guests
            .values()
            .map(|guest| {
                let volumes: Vec<String> = guest.config.disks().into_iter().map(|disk| disk.volid).collect();
                let mut state = json!({"kind": guest.kind.as_str(), "node": guest.node.as_str(), "status": guest.status(),
                "lock": guest.config.get("lock"), "digest": guest.digest(), "name": guest.name(),
                "uuid": guest.uuid(), "tags": tags(guest), "pool": guest.pool, "volumes": volumes,
                "backups": self.count_backups(guest),
                "template": guest.is_template(), "snapshots": snapshots(guest), "config": guest.comparable_config()});
                if guest.kind == GuestKind::Qemu {
                    state["qmpstatus"] = json!(guest.qmp_status());
                }
                (guest.vmid.to_string(), state)
            })
            .collect();
        let nodes: serde_json::Map<String, Value> = self
            .nodes
            .iter()
            .map(|(name, node)| {
                let state = json!({"up": node.up, "version": node.version, "boots": node.boots,
                    "maintenance": self.ha.in_maintenance(name), "config": node.config,
                    "certificate": node.certificate.as_ref().map(|of| &of.fingerprint)});
                (name.to_string(), state)
            })
            .collect();
        json!({"talos": self.talos_state(), "nodes": nodes, "guests": guests, "files": self.files(), "ha": self.ha.comparable(), "acme": self.acme_state(),
            "kubernetes": self.kubernetes_state(),
            "tasks": self.given()})
    }

    /// Which of the tasks that ran at the beginning still run.
    fn given(&self) -> Value {
        let all = self.tasks.given.iter().filter_map(|key| self.tasks.all.get(key));
        all.map(|task| (task.upid.to_string(), json!({"running": task.end.is_none()}))).collect()
    }

    /// How many backups of it there are; nothing where there is none, as of a guest that is just made.
    fn count_backups(&self, guest: &Guest) -> Option<usize> {
        Some(self.backups.iter().filter(|backup| backup.vmid == guest.vmid).count()).filter(|count| *count > 0)
    }

    /// By `NODE/STORAGE`: which files are there.
    fn files(&self) -> Value {
        let mut all = serde_json::Map::new();
        for node in self.nodes.keys() {
            for (id, storage) in self.storages.iter().filter(|(_, storage)| storage.on(node.as_str())) {
                let files = storage.files_on(node).into_keys().map(|path| (format!("{id}:{path}"), json!(true)));
                all.insert(format!("{node}/{id}"), files.collect());
            }
        }
        Value::Object(all)
    }
}

fn tags(guest: &super::guest::Guest) -> Vec<&str> {
    guest.config.get("tags").map(|tags| tags.split(';').collect()).unwrap_or_default()
}

fn snapshots(guest: &super::guest::Guest) -> Value {
    let each = guest.snapshots.iter();
    each.map(|one| (one.name.clone(), json!({"description": one.description, "vmstate": one.vmstate}))).collect()
}

impl Guest {
    /// Its lines but for the lock, which is compared by itself, and what waits for its next start.
    fn comparable_config(&self) -> Value {
        let lines = self.config.0.iter().filter(|(key, _)| *key != "lock");
        let mut config: serde_json::Map<String, Value> = lines.map(|(key, line)| (key.clone(), json!(line))).collect();
        for (key, line) in &self.pending {
            config.insert(
                format!("pending/{key}"),
                line.as_ref().map_or_else(|| json!({"delete": true}), |line| json!({"value": line})),
            );
        }
        Value::Object(config)
    }
}

/// The differences between two snapshots, one line each: `guests.104.node: "pve2" -> "pve3"`.
pub fn diff(a: &Value, b: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    walk("", a, b, &mut lines);
    lines
}

fn walk(path: &str, a: &Value, b: &Value, lines: &mut Vec<String>) {
    match (a, b) {
        (Value::Object(left), Value::Object(right)) => {
            let mut keys: Vec<&String> = left.keys().chain(right.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                walk(&below, left.get(key).unwrap_or(&Value::Null), right.get(key).unwrap_or(&Value::Null), lines);
            }
        }
        _ if a == b => {}
        _ => lines.push(format!("{path}: {a} -> {b}")),
    }
}
