//! What tasks do, step by step. A step either says when it goes on or how it ended.

use super::clock::Event;
use super::config_api::{self, Change};
use super::fault::FaultKind;
use super::task::TaskKey;
use super::{World, acme, backup, ha, life, lifecycle, migrate, resize, suspend};
use crate::model::ids::Vmid;

/// The work of one task, with how far it is.
#[derive(Debug, Clone)]
pub(super) enum Job {
    Start {
        vmid: Vmid,
    },
    Stop {
        vmid: Vmid,
    },
    Shutdown(lifecycle::Shutdown),
    Reboot {
        vmid: Vmid,
        /// Milliseconds that its shutdown may take.
        timeout: u64,
        step: u8,
    },
    Reset {
        vmid: Vmid,
    },
    Suspend {
        vmid: Vmid,
        to_disk: bool,
    },
    Resume {
        vmid: Vmid,
    },
    Resize(resize::Resize),
    Config {
        vmid: Vmid,
        change: Change,
    },
    Migrate(Box<migrate::Migration>),
    /// Backups are made, restored or pruned.
    Backup(Box<backup::Work>),
    /// A guest, a snapshot or an image comes or goes.
    Life(Box<life::Work>),
    /// An account or a certificate, with an authority.
    Acme(Box<acme::Work>),
    /// Queues a command for the HA manager, no more.
    HaQueue(ha::Request),
}

/// What comes after a step.
pub(super) enum Next {
    /// The next step, in so many milliseconds.
    In(u64),
    Done(Result<(), String>),
}

/// From the fork to the first visible act of a worker that is to fail.
const FAULT_MS: u64 = 1000;

/// Takes a task one step further.
pub(super) fn step(world: &mut World, key: TaskKey) {
    let Some(task) = world.tasks.all.get_mut(&key) else { return };
    let first = !std::mem::replace(&mut task.begun, true);
    let failure = task.faults.iter().find_map(|fault| match fault {
        FaultKind::Fail(text) => Some(text.clone()),
        _ => None,
    });
    if failure.is_some() && first {
        world.after(FAULT_MS, Event::Task(key));
        return;
    }
    let Some(mut job) = task.job.take() else { return };
    let migrating = matches!(job, Job::Migrate(_));
    let next = match failure {
        Some(text) => Next::Done(Err(text)),
        None if !first && !migrating && world.has_fault(key, &FaultKind::Abort) => {
            Next::Done(Err("interrupted by signal".into()))
        }
        None => work(world, key, &mut job, first),
    };
    match next {
        Next::In(ms) => {
            if let Some(task) = world.tasks.all.get_mut(&key) {
                task.job = Some(job);
            }
            if !world.has_fault(key, &FaultKind::Hang) {
                world.after(ms, Event::Task(key));
            }
        }
        Next::Done(result) => {
            if let (Err(_), Job::Backup(work)) = (&result, &job) {
                backup::give_up(world, work);
            }
            if let (Err(_), Job::Life(work)) = (&result, &job) {
                life::give_up(world, key, work);
            }
            if result.is_ok() && world.has_fault(key, &FaultKind::Warn) {
                world.warn(key, "injected by the lab");
            }
            world.finish(key, result);
        }
    }
}

fn work(world: &mut World, key: TaskKey, job: &mut Job, first: bool) -> Next {
    match job {
        Job::Start { vmid } => lifecycle::start_step(world, key, *vmid, first),
        Job::Stop { vmid } => lifecycle::stop_step(world, key, *vmid, first),
        Job::Shutdown(shutdown) => lifecycle::shutdown_step(world, key, shutdown),
        Job::Reboot { vmid, timeout, step } => lifecycle::reboot_step(world, key, *vmid, *timeout, step),
        Job::Reset { vmid } => suspend::reset_step(world, *vmid),
        Job::Suspend { vmid, to_disk } => suspend::suspend_step(world, *vmid, *to_disk, first),
        Job::Resume { vmid } => suspend::resume_step(world, key, *vmid, first),
        Job::Resize(asked) => resize::step(world, key, asked, first),
        Job::Config { vmid, change } => Next::Done(config_api::apply(world, *vmid, change).map_err(|e| e.message)),
        Job::Migrate(migration) => migrate::step(world, key, migration),
        Job::Backup(work) => backup::step(world, key, work, first),
        Job::Life(work) => life::step(world, key, work, first),
        Job::Acme(work) => acme::step(world, key, work),
        Job::HaQueue(request) => ha::queue_step(world, key, request, first),
    }
}

/// Ends a task from outside: a migration goes back to where it came from.
pub(super) fn interrupt(world: &mut World, key: TaskKey) {
    let Some(task) = world.tasks.all.get_mut(&key).filter(|task| task.end.is_none()) else { return };
    match task.job.take() {
        Some(Job::Migrate(migration)) => {
            let result = migrate::abort(world, key, &migration, "received interrupt");
            world.finish(key, Err(result));
        }
        job => {
            match &job {
                Some(Job::Backup(work)) => backup::give_up(world, work),
                Some(Job::Life(work)) => life::give_up(world, key, work),
                _ => {}
            }
            world.finish(key, Err("received interrupt".into()));
        }
    }
}
