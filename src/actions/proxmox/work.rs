//! Work on the site: a task that is started, made durable and followed; a command over SSH on a node.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::failures;
use crate::clients::proxmox::{Params, ProxmoxError, Site, TaskEnd, TaskProgress, Until, Upload, Verb};
use crate::clients::ssh::{Output, Ssh};
use crate::engine::ports::Mutate;
use crate::model::effect::Done;
use crate::model::failure::{Class, Failure};
use crate::model::ids::{NodeName, Upid};

/// One act on the site, with the words for what goes wrong.
pub struct Work<'a> {
    pub site: Arc<Site>,
    pub mutate: &'a Mutate,
    /// `migrate VM 104 (web) from pve2 to pve3`
    pub attempted: String,
}

impl<'a> Work<'a> {
    pub fn new(mutate: &'a Mutate, attempted: String) -> Result<Self, Failure> {
        Ok(Self { site: mutate.client::<Site>()?, mutate, attempted })
    }

    pub fn failure(&self, class: Class, cause: impl Into<String>) -> Failure {
        Failure::new(class, self.attempted.clone(), cause)
    }

    /// Sends the call once and makes the task's id durable before anybody waits for it.
    pub async fn start(
        &self,
        path: &str,
        params: &Params,
        handle: impl FnOnce(&Upid) -> Value,
    ) -> Result<Upid, Failure> {
        self.go_on()?;
        let sent = self.site.start(Verb::Post, path, params).await;
        let upid = sent.map_err(|e| self.answered(&e))?;
        self.mutate.checkpoint(handle(&upid)).await.map_err(|f| f.done(Done::Unknown))?;
        Ok(upid)
    }

    /// As [`Work::start`] for a call that answers null where it was done at once.
    pub async fn start_or_done(
        &self,
        verb: Verb,
        path: &str,
        params: &Params,
        handle: impl FnOnce(&Upid) -> Value,
    ) -> Result<Option<Upid>, Failure> {
        self.go_on()?;
        let sent = self.site.start_or_done(verb, path, params).await;
        self.started(sent, handle).await
    }

    /// Sends a file once.
    pub async fn upload(
        &self,
        path: &str,
        params: &Params,
        upload: &Upload,
        handle: impl FnOnce(&Upid) -> Value,
    ) -> Result<Option<Upid>, Failure> {
        self.go_on()?;
        let sent = self.site.upload(path, params, upload);
        let sent = tokio::select! {
            sent = sent => sent,
            () = self.mutate.stop.wait() => return Err(self.stopped()),
        };
        self.started(sent.map(Some), handle).await
    }

    async fn started(
        &self,
        sent: Result<Option<Upid>, ProxmoxError>,
        handle: impl FnOnce(&Upid) -> Value,
    ) -> Result<Option<Upid>, Failure> {
        let upid = sent.map_err(|e| self.answered(&e))?;
        if let Some(upid) = &upid {
            self.mutate.checkpoint(handle(upid)).await.map_err(|f| f.done(Done::Unknown))?;
        }
        Ok(upid)
    }

    /// Sends a call once that is done when it is answered: the answer.
    pub async fn change(&self, verb: Verb, path: &str, params: &Params) -> Result<Value, Failure> {
        self.go_on()?;
        self.site.change(verb, path, params).await.map_err(|e| self.answered(&e))
    }

    /// As [`Work::change`] for a call of which only the answer says whether it has started a task: that is made durable.
    pub async fn ask(
        &self,
        verb: Verb,
        path: &str,
        params: &Params,
        handle: impl FnOnce(&Upid) -> Value,
    ) -> Result<(Value, Option<Upid>), Failure> {
        let answer = self.change(verb, path, params).await?;
        let upid: Option<Upid> = answer.as_str().and_then(|text| text.parse().ok());
        if let Some(upid) = &upid {
            self.mutate.checkpoint(handle(upid)).await.map_err(|f| f.done(Done::Unknown))?;
        }
        Ok((answer, upid))
    }

    fn go_on(&self) -> Result<(), Failure> {
        match self.mutate.stop.is_set() {
            true => Err(self.failure(Class::Failed, "stopped before anything was sent")),
            false => Ok(()),
        }
    }

    fn answered(&self, error: &ProxmoxError) -> Failure {
        failures::proxmox(&failures::we(&self.site), self.attempted.clone(), error)
    }

