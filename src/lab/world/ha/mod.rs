//! The HA manager: what is managed, what was asked, what state each service is in. The manager's rounds are in `crm`,
//! each node's own in `lrm`.

pub(super) mod api;
pub(super) mod change;
pub(super) mod crm;
pub(super) mod lrm;
pub(super) mod place;
pub(super) mod rules;
pub(super) mod status;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::World;
use super::jobs::Next;
use super::task::TaskKey;
use crate::lab::scenario::{HaRuleSpec, HaSpec};
use crate::model::ids::{NodeName, Vmid};

pub(super) const CRM_PERIOD_MS: u64 = 10_000;
pub(super) const LRM_PERIOD_MS: u64 = 5_000;

#[derive(Debug, Clone, Default)]
pub(super) struct Ha {
    pub resources: BTreeMap<String, Resource>,
    pub rules: Vec<HaRuleSpec>,
    pub groups: BTreeMap<String, Group>,
    /// Commands that the next round takes.
    pub queue: Vec<Request>,
    /// Nodes for which maintenance was asked and taken up by the manager.
    pub maintenance_asked: BTreeSet<NodeName>,
    /// Nodes whose local manager has gone into maintenance.
    pub lrm_maintenance: BTreeSet<NodeName>,
    pub node_status: BTreeMap<NodeName, &'static str>,
    pub services: BTreeMap<String, Service>,
    pub master: Option<NodeName>,
    /// Wall-clock seconds of the manager's and each node's last round.
    pub crm_time: i64,
    pub lrm_time: BTreeMap<NodeName, i64>,
}

/// A line of the resources' configuration.
#[derive(Debug, Clone)]
pub(super) struct Resource {
    pub vmid: Vmid,
    /// `started`, `stopped`, `disabled` or `ignored`.
    pub state: String,
    pub group: Option<String>,
    pub comment: Option<String>,
    pub failback: bool,
    pub max_restart: u32,
    pub max_relocate: u32,
}

/// Nodes that guests had best be on, before rules.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    /// `pve1:2,pve2`
    pub nodes: String,
    pub restricted: bool,
    pub nofailback: bool,
    pub comment: String,
}

/// What the manager knows of a service.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub state: State,
    pub node: NodeName,
    pub target: Option<NodeName>,
    /// Where it was before maintenance moved it.
    pub maintenance_node: Option<NodeName>,
    /// What the node's local manager runs for it at present.
    pub task: Option<TaskKey>,
    /// Whether the stop that was asked for is a power cut.
    pub stop_now: bool,
    /// Failed attempts at what it is at.
    pub failures: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    RequestStart,
    Started,
    RequestStop,
    Stopped,
    Migrate,
    Relocate,
    Fence,
    Recovery,
    Error,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestStart => "request_start",
            Self::Started => "started",
            Self::RequestStop => "request_stop",
            Self::Stopped => "stopped",
            Self::Migrate => "migrate",
            Self::Relocate => "relocate",
            Self::Fence => "fence",
            Self::Recovery => "recovery",
            Self::Error => "error",
        }
    }
}

/// A command for the manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    Start {
        sid: String,
    },
    /// `now` switches off instead of shutting down.
    Stop {
        sid: String,
        now: bool,
    },
    Migrate {
        sid: String,
        target: NodeName,
    },
    Relocate {
        sid: String,
        target: NodeName,
    },
    Maintenance {
        node: NodeName,
        on: bool,
    },
}

impl Ha {
    /// Resources and rules of a scenario, services in the state that they had settled in.
    pub fn from_spec(spec: &HaSpec, world: &World) -> Self {
        let group = |nodes: &String| Group { nodes: nodes.clone(), ..Group::default() };
        let groups = spec.groups.iter().map(|(name, nodes)| (name.clone(), group(nodes))).collect();
        let mut ha = Self { rules: spec.rules.clone(), groups, ..Self::default() };
        for resource in &spec.resources {
            let Some(guest) = resource.sid.split_once(':').and_then(|(_, id)| id.parse::<Vmid>().ok()) else {
                continue;
            };
            let Some(guest) = world.guests.get(&guest) else { continue };
            let made = Resource::new(guest.vmid, &resource.state, resource.group.clone());
            ha.resources.insert(resource.sid.clone(), made);
            if resource.state != "ignored" {
                let state = if resource.state == "started" { State::Started } else { State::Stopped };
                ha.services.insert(resource.sid.clone(), Service::new(state, guest.node.clone()));
            }
        }
        if !ha.resources.is_empty() {
            ha.master = world.nodes.keys().next().cloned();
            ha.node_status = world.nodes.keys().map(|name| (name.clone(), "online")).collect();
        }
        ha.crm_time = world.epoch;
        ha.lrm_time = world.nodes.keys().map(|name| (name.clone(), world.epoch)).collect();
        ha
    }

