//! One guest: its configuration and its status.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::clients::proxmox::{Answer, ProxmoxError, Site, loose};
use crate::model::ids::{GuestKind, NodeName, Vmid};

/// A guest's configuration: keys and values as texts, as the file has them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GuestConfig {
    /// SHA-1 of the file; given with a change, it refuses the change if the file is another by then.
    pub digest: Option<String>,
    /// In the keys' order. A container's raw `lxc` lines are joined by newlines under `lxc`.
    pub values: BTreeMap<String, String>,
}

impl GuestConfig {
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    fn read(answer: &Answer) -> Result<Self, ProxmoxError> {
        let mut config = Self::default();
        for (key, value) in answer.row()?.fields() {
            match (key.as_str(), value) {
                (_, Value::Null) => {}
                ("digest", value) => config.digest = loose::as_text(value),
                (_, Value::Array(lines)) => {
                    config.values.insert(key.clone(), lines.iter().map(raw_line).collect::<Vec<_>>().join("\n"));
                }
                (_, value) => {
                    config.values.insert(key.clone(), loose::plain(value));
                }
            }
        }
        Ok(config)
    }
}

/// `["lxc.mount.entry", "…"]` as the file writes it.
fn raw_line(line: &Value) -> String {
    match line {
        Value::Array(pair) => pair.iter().map(loose::plain).collect::<Vec<_>>().join(": "),
        other => loose::plain(other),
    }
}

/// What HA has to do with a guest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HaOfGuest {
    pub managed: bool,
    pub state: Option<String>,
}

/// `status/current`.
#[derive(Debug, Clone, PartialEq)]
pub struct GuestStatus {
    /// `running` or `stopped`.
    pub status: String,
    /// `running`, `paused`, `prelaunch`, `postmigrate`, …; VMs only.
    pub qmpstatus: Option<String>,
    pub name: Option<String>,
    pub lock: Option<String>,
    /// Whether an agent is configured; nothing about whether it runs.
    pub agent: bool,
    pub ha: HaOfGuest,
    pub template: bool,
    pub tags: Vec<String>,
    pub pid: Option<u64>,
    /// Seconds.
    pub uptime: Option<u64>,
    pub cpu: Option<f64>,
    pub cpus: Option<f64>,
    /// Bytes.
    pub mem: Option<u64>,
    pub maxmem: Option<u64>,
    pub maxdisk: Option<u64>,
    pub running_qemu: Option<String>,
    pub running_machine: Option<String>,
}

impl GuestStatus {
    pub fn is_running(&self) -> bool {
        self.status == "running"
    }

    fn read(answer: &Answer) -> Result<Self, ProxmoxError> {
        let row = answer.row()?;
        let ha = match row.opt_object("ha")? {
            Some(ha) => HaOfGuest { managed: ha.flag("managed")?, state: ha.opt_text("state")? },
            None => HaOfGuest::default(),
        };
        Ok(Self {
            status: row.text("status")?,
            qmpstatus: row.opt_text("qmpstatus")?,
            name: row.opt_text("name")?,
            lock: row.opt_text("lock")?.filter(|l| !l.is_empty()),
            agent: row.flag("agent")?,
            ha,
            template: row.flag("template")?,
            tags: row.texts("tags")?,
            pid: row.opt_uint("pid")?,
            uptime: row.opt_uint("uptime")?,
            cpu: row.opt_float("cpu")?,
            cpus: row.opt_float("cpus")?,
            mem: row.opt_uint("mem")?,
            maxmem: row.opt_uint("maxmem")?,
            maxdisk: row.opt_uint("maxdisk")?,
            running_qemu: row.opt_text("running-qemu")?,
            running_machine: row.opt_text("running-machine")?,
        })
    }
}

/// A key whose value waits for the next start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    pub key: String,
    pub value: Option<String>,
    pub pending: Option<String>,
    pub delete: bool,
}

fn path(node: &NodeName, kind: GuestKind, vmid: Vmid, rest: &str) -> String {
    format!("/nodes/{}/{kind}/{vmid}{rest}", crate::clients::proxmox::seg(node))
}

impl Site {
    /// With pending changes merged in; `current`: the values in force now.
    pub async fn guest_config(
        &self,
        node: &NodeName,
        kind: GuestKind,
        vmid: Vmid,
        current: bool,
    ) -> Result<GuestConfig, ProxmoxError> {
        let params: &[(&str, &str)] = if current { &[("current", "1")] } else { &[] };
        GuestConfig::read(&self.get(&path(node, kind, vmid, "/config"), params).await?)
    }

    pub async fn guest_status(
        &self,
        node: &NodeName,
        kind: GuestKind,
        vmid: Vmid,
    ) -> Result<GuestStatus, ProxmoxError> {
        GuestStatus::read(&self.get(&path(node, kind, vmid, "/status/current"), &[]).await?)
    }

    /// Every key, with what waits for the next start.
    pub async fn guest_pending(
        &self,
        node: &NodeName,
        kind: GuestKind,
        vmid: Vmid,
    ) -> Result<Vec<Pending>, ProxmoxError> {
        let answer = self.get(&path(node, kind, vmid, "/pending"), &[]).await?;
        answer.each(|row| {
            Ok(Pending {
                key: row.text("key")?,
                value: row.opt_text("value")?,
                pending: row.opt_text("pending")?,
                // 1 is a delete, 2 a forced one.
                delete: row.opt_int("delete")?.is_some_and(|n| n > 0),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{answer, recorded};
    use super::*;
    use serde_json::json;

    #[test]
    fn a_recorded_container_is_texts() {
        let config = GuestConfig::read(&recorded("gp-lxc-config.json")).unwrap();
        assert_eq!(config.digest.as_deref(), Some("5911baea29f4c0073fb063fd9ab29e75892832bf"));
        assert_eq!((config.get("memory"), config.get("onboot")), (Some("4096"), Some("1")));
        assert_eq!(config.get("lxc").unwrap().lines().count(), 5);
        assert!(config.get("lxc").unwrap().starts_with("lxc.cgroup2.devices.allow: c 226:0 rwm\n"));
        assert_eq!(config.get("digest"), None);
    }

    #[test]
    fn a_recorded_vm_runs() {
        let status = GuestStatus::read(&recorded("gp-qemu-status-current.json")).unwrap();
        assert!(status.is_running() && status.agent && !status.ha.managed);
        assert_eq!(status.running_qemu.as_deref(), Some("8.0.2"));
    }

    #[test]
    fn containers_in_lists_have_text_ids() {
        let list = recorded("gp-lxc-list.json");
        for row in list.data.as_array().unwrap() {
            let status = GuestStatus::read(&answer(row.clone())).unwrap();
            assert!(["running", "stopped"].contains(&status.status.as_str()));
        }
    }

    #[test]
    fn ha_is_read_with_its_state() {
        let data = json!({"status": "stopped", "ha": {"managed": "1", "state": "started"}, "lock": ""});
        let status = GuestStatus::read(&answer(data)).unwrap();
        assert_eq!(status.ha, HaOfGuest { managed: true, state: Some("started".into()) });
        assert_eq!(status.lock, None);
    }
}
