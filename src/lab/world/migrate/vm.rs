//! The steps of a VM's migration, with the lines that the server logs.

use super::{MEMORY_RATE, Migration, Phase, TICK_MS, copy, fail, human, problems, scan};
use crate::lab::world::World;
use crate::lab::world::fault::FaultKind;
use crate::lab::world::guest::Guest;
use crate::lab::world::jobs::Next;
use crate::lab::world::lifecycle;
use crate::lab::world::task::TaskKey;

pub(super) fn step(world: &mut World, key: TaskKey, m: &mut Migration) -> Next {
    match m.phase {
        Phase::Begin => begin(world, key, m),
        Phase::Shutdown | Phase::Scan => look(world, key, m),
        Phase::RemoteStart => remote_start(world, key, m),
        Phase::Disks => disks(world, key, m),
        Phase::Memory => memory(world, key, m),
        Phase::Switch => switch(world, key, m),
        Phase::Cleanup => super::succeed(world, key, m),
    }
}

fn begin(world: &mut World, key: TaskKey, m: &mut Migration) -> Next {
    if let Err(cause) = super::begin(world, key, m) {
        return fail(world, key, m, &cause);
    }
    m.phase = Phase::Scan;
    Next::In(1000)
}

fn look(world: &mut World, key: TaskKey, m: &mut Migration) -> Next {
    let Some(guest) = world.guests.get(&m.vmid) else { return fail(world, key, m, "no such VM") };
    if !world.node_up(&m.target) {
        return fail(world, key, m, "Can't connect to destination address using public key");
    }
    if guest.running() && !m.live {
        return fail(world, key, m, "can't migrate running VM without --online");
    }
    m.live = m.live && guest.running();
    if let Err(cause) = scan::devices(world, guest, m) {
        return fail(world, key, m, &cause);
    }
    let local = scan::local_disks(world, guest);
    let (lines, result) = scan::volumes(world, guest, m, &local);
    m.copies = copy::plan(world, guest, m, &local);
    for line in lines {
        world.say_at(key, &line);
    }
    if let Err(cause) = result.and_then(|()| copy::room(world, m)) {
        return fail(world, key, m, &cause);
    }
    if m.live {
        world.say_at(key, &format!("starting VM {} on remote node '{}'", m.vmid, m.target));
        m.phase = Phase::RemoteStart;
        return Next::In(2000);
    }
    if !m.copies.is_empty() {
        world.say_at(key, "copying local disk images");
    }
    m.phase = Phase::Disks;
    Next::In(0)
}

/// QEMU starts on the other node, waiting: bridges and memory are found missing here and no sooner.
fn remote_start(world: &mut World, key: TaskKey, m: &mut Migration) -> Next {
    let Some(guest) = world.guests.get(&m.vmid) else { return fail(world, key, m, "no such VM") };
    let memory = guest.memory();
    let trouble = unknown_machine(world, guest, m).or_else(|| lifecycle::start_trouble(world, guest, &m.target));
    if let Some((lines, cause)) = trouble {
        for line in lines.iter().chain([&format!("start failed: {cause}")]) {
            world.say_at(key, &format!("[{}] {line}", m.target));
        }
        return problems(world, key, m, "online migrate failure - remote command failed with exit code 255");
    }
    world.promise(key, memory);
    world.say_at(key, "start remote tunnel");
    world.say_at(key, "ssh tunnel ver 1");
    if m.copies.is_empty() {
        return transfer_begins(world, key, m);
    }
    world.say_at(key, "starting storage migration");
    m.phase = Phase::Disks;
    Next::In(TICK_MS)
}

/// A guest that runs on a newer machine version than the target's QEMU knows.
fn unknown_machine(world: &World, guest: &Guest, m: &Migration) -> Option<(Vec<String>, String)> {
    let running = &guest.run.as_ref()?.machine;
    let (newest, _) = world.qemu_of(&m.target);
    let line = format!("kvm: unsupported machine type '{running}'");
    (machine_version(running) > machine_version(newest)).then(|| (vec![line], "QEMU exited with code 1".into()))
}

