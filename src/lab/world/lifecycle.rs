//! Starting and stopping guests: what is checked before the fork, what the task does.

use super::fault::FaultKind;
use super::guest::Guest;
use super::jobs::{Job, Next};
use super::task::{Start, TaskKey};
use super::{World, ha};
use crate::lab::call::{Call, PveError, Reply};
use crate::model::ids::{GuestKind, NodeName, Vmid};

/// How long a worker waits for a configuration's lock file.
const LOCK_WAIT_MS: u64 = 10_000;

/// A clean shutdown and when it gives up.
#[derive(Debug, Clone)]
pub(super) struct Shutdown {
    pub vmid: Vmid,
    /// Milliseconds that the caller wants to wait.
    pub timeout: u64,
    /// Whether the guest is switched off when it does not go by itself.
    pub force: bool,
    pub waiting: bool,
}

/// `qmstart`, `vzstop`…
pub(super) fn task_type(kind: GuestKind, verb: &str) -> &'static str {
    match (kind, verb) {
        (GuestKind::Qemu, "start") => "qmstart",
        (GuestKind::Qemu, "stop") => "qmstop",
        (GuestKind::Qemu, "shutdown") => "qmshutdown",
        (GuestKind::Qemu, _) => "qmreboot",
        (GuestKind::Lxc, "start") => "vzstart",
        (GuestKind::Lxc, "stop") => "vzstop",
        (GuestKind::Lxc, "shutdown") => "vzshutdown",
        (GuestKind::Lxc, _) => "vzreboot",
    }
}

pub(super) fn forked(world: &mut World, call: &Call, node: &NodeName, kind: &str, vmid: Vmid, job: Job) -> Reply {
    let key = world.fork(Start { node, kind, id: vmid.to_string(), user: &call.user }, job);
    Reply::changed(world.upid(key))
}

fn root_only(call: &Call, name: &str) -> Result<(), PveError> {
    if call.params.contains_key(name) && !call.root_ticket {
        return Err(PveError::parameter(name, "Only root may use this option."));
    }
    Ok(())
}

fn needs_running_container(guest: &Guest) -> Result<(), PveError> {
    if guest.kind == GuestKind::Lxc && !guest.running() {
        return Err(PveError::die(format!("CT {} not running", guest.vmid)));
    }
    Ok(())
}

pub(super) fn start(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    root_only(call, "skiplock")?;
    let guest = world.guest_of(call)?;
    if guest.kind == GuestKind::Lxc && guest.running() {
        return Err(PveError::die(format!("CT {} already running", guest.vmid)));
    }
    let (vmid, node, kind, sid) = (guest.vmid, guest.node.clone(), guest.kind, guest.sid());
    if world.ha.manages(&sid) {
        return Ok(forked(world, call, &node, "hastart", vmid, Job::HaQueue(ha::Request::Start { sid })));
    }
    Ok(forked(world, call, &node, task_type(kind, "start"), vmid, Job::Start { vmid }))
}

pub(super) fn stop(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    root_only(call, "skiplock")?;
    let guest = world.guest_of(call)?;
    needs_running_container(guest)?;
    let (vmid, node, kind, sid) = (guest.vmid, guest.node.clone(), guest.kind, guest.sid());
    if world.ha.manages(&sid) {
        return Ok(forked(world, call, &node, "hastop", vmid, Job::HaQueue(ha::Request::Stop { sid, now: true })));
    }
    Ok(forked(world, call, &node, task_type(kind, "stop"), vmid, Job::Stop { vmid }))
}

pub(super) fn shutdown(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    root_only(call, "skiplock")?;
    let guest = world.guest_of(call)?;
    needs_running_container(guest)?;
    let (vmid, node, kind, sid) = (guest.vmid, guest.node.clone(), guest.kind, guest.sid());
    let seconds =
        call.params.get("timeout").and_then(|n| n.parse().ok()).or_else(|| startup_down(guest)).unwrap_or(60_u64);
    let force = call.params.get("forceStop").is_some_and(|flag| flag == "1");
    if world.ha.manages(&sid) {
        return Ok(forked(world, call, &node, "hastop", vmid, Job::HaQueue(ha::Request::Stop { sid, now: false })));
    }
    if guest.paused() && !force {
        return Err(PveError::die("VM is paused - cannot shutdown"));
    }
    let job = Job::Shutdown(Shutdown { vmid, timeout: seconds.saturating_mul(1000), force, waiting: false });
    Ok(forked(world, call, &node, task_type(kind, "shutdown"), vmid, job))
}

fn startup_down(guest: &Guest) -> Option<u64> {
    super::config::option(guest.config.get("startup")?, "down")?.parse().ok()
}

pub(super) fn reboot(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let guest = world.guest_of(call)?;
    if !guest.running() {
        let what = if guest.kind == GuestKind::Qemu { "VM" } else { "CT" };
        return Err(PveError::die(format!("{what} {} not running", guest.vmid)));
    }
    let (vmid, node, kind) = (guest.vmid, guest.node.clone(), guest.kind);
    let seconds = call.params.get("timeout").and_then(|n| n.parse().ok()).or_else(|| startup_down(guest));
    let timeout = seconds.unwrap_or(60_u64).saturating_mul(1000);
    Ok(forked(world, call, &node, task_type(kind, "reboot"), vmid, Job::Reboot { vmid, timeout, step: 0 }))
}

