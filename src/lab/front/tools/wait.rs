//! The end of a task, which the tools wait for in the foreground.
//!
//! Source: PVE::RESTEnvironment (fork_worker of type `cli`): the worker's lines go to standard output as they come, its
//! error to standard error; the tools take the exit code from the task's end.

use std::time::Duration;

use serde_json::Value;

use super::super::core::Core;
use super::super::site::SiteWorld;
use super::desk::Desk;
use crate::lab::call::CommandReply;
use crate::model::ids::{NodeName, Upid};

/// How often the world is asked, world milliseconds.
const POLL_MS: u64 = 500;

/// How far a command has come.
pub(in crate::lab::front) enum Begun {
    Done(CommandReply),
    Waits(Waiting),
}

impl Begun {
    pub fn exit(&self) -> i32 {
        match self {
            Self::Done(reply) => reply.exit,
            Self::Waits(_) => 0,
        }
    }

    pub fn mutating(&self) -> bool {
        match self {
            Self::Done(reply) => reply.mutating,
            Self::Waits(_) => true,
        }
    }
}

/// A command whose task runs.
pub(in crate::lab::front) struct Waiting {
    node: NodeName,
    upid: String,
    /// Printed when the task has ended, and the exit code then, whatever the task's own end: `pvesh`.
    result: Option<String>,
}

impl Waiting {
    /// The task that an answer of the API names.
    pub(super) fn on(data: &Value) -> Option<Self> {
        let upid: Upid = data.as_str()?.parse().ok()?;
        Some(Self { node: upid.node(), upid: upid.as_str().to_owned(), result: None })
    }

    /// The same for a tool that prints the call's answer and does not look at the task's end.
    pub(super) fn with_result(self, text: String) -> Self {
        Self { result: Some(text), ..self }
    }

    pub(in crate::lab::front) async fn for_its_end(self, core: &Core) -> CommandReply {
        let poll = core.clock.real_duration(POLL_MS).max(Duration::from_millis(2));
        loop {
            if let Some(reply) = core.with_world(|world| self.ended(core, world)) {
                return reply;
            }
            tokio::time::sleep(poll).await;
        }
    }

    fn ended(&self, core: &Core, world: &mut dyn SiteWorld) -> Option<CommandReply> {
        if !world.node_up(&self.node) {
            let stderr = format!("Connection to {} closed by remote host.\n", self.node);
            return Some(CommandReply { exit: 255, stdout: String::new(), stderr, mutating: true });
        }
        let mut desk = Desk { core, world, node: self.node.clone() };
        let task = format!("/nodes/{}/tasks/{}", self.node, self.upid);
        let status = desk.read(&format!("{task}/status"), &[]).unwrap_or_default();
        if status["status"] == "running" {
            return None;
        }
        let log = desk.read(&format!("{task}/log"), &[("limit", "0")]).unwrap_or_default();
        Some(self.reply(status["exitstatus"].as_str().unwrap_or("unexpected status"), &log))
    }

    fn reply(&self, end: &str, log: &Value) -> CommandReply {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        for line in log.as_array().into_iter().flatten().filter_map(|row| row["t"].as_str()) {
            if let Some(error) = line.strip_prefix("TASK ERROR: ") {
                stderr.push_str(&format!("{error}\n"));
            } else if let Some(count) = line.strip_prefix("TASK WARNINGS: ") {
                stderr.push_str(&format!("Task finished with {count} warning(s)!\n"));
            } else if line != "TASK OK" {
                stdout.push_str(&format!("{line}\n"));
            }
        }
        let well = end == "OK" || end.starts_with("WARNINGS");
        let exit = if well || self.result.is_some() { 0 } else { 255 };
        stdout.extend(self.result.as_deref());
        CommandReply { exit, stdout, stderr, mutating: true }
    }
}
