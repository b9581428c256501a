//! Objects that differ: in the lab, as it compares two of its states; in a run's list, as its steps foretold them.
//! Both under the same names, those of resources (`proxmox/guest/104`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::engine::ports::{Actions, Call, Probe};
use crate::event::{Event, Fact, Invocation, UndoStatus, Verdict};
use crate::model::ids::StepPath;
use crate::model::world::Delta;
use crate::report::{Extent, RunView, left};

/// The certificate that a node shows in place of its own.
const CUSTOM: &str = "pveproxy-ssl.pem";

/// An object's fields.
pub(super) type Fields = BTreeMap<String, Value>;

/// What a run says is different now.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// Fields and what they are now; null: something else than before.
    pub now: BTreeMap<String, Fields>,
    /// Objects that are no more, with all that is below them.
    pub gone: BTreeSet<String>,
    /// Objects that may be different: of steps that are in doubt or were done in part.
    pub perhaps: BTreeSet<String>,
}

impl Listed {
    fn add(&mut self, object: String, becomes: Option<Fields>) {
        match becomes {
            Some(fields) => {
                self.gone.remove(&object);
                self.now.entry(object).or_default().extend(fields);
            }
            None => {
                let below = format!("{object}/");
                self.now.retain(|name, _| *name != object && !name.starts_with(&below));
                self.gone.insert(object);
            }
        }
    }

    /// Whether it, or what it is a part of, is no more.
    pub fn is_gone(&self, object: &str) -> bool {
        self.gone
            .iter()
            .any(|gone| object == gone || object.strip_prefix(gone).is_some_and(|rest| rest.starts_with('/')))
    }

    /// Whether anything is said of it or of a part of it.
    pub fn tells_of(&self, object: &str) -> bool {
        let part =
            |name: &String| name.strip_prefix(object).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.now.keys().chain(&self.perhaps).any(part)
    }

    /// A state without the fields of which only is said that they are another now: another choice is as good. A guest's
    /// digest is of its lines: of those only the ones that are told are kept then.
    pub fn without_open(&self, state: &BTreeMap<String, Fields>) -> BTreeMap<String, Fields> {
        let mut state = state.clone();
        for (object, said) in &self.now {
            let Some(fields) = state.get_mut(object) else { continue };
            fields.retain(|field, _| said.get(field) != Some(&Value::Null));
            let lines = format!("{object}/config");
            if let Some(config) = state.get_mut(&lines).filter(|_| said.get("digest") == Some(&Value::Null)) {
                config.retain(|line, _| self.now.get(&lines).is_some_and(|told| told.contains_key(line)));
            }
        }
        state
    }
}

