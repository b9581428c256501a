//! `runbook guest` and `runbook template`: each is `runbook do` of one action, in fewer words. Nothing is decided here.

use serde_json::Value;

use crate::cli::args::{Act, Answers, Do, Guest, GuestClone, GuestList, One, Template};
use crate::model::shell;

/// The same as `runbook do`.
pub fn of_guest(command: Guest) -> Do {
    match command {
        Guest::List(list) => listed(list),
        Guest::Status { guest } => asked("guest_status").with("guest", guest),
        Guest::Config { guest } => asked("guest_config").with("guest", guest),
        Guest::Start(one) => one_by("guest_start", one),
        Guest::Stop { one, timeout, force } => {
            one_by("guest_shutdown", one).given("timeout", timeout).flag("force", force)
        }
        Guest::Kill(one) => one_by("guest_stop", one),
        Guest::Clone(clone) => cloned(clone),
        Guest::Set { guest, set, delete, act } => {
            by("guest_set", act).with("guest", guest).map("set", set).list("delete", delete)
        }
        Guest::Resize { guest, disk, size, act } => {
            by("guest_resize", act).with("guest", guest).with("disk", disk).with("size", size)
        }
        Guest::Migrate { guest, to, mode, storage, act } => {
            let moved = by("guest_migrate", act).with("guest", guest).with("to", to);
            moved.given("mode", mode).map("storages", storage)
        }
        Guest::Delete { one, tag, template, unreferenced } => {
            let gone = one_by("guest_delete", one).list("tags", tag);
            gone.flag("template", template).flag("unreferenced", unreferenced)
        }
        Guest::Unlock { one, lock } => one_by("guest_unlock", one).given("lock", lock),
        Guest::Snapshot { guest, name: None, act, .. } => by("guest_snapshots", act).with("guest", guest),
        Guest::Snapshot { guest, name: Some(name), description, vmstate, act } => {
            let taken = by("guest_snapshot", act).with("guest", guest).with("name", name);
            taken.given("description", description).flag("vmstate", vmstate)
        }
    }
}

/// The same as `runbook do`.
pub fn of_template(command: Template) -> Do {
    let Template::List { tag, node } = command;
    asked("templates").list("tags", tag).given("node", node)
}

fn listed(list: GuestList) -> Do {
    let GuestList { tag, node, pool, state, name, kind } = list;
    let named = asked("guests").list("tags", tag).given("node", node).given("pool", pool);
    named.given("status", state).given("name", name).given("type", kind)
}

fn cloned(clone: GuestClone) -> Do {
    let GuestClone { guest, name, vmid, full, linked, target, storage, snapshot, pool, act } = clone;
    let how = full.then_some("true").or(linked.then_some("false")).map(str::to_owned);
    let made = by("guest_clone", act).with("guest", guest).with("name", name).given("vmid", vmid).given("full", how);
    made.given("target", target).given("storage", storage).given("snapshot", snapshot).given("pool", pool)
}

fn one_by(action: &str, one: One) -> Do {
    by(action, one.act).with("guest", one.guest)
}

fn by(action: &str, act: Act) -> Do {
    Do { action: format!("proxmox.{action}"), with: Vec::new(), cluster: None, act, short: Some(as_typed()) }
}

/// This process's words from the short way's name on. The lab's flag is told with every command anyway.
fn as_typed() -> String {
    let words = std::env::args().skip(1).skip_while(|word| !["guest", "vm", "template"].contains(&word.as_str()));
    shell::line(words.filter(|word| word != "--apply" && !word.starts_with("--lab")))
}

/// An action that only looks.
fn asked(action: &str) -> Do {
    by(action, Act { out: None, shown_as: None, apply: false, answers: Answers::default() })
}

/// How a parameter is typed.
impl Do {
    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.with.push((name.to_owned(), value.into()));
        self
    }

    fn given(self, name: &str, value: Option<String>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    fn flag(self, name: &str, on: bool) -> Self {
        self.given(name, on.then(|| "true".to_owned()))
    }

    /// With commas, or as JSON where an item has one itself.
    fn list(self, name: &str, items: Vec<String>) -> Self {
        if items.is_empty() {
            return self;
        }
        let plain = items.iter().all(|item| plain(item));
        let text = if plain { items.join(",") } else { Value::from(items).to_string() };
        self.with(name, text)
    }

    /// The same as pairs.
    fn map(self, name: &str, pairs: Vec<(String, String)>) -> Self {
        if pairs.is_empty() {
            return self;
        }
        if pairs.iter().all(|(_, value)| plain(value)) {
            let pairs: Vec<String> = pairs.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
            return self.with(name, pairs.join(","));
        }
        let map: serde_json::Map<String, Value> = pairs.into_iter().map(|(k, v)| (k, Value::from(v))).collect();
        self.with(name, Value::Object(map).to_string())
    }
}

/// Whether a text stays itself among commas.
fn plain(text: &str) -> bool {
    !text.contains(',') && text.trim() == text && !text.starts_with(['[', '{'])
}
