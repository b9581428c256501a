//! The lab's socket: one JSON line in (`node`, and `argv` or `command`; or `talosctl`, a version, and `argv`), one out
//! (`exit`, `stdout`, `stderr`, and `file`, which the program is to write).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::words;
use crate::lab::front::Core;
use crate::model::ids::NodeName;

/// The kernel's limit for a socket's path, its final NUL included.
pub(super) const MAX_PATH: usize = 108;
const MAX_LINE: u64 = 1024 * 1024;

/// What the helper answers itself, so that setting up can be tested without a line in the ledger.
pub(super) const PROBE: &str = "runbook-lab-probe";

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) node: String,
    /// Which talosctl is called, with the words of `argv`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) talosctl: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) argv: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) command: Option<String>,
    /// What is in the file that the call reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<String>,
}

/// What a command answered, as it passes over the socket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketReply {
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
    /// Path and contents, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<(String, String)>,
}

/// Binds the socket, for this user alone.
///
/// # Errors
/// When the path is too long for a socket, or cannot be bound.
pub(super) fn bind(path: &Path) -> std::io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    if path.as_os_str().len() >= MAX_PATH {
        let text = format!("{} has {} bytes, a socket's path may have 107", path.display(), path.as_os_str().len());
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, text));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers until its task is aborted.
pub(super) async fn serve(core: Arc<Core>, listener: UnixListener) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => _ = connections.spawn(answer(core.clone(), stream)),
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
}

/// Takes the socket's file away with its owner, whether or not a task ever ran on it.
pub(super) struct RemoveOnDrop(pub(super) PathBuf);

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        // It may be gone with its folder already.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Questions on one connection, one after another. A client that goes away loses its answer, nothing else.
async fn answer(core: Arc<Core>, stream: UnixStream) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read.take(MAX_LINE)).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let reply = match serde_json::from_str::<Question>(&line) {
            // Who waits for a program that is killed closes its end: the program's own steps are over then.
            Ok(question) if question.talosctl.is_some() => tokio::select! {
                reply = run(&core, question) => reply,
                _ = lines.next_line() => return,
            },
            Ok(question) => run(&core, question).await,
            Err(error) => refuse(format!("the lab expected one line of JSON with node and argv or command: {error}\n")),
        };
        let Ok(mut line) = serde_json::to_vec(&reply) else { return };
        line.push(b'\n');
        if write.write_all(&line).await.is_err() {
            return;
        }
    }
}

fn refuse(stderr: String) -> SocketReply {
    SocketReply { exit: 255, stderr, ..SocketReply::default() }
}

async fn run(core: &Core, question: Question) -> SocketReply {
    if let Some(version) = question.talosctl {
        let words = question.argv.unwrap_or_default();
        let reply = core.run_talosctl(Some(&version), &words, question.file.as_deref()).await;
        let file = reply.file.map(|(path, bytes)| (path, BASE64.encode(bytes)));
        return SocketReply { exit: reply.exit, stdout: reply.stdout, stderr: reply.stderr, file };
    }
    let argv = question.argv.unwrap_or_else(|| words::split(&question.command.unwrap_or_default()));
    match argv.first().map(String::as_str) {
        None => refuse("the lab has no shell to log in to: give a command\n".into()),
        Some(PROBE) => SocketReply::default(),
        Some(_) => {
            let reply = core.run_command(&NodeName::new(question.node), &argv).await;
            SocketReply { exit: reply.exit, stdout: reply.stdout, stderr: reply.stderr, file: None }
        }
    }
}
