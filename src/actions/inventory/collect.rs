//! `inventory.collect`: every guest with its network cards and addresses, for later steps.

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::actions::proxmox::resource::Resource;
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::inventory::Inventory;
use crate::model::param::{Param, ValueType};

/// Those of its parameters that say which guests, and the words of the resource for them.
const CHOICE: [(&str, &str); 5] =
    [("node", "node"), ("type", "type"), ("status", "status"), ("pool", "pool"), ("all_addresses", "all")];

/// The action.
pub struct InventoryCollect {
    spec: ActionSpec,
}

impl Default for InventoryCollect {
    fn default() -> Self {
        let spec = ActionSpec::new("inventory.collect", Effect::Read, "Find guests with their MACs and addresses")
            .param(Param::new("node", ValueType::Node).help("Those on this node"))
            .param(Param::new("tags", ValueType::List).items(ValueType::String).help("Those that have all of these tags"))
            .param(Param::new("type", ValueType::String).choices(&["qemu", "lxc"]).help("VMs or containers"))
            .param(Param::new("status", ValueType::String).choices(&["running", "stopped"]).help("Those in this state"))
            .param(Param::new("pool", ValueType::String).help("Those in this pool"))
            .param(
                Param::new("all_addresses", ValueType::Bool)
                    .default_value(false)
                    .help("Also loopback, link-local and those of container networks"),
            )
            .param(
                Param::new("partial", ValueType::Bool)
                    .default_value(false)
                    .help("Go on where something could not be read; otherwise that is a failure"),
            )
            .output(
                "hosts",
                ValueType::List,
                "Maps of name, vmid, node, type, status, tags, pool, interfaces (nic, mac, bridge, vlan, addresses), primary, unknown (reason, text), silent (the same: why the guest itself said nothing)",
            )
            .output("addresses", ValueType::Map, "The primary address by VMID, of those that have one")
            .output("missing", ValueType::List, "What could not be read: maps of node, vmid, what, reason, why")
            .output("hidden", ValueType::String, "Why there may be guests that are not in it, or null: the token may not see all")
            .output("count", ValueType::Int, "How many hosts")
            .needs_privilege("VM.Audit on /vms")
            .needs_privilege("for the addresses of VMs: VM.GuestAgent.Audit on /vms; on Proxmox VE 8 VM.Monitor");
        Self { spec }
    }
}

fn resource(call: &Call) -> Result<Resource, Failure> {
    let mut params = Vec::new();
    for (name, word) in CHOICE {
        match call.get(name) {
            Value::Bool(true) => params.push((word.to_owned(), "1".to_owned())),
            Value::String(text) if !text.is_empty() => params.push((word.to_owned(), text.clone())),
            _ => {}
        }
    }
    for tag in call.arg::<Option<Vec<String>>>("tags")?.unwrap_or_default() {
        params.push(("tag".to_owned(), tag));
    }
    Ok(Resource::Inventory(params))
}

#[async_trait]
impl Action for InventoryCollect {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let resource = resource(call)?;
        let attempted = "collect the inventory";
        let value = world.read(&resource.key()).await?.known(&resource.title())?;
        let shape = |e: serde_json::Error| Failure::new(Class::Internal, attempted, e.to_string());
        let found: Inventory = serde::Deserialize::deserialize(&*value).map_err(shape)?;
        if !found.missing.is_empty() && call.arg::<Option<bool>>("partial")? != Some(true) {
            let why: Vec<String> = found.missing.iter().take(20).map(|missing| missing.why.clone()).collect();
            let cause = format!("{} things could not be read: {}", found.missing.len(), why[0]);
            let failure =
                Failure::new(Class::Unreachable, attempted, cause).remedy("go on without them: partial: true");
            return Err(Failure { details: why, ..failure }.into());
        }
        let with = found.hosts.iter().filter(|host| host.primary.is_some());
        let addresses: serde_json::Map<String, Value> =
            with.filter_map(|host| Some((host.vmid?.to_string(), json!(host.primary)))).collect();
        let summary = format!("{} hosts, {} with an address", found.hosts.len(), addresses.len());
        let count = found.hosts.len();
        let outputs = json!({"hosts": found.hosts, "addresses": addresses, "missing": found.missing, "hidden": found.hidden,
            "count": count});
        Ok(Reading { outputs, summary, guards: Vec::new(), notes: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::proxmox::testing::{FakeWorld, call};

    fn inventory(missing: Value) -> Value {
        let host = |vmid: u32, primary: Value, unknown: Value| {
            json!({"source": "proxmox", "site": "lab", "name": format!("vm-{vmid}"), "vmid": vmid, "node": "pve1",
                "type": "qemu", "status": "running", "interfaces": [], "primary": primary, "unknown": unknown})
        };
        let unknown = json!({"reason": "agent_not_running", "text": "its guest agent does not run"});
        json!({"site": "lab", "hosts": [host(104, json!("10.0.0.4"), Value::Null), host(105, Value::Null, unknown)], "missing": missing})
    }

    #[tokio::test]
    async fn hosts_and_their_addresses_come_out() {
        let world = FakeWorld::default().with("proxmox/inventory?node=pve1&tag=web", inventory(json!([])));
        let with = json!({"node": "pve1", "tags": ["web"], "all_addresses": false});
        let reading = InventoryCollect::default().read(&call(with), &world).await.unwrap();
        assert_eq!(
            (reading.outputs["count"].clone(), reading.outputs["addresses"].clone()),
            (json!(2), json!({"104": "10.0.0.4"}))
        );
        assert_eq!(reading.outputs["hosts"][1]["unknown"]["reason"], "agent_not_running");
        assert_eq!(reading.summary, "2 hosts, 1 with an address");
        assert_eq!(reading.outputs["hidden"], Value::Null);
    }

    #[tokio::test]
    async fn guests_that_may_be_hidden_are_no_failure_and_are_told() {
        let mut narrow = inventory(json!([]));
        narrow["hidden"] = json!("the token lacks VM.Audit on /vms");
        let world = FakeWorld::default().with("proxmox/inventory", narrow);
        let reading = InventoryCollect::default().read(&call(json!({})), &world).await.unwrap();
        assert_eq!(reading.outputs["hidden"], "the token lacks VM.Audit on /vms");
    }

    #[tokio::test]
    async fn what_could_not_be_read_is_a_failure_unless_that_is_taken() {
        let missing = json!([{"node": "pve3", "vmid": null, "what": "guests", "reason": "node_offline", "why": "pve3 is offline"}]);
        let world = FakeWorld::default().with("proxmox/inventory", inventory(missing));
        let action = InventoryCollect::default();
        let Err(Unreadable::Failed(failure)) = action.read(&call(json!({})), &world).await else { panic!() };
        assert!(failure.cause.contains("pve3 is offline"), "{failure}");
        let reading = action.read(&call(json!({"partial": true})), &world).await.unwrap();
        assert_eq!(reading.outputs["missing"][0]["node"], "pve3");
    }
}
