//! The steps of a container's migration: there is no live one, so a running container stops, moves and starts.

use super::{Migration, Phase, TICK_MS, copy, fail, scan};
use crate::lab::world::World;
use crate::lab::world::fault::FaultKind;
use crate::lab::world::jobs::Next;
use crate::lab::world::lifecycle;
use crate::lab::world::task::TaskKey;

pub(super) fn step(world: &mut World, key: TaskKey, m: &mut Migration) -> Next {
    match m.phase {
        Phase::Begin => begin(world, key, m),
        Phase::Shutdown => shut_down(world, key, m),
        Phase::Scan => look(world, key, m),
        Phase::RemoteStart | Phase::Disks | Phase::Memory => disks(world, key, m),
        Phase::Switch => switch(world, key, m),
        Phase::Cleanup => cleanup(world, key, m),
    }
}

fn begin(world: &mut World, key: TaskKey, m: &mut Migration) -> Next {
    let running = world.guests.get(&m.vmid).is_some_and(|guest| guest.running());
    m.restart = m.restart && running;
    if m.live && running {
        return fail(world, key, m, "lxc live migration is currently not implemented");
    }
    if m.restart {
        // It is checked first, so that nothing is stopped that cannot move.
        let guest = world.guests.get(&m.vmid);
        let local = guest.map(|guest| scan::local_disks(world, guest)).unwrap_or_default();
        let checked = guest.map(|guest| {
            guest.check_lock().map_err(|error| error.message).and_then(|()| scan::container(world, guest, m, &local))
        });
        if let Some(Err(cause)) = checked {
            return fail(world, key, m, &cause);
        }
        world.say_at(key, &format!("shutdown CT {}", m.vmid));
        m.phase = Phase::Shutdown;
        let needed = guest_shutdown(world, m);
        return Next::In(needed.min(m.timeout));
    }
    move_begins(world, key, m)
}

fn guest_shutdown(world: &World, m: &Migration) -> u64 {
    world.guests.get(&m.vmid).map_or(0, |guest| guest.shutdown_ms)
}

fn shut_down(world: &mut World, key: TaskKey, m: &mut Migration) -> Next {
    if guest_shutdown(world, m) > m.timeout {
        m.phase = Phase::Begin;
        let seconds = m.timeout / 1000;
        let cause = format!("command 'lxc-stop -n {} --nokill --timeout {seconds}' failed: exit code 1", m.vmid);
        return fail(world, key, m, &cause);
    }
    world.power_off(m.vmid);
    move_begins(world, key, m)
}

fn move_begins(world: &mut World, key: TaskKey, m: &mut Migration) -> Next {
    m.phase = Phase::Begin;
    if let Err(cause) = super::begin(world, key, m) {
        return fail(world, key, m, &cause);
    }
    m.phase = Phase::Scan;
    Next::In(1000)
}

/// Gives up; a container that was stopped for this is started again where it was.
fn back(world: &mut World, key: TaskKey, m: &Migration, cause: &str) -> Next {
    let next = fail(world, key, m, cause);
    if m.restart {
        world.say_at(key, "start container on source node");
        world.power_on(m.vmid);
    }
    next
}

fn look(world: &mut World, key: TaskKey, m: &mut Migration) -> Next {
    let Some(guest) = world.guests.get(&m.vmid) else { return fail(world, key, m, "no such CT") };
    if !world.node_up(&m.target) {
        return back(world, key, m, "Can't connect to destination address using public key");
    }
    if guest.running() {
        return fail(world, key, m, "can't migrate running container without --online or --restart");
    }
    let local = scan::local_disks(world, guest);
    let result = scan::container(world, guest, m, &local);
    m.copies = copy::plan(world, guest, m, &local);
    if let Err(cause) = result.and_then(|()| copy::room(world, m)) {
        return back(world, key, m, &cause);
    }
    for disk in &local {
        world.say_at(key, &format!("found local volume '{}' (in current VM config)", disk.volid));
    }
    m.phase = Phase::Disks;
    Next::In(0)
}

fn disks(world: &mut World, key: TaskKey, m: &mut Migration) -> Next {
    if world.has_fault(key, &FaultKind::Abort) {
        return back(world, key, m, "interrupted by signal");
    }
    if world.has_fault(key, &FaultKind::Full)
        && let Some(cause) = copy::no_room_left(m)
    {
        return back(world, key, m, &cause);
    }
    if copy::tick(world, key, m) {
        return Next::In(TICK_MS);
    }
    m.phase = Phase::Switch;
    Next::In(1000)
}

fn switch(world: &mut World, key: TaskKey, m: &mut Migration) -> Next {
    if !world.quorate() {
        return back(world, key, m, "cluster not ready - no quorum?");
    }
    world.say_at(key, "start final cleanup");
    super::move_config(world, m);
    m.phase = Phase::Cleanup;
    Next::In(if m.restart { 3000 } else { 1000 })
}

fn cleanup(world: &mut World, key: TaskKey, m: &mut Migration) -> Next {
    if m.restart && world.node_up(&m.target) {
        world.say_at(key, "start container on target node");
        let (ip, vmid) = (world.ip_of(&m.target).to_owned(), m.vmid);
        let ssh = format!(
            "# /usr/bin/ssh -e none -o 'BatchMode=yes' -o 'HostKeyAlias={}' root@{ip} pct start {vmid}",
            m.target
        );
        world.say_at(key, &ssh);
        let trouble = world.guests.get(&vmid).and_then(|guest| lifecycle::start_trouble(world, guest, &m.target));
        if let Some((lines, _)) = trouble {
            for line in lines {
                world.say_at(key, &line);
            }
            world.unlock_after(key, vmid);
            world.say_at(
                key,
                &format!("ERROR: migration finished with problems (duration {})", super::duration(world.now - m.began)),
            );
            return Next::Done(Err("migration problems".into()));
        }
        world.power_on(vmid);
    }
    super::succeed(world, key, m)
}
