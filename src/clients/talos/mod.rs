//! Talos nodes by way of `talosctl`: one node a call, a deadline of our own for each, and a binary of the node's own
//! minor version where the configuration has several.
//!
//! Exit codes are not trusted alone: before 1.14 a call to several nodes ends with 0 though some have failed, which is
//! why it is always one. Nothing is repeated by itself.

pub mod backup;
mod change;
mod direct;
pub mod discreet;
pub mod drill;
mod maintenance;
mod read;
pub mod snapshot;
mod stream;
mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use backup::Said;
pub use change::{Applied, Configs, DryRun, Mode, Recovered, Upgraded, config_file, config_names, keep_config};
pub use direct::{SharedStandIn, StandIn};
pub use read::{Alarm, Clock, Extension, Member, MemberStatus, Mount, NodeVersion, Service, Stage};

use crate::model::talos::Minor;
use crate::sys::process::{self, Ended, ProcessError, Spec};

/// Why a call gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum TalosError {
    #[error(transparent)]
    Program(#[from] ProcessError),
    /// In talosctl's own words.
    #[error("{node}: {said}")]
    Said { node: String, said: String },
    #[error("{node}: `talosctl {what}` had not ended after {} s", after.as_secs())]
    Deadline { node: String, what: String, after: Duration },
    #[error("{node}: `talosctl {what}` said what is not understood: {why}")]
    Strange { node: String, what: String, why: String },
}

impl TalosError {
    /// Whether nobody answered at that address.
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Said { said, .. } => ["code = Unavailable", "i/o timeout", "connection refused", "no route to host"]
                .iter()
                .any(|w| said.contains(w)),
            Self::Deadline { .. } => true,
            Self::Program(_) | Self::Strange { .. } => false,
        }
    }

    /// Whether the role of our talosconfig is too low.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Said { said, .. } if said.contains("code = PermissionDenied"))
    }
}

/// By which way calls go.
#[derive(Debug, Clone)]
pub enum Via {
    /// Programs by minor version (`1.13`); `*` serves all others.
    System(BTreeMap<String, PathBuf>),
    /// The lab in this process.
    Direct(SharedStandIn),
}

/// The nodes of one cluster. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Talos {
    via: Arc<Via>,
    /// The file with our credentials; without one, talosctl looks for its own.
    talosconfig: Option<Arc<PathBuf>>,
}

/// What a call left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Talos {
    pub fn new(via: Via, talosconfig: Option<PathBuf>) -> Self {
        Self { via: Arc::new(via), talosconfig: talosconfig.map(Arc::new) }
    }

    /// The same with the credentials of another cluster.
    pub fn with_config(&self, talosconfig: Option<PathBuf>) -> Self {
        Self { via: self.via.clone(), talosconfig: talosconfig.map(Arc::new) }
    }

    /// The words of a call, the program's name left out. The node is asked at its own address, never by a shared one.
    pub fn words(&self, node: &str, args: &[&str]) -> Vec<String> {
        let mut words = Vec::new();
        if let Some(path) = &self.talosconfig {
            words.extend(["--talosconfig".to_owned(), path.display().to_string()]);
        }
        words.extend(["--endpoints", node, "--nodes", node].map(str::to_owned));
        words.extend(args.iter().map(|word| (*word).to_owned()));
        words
    }

    /// Calls a node and waits for the end, at most `deadline`. An exit code other than 0 is no error here. `minor`: the
    /// node's own version, where it is known.
    ///
    /// # Errors
    /// There is no such program, or its time was up.
    pub async fn call(
        &self,
        minor: Option<Minor>,
        node: &str,
        args: &[&str],
        deadline: Duration,
    ) -> Result<Output, TalosError> {
        let words = self.words(node, args);
        let late = || TalosError::Deadline { node: node.to_owned(), what: args.join(" "), after: deadline };
        tracing::debug!(node, ?args, "talosctl");
        match &*self.via {
            Via::System(programs) => {
                let own = minor.and_then(|minor| programs.get(&minor.to_string()));
                let program = own.or_else(|| programs.get("*")).or_else(|| programs.values().next_back());
                let program = program.cloned().unwrap_or_else(|| PathBuf::from("talosctl"));
                let ended = process::run(Spec::new(program).args(words).deadline(deadline)).await?;
                match ended.ended {
                    Ended::Exit(exit) => Ok(Output {
                        exit,
                        stdout: ended.stdout_text(),
                        stderr: String::from_utf8_lossy(&ended.stderr).into_owned(),
                    }),
                    Ended::Deadline => Err(late()),
                    Ended::Signal(signal) => Ok(Output {
                        exit: 128 + signal,
                        stdout: ended.stdout_text(),
                        stderr: String::from_utf8_lossy(&ended.stderr).into_owned(),
                    }),
                    Ended::Cancelled => Err(late()),
                }
            }
            Via::Direct(lab) => match tokio::time::timeout(deadline, lab.0.talosctl(minor, &words)).await {
                Ok(output) => Ok(output),
                Err(_) => Err(late()),
            },
        }
    }

    /// As [`Talos::call`], where only exit code 0 will do.
    ///
    /// # Errors
    /// As that, and what talosctl said.
    pub async fn ask(
        &self,
        minor: Option<Minor>,
        node: &str,
        args: &[&str],
        deadline: Duration,
    ) -> Result<String, TalosError> {
        let output = self.call(minor, node, args, deadline).await?;
        if output.exit == 0 {
            return Ok(output.stdout);
        }
        Err(TalosError::Said { node: node.to_owned(), said: said(&output.stderr) })
    }
}

/// What counts of what was written on stderr: no usage, no warnings about versions.
fn said(stderr: &str) -> String {
    let before_usage = stderr.lines().take_while(|line| !line.starts_with("Usage:"));
    let lines: Vec<&str> = before_usage
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("WARNING:") && !line.starts_with("Flag --"))
        .collect();
    if lines.is_empty() { "it failed and did not say why".to_owned() } else { lines.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_names_one_node_and_asks_it_itself() {
        let talos = Talos::new(Via::System(BTreeMap::new()), Some("/c/talosconfig".into()));
        let words = talos.words("10.0.0.2", &["version", "--short"]).join(" ");
        assert_eq!(words, "--talosconfig /c/talosconfig --endpoints 10.0.0.2 --nodes 10.0.0.2 version --short");
    }

    #[test]
    fn what_was_said_is_told_without_the_rest() {
        let stderr = "WARNING: 10.0.0.2: server version 1.7.1 is older than client version 1.7.2\nerror getting version: \
                      rpc error: code = Unavailable desc = x\n\nUsage:\n  talosctl version\n";
        assert_eq!(said(stderr), "error getting version: rpc error: code = Unavailable desc = x");
        let error = TalosError::Said { node: "n".into(), said: said(stderr) };
        assert!(error.is_unreachable() && !error.is_denied());
    }
}
