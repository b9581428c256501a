//! Child processes: each in a process group of its own, bounded in time and output, never by way of a shell.
//!
//! Two shapes: [`run()`] for a command whose output is wanted, [`Daemon`] for one that lives beside us.

mod capture;
mod daemon;
mod foreground;
mod group;
mod run;
mod table;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

pub use capture::{Line, Stream};
pub use daemon::Daemon;
pub use foreground::{detach, is_alive, run_here};
pub use run::{run, run_seen};
pub use table::{Identity, end, identity, marked, still_runs};

/// Why a child could not be run.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("{program}: not found on PATH; install it or give its path in the configuration")]
    NotFound { program: String },
    #[error("{program}: cannot start: {source}")]
    Start { program: String, source: io::Error },
    #[error("{program}: cannot wait for it: {source}")]
    Wait { program: String, source: io::Error },
}

/// What to run. The environment is ours, changed by `env`; the standard input is empty unless given.
#[derive(Debug, Clone)]
pub struct Spec {
    pub program: PathBuf,
    pub args: Vec<OsString>,
    /// Added to our own environment; `None` removes the variable.
    pub env: Vec<(OsString, Option<OsString>)>,
    pub cwd: Option<PathBuf>,
    pub stdin: Vec<u8>,
    /// After this the group gets TERM, and KILL after `grace`.
    pub deadline: Option<Duration>,
    pub grace: Duration,
    /// Bytes kept of each stream: the first of stdout, the last of stderr (where the cause is).
    pub keep: usize,
    /// Ends the child as the deadline does.
    pub cancel: Option<CancellationToken>,
    /// Gets each line at once; also those beyond `keep`.
    pub lines: Option<UnboundedSender<Line>>,
}

impl Spec {
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: None,
            stdin: Vec::new(),
            deadline: None,
            grace: Duration::from_secs(5),
            keep: 8 << 20,
            cancel: None,
            lines: None,
        }
    }

    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub fn args<I: IntoIterator<Item = T>, T: Into<OsString>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), Some(value.into())));
        self
    }

    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.env.push((name.into(), None));
        self
    }

    pub fn cwd(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cwd = Some(folder.into());
        self
    }

    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    pub fn deadline(mut self, after: Duration) -> Self {
        self.deadline = Some(after);
        self
    }

    fn name(&self) -> String {
        self.program.display().to_string()
    }

    #[allow(clippy::disallowed_methods, reason = "this module owns child processes")]
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).process_group(0);
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(folder) = &self.cwd {
            command.current_dir(folder);
        }
        command
    }

    fn start_error(&self, source: io::Error) -> ProcessError {
        // A missing `cwd` is NotFound too: then the program is not the one to blame.
        let no_folder = self.cwd.as_ref().is_some_and(|folder| !folder.is_dir());
        match source.kind() {
            io::ErrorKind::NotFound if !no_folder => ProcessError::NotFound { program: self.name() },
            _ => ProcessError::Start { program: self.name(), source },
        }
    }
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Exit(i32),
    Signal(i32),
    /// Ended by us because the deadline had passed.
    Deadline,
    /// Ended by us because it was cancelled.
    Cancelled,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => write!(f, "ended by signal {number}"),
            Self::Deadline => f.write_str("ended by us: its time was up"),
            Self::Cancelled => f.write_str("ended by us: cancelled"),
        }
    }
}

/// What a child left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    pub ended: Ended,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// Whether bytes beyond `keep` were dropped from either stream.
    pub cut: bool,
    pub took: Duration,
}

impl Captured {
    pub fn success(&self) -> bool {
        self.ended == Ended::Exit(0)
    }

    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The last line of stderr that is not blank: what most programs say last is the cause.
    pub fn last_error_line(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.stderr);
        text.lines().rev().map(str::trim).find(|l| !l.is_empty()).map(str::to_owned)
    }
}

