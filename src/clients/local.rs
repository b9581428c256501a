//! This machine: commands run on it, and its paths and processes looked at.
//!
//! A command is a list of words, each handed over as it is; never a line for a shell. It gets our own environment
//! without what [`Local::without`] takes away, and what it writes has the secrets taken out before anybody keeps it.

mod files;

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::sys::clock;
use crate::sys::files::read_bytes;
use crate::sys::process::{self, Captured, Line, Spec};

pub use crate::sys::files::FileError;
pub use crate::sys::process::{Ended, Identity as Process, ProcessError};
pub use files::{FileState, PrivateFile, sha256};

/// Takes secrets out of a text.
pub type Redact = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// At least the program.
    pub argv: Vec<String>,
    /// Beyond our own environment; `None` takes the variable away.
    pub env: Vec<(String, Option<String>)>,
    pub cwd: PathBuf,
    pub stdin: Vec<u8>,
    /// Bytes kept of each stream: the first of stdout, the last of stderr.
    pub keep: usize,
    /// Between TERM and KILL, where it has to be ended.
    pub grace: Duration,
}

/// What a command left behind; bytes that are no UTF-8 are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub ended: Ended,
    pub stdout: String,
    pub stderr: String,
    /// Whether either stream was longer than what was to be kept.
    pub cut: bool,
}

/// A command that has been asked for; it begins when its news are first waited for. Dropping it kills its whole group.
pub struct Job {
    work: Pin<Box<dyn Future<Output = Result<Captured, ProcessError>> + Send>>,
    lines: UnboundedReceiver<Line>,
    started: oneshot::Receiver<u32>,
    cancel: CancellationToken,
    redact: Redact,
}

/// What is heard of a job.
#[derive(Debug)]
pub enum News {
    /// A line of either stream, as it comes.
    Line(String),
    /// It is over, and all its lines were told.
    Done(Result<Output, ProcessError>),
}

/// This machine. Cheap to clone.
#[derive(Clone)]
pub struct Local {
    withheld: Arc<[String]>,
    redact: Redact,
}

impl Default for Local {
    fn default() -> Self {
        Self { withheld: Arc::new([]), redact: Arc::new(str::to_owned) }
    }
}

impl Local {
    pub fn new(redact: Redact) -> Self {
        Self { redact, ..Self::default() }
    }

    /// Variables of our environment that no command gets: the ones that hold our own credentials.
    pub fn without(mut self, variables: impl IntoIterator<Item = String>) -> Self {
        self.withheld = variables.into_iter().collect();
        self
    }

    /// Makes the command ready. Must be called inside a tokio runtime.
    pub fn job(&self, command: Command) -> Job {
        let cancel = CancellationToken::new();
        let (line, lines) = unbounded_channel();
        let (tell, started) = oneshot::channel();
        let spec = self.spec(command, cancel.clone(), line);
        let work = Box::pin(process::run_seen(spec, |pid| {
            // Nobody asks any more which one it was.
            let _ = tell.send(pid);
        }));
        Job { work, lines, started, cancel, redact: self.redact.clone() }
    }

    /// Runs a command that only looks, to its end; after `patience` its group is killed.
    ///
    /// # Errors
    /// It could not be run. `None`: its time was up.
    pub async fn look(&self, command: Command, patience: Duration) -> Result<Option<Output>, ProcessError> {
        let mut job = self.job(command);
        let ended = async {
            loop {
                if let News::Done(output) = job.news().await {
                    return output;
                }
            }
        };
        tokio::time::timeout(patience, ended).await.ok().transpose()
    }

    fn spec(&self, command: Command, cancel: CancellationToken, lines: UnboundedSender<Line>) -> Spec {
        let mut words = command.argv.into_iter();
        let mut spec = Spec::new(words.next().unwrap_or_default()).args(words).cwd(command.cwd).stdin(command.stdin);
        for name in self.withheld.iter() {
            spec = spec.env_remove(name);
        }
        // After ours, so that an author may hand one over who means to.
        spec.env.extend(command.env.into_iter().map(|(name, value)| (name.into(), value.map(Into::into))));
        (spec.keep, spec.grace, spec.cancel, spec.lines) = (command.keep, command.grace, Some(cancel), Some(lines));
        spec
    }