/// `(10, 1)` of `pc-q35-10.1+pve0`.
fn machine_version(machine: &str) -> (u32, u32) {
    let version = machine.rsplit('-').next().and_then(|tail| tail.split('+').next()).unwrap_or_default();
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    (major.parse().unwrap_or(0), minor.parse().unwrap_or(0))
}

fn disks(world: &mut World, key: TaskKey, m: &mut Migration) -> Next {
    if world.has_fault(key, &FaultKind::Abort) {
        let text = match m.copies.first() {
            Some(copy) => format!(
                "storage migration for '{}' to storage '{}' failed - aborting",
                copy.volid,
                to_storage(&copy.new_volid)
            ),
            None => "interrupted by signal".into(),
        };
        return fail(world, key, m, &text);
    }
    if world.has_fault(key, &FaultKind::Full)
        && let Some(cause) = copy::no_room_left(m)
    {
        return fail(world, key, m, &cause);
    }
    if copy::tick(world, key, m) {
        return Next::In(TICK_MS);
    }
    if m.live {
        world.say_at(key, "all 'mirror' jobs are ready");
        return transfer_begins(world, key, m);
    }
    m.phase = Phase::Switch;
    Next::In(1000)
}

fn to_storage(volid: &str) -> &str {
    volid.split_once(':').map_or(volid, |(storage, _)| storage)
}

fn transfer_begins(world: &mut World, key: TaskKey, m: &mut Migration) -> Next {
    let socket = format!("unix:/run/qemu-server/{}.migrate", m.vmid);
    world.say_at(key, &format!("starting online/live migration on {socket}"));
    world.say_at(key, "set migration capabilities");
    world.say_at(key, "migration downtime limit: 100 ms");
    let memory = world.guests.get(&m.vmid).map_or(0, |guest| guest.memory());
    world.say_at(key, &format!("migration cachesize: {}", human((memory / 8).next_power_of_two())));
    world.say_at(key, "set migration parameters");
    world.say_at(key, &format!("start migrate command to {socket}"));
    m.phase = Phase::Memory;
    Next::In(TICK_MS)
}

/// One second of memory going over.
fn memory(world: &mut World, key: TaskKey, m: &mut Migration) -> Next {
    let Some(guest) = world.guests.get(&m.vmid) else { return fail(world, key, m, "no such VM") };
    let total = guest.memory();
    let rate = world.share(m, MEMORY_RATE);
    m.memory_done = (m.memory_done + rate * TICK_MS / 1000).min(total);
    if m.memory_done < total {
        let (done, all, speed) = (human(m.memory_done), human(total), human(rate));
        world.say_at(key, &format!("migration active, transferred {done} of {all} VM-state, {speed}/s"));
        if m.memory_done * 2 >= total && world.has_fault(key, &FaultKind::Abort) {
            return fail(world, key, m, "online migrate failure - interrupted by signal");
        }
        return Next::In(TICK_MS);
    }
    if world.has_fault(key, &FaultKind::Abort) {
        return fail(world, key, m, "online migrate failure - interrupted by signal");
    }
    let downtime = 30 + world.rng.next() % 60;
    world.say_at(key, &format!("average migration speed: {}/s - downtime {downtime} ms", human(rate)));
    world.say_at(key, "migration completed, transferred all VM-state");
    world.say_at(key, "migration status: completed");
    m.phase = Phase::Switch;
    Next::In(500)
}

/// The configuration goes over: from here on the guest is the target's.
fn switch(world: &mut World, key: TaskKey, m: &mut Migration) -> Next {
    if world.has_fault(key, &FaultKind::Abort) {
        return fail(world, key, m, "interrupted by signal");
    }
    if !world.quorate() {
        return fail(world, key, m, "cluster not ready - no quorum?");
    }
    super::move_config(world, m);
    world.promise(key, 0);
    m.phase = Phase::Cleanup;
    Next::In(1500)
}