fn ended(status: ExitStatus) -> Ended {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Exit(code),
        (None, Some(signal)) => Ended::Signal(signal),
        (None, None) => Ended::Exit(-1),
    }
}

/// The executable that `name` means: itself if it has a slash, else the first on `path` (`$PATH` when `None`).
pub fn which(name: impl AsRef<OsStr>, path: Option<&OsStr>) -> Result<PathBuf, ProcessError> {
    let name = name.as_ref();
    let not_found = || ProcessError::NotFound { program: name.to_string_lossy().into_owned() };
    if name.to_string_lossy().contains('/') {
        return Some(PathBuf::from(name)).filter(|p| is_executable(p)).ok_or_else(not_found);
    }
    let path = path.map(OsString::from).or_else(|| std::env::var_os("PATH")).unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|p| is_executable(p)).ok_or_else(not_found)
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn sh(script: &str) -> Spec {
        Spec::new("sh").args(["-c", script])
    }

    #[tokio::test]
    async fn both_streams_and_the_exit_code_come_back() {
        let got = run(sh("cat; echo err >&2; exit 3").stdin("in")).await.unwrap();
        assert_eq!((got.ended, got.stdout_text().as_str()), (Ended::Exit(3), "in"));
        assert_eq!(got.last_error_line().as_deref(), Some("err"));
        assert!(!got.success() && !got.cut);
    }

    #[tokio::test]
    async fn the_deadline_ends_the_whole_group() {
        let mut spec = sh("trap '' TERM; sleep 60 & wait; sleep 60").deadline(Duration::from_millis(200));
        spec.grace = Duration::from_millis(200);
        let started = Instant::now();
        assert_eq!(run(spec).await.unwrap().ended, Ended::Deadline);
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[tokio::test]
    async fn cancelling_ends_it_too() {
        let token = CancellationToken::new();
        let mut spec = sh("sleep 60");
        spec.cancel = Some(token.clone());
        token.cancel();
        assert_eq!(run(spec).await.unwrap().ended, Ended::Cancelled);
    }

    #[tokio::test]
    async fn output_beyond_the_cap_is_dropped_and_said() {
        let mut spec = sh("printf abcdef; printf 0123456789 >&2");
        spec.keep = 4;
        let got = run(spec).await.unwrap();
        assert_eq!((got.stdout.as_slice(), got.stderr.as_slice(), got.cut), (&b"abcd"[..], &b"6789"[..], true));
    }

    #[tokio::test]
    async fn a_grandchild_with_the_pipe_does_not_keep_us() {
        let mut spec = sh("echo up; sleep 5 &");
        spec.grace = Duration::from_millis(100);
        let got = run(spec).await.unwrap();
        assert_eq!(got.stdout_text(), "up\n");
        assert!(got.took < Duration::from_secs(4));
    }

    #[tokio::test]
    async fn lines_are_seen_as_they_come() {
        let (to, mut from) = tokio::sync::mpsc::unbounded_channel();
        let mut spec = sh("printf 'one\\ntwo'");
        spec.lines = Some(to);
        run(spec).await.unwrap();
        let texts: Vec<String> = std::iter::from_fn(|| from.try_recv().ok()).map(|l| l.text).collect();
        assert_eq!(texts, ["one", "two"]);
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let error = run(Spec::new("no-such-program-here")).await.unwrap_err();
        assert!(matches!(&error, ProcessError::NotFound { program } if program == "no-such-program-here"));
        assert!(which("no-such-program-here", None).is_err());
        assert!(which("sh", None).unwrap().is_absolute());
    }

    #[tokio::test]
    async fn a_daemon_lives_until_it_is_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut daemon = Daemon::start(&sh("echo up; exec sleep 60"), Some(&log)).unwrap();
        assert!(daemon.id().is_some());
        assert_eq!(daemon.ended().unwrap(), None);
        assert_eq!(daemon.stop(Duration::from_secs(5)).await.unwrap(), Ended::Signal(15));
    }
}
