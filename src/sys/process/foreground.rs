//! Children that share our terminal, and children that outlive us.

use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::signal::unix::{SignalKind, signal};

use super::{Ended, ProcessError, Spec, ended};

/// Runs a child with our own standard streams and in our own group (so that the terminal's Ctrl-C is its too), and
/// waits for it. Deadlines and captures of the spec do not apply.
pub async fn run_here(spec: &Spec) -> Result<Ended, ProcessError> {
    let mut command = spec.command();
    command.process_group(rustix::process::getpgrp().as_raw_nonzero().get());
    let wait_error = |source| ProcessError::Wait { program: spec.name(), source };
    // Before the child is there: it may be the one who sends them.
    let listen = |kind| signal(kind).map_err(wait_error);
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    let mut child = command.spawn().map_err(|e| spec.start_error(e))?;
    let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    // Signals are the child's to answer; we outlive it, so that what was put up round it is taken down.
    loop {
        let told = tokio::select! {
            status = child.wait() => return status.map(ended).map_err(wait_error),
            // The terminal has told the child too.
            _ = interrupt.recv() => continue,
            _ = terminate.recv() => Signal::TERM,
            _ = hangup.recv() => Signal::HUP,
        };
        if let Some(pid) = pid {
            // It may have ended just now.
            let _ = kill_process(pid, told);
        }
    }
}

/// Starts a child that goes on after us, with its output in `log`; returns its process id.
#[allow(clippy::disallowed_methods, reason = "this module owns child processes")]
pub fn detach(spec: &Spec, log: &Path) -> Result<u32, ProcessError> {
    let start_error = |e| spec.start_error(e);
    let out = std::fs::File::create(log).map_err(start_error)?;
    let err = out.try_clone().map_err(start_error)?;
    let mut command = spec.command();
    command.stdin(Stdio::null()).stdout(out).stderr(err);
    let child = command.spawn().map_err(start_error)?;
    Ok(child.id().unwrap_or_default())
}

/// Whether a process of that id is there.
#[allow(clippy::disallowed_methods, reason = "the process table is no file of anybody's")]
pub fn is_alive(process: u32) -> bool {
    let Some(pid) = i32::try_from(process).ok().and_then(Pid::from_raw) else { return false };
    // A child of ours that has ended is a zombie until it is waited for: not alive.
    let state = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let zombie = state.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'));
    !zombie && test_kill_process(pid).is_ok()
}
