//! What a command over SSH as root on a node does: the few that have no API.

use super::World;
use super::ha::Request;
use crate::lab::call::CommandReply;
use crate::model::ids::{GuestKind, NodeName, Vmid};

impl World {
    /// Runs a command's words as root on a node. Only what the lab stands in for is there; the rest is not found.
    pub fn command(&mut self, node: &NodeName, argv: &[String]) -> CommandReply {
        let words: Vec<&str> = argv.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["ha-manager", rest @ ..] => ha_manager(self, node, rest),
            ["qm", rest @ ..] => guest_tool(self, node, GuestKind::Qemu, rest),
            ["pct", rest @ ..] => guest_tool(self, node, GuestKind::Lxc, rest),
            [] | ["true"] => done(String::new()),
            [other, ..] => failed(127, format!("bash: line 1: {other}: command not found\n")),
        }
    }
}

fn done(stdout: String) -> CommandReply {
    CommandReply { exit: 0, stdout, stderr: String::new(), mutating: false }
}

fn changed() -> CommandReply {
    CommandReply { mutating: true, ..done(String::new()) }
}

fn failed(exit: i32, stderr: String) -> CommandReply {
    CommandReply { exit, stdout: String::new(), stderr, mutating: false }
}

fn ha_manager(world: &mut World, node: &NodeName, words: &[&str]) -> CommandReply {
    const USAGE: &str = "USAGE: ha-manager crm-command node-maintenance enable|disable <node>\n";
    match words {
        ["crm-command", "node-maintenance", how @ ("enable" | "disable"), name] => {
            let name = match world.check_node_exists(name) {
                Ok(name) => name,
                Err(error) => return failed(255, format!("{}\n", error.message)),
            };
            if !world.quorate() {
                return failed(255, "cluster not ready - no quorum?\n".into());
            }
            world.ha.queue.push(Request::Maintenance { node: name, on: *how == "enable" });
            changed()
        }
        ["crm-command", "node-maintenance", "enable" | "disable"] => {
            failed(255, format!("400 not enough arguments\n{USAGE}"))
        }
        ["crm-command", "node-maintenance", "enable" | "disable", _, ..] => {
            failed(255, format!("400 too many arguments\n{USAGE}"))
        }
        ["crm-command", "node-maintenance", ..] => {
            failed(255, format!("ERROR: unknown command 'ha-manager crm-command node-maintenance'\n{USAGE}"))
        }
        ["crm-command", "stop", sid, timeout] => ha_stop(world, sid, timeout),
        ["crm-command", "stop", ..] => {
            failed(255, "400 wrong number of arguments\nha-manager crm-command stop <sid> <timeout>\n".into())
        }
        ["status"] => done(status(world, node)),
        ["status", other, ..] => {
            failed(255, format!("400 too many arguments\nUSAGE: ha-manager status  [OPTIONS]\n# {other}\n"))
        }
        [] => failed(255, "ERROR: no command specified\nUSAGE: ha-manager <COMMAND> [ARGS] [OPTIONS]\n".into()),
        [other, ..] => failed(
            255,
            format!("ERROR: unknown command 'ha-manager {other}'\nUSAGE: ha-manager <COMMAND> [ARGS] [OPTIONS]\n"),
        ),
    }
}

/// Waits for nothing: the manager takes it in its next round. No time means a power cut.
fn ha_stop(world: &mut World, sid: &str, timeout: &str) -> CommandReply {
    const USAGE: &str = "ha-manager crm-command stop <sid> <timeout>\n";
    let Ok(seconds) = timeout.parse::<u32>() else {
        let text = format!("timeout: type check ('integer') failed - got '{timeout}'");
        return failed(255, format!("400 Parameter verification failed.\n{text}\n{USAGE}"));
    };
    let sid = super::ha::api::sid_of(world, sid);
    if !world.ha.manages(&sid) {
        return failed(255, format!("resource '{sid}' is not HA managed\n"));
    }
    if !world.quorate() {
        return failed(255, "cluster not ready - no quorum?\n".into());
    }
    if world.ha.services.get(&sid).is_some_and(|service| service.state == super::ha::State::Error) {
        return failed(255, format!("service '{sid}' in error state, must be disabled and fixed first\n"));
    }
    if let Some(resource) = world.ha.resources.get_mut(&sid) {
        resource.state = "stopped".into();
    }
    world.ha.queue.push(Request::Stop { sid, now: seconds == 0 });
    changed()
}

/// The lines of `ha-manager status`: the texts of the API's rows.
fn status(world: &mut World, node: &NodeName) -> String {
    let mut text = String::new();
    for row in super::ha::status::rows(world, node) {
        let (kind, line) = (row["type"].as_str().unwrap_or_default(), row["status"].as_str().unwrap_or_default());
        text.push_str(&format!("{kind} {line}\n"));
    }
    text
}

fn guest_tool(world: &mut World, node: &NodeName, kind: GuestKind, words: &[&str]) -> CommandReply {
    let tool = if kind == GuestKind::Qemu { "qm" } else { "pct" };
    match words {
        ["unlock", id] => unlock(world, node, kind, id),
        ["unlock"] => failed(255, format!("400 not enough arguments\n{tool} unlock <vmid>\n")),
        ["unlock", ..] => failed(255, format!("400 too many arguments\n{tool} unlock <vmid>\n")),
        [] => failed(255, format!("ERROR: no command specified\nUSAGE: {tool} <COMMAND> [ARGS] [OPTIONS]\n")),
        [other, ..] => {
            failed(255, format!("ERROR: unknown command '{tool} {other}'\nUSAGE: {tool} <COMMAND> [ARGS] [OPTIONS]\n"))
        }
    }
}

fn unlock(world: &mut World, node: &NodeName, kind: GuestKind, id: &str) -> CommandReply {
    let tool = if kind == GuestKind::Qemu { "qm" } else { "pct" };
    let Ok(vmid) = id.parse::<Vmid>() else {
        return failed(
            255,
            format!(
                "400 Parameter verification failed.\nvmid: type check ('integer') failed - got '{id}'\n{tool} unlock <vmid>\n"
            ),
        );
    };
    if !world.quorate() {
        return failed(255, "cluster not ready - no quorum?\n".into());
    }
    let Some(guest) = world.guests.get_mut(&vmid).filter(|guest| guest.node == *node && guest.kind == kind) else {
        let folder = if kind == GuestKind::Qemu { "qemu-server" } else { "lxc" };
        return failed(2, format!("Configuration file 'nodes/{node}/{folder}/{vmid}.conf' does not exist\n"));
    };
    guest.config.remove("lock");
    changed()
}