/// Why a guest cannot start on a node: log lines, then the cause. Bridges and memory, as the real start finds out.
pub(super) fn start_trouble(world: &World, guest: &Guest, node: &NodeName) -> Option<(Vec<String>, String)> {
    let there = world.nodes.get(node)?;
    if let Some(bridge) = guest.config.bridges().into_iter().find(|bridge| !there.bridges.iter().any(|b| b == bridge)) {
        let lines = match guest.kind {
            GuestKind::Qemu => vec![
                format!("bridge '{bridge}' does not exist"),
                format!(
                    "kvm: -netdev type=tap,id=net0,ifname=tap{}i0: network script /usr/libexec/qemu-server/pve-bridge \
                     failed with status 512",
                    guest.vmid
                ),
            ],
            GuestKind::Lxc => vec![format!("bridge '{bridge}' does not exist")],
        };
        return Some((lines, "QEMU exited with code 1".into()));
    }
    if u64::from(there.threads) < guest.cpus() && guest.kind == GuestKind::Qemu {
        return Some((Vec::new(), format!("MAX {} vcpus allowed per VM on this node", there.threads)));
    }
    if guest.kind == GuestKind::Qemu && world.unpromised_memory(node) < guest.memory() as i64 {
        let line = "kvm: cannot set up guest memory 'pc.ram': Cannot allocate memory";
        return Some((vec![line.into()], "QEMU exited with code 1".into()));
    }
    None
}

pub(super) fn start_step(world: &mut World, key: TaskKey, vmid: Vmid, first: bool) -> Next {
    if first {
        return Next::In(2000);
    }
    let Some(guest) = world.guests.get(&vmid) else { return Next::Done(Err(no_guest(vmid))) };
    if guest.config.get("lock").is_some_and(|lock| lock != "suspended")
        && let Err(error) = guest.check_lock()
    {
        return Next::Done(Err(error.message));
    }
    if guest.is_template() {
        return Next::Done(Err("you can't start a vm if it's a template".into()));
    }
    if guest.running() {
        let what = if guest.kind == GuestKind::Qemu { "VM" } else { "CT" };
        return Next::Done(Err(format!("{what} {vmid} already running")));
    }
    if let Some((lines, cause)) = start_trouble(world, guest, &guest.node) {
        let kind = guest.kind;
        for line in lines {
            world.say(key, line);
        }
        let text = if kind == GuestKind::Qemu {
            format!("start failed: {cause}")
        } else {
            format!("startup for container '{vmid}' failed")
        };
        return Next::Done(Err(text));
    }
    world.power_on(vmid);
    Next::Done(Ok(()))
}

pub(super) fn stop_step(world: &mut World, key: TaskKey, vmid: Vmid, first: bool) -> Next {
    if first {
        return Next::In(1000);
    }
    let Some(guest) = world.guests.get(&vmid) else { return Next::Done(Err(no_guest(vmid))) };
    if let Err(error) = guest.check_lock() {
        return Next::Done(Err(error.message));
    }
    if guest.held_by.is_some() {
        let waited = world.tasks.all.get(&key).map_or(LOCK_WAIT_MS, |task| world.now - task.started);
        if waited < LOCK_WAIT_MS {
            return Next::In(LOCK_WAIT_MS - waited);
        }
        let text = format!("can't lock file '/var/lock/qemu-server/lock-{vmid}.conf' - got timeout");
        return Next::Done(Err(text));
    }
    world.power_off(vmid);
    Next::Done(Ok(()))
}

pub(super) fn shutdown_step(world: &mut World, key: TaskKey, job: &mut Shutdown) -> Next {
    let vmid = job.vmid;
    let Some(guest) = world.guests.get_mut(&vmid) else { return Next::Done(Err(no_guest(vmid))) };
    if !job.waiting {
        if let Err(error) = guest.check_lock() {
            return Next::Done(Err(error.message));
        }
        if !guest.running() {
            return Next::Done(Ok(()));
        }
        job.waiting = true;
        guest.held_by = Some(key);
        // What stands still is only ever switched off.
        return Next::In(if guest.paused() { 0 } else { guest.shutdown_ms.min(job.timeout) });
    }
    if guest.shutdown_ms <= job.timeout && !guest.paused() {
        world.power_off(vmid);
        return Next::Done(Ok(()));
    }
    if job.force {
        world.say(key, "VM still running - terminating now with SIGTERM");
        world.power_off(vmid);
        return Next::Done(Ok(()));
    }
    Next::Done(Err(match guest.kind {
        GuestKind::Qemu => "VM quit/powerdown failed - got timeout".into(),
        GuestKind::Lxc => {
            format!("command 'lxc-stop -n {vmid} --nokill --timeout {}' failed: exit code 1", job.timeout / 1000)
        }
    }))
}

pub(super) fn reboot_step(world: &mut World, key: TaskKey, vmid: Vmid, timeout: u64, step: &mut u8) -> Next {
    *step += 1;
    let Some(guest) = world.guests.get_mut(&vmid) else { return Next::Done(Err(no_guest(vmid))) };
    match *step {
        1 => {
            if let Err(error) = guest.check_lock() {
                return Next::Done(Err(error.message));
            }
            guest.held_by = Some(key);
            Next::In(guest.shutdown_ms.min(timeout))
        }
        2 if guest.shutdown_ms > timeout => Next::Done(Err("VM quit/powerdown failed".into())),
        2 => {
            world.power_off(vmid);
            Next::In(2000)
        }
        _ => {
            world.power_on(vmid);
            Next::Done(Ok(()))
        }
    }
}

pub(super) fn no_guest(vmid: Vmid) -> String {
    format!("unable to find configuration file for VM {vmid} - no such machine")
}

impl World {
    /// Clears the lock that a task set, unless a fault says that it stays.
    pub(super) fn unlock_after(&mut self, key: TaskKey, vmid: Vmid) {
        if self.has_fault(key, &FaultKind::KeepLock) {
            return;
        }
        if let Some(guest) = self.guests.get_mut(&vmid) {
            guest.config.remove("lock");
        }
    }
}
