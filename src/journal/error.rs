//! What can go wrong with the store of runs, said so that a person knows what to do.

use std::io;
use std::path::{Path, PathBuf};

use crate::model::ids::RunId;

/// Who is to act on an error; the command line makes an exit code of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The state folder or the journal in it: exit code 3.
    Configuration,
    /// A name that fits more than one run: exit code 2.
    Usage,
    /// No such run: exit code 5.
    NotFound,
    /// A safety gate: exit code 6.
    Gate,
    /// Another process has it: exit code 8.
    Locked,
    /// What is stored is not what was written, or we are wrong: exit code 1.
    Broken,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("state folder {}: {why}; {remedy}", path.display())]
    Folder { path: PathBuf, why: String, remedy: &'static str },
    #[error(
        "state folder {}: it lies on a network file system ({kind}), where file locks and the journal's shared \
         memory do not hold; set XDG_STATE_HOME to a folder on a local disk",
        path.display()
    )]
    Network { path: PathBuf, kind: &'static str },
    #[error(
        "journal {}: it has version {found}, and this runbook writes up to version {known}: it can be read, not \
         written; use the runbook that wrote it, or a newer one",
        path.display()
    )]
    Newer { path: PathBuf, found: u32, known: u32 },
    #[error(
        "run {run}: its events have version {found}, and this runbook goes on with runs up to version {known}; use \
         the runbook that started it, or a newer one"
    )]
    NewerRun { run: RunId, found: u32, known: u32 },
    #[error("journal {}: {why}; {remedy}", path.display())]
    Database { path: PathBuf, why: String, remedy: &'static str },
    #[error("run {run}: process {pid} on {host} has had it since {since}; `runbook status {run}` shows how far it is")]
    Owned { run: RunId, host: String, pid: u32, since: String },
    #[error("run {run}: it exists already; a run's id is used once")]
    Exists { run: RunId },
    #[error("no run {asked:?}; {hint}")]
    Unknown { asked: String, hint: String },
    #[error("{asked:?} fits {} runs: {}; give more of the id", candidates.len(), candidates.join(", "))]
    Ambiguous { asked: String, candidates: Vec<String> },
    #[error("run {run}, event {seq}: {why}; the journal was changed by something other than runbook, or is damaged")]
    Tampered { run: RunId, seq: u64, why: String },
    #[error("audit record {seq}: {why}; the journal was changed by something other than runbook, or is damaged")]
    TamperedAudit { seq: u64, why: String },
    #[error("run {run}, event {seq}: it cannot be read: {why}")]
    Unreadable { run: RunId, seq: u64, why: String },
    #[error("run {run} is over: {status}; it takes nothing more")]
    Over { run: RunId, status: &'static str },
    #[error(
        "run {run} was handed over to another machine by {by} at {since}, and is gone on with there; `runbook resume \
         {run} --force` goes on with it here, if that never happened"
    )]
    HandedOver { run: RunId, by: String, since: String },
    #[error(
        "run {run} is a copy that {by} imported at {since}, and the machine that it is from has it still; `runbook \
         resume {run} --force` goes on with it here, if that machine never will"
    )]
    Copied { run: RunId, by: String, since: String },
    #[error(transparent)]
    LockGone(Box<LockGone>),
    #[error("no lock {name:?} is held; {hint}")]
    UnknownLock { name: String, hint: String },
    #[error("the export cannot be taken: {why}")]
    Parcel { why: String },
}

/// A lock that a person took from a run, and the run that has it now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "run {run}: its lock {name} was taken from it by {by} at {at} ({reason}), and run {holder} has it now; wait for that \
     run to end"
)]
pub struct LockGone {
    pub run: RunId,
    pub name: String,
    pub by: String,
    /// As a person reads it.
    pub at: String,
    pub reason: String,
    pub holder: RunId,
}

impl StoreError {
    pub fn fault(&self) -> Fault {
        match self {
            Self::Folder { .. } | Self::Network { .. } | Self::Newer { .. } | Self::Database { .. } => {
                Fault::Configuration
            }
            Self::NewerRun { .. } => Fault::Configuration,
            Self::Over { .. } | Self::HandedOver { .. } | Self::Copied { .. } => Fault::Gate,
            Self::Ambiguous { .. } => Fault::Usage,
            Self::Unknown { .. } | Self::UnknownLock { .. } => Fault::NotFound,
            Self::Owned { .. } | Self::LockGone(_) => Fault::Locked,
            Self::Exists { .. } | Self::Tampered { .. } | Self::TamperedAudit { .. } => Fault::Broken,
            Self::Unreadable { .. } | Self::Parcel { .. } => Fault::Broken,
        }
    }

    /// Stable, for scripts and for searching.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Folder { .. } => "journal::folder",
            Self::Network { .. } => "journal::network_file_system",
            Self::Newer { .. } | Self::NewerRun { .. } => "journal::newer",
            Self::Database { .. } => "journal::database",
            Self::Owned { .. } => "journal::owned",
            Self::Exists { .. } => "journal::exists",
            Self::Unknown { .. } => "journal::unknown_run",
            Self::Ambiguous { .. } => "journal::ambiguous_run",
            Self::Tampered { .. } | Self::TamperedAudit { .. } => "journal::tampered",
            Self::Unreadable { .. } => "journal::unreadable",
            Self::Over { .. } => "journal::over",
            Self::HandedOver { .. } => "journal::handed_over",
            Self::Copied { .. } => "journal::copied",
            Self::LockGone(_) => "journal::lock_gone",
            Self::UnknownLock { .. } => "journal::unknown_lock",
            Self::Parcel { .. } => "journal::parcel",
        }
    }

    /// What the operating system said of a folder or file, and what to do about it.
    pub(super) fn of_io(path: &Path, doing: &str, error: &io::Error) -> Self {
        let remedy = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                "make it writable for this user (`chmod u+rwx`), or set XDG_STATE_HOME to a folder that is"
            }
            io::ErrorKind::ReadOnlyFilesystem => "set XDG_STATE_HOME to a folder on a writable file system",
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free space on that file system",
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                "move the file that is in the way, or set XDG_STATE_HOME to another folder"
            }
            _ => "check the folder, or set XDG_STATE_HOME to another one",
        };
        Self::Folder { path: path.to_owned(), why: format!("cannot {doing}: {error}"), remedy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_trouble_with_the_folder_has_its_own_remedy() {
        let say = |kind| StoreError::of_io(Path::new("state"), "create it", &io::Error::from(kind)).to_string();
        assert!(say(io::ErrorKind::ReadOnlyFilesystem).contains("writable file system"));
        assert!(say(io::ErrorKind::StorageFull).contains("free space"));
        assert!(say(io::ErrorKind::PermissionDenied).contains("chmod u+rwx"));
        assert!(say(io::ErrorKind::NotADirectory).contains("in the way"));
    }
}
