//! A Kubernetes API, small but real enough for the real `kubectl`: discovery, nodes, pods, evictions that keep budgets,
//! and the custom resources of storages. It takes and refuses what an API server does; it must never be adapted to our
//! own client.
//!
//! Compared with the real `kubectl`, and with the sources of Kubernetes for what it says; with no real API server.

mod change;
mod resources;
mod select;
mod table;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use self::resources::{RESOURCES, Resource};
use super::world::World;
use crate::lab::world::kubernetes::Key;

/// By which name its requests stand in the ledger where no control plane's own address was asked.
pub const NODE: &str = "kubernetes";
/// A control plane's port.
pub const PORT: u16 = 6443;

/// A request as the API sees it.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    pub method: String,
    /// Decoded, without the query.
    pub path: String,
    pub query: Vec<(String, String)>,
    /// What the client would like: a table.
    pub accept: String,
    pub content_type: String,
    pub body: Vec<u8>,
    /// The address that was asked; nothing: that of the whole cluster.
    pub server: Option<String>,
    /// The client's own name.
    pub client: Option<String>,
}

impl Ask {
    fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// What comes back.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    pub status: u16,
    pub body: Value,
    /// Whether it changed anything.
    pub changed: bool,
}

impl Said {
    fn ok(body: Value) -> Self {
        Self { status: 200, body, changed: false }
    }

    fn changed(status: u16, body: Value) -> Self {
        Self { status, body, changed: true }
    }

    /// A failure as the API words it.
    pub fn failed(status: u16, reason: &str, message: impl Into<String>) -> Self {
        let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message.into(), "reason": reason, "code": status});
        Self { status, body, changed: false }
    }

    fn no_such_resource() -> Self {
        Self::failed(404, "NotFound", "the server could not find the requested resource")
    }

    fn not_found(resource: &Resource, name: &str) -> Self {
        Self::failed(404, "NotFound", format!("{} {name:?} not found", resource.called()))
    }

    /// By a fault of the transport.
    pub(in crate::lab) fn injected(status: u16, text: Option<String>) -> Self {
        let reason = match status {
            401 => "Unauthorized",
            403 => "Forbidden",
            409 => "Conflict",
            429 => "TooManyRequests",
            503 => "ServiceUnavailable",
            504 => "Timeout",
            _ => "InternalError",
        };
        Self::failed(status, reason, text.unwrap_or_else(|| "an error on the server has prevented the request".into()))
    }

    pub(in crate::lab) fn unauthorized() -> Self {
        Self::failed(401, "Unauthorized", "Unauthorized")
    }

    /// What kubectl leaves behind for a raw request that was answered so: exit code, stdout, stderr.
    pub fn as_kubectl(&self) -> (i32, String, String) {
        if self.status < 400 {
            return (0, self.body.to_string(), String::new());
        }
        let text = |name: &str| self.body[name].as_str().unwrap_or_default();
        let from = if text("reason").is_empty() { String::new() } else { format!(" ({})", text("reason")) };
        (1, String::new(), format!("Error from server{from}: {}\n", text("message")))
    }
}

/// Where a path leads.
struct Place {
    resource: &'static Resource,
    namespace: Option<String>,
    name: Option<String>,
    sub: Option<String>,
}

impl Place {
    fn of(world: &World, path: &[&str]) -> Option<Self> {
        let (group, version, rest) = match path {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some((*namespace).to_owned()), rest),
            rest => (None, rest),
        };
        let (plural, rest) = rest.split_first()?;
        let fits = |one: &&Resource| one.group == group && one.version == version && one.plural == *plural;
        let resource = RESOURCES.iter().find(fits).filter(|one| one.is_served(world))?;
        let one = |at: usize| rest.get(at).map(|word| (*word).to_owned());
        // An object of a namespace is found in it alone.
        let strange = rest.len() > 2 || (resource.namespaced && namespace.is_none() && !rest.is_empty());
        (!strange).then(|| Self { resource, namespace, name: one(0), sub: one(1) })
    }

    fn key(&self, name: &str) -> Key {
        Key::new(&self.resource.stored(), self.namespace.as_deref().unwrap_or_default(), name)
    }
}

