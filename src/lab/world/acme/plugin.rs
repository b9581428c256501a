//! Challenge plugins. Their data is sent in base64 and shown as the text that it stands for, secrets and all.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::given;
use crate::lab::call::{Call, PveError, Reply};
use crate::lab::scenario::PluginSpec;
use crate::lab::world::{World, config};

/// `api`, `data`, `nodes`, `disable` and `validation-delay`, where they are set.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::lab::world) struct Plugin(BTreeMap<String, String>);

const OPTIONS: [&str; 5] = ["api", "data", "nodes", "disable", "validation-delay"];
/// Always there.
const STANDALONE: &str = "standalone";

impl Plugin {
    pub fn known(spec: &PluginSpec) -> Self {
        let given = [("api", &spec.api), ("data", &spec.data)].into_iter().filter(|(_, value)| !value.is_empty());
        Self(given.map(|(name, value)| (name.to_owned(), value.clone())).collect())
    }

    pub fn comparable(&self) -> Value {
        let shown = self.0.iter().filter(|(name, _)| *name != "data").map(|(name, value)| {
            let name = name.replace('-', "_");
            let value = match name.as_str() {
                "validation_delay" => json!(value.parse::<u64>().unwrap_or_default()),
                "nodes" => value.split(',').collect(),
                "disable" => json!(value == "1"),
                _ => json!(value),
            };
            (name, value)
        });
        let mut state: serde_json::Map<String, Value> = shown.collect();
        state.insert("has_data".into(), json!(self.0.contains_key("data")));
        Value::Object(state)
    }

    /// Seconds from the entry until the authority is asked to look.
    pub fn delay(&self) -> u64 {
        self.0.get("validation-delay").and_then(|value| value.parse().ok()).unwrap_or(30)
    }

    fn set(&mut self, call: &Call) {
        for name in OPTIONS {
            if let Some(value) = given(call, name) {
                let value = if name == "data" { decoded(value) } else { value.to_owned() };
                self.0.insert(name.to_owned(), value);
            }
        }
    }
}

/// Perl's decoder takes what it can of whatever it is given.
fn decoded(text: &str) -> String {
    let bytes = STANDARD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn digest(world: &World) -> String {
    let all: Vec<(&String, &BTreeMap<String, String>)> =
        world.acme.plugins.iter().map(|(id, plugin)| (id, &plugin.0)).collect();
    config::short_hash(&format!("{all:?}"))
}

fn row(world: &World, id: &str, plugin: &Plugin) -> Value {
    let kind = if id == STANDALONE { "standalone" } else { "dns" };
    let mut row = json!({"plugin": id, "type": kind, "digest": digest(world)});
    for (name, value) in &plugin.0 {
        row[name.as_str()] = match name.as_str() {
            "validation-delay" | "disable" => json!(value.parse::<u64>().unwrap_or_default()),
            _ => json!(value),
        };
    }
    row
}

pub(in crate::lab::world) fn list(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let standalone = Plugin::default();
    let all = world.acme.plugins.iter().map(|(id, plugin)| (id.as_str(), plugin)).chain([(STANDALONE, &standalone)]);
    let rows = all.map(|(id, plugin)| row(world, id, plugin));
    Ok(Reply::read(rows.filter(|row| given(call, "type").is_none_or(|wanted| row["type"] == wanted)).collect()))
}

pub(in crate::lab::world) fn read(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let id = given(call, "id").unwrap_or_default();
    if id == STANDALONE {
        return Ok(Reply::read(row(world, id, &Plugin::default())));
    }
    let none = || PveError::die(format!("ACME plugin '{id}' not defined"));
    Ok(Reply::read(row(world, id, world.acme.plugins.get(id).ok_or_else(none)?)))
}

pub(in crate::lab::world) fn add(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let id = given(call, "id").unwrap_or_default();
    if id == STANDALONE || world.acme.plugins.contains_key(id) {
        return Err(PveError::die(format!("ACME plugin ID '{id}' already exists")));
    }
    if given(call, "type") == Some("dns") && given(call, "api").is_none() {
        return Err(PveError::parameter("api", "property is missing and it is not optional"));
    }
    let mut plugin = Plugin::default();
    plugin.set(call);
    world.acme.plugins.insert(id.to_owned(), plugin);
    Ok(Reply::changed(Value::Null))
}

pub(in crate::lab::world) fn change(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let id = given(call, "id").unwrap_or_default();
    if given(call, "digest").is_some_and(|given| given != digest(world)) {
        return Err(PveError::die("detected modified configuration - file changed by other user? Try again."));
    }
    let none = || PveError::die(format!("ACME plugin ID '{id}' does not exist"));
    let plugin = world.acme.plugins.get_mut(id).ok_or_else(none)?;
    for name in given(call, "delete").unwrap_or_default().split([',', ';', ' ']).filter(|name| !name.is_empty()) {
        match name {
            "api" => return Err(PveError::die("unable to delete required option 'api'")),
            known if OPTIONS.contains(&known) => drop(plugin.0.remove(known)),
            other => return Err(PveError::die(format!("no such option '{other}'"))),
        }
    }
    plugin.set(call);
    Ok(Reply::changed(Value::Null))
}

/// One that is not there is no error.
pub(in crate::lab::world) fn remove(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    world.acme.plugins.remove(given(call, "id").unwrap_or_default());
    Ok(Reply::changed(Value::Null))
}

impl World {
    /// Whether there is a plugin of this name, and whether it is one for DNS.
    pub(super) fn acme_plugin(&self, id: &str) -> Option<bool> {
        if id == STANDALONE { Some(false) } else { self.acme.plugins.contains_key(id).then_some(true) }
    }
}