    /// Waits for the task's end, well or not. Told to stop, it leaves the task alone.
    pub async fn follow(&self, upid: &Upid) -> Result<TaskEnd, Failure> {
        let mutate = self.mutate;
        let mut each = |progress: TaskProgress| {
            // A line that only says how far it is comes every second: shown, not kept.
            if let Some(percent) = progress.percent {
                mutate.progress(&amount(&progress), Some(percent / 100.0));
            } else {
                mutate.log(&progress.line);
            }
        };
        let until = Until::default();
        tokio::select! {
            end = self.site.follow(upid, &mut each, &until) => {
                end.map_err(|e| self.answered(&e))
            }
            () = mutate.stop.wait() => Err(self.stopped()),
        }
    }

    pub fn stopped(&self) -> Failure {
        let remedy = "it goes on outside: resume the run to find out what became of it";
        self.failure(Class::Failed, "stopped while under way").done(Done::Unknown).remedy(remedy)
    }

    /// What a task failed with: the cause from its log, and the log's last lines.
    pub fn failed(&self, end: &TaskEnd) -> Failure {
        let cause = end.cause().unwrap_or("the task ended well").to_owned();
        let class = if cause.contains("is locked") || cause.contains("can't lock file") {
            Class::Locked
        } else {
            Class::Failed
        };
        self.failure(class, cause).details(end.log_tail.clone())
    }

    /// Runs a command on a node. Anything but exit 0 is a failure in the command's own last words; only words that say
    /// that nothing was begun are believed to mean that.
    pub async fn command(&self, node: &NodeName, argv: &[&str], deadline: Duration) -> Result<Output, Failure> {
        let ssh = self.mutate.client::<Ssh>()?;
        let attempted = format!("{} ({} on {node})", self.attempted, argv.join(" "));
        let output = ssh.run(node.as_str(), argv, deadline).await.map_err(|e| failures::ssh(attempted.clone(), &e))?;
        if output.success() {
            return Ok(output);
        }
        let said = output.last_line().map_or_else(|| format!("exit code {}", output.exit), ToOwned::to_owned);
        let lines = output.stderr.lines().chain(output.stdout.lines()).map(ToOwned::to_owned).collect();
        let class = if said.contains("no quorum") { Class::Transient } else { Class::Failed };
        let done = if is_refusal(output.exit, &output.stderr) { Done::None } else { Done::Unknown };
        Err(Failure::new(class, attempted, said).details(lines).done(done))
    }
}

/// Whether a command that ended badly says that it has not begun: the shell has not found it, or its own words do.
fn is_refusal(exit: i32, stderr: &str) -> bool {
    const WORDS: [&str; 5] =
        ["no quorum", "no such cluster node", "does not exist", "unknown command", "parameter verification failed"];
    let text = stderr.to_lowercase();
    matches!(exit, 126 | 127) || WORDS.iter().any(|words| text.contains(words)) || text.starts_with("400 ")
}

/// `38.1 GiB of 40.0 GiB at 112.3 MiB/s`, as far as the line says; the share is told beside it.
fn amount(progress: &TaskProgress) -> String {
    let moved = progress.line.split_once("transferred ").map(|(_, rest)| rest);
    let moved = moved.and_then(|rest| rest.split([',', '(']).next()).map_or("copying", str::trim);
    match &progress.speed {
        Some(speed) => format!("{moved} at {speed}"),
        None => moved.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_commands_own_no_means_that_nothing_was_done() {
        for (exit, stderr) in [
            (255, "cluster not ready - no quorum?\n"),
            (255, "no such cluster node 'x'\n"),
            (255, "400 not enough arguments\nUSAGE: x\n"),
            (127, "bash: line 1: qm: command not found\n"),
        ] {
            assert!(is_refusal(exit, stderr), "{stderr}");
        }
        for (exit, stderr) in [(255, ""), (255, "Broken pipe\n"), (137, ""), (1, "got timeout\n")] {
            assert!(!is_refusal(exit, stderr), "{stderr}");
        }
    }

    #[test]
    fn progress_is_amount_and_speed() {
        let of = |line: &str, speed: Option<&str>| {
            amount(&TaskProgress { number: 1, line: line.into(), percent: Some(1.0), speed: speed.map(Into::into) })
        };
        let disk = "mirror-scsi0: transferred 38.1 GiB of 40.0 GiB (95.21%) in 390s";
        assert_eq!(of(disk, None), "38.1 GiB of 40.0 GiB");
        let memory = "migration active, transferred 1.0 GiB of 8.0 GiB VM-state, 400.0 MiB/s";
        assert_eq!(of(memory, Some("400.0 MiB/s")), "1.0 GiB of 8.0 GiB VM-state at 400.0 MiB/s");
        assert_eq!(of("1024K .......... 5% 12.3M 9s", None), "copying");
    }
}
