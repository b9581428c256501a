//! `proxmox.tasks`: what nodes do and have done.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::actions::proxmox::look;
use crate::actions::proxmox::object::Node;
use crate::actions::proxmox::resource::Resource;
use crate::clients::proxmox::{TaskOutcome, seg};
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::ids::{NodeName, Vmid};
use crate::model::param::{Param, ValueType};

/// The action.
pub struct Tasks {
    spec: ActionSpec,
}

impl Default for Tasks {
    fn default() -> Self {
        let spec = ActionSpec::new("proxmox.tasks", Effect::Read, "List tasks")
            .param(Param::new("node", ValueType::Node).help("Only of this node"))
            .param(Param::new("guest", ValueType::Vmid).help("Only about this VMID"))
            .param(Param::new("type", ValueType::String).help("Only of this type: vzdump, qmigrate, …"))
            .param(Param::new("running", ValueType::Bool).default_value(false).help("Only those that still run"))
            .param(Param::new("failed", ValueType::Bool).default_value(false).help("Only those that failed"))
            .param(
                Param::new("limit", ValueType::Int)
                    .default_value(50)
                    .help("So many of each node at most, newest first"),
            )
            .output(
                "tasks",
                ValueType::List,
                "Newest first: maps of upid, node, type, id, user, start (seconds since 1970), running, status",
            )
            .output("count", ValueType::Int, "How many")
            .output("unread", ValueType::List, "Nodes that could not be asked")
            .needs_privilege("Sys.Audit on /nodes");
        Self { spec }
    }
}

fn row(node: &NodeName, task: &Value) -> Value {
    let status = task["status"].as_str().filter(|status| *status != "RUNNING");
    let running = status.is_none() && task["endtime"].is_null();
    json!({"upid": task["upid"], "node": node, "type": task["type"], "id": task["id"], "user": task["user"],
        "start": task["starttime"], "running": running, "status": status})
}

/// Whether it has ended badly.
fn failed(row: &Value) -> bool {
    row["status"].as_str().is_some_and(|status| !TaskOutcome::from_exitstatus(status).is_success())
}

#[async_trait]
impl Action for Tasks {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let only: Option<NodeName> = call.arg("node")?;
        let guest: Option<Vmid> = call.arg("guest")?;
        let kind: Option<String> = call.arg("type")?;
        let flag = |name: &str| call.get(name).as_bool() == Some(true);
        let (vmid, limit) = (guest.map(|vmid| vmid.to_string()), call.get("limit").as_u64().unwrap_or(50).to_string());
        let mut params = vec![("limit", limit.as_str()), ("source", if flag("running") { "active" } else { "all" })];
        params.extend(vmid.as_deref().map(|vmid| ("vmid", vmid)));
        params.extend(kind.as_deref().map(|kind| ("typefilter", kind)));
        if flag("failed") {
            params.push(("errors", "1"));
        }
        let nodes: BTreeMap<NodeName, Node> = look::read(world, Resource::Nodes).await?;
        let (mut rows, mut unread) = (Vec::new(), Vec::new());
        for (name, node) in nodes.iter().filter(|(name, _)| only.as_ref().is_none_or(|only| only == *name)) {
            if !node.online {
                unread.push(name.clone());
                continue;
            }
            let answer = look::api(world, format!("/nodes/{}/tasks", seg(name)), &params).await?;
            rows.extend(answer.as_array().into_iter().flatten().map(|task| row(name, task)));
        }
        // The list of active tasks keeps those that ended lately, and a type is searched for as a part of it.
        rows.retain(|row| !flag("running") || row["running"] == true);
        rows.retain(|row| !flag("failed") || failed(row));
        rows.retain(|row| kind.as_ref().is_none_or(|kind| row["type"] == kind.as_str()));
        rows.sort_by_key(|row| std::cmp::Reverse(row["start"].as_i64()));
        let count = rows.len();
        let outputs = json!({"tasks": rows, "count": count, "unread": unread});
        Ok(Reading { outputs, summary: format!("{count} tasks"), guards: Vec::new(), notes: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::proxmox::testing::{FakeWorld, call, node};

    #[tokio::test]
    async fn a_running_task_has_no_status_and_a_warning_is_no_failure() {
        let task = |start: i64, status: Value, end: Value| {
            json!({"upid": format!("U{start}"), "type": "vzdump", "id": "104", "user": "a@pam", "starttime": start,
                "status": status, "endtime": end})
        };
        let list = json!([
            task(1, json!("OK"), json!(2)),
            task(2, json!("job errors"), json!(3)),
            task(3, json!("WARNINGS: 1"), json!(4)),
            task(4, json!("RUNNING"), Value::Null),
        ]);
        let world = FakeWorld::default()
            .with("proxmox/nodes", json!({"pve2": node("pve2")}))
            .with("proxmox/api/nodes/pve2/tasks?limit=50&source=all", list.clone())
            .with("proxmox/api/nodes/pve2/tasks?limit=50&source=all&errors=1", list.clone())
            .with("proxmox/api/nodes/pve2/tasks?limit=50&source=active", list);
        let upids = async |with: Value| -> Vec<String> {
            let reading = Tasks::default().read(&call(with), &world).await.unwrap();
            let rows = reading.outputs["tasks"].as_array().unwrap().clone();
            rows.iter().map(|row| row["upid"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(upids(json!({})).await, ["U4", "U3", "U2", "U1"]);
        assert_eq!(upids(json!({"failed": true})).await, ["U2"]);
        assert_eq!(upids(json!({"running": true})).await, ["U4"]);
    }
}
