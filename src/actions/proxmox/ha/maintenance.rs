//! `proxmox.ha_maintenance`: HA maintenance of a node on or off.
//!
//! There is no API for it in 8.4 to 9.2, so the command goes by SSH to a node that is up, another one if there is.
//! Done means: the node is in maintenance and no started HA guest is left on it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::watch::{Stage, stage, wait};
use crate::actions::deps::Timing;
use crate::actions::proxmox::look::{self, live, read};
use crate::actions::proxmox::object::{GuestEntry, Ha, Node};
use crate::actions::proxmox::resource::{Resource, all_placements};
use crate::actions::proxmox::source::ProxmoxSource;
use crate::actions::proxmox::typed;
use crate::actions::proxmox::work::Work;
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::{Intent, Invocation};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::ids::{GuestKind, NodeName, Vmid};
use crate::model::param::{Param, ValueType};
use crate::model::shell;
use crate::model::world::{Delta, Identity, Predicate};

const NAME: &str = "proxmox.ha_maintenance";

/// The action.
pub struct HaMaintenance {
    spec: ActionSpec,
    timing: Timing,
}

/// What the probe found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Before {
    pub node: NodeName,
    pub maintenance: bool,
    /// Started HA services on the node, and the guests that they are.
    pub services: BTreeMap<String, Option<Vmid>>,
    /// Nodes that are up.
    pub online: Vec<NodeName>,
}

impl HaMaintenance {
    pub fn new(timing: Timing) -> Self {
        let spec = ActionSpec::new(NAME, Effect::Change, "Put a node into HA maintenance, or take it out")
            .param(Param::new("node", ValueType::Node).required().help("The node"))
            .param(Param::new("enabled", ValueType::Bool).required().help("true: into maintenance"))
            .output("node", ValueType::Node, "The node")
            .output("enabled", ValueType::Bool, "Whether it is in maintenance now")
            .needs_privilege("Sys.Audit on /")
            .needs_privilege(
                "SSH to a node as root (ha-manager crm-command node-maintenance; the API has no such call)",
            )
            .undoable();
        Self { spec, timing }
    }

    fn attempted(node: &NodeName, enabled: bool) -> String {
        if enabled { format!("put {node} into HA maintenance") } else { format!("take {node} out of HA maintenance") }
    }

    /// Asks one node after the other until one has taken the command; only a command that was certainly not sent is
    /// given to another.
    async fn command(&self, work: &Work<'_>, node: &NodeName, enabled: bool) -> Result<NodeName, Failure> {
        let mut hosts = ProxmoxSource::new((*work.site).clone()).online_nodes().await?;
        hosts.sort_by_key(|host| (host == node, host.clone()));
        let argv = argv(node, enabled);
        let mut last = None;
        for host in hosts {
            match work.command(&host, &argv, self.timing.command).await {
                Ok(_) => return Ok(host),
                Err(failure) if failure.class == Class::Unreachable && failure.done == Done::None => {
                    last = Some(failure)
                }
                Err(failure) => return Err(failure),
            }
        }
        Err(last.unwrap_or_else(|| work.failure(Class::Unreachable, "no node of the site is online")))
    }

    fn order(call: &Call) -> Result<(NodeName, bool), Failure> {
        Ok((call.arg("node")?, call.arg("enabled")?))
    }
}

/// What the manager and the guests that it has moved show afterwards.
enum Seen {
    AsWanted,
    /// A guest is there and still held by the lock of its move.
    Locked(String),
    Otherwise(String),
}

