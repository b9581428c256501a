//! A stand-in for `talosctl`: it refuses what that version of it refuses, and answers from the lab's machines with its
//! output, streams and exit codes.
//!
//! Compared with the sources and documents of Talos (`contracts::talosctl`), not with the real binary.

mod bootstrap;
mod change;
mod etcd;
mod get;
mod tell;
mod text;

use crate::contracts::talosctl::{Contract, Typed};
use std::time::Duration;

use crate::lab::call::{ProgramReply as Reply, Waits};
use crate::lab::world::World;
use crate::lab::world::talos::{Down, Stage};
use crate::sys::files;

/// The version that answers where none is asked for.
pub const NEWEST: &str = "1.14";
/// apid's port.
const PORT: u16 = 50000;

impl Reply {
    fn said(stdout: String) -> Self {
        Self { stdout, ..Self::default() }
    }

    /// The world has its number, and the rest is the answer to that.
    fn waits(id: u64, patience: Option<Duration>) -> Self {
        Self { waits: Some(Waits { id, patience }), ..Self::default() }
    }

    /// As talosctl's own `main` ends on any error.
    fn failed(message: impl std::fmt::Display) -> Self {
        let message = message.to_string();
        // The program's own rule: these words make it show how it is used.
        let usage = ["arg(s)", "flag", "command"].iter().any(|word| message.contains(word));
        let usage = if usage { "\nUsage:\n  talosctl [command]\n" } else { "" };
        Self { exit: 1, stderr: format!("{message}\n{usage}"), ..Self::default() }
    }
}

/// The file that a call reads on its own machine.
fn reads(typed: &Typed) -> Option<String> {
    match typed.path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["apply-config"] => typed.flag("file").map(str::to_owned).or_else(|| typed.args.first().cloned()),
        ["bootstrap"] => typed.flag("recover-from").map(str::to_owned),
        _ => None,
    }
}

/// What a call sees of the file that it reads on its own machine: a configuration's text, or what a snapshot is. One that
/// cannot be read is missed by the program itself.
pub fn read(version: &str, words: &[String]) -> Option<String> {
    let typed = Contract::of(version)?.parse(words).ok()?;
    let path = reads(&typed)?;
    match typed.path.first().map(String::as_str) {
        Some("bootstrap") => bootstrap::look(&path),
        _ => files::read_text(path).ok(),
    }
}

/// The same in a rehearsal, which writes no file: the snapshot that is not there is one of the lab's, as it was at its beginning.
pub fn rehearsed(version: &str, words: &[String]) -> Option<String> {
    let typed = Contract::of(version)?.parse(words).ok()?;
    let restores = typed.path.iter().map(String::as_str).eq(["bootstrap"]) && reads(&typed).is_some();
    read(version, words).or_else(|| restores.then(|| bootstrap::seen(4_000)))
}

/// Answers a call of talosctl of this minor version; `words` are those after the program's name, `file` what is in the
/// one that it reads.
pub fn talosctl(world: &mut World, version: &str, words: &[String], file: Option<&str>) -> Reply {
    let Some(contract) = Contract::of(version) else {
        return Reply::failed(format_args!("the lab has no talosctl {version}"));
    };
    let typed = match contract.parse(words) {
        Ok(typed) => typed,
        Err(refusal) => return Reply::failed(refusal),
    };
    if typed.help {
        let lines = contract
            .commands
            .iter()
            .filter(|c| c.path.len() == typed.path.len() + 1 && c.path.starts_with(&typed.path));
        let lines: String =
            lines.map(|c| format!("  {:<18}{}\n", c.path.last().map_or("", String::as_str), c.short)).collect();
        return Reply::said(format!("Usage:\n  talosctl {} [flags]\n\n{lines}", typed.path.join(" ")));
    }
    let mut reply = answer(world, contract, &typed, file);
    if !typed.warnings.is_empty() {
        reply.stderr = format!("{}\n{}", typed.warnings.join("\n"), reply.stderr);
    }
    reply
}

