//! Errors as a person meets them: what, why, what to do, and the exit code that scripts rely on.

use crate::journal::{Fault as StoreFault, StoreError};
use crate::load::diagnostic::{Diagnostic, Findings, Source};
use crate::model::failure::{Class, Failure};

/// The exit codes: a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    /// Usage, or an invalid runbook.
    Usage = 2,
    /// Configuration or credential.
    Configuration = 3,
    /// Refused by the other end (401, 403), or the other end by us: another certificate than the pinned one.
    Refused = 4,
    NotFound = 5,
    /// A safety gate: approval missing, stale plan, policy, precondition, draft.
    Gate = 6,
    Unreachable = 7,
    Locked = 8,
    /// Waiting or paused.
    Waiting = 9,
    RolledBack = 10,
    /// Rollback incomplete, or a step in doubt.
    Incomplete = 11,
    /// What was asked for is there in part; what is missing is named.
    Partial = 12,
    Interrupted = 130,
    Terminated = 143,
}

/// An error at the edge.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct AppError {
    pub exit: Exit,
    /// Stable: `config::missing`, `proxmox::unreachable`.
    pub code: &'static str,
    pub message: String,
    pub details: Vec<String>,
    pub hint: Option<String>,
    /// Places in files, with their sources.
    pub diagnostics: Vec<(Source, Diagnostic)>,
}

impl AppError {
    pub fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Self {
        Self { exit, code, message: message.into(), details: Vec::new(), hint: None, diagnostics: Vec::new() }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn details(mut self, details: Vec<String>) -> Self {
        self.details = details;
        self
    }

    /// A runbook with problems, some of which may be in what it calls: all of them, each with its own file.
    pub fn invalid_files(exit: Exit, code: &'static str, found: Findings) -> Self {
        let name = found.sources.first().map(|source| source.name.as_str()).unwrap_or_default();
        let mut error = Self::new(exit, code, format!("{name}: {}", problems(found.diagnostics.len())));
        let placed = found.diagnostics.iter().filter_map(|d| Some((found.source_of(d)?.clone(), d.clone())));
        error.diagnostics = placed.collect();
        error
    }

    /// A file with problems: all of them.
    pub fn invalid(exit: Exit, code: &'static str, source: &Source, diagnostics: Vec<Diagnostic>) -> Self {
        let mut error = Self::new(exit, code, format!("{}: {}", source.name, problems(diagnostics.len())));
        error.diagnostics = diagnostics.into_iter().map(|d| (source.clone(), d)).collect();
        error
    }
}

/// `1 problem`, `3 problems`.
pub fn problems(count: usize) -> String {
    if count == 1 { "1 problem".to_owned() } else { format!("{count} problems") }
}

impl From<Failure> for AppError {
    fn from(failure: Failure) -> Self {
        let (exit, code) = exit_of(failure.class);
        Self {
            exit,
            code,
            message: failure.to_string(),
            details: failure.details,
            hint: failure.remedy,
            diagnostics: Vec::new(),
        }
    }
}

/// What a failure before anything was changed means for the exit code.
pub fn exit_of(class: Class) -> (Exit, &'static str) {
    match class {
        Class::Precondition => (Exit::Gate, "site::precondition"),
        Class::Refused => (Exit::Refused, "site::refused"),
        Class::Unreachable => (Exit::Unreachable, "site::unreachable"),
        Class::Timeout => (Exit::Unreachable, "site::timeout"),
        Class::Transient => (Exit::Unreachable, "site::transient"),
        Class::Locked => (Exit::Locked, "site::locked"),
        Class::Verify => (Exit::Gate, "site::verify"),
        Class::Failed => (Exit::Failed, "site::failed"),
        Class::Internal => (Exit::Failed, "runbook::internal"),
    }
}

impl From<StoreError> for AppError {
    fn from(error: StoreError) -> Self {
        let exit = match error.fault() {
            StoreFault::Configuration => Exit::Configuration,
            StoreFault::Usage => Exit::Usage,
            StoreFault::NotFound => Exit::NotFound,
            StoreFault::Gate => Exit::Gate,
            StoreFault::Locked => Exit::Locked,
            StoreFault::Broken => Exit::Failed,
        };
        Self::new(exit, error.code(), error.to_string())
    }
}
