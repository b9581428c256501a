//! Whether the move can be made, what must still hold when it begins, and what will be different after it.

use serde_json::{Value, json};

use super::order::Order;
use super::{attempted, outputs, verdict};
use crate::actions::proxmox::look;
use crate::actions::proxmox::object::{Guest, Node};
use crate::actions::proxmox::resource::{Resource, all_placements};
use crate::engine::ports::{Call, Prediction, Probe};
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::world::{Delta, Predicate};
use crate::placement::evacuation::{Mode, Speed, gib};

const MIB: u64 = 1 << 20;

pub(super) fn probe(order: &Order, guest: &Guest, target: &Node) -> Result<Probe, Failure> {
    let wanted = order.wanted(guest);
    let here = json!(guest);
    if verdict::amiss(Some(guest), &order.to, wanted).is_none() {
        let mut probe = Probe::new(format!("{}: on {} already", guest.title(), order.to), here);
        probe.satisfied = true;
        probe.identities = vec![look::identity(guest)];
        return Ok(probe);
    }
    let mode = possible(order, guest, target)?;
    let mut probe = Probe::new(summary(order, guest, mode), here);
    if mode == Mode::Restart {
        probe.effect = Some(Effect::Disrupt);
        probe.notes.push(format!("{} is down while it moves", guest.title()));
    }
    if wanted == "stopped" && guest.is_running() {
        let cause = "status: stopped is for guests that are stopped already; shut it down in a step of its own";
        return Err(Failure::new(Class::Precondition, attempted(guest, &order.to), cause));
    }
    probe.identities = vec![look::identity(guest)];
    probe.guards = guards(order, guest);
    Ok(probe)
}

/// The mode in which it would move now, or the first thing that stands in the way.
fn possible(order: &Order, guest: &Guest, target: &Node) -> Result<Mode, Failure> {
    let fail = |class, cause: String| Failure::new(class, attempted(guest, &order.to), cause);
    if let Some(lock) = &guest.lock {
        let remedy = format!("wait until the {lock} has ended; if none is running any more, use proxmox.guest_unlock");
        return Err(fail(Class::Locked, format!("{} is locked ({lock})", guest.title())).remedy(remedy));
    }
    if guest.is_owned_by_ha() {
        let state = guest.ha.as_deref().unwrap_or_default();
        let cause = format!(
            "the HA manager owns {} (state {state}): it would only be asked, and decide by itself",
            guest.title()
        );
        let remedy = "put the node into maintenance (proxmox.ha_maintenance), or set its HA state to ignored";
        return Err(fail(Class::Precondition, cause).remedy(remedy));
    }
    if guest.node == order.to {
        return Ok(Mode::Offline);
    }
    if let Some(why) = look::unfit(target).filter(|_| !(target.online && order.into_maintenance)) {
        return Err(fail(Class::Precondition, why).remedy("choose another node, or bring this one back"));
    }
    order
        .mode_for(guest)
        .map_err(|cause| fail(Class::Precondition, cause).remedy("use mode: restart, or stop it first"))
}

/// `VM 104 (web-1): pve2 -> pve3, live, 8.0 GiB, about 30 s`
fn summary(order: &Order, guest: &Guest, mode: Mode) -> String {
    if guest.node == order.to {
        return format!("{}: start on {}", guest.title(), order.to);
    }
    let copied: u64 = guest
        .disks
        .values()
        .filter(|d| d.storage.as_ref().is_some_and(|s| order.storages.contains_key(s)))
        .filter_map(|d| d.bytes)
        .sum();
    let disks = if copied > 0 { format!(" and {} of disks", gib(copied)) } else { String::new() };
    let (memory, time) = (gib(guest.memory), look::about(seconds(guest, mode, copied)));
    format!("{}: {} -> {}, {mode}, {memory}{disks}, {time}", guest.title(), guest.node, order.to)
}

/// The planner's own estimate.
fn seconds(guest: &Guest, mode: Mode, copied: u64) -> u64 {
    let speed = Speed::default();
    let memory = if mode == Mode::Live { guest.memory / MIB / speed.memory } else { 0 };
    let restart = if mode == Mode::Restart { speed.restart } else { 0 };
    speed.fixed + memory + copied / MIB / speed.disk + restart
}

/// A lock is no guard: the probe made right before the step sees it, as a failure that can be retried.
fn guards(order: &Order, guest: &Guest) -> Vec<crate::model::world::Guard> {
    let at = || Resource::Guest(guest.vmid);
    let (title, node, status) = (guest.title(), &guest.node, &guest.status);
    let mut guards = vec![
        look::guard(format!("{title} is on {node}"), at(), "/node", Predicate::Equals, json!(node)),
        look::guard(format!("{title} is {status}"), at(), "/status", Predicate::Equals, json!(status)),
    ];
    if guest.node != order.to {
        let [online, not_in_maintenance] = look::takes_guests(&order.to);
        guards.push(online);
        guards.extend((!order.into_maintenance).then_some(not_in_maintenance));
    }
    guards
}

pub(super) fn predict(call: &Call, probe: &Probe) -> Prediction {
    let (Ok(order), Ok(guest)) = (Order::of(call), serde_json::from_value::<Guest>(probe.before.clone())) else {
        return Prediction::default();
    };
    let outputs = match outputs(&order, &guest) {
        Value::Object(map) => map.into_iter().collect(),
        _ => Default::default(),
    };
    if probe.satisfied {
        return Prediction { outputs, ..Prediction::default() };
    }
    let (id, status) = (guest.vmid.to_string(), order.wanted(&guest));
    let patch = json!({"node": order.to, "status": status});
    let mut deltas = vec![
        Delta { resource: Resource::Guest(guest.vmid).key(), patch: patch.clone() },
        Delta { resource: Resource::Guests.key(), patch: json!({id: patch}) },
    ];
    let why = format!("{} moves", guest.title());
    let mut taints = vec![(all_placements(), why.clone()), (Resource::GuestEvacuation(guest.vmid).key(), why.clone())];
    for node in [&guest.node, &order.to] {
        // How much memory is in use there can only be observed.
        let forget = json!({"memory_used": null});
        deltas.push(Delta { resource: Resource::Node(node.clone()).key(), patch: forget.clone() });
        deltas.push(Delta { resource: Resource::Nodes.key(), patch: json!({node.as_str(): forget}) });
        taints.push((Resource::NodeMemory(node.clone()).key(), why.clone()));
        taints.push((Resource::NodeGuests(node.clone()).key(), why.clone()));
    }
    Prediction { deltas, taints, outputs }
}
