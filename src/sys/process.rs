//! Child processes: each in a process group of its own, bounded in time and output, never by way of a shell.
//!
//! Two shapes: [`run`] for a command whose output is wanted, [`Daemon`] for one that lives beside us.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

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

/// Which of the child's streams a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// One line as it was written, without its end; bytes that are no UTF-8 are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub stream: Stream,
    pub text: String,
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

/// Runs the child to its end. Dropping the future kills the child's whole group.
pub async fn run(spec: Spec) -> Result<Captured, ProcessError> {
    let started = Instant::now();
    let mut command = spec.command();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| spec.start_error(e))?;
    let mut guard = GroupGuard::of(&child);
    feed(&mut child, spec.stdin.clone());
    let mut out = Capture::start(child.stdout.take(), Stream::Stdout, &spec);
    let mut err = Capture::start(child.stderr.take(), Stream::Stderr, &spec);

    let ended = wait_bounded(&mut child, &guard, &spec).await?;
    // A grandchild that kept the pipe open (a daemon) must not keep us: what it wrote so far is enough.
    let _ = tokio::time::timeout(spec.grace, async {
        out.done().await;
        err.done().await;
    })
    .await;
    guard.disarm();
    let ((stdout, cut_out), (stderr, cut_err)) = (out.take(), err.take());
    Ok(Captured { ended, stdout, stderr, cut: cut_out || cut_err, took: started.elapsed() })
}

async fn wait_bounded(child: &mut Child, guard: &GroupGuard, spec: &Spec) -> Result<Ended, ProcessError> {
    let too_late = async {
        match spec.deadline {
            Some(after) => tokio::time::sleep(after).await,
            None => std::future::pending().await,
        }
    };
    let cancelled = async {
        match &spec.cancel {
            Some(token) => token.cancelled().await,
            None => std::future::pending().await,
        }
    };
    let why = tokio::select! {
        status = child.wait() => return status.map(ended).map_err(|source| wait_error(spec, source)),
        () = too_late => Ended::Deadline,
        () = cancelled => Ended::Cancelled,
    };
    end_group(child, guard, spec.grace).await.map_err(|source| wait_error(spec, source))?;
    Ok(why)
}

fn wait_error(spec: &Spec, source: io::Error) -> ProcessError {
    ProcessError::Wait { program: spec.name(), source }
}

/// TERM to the group, a grace for the leader, then KILL to whoever is left.
async fn end_group(child: &mut Child, guard: &GroupGuard, grace: Duration) -> io::Result<ExitStatus> {
    guard.signal(Signal::TERM);
    match tokio::time::timeout(grace, child.wait()).await {
        Ok(status) => {
            guard.signal(Signal::KILL);
            status
        }
        Err(_) => {
            guard.signal(Signal::KILL);
            child.wait().await
        }
    }
}

fn ended(status: ExitStatus) -> Ended {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Exit(code),
        (None, Some(signal)) => Ended::Signal(signal),
        (None, None) => Ended::Exit(-1),
    }
}

fn feed(child: &mut Child, bytes: Vec<u8>) {
    if let Some(mut stdin) = child.stdin.take() {
        tokio::spawn(async move {
            // A child that does not read its input is no error of ours: it says so by its exit code.
            let _ = stdin.write_all(&bytes).await;
        });
    }
}

/// Kills the group when dropped, unless disarmed: an aborted caller leaves no child behind.
#[derive(Debug)]
struct GroupGuard(Option<Pid>);

