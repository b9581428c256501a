//! The system's `ssh` as a shared connection for each host (`openssh` crate, native multiplexing).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use openssh::{ControlPersist, KnownHosts, Session, SessionBuilder, Stdio};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::job::{Ended, Heard, Job};
use super::{Output, SshError, SshSettings, stream};
use crate::sys::{files, process};

/// sshd allows 10 sessions in a connection (`MaxSessions`); one is left to others that share ours.
const SESSIONS: usize = 8;
/// For commands that end another, which must not queue behind it.
const SPARE: usize = 1;

/// A Unix socket's path holds 107 bytes; below the folder come `/.ssh-connection` and six random letters, `/master`,
/// and while ssh binds it a dot and 16 letters more.
const LONGEST_DIR: usize = 107 - 22 - 7 - 17;

/// The master ends by itself when we could not end it.
const IDLE: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(super) struct Mux {
    settings: SshSettings,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
}

#[derive(Debug)]
struct Host {
    session: Mutex<Option<Arc<Session>>>,
    permits: Semaphore,
    spare: Semaphore,
}

/// Which of a connection's sessions a command may take.
#[derive(Debug, Clone, Copy)]
enum Room {
    Shared,
    Spare,
}

impl Mux {
    pub fn new(settings: SshSettings) -> Self {
        Self { settings, hosts: Mutex::new(HashMap::new()) }
    }

    pub async fn run(&self, host: &str, argv: &[&str], input: &[u8], deadline: Duration) -> Result<Output, SshError> {
        self.bounded(host, argv, input, deadline, Room::Shared).await
    }

    /// A short command that must get through whatever else runs there.
    pub async fn urgent(&self, host: &str, argv: &[&str], deadline: Duration) -> Result<Output, SshError> {
        self.bounded(host, argv, &[], deadline, Room::Spare).await
    }

    async fn bounded(
        &self,
        host: &str,
        argv: &[&str],
        input: &[u8],
        deadline: Duration,
        room: Room,
    ) -> Result<Output, SshError> {
        let until = Instant::now() + deadline;
        let slot = self.slot(host).await;
        let connected = tokio::time::timeout_at(until, self.take(host, &slot, room));
        let (_permit, session) =
            connected.await.unwrap_or_else(|_| Err(SshError::ConnectTimeout { host: host.to_owned() }))?;
        match tokio::time::timeout_at(until, execute(&session, host, argv, input)).await {
            Ok(result) => result,
            Err(_) => Err(SshError::Deadline { host: host.to_owned() }),
        }
    }

    /// Runs it for as long as it takes.
    pub async fn job(&self, host: &str, job: &Job, hear: &UnboundedSender<Heard>) -> Result<Ended, SshError> {
        let slot = self.slot(host).await;
        let (_permit, session) = self.take(host, &slot, Room::Shared).await?;
        stream::run(&session, host, job, hear).await
    }

    async fn take<'a>(
        &self,
        host: &str,
        slot: &'a Host,
        room: Room,
    ) -> Result<(SemaphorePermit<'a>, Arc<Session>), SshError> {
        let permit = match room {
            Room::Shared => slot.permits.acquire().await,
            Room::Spare => slot.spare.acquire().await,
        };
        let permit = permit.map_err(|_| SshError::Setup { host: host.to_owned(), message: "closed".into() })?;
        Ok((permit, self.session(host, slot).await?))
    }

    async fn slot(&self, host: &str) -> Arc<Host> {
        let new = || {
            let (permits, spare) = (Semaphore::new(SESSIONS), Semaphore::new(SPARE));
            Arc::new(Host { session: Mutex::new(None), permits, spare })
        };
        self.hosts.lock().await.entry(host.to_owned()).or_insert_with(new).clone()
    }

    /// The host's connection, made anew when there is none that answers. Nothing has been sent at this point.
    async fn session(&self, host: &str, slot: &Host) -> Result<Arc<Session>, SshError> {
        let mut current = slot.session.lock().await;
        if let Some(session) = current.as_ref() {
            if session.check().await.is_ok() {
                return Ok(session.clone());
            }
            tracing::debug!(host, "the SSH connection is gone; connecting anew");
        }
        let session = Arc::new(self.connect(host).await?);
        *current = Some(session.clone());
        Ok(session)
    }

    async fn connect(&self, host: &str) -> Result<Session, SshError> {
        process::which("ssh", self.settings.path.as_deref()).map_err(|_| SshError::NoSsh)?;
        let control = control_dir(self.settings.control_dir.as_deref())
            .map_err(|message| SshError::Setup { host: host.to_owned(), message })?;
        let mut builder = SessionBuilder::default();
        builder
            .known_hosts_check(KnownHosts::Strict)
            .connect_timeout(self.settings.connect_timeout)
            .server_alive_interval(Duration::from_secs(15))
            .control_directory(control)
            .control_persist(ControlPersist::IdleFor(
                std::num::NonZeroUsize::new(IDLE.as_secs() as usize).expect("a constant above zero"),
            ));
        if let Some(user) = &self.settings.user {
            builder.user(user.clone());
        }
        if let Some(config) = &self.settings.config {
            builder.config_file(config);
        }
        if let Some(known_hosts) = &self.settings.known_hosts {
            builder.user_known_hosts_file(known_hosts);
        }
        // Not `Session::connect_mux`: that one takes `user@host:port` apart, and a host here is only a name.
        let folder = builder.launch_master(host).await.map_err(|e| of_connect(host, &e))?;
        Ok(Session::new_native_mux(folder))
    }

    pub async fn close(&self) {
        for (host, slot) in self.hosts.lock().await.drain() {
            let session = slot.session.lock().await.take().and_then(Arc::into_inner);
            let Some(session) = session else { continue };
            if let Err(error) = session.close().await {
                tracing::debug!(host, %error, "the SSH connection did not end well");
            }
        }
    }
}

