//! The cluster resource manager's round: takes commands, looks at nodes and services, decides.

use super::{Request, Service, State};
use crate::lab::world::World;
use crate::model::ids::{GuestKind, NodeName};

/// How long a node must be silent before its services are taken from it.
const FENCE_MS: u64 = 120_000;

pub(in crate::lab::world) fn round(world: &mut World) {
    if !world.quorate() {
        return;
    }
    let requests = std::mem::take(&mut world.ha.queue);
    let idle = world.ha.resources.is_empty() && requests.is_empty() && world.ha.master.is_none();
    if idle {
        return;
    }
    if world.ha.master.as_ref().is_none_or(|master| !world.node_up(master)) {
        world.ha.master = world.nodes.iter().find(|(_, node)| node.up).map(|(name, _)| name.clone());
    }
    world.ha.crm_time = world.seconds();
    judge_nodes(world);
    for request in requests {
        take(world, request);
    }
    adopt(world);
    let sids: Vec<String> = world.ha.services.keys().cloned().collect();
    for sid in sids {
        judge_service(world, &sid);
    }
}

/// Node states: a node is in maintenance once its own manager says so, gone after two silent minutes.
fn judge_nodes(world: &mut World) {
    let (now, ha) = (world.now, &mut world.ha);
    for (name, node) in &world.nodes {
        let before = ha.node_status.get(name).copied().unwrap_or("online");
        let state = match (node.up, before) {
            (true, _) if ha.lrm_maintenance.contains(name) => "maintenance",
            (true, _) => "online",
            (false, "fence") => "fence",
            (false, _) if now.saturating_sub(node.down_since) >= FENCE_MS => "fence",
            (false, "maintenance") => "maintenance",
            (false, _) => "unknown",
        };
        ha.node_status.insert(name.clone(), state);
    }
}

fn take(world: &mut World, request: Request) {
    match request {
        Request::Maintenance { node, on: true } => {
            world.ha.maintenance_asked.insert(node);
        }
        Request::Maintenance { node, on: false } => {
            world.ha.maintenance_asked.remove(&node);
        }
        Request::Migrate { sid, target } => send(world, &sid, target, State::Migrate),
        Request::Relocate { sid, target } => send(world, &sid, target, State::Relocate),
        Request::Stop { sid, now } => {
            if let Some(service) = world.ha.services.get_mut(&sid) {
                service.stop_now = now;
            }
        }
        // The requested state says it all: the round itself sees it.
        Request::Start { .. } => {}
    }
}

/// Sends a service to a node if it may go there; a refusal is in no answer and no task, as on the real one.
fn send(world: &mut World, sid: &str, target: NodeName, state: State) {
    let fits = world.node_up(&target)
        && !world.ha.in_maintenance(&target)
        && world.ha.services.get(sid).is_some_and(|service| service.task.is_none() && service.node != target)
        && world.ha.allowed(world, sid, &target);
    if !fits {
        return;
    }
    let mut sids = world.ha.dependent(sid);
    sids.push(sid.to_owned());
    for sid in sids {
        let started = world.ha.resources.get(&sid).is_some_and(|resource| resource.state == "started");
        let Some(service) = world.ha.services.get_mut(&sid).filter(|service| service.node != target) else { continue };
        // A user's own move ends the exile: it will not be brought home.
        service.maintenance_node = None;
        match service.state {
            State::Started if started => {
                service.state = state;
                service.target = Some(target.clone());
            }
            State::Stopped => {
                service.state = State::Relocate;
                service.target = Some(target.clone());
            }
            _ => {}
        }
    }
}

/// New resources become services; what is managed no longer is forgotten.
fn adopt(world: &mut World) {
    let wanted: Vec<(String, Option<NodeName>)> = world
        .ha
        .resources
        .iter()
        .filter(|(_, resource)| resource.state != "ignored")
        .map(|(sid, resource)| (sid.clone(), world.guests.get(&resource.vmid).map(|guest| guest.node.clone())))
        .collect();
    let ha = &mut world.ha;
    ha.services.retain(|sid, _| wanted.iter().any(|(other, _)| other == sid));
    for (sid, node) in wanted {
        if let Some(node) = node {
            ha.services.entry(sid).or_insert_with(|| Service::new(State::RequestStop, node));
        }
    }
}

