//! `proxmox.guest_status` and `proxmox.guest_config`: one guest as it is now, and as it is configured.

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::actions::proxmox::config::{GuestConfig, Waiting};
use crate::actions::proxmox::look::read;
use crate::actions::proxmox::object::title;
use crate::actions::proxmox::resource::Resource;
use crate::actions::proxmox::state::GuestState;
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::Vmid;
use crate::model::param::{Param, ValueType};

/// The action that tells whether a guest runs.
pub struct GuestStatusRead {
    spec: ActionSpec,
}

/// The action that tells how it is configured.
pub struct GuestConfigRead {
    spec: ActionSpec,
}

fn spec(name: &str, title: &str) -> ActionSpec {
    ActionSpec::new(name, Effect::Read, title)
        .param(Param::new("guest", ValueType::Guest).required().help("The guest"))
        .needs_privilege("VM.Audit on /vms/{guest}")
}

impl Default for GuestStatusRead {
    fn default() -> Self {
        let spec = spec("proxmox.guest_status", "Look how a guest is")
            .output("vmid", ValueType::Vmid, "The guest")
            .output("name", ValueType::String, "Its name")
            .output("node", ValueType::Node, "Where it is")
            .output("status", ValueType::String, "`running` or `stopped`")
            .output("qmpstatus", ValueType::String, "VMs: `running`, `paused`, `prelaunch`, ...; else null")
            .output("lock", ValueType::String, "What holds it; else null")
            .output("ha", ValueType::String, "The HA manager's state of it; null where it does not manage it")
            .output("uptime", ValueType::Int, "Seconds since it was switched on")
            .output("agent", ValueType::Bool, "Whether a guest agent is configured")
            .output("memory", ValueType::Size, "As configured")
            .output("memory_used", ValueType::Size, "As its node says")
            .output("cpu", ValueType::Float, "Share of its processors that is in use, 0 to 1");
        Self { spec }
    }
}

impl Default for GuestConfigRead {
    fn default() -> Self {
        let spec = spec("proxmox.guest_config", "Look how a guest is configured")
            .output("vmid", ValueType::Vmid, "The guest")
            .output("config", ValueType::Map, "Its lines in force, as texts; credentials as stars")
            .output("pending", ValueType::Map, "Lines that come with its next start; null: the line goes")
            .output("digest", ValueType::String, "Of the whole file");
        Self { spec }
    }
}

fn no_guest(vmid: Vmid) -> Failure {
    Failure::new(Class::Precondition, format!("look for guest {vmid}"), "no node has it").remedy("check the VMID")
}

fn reading(outputs: Value, summary: String) -> Reading {
    Reading { outputs, summary, guards: Vec::new(), notes: Vec::new() }
}

#[async_trait]
impl Action for GuestStatusRead {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let vmid: Vmid = call.arg("guest")?;
        let is: Option<GuestState> = read(world, Resource::GuestState(vmid)).await?;
        let is = is.ok_or_else(|| no_guest(vmid))?;
        let outputs = json!({
            "vmid": is.vmid, "name": is.name, "node": is.node, "status": is.status, "qmpstatus": is.qmpstatus,
            "lock": is.lock, "ha": is.ha, "uptime": is.uptime, "agent": is.agent, "memory": is.memory,
            "memory_used": is.memory_used, "cpu": is.cpu,
        });
        let how = is.qmpstatus.as_deref().filter(|_| is.is_running()).unwrap_or(&is.status);
        Ok(reading(outputs, format!("{} is {how} on {}", title(is.kind, is.vmid, &is.name), is.node)))
    }
}

#[async_trait]
impl Action for GuestConfigRead {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let vmid: Vmid = call.arg("guest")?;
        let is: Option<GuestConfig> = read(world, Resource::GuestConfig(vmid)).await?;
        let is = is.ok_or_else(|| no_guest(vmid))?;
        let waiting = |waiting: &Waiting| match waiting {
            Waiting::Value(value) => json!(value),
            Waiting::Delete(_) => Value::Null,
        };
        let pending: serde_json::Map<String, Value> =
            is.pending.iter().map(|(key, what)| (key.clone(), waiting(what))).collect();
        let summary = match pending.len() {
            0 => format!("guest {vmid} has {} lines of configuration", is.values.len()),
            n => {
                format!("guest {vmid} has {} lines of configuration, and {n} wait for its next start", is.values.len())
            }
        };
        let outputs = json!({"vmid": vmid, "config": is.values, "pending": pending, "digest": is.digest});
        Ok(reading(outputs, summary))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::proxmox::testing::{FakeWorld, call};

    #[tokio::test]
    async fn a_guest_and_its_configuration_are_read() {
        let state = json!({"vmid": 104, "kind": "qemu", "name": "web", "node": "pve2", "status": "running",
            "qmpstatus": "paused", "uptime": 77, "agent": true});
        let config = json!({"digest": "d", "values": {"memory": "2048", "cores": "2"},
            "pending": {"memory": {"value": "4096"}, "cores": {"delete": true}}});
        let world = FakeWorld::default()
            .with("proxmox/guest/104/state", state)
            .with("proxmox/guest/104/config", config)
            .with("proxmox/guest/105/state", Value::Null);
        let of = |vmid| call(json!({"guest": vmid}));
        let status = GuestStatusRead::default().read(&of(104), &world).await.unwrap();
        assert_eq!(
            (status.summary.as_str(), &status.outputs["uptime"]),
            ("VM 104 (web) is paused on pve2", &json!(77))
        );
        let config = GuestConfigRead::default().read(&of(104), &world).await.unwrap();
        assert_eq!(config.outputs["pending"], json!({"memory": "4096", "cores": null}));
        assert!(config.summary.contains("2 wait for its next start"), "{}", config.summary);
        assert!(GuestStatusRead::default().read(&of(105), &world).await.is_err());
    }
}
