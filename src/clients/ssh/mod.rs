//! Commands on nodes over SSH: the system's own `ssh` with the user's configuration, agent and known hosts.
//!
//! A command is a list of words, each quoted for the remote shell; never a script. Nothing is repeated by itself.
//! When the time is up the remote command goes on: its outcome is unknown.

mod direct;
mod error;
mod mux;
mod socket;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use direct::{Commands, SharedCommands};
pub use error::SshError;

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

/// Runs commands on hosts. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Ssh {
    transport: Transport,
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
        Self { transport }
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
