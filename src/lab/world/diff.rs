//! What two worlds are compared by: a published list of fields, and how they differ.

use serde_json::{Value, json};

use super::World;

impl World {
    /// The comparable state. Per guest: `kind`, `node`, `status`, `lock`, `digest`, `name`, `uuid`, `tags`, `pool`,
    /// `volumes`, `backups`; per node: `up`, `version`, `maintenance`; HA: `resources`, `rules`. Figures, times and tasks are not
    /// in it.
    pub fn snapshot_state(&self) -> Value {
        let guests: serde_json::Map<String, Value> = self
            .guests
            .values()
            .map(|guest| {
                let volumes: Vec<String> = guest.config.disks().into_iter().map(|disk| disk.volid).collect();
                let state = json!({"kind": guest.kind.as_str(), "node": guest.node.as_str(), "status": guest.status(),
                "lock": guest.config.get("lock"), "digest": guest.digest(), "name": guest.name(),
                "uuid": guest.uuid(), "backups": self.backups.iter().filter(|backup| backup.vmid == guest.vmid).count(),
                "tags": guest.config.get("tags"), "pool": guest.pool, "volumes": volumes});
                (guest.vmid.to_string(), state)
            })
            .collect();
        let nodes: serde_json::Map<String, Value> = self
            .nodes
            .iter()
            .map(|(name, node)| {
                let state =
                    json!({"up": node.up, "version": node.version, "boots": node.boots, "maintenance": self.ha.in_maintenance(name)});
                (name.to_string(), state)
            })
            .collect();
        json!({"nodes": nodes, "guests": guests, "ha": self.ha.comparable()})
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
