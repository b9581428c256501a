//! `proxmox.node_empty`: whether a node has no guest left, asked of the node itself and not only of the cluster.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::actions::proxmox::look::{self, read};
use crate::actions::proxmox::object::{GuestEntry, Ha, TaskEntry};
use crate::actions::proxmox::resource::Resource;
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::{NodeName, Vmid};
use crate::model::param::{Param, ValueType};

/// The action.
pub struct NodeEmpty {
    spec: ActionSpec,
}

impl Default for NodeEmpty {
    fn default() -> Self {
        let spec = ActionSpec::new("proxmox.node_empty", Effect::Read, "Check that a node has no guest left")
            .param(Param::new("node", ValueType::Node).required().help("The node"))
            .param(
                Param::new("accept", ValueType::List)
                    .default_value(Value::Array(Vec::new()))
                    .help("Guests that may be there: VMIDs, or items with `vmid` such as `staying` of a placement"),
            )
            .output("node", ValueType::Node, "The node")
            .output("remaining", ValueType::List, "Accepted guests that are there: vmid, name, status")
            .needs_privilege("VM.Audit on /vms")
            .needs_privilege("Sys.Audit on /")
            .needs_privilege("Sys.Audit on /nodes/{node}");
        Self { spec }
    }
}

/// What the three views say of the node.
struct Views {
    own: BTreeMap<Vmid, GuestEntry>,
    cluster: BTreeMap<Vmid, GuestEntry>,
    ha: Ha,
    tasks: Vec<TaskEntry>,
}

/// VMIDs of a list of numbers, texts or objects with `vmid`.
fn accepted(call: &Call) -> Result<BTreeSet<Vmid>, Failure> {
    let bad = |item: &Value| {
        let cause = format!("expected VMIDs or items with `vmid`, got {item}");
        Failure::new(Class::Precondition, "read the parameter `accept`", cause)
    };
    let list = call.get("accept").as_array().cloned().unwrap_or_default();
    let vmid = |item: &Value| {
        let id = item.get("vmid").unwrap_or(item);
        let text = id.as_str().map_or_else(|| id.to_string(), ToOwned::to_owned);
        text.parse::<Vmid>().map_err(|_| bad(item))
    };
    list.iter().map(vmid).collect()
}

/// A line for each thing that is still there.
fn left(node: &NodeName, views: &Views, accept: &BTreeSet<Vmid>) -> Vec<String> {
    let mut lines = Vec::new();
    for guest in views.own.values().filter(|g| !accept.contains(&g.vmid)) {
        let lock = guest.lock.as_ref().map(|l| format!(", locked ({l})")).unwrap_or_default();
        lines.push(format!("{} is still on {node}, {}{lock}", guest.title(), guest.status));
    }
    let here = |g: &&GuestEntry| g.node.as_ref() == Some(node);
    let unknown_to_it = |g: &&GuestEntry| !views.own.contains_key(&g.vmid) && !accept.contains(&g.vmid);
    for guest in views.cluster.values().filter(here).filter(unknown_to_it) {
        lines.push(format!("{} is on {node} to the cluster, though {node} itself does not list it", guest.title()));
    }
    for (sid, service) in views.ha.started_on(node) {
        let listed = service.vmid.is_some_and(|v| views.own.contains_key(&v) || accept.contains(&v));
        if !listed {
            lines.push(format!("HA service {sid} is still on {node} to the HA manager ({})", service.state));
        }
    }
    // What runs about an accepted guest (a backup, say) is not in the way of an empty node; a move onto it is.
    let about_guest = |t: &&TaskEntry| t.id.parse::<Vmid>().is_ok_and(|v| !accept.contains(&v));
    for task in views.tasks.iter().filter(about_guest) {
        lines.push(format!("task {} of guest {} is still running on {node} ({})", task.kind, task.id, task.upid));
    }
    lines
}

