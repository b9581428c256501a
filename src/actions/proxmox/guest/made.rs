//! What creating and cloning have in common: a number that is free, a mark by which ours is told from another's, and what
//! takes it away again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::actions::proxmox::act::Seen;
use crate::actions::proxmox::look::{live, read};
use crate::actions::proxmox::object::{Guest, GuestEntry, title};
use crate::actions::proxmox::resource::{Resource, all_placements};
use crate::engine::ports::{Call, Prediction, Probe, Unreadable, World};
use crate::event::Invocation;
use crate::model::action_spec::ActionSpec;
use crate::model::failure::{Class, Failure};
use crate::model::ids::{GuestKind, NodeName, Vmid};
use crate::model::param::{Param, ValueType};
use crate::model::site::{VmidRange, VmidRanges};
use crate::model::world::Delta;

/// Where no range is configured: what Proxmox itself gives.
const ANY: VmidRange = VmidRange { first: Vmid(100), last: Vmid(999_999) };

/// A guest that is to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Made {
    pub vmid: Vmid,
    pub kind: GuestKind,
    pub name: String,
    pub node: NodeName,
    /// A line of its description that no other guest has.
    pub mark: String,
    #[serde(default)]
    pub tags: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// What it is a clone of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Guest>,
    /// It is there already, made by this very step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub there: Option<Guest>,
}

/// The parameters and outputs that both have.
pub fn described(spec: ActionSpec) -> ActionSpec {
    spec.param(Param::new("name", ValueType::String).required().help("What it is called"))
        .param(Param::new("vmid", ValueType::Vmid).help("Its number; the lowest free one of `range` where absent"))
        .param(
            Param::new("range", ValueType::String)
                .choices(&["vms", "templates"])
                .default_value("vms")
                .help("Which of `vmid_ranges` of the configuration the number is from"),
        )
        .param(Param::new("pool", ValueType::String).help("The pool that it belongs to"))
        .param(Param::new("description", ValueType::String).help("Notes; a line that says who made it is added"))
        .output("vmid", ValueType::Vmid, "The guest")
        .output("node", ValueType::Node, "Where it is")
        .output("name", ValueType::String, "What it is called")
        .output("is", ValueType::Map, "What tells it from any other guest of that number: for `is` of guest_delete")
        .creates()
}

/// The run and the step: the same for each attempt, another for everything else that is ever made.
pub fn mark(call: &Call) -> String {
    let run = call.run.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    format!("made by runbook run {run}, step {}", call.path)
}

/// Text with the mark as its last line; a mark that it has already (a clone has its template's text) goes.
pub fn marked(text: &str, mark: &str) -> String {
    let kept = text.lines().filter(|line| !line.trim().starts_with("made by runbook run "));
    kept.chain([mark]).collect::<Vec<_>>().join("\n")
}

/// The number that is given, or the lowest free one.
pub async fn number(call: &Call, ranges: VmidRanges, guests: &BTreeMap<Vmid, GuestEntry>) -> Result<Vmid, Failure> {
    let attempted = || format!("find a number for {}", call.get("name").as_str().unwrap_or_default());
    if !call.get("vmid").is_null() {
        let vmid: Vmid = call.arg("vmid")?;
        let Some(there) = guests.get(&vmid) else { return Ok(vmid) };
        let cause = format!("{vmid} is taken: {}", there.title());
        return Err(Failure::new(Class::Precondition, attempted(), cause).remedy("give another vmid, or none"));
    }
    let templates = call.get("range").as_str() == Some("templates");
    let range = if templates { ranges.templates } else { ranges.vms }.unwrap_or(ANY);
    let free = (range.first.0..=range.last.0).map(Vmid).find(|vmid| !guests.contains_key(vmid));
    let full = format!("all of {} to {} are taken", range.first, range.last);
    free.ok_or_else(|| Failure::new(Class::Precondition, attempted(), full).remedy("widen vmid_ranges"))
}

/// What this step of this run has made before. Lists show names late, so one without a name may be it.
pub async fn made_before(
    call: &Call,
    guests: &BTreeMap<Vmid, GuestEntry>,
    world: &dyn World,
) -> Result<Option<Guest>, Unreadable> {
    let (name, mark) = (call.get("name").as_str().unwrap_or_default(), mark(call));
    if call.run.is_none() {
        return Ok(None);
    }
    let unnamed =
        |entry: &GuestEntry| entry.name.is_empty() || entry.name.starts_with("VM ") || entry.name.starts_with("CT");
    for entry in guests.values().filter(|entry| entry.name == name || unnamed(entry)) {
        let guest: Option<Guest> = read(world, Resource::Guest(entry.vmid)).await?;
        if let Some(guest) = guest.filter(|guest| guest.has_line(&mark) && guest.lock.is_none()) {
            return Ok(Some(guest));
        }
    }
    Ok(None)
}