/// A lab's state as objects and their fields.
pub(super) fn objects(state: &Value) -> BTreeMap<String, Fields> {
    let mut objects: BTreeMap<String, Fields> = BTreeMap::new();
    let mut put = |object: String, field: &str, value: &Value| {
        if !value.is_null() {
            objects.entry(object).or_default().insert(field.to_owned(), value.clone());
        }
    };
    for (section, content) in entries(state) {
        for (name, fields) in entries(content) {
            match (section.as_str(), name.as_str()) {
                ("guests", id) => {
                    for (field, value) in entries(fields) {
                        match field.as_str() {
                            "config" | "snapshots" => {
                                let part = format!("proxmox/guest/{id}/{field}");
                                entries(value).for_each(|(k, v)| put(part.clone(), k, v));
                            }
                            _ => put(format!("proxmox/guest/{id}"), field, value),
                        }
                    }
                }
                ("files", place) => {
                    let (node, storage) = place.split_once('/').unwrap_or((place, ""));
                    let object = format!("proxmox/node/{node}/content/{storage}");
                    entries(fields).for_each(|(volid, v)| put(object.clone(), volid, v));
                }
                ("nodes", node) => {
                    for (field, value) in entries(fields) {
                        match field.as_str() {
                            "config" => {
                                entries(value).for_each(|(k, v)| put(format!("proxmox/node/{node}/config"), k, v))
                            }
                            "certificate" => put(format!("proxmox/node/{node}/certificates"), CUSTOM, value),
                            _ => put(format!("proxmox/node/{node}"), field, value),
                        }
                    }
                }
                ("acme", kind) => {
                    for (name, of) in entries(fields) {
                        let object = format!("proxmox/acme/{}/{name}", kind.trim_end_matches('s'));
                        entries(of).for_each(|(k, v)| put(object.clone(), k, v));
                    }
                }
                ("access", kind) => {
                    for (name, of) in entries(fields) {
                        entries(of).for_each(|(k, v)| put(format!("proxmox/{kind}/{name}"), k, v));
                    }
                }
                ("netbox", kind) => {
                    for (name, of) in entries(fields) {
                        entries(of).for_each(|(k, v)| put(format!("netbox/{kind}/{name}"), k, v));
                    }
                }
                ("talos", name) => entries(fields).for_each(|(k, v)| put(format!("talos/{name}"), k, v)),
                ("kubernetes", "nodes") => {
                    for (node, of) in entries(fields) {
                        entries(of).for_each(|(k, v)| put(format!("kubernetes/node/{node}"), k, v));
                    }
                }
                ("kubernetes", "components") => {
                    // Static pods are their node's, and go and come with it.
                    for (place, of) in entries(fields) {
                        let (node, part) = place.split_once('/').unwrap_or((place, ""));
                        put(format!("kubernetes/node/{node}"), part, &of["version"]);
                    }
                }
                ("kubernetes", "pods") => entries(fields).for_each(|(of, n)| put("kubernetes/pods".to_owned(), of, n)),
                ("secret", _) => entries(fields).for_each(|(k, v)| put(format!("secret/{name}"), k, v)),
                ("ha", "maintenance_asked") => {
                    for node in fields.as_array().into_iter().flatten().filter_map(Value::as_str) {
                        put(format!("proxmox/node/{node}"), "maintenance_asked", &Value::Bool(true));
                    }
                }
                ("ha", "resources") => {
                    for (sid, resource) in entries(fields) {
                        let id = sid.split_once(':').map_or(sid.as_str(), |(_, id)| id);
                        entries(resource).for_each(|(k, v)| put(format!("proxmox/guest/{id}"), &format!("ha_{k}"), v));
                    }
                }
                ("tasks", upid) => entries(fields).for_each(|(k, v)| put(format!("proxmox/task/{upid}"), k, v)),
                ("ha", "rules" | "groups") => {
                    entries(fields).for_each(|(rule, v)| put(format!("proxmox/ha/rule/{rule}"), "", v))
                }
                (section, name) => put(format!("{section}/{name}"), "", fields),
            }
        }
    }
    objects
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// What a run's events list as changed and not undone.
pub(super) fn listed<'a>(events: impl IntoIterator<Item = &'a Event>, actions: &Actions) -> Listed {
    let events: Vec<&Event> = events.into_iter().collect();
    let calls = calls(&events);
    let view = RunView::of(events);
    let mut listed = Listed::default();
    for left in left(&view) {
        let Some((invocation, before)) = calls.get(&left.path) else { continue };
        let Some(action) = actions.get(&invocation.uses) else { continue };
        let call = Call { run: None, path: left.path.clone(), attempt: 1, with: invocation.with.clone() };
        let prediction = action.predict(&call, &Probe::new("", before.clone()));
        let certain = left.extent == Extent::Whole;
        for (object, becomes) in prediction.deltas.into_iter().flat_map(by_object) {
            if certain {
                listed.add(object, becomes);
            } else {
                listed.perhaps.insert(object);
            }
        }
    }
    // What else was done to a guest that the run has made and taken away again is gone with it.
    for step in view.steps().filter(|step| step.undo == UndoStatus::RolledBack) {
        let Some((invocation, before)) = calls.get(&step.path) else { continue };
        let made: Option<u32> = before["vmid"].as_u64().and_then(|vmid| u32::try_from(vmid).ok());
        let creates = actions.get(&invocation.uses).is_some_and(|action| action.spec().creates);
        if let Some(vmid) = made.filter(|_| creates) {
            let object = format!("proxmox/guest/{vmid}");
            listed.now.remove(&object);
            listed.perhaps.remove(&object);
        }
    }
    listed
}

