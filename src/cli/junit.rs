//! `--junit FILE`: written once, whatever became of the run, and also when there was none.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Face;
use crate::app::{AppError, Exit, export};
use crate::report::{self, RunView};

/// Where the results go. Copies know of each other whether they were written.
#[derive(Debug, Clone)]
pub struct JunitFile {
    path: PathBuf,
    written: Arc<AtomicBool>,
}

impl FromStr for JunitFile {
    type Err = Infallible;

    fn from_str(path: &str) -> Result<Self, Infallible> {
        Ok(Self { path: path.into(), written: Arc::default() })
    }
}

impl JunitFile {
    /// The results of a run, however it ended.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, face: &Face, view: &RunView) -> Result<(), AppError> {
        self.put(face, &report::junit(view))
    }

    /// Sees to it that there is a file where no run began: why it did not, as the one case.
    ///
    /// # Errors
    /// What was handed in, or the file cannot be written.
    pub fn see_to(self, face: &Face, runbook: &str, ended: Result<Exit, AppError>) -> Result<Exit, AppError> {
        if self.written.load(Ordering::Relaxed) {
            return ended;
        }
        match &ended {
            Ok(Exit::Done) => self.put(face, &report::junit_of_nothing(runbook))?,
            Ok(_) => self.put(face, &report::junit_refused(runbook, "unconfirmed", "nobody said yes", &[]))?,
            Err(error) => {
                let hint = error.hint.iter().map(|hint| format!("hint: {hint}"));
                let places = error.diagnostics.iter().map(|(_, diagnostic)| diagnostic.message.clone());
                let details: Vec<String> = error.details.iter().cloned().chain(places).chain(hint).collect();
                self.put(face, &report::junit_refused(runbook, error.code, &error.message, &details))?;
            }
        }
        ended
    }

    fn put(&self, face: &Face, text: &str) -> Result<(), AppError> {
        self.written.store(true, Ordering::Relaxed);
        export::write(&face.settings, &self.path, &face.redactor.redact(text))
    }
}