/// Why nobody answers at an address, in the words of a dialer; nothing where somebody does.
pub fn refuses(world: &World, server: Option<&str>) -> Option<String> {
    let address = server.unwrap_or("10.0.0.50");
    let is_known = world.machines().any(|(_, machine)| machine.address == address);
    let gone = || Some(format!("dial tcp {address}:{PORT}: connect: no route to host"));
    match world.machine_at(address) {
        None if is_known => gone(),
        // An API server asks the etcd of its own machine and no other: without that it does not come up.
        Some((vmid, machine)) if !machine.control_plane || !world.etcd_answers(vmid) => {
            Some(format!("dial tcp {address}:{PORT}: connect: connection refused"))
        }
        Some(_) => None,
        // A shared address is held by election in etcd.
        None if world.has_kubernetes() && world.etcd_has_quorum() => None,
        None => gone(),
    }
}

/// Answers a request that has come to an API server.
pub fn answer(world: &mut World, ask: &Ask) -> Said {
    world.settle_kubernetes();
    let path: Vec<&str> = ask.path.split('/').filter(|word| !word.is_empty()).collect();
    if !world.etcd_has_quorum() && path != ["version"] {
        return Said::failed(500, "", "etcdserver: request timed out");
    }
    if let Some(found) = discover(world, &path) {
        return if ask.method == "GET" { Said::ok(found) } else { not_allowed() };
    }
    if matches!(path[..], ["readyz" | "livez" | "healthz"]) {
        return Said::ok(json!("ok"));
    }
    let Some(place) = Place::of(world, &path) else { return Said::no_such_resource() };
    match (ask.method.as_str(), place.name.as_deref(), place.sub.as_deref()) {
        ("GET", None, None) => list(world, &place, ask),
        ("GET", Some(name), None) => get(world, &place, name, ask),
        ("POST", None, None) => change::create(world, &place, ask),
        ("POST", Some(name), Some("eviction")) if place.resource.plural == "pods" => {
            change::evict(world, &place, name, ask)
        }
        ("PUT", Some(name), None) => change::replace(world, &place, name, ask),
        ("PATCH", Some(name), None) => change::patch(world, &place, name, ask),
        ("DELETE", Some(name), None) => change::delete(world, &place, name, ask),
        (_, _, Some(_)) => Said::no_such_resource(),
        _ => not_allowed(),
    }
}

fn discover(world: &World, path: &[&str]) -> Option<Value> {
    resources::discover(world, path)
}

fn not_allowed() -> Said {
    Said::failed(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
}

/// An object as it is shown.
fn shown(world: &World, resource: &Resource, stored: &Value) -> Value {
    let mut object = match resource.stored().as_str() {
        "nodes" => world.shown_node(stored),
        "pods" => world.shown_pod(stored),
        "policy/poddisruptionbudgets" => world.shown_budget(stored),
        _ => stored.clone(),
    };
    object["apiVersion"] = json!(resource.api_version());
    object["kind"] = json!(resource.kind);
    object
}

fn list(world: &World, place: &Place, ask: &Ask) -> Said {
    if ask.query("watch").is_some_and(|value| value == "true" || value == "1") {
        return Said::failed(405, "MethodNotAllowed", "the lab does not stand in for watches");
    }
    let selection = match select::Selection::of(ask) {
        Ok(selection) => selection,
        Err(why) => return Said::failed(400, "BadRequest", why),
    };
    let stored = place.resource.stored();
    let here = |key: &Key| place.namespace.as_ref().is_none_or(|namespace| key.namespace == *namespace);
    let items: Vec<Value> = world
        .kubernetes()
        .of(&stored)
        .filter(|(key, _)| here(key))
        .map(|(_, object)| shown(world, place.resource, object))
        .filter(|object| selection.takes(object))
        .collect();
    if table::is_wanted(ask) {
        return Said::ok(table::of(world, place.resource, &items));
    }
    Said::ok(json!({"kind": format!("{}List", place.resource.kind), "apiVersion": place.resource.api_version(),
        "metadata": {"resourceVersion": world.kubernetes().revision()}, "items": items}))
}

fn get(world: &World, place: &Place, name: &str, ask: &Ask) -> Said {
    let Some(stored) = world.kubernetes().objects.get(&place.key(name)) else {
        return Said::not_found(place.resource, name);
    };
    let object = shown(world, place.resource, stored);
    if table::is_wanted(ask) {
        return Said::ok(table::of(world, place.resource, &[object]));
    }
    Said::ok(object)
}
