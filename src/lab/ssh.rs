//! SSH to the lab's nodes: a socket that runs commands in the world, and the system's own sshd in front of it where the
//! machine has one.

pub mod helper;
mod socket;
mod sshd;
mod words;

use std::path::{Path, PathBuf};

use tokio::task::JoinSet;

pub use self::socket::SocketReply;
use super::front::Lab;
use crate::model::ids::NodeName;

/// How SSH is set up.
#[derive(Debug, Clone)]
pub struct SshOptions {
    /// For keys, configuration and the socket; made if it is not there, for this user alone. Short: a socket's path has
    /// at most 107 bytes.
    pub folder: PathBuf,
    /// What sshd runs in place of any command (`/usr/bin/runbook lab ssh-helper`); `--socket S --node N` is added, and
    /// the command is in `SSH_ORIGINAL_COMMAND`.
    pub helper: Vec<String>,
    /// Whether to try the system's sshd at all.
    pub sshd: bool,
}

/// Why there is no SSH at all; a missing sshd is no such reason.
#[derive(Debug, thiserror::Error)]
pub enum SshError {
    #[error("the lab cannot use the folder {}: {source}", path.display())]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("the lab cannot listen on the socket {}: {source}; use a shorter folder", path.display())]
    Socket { path: PathBuf, source: std::io::Error },
}

/// The way by which commands reach the nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SshMode {
    /// The real thing: `ssh -F config NODE command`.
    Sshd { config: PathBuf, ports: Vec<(NodeName, u16)> },
    /// The socket alone, and why; a person should be told.
    InProcess { why: String },
}

/// SSH of a running lab; ends when it is dropped.
pub struct LabSsh {
    socket: socket::RemoveOnDrop,
    mode: SshMode,
    /// The socket's task and the servers: both stop when they are dropped.
    task: JoinSet<()>,
    servers: Option<sshd::Servers>,
}

impl LabSsh {
    /// Opens the socket, and starts an sshd for each node if it can.
    ///
    /// # Errors
    /// When the folder or socket cannot be made. Where there is no working sshd the mode says why.
    pub async fn start(lab: &Lab, options: &SshOptions) -> Result<Self, SshError> {
        make_folder(&options.folder).map_err(|source| SshError::Folder { path: options.folder.clone(), source })?;
        let socket = options.folder.join("lab.sock");
        let listener = socket::bind(&socket).map_err(|source| SshError::Socket { path: socket.clone(), source })?;
        let mut task = JoinSet::new();
        task.spawn(socket::serve(lab.core().clone(), listener));
        let nodes = lab.with_world(|world| world.nodes());
        let servers = if options.sshd {
            sshd::start(&options.folder, &nodes, &options.helper, &socket).await
        } else {
            Err("sshd was not asked for".into())
        };
        let mode = match &servers {
            Ok(started) => SshMode::Sshd {
                config: started.config.clone(),
                ports: started.servers.iter().map(|server| (server.node.clone(), server.port)).collect(),
            },
            Err(why) => SshMode::InProcess { why: why.clone() },
        };
        Ok(Self { socket: socket::RemoveOnDrop(socket), mode, task, servers: servers.ok() })
    }

    pub fn mode(&self) -> &SshMode {
        &self.mode
    }

    /// Where commands can be sent as JSON lines, whatever the mode.
    pub fn socket(&self) -> &Path {
        &self.socket.0
    }

    /// Stops the servers and waits for their end. A session under way ends with its client.
    pub async fn shutdown(mut self) {
        for server in self.servers.iter_mut().flat_map(|servers| &mut servers.servers) {
            server.stop().await;
        }
        self.task.shutdown().await;
    }
}

fn make_folder(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests;