    /// Whether there is anything of that path; a link that leads nowhere is nothing.
    pub fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    /// A whole file, at most 64 MiB; nothing where there is none.
    ///
    /// # Errors
    /// It cannot be read: its path and why.
    pub fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, String> {
        match read_bytes(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Whether that process still runs.
    pub fn runs(&self, process: &Process) -> bool {
        process::still_runs(process)
    }

    /// TERM to the group of a command that is no child of ours, KILL after `grace`; returns when it is gone.
    pub async fn end(&self, process: &Process, grace: Duration) {
        process::end(process, grace).await;
    }

    /// Here and now, as a person reads it.
    pub fn now(&self) -> String {
        clock::local(clock::now_ms())
    }

    /// The oldest running command whose environment has all of these.
    pub fn marked(&self, marks: &[(&str, &str)]) -> Option<Process> {
        process::marked(marks)
    }
}

impl Job {
    /// What comes next. May be dropped and asked for again; not after it was over.
    pub async fn news(&mut self) -> News {
        tokio::select! {
            biased;
            Some(line) = self.lines.recv() => News::Line((self.redact)(&line.text)),
            captured = &mut self.work => News::Done(captured.map(|captured| output(&captured, &self.redact))),
        }
    }

    /// Which process it is; `None` where there is none yet or none any more.
    pub fn process(&mut self) -> Option<Process> {
        process::identity(self.started.try_recv().ok()?)
    }

    /// TERM to its group, KILL after the grace; it is still to be waited for.
    pub fn stop(&self) {
        self.cancel.cancel();
    }
}

fn output(captured: &Captured, redact: &Redact) -> Output {
    let text = |bytes: &[u8]| redact(&String::from_utf8_lossy(bytes));
    let (stdout, stderr) = (text(&captured.stdout), text(&captured.stderr));
    Output { ended: captured.ended, stdout, stderr, cut: captured.cut }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(argv: &[&str]) -> Command {
        Command {
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            env: Vec::new(),
            cwd: "/".into(),
            stdin: Vec::new(),
            keep: 1 << 10,
            grace: Duration::from_millis(200),
        }
    }

    async fn ended(job: &mut Job) -> (Vec<String>, Output) {
        let mut lines = Vec::new();
        loop {
            match job.news().await {
                News::Line(line) => lines.push(line),
                News::Done(output) => return (lines, output.unwrap()),
            }
        }
    }

    #[tokio::test]
    async fn secrets_are_neither_handed_over_nor_kept() {
        let local = Local::new(Arc::new(|text| text.replace("hunter2", "(redacted)"))).without(["HOME".to_owned()]);
        let mut asked = command(&["/bin/sh", "-c", "echo \"${HOME:-none} $WORD\"; echo two"]);
        asked.env = vec![("WORD".into(), Some("hunter2".into()))];
        let (lines, output) = ended(&mut local.job(asked)).await;
        assert_eq!(lines, ["none (redacted)", "two"]);
        assert_eq!((output.stdout.as_str(), output.ended), ("none (redacted)\ntwo\n", Ended::Exit(0)));
    }

    #[tokio::test]
    async fn a_stopped_command_takes_its_whole_group_with_it() {
        let local = Local::default();
        let mut asked = command(&["/bin/sh", "-c", "trap '' TERM; echo up; sleep 60 & wait; sleep 60"]);
        asked.env = vec![("LOCAL_TEST_MARK".into(), Some("whole-group".into()))];
        let mut job = local.job(asked);
        assert!(matches!(job.news().await, News::Line(line) if line == "up"));
        let process = job.process().unwrap();
        let marks = [("LOCAL_TEST_MARK", "whole-group")];
        assert_eq!(local.marked(&marks), Some(process.clone()));
        job.stop();
        assert_eq!(ended(&mut job).await.1.ended, Ended::Cancelled);
        assert!(!local.runs(&process));
        assert_eq!(local.marked(&marks), None);
    }
}
