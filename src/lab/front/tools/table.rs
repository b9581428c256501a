//! The one table: which call of the API a command of a tool is.

use std::collections::BTreeMap;

use super::show::Show;
use crate::contracts::Verb::{self, Delete, Get, Post, Put};

/// An option of the tool's own.
pub(super) struct Own {
    pub name: &'static str,
    pub boolean: bool,
}

/// One command of a tool.
pub(super) struct Command {
    pub words: &'static [&'static str],
    pub verb: Verb,
    /// As the schema has it; `{kind}` is `qemu` for `qm` and `lxc` for `pct`.
    pub path: &'static str,
    /// Parameters by their place.
    pub args: &'static [&'static str],
    /// Whether the first of them takes all that there are.
    pub rest: bool,
    /// Parameters that the command itself gives.
    pub fixed: &'static [(&'static str, &'static str)],
    pub own: &'static [Own],
    pub show: Show,
}

impl Command {
    pub fn template(&self, program: &str) -> String {
        self.path.replace("{kind}", if program == "pct" { "lxc" } else { "qemu" })
    }

    pub fn fixed(&self) -> BTreeMap<String, String> {
        self.fixed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    pub fn usage(&self, program: &str) -> String {
        let words = self.words.iter().map(|word| format!(" {word}")).collect::<String>();
        let args = self.args.iter().map(|name| format!(" <{name}>")).collect::<String>();
        format!("{program}{words}{args} [OPTIONS]")
    }
}

const fn flag(name: &'static str) -> Own {
    Own { name, boolean: true }
}

/// Source: PVE::RESTHandler (standard_output_options).
pub(super) const OUTPUT: &[Own] = &[
    Own { name: "output-format", boolean: false },
    flag("quiet"),
    flag("noborder"),
    flag("noheader"),
    flag("human-readable"),
];

pub(super) const fn command(
    words: &'static [&'static str],
    verb: Verb,
    path: &'static str,
    args: &'static [&'static str],
    show: Show,
) -> Command {
    Command { words, verb, path, args, rest: false, fixed: &[], own: &[], show }
}

/// A command whose answer is printed as a table, or as asked for.
const fn printed(
    words: &'static [&'static str],
    verb: Verb,
    path: &'static str,
    args: &'static [&'static str],
) -> Command {
    Command { own: OUTPUT, ..command(words, verb, path, args, Show::Result) }
}

const VM: &[&str] = &["vmid"];
const SNAPSHOT: &[&str] = &["vmid", "snapname"];
const TOKEN: &[&str] = &["userid", "tokenid"];

/// Of `qm` and `pct`.
const GUEST: &[Command] = &[
    Command { own: &[flag("full")], ..command(&["list"], Get, "/nodes/{node}/{kind}", &[], Show::Guests) },
    Command {
        own: &[flag("verbose")],
        ..command(&["status"], Get, "/nodes/{node}/{kind}/{vmid}/status/current", VM, Show::Status)
    },
    command(&["config"], Get, "/nodes/{node}/{kind}/{vmid}/config", VM, Show::Config),
    command(&["create"], Post, "/nodes/{node}/{kind}", VM, Show::Worker),
    command(&["start"], Post, "/nodes/{node}/{kind}/{vmid}/status/start", VM, Show::Worker),
    command(&["shutdown"], Post, "/nodes/{node}/{kind}/{vmid}/status/shutdown", VM, Show::Worker),
    command(&["stop"], Post, "/nodes/{node}/{kind}/{vmid}/status/stop", VM, Show::Worker),
    command(&["reboot"], Post, "/nodes/{node}/{kind}/{vmid}/status/reboot", VM, Show::Worker),
    command(&["reset"], Post, "/nodes/{node}/{kind}/{vmid}/status/reset", VM, Show::Worker),
    command(&["suspend"], Post, "/nodes/{node}/{kind}/{vmid}/status/suspend", VM, Show::Worker),
    command(&["resume"], Post, "/nodes/{node}/{kind}/{vmid}/status/resume", VM, Show::Worker),
    command(&["set"], Put, "/nodes/{node}/{kind}/{vmid}/config", VM, Show::Set),
    command(&["resize"], Put, "/nodes/{node}/{kind}/{vmid}/resize", &["vmid", "disk", "size"], Show::Worker),
    command(&["migrate"], Post, "/nodes/{node}/{kind}/{vmid}/migrate", &["vmid", "target"], Show::Worker),
    command(&["clone"], Post, "/nodes/{node}/{kind}/{vmid}/clone", &["vmid", "newid"], Show::Worker),
    command(&["template"], Post, "/nodes/{node}/{kind}/{vmid}/template", VM, Show::Worker),
    command(&["destroy"], Delete, "/nodes/{node}/{kind}/{vmid}", VM, Show::Worker),
    command(&["snapshot"], Post, "/nodes/{node}/{kind}/{vmid}/snapshot", SNAPSHOT, Show::Worker),
    command(&["delsnapshot"], Delete, "/nodes/{node}/{kind}/{vmid}/snapshot/{snapname}", SNAPSHOT, Show::Worker),
    command(&["rollback"], Post, "/nodes/{node}/{kind}/{vmid}/snapshot/{snapname}/rollback", SNAPSHOT, Show::Worker),
    command(&["listsnapshot"], Get, "/nodes/{node}/{kind}/{vmid}/snapshot", VM, Show::Snapshots),
];