async fn seen(world: &dyn World, node: &NodeName, enabled: bool) -> Result<Seen, Failure> {
    let ha: Ha = live(world, Resource::Ha).await?;
    match stage(&ha, node, enabled) {
        Stage::Done => {}
        Stage::Under(what) | Stage::Stuck(what) => return Ok(Seen::Otherwise(what)),
        Stage::NotAsked => {
            return Ok(Seen::Otherwise(format!("the HA manager knows of no such request for {node}")));
        }
    }
    let moved: Vec<Vmid> = match enabled {
        true => ha.started_of(node).filter_map(|s| s.vmid).collect(),
        false => ha.started_on(node).into_iter().filter_map(|(_, s)| s.vmid).collect(),
    };
    if moved.is_empty() {
        return Ok(Seen::AsWanted);
    }
    let guests: BTreeMap<Vmid, GuestEntry> = live(world, Resource::Guests).await?;
    let left = moved.iter().filter_map(|vmid| guests.get(vmid)).filter(|g| g.lock.as_deref() == Some("migrate"));
    let left: Vec<String> = left.map(GuestEntry::title).collect();
    Ok(match left.is_empty() {
        true => Seen::AsWanted,
        false => Seen::Locked(format!(
            "moved and still locked (migrate): {}; once nothing is at work on it, use proxmox.guest_unlock",
            left.join(", ")
        )),
    })
}

/// The guests that the manager moves, for whoever has to know that they are in flight. By kind and name: it is the
/// manager that moves them, whatever they are. A plan that cannot know where the guests are by then leaves them out.
async fn identities(moved: &[Vmid], world: &dyn World) -> Result<Vec<Identity>, Failure> {
    if moved.is_empty() {
        return Ok(Vec::new());
    }
    let guests: BTreeMap<Vmid, GuestEntry> = match read(world, Resource::Guests).await {
        Ok(guests) => guests,
        Err(Unreadable::Unknown(_) | Unreadable::Later(_)) => return Ok(Vec::new()),
        Err(Unreadable::Failed(failure)) => return Err(failure),
    };
    let known = moved.iter().filter_map(|vmid| guests.get(vmid));
    let identity = |guest: &GuestEntry| Identity {
        object: guest.title(),
        resource: Resource::Guest(guest.vmid).key(),
        expect: vec![("/kind".to_owned(), json!(guest.kind)), ("/name".to_owned(), json!(guest.name))],
    };
    Ok(known.map(identity).collect())
}

/// The command, on any node.
fn argv(node: &NodeName, enabled: bool) -> [&str; 5] {
    let word = if enabled { "enable" } else { "disable" };
    ["ha-manager", "crm-command", "node-maintenance", word, node.as_str()]
}

fn outputs(node: &NodeName, enabled: bool) -> Value {
    json!({"node": node, "enabled": enabled})
}

fn summary(before: &Before, enabled: bool) -> String {
    let node = &before.node;
    match (enabled, before.services.len()) {
        (true, 0) => format!("{node}: into maintenance, no HA guest on it"),
        (true, n) => format!("{node}: into maintenance, the HA manager moves {n} of its guests away"),
        (false, _) => format!("{node}: out of maintenance, the HA manager brings its guests back"),
    }
}

fn guards(node: &NodeName) -> Vec<crate::model::world::Guard> {
    vec![
        look::guard("the cluster is quorate".into(), Resource::Ha, "/quorate", Predicate::Equals, json!(true)),
        look::guard(
            format!("{node} is online"),
            Resource::Node(node.clone()),
            "/online",
            Predicate::Equals,
            json!(true),
        ),
    ]
}

