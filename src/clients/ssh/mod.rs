//! Commands on nodes over SSH: the system's own `ssh` with the user's configuration, agent and known hosts.
//!
//! A command is a list of words, each quoted for the remote shell; never a script. Nothing is repeated by itself.
//! When the time is up the remote command goes on: its outcome is unknown. A [`Job`] can be ended.

mod direct;
mod error;
mod job;
mod mux;
mod socket;
mod stream;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use direct::{Commands, SharedCommands};
pub use error::SshError;
pub use job::{Ended, Heard, Job, Redact, RemoteProcess};
use tokio::sync::mpsc::UnboundedSender;

/// How to reach hosts.
#[derive(Debug, Clone)]
pub struct SshSettings {
    /// Wins over the configuration's `User`.
    pub user: Option<String>,
    /// Instead of `~/.ssh/config`.
    pub config: Option<PathBuf>,
    /// Instead of the configuration's `UserKnownHostsFile`. A host that is not in it is refused, always.
    pub known_hosts: Option<PathBuf>,
    /// Folder for the sockets of shared connections, for the user alone; one with a short path is chosen when this
    /// is `None` or too long for a socket.
    pub control_dir: Option<PathBuf>,
    pub connect_timeout: Duration,
    /// `$PATH` to look for `ssh` on; the process's own when `None`.
    pub path: Option<std::ffi::OsString>,
}

impl Default for SshSettings {
    fn default() -> Self {
        Self {
            user: None,
            config: None,
            known_hosts: None,
            control_dir: None,
            connect_timeout: Duration::from_secs(10),
            path: None,
        }
    }
}

/// By which way commands go.
#[derive(Debug, Clone)]
pub enum SshVia {
    /// The system's `ssh`.
    System(SshSettings),
    /// The lab: one JSON line each way over a Unix socket.
    Socket(PathBuf),
    /// The lab in this process.
    Direct(SharedCommands),
}

/// What a command on a host left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    pub fn success(&self) -> bool {
        self.exit == 0
    }

    /// The last line of stderr, or of stdout, that is not blank.
    pub fn last_line(&self) -> Option<&str> {
        let lines = self.stdout.lines().chain(self.stderr.lines());
        // The last of stderr comes last of all, so one search from the end does.
        lines.map(str::trim).rfind(|line| !line.is_empty())
    }
}

/// For looking at a host's processes, connecting included.
const PATIENCE: Duration = Duration::from_secs(30);
/// For ending a process, beyond its grace: within what a step that is told to stop at its timeout is given.
const ASK: Duration = Duration::from_millis(2_500);
/// A lab's commands end at once.
const LAB_JOB: Duration = Duration::from_secs(600);

/// Runs commands on hosts. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Ssh {
    transport: Transport,
    redact: Redact,
}

#[derive(Debug, Clone)]
enum Transport {
    System(Arc<mux::Mux>),
    Socket(Arc<PathBuf>),
    Direct(SharedCommands),
}

impl Ssh {
    /// Connects to nobody yet.
    pub fn new(settings: SshSettings) -> Self {
        Self::via(SshVia::System(settings))
    }

    pub fn via(via: SshVia) -> Self {
        let transport = match via {
            SshVia::System(settings) => Transport::System(Arc::new(mux::Mux::new(settings))),
            SshVia::Socket(path) => Transport::Socket(Arc::new(path)),
            SshVia::Direct(commands) => Transport::Direct(commands),
        };
        Self { transport, redact: Redact::default() }
    }

    /// What jobs write is kept without secrets.
    pub fn redacting(mut self, redact: Redact) -> Self {
        self.redact = redact;
        self
    }

    /// Runs `argv` on `host` and waits for its end, at most `deadline`, connecting included. An exit code other than
    /// 0 is no error here.
    pub async fn run(&self, host: &str, argv: &[&str], deadline: Duration) -> Result<Output, SshError> {
        self.run_with_input(host, argv, &[], deadline).await
    }

    /// As [`Ssh::run`] with a standard input.
    pub async fn run_with_input(
        &self,
        host: &str,
        argv: &[&str],
        input: &[u8],
        deadline: Duration,
    ) -> Result<Output, SshError> {
        check(host, argv)?;
        tracing::debug!(host, ?argv, "ssh");
        match &self.transport {
            Transport::System(mux) => mux.run(host, argv, input, deadline).await,
            Transport::Socket(path) => socket::run(path, host, argv, input, deadline).await,
            Transport::Direct(commands) => direct::run(commands, host, argv, deadline).await,
        }
    }