const HA: &[Command] = &[
    command(&["config"], Get, "/cluster/ha/resources", &[], Show::HaConfig),
    command(&["add"], Post, "/cluster/ha/resources", &["sid"], Show::Nothing),
    command(&["set"], Put, "/cluster/ha/resources/{sid}", &["sid"], Show::Nothing),
    command(&["remove"], Delete, "/cluster/ha/resources/{sid}", &["sid"], Show::Nothing),
    command(&["crm-command", "migrate"], Post, "/cluster/ha/resources/{sid}/migrate", MOVE, Show::Motion("migrate")),
    command(&["crm-command", "relocate"], Post, "/cluster/ha/resources/{sid}/relocate", MOVE, Show::Motion("relocate")),
    command(&["migrate"], Post, "/cluster/ha/resources/{sid}/migrate", MOVE, Show::Motion("migrate")),
    command(&["relocate"], Post, "/cluster/ha/resources/{sid}/relocate", MOVE, Show::Motion("relocate")),
];

const MOVE: &[&str] = &["sid", "node"];

const USERS: &[Command] = &[
    printed(&["user", "list"], Get, "/access/users", &[]),
    command(&["user", "add"], Post, "/access/users", &["userid"], Show::Nothing),
    command(&["user", "modify"], Put, "/access/users/{userid}", &["userid"], Show::Nothing),
    command(&["user", "delete"], Delete, "/access/users/{userid}", &["userid"], Show::Nothing),
    printed(&["user", "token", "list"], Get, "/access/users/{userid}/token", &["userid"]),
    printed(&["user", "token", "add"], Post, "/access/users/{userid}/token/{tokenid}", TOKEN),
    printed(&["user", "token", "modify"], Put, "/access/users/{userid}/token/{tokenid}", TOKEN),
    printed(&["user", "token", "delete"], Delete, "/access/users/{userid}/token/{tokenid}", TOKEN),
    printed(&["user", "token", "remove"], Delete, "/access/users/{userid}/token/{tokenid}", TOKEN),
    printed(&["role", "list"], Get, "/access/roles", &[]),
    command(&["role", "add"], Post, "/access/roles", &["roleid"], Show::Nothing),
    command(&["role", "modify"], Put, "/access/roles/{roleid}", &["roleid"], Show::Nothing),
    command(&["role", "delete"], Delete, "/access/roles/{roleid}", &["roleid"], Show::Nothing),
    printed(&["acl", "list"], Get, "/access/acl", &[]),
    Command { fixed: &[("delete", "0")], ..command(&["acl", "modify"], Put, "/access/acl", &["path"], Show::Nothing) },
    Command { fixed: &[("delete", "1")], ..command(&["acl", "delete"], Put, "/access/acl", &["path"], Show::Nothing) },
    printed(&["realm", "list"], Get, "/access/domains", &[]),
    printed(&["pool", "list"], Get, "/pools", &[]),
    command(&["pool", "add"], Post, "/pools", &["poolid"], Show::Nothing),
    command(&["pool", "delete"], Delete, "/pools/{poolid}", &["poolid"], Show::Nothing),
];

/// Older names of `pveum`.
const ALIASES: &[(&str, [&str; 2])] = &[
    ("useradd", ["user", "add"]),
    ("usermod", ["user", "modify"]),
    ("userdel", ["user", "delete"]),
    ("roleadd", ["role", "add"]),
    ("rolemod", ["role", "modify"]),
    ("roledel", ["role", "delete"]),
    ("aclmod", ["acl", "modify"]),
    ("acldel", ["acl", "delete"]),
];

const DUMP: &[Command] =
    &[Command { rest: true, ..command(&[], Post, "/nodes/{node}/vzdump", &["vmid"], Show::Worker) }];

/// The command that these words begin with, and the words after it.
pub(super) fn find<'a>(program: &str, words: &'a [String]) -> Option<(&'static Command, &'a [String])> {
    let commands = match program {
        "qm" | "pct" => GUEST,
        "ha-manager" => HA,
        "pveum" => USERS,
        "vzdump" => DUMP,
        _ => return None,
    };
    if program == "pveum"
        && let Some((_, full)) = ALIASES.iter().find(|(alias, _)| words.first().is_some_and(|word| word == alias))
    {
        return commands.iter().find(|command| command.words == full).map(|command| (command, &words[1..]));
    }
    commands
        .iter()
        .filter(|command| words.len() >= command.words.len() && command.words.iter().zip(words).all(|(a, b)| a == b))
        .max_by_key(|command| command.words.len())
        .map(|command| (command, &words[command.words.len()..]))
}

#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = (&'static str, &'static Command)> {
    [("qm", GUEST), ("pct", GUEST), ("ha-manager", HA), ("pveum", USERS), ("vzdump", DUMP)]
        .into_iter()
        .flat_map(|(program, commands)| commands.iter().map(move |command| (program, command)))
}
