//! `pvesh`: any path of the API by hand.
//!
//! Source: PVE::CLI::pvesh. It prints the answer of a call that starts a task once the task has ended, and does not look
//! at how it ended.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::desk::Desk;
use super::line::{self, Line};
use super::show::{self, Show, plain};
use super::table::{self, Command, OUTPUT};
use super::{Begun, Waiting, failed, refusal, refused, unknown};
use crate::contracts::{Method, Verb};
use crate::lab::call::CommandReply;
use crate::model::ids::NodeName;

const PLACES: Command = Command { own: OUTPUT, ..table::command(&[], Verb::Get, "", &["api_path"], Show::Result) };

pub(super) fn begin(desk: &mut Desk<'_>, words: &[String]) -> Begun {
    let Some((how, rest)) = words.split_first() else { return Begun::Done(unknown("pvesh", words)) };
    let verb = match how.as_str() {
        "get" | "ls" => Verb::Get,
        "create" => Verb::Post,
        "set" => Verb::Put,
        "delete" => Verb::Delete,
        _ => return Begun::Done(unknown("pvesh", words)),
    };
    // As the real one: the path is the word after the verb.
    let path = rest.first().map(|path| absolute(path)).unwrap_or_default();
    let usage = format!("pvesh {how} <api_path> [OPTIONS] [FORMAT_OPTIONS]");
    let Some((method, values)) = desk.schema().find(verb, &path).filter(|_| !rest.is_empty()) else {
        return Begun::Done(match (rest.is_empty(), how.as_str()) {
            (true, _) => refused(&line::Wrong::TooFew, &usage),
            (_, "ls") => refusal(255, format!("no such resource '{path}'\n")),
            _ => refusal(255, format!("no '{how}' handler for '{path}'\n")),
        });
    };
    let line = match line::parse(rest, method, &PLACES) {
        Ok(line) => line,
        Err(wrong) => return Begun::Done(refused(&wrong, &usage)),
    };
    let Line { mut params, own } = line;
    params.remove("api_path");
    let line = Line { own, ..Line::default() };
    if let Some(reply) = go_to_its_node(desk, method, values.get("node")) {
        return Begun::Done(reply);
    }
    if how == "ls" {
        return Begun::Done(ls(desk, method, &path, &line));
    }
    match desk.call(method, values, params) {
        Ok(reply) => match show::result(&reply.data, &line) {
            Err(error) => Begun::Done(CommandReply { mutating: reply.mutating, ..failed(&error, &usage) }),
            Ok(text) => match Waiting::on(&reply.data).filter(|_| verb != Verb::Get) {
                Some(waiting) => Begun::Waits(waiting.with_result(text)),
                None => {
                    let (stderr, mutating) = (String::new(), reply.mutating);
                    Begun::Done(CommandReply { exit: 0, stdout: text, stderr, mutating })
                }
            },
        },
        Err(error) => Begun::Done(failed(&error, &usage)),
    }
}

fn absolute(path: &str) -> String {
    format!("/{}", path.trim_matches('/'))
}

/// A call for another node is made there, over SSH.
fn go_to_its_node(desk: &mut Desk<'_>, method: &Method, named: Option<&String>) -> Option<CommandReply> {
    let name = named.filter(|name| method.proxyto.is_some() && *name != "localhost")?;
    let node = NodeName::new(name.as_str());
    if !desk.world.nodes().contains(&node) {
        return Some(refusal(
            255,
            format!(
                "hostname lookup '{node}' failed - failed to get address info for: {node}: Name or service not known\n"
            ),
        ));
    }
    if !desk.world.node_up(&node) {
        let text =
            format!("ssh: connect to host {node} port 22: No route to host\nproxy handler failed: exit code 255\n");
        return Some(refusal(255, text));
    }
    desk.node = node;
    None
}

/// The children of a path: by their names where it has a list, as the schema has them where they are fixed.
fn ls(desk: &mut Desk<'_>, method: &Method, path: &str, line: &Line) -> CommandReply {
    let (fixed, variable) = children(desk, &method.template);
    let names: BTreeSet<String> = match (variable, fixed.is_empty()) {
        (None, true) => return refusal(255, format!("resource '{path}' does not define child links\n")),
        (None, false) => fixed,
        (Some(name), _) => match desk.read(path, &[]) {
            Ok(data) => data.as_array().into_iter().flatten().map(|row| plain(&row[name.as_str()])).collect(),
            Err(error) => return failed(&error, "pvesh ls <api_path>"),
        },
    };
    let row = |name: &String| {
        let child = format!("{}/{name}", path.trim_end_matches('/'));
        json!({"capabilities": capabilities(desk, &child), "name": name})
    };
    let rows: Vec<Value> = names.iter().filter(|name| !name.is_empty()).map(row).collect();
    let mut line = Line { own: line.own.clone(), ..Line::default() };
    for name in ["noborder", "noheader"] {
        line.own.entry(name.to_owned()).or_insert_with(|| "1".to_owned());
    }
    let by_name = |row: &Value| format!("{} {}\n", plain(&row["capabilities"]), plain(&row["name"]));
    let stdout = match line.own("output-format") {
        None | Some("text") => rows.iter().map(by_name).collect(),
        _ => match show::result(&json!(rows), &line) {
            Ok(text) => text,
            Err(error) => return failed(&error, "pvesh ls <api_path>"),
        },
    };
    CommandReply { exit: 0, stdout, stderr: String::new(), mutating: false }
}

/// The names below a path of the schema, and the name in braces if there is one.
fn children(desk: &Desk<'_>, template: &str) -> (BTreeSet<String>, Option<String>) {
    let below = format!("{}/", template.trim_end_matches('/'));
    let first = |method: &Method| {
        let rest = method.template.strip_prefix(&below)?;
        rest.split('/').next().filter(|name| !name.is_empty()).map(str::to_owned)
    };
    let all: BTreeSet<String> = desk.schema().methods().filter_map(first).collect();
    let variable = all.iter().find_map(|name| Some(name.strip_prefix('{')?.strip_suffix('}')?.to_owned()));
    (all.into_iter().filter(|name| !name.starts_with('{')).collect(), variable)
}

fn capabilities(desk: &Desk<'_>, path: &str) -> String {
    let found = |verb| desk.schema().find(verb, path);
    let folder = found(Verb::Get).is_some_and(|(method, _)| {
        let (fixed, variable) = children(desk, &method.template);
        variable.is_some() || !fixed.is_empty()
    });
    let letter = |verb, letter| if found(verb).is_some() { letter } else { '-' };
    let rest = [letter(Verb::Get, 'r'), letter(Verb::Put, 'w'), letter(Verb::Post, 'c'), letter(Verb::Delete, 'd')];
    std::iter::once(if folder { 'D' } else { '-' }).chain(rest).collect()
}