fn of_connect(host: &str, error: &openssh::Error) -> SshError {
    match error {
        openssh::Error::Connect(cause) => SshError::of_connect(host, &cause.to_string()),
        other => SshError::Setup { host: host.to_owned(), message: told(other) },
    }
}

/// An error with its causes: openssh's own text names only the phase.
pub(super) fn told(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", told(cause)),
        None => error.to_string(),
    }
}

/// Whatever fails here, the command may have begun.
async fn execute(session: &Session, host: &str, argv: &[&str], input: &[u8]) -> Result<Output, SshError> {
    let dropped = |e: openssh::Error| SshError::Dropped { host: host.to_owned(), message: told(&e) };
    let broken = |e: std::io::Error| SshError::Dropped { host: host.to_owned(), message: e.to_string() };
    let mut command = session.command(argv[0]);
    command.args(&argv[1..]).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() });
    let mut child = command.spawn().await.map_err(dropped)?;
    let (stdin, out, err) = (child.stdin().take(), child.stdout().take(), child.stderr().take());
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A command that does not read its input says so by its exit code.
            let _ = stdin.write_all(input).await;
        }
        Ok(())
    };
    let read_out = async {
        match out {
            Some(mut pipe) => pipe.read_to_end(&mut stdout).await.map(drop),
            None => Ok(()),
        }
    };
    let read_err = async {
        match err {
            Some(mut pipe) => pipe.read_to_end(&mut stderr).await.map(drop),
            None => Ok(()),
        }
    };
    tokio::try_join!(feed, read_out, read_err).map_err(broken)?;
    let exit = exit_of(child.wait().await).map_err(|message| SshError::Dropped { host: host.to_owned(), message })?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Output { exit, stdout: text(stdout), stderr: text(stderr) })
}

/// What a remote command ended with.
///
/// # Errors
/// It was killed there, or the connection was: ssh does not say which.
pub(super) fn exit_of(waited: Result<ExitStatus, openssh::Error>) -> Result<i32, String> {
    match waited {
        Ok(status) => {
            status.code().ok_or_else(|| "no exit code: it was killed there, or the connection was".to_owned())
        }
        // openssh makes an error of 127, whoever has said it.
        Err(openssh::Error::Remote(error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(127),
        Err(error) => Err(told(&error)),
    }
}

/// A folder of ours with a path short enough for sockets: the wanted one, else one in the runtime or temporary folder.
fn control_dir(wanted: Option<&Path>) -> Result<PathBuf, String> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(|dir| PathBuf::from(dir).join("runbook"));
    let me = rustix::process::geteuid().as_raw();
    let temporary = std::env::temp_dir().join(format!("runbook-{me}"));
    let short = |dir: &PathBuf| dir.as_os_str().len() <= LONGEST_DIR;
    let choices = [wanted.map(Path::to_owned), runtime, Some(temporary)];
    let mut last = "no folder with a path short enough for a socket; set XDG_RUNTIME_DIR".to_owned();
    for dir in choices.into_iter().flatten().filter(short) {
        // In a folder that others can write to, the socket could be another's.
        match files::make_private_dir(&dir).and_then(|()| files::check_trusted(&dir)) {
            Ok(()) => return Ok(dir),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_too_long_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("x".repeat(90));
        let chosen = control_dir(Some(&long)).unwrap();
        assert!(chosen != long && chosen.as_os_str().len() <= LONGEST_DIR && !long.exists());
        let short = dir.path().join("c");
        assert_eq!(control_dir(Some(&short)).unwrap(), short);
    }

    #[tokio::test]
    async fn without_ssh_the_error_says_so() {
        let empty = tempfile::tempdir().unwrap();
        let mux = Mux::new(SshSettings { path: Some(empty.path().into()), ..SshSettings::default() });
        let error = mux.run("pve1", &["true"], b"", Duration::from_secs(5)).await.unwrap_err();
        assert_eq!(error, SshError::NoSsh);
    }

    #[tokio::test]
    async fn a_refused_connection_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let port = {
            let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            taken.local_addr().unwrap().port()
        };
        let config = dir.path().join("config");
        files::write_private(&config, format!("Host pve1\n HostName 127.0.0.1\n Port {port}\n").as_bytes()).unwrap();
        let settings =
            SshSettings { config: Some(config), control_dir: Some(dir.path().join("c")), ..Default::default() };
        let error = Mux::new(settings).run("pve1", &["true"], b"", Duration::from_secs(20)).await.unwrap_err();
        assert_eq!(error, SshError::Refused { host: "pve1".into() });
    }
}
