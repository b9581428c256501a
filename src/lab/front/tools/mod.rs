//! The command-line tools of a node. Each of their commands is a line of a table that names a call of the API: it passes
//! the same schema check to the same world as one over HTTP, as `root@pam`. What has no API is the world's own command.
//!
//! Source: PVE::CLI::{qm,pct,pvesh,pveum,ha_manager}, PVE::{CLIHandler,RESTHandler,RESTEnvironment}.

mod desk;
mod grid;
mod line;
mod pvecm;
mod pvesh;
mod show;
mod table;
mod wait;

use std::collections::BTreeMap;

use self::desk::Desk;
use self::line::{Line, Wrong};
use self::show::Show;
use self::table::Command;
pub(super) use self::wait::{Begun, Waiting};
use super::core::Core;
use super::site::SiteWorld;
use crate::lab::call::{CommandReply, PveError, Reply};
use crate::model::ids::NodeName;

/// Takes a command as far as it comes at once: to its end, or to a task that it waits for.
pub(super) fn begin(core: &Core, world: &mut dyn SiteWorld, node: &NodeName, argv: &[String]) -> Begun {
    let Some((program, words)) = argv.split_first() else { return Begun::Done(world.command(node, argv)) };
    let mut desk = Desk { core, world: &mut *world, node: node.clone() };
    match (program.as_str(), table::find(program, words)) {
        ("pvesh", _) => pvesh::begin(&mut desk, words),
        ("pvecm", _) => Begun::Done(pvecm::run(&mut desk, words)),
        (_, Some((command, words))) => run(&mut desk, program, command, words),
        ("pveum", None) => Begun::Done(unknown(program, words)),
        _ => Begun::Done(world.command(node, argv)),
    }
}

fn run(desk: &mut Desk<'_>, program: &str, command: &Command, words: &[String]) -> Begun {
    let template = command.template(program);
    let Some(method) = desk.schema().method(command.verb, &template) else {
        // A command that came with a later version.
        return Begun::Done(unknown(program, words));
    };
    let line = match line::parse(words, method, command) {
        Ok(line) => line,
        Err(wrong) => return Begun::Done(refused(&wrong, &command.usage(program))),
    };
    let (mut path, mut params) = (BTreeMap::new(), command.fixed());
    for (name, value) in &line.params {
        let place = if method.path_names().any(|known| known == name) { &mut path } else { &mut params };
        place.insert(name.clone(), value.clone());
    }
    if method.path_names().any(|name| name == "node") {
        path.insert("node".into(), desk.node.to_string());
    }
    match desk.call(method, path, params) {
        Ok(reply) => answer(command, &line, reply),
        Err(error) => Begun::Done(failed(&error, &command.usage(program))),
    }
}

fn answer(command: &Command, line: &Line, reply: Reply) -> Begun {
    match Waiting::on(&reply.data) {
        Some(waiting) if command.show == Show::Worker => Begun::Waits(waiting),
        _ => {
            let (text, error) = command.show.text(&reply.data, line);
            let exit = if error.is_empty() { 0 } else { 255 };
            Begun::Done(CommandReply { exit, stdout: text, stderr: error, mutating: reply.mutating })
        }
    }
}

fn refusal(exit: i32, stderr: String) -> CommandReply {
    CommandReply { exit, stdout: String::new(), stderr, mutating: false }
}

fn unknown(program: &str, words: &[String]) -> CommandReply {
    let usage = format!("USAGE: {program} <COMMAND> [ARGS] [OPTIONS]\n");
    match words.is_empty() {
        true => refusal(255, format!("ERROR: no command specified\n{usage}")),
        false => refusal(255, format!("ERROR: unknown command '{program} {}'\n{usage}", words.join(" "))),
    }
}

fn refused(wrong: &Wrong, usage: &str) -> CommandReply {
    refusal(255, format!("{wrong}\n{usage}\n"))
}

/// An error of the API as the tools print it. `die` leaves the exit code that the last system call had: 2 where a file
/// was missing.
fn failed(error: &PveError, usage: &str) -> CommandReply {
    let message = error.message.trim_end();
    if !error.errors.is_empty() {
        let lines: String = error.errors.iter().map(|(name, text)| format!("{name}: {}\n", text.trim_end())).collect();
        return refusal(255, format!("{} {message}\n{lines}{usage}\n", error.status));
    }
    let missing = message.starts_with("Configuration file") && message.ends_with("does not exist");
    refusal(if missing { 2 } else { 255 }, format!("{message}\n"))
}

#[cfg(test)]
mod tests;