/// What each step was called with, and its object as it was before the first attempt.
fn calls(events: &[&Event]) -> BTreeMap<StepPath, (Invocation, Value)> {
    let mut calls: BTreeMap<StepPath, (Invocation, Value)> = BTreeMap::new();
    let mut began = BTreeSet::new();
    for fact in events.iter().filter_map(|event| event.fact()) {
        match fact {
            Fact::Evaluated { path, verdict: Verdict::Run { invocation: Some(invocation), .. } } => {
                calls.insert(path.clone(), (invocation.clone(), Value::Null));
            }
            Fact::Started { path, intent, .. } if began.insert(path.clone()) => {
                if let Some((_, before)) = calls.get_mut(path) {
                    before.clone_from(&intent.before);
                }
            }
            _ => {}
        }
    }
    calls
}

/// A configuration's lines, and under `pending/` those that wait. Its digest is one of the guest's own fields.
fn lines(patch: &Value) -> Option<Fields> {
    let waiting = entries(&patch["pending"]).map(|(key, what)| (format!("pending/{key}"), what.clone()));
    Some(entries(&patch["values"]).map(|(key, line)| (key.clone(), line.clone())).chain(waiting).collect())
}

/// A delta on a list of objects is one on each of them, none for one that goes; what is no single object's (the HA
/// manager's view) is derived.
fn by_object(delta: Delta) -> Vec<(String, Option<Fields>)> {
    let fields = |value: &Value| -> Option<Fields> {
        (!value.is_null()).then(|| entries(value).map(|(k, v)| (k.clone(), v.clone())).collect())
    };
    let key = delta.resource.as_str();
    let each = |kind: &str| {
        entries(&delta.patch).map(|(name, patch)| (format!("proxmox/{kind}/{name}"), fields(patch))).collect()
    };
    // Of a file the lab compares whether it is there.
    let there = |(name, value): (&String, &Value)| {
        (name.clone(), if value.is_null() { Value::Null } else { Value::Bool(true) })
    };
    match key {
        "proxmox/guests" => each("guest"),
        "proxmox/nodes" => each("node"),
        "proxmox/acl" => each("acl"),
        "proxmox/roles" => each("role"),
        "proxmox/tokens" => each("token"),
        "proxmox/users" => each("user"),
        "proxmox/ha" | "proxmox/acme/accounts" => Vec::new(),
        // What a control plane's etcd does is derived from what it is.
        plane if plane.starts_with("talos/") && plane.contains("/plane/") => Vec::new(),
        "proxmox/acme/plugins" => each("acme/plugin"),
        // What a store has is nobody's doing here.
        object if object.starts_with("secret/") && object.contains("/acme/") => Vec::new(),
        nodes if nodes.starts_with("kubernetes/") && nodes.ends_with("/nodes") => {
            entries(&delta.patch).map(|(name, patch)| (format!("kubernetes/node/{name}"), fields(patch))).collect()
        }
        parts if parts.starts_with("kubernetes/") && parts.ends_with("/components") => {
            let part = |(place, of): (&String, &Value)| {
                let (node, part) = place.split_once('/').unwrap_or((place, ""));
                (format!("kubernetes/node/{node}"), Some([(part.to_owned(), of["version"].clone())].into()))
            };
            entries(&delta.patch).map(part).collect()
        }
        pods if pods.starts_with("kubernetes/") && pods.ends_with("/pods") => {
            vec![("kubernetes/pods".to_owned(), fields(&delta.patch))]
        }
        // What is in force on a machine is told with its node.
        object if object.starts_with("talos/") && object.contains("/config/") => Vec::new(),
        object if object.ends_with("/config") => vec![(object.to_owned(), lines(&delta.patch))],
        object if object.ends_with("/snapshots") => vec![(object.to_owned(), fields(&delta.patch["list"]))],
        object if object.contains("/content/") => {
            vec![(object.to_owned(), Some(entries(&delta.patch).map(there).collect()))]
        }
        object => vec![(object.to_owned(), fields(&delta.patch))],
    }
}
