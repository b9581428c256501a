//! The lab as a person uses it: one in this process for a single command, or one that stays up.

mod daemon;
mod house;

pub use daemon::{Status, down, env as up_env, fault, serve, status, up};
pub use house::{House, LabRequest};

/// Runs what the lab's sshd runs in place of a command; the exit code is the command's.
pub fn ssh_helper(socket: &std::path::Path, node: &str, command: &str) -> i32 {
    crate::lab::ssh::helper::run(socket, node, command)
}