fn answer(world: &mut World, contract: &Contract, typed: &Typed, file: Option<&str>) -> Reply {
    let path: Vec<&str> = typed.path.iter().map(String::as_str).collect();
    if path[..] == ["version"] && typed.is_on("client") {
        return Reply::said(text::client(contract, typed.is_on("short")));
    }
    let node = match typed.all("nodes") {
        [] => {
            return Reply::failed(
                "nodes are not set for the command: please use `--nodes` flag or configuration file to set the nodes to \
                 run the command against",
            );
        }
        [one] => one.clone(),
        // Ours never does it; whoever does is told so, and not led to believe that the lab knows how it ends.
        many => return Reply::failed(format_args!("the lab answers for one node a call, not for {}", many.len())),
    };
    let call = Call { contract, typed, node: &node };
    if let Some(refused) = call.wrong_door(world) {
        return refused;
    }
    match path[..] {
        ["version"] => get::version(world, &call),
        ["get"] => get::get(world, &call),
        ["read"] => get::read(world, &call),
        ["services" | "service"] => get::services(world, &call),
        ["etcd", "members"] => etcd::members(world, &call),
        ["etcd", "status"] => etcd::status(world, &call),
        ["etcd", "alarm", "list"] => etcd::alarms(world, &call),
        ["etcd", "snapshot"] => etcd::snapshot(world, &call),
        ["etcd", "alarm", "disarm"] => etcd::disarm(world, &call),
        ["etcd", "forfeit-leadership"] => etcd::forfeit(world, &call),
        ["etcd", "remove-member"] => etcd::remove(world, &call),
        ["etcd", "defrag"] => etcd::defrag(world, &call),
        ["bootstrap"] => bootstrap::bootstrap(world, &call, file),
        ["list"] => bootstrap::list(world, &call),
        ["upgrade"] => change::upgrade(world, &call),
        ["upgrade-k8s"] => change::upgrade_kubernetes(world, &call),
        ["reboot"] => change::down(world, &call, &Down::Reboot),
        ["shutdown"] => change::down(world, &call, &Down::Shutdown),
        ["rollback"] => change::rollback(world, &call),
        ["reset"] => change::reset(world, &call),
        ["apply-config"] => change::apply_config(world, &call, file),
        ["image", "pull"] => change::pull(world, &call),
        ["image", "list"] => change::images(world, &call),
        ["health"] => change::health(world, &call),
        ["mounts"] => tell::mounts(world, &call),
        ["logs"] => tell::logs(world, &call),
        ["dmesg"] => tell::dmesg(world, &call),
        ["time"] => tell::time(world, &call),
        _ => Reply::failed(format_args!("the lab does not stand in for `talosctl {}`", path.join(" "))),
    }
}

/// A call about one node.
struct Call<'a> {
    contract: &'a Contract,
    typed: &'a Typed,
    node: &'a str,
}

impl Call<'_> {
    /// A machine without a configuration and one with are spoken to in different ways.
    fn wrong_door(&self, world: &World) -> Option<Reply> {
        let (_, machine) = world.machine_at(self.node)?;
        let why = match (machine.stage == Stage::Maintenance, self.typed.is_on("insecure")) {
            (true, false) => "tls: failed to verify certificate: x509: certificate signed by unknown authority",
            (false, true) => "remote error: tls: certificate required",
            _ => return None,
        };
        Some(Reply::failed(format_args!(
            "rpc error: code = Unavailable desc = connection error: desc = \"transport: authentication handshake failed: {why}\""
        )))
    }

    /// What is said where nobody answers; `doing` stands before it, other for each command.
    fn unreachable(&self, doing: &str) -> Reply {
        Reply::failed(format_args!(
            "{doing}rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: dial \
             tcp {}:{PORT}: i/o timeout\"",
            self.node
        ))
    }
}

#[cfg(test)]
mod tests;
