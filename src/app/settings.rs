//! What a use case is told of its surroundings; the faces make it, so that nothing below them reads the environment.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{AppError, Exit};

/// Where things are and who asks.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `--config` or `RUNBOOK_CONFIG`.
    pub config: Option<PathBuf>,
    pub cwd: PathBuf,
    pub home: Option<PathBuf>,
    /// `$XDG_CONFIG_HOME`, or its default.
    pub config_home: Option<PathBuf>,
    /// The journal's folder: `$XDG_STATE_HOME/runbook`; none where neither that nor `HOME` is set.
    pub state: Option<PathBuf>,
    /// The folder of the lab that this environment is for (`RUNBOOK_LAB`, as `runbook lab env` writes it).
    pub lab: Option<PathBuf>,
    /// `ops@host`
    pub actor: String,
    /// How often a task is asked for its state at first.
    pub poll: Option<Duration>,
    /// In a lab: how many of its seconds pass in one of ours. What may show late there shows late by its time.
    pub lab_scale: Option<f64>,
    /// The lab's SSH where there is no sshd: commands go to this socket.
    pub ssh_socket: Option<PathBuf>,
}

impl Settings {
    /// The journal's folder.
    ///
    /// # Errors
    /// The environment does not say where it is; only what needs a journal asks.
    pub fn state(&self) -> Result<&Path, AppError> {
        self.state.as_deref().ok_or_else(|| {
            AppError::new(Exit::Configuration, "config::state", "neither XDG_STATE_HOME nor HOME is set")
                .hint("set XDG_STATE_HOME to the folder that the journal is to lie in")
        })
    }

    /// Where the lab that stays up is: the one that this environment is for, else this user's.
    ///
    /// # Errors
    /// As [`Settings::state`].
    pub fn lab_folder(&self) -> Result<PathBuf, AppError> {
        // `lab env` moves the state folder into the lab, so that from there alone the lab would not be found again.
        match &self.lab {
            Some(folder) => Ok(folder.clone()),
            None => Ok(self.state()?.join("lab")),
        }
    }
}
