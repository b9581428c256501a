//! `proxmox.node_reboot`: reboots a node on which nothing runs, and sees it back.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Request, Seen};
use crate::actions::proxmox::look::{self, live};
use crate::actions::proxmox::object::{GuestEntry, Node, TaskEntry};
use crate::actions::proxmox::resource::{Resource, all_placements};
use crate::actions::proxmox::typed;
use crate::clients::proxmox::{Params, Verb, seg};
use crate::engine::ports::{Call, Prediction, Probe, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::{NodeName, Vmid};
use crate::model::param::{Param, ValueType};
use crate::model::world::{Delta, Predicate};

/// Where the step does not say.
const WITHIN: Duration = Duration::from_secs(15 * 60);

/// The act.
pub struct NodeReboot {
    spec: ActionSpec,
    timing: Timing,
}

impl NodeReboot {
    pub fn new(timing: Timing) -> Self {
        let spec = ActionSpec::new("proxmox.node_reboot", Effect::Disrupt, "Reboot a node on which nothing runs")
            .param(Param::new("node", ValueType::Node).required().help("The node"))
            .param(Param::new("within", ValueType::Duration).default_value("15m").help("How long it may be away"))
            .output("node", ValueType::Node, "The node")
            .output("uptime", ValueType::Int, "Seconds since it has booted")
            .needs_privilege("Sys.PowerMgmt on /nodes/{node}")
            .needs_privilege("Sys.Audit on /nodes/{node}")
            .needs_privilege("Sys.Audit on /")
            .needs_privilege("VM.Audit on /vms")
            .anew();
        Self { spec, timing }
    }
}

fn count(names: Vec<String>) -> String {
    match &names[..] {
        [only] => only.clone(),
        _ => format!("{}: {}", names.len(), names.join(", ")),
    }
}

#[async_trait]
impl Act for NodeReboot {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, _: &Call, before: &Value) -> String {
        look::before::<Node>(before).map_or_else(|_| "reboot a node".into(), |node| format!("reboot {}", node.name))
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let name: NodeName = call.arg("node")?;
        let node = look::node(world, &name).await?;
        let attempted = format!("reboot {name}");
        let refuse = |cause: String| Failure::new(Class::Precondition, attempted.clone(), cause);
        if !node.online {
            return Err(refuse(format!("{name} is offline")).into());
        }
        let Some(uptime) = node.uptime else {
            return Err(refuse(format!("{name} does not say since when it is up")).into());
        };
        let guests: BTreeMap<Vmid, GuestEntry> = look::read(world, Resource::NodeGuests(name.clone())).await?;
        let running: Vec<String> = guests.values().filter(|g| g.status != "stopped").map(GuestEntry::title).collect();
        if !running.is_empty() {
            let failure = refuse(format!("guests run on {name}: {}", count(running)));
            return Err(failure.remedy(format!("empty it first: runbook run node-evacuation {name}")).into());
        }
        let tasks: Vec<TaskEntry> = look::read(world, Resource::ActiveTasks(name.clone())).await?;
        if !tasks.is_empty() {
            let kinds = tasks.into_iter().map(|task| format!("{} {}", task.kind, task.id)).collect();
            let failure = refuse(format!("tasks run on {name}: {}", count(kinds)));
            return Err(failure.remedy("wait until they have ended").into());
        }
        let mut probe = Probe::new(format!("{name}: reboot (up for {uptime} s)"), json!(node));
        let at = Resource::Node(name.clone());
        probe.guards = vec![look::guard(format!("{name} is online"), at, "/online", Predicate::Equals, json!(true))];
        if !node.maintenance {
            probe
                .notes
                .push(format!("{name} is not in maintenance: guests may be moved or started there until it goes down"));
        }
        Ok(probe)
    }

    fn request(&self, _: &Call, before: &Value) -> Result<Request, Failure> {
        let node: Node = look::before(before)?;
        let path = format!("/nodes/{}/status", seg(&node.name));
        Ok(Request::at_once(Verb::Post, path, Params::new().set("command", "reboot")))
    }

    async fn judge(&self, _: &Call, before: &Value, _: Option<&Value>, world: &dyn World) -> Result<Seen, Failure> {
        let before: Node = look::before(before)?;
        let name = &before.name;
        let Some(now) = live::<Option<Node>>(world, Resource::Node(name.clone())).await? else {
            return Ok(Seen::Strange(format!("the site has no node {name} any more")));
        };
        Ok(match (now.online, now.uptime, before.uptime) {
            (true, Some(now), Some(was)) if now < was => Seen::Done(json!({"node": name, "uptime": now})),
            (true, Some(now), _) => Seen::Untouched(format!("{name} is up for {now} s")),
            // It may be on its way.
            (true, None, _) => Seen::Strange(format!("{name} does not say since when it is up")),
            (false, ..) => Seen::Strange(format!("{name} is offline")),
        })
    }

    fn settles_in(&self, call: &Call) -> Duration {
        look::duration(call.get("within")).unwrap_or(WITHIN)
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        let Ok(node) = look::before::<Node>(&before.before) else { return Prediction::default() };
        let why = format!("{} reboots {}", call.path, node.name);
        Prediction {
            deltas: vec![Delta { resource: Resource::Node(node.name.clone()).key(), patch: json!({"boots": null}) }],
            taints: vec![
                (Resource::Node(node.name.clone()).key(), why.clone()),
                (Resource::Nodes.key(), why.clone()),
                (all_placements(), why),
            ],
            outputs: [("node".to_owned(), json!(node.name))].into(),
        }
    }

    fn check(&self, _: &Call, before: &Value) -> Option<String> {
        let node: Node = look::before(before).ok()?;
        let path = format!("/nodes/{}/status", seg(&node.name));
        Some(typed::check(&typed::call(Verb::Get, &path, &Params::new()), "a small uptime"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::proxmox::testing::{FakeWorld, but, call, node};

    fn world(of: Value) -> FakeWorld {
        let guest = json!({"vmid": 108, "kind": "qemu", "name": "build", "status": "stopped"});
        FakeWorld::default()
            .with("proxmox/node/pve2", of)
            .with("proxmox/node/pve2/guests", json!({"108": guest}))
            .with("proxmox/node/pve2/active_tasks", json!([]))
    }

    #[tokio::test]
    async fn it_is_back_when_it_is_up_for_less_than_before() {
        let act = NodeReboot::new(Timing::default());
        let (with, up) = (call(json!({"node": "pve2"})), but(node("pve2"), json!({"uptime": 5000})));
        let before = act.look(&with, &world(up.clone())).await.unwrap().before;
        let judge = async |patch: Value| act.judge(&with, &before, None, &world(but(up.clone(), patch))).await.unwrap();
        assert!(matches!(judge(json!({"uptime": 5020})).await, Seen::Untouched(_)));
        assert!(matches!(judge(json!({"online": false})).await, Seen::Strange(_)));
        assert!(matches!(judge(json!({"uptime": null})).await, Seen::Strange(_)));
        assert_eq!(judge(json!({"uptime": 12})).await, Seen::Done(json!({"node": "pve2", "uptime": 12})));
    }

    #[tokio::test]
    async fn it_refuses_where_something_runs() {
        let act = NodeReboot::new(Timing::default());
        let up = but(node("pve2"), json!({"uptime": 5000}));
        let runs = json!({"104": {"vmid": 104, "kind": "qemu", "name": "web", "status": "running"}});
        let world = world(up).with("proxmox/node/pve2/guests", runs);
        let error = act.look(&call(json!({"node": "pve2"})), &world).await.unwrap_err().to_string();
        assert!(error.contains("guests run on pve2: VM 104 (web)"), "{error}");
    }
}
