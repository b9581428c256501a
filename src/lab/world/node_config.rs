//! A node's own configuration (`/etc/pve/nodes/NAME/config`): lines of `key: value`, changed at once.
//!
//! Source: PVE::NodeConfig, PVE::API2::NodeConfig.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{World, config};
use crate::lab::call::{Call, PveError, Reply};
use crate::model::ids::NodeName;

pub(super) type Lines = BTreeMap<String, String>;

fn digest(lines: &Lines) -> String {
    config::short_hash(&format!("{lines:?}"))
}

/// A property string's fields; what stands alone is under `head`.
fn fields<'a>(text: &'a str, head: &'a str) -> BTreeMap<&'a str, &'a str> {
    text.split(',').map(|part| part.split_once('=').unwrap_or((head, part))).collect()
}

/// Account, and plugin by domain, in the order of names; the same name twice is refused.
fn acme(lines: &Lines) -> Result<(String, Vec<(String, String)>), String> {
    let general = lines.get("acme").map(|text| fields(text, "account")).unwrap_or_default();
    let account = general.get("account").copied().unwrap_or("default").to_owned();
    let mut domains: BTreeMap<String, String> = BTreeMap::new();
    let mut add = |name: &str, plugin: &str, key: &str| match domains.insert(name.to_lowercase(), plugin.to_owned()) {
        Some(_) => Err(format!("duplicate domain '{}' in ACME config property '{key}'", name.to_lowercase())),
        None => Ok(()),
    };
    for name in general.get("domains").copied().unwrap_or_default().split(';').filter(|name| !name.is_empty()) {
        add(name, "standalone", "acme")?;
    }
    for (key, text) in lines.iter().filter(|(key, _)| key.starts_with("acmedomain")) {
        let of = fields(text, "domain");
        add(of.get("domain").copied().unwrap_or_default(), of.get("plugin").copied().unwrap_or("standalone"), key)?;
    }
    Ok((account, domains.into_iter().collect()))
}

pub(super) fn read(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let (_, node) = world.node_of(call)?;
    if let Some(property) = call.params.get("property").filter(|property| *property != "all") {
        let line = node.config.get(property);
        return Ok(Reply::read(line.map_or_else(|| json!({}), |line| json!({property.as_str(): line}))));
    }
    if node.config.is_empty() {
        return Ok(Reply::read(json!({})));
    }
    let mut data = json!(node.config);
    data["digest"] = json!(digest(&node.config));
    Ok(Reply::read(data))
}

pub(super) fn change(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let (name, node) = world.node_of(call)?;
    let (mut lines, mut params) = (node.config.clone(), call.params.clone());
    let (delete, given) = (params.remove("delete").unwrap_or_default(), params.remove("digest"));
    // A file that is not there has no digest, and any is as good.
    if !lines.is_empty() && given.is_some_and(|given| given != digest(&lines)) {
        return Err(PveError::die("detected modified configuration - file changed by other user? Try again."));
    }
    lines.extend(params);
    let gone: BTreeSet<&str> = delete.split([',', ';', ' ', '\0']).filter(|key| !key.is_empty()).collect();
    lines.retain(|key, _| !gone.contains(key.as_str()));
    acme(&lines).map_err(PveError::die)?;
    if let Some(node) = world.nodes.get_mut(&name) {
        node.config = lines;
    }
    Ok(Reply::changed(Value::Null))
}

impl World {
    /// The account of a node, and its domains with the plugin of each.
    pub(super) fn acme_conf(&self, name: &NodeName) -> (String, Vec<(String, String)>) {
        let lines = self.nodes.get(name).map(|node| acme(&node.config));
        lines.and_then(Result::ok).unwrap_or_else(|| ("default".to_owned(), Vec::new()))
    }
}
