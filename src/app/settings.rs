//! What a use case is told of its surroundings; the faces make it, so that nothing below them reads the environment.

use std::path::PathBuf;
use std::time::Duration;

/// Where things are and who asks.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `--config` or `RUNBOOK_CONFIG`.
    pub config: Option<PathBuf>,
    pub cwd: PathBuf,
    pub home: Option<PathBuf>,
    /// `$XDG_CONFIG_HOME`, or its default.
    pub config_home: Option<PathBuf>,
    /// The journal's folder: `$XDG_STATE_HOME/runbook`.
    pub state: PathBuf,
    /// `ops@host`
    pub actor: String,
    /// How often a task is asked for its state at first.
    pub poll: Option<Duration>,
    /// The lab's SSH where there is no sshd: commands go to this socket.
    pub ssh_socket: Option<PathBuf>,
    /// The folder of the lab that the environment is set for.
    pub lab: Option<PathBuf>,
}