    /// Whether start, stop and migrate of this guest go through the manager.
    pub fn manages(&self, sid: &str) -> bool {
        self.resources.get(sid).is_some_and(|resource| resource.state != "ignored")
    }

    /// What lists show as a guest's HA state.
    pub fn guest_state(&self, sid: &str) -> Option<&'static str> {
        let resource = self.resources.get(sid)?;
        if resource.state == "ignored" {
            return Some("ignored");
        }
        Some(self.services.get(sid).map_or("queued", |service| service.state.as_str()))
    }

    /// What lists show as a node's HA state; nothing while HA is not in use.
    pub fn node_state(&self, name: &NodeName) -> Option<&'static str> {
        self.master.as_ref()?;
        self.node_status.get(name).copied()
    }

    pub fn in_maintenance(&self, name: &NodeName) -> bool {
        self.node_status.get(name) == Some(&"maintenance")
    }

    /// The part that two worlds are compared by.
    pub fn comparable(&self) -> Value {
        let resources: BTreeMap<&String, Value> = self
            .resources
            .iter()
            .map(|(sid, resource)| (sid, json!({"state": resource.state, "service": self.guest_state(sid)})))
            .collect();
        let rules: BTreeMap<&String, Value> = self
            .rules
            .iter()
            .map(|rule| {
                let body = json!({"type": rule.kind, "resources": rule.resources, "nodes": rule.nodes,
                    "strict": u8::from(rule.strict), "affinity": rule.affinity, "disable": u8::from(rule.disable),
                    "comment": rule.comment});
                (&rule.rule, body)
            })
            .collect();
        let groups: BTreeMap<&String, Value> = self
            .groups
            .iter()
            .map(|(name, group)| {
                let body = json!({"nodes": group.nodes, "restricted": u8::from(group.restricted),
                    "nofailback": u8::from(group.nofailback), "comment": group.comment});
                (name, body)
            })
            .collect();
        json!({"resources": resources, "rules": rules, "groups": groups, "maintenance_asked": self.maintenance_asked})
    }
}

impl Resource {
    pub fn new(vmid: Vmid, state: &str, group: Option<String>) -> Self {
        let state = if state == "enabled" { "started" } else { state };
        Self { vmid, state: state.into(), group, comment: None, failback: true, max_restart: 1, max_relocate: 1 }
    }
}

impl Service {
    pub fn new(state: State, node: NodeName) -> Self {
        Self { state, node, target: None, maintenance_node: None, task: None, stop_now: false, failures: 0 }
    }
}

/// The work of `hastart`, `hastop` and `hamigrate`: to queue, no more.
pub(super) fn queue_step(world: &mut World, key: TaskKey, request: &Request, first: bool) -> Next {
    if first {
        return Next::In(300);
    }
    if let Request::Start { sid } | Request::Stop { sid, .. } | Request::Migrate { sid, .. } = request
        && world.ha.services.get(sid).is_some_and(|service| service.state == State::Error)
    {
        world.say(key, format!("service '{sid}' in error state, must be disabled and fixed first"));
        let command = match request {
            Request::Migrate { target, .. } => format!("ha-manager migrate {sid} {target}"),
            Request::Start { .. } => format!("ha-manager set {sid} --state started"),
            _ => format!("ha-manager crm-command stop {sid} 0"),
        };
        return Next::Done(Err(format!("command '{command}' failed: exit code 255")));
    }
    match request {
        Request::Start { sid } => {
            world.say(key, format!("Requesting HA start for {}", told(sid)));
            if let Some(resource) = world.ha.resources.get_mut(sid) {
                resource.state = "started".into();
            }
        }
        Request::Stop { sid, .. } => {
            world.say(key, format!("Requesting HA stop for {}", told(sid)));
            if let Some(resource) = world.ha.resources.get_mut(sid) {
                resource.state = "stopped".into();
            }
            world.ha.queue.push(request.clone());
        }
        Request::Migrate { sid, target } | Request::Relocate { sid, target } => {
            world.say(key, format!("Requesting HA migration for {} to node {target}", told(sid)));
            world.ha.queue.push(request.clone());
        }
        Request::Maintenance { .. } => world.ha.queue.push(request.clone()),
    }
    Next::Done(Ok(()))
}

/// `VM 111` for `vm:111`.
fn told(sid: &str) -> String {
    sid.split_once(':').map_or_else(|| sid.into(), |(kind, id)| format!("{} {id}", kind.to_uppercase()))
}
