//! The lab as a person uses it: one in this process for a single command, or one that stays up.

mod daemon;
mod house;

pub use daemon::{Status, down, env as up_env, fault, serve, status, up};
pub use house::{House, LabRequest};
pub(in crate::app) use house::{configuration, profile};

/// Runs what the lab's sshd runs in place of a command; the exit code is the command's.
pub fn ssh_helper(socket: &std::path::Path, node: &str, command: &str) -> i32 {
    crate::lab::ssh::helper::run(socket, node, command)
}

/// Runs what stands in for talosctl of that version; the exit code is its own.
pub fn talosctl(socket: &std::path::Path, version: &str, words: Vec<String>) -> i32 {
    crate::lab::ssh::helper::talosctl(socket, version, words)
}

/// Names of the scenarios that there are.
pub fn scenarios() -> Vec<&'static str> {
    crate::lab::scenario::Scenario::names()
}

/// Runs a program in a lab's environment, with our own streams; its exit code. `runbook lab status` and `fault` work in it.
///
/// # Errors
/// It cannot be started.
pub async fn exec(house: &House, request: &LabRequest, command: &[String]) -> Result<i32, crate::app::AppError> {
    let listener = daemon::listen(house)?;
    tokio::select! {
        ended = program(house, command) => ended,
        never = daemon::answer_meanwhile(listener, house, request) => match never {},
    }
}

async fn program(house: &House, command: &[String]) -> Result<i32, crate::app::AppError> {
    use crate::sys::process::{Ended, Spec, run_here};
    let (program, args) = command.split_first().map_or(("sh", &[][..]), |(p, a)| (p.as_str(), a));
    let mut spec = Spec::new(program).args(args);
    for (name, value) in house.env() {
        spec = spec.env(name, value);
    }
    // So that `runbook` in a script means this one.
    if let Some(folder) = std::env::current_exe().ok().as_deref().and_then(std::path::Path::parent) {
        let path = std::env::var("PATH").unwrap_or_default();
        spec = spec.env("PATH", format!("{}:{path}", folder.display()));
    }
    match run_here(&spec).await {
        Ok(Ended::Exit(code)) => Ok(code),
        Ok(Ended::Signal(signal)) => Ok(128 + signal),
        Ok(Ended::Deadline | Ended::Cancelled) => Ok(1),
        Err(error) => Err(crate::app::AppError::new(crate::app::Exit::NotFound, "lab::exec", error.to_string())),
    }
}
