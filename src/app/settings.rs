//! What a use case is told of its surroundings; the faces make it, so that nothing below them reads the environment.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::error::{AppError, Exit};
use crate::journal::{Store, StoreError};

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
    /// What may be lost: `$XDG_CACHE_HOME/runbook`; none where neither that nor `HOME` is set.
    pub cache: Option<PathBuf>,
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
    pub journal: OpenJournal,
}

/// The journal, from the first time that it is needed to the end of the process. The last one who closes a journal
/// writes its log into it and deletes the log, with the disk's word for each: once is enough.
#[derive(Clone, Default)]
pub struct OpenJournal(Arc<Mutex<Option<Opened>>>);

/// Where it lies, and itself.
type Opened = (PathBuf, Arc<Store>);

impl OpenJournal {
    /// The journal in the folder `state`.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn at(&self, state: &Path) -> Result<Arc<Store>, StoreError> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, store)) = open.as_ref().filter(|(folder, _)| folder == state) {
            return Ok(store.clone());
        }
        let store = Arc::new(Store::open(state)?);
        *open = Some((state.to_owned(), store.clone()));
        Ok(store)
    }
}

impl fmt::Debug for OpenJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenJournal")
    }
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
