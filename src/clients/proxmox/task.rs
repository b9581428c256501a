//! Following a task to its end: status, new log lines, and what it came to.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::task_log::{Summary, percent, speed};
use super::{ProxmoxError, Site};
use crate::model::ids::Upid;

/// A new line of a task's log.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskProgress {
    /// 1-based place in the log.
    pub number: u64,
    pub line: String,
    /// 0 to 100, if the line says.
    pub percent: Option<f64>,
    /// As Proxmox writes it (`112.3 MiB/s`), if the line says.
    pub speed: Option<String>,
}

/// What a task came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskOutcome {
    Ok,
    /// Done, with this many warnings in the log.
    Warnings(u64),
    /// Proxmox's exit status: the last line of the log, for a migration only "migration aborted".
    Failed(String),
    /// The worker or its node went away before it could say: what was done is unknown.
    Unexpected(String),
}

impl TaskOutcome {
    /// From `exitstatus` of a stopped task. Source: PVE/Tools.pm `upid_read_status`, `upid_status_is_error`.
    pub fn from_exitstatus(text: &str) -> Self {
        let text = text.trim();
        match text.strip_prefix("WARNINGS: ").map(|n| n.trim().parse()) {
            _ if text == "OK" => Self::Ok,
            Some(Ok(count)) => Self::Warnings(count),
            _ if text.is_empty() || text == "unexpected status" || text.starts_with("unable to get last line") => {
                Self::Unexpected(text.to_owned())
            }
            _ => Self::Failed(text.to_owned()),
        }
    }

    pub fn is_success(&self) -> bool {
        matches!(self, Self::Ok | Self::Warnings(_))
    }
}

/// A task that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskEnd {
    pub upid: Upid,
    pub outcome: TaskOutcome,
    /// The last lines of the log, at most 20.
    pub log_tail: Vec<String>,
    /// Texts of the log's `ERROR:` lines.
    pub errors: Vec<String>,
    cause: Option<String>,
}

impl TaskEnd {
    pub fn is_success(&self) -> bool {
        self.outcome.is_success()
    }

    /// Why it failed, from the log where the exit status does not say. `None` after a success.
    pub fn cause(&self) -> Option<&str> {
        match &self.outcome {
            TaskOutcome::Ok | TaskOutcome::Warnings(_) => None,
            TaskOutcome::Failed(text) => Some(self.cause.as_deref().unwrap_or(text)),
            TaskOutcome::Unexpected(_) => Some("its worker ended without saying how; what it did is unknown"),
        }
    }
}

/// How long to watch. Neither end stops the task itself.
#[derive(Debug, Clone, Default)]
pub struct Until {
    pub deadline: Option<Instant>,
    pub cancel: Option<CancellationToken>,
}

impl Until {
    pub fn after(time: Duration) -> Self {
        Self { deadline: Some(Instant::now() + time), cancel: None }
    }

    /// Waits for either; true if cancelled.
    async fn over(&self) -> bool {
        let deadline = async {
            match self.deadline {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let cancelled = async {
            match &self.cancel {
                Some(token) => token.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! { () = cancelled => true, () = deadline => false }
    }
}

impl Site {
    /// Watches a task to its end, showing `each` new log line. Errors: `TaskRunning` when `until` is over,
    /// `TaskLost` when its node does not answer for longer than [`super::Poll::patience`].
    pub async fn follow(
        &self,
        upid: &Upid,
        each: &mut (dyn FnMut(TaskProgress) + Send),
        until: &Until,
    ) -> Result<TaskEnd, ProxmoxError> {
        let mut watch = Watch { site: self, upid, next: 0, summary: Summary::default(), each };
        tokio::select! {
            end = watch.watch() => end,
            cancelled = until.over() => {
                Err(ProxmoxError::TaskRunning { upid: Box::new(upid.clone()), cancelled })
            }
        }
    }
}

struct Watch<'a> {
    site: &'a Site,
    upid: &'a Upid,
    /// Log lines read so far, which is where the next reading starts.
    next: u64,
    summary: Summary,
    each: &'a mut (dyn FnMut(TaskProgress) + Send),
}

impl Watch<'_> {
    async fn watch(&mut self) -> Result<TaskEnd, ProxmoxError> {
        let poll = self.site.poll();
        let mut interval = poll.first;
        let mut silent_since: Option<Instant> = None;
        loop {
            match self.look().await {
                Ok(Some(end)) => return Ok(end),
                Ok(None) => silent_since = None,
                Err(error) => {
                    let since = *silent_since.get_or_insert_with(Instant::now);
                    if !error.may_pass() || since.elapsed() >= poll.patience {
                        let upid = Box::new(self.upid.clone());
                        return Err(ProxmoxError::TaskLost { upid, cause: Box::new(error) });
                    }
                    tracing::debug!(upid = %self.upid, %error, "task not seen; asking again");
                }
            }
            tokio::time::sleep(interval).await;
            interval = (interval * 3 / 2).min(poll.most.max(poll.first));
        }
    }

    /// The status is asked before the log: once it says stopped, the log is complete.
    async fn look(&mut self) -> Result<Option<TaskEnd>, ProxmoxError> {
        let status = self.site.task_status(self.upid).await?;
        self.read_log().await?;
        let Some(exit) = status.exit else { return Ok(None) };
        Ok(Some(TaskEnd {
            upid: self.upid.clone(),
            outcome: TaskOutcome::from_exitstatus(&exit),
            log_tail: self.summary.tail.iter().cloned().collect(),
            errors: self.summary.errors.clone(),
            cause: self.summary.cause(),
        }))
    }

    async fn read_log(&mut self) -> Result<(), ProxmoxError> {
        const PAGE: u64 = 500;
        loop {
            let lines = self.site.task_log(self.upid, self.next, PAGE).await?;
            let (count, before) = (lines.len() as u64, self.next);
            for line in lines {
                self.next = self.next.max(line.number);
                self.summary.push(&line.text);
                let (percent, speed) = (percent(&line.text), speed(&line.text));
                (self.each)(TaskProgress { number: line.number, line: line.text, percent, speed });
            }
            if count < PAGE || self.next == before {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TaskOutcome::{self, *};

    #[test]
    fn exit_statuses_are_told_apart() {
        for (text, outcome) in [
            ("OK", Ok),
            ("WARNINGS: 3", Warnings(3)),
            ("migration aborted", Failed("migration aborted".into())),
            ("unexpected status", Unexpected("unexpected status".into())),
            (
                "unable to get last line from task log - x",
                Unexpected("unable to get last line from task log - x".into()),
            ),
        ] {
            assert_eq!(TaskOutcome::from_exitstatus(text), outcome);
        }
    }
}
