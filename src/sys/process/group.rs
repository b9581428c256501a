//! A child's process group: whatever the child started goes with it.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;

/// Kills the group when dropped, unless disarmed: an aborted caller leaves no child behind.
#[derive(Debug)]
pub(super) struct GroupGuard(Option<Pid>);

impl GroupGuard {
    pub fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    pub fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // The only likely error is that nobody is left in the group.
            let _ = kill_process_group(group, signal);
        }
    }

    pub fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for GroupGuard {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// TERM to the group, a grace for the leader, then KILL to whoever is left.
pub(super) async fn end_group(child: &mut Child, guard: &GroupGuard, grace: Duration) -> io::Result<ExitStatus> {
    guard.signal(Signal::TERM);
    match tokio::time::timeout(grace, child.wait()).await {
        Ok(status) => {
            guard.signal(Signal::KILL);
            status
        }
        Err(_) => {
            guard.signal(Signal::KILL);
            child.wait().await
        }
    }
}