impl GroupGuard {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // The only likely error is that nobody is left in the group.
            let _ = kill_process_group(group, signal);
        }
    }

    fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for GroupGuard {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// One stream being read in a task of its own.
struct Capture {
    kept: Arc<Mutex<Kept>>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    cut: bool,
}

impl Capture {
    fn start(pipe: Option<impl AsyncRead + Unpin + Send + 'static>, stream: Stream, spec: &Spec) -> Self {
        let kept = Arc::new(Mutex::new(Kept::default()));
        let (shared, keep, mut lines) = (kept.clone(), spec.keep, LineCutter::new(stream, spec.lines.clone()));
        let task = tokio::spawn(async move {
            let Some(mut pipe) = pipe else { return };
            let mut buffer = vec![0; 16 << 10];
            while let Ok(n @ 1..) = pipe.read(&mut buffer).await {
                lines.push(&buffer[..n]);
                lock(&shared).push(&buffer[..n], stream, keep);
            }
            lines.finish();
        });
        Self { kept, task }
    }

    async fn done(&mut self) {
        // A reader that panicked has read what it has read.
        let _ = (&mut self.task).await;
    }

    fn take(self) -> (Vec<u8>, bool) {
        self.task.abort();
        let mut kept = lock(&self.kept);
        (std::mem::take(&mut kept.bytes), kept.cut)
    }
}

impl Kept {
    fn push(&mut self, bytes: &[u8], stream: Stream, keep: usize) {
        match stream {
            Stream::Stdout => {
                let room = keep.saturating_sub(self.bytes.len()).min(bytes.len());
                self.bytes.extend_from_slice(&bytes[..room]);
                self.cut |= room < bytes.len();
            }
            Stream::Stderr => {
                self.bytes.extend_from_slice(bytes);
                // Trimmed only at twice the size, so that each byte is moved once at most.
                if self.bytes.len() > keep.saturating_mul(2).max(1) {
                    self.bytes.drain(..self.bytes.len() - keep);
                    self.cut = true;
                }
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Cuts a stream of bytes into lines for the caller who watches.
struct LineCutter {
    stream: Stream,
    to: Option<UnboundedSender<Line>>,
    rest: Vec<u8>,
}

impl LineCutter {
    fn new(stream: Stream, to: Option<UnboundedSender<Line>>) -> Self {
        Self { stream, to, rest: Vec::new() }
    }

    fn push(&mut self, bytes: &[u8]) {
        if self.to.is_none() {
            return;
        }
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            self.rest.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.finish();
            }
        }
    }

    fn finish(&mut self) {
        if let Some(to) = self.to.as_ref().filter(|_| !self.rest.is_empty()) {
            let text = String::from_utf8_lossy(&self.rest).trim_end_matches(['\n', '\r']).to_owned();
            // Nobody listens any more: the lines are still captured.
            let _ = to.send(Line { stream: self.stream, text });
            self.rest.clear();
        }
    }
}

/// A child that lives beside us until it is stopped or dropped (the lab's sshd). Its output goes to files or nowhere.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    guard: GroupGuard,
    name: String,
}

impl Daemon {
    /// Starts it with an empty standard input; `log` gets its output, if given. Must be called inside a tokio runtime.
    #[allow(clippy::disallowed_methods, reason = "this module owns child processes")]
    pub fn start(spec: &Spec, log: Option<&Path>) -> Result<Self, ProcessError> {
        let sink = || match log {
            Some(path) => std::fs::OpenOptions::new().create(true).append(true).open(path).map(Stdio::from),
            None => Ok(Stdio::null()),
        };
        let mut command = spec.command();
        let start_error = |e| spec.start_error(e);
        command.stdin(Stdio::null()).stdout(sink().map_err(start_error)?).stderr(sink().map_err(start_error)?);
        let child = command.spawn().map_err(start_error)?;
        let guard = GroupGuard::of(&child);
        Ok(Self { child, guard, name: spec.name() })
    }

    /// The process id, which is its group's too; `None` once it has ended and was waited for.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<Ended>, ProcessError> {
        let status = self.child.try_wait().map_err(|source| self.wait_error(source))?;
        Ok(status.map(ended))
    }

    /// Waits until it ends by itself.
    pub async fn wait(&mut self) -> Result<Ended, ProcessError> {
        let status = self.child.wait().await.map_err(|source| self.wait_error(source))?;
        Ok(ended(status))
    }

    /// TERM to its group, KILL after `grace`.
    pub async fn stop(mut self, grace: Duration) -> Result<Ended, ProcessError> {
        let status = end_group(&mut self.child, &self.guard, grace).await;
        self.guard.disarm();
        status.map(ended).map_err(|source| self.wait_error(source))
    }

    fn wait_error(&self, source: io::Error) -> ProcessError {
        ProcessError::Wait { program: self.name.clone(), source }
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