fn judge_service(world: &mut World, sid: &str) {
    let (Some(resource), Some(service)) = (world.ha.resources.get(sid), world.ha.services.get(sid)) else { return };
    if service.task.is_some() {
        return;
    }
    let wanted = resource.state.clone();
    let (vmid, failback) = (resource.vmid, resource.failback);
    let (state, node) = (service.state, service.node.clone());
    if world.ha.node_status.get(&node) == Some(&"fence") && wanted == "started" && state != State::Error {
        recover(world, sid, vmid);
        return;
    }
    match state {
        State::Started if wanted != "started" => set(world, sid, State::RequestStop),
        State::Started => settle(world, sid, vmid, failback),
        State::RequestStart => set(world, sid, State::Started),
        State::Stopped if wanted == "started" => set(world, sid, State::RequestStart),
        State::RequestStop if wanted == "started" => set(world, sid, State::RequestStart),
        State::Error if wanted == "disabled" => set(world, sid, State::Stopped),
        _ => {}
    }
}

fn set(world: &mut World, sid: &str, state: State) {
    if let Some(service) = world.ha.services.get_mut(sid) {
        service.state = state;
        service.failures = 0;
    }
}

/// A started service: out of maintenance, home again after it, or to a node that its rules prefer.
fn settle(world: &mut World, sid: &str, vmid: crate::model::ids::Vmid, failback: bool) {
    let Some(service) = world.ha.services.get(sid) else { return };
    let node = service.node.clone();
    let home = service.maintenance_node.clone();
    let vm = world.guests.get(&vmid).is_some_and(|guest| guest.kind == GuestKind::Qemu);
    let how = if vm { State::Migrate } else { State::Relocate };
    if world.ha.in_maintenance(&node) {
        // One that failed is tried again each round, as the real manager does.
        if let Some(target) = world.ha.choose(world, sid, &node) {
            go(world, sid, target, how, Some(home.unwrap_or(node)));
        }
        return;
    }
    if let Some(home) = home {
        let ready =
            world.node_up(&home) && !world.ha.in_maintenance(&home) && !world.ha.maintenance_asked.contains(&home);
        if home == node {
            forget_home(world, sid);
        } else if ready && world.ha.allowed(world, sid, &home) {
            go(world, sid, home, how, None);
        }
        return;
    }
    if failback && let Some(better) = world.ha.better_home(world, sid, &node) {
        go(world, sid, better, how, None);
    }
}

fn forget_home(world: &mut World, sid: &str) {
    if let Some(service) = world.ha.services.get_mut(sid) {
        service.maintenance_node = None;
    }
}

fn go(world: &mut World, sid: &str, target: NodeName, state: State, home: Option<NodeName>) {
    if let Some(service) = world.ha.services.get_mut(sid) {
        service.state = state;
        service.target = Some(target);
        service.maintenance_node = home;
    }
}

/// Fencing, then recovery: the dead node's guest is taken over by another node and started there.
fn recover(world: &mut World, sid: &str, vmid: crate::model::ids::Vmid) {
    let Some(service) = world.ha.services.get_mut(sid) else { return };
    match service.state {
        State::Fence => service.state = State::Recovery,
        State::Recovery => {
            let dead = service.node.clone();
            let Some(target) = world.ha.choose(world, sid, &dead) else { return };
            if let Some(guest) = world.guests.get_mut(&vmid) {
                guest.node = target.clone();
                guest.config.remove("lock");
            }
            if let Some(service) = world.ha.services.get_mut(sid) {
                service.node = target;
                service.target = None;
                service.state = State::Started;
            }
        }
        _ => service.state = State::Fence,
    }
}
