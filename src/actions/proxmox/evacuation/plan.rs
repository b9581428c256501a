//! `proxmox.plan_evacuation`: where each guest of a node goes, or why it cannot be emptied.

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{guards, refusal};
use crate::actions::deps::PlacementDefaults;
use crate::actions::proxmox::look::{self, read};
use crate::actions::proxmox::object::Node;
use crate::actions::proxmox::resource::Resource;
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::{NodeName, Vmid};
use crate::model::param::{Param, ValueType};
use crate::placement::evacuation::{Evacuation, Facts, Settings, plan};

/// The action.
pub struct PlanEvacuation {
    spec: ActionSpec,
    defaults: PlacementDefaults,
}

fn spec() -> ActionSpec {
    let param = Param::new;
    ActionSpec::new("proxmox.plan_evacuation", Effect::Read, "Find a place for every guest of a node")
        .param(param("node", ValueType::Node).required().help("The node to empty"))
        .param(
            param("keep_free", ValueType::Percent).help("Memory that stays free on each target; default: the site's"),
        )
        .param(
            param("stay", ValueType::List)
                .items(ValueType::Guest)
                .default_value(Value::Array(Vec::new()))
                .help("Guests that may remain on the node"),
        )
        .param(param("allow_stop", ValueType::Bool).default_value(false).help("Guests may be down for their move"))
        .output("plan", ValueType::Map, "The whole plan, for proxmox.check_evacuation")
        .output(
            "moves",
            ValueType::List,
            "In order: vmid, kind, name, from, to, mode, storages, memory, disk_bytes, seconds, downtime",
        )
        .output("stops", ValueType::List, "Guests that are down for a while: vmid, name, to, seconds, why")
        .output("staying", ValueType::List, "Guests that remain: vmid, name, why")
        .output("by_ha", ValueType::List, "Guests that the HA manager moves: vmid, name, kind, targets, memory, note")
        .output("usage", ValueType::List, "Each target before and after")
        .needs_privilege("VM.Audit on /vms")
        .needs_privilege("Sys.Audit on /")
        .needs_privilege("Datastore.Audit on /storage")
        .needs_privilege("VM.Migrate on /vms (to verify; without it the plan says so)")
}

impl PlanEvacuation {
    pub fn new(defaults: PlacementDefaults) -> Self {
        Self { spec: spec(), defaults }
    }

    fn settings(&self, call: &Call, facts: &Facts) -> Result<Settings, Failure> {
        let d = &self.defaults;
        Ok(Settings {
            host_reserve: d.host_reserve,
            keep_free: look::percent(call.get("keep_free")).unwrap_or(d.keep_free),
            cpu_overcommit: d.cpu_overcommit,
            quorum_groups: d.quorum_groups.clone(),
            stay: stay(call.get("stay"), facts)?,
            allow_stop: call.arg::<Option<bool>>("allow_stop")?.unwrap_or(false),
            ha_room: d.ha_room,
            speed: d.speed,
            ..Settings::default()
        })
    }
}

/// VMIDs or unique names.
fn stay(list: &Value, facts: &Facts) -> Result<BTreeSet<Vmid>, Failure> {
    let fail = |cause: String| Failure::new(Class::Precondition, "read the parameter `stay`", cause);
    let one = |item: &Value| {
        let text = item.as_str().map_or_else(|| item.to_string(), ToOwned::to_owned);
        if let Ok(vmid) = text.parse::<Vmid>() {
            return Ok(vmid);
        }
        let named: Vec<Vmid> = facts.guests.iter().filter(|g| g.name == text).map(|g| g.vmid).collect();
        match named[..] {
            [vmid] => Ok(vmid),
            [] => Err(fail(format!("no guest is called {text:?}")).remedy("give its VMID")),
            _ => {
                let ids = named.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                Err(fail(format!("{text:?} is the name of several guests: {ids}")).remedy("give the VMID"))
            }
        }
    };
    list.as_array().map(|items| items.iter().map(one).collect()).unwrap_or_else(|| Ok(BTreeSet::new()))
}

/// What is wrong with the node before any guest is considered.
async fn fit_to_be_emptied(world: &dyn World, name: &NodeName) -> Result<(), Unreadable> {
    let nodes: std::collections::BTreeMap<NodeName, Node> = read(world, Resource::Nodes).await?;
    let fail = |cause: String| Failure::new(Class::Precondition, format!("plan to empty {name}"), cause);
    let Some(node) = nodes.get(name) else {
        let all = nodes.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        return Err(fail(format!("there is no node {name}; the site has {all}"))
            .remedy("check the node's name")
            .into());
    };
    if !node.online {
        let failure = fail(format!("{name} is offline: nothing can be moved off it"));
        return Err(failure.remedy("bring it back; what HA manages is recovered elsewhere by itself").into());
    }
    Ok(())
}

/// A site of one node: said at once, rather than once for each guest.
fn somewhere_to_go(facts: &Facts, settings: &Settings) -> Result<(), Failure> {
    let leaving = facts.guests.iter().filter(|g| g.node == facts.node && !settings.stay.contains(&g.vmid)).count();
    if facts.nodes.len() > 1 || leaving == 0 {
        return Ok(());
    }
    let cause = format!("{} is the only node of the site: there is nowhere to move its {leaving} guests", facts.node);
    let failure = Failure::new(Class::Precondition, format!("plan to empty {}", facts.node), cause);
    Err(failure.remedy("shut the guests down instead, or list them in stay"))
}

fn summary(plan: &Evacuation) -> String {
    let node = &plan.node;
    let downs = plan.stops.len();
    if plan.moves.is_empty() && plan.by_ha.is_empty() && plan.staying.is_empty() {
        return format!("{node} has no guest: nothing to move");
    }
    let mut parts = vec![format!("{} to move", plan.moves.len())];
    if !plan.by_ha.is_empty() {
        parts.push(format!("{} by the HA manager", plan.by_ha.len()));
    }
    if downs > 0 {
        parts.push(format!("{downs} down for a while"));
    }
    if !plan.staying.is_empty() {
        parts.push(format!("{} stay", plan.staying.len()));
    }
    let seconds: u64 = plan.moves.iter().map(|m| m.seconds).sum();
    if seconds > 0 {
        parts.push(look::about(seconds));
    }
    format!("{node}: {}", parts.join(", "))
}

/// What a person should read before saying yes. Moves, usage and the HA manager's part are in the outputs.
fn notes(plan: &Evacuation, facts: &Facts) -> Vec<String> {
    plan.warnings.iter().cloned().chain(guards::tight(plan, facts)).collect()
}

#[async_trait]
impl Action for PlanEvacuation {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let node: NodeName = call.arg("node")?;
        fit_to_be_emptied(world, &node).await?;
        let facts: Facts = read(world, Resource::Placement(node)).await?;
        let settings = self.settings(call, &facts)?;
        somewhere_to_go(&facts, &settings)?;
        let plan = plan(&facts, &settings).map_err(|refused| refusal::failure(&refused))?;
        let outputs = json!({
            "plan": plan, "moves": plan.moves, "stops": plan.stops, "staying": plan.staying,
            "by_ha": plan.by_ha, "usage": plan.usage,
        });
        let (guards, notes) = (guards::guards(&plan, &facts), notes(&plan, &facts));
        Ok(Reading { outputs, summary: summary(&plan), guards, notes })
    }
}