    /// Runs a job to its end, however long that takes; dropping this leaves it running on the host. An exit code other
    /// than 0 is no error here. A lab has no processes: there a job is a command, and its variables are not known.
    pub async fn job(&self, host: &str, job: &Job, hear: UnboundedSender<Heard>) -> Result<Ended, SshError> {
        let argv: Vec<&str> = job.argv.iter().map(String::as_str).collect();
        check(host, &argv)?;
        let ended = match &self.transport {
            Transport::System(mux) => {
                let (tell, mut heard) = tokio::sync::mpsc::unbounded_channel();
                let work = mux.job(host, job, &tell);
                tokio::pin!(work);
                let ended = loop {
                    tokio::select! {
                        biased;
                        Some(news) = heard.recv() => self.pass_on(news, &hear),
                        ended = &mut work => break ended,
                    }
                };
                while let Ok(news) = heard.try_recv() {
                    self.pass_on(news, &hear);
                }
                ended?
            }
            Transport::Socket(_) | Transport::Direct(_) => {
                let _ = hear.send(Heard::Sent);
                let output = self.run_with_input(host, &argv, &job.stdin, LAB_JOB).await?;
                stream::whole(output, job.keep)
            }
        };
        let (stdout, stderr) = (self.redact.text(&ended.stdout), self.redact.text(&ended.stderr));
        Ok(Ended { stdout, stderr, ..ended })
    }

    fn pass_on(&self, news: Heard, hear: &UnboundedSender<Heard>) {
        let news = match news {
            Heard::Line(line) => Heard::Line(self.redact.text(&line)),
            other => other,
        };
        // Whoever does not listen any more does not want to know.
        let _ = hear.send(news);
    }

    /// TERM to the process and its group, KILL after `grace`. `true`: nothing is left of it.
    pub async fn end(&self, host: &str, process: &RemoteProcess, grace: Duration) -> Result<bool, SshError> {
        let tenths = u64::try_from(grace.as_millis() / 100).unwrap_or(u64::MAX);
        let said = self.ask(host, job::end(process, tenths), grace + ASK).await?;
        Ok(said == "gone")
    }

    /// Whether that process still runs.
    pub async fn runs(&self, host: &str, process: &RemoteProcess) -> Result<bool, SshError> {
        Ok(self.ask(host, job::look(process), PATIENCE).await? == "running")
    }

    /// The oldest process of ours there whose environment has both.
    pub async fn marked(&self, host: &str, marks: [(&str, &str); 2]) -> Result<Option<RemoteProcess>, SshError> {
        Ok(job::process(&self.ask(host, job::find(marks), PATIENCE).await?))
    }

    /// What a script of ours answers; nothing where the host has no such shell, as a lab's.
    async fn ask(&self, host: &str, argv: Vec<String>, deadline: Duration) -> Result<String, SshError> {
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        let output = match &self.transport {
            Transport::System(mux) => {
                check(host, &argv)?;
                mux.urgent(host, &argv, deadline).await?
            }
            Transport::Socket(_) | Transport::Direct(_) => self.run(host, &argv, deadline).await?,
        };
        Ok(output.stdout.lines().next_back().unwrap_or_default().trim().to_owned())
    }

    /// Ends the shared connections. Without it they end when the last clone is dropped.
    pub async fn close(&self) {
        if let Transport::System(mux) = &self.transport {
            mux.close().await;
        }
    }
}

/// A host that begins with `-` would be an option of ssh's.
fn check(host: &str, argv: &[&str]) -> Result<(), SshError> {
    let wrong = |message: &str| Err(SshError::Setup { host: host.to_owned(), message: message.to_owned() });
    if host.is_empty() || host.starts_with('-') || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return wrong("expected a host name or an alias of ssh_config");
    }
    if argv.is_empty() || argv.iter().any(|word| word.contains('\0')) {
        return wrong("expected a command of one word or more, without NUL bytes");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_never_an_option() {
        for host in ["", "-oProxyCommand=x", "a b", "a\n"] {
            assert!(check(host, &["true"]).is_err(), "{host:?}");
        }
        assert!(check("pve1", &[]).is_err() && check("pve1", &["true"]).is_ok());
    }

    #[test]
    fn the_last_line_is_stderr_first() {
        let output = |stdout: &str, stderr: &str| Output { exit: 1, stdout: stdout.into(), stderr: stderr.into() };
        assert_eq!(output("a\nb\n", "c\nd\n\n").last_line(), Some("d"));
        assert_eq!(output("a\n b\n", "\n").last_line(), Some("b"));
        assert_eq!(output("", "").last_line(), None);
    }
}