fn outputs(guest: &Guest) -> Value {
    json!({"vmid": guest.vmid, "node": guest.node, "name": guest.name, "is": is(guest)})
}

/// Who it is beyond its number.
pub fn is(guest: &Guest) -> Value {
    let mut is = Map::new();
    is.insert("kind".into(), json!(guest.kind));
    match &guest.uuid {
        Some(uuid) => _ = is.insert("uuid".into(), json!(uuid)),
        None => {
            is.insert("macs".into(), json!(guest.macs));
            is.insert("rootfs".into(), json!(guest.rootfs));
        }
    }
    Value::Object(is)
}

impl Made {
    pub fn title(&self) -> String {
        title(self.kind, self.vmid, &self.name)
    }

    /// The probe of one that this step has made, or of one that is still to be made.
    pub fn probe(&self, summary: String) -> Probe {
        let mut probe = Probe::new(summary, json!(self));
        probe.change = Some(crate::model::plan::Change::Create);
        if let Some(guest) = &self.there {
            probe.summary = format!("{}: made already", guest.title());
            probe.satisfied = true;
        }
        probe
    }

    /// A guest under that number is ours only with our mark.
    pub async fn judge(&self, world: &dyn World) -> Result<Seen, Failure> {
        let vmid = self.vmid;
        Ok(match live::<Option<Guest>>(world, Resource::Guest(vmid)).await? {
            None => Seen::Untouched(format!("no node has guest {vmid}")),
            Some(now) => match (now.lock.as_deref(), now.has_line(&self.mark)) {
                (None, true) => Seen::Done(outputs(&now)),
                (Some(lock), true) => Seen::Partial(format!("{} is locked ({lock})", now.title())),
                (Some(lock @ ("create" | "clone")), false) => {
                    Seen::Partial(format!("guest {vmid} is being made (locked: {lock})"))
                }
                (_, false) => Seen::Theirs(format!("{vmid} was given to another guest: {}", now.title())),
            },
        })
    }

    pub fn predict(&self) -> Prediction {
        if let Some(guest) = &self.there {
            let all = outputs(guest);
            let outputs = all.as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone()));
            return Prediction { outputs: outputs.collect(), ..Prediction::default() };
        }
        let mut row = json!({"vmid": self.vmid, "kind": self.kind, "name": self.name, "node": self.node,
            "status": "stopped", "template": false, "tags": self.tags});
        if let Some(pool) = &self.pool {
            row["pool"] = json!(pool);
        }
        // Addresses, uuid and volumes are known when it is there.
        let mut guest = row.clone();
        for open in ["uuid", "digest", "volumes"] {
            guest[open] = Value::Null;
        }
        let deltas = vec![
            Delta { resource: Resource::Guests.key(), patch: json!({self.vmid.to_string(): row}) },
            Delta { resource: Resource::Guest(self.vmid).key(), patch: guest },
        ];
        let why = format!("{} is made", self.title());
        let taints = vec![
            (Resource::Guest(self.vmid).key(), why.clone()),
            (Resource::NodeGuests(self.node.clone()).key(), why.clone()),
            (Resource::Storages(self.node.clone()).key(), why.clone()),
            (all_placements(), why),
        ];
        let outputs = [
            ("vmid".to_owned(), json!(self.vmid)),
            ("node".to_owned(), json!(self.node)),
            ("name".to_owned(), json!(self.name)),
        ];
        Prediction { deltas, taints, outputs: outputs.into() }
    }

    /// Deletes exactly what was made: by what it is where that is known, else by its mark.
    pub fn undo(&self, outputs: Option<&Value>) -> Invocation {
        let known = outputs.and_then(|outputs| outputs.get("is")).filter(|is| is.is_object()).cloned();
        let is = known.unwrap_or_else(|| json!({"mark": self.mark}));
        let with = json!({"guest": self.vmid, "is": is, "template": true});
        Invocation { uses: "proxmox.guest_delete".into(), with }
    }
}

/// Somebody was faster: with a number of our own choice another attempt takes the next one.
pub fn class(call: &Call, cause: &str) -> Option<Class> {
    let taken = ["already exists", "config file already exists", "File exists", "was given to another guest"];
    let taken = taken.iter().any(|words| cause.contains(words));
    taken.then(|| if call.get("vmid").is_null() { Class::Transient } else { Class::Precondition })
}

pub fn remedy(cause: &str) -> Option<String> {
    let words = "the number was given to another guest in the meantime; nothing of ours was made: try again";
    class(&Call { run: None, path: "".into(), attempt: 1, with: Value::Null }, cause).map(|_| words.to_owned())
}
