//! A child that lives beside us.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Child;

use super::group::{GroupGuard, end_group};
use super::{Ended, ProcessError, Spec, ended};

/// A child that lives beside us until it is stopped or dropped (the lab's sshd). Its output goes to files or nowhere.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    guard: GroupGuard,
    name: String,
}

impl Daemon {
    /// Starts it with an empty standard input; `log` gets its output, if given. Must be called inside a tokio runtime.
    #[allow(clippy::disallowed_methods, reason = "this module owns child processes")]
    pub fn start(spec: &Spec, log: Option<&Path>) -> Result<Self, ProcessError> {
        let sink = || match log {
            Some(path) => std::fs::OpenOptions::new().create(true).append(true).open(path).map(Stdio::from),
            None => Ok(Stdio::null()),
        };
        let mut command = spec.command();
        let start_error = |e| spec.start_error(e);
        command.stdin(Stdio::null()).stdout(sink().map_err(start_error)?).stderr(sink().map_err(start_error)?);
        let child = command.spawn().map_err(start_error)?;
        let guard = GroupGuard::of(&child);
        Ok(Self { child, guard, name: spec.name() })
    }

    /// The process id, which is its group's too; `None` once it has ended and was waited for.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<Ended>, ProcessError> {
        let status = self.child.try_wait().map_err(|source| self.wait_error(source))?;
        Ok(status.map(ended))
    }

    /// Waits until it ends by itself.
    pub async fn wait(&mut self) -> Result<Ended, ProcessError> {
        let status = self.child.wait().await.map_err(|source| self.wait_error(source))?;
        Ok(ended(status))
    }

    /// TERM to its group, KILL after `grace`.
    pub async fn stop(mut self, grace: Duration) -> Result<Ended, ProcessError> {
        let status = end_group(&mut self.child, &self.guard, grace).await;
        self.guard.disarm();
        status.map(ended).map_err(|source| self.wait_error(source))
    }

    fn wait_error(&self, source: io::Error) -> ProcessError {
        ProcessError::Wait { program: self.name.clone(), source }
    }
}
