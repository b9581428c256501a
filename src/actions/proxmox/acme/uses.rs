//! Which nodes name an account or a plugin in their configuration, so that neither is taken from under them.

use std::collections::BTreeMap;

use crate::actions::proxmox::look;
use crate::actions::proxmox::object::{Node, NodeConfig};
use crate::actions::proxmox::property::Property;
use crate::actions::proxmox::resource::Resource;
use crate::engine::ports::{Unreadable, World};
use crate::model::ids::NodeName;

/// What a node's lines say of ACME.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lines {
    pub account: String,
    /// By its key: name, plugin, alias.
    pub domains: BTreeMap<String, Domain>,
    /// Names in the `acme` line itself, which are checked over HTTP.
    pub old: Vec<String>,
}

/// A name that a node has a certificate for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Domain {
    pub name: String,
    pub plugin: String,
    pub alias: Option<String>,
}

impl Domain {
    /// `pve1.example.org,alias=_acme.example.net,plugin=cf`
    pub fn parse(text: &str) -> Option<Self> {
        let property = Property::parse(text);
        let name = property.main(&["domain"])?.to_lowercase();
        let plugin = property.get("plugin").unwrap_or("standalone").to_owned();
        Some(Self { name, plugin, alias: property.get("alias").map(ToOwned::to_owned) })
    }

    pub fn text(&self) -> String {
        let alias = self.alias.iter().map(|alias| format!(",alias={alias}"));
        let plugin = (self.plugin != "standalone").then(|| format!(",plugin={}", self.plugin));
        [self.name.clone()].into_iter().chain(alias).chain(plugin).collect()
    }
}

impl Lines {
    pub fn of(config: &NodeConfig) -> Self {
        let general = Property::parse(config.values.get("acme").map_or("", String::as_str));
        let old = general.get("domains").unwrap_or_default().split(';').filter(|name| !name.is_empty());
        let own = config.values.iter().filter(|(key, _)| is_domain(key));
        Self {
            account: general.main(&["account"]).unwrap_or("default").to_owned(),
            domains: own.filter_map(|(key, text)| Some((key.clone(), Domain::parse(text)?))).collect(),
            old: old.map(str::to_lowercase).collect(),
        }
    }

    /// All of them, in the order of their keys.
    pub fn all(&self) -> Vec<Domain> {
        let standalone = |name: &String| Domain { name: name.clone(), plugin: "standalone".into(), alias: None };
        self.domains.values().cloned().chain(self.old.iter().map(standalone)).collect()
    }
}

pub(super) fn is_domain(key: &str) -> bool {
    key.strip_prefix("acmedomain").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// The first node whose lines say so. What a node that is down has cannot be read, and is no proof that it has nothing.
pub(super) async fn user(
    world: &dyn World,
    is_use: impl Fn(&Lines) -> bool + Send,
) -> Result<Option<NodeName>, Unreadable> {
    let nodes: BTreeMap<NodeName, Node> = look::read(world, Resource::Nodes).await?;
    for name in nodes.into_keys() {
        let config: NodeConfig = look::read(world, Resource::NodeConfig(name.clone())).await?;
        let lines = Lines::of(&config);
        if !lines.all().is_empty() && is_use(&lines) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}