#[async_trait]
impl Action for HaMaintenance {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let (node, enabled) = Self::order(call)?;
        look::node(world, &node).await?;
        let ha: Ha = read(world, Resource::Ha).await?;
        let nodes: BTreeMap<NodeName, Node> = read(world, Resource::Nodes).await?;
        let left = ha.started_on(&node);
        let before = Before {
            maintenance: ha.is_in_maintenance(&node) || ha.is_maintenance_requested(&node),
            services: left.iter().map(|(sid, s)| ((*sid).to_owned(), s.vmid)).collect(),
            online: nodes.values().filter(|n| n.online).map(|n| n.name.clone()).collect(),
            node: node.clone(),
        };
        let mut probe = Probe::new(summary(&before, enabled), json!(before));
        if stage(&ha, &node, enabled) == Stage::Done {
            let state = if enabled { "in maintenance already, no HA guest on it" } else { "not in maintenance" };
            probe.summary = format!("{node}: {state}");
            probe.satisfied = true;
            return Ok(probe);
        }
        if !ha.quorate {
            let failure =
                Failure::new(Class::Precondition, Self::attempted(&node, enabled), "the cluster is not quorate");
            return Err(failure.remedy("bring nodes back until it is").into());
        }
        let restarted: Vec<&str> = left.iter().filter(|(_, s)| s.kind == GuestKind::Lxc).map(|(sid, _)| *sid).collect();
        if enabled && !restarted.is_empty() {
            probe.effect = Some(Effect::Disrupt);
            probe
                .notes
                .push(format!("the HA manager restarts containers when it moves them: {}", restarted.join(", ")));
        }
        probe.guards = guards(&node);
        let moved: Vec<Vmid> = match enabled {
            true => left.iter().filter_map(|(_, s)| s.vmid).collect(),
            false => ha.started_of(&node).filter_map(|s| s.vmid).collect(),
        };
        probe.identities = identities(&moved, world).await?;
        Ok(probe)
    }

    fn predict(&self, call: &Call, probe: &Probe) -> Prediction {
        let before = serde_json::from_value::<Before>(probe.before.clone());
        let (Ok((node, enabled)), Ok(before)) = (Self::order(call), before) else { return Prediction::default() };
        let outputs = [("node".to_owned(), json!(node)), ("enabled".to_owned(), json!(enabled))].into();
        if probe.satisfied {
            return Prediction { outputs, ..Prediction::default() };
        }
        let mut deltas = vec![
            Delta { resource: Resource::Node(node.clone()).key(), patch: json!({"maintenance": enabled}) },
            Delta { resource: Resource::Nodes.key(), patch: json!({node.as_str(): {"maintenance": enabled}}) },
        ];
        let mut taints = Vec::new();
        // Going out, guests come back from elsewhere: which ones only the manager knows.
        if enabled && before.services.is_empty() {
            let patch =
                json!({"node_status": {node.as_str(): "maintenance"}, "node_request": {node.as_str(): "maintenance"}});
            deltas.push(Delta { resource: Resource::Ha.key(), patch });
        } else {
            disturbed(&before, &mut deltas, &mut taints);
        }
        Prediction { deltas, taints, outputs }
    }

    async fn apply(&self, call: &Call, _: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let (node, enabled) = Self::order(call)?;
        let work = Work::new(mutate, Self::attempted(&node, enabled))?;
        let by = self.command(&work, &node, enabled).await?;
        mutate.checkpoint(json!({"asked": by})).await.map_err(|f| f.done(Done::Unknown))?;
        wait(&work, &node, enabled, &self.timing).await?;
        Ok(outputs(&node, enabled))
    }

    async fn attach(&self, call: &Call, _: &Intent, _: &Value, mutate: &Mutate) -> Result<Value, Failure> {
        let (node, enabled) = Self::order(call)?;
        let work = Work::new(mutate, Self::attempted(&node, enabled))?;
        wait(&work, &node, enabled, &self.timing).await?;
        Ok(outputs(&node, enabled))
    }

    async fn verify(&self, call: &Call, _: &Value, _: &Value, world: &dyn World) -> Result<(), Failure> {
        let (node, enabled) = Self::order(call)?;
        let until = Instant::now() + self.timing.settle;
        let seen = loop {
            let waits = Instant::now() < until;
            match seen(world, &node, enabled).await {
                Ok(Seen::AsWanted) => return Ok(()),
                Ok(Seen::Locked(_)) if waits => {}
                Ok(Seen::Locked(what) | Seen::Otherwise(what)) => break what,
                Err(failure) if look::may_pass(&failure) && waits => {}
                Err(failure) => return Err(failure),
            }
            tokio::time::sleep(self.timing.poll).await;
        };
        let wanted = if enabled { "in maintenance, without started HA guests" } else { "out of maintenance" };
        Err(Failure::new(
            Class::Verify,
            Self::attempted(&node, enabled),
            format!("expected {node} {wanted}; seen: {seen}"),
        ))
    }

    /// The manager's queue of commands cannot be read, so that "not asked" is believed only after its next rounds.
    async fn recover(
        &self,
        call: &Call,
        _: &Intent,
        handle: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        let (node, enabled) = Self::order(call)?;
        let until = Instant::now() + self.timing.late_command;
        loop {
            let ha: Ha = live(world, Resource::Ha).await?;
            match stage(&ha, &node, enabled) {
                Stage::Done => return Ok(Recovery::Done(outputs(&node, enabled))),
                Stage::Under(_) => {
                    return Ok(Recovery::Running(handle.cloned().unwrap_or_else(|| json!({"asked": null}))));
                }
                Stage::Stuck(why) => return Ok(Recovery::Partial(why)),
                Stage::NotAsked if Instant::now() < until => {}
                Stage::NotAsked if !ha.quorate => {
                    let evidence = "the cluster has no quorum: the HA manager does not look at its queue of commands";
                    return Ok(Recovery::InDoubt(evidence.to_owned()));
                }
                Stage::NotAsked if handle.is_none() => {
                    let waited = self.timing.late_command.as_secs();
                    let evidence = format!("the HA manager knows of no such request for {node} after {waited} s");
                    return Ok(Recovery::Unseen { done: Done::None, evidence });
                }
                Stage::NotAsked => {
                    let seconds = self.timing.late_command.as_secs();
                    let evidence =
                        format!("the command was taken, and the HA manager shows nothing of it after {seconds} s");
                    return Ok(Recovery::InDoubt(evidence));
                }
            }
            tokio::time::sleep(self.timing.poll).await;
        }
    }

    fn undo(&self, call: &Call, before: &Value, _: Option<&Value>) -> Option<Invocation> {
        let (node, enabled) = Self::order(call).ok()?;
        let before: Before = serde_json::from_value(before.clone()).ok()?;
        let with = json!({"node": node, "enabled": !enabled});
        (before.maintenance != enabled).then(|| Invocation { uses: NAME.to_owned(), with })
    }

    fn commands(&self, call: &Call, _: &Probe) -> Vec<String> {
        let Ok((node, enabled)) = Self::order(call) else { return Vec::new() };
        let wanted = match enabled {
            true => format!("{node}: maintenance mode, no started service on it"),
            false => format!("{node}: active or idle, its services are back"),
        };
        vec![shell::line(argv(&node, enabled)), typed::check("ha-manager status", &wanted)]
    }

    fn undo_summary(&self, call: &Call, before: &Probe) -> Option<String> {
        self.undo(call, &before.before, None)?;
        let (node, enabled) = Self::order(call).ok()?;
        Some(Self::attempted(&node, !enabled))
    }
}

/// Guests that the manager moves are somewhere else afterwards, and so is their memory.
fn disturbed(before: &Before, deltas: &mut Vec<Delta>, taints: &mut Vec<(crate::model::ids::ResourceKey, String)>) {
    let why = format!("the HA manager moves guests of {}", before.node);
    let mut taint = |key| taints.push((key, why.clone()));
    taint(Resource::Ha.key());
    taint(all_placements());
    for node in &before.online {
        taint(Resource::NodeMemory(node.clone()).key());
        taint(Resource::NodeGuests(node.clone()).key());
        let forget = json!({"memory_used": null});
        deltas.push(Delta { resource: Resource::Node(node.clone()).key(), patch: forget.clone() });
        deltas.push(Delta { resource: Resource::Nodes.key(), patch: json!({node.as_str(): forget}) });
    }
    for vmid in before.services.values().flatten() {
        taint(Resource::Guest(*vmid).key());
        deltas.push(Delta { resource: Resource::Guests.key(), patch: json!({vmid.to_string(): {"node": null}}) });
    }
}