#[async_trait]
impl Action for NodeEmpty {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let (node, accept): (NodeName, _) = (call.arg("node")?, accepted(call)?);
        look::node(world, &node).await?;
        let views = Views {
            own: read(world, Resource::NodeGuests(node.clone())).await?,
            cluster: read(world, Resource::Guests).await?,
            ha: read(world, Resource::Ha).await?,
            tasks: read(world, Resource::ActiveTasks(node.clone())).await?,
        };
        let lines = left(&node, &views, &accept);
        if !lines.is_empty() {
            let n = lines.len();
            let cause =
                if n == 1 { lines[0].clone() } else { format!("{n} things are still there; first: {}", lines[0]) };
            let failure = Failure::new(Class::Verify, format!("check that {node} is empty"), cause).details(lines);
            return Err(failure.remedy("move what is left, or list it in accept").into());
        }
        let remaining: Vec<Value> =
            views.own.values().map(|g| json!({"vmid": g.vmid, "name": g.name, "status": g.status})).collect();
        let summary = match remaining.len() {
            0 => format!("{node} is empty"),
            n => format!("{node} is empty but for {n} guests that may stay"),
        };
        let outputs = json!({"node": node, "remaining": remaining});
        Ok(Reading { outputs, summary, guards: Vec::new(), notes: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::proxmox::testing::{FakeWorld, call};

    fn world() -> FakeWorld {
        FakeWorld::default()
            .with("proxmox/node/pve2", json!({"name": "pve2", "online": true, "maintenance": true}))
            .with("proxmox/node/pve2/guests", json!({}))
            .with(
                "proxmox/guests",
                json!({"104": {"vmid": 104, "kind": "qemu", "name": "web", "node": "pve3", "status": "running"}}),
            )
            .with("proxmox/ha", json!({"quorate": true}))
            .with("proxmox/node/pve2/active_tasks", json!([]))
    }

    async fn check(world: &FakeWorld, accept: Value) -> Result<Reading, Unreadable> {
        NodeEmpty::default().read(&call(json!({"node": "pve2", "accept": accept})), world).await
    }

    #[tokio::test]
    async fn an_empty_node_is_empty() {
        assert_eq!(check(&world(), json!([])).await.unwrap().summary, "pve2 is empty");
    }

    #[tokio::test]
    async fn whoever_is_left_is_named_by_each_view() {
        let own =
            json!({"107": {"vmid": 107, "kind": "qemu", "name": "metrics", "status": "running", "lock": "backup"}});
        let stale = json!({"108": {"vmid": 108, "kind": "lxc", "name": "build", "node": "pve2", "status": "stopped"}});
        let services = json!({"vm:111": {"vmid": 111, "kind": "qemu", "node": "pve2", "state": "started", "request_state": "started"}});
        let tasks = json!([{"upid": "UPID:pve2:00000001:00000001:67400000:qmigrate:109:root@pam:", "kind": "qmigrate", "id": "109", "start": 1, "running": true}]);
        let world = world()
            .with("proxmox/node/pve2/guests", own)
            .with("proxmox/guests", stale)
            .with("proxmox/ha", json!({"quorate": true, "services": services}))
            .with("proxmox/node/pve2/active_tasks", tasks);
        let Err(Unreadable::Failed(failure)) = check(&world, json!([])).await else { panic!("not empty") };
        assert_eq!(failure.class, Class::Verify);
        let all = failure.details.join("\n");
        for part in
            ["VM 107 (metrics) is still on pve2, running, locked (backup)", "CT 108 (build)", "vm:111", "guest 109"]
        {
            assert!(all.contains(part), "{part} in {all}");
        }
    }

    #[tokio::test]
    async fn accepted_guests_may_stay_however_they_are_listed() {
        let own = json!({"107": {"vmid": 107, "kind": "qemu", "name": "metrics", "status": "stopped"}});
        let world = world().with("proxmox/node/pve2/guests", own);
        for accept in [json!([107]), json!(["107"]), json!([{"vmid": 107, "name": "metrics", "why": "x"}])] {
            let reading = check(&world, accept).await.unwrap();
            assert_eq!(reading.outputs["remaining"][0]["vmid"], 107);
        }
        assert!(check(&world, json!(["web"])).await.is_err());
    }

    #[tokio::test]
    async fn past_a_move_it_is_known_later() {
        let world = world().unknown("proxmox/node/pve2/guests", "VM 104 moves");
        assert!(matches!(check(&world, json!([])).await, Err(Unreadable::Unknown(_))));
    }
}
