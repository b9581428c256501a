//! Each node's local resource manager: it does for its services what the manager decided, in tasks of `root@pam`.

use super::{Service, State};
use crate::lab::world::World;
use crate::lab::world::jobs::Job;
use crate::lab::world::lifecycle::{self, Shutdown};
use crate::lab::world::migrate::{Migration, Phase, StorageMap, request};
use crate::lab::world::task::Start;
use crate::model::ids::{GuestKind, NodeName, Vmid};

/// Attempts before a service is given up.
const ATTEMPTS: u32 = 3;

pub(in crate::lab::world) fn round(world: &mut World) {
    let now = world.seconds();
    let up: Vec<NodeName> = world.nodes.iter().filter(|(_, node)| node.up).map(|(name, _)| name.clone()).collect();
    for name in up {
        if world.ha.maintenance_asked.contains(&name) {
            world.ha.lrm_maintenance.insert(name.clone());
        } else {
            world.ha.lrm_maintenance.remove(&name);
        }
        world.ha.lrm_time.insert(name, now);
    }
    if !world.quorate() {
        return;
    }
    let sids: Vec<String> = world.ha.services.keys().cloned().collect();
    for sid in sids {
        tend(world, &sid);
    }
}

/// One service: collects what its task came to, or starts the next.
fn tend(world: &mut World, sid: &str) {
    let (Some(resource), Some(service)) = (world.ha.resources.get(sid), world.ha.services.get(sid).cloned()) else {
        return;
    };
    let vmid = resource.vmid;
    if !world.node_up(&service.node) {
        return;
    }
    if let Some(key) = service.task {
        let end = world.tasks.all.get(&key).and_then(|task| task.end.as_ref()).map(|end| end.status.clone());
        match end {
            None if world.tasks.all.contains_key(&key) => return,
            status => collect(world, sid, vmid, status.as_deref().unwrap_or("unexpected status")),
        }
        return;
    }
    let Some(guest) = world.guests.get(&vmid) else { return };
    let (running, kind) = (guest.running(), guest.kind);
    match service.state {
        State::Started if guest.node != service.node => {
            let node = guest.node.clone();
            change(world, sid, |service| service.node = node);
        }
        State::Started if !running => start(world, sid, vmid, kind, &service),
        State::RequestStop if running => stop(world, sid, vmid, kind, &service),
        State::RequestStop => change(world, sid, |service| service.state = State::Stopped),
        State::Migrate | State::Relocate => travel(world, sid, vmid, kind, running, &service),
        _ => {}
    }
}

fn change(world: &mut World, sid: &str, act: impl FnOnce(&mut Service)) {
    if let Some(service) = world.ha.services.get_mut(sid) {
        act(service);
    }
}

fn fork(world: &mut World, sid: &str, node: &NodeName, kind: &str, vmid: Vmid, job: Job) {
    let key = world.fork(Start { node, kind, id: vmid.to_string(), user: "root@pam" }, job);
    world.say(key, "task started by HA resource agent");
    change(world, sid, |service| service.task = Some(key));
}

fn start(world: &mut World, sid: &str, vmid: Vmid, kind: GuestKind, service: &Service) {
    fork(world, sid, &service.node, lifecycle::task_type(kind, "start"), vmid, Job::Start { vmid });
}

fn stop(world: &mut World, sid: &str, vmid: Vmid, kind: GuestKind, service: &Service) {
    if service.stop_now {
        change(world, sid, |service| service.stop_now = false);
        fork(world, sid, &service.node, lifecycle::task_type(kind, "stop"), vmid, Job::Stop { vmid });
        return;
    }
    let job = Job::Shutdown(Shutdown { vmid, timeout: 60_000, force: true, waiting: false });
    fork(world, sid, &service.node, lifecycle::task_type(kind, "shutdown"), vmid, job);
}

/// On the way: a VM goes live; a relocation, and every move of a container, stops it first.
fn travel(world: &mut World, sid: &str, vmid: Vmid, kind: GuestKind, running: bool, service: &Service) {
    let Some(target) = service.target.clone() else {
        change(world, sid, |service| service.state = State::Started);
        return;
    };
    let live = kind == GuestKind::Qemu && service.state == State::Migrate;
    if running && !live {
        stop(world, sid, vmid, kind, service);
        return;
    }
    let migration = Migration {
        vmid,
        kind,
        source: service.node.clone(),
        target,
        live,
        restart: false,
        timeout: 180_000,
        with_local_disks: true,
        force: true,
        map: StorageMap::default(),
        began: world.now,
        phase: Phase::Begin,
        copies: Vec::new(),
        memory_done: 0,
    };
    fork(world, sid, &service.node, request::task_type(kind), vmid, Job::Migrate(Box::new(migration)));
}

/// What a finished task means for its service.
fn collect(world: &mut World, sid: &str, vmid: Vmid, status: &str) {
    let ok = status == "OK" || status.starts_with("WARNINGS");
    let at = world.guests.get(&vmid).map(|guest| guest.node.clone());
    let wanted = world.ha.resources.get(sid).map(|resource| resource.state.clone());
    change(world, sid, |service| {
        service.task = None;
        let arrived = service.target.is_some() && service.target == at;
        match service.state {
            State::Migrate | State::Relocate if arrived => {
                service.node = service.target.take().unwrap_or_else(|| service.node.clone());
                service.state = if wanted.as_deref() == Some("started") { State::Started } else { State::Stopped };
                service.failures = 0;
            }
            // The guest was only shut down for the way: the move comes in the next round.
            State::Migrate | State::Relocate if ok => {}
            State::Migrate | State::Relocate => {
                service.target = None;
                service.failures += 1;
                service.state = State::Started;
            }
            State::RequestStop if ok => service.state = State::Stopped,
            State::Started if ok => service.failures = 0,
            _ if !ok => {
                service.failures += 1;
                if service.failures >= ATTEMPTS {
                    service.state = State::Error;
                }
            }
            _ => {}
        }
    });
}
