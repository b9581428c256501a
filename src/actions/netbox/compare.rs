//! `netbox.compare`: what a NetBox has of a site's guests, against what was found there.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{NetboxDeps, PRIVILEGES, cluster, configured, guest_key};
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::inventory::netbox::{Clash, Host, Record, diff, fill, host_of, keys, records};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::param::{Param, ValueType};

/// The reading.
pub struct NetboxCompare {
    spec: ActionSpec,
    deps: Option<NetboxDeps>,
}

/// `netbox/guests/CLUSTER`, and of the same form `netbox/marked/KEYS`
#[derive(Debug, Default, Deserialize)]
struct Inside {
    #[serde(default)]
    guests: BTreeMap<String, Record>,
    #[serde(default)]
    others: Vec<Other>,
    #[serde(default)]
    twice: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Other {
    id: u64,
    name: String,
}

#[derive(Debug, Deserialize)]
struct Place {
    address: String,
    mark: Option<String>,
    on: String,
}

/// What is to be done with one guest.
struct Change {
    record: Record,
    adopt: Option<u64>,
    lines: Vec<String>,
}

#[derive(Default)]
struct Found {
    changes: Vec<Change>,
    orphans: Vec<Record>,
    clashes: Vec<Clash>,
    unchanged: usize,
}

impl NetboxCompare {
    pub fn new(deps: Option<NetboxDeps>) -> Self {
        let flag = |name, help: &str| Param::new(name, ValueType::Bool).default_value(false).help(help);
        let spec = ActionSpec::new("netbox.compare", Effect::Read, "Compare a NetBox with the guests that there are")
            .param(
                Param::new("hosts", ValueType::List)
                    .items(ValueType::Map)
                    .required()
                    .help("All guests of the site, as inventory.collect puts them out"),
            )
            .param(
                Param::new("missing", ValueType::List)
                    .help("What could not be collected; while a node is missing, no object is taken for an orphan"),
            )
            .param(Param::new("hidden", ValueType::String).help(
                "Why the token may not see all guests; as long as there is a reason, no object is taken for an orphan",
            ))
            .param(Param::new("cluster", ValueType::String).help("The cluster's name there [default: netbox.cluster]"))
            .param(flag("templates", "Templates, too"))
            .param(flag("adopt", "Take over virtual machines of that cluster that have a guest's name and no mark"))
            .param(flag(
                "delete_orphans",
                "Orphans are taken away before anything is changed: their names are free then",
            ))
            .output(
                "changes",
                ValueType::List,
                "key, vmid, name, record, adopt, new, diff (a line each) of what differs",
            )
            .output("orphans", ValueType::List, "key, vmid, name of what carries our mark and is no guest any more")
            .output("clashes", ValueType::List, "key, why: what cannot be as it was found, and is left alone")
            .output("unchanged", ValueType::Int, "How many guests are there as they should be")
            .needs_privilege(PRIVILEGES);
        Self { spec, deps }
    }
}

impl Inside {
    /// Takes out what carries a mark of the site and is none of these.
    fn take_gone(&mut self, site: &str, keys: &BTreeSet<String>) -> Vec<Record> {
        let ours = format!("{site}/");
        let (gone, rest) = std::mem::take(&mut self.guests)
            .into_iter()
            .partition(|(key, _)| key.starts_with(&ours) && !keys.contains(key));
        let gone: BTreeMap<String, Record> = gone;
        self.guests = rest;
        gone.into_values().collect()
    }

    /// Guests that this cluster lacks may be in another one: somebody has moved them, or it was called otherwise.
    async fn add_elsewhere(&mut self, world: &dyn World, keys: &BTreeSet<String>) -> Result<(), Unreadable> {
        let lacking: Vec<&String> = keys.iter().filter(|key| !self.guests.contains_key(*key)).collect();
        if lacking.is_empty() {
            return Ok(());
        }
        let key = format!("netbox/marked/{}", json!(lacking));
        let elsewhere: Self = get(world, key, "NetBox's virtual machines of other clusters").await?;
        self.guests.extend(elsewhere.guests);
        self.twice.extend(elsewhere.twice);
        Ok(())
    }
}

/// Why what has no guest may have one all the same.
fn held_back(call: &Call) -> Option<String> {
    // A guest that could not be asked is there all the same; a node that could not be may have any.
    let is_open = |missing: &Value| missing["vmid"].is_null();
    let missing = call.get("missing").as_array().is_some_and(|list| list.iter().any(is_open));
    let hidden = call.get("hidden").as_str().filter(|why| !why.is_empty());
    missing.then(|| "not all of the site could be read".to_owned()).or_else(|| hidden.map(str::to_owned))
}

fn has_name(orphan: &Record) -> String {
    format!("{} has the name {} in NetBox", orphan.key, orphan.name)
}

fn refuse(cause: impl Into<String>) -> Failure {
    Failure::new(Class::Precondition, "compare a NetBox with the guests", cause)
}

async fn get<T: serde::de::DeserializeOwned>(world: &dyn World, key: String, what: &str) -> Result<T, Unreadable> {
    let value = world.read(&ResourceKey::new(key)).await?.known(what)?;
    let shape = |e: serde_json::Error| Failure::new(Class::Internal, format!("read {what}"), e.to_string());
    Ok(T::deserialize(&*value).map_err(shape)?)
}

/// Which of the records' new addresses somebody else has.
async fn taken(
    world: &dyn World,
    records: &[(Record, Option<Record>)],
    site: &str,
) -> Result<BTreeMap<std::net::IpAddr, String>, Unreadable> {
    let mut new: BTreeSet<String> = BTreeSet::new();
    for (record, now) in records {
        let had = |address: &str| {
            now.as_ref().is_some_and(|now| now.addresses().any(|(_, own)| host_of(own) == host_of(address)))
        };
        new.extend(record.addresses().map(|(_, address)| address).filter(|address| !had(address)).map(str::to_owned));
    }
    if new.is_empty() {
        return Ok(BTreeMap::new());
    }
    let list = json!(new.into_iter().collect::<Vec<_>>());
    let places: Vec<Place> = get(world, format!("netbox/places/{list}"), "NetBox's addresses").await?;
    let ours = |place: &Place| place.mark.as_ref().is_some_and(|mark| mark.starts_with(&format!("{site}/")));
    let foreign = places.into_iter().filter(|place| !ours(place));
    Ok(foreign.filter_map(|place| Some((host_of(&place.address)?, place.on))).collect())
}

fn without(mut record: Record, taken: &BTreeMap<std::net::IpAddr, String>, found: &mut Found) -> Record {
    let own: Vec<String> = record.addresses().map(|(_, address)| address.to_owned()).collect();
    for address in own {
        if let Some(on) = host_of(&address).and_then(|ip| taken.get(&ip)) {
            found.clashes.push(Clash { key: record.key.clone(), why: format!("{address} is {on} in NetBox") });
            record = record.without(&address);
        }
    }
    record
}

#[async_trait]
impl Action for NetboxCompare {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let deps = configured(self.deps.as_ref())?;
        let cluster = cluster(call, deps)?;
        let hosts: Vec<Host> = serde_json::from_value(call.get("hosts").clone())
            .map_err(|e| refuse(format!("hosts: {e}")).remedy("give what inventory.collect puts out as hosts"))?;
        if hosts.is_empty() {
            let cause = "no guest was found: everything in NetBox would be an orphan";
            return Err(refuse(cause).remedy("look at what the token may see: `runbook doctor`").into());
        }
        let flag = |name: &str| call.get(name) == true;
        let keys = keys(&hosts, &deps.site, flag("templates"));
        let mut inside: Inside = get(world, format!("netbox/guests/{cluster}"), "NetBox's virtual machines").await?;
        let gone = inside.take_gone(&deps.site, &keys);
        inside.add_elsewhere(world, &keys).await?;
        let held = held_back(call);
        let built = records(&hosts, &deps.site, &cluster, flag("templates"), &inside.guests);
        let mut found = Found { clashes: built.left_out, ..Found::default() };
        found.clashes.extend(inside.twice.iter().map(|key| Clash {
            key: key.clone(),
            why: "more than one virtual machine carries this mark in NetBox".into(),
        }));
        let mut open: Vec<(Record, Option<Record>)> = Vec::new();
        let mut adopted = BTreeMap::new();
        for record in built.records.into_iter().filter(|record| !inside.twice.contains(&record.key)) {
            let now = inside.guests.get(&record.key).cloned();
            let same = |name: &str| name.to_lowercase() == record.name.to_lowercase();
            let orphan = gone.iter().find(|gone| same(&gone.name));
            if let Some(orphan) = orphan.filter(|_| held.is_some() || !flag("delete_orphans")) {
                let why = match &held {
                    Some(why) => format!("{}, and whether that is a guest yet is not known: {why}", has_name(orphan)),
                    None => format!("{}, and is no guest any more: delete_orphans takes it away", has_name(orphan)),
                };
                found.clashes.push(Clash { key: record.key, why });
                continue;
            }
            match inside.others.iter().find(|other| same(&other.name)) {
                Some(other) if flag("adopt") && now.is_none() => {
                    let key = ResourceKey::new(format!("netbox/vm/{}", other.id));
                    let whole = world.read(&key).await?.known("a virtual machine of NetBox")?;
                    adopted.insert(record.key.clone(), other.id);
                    let whole = serde_json::from_value((*whole).clone()).map_err(|e| refuse(e.to_string()))?;
                    open.push((record, whole));
                }
                Some(other) => found.clashes.push(Clash {
                    key: record.key,
                    why: format!("virtual machine {} ({}) is there, and is not ours", other.id, other.name),
                }),
                None => open.push((record, now)),
            }
        }
        let taken = taken(world, &open, &deps.site).await?;
        for (record, now) in fill(open, &built.contested) {
            let record = without(record, &taken, &mut found);
            let (lines, adopt) = (diff(now.as_ref(), Some(&record)), adopted.get(&record.key).copied());
            if lines.is_empty() && adopt.is_none() {
                found.unchanged += 1;
            } else {
                found.changes.push(Change { record, adopt, lines });
            }
        }
        let mut notes = Vec::new();
        match held {
            Some(why) if !gone.is_empty() => notes.push(format!("{} objects may be orphans: {why}", gone.len())),
            Some(_) => {}
            None => found.orphans = gone,
        }
        notes.extend(found.clashes.iter().map(|clash| format!("{}: {}; left alone", clash.key, clash.why)));
        notes.extend(
            found.orphans.iter().map(|orphan| format!("{} ({}): no such guest any more", orphan.name, orphan.key)),
        );
        let many = |n: usize, one: &str, more: &str| format!("{n} {}", if n == 1 { one } else { more });
        let summary = format!(
            "NetBox: {} to change, {} as they should be, {}, {}",
            found.changes.len(),
            found.unchanged,
            many(found.orphans.len(), "orphan", "orphans"),
            many(found.clashes.len(), "clash", "clashes")
        );
        Ok(Reading { outputs: outputs(&found), summary, guards: Vec::new(), notes })
    }
}

fn outputs(found: &Found) -> Value {
    let changes: Vec<Value> = found
        .changes
        .iter()
        .map(|change| {
            let record = &change.record;
            let new = change.lines.first().is_some_and(|line| line.starts_with(&format!("+ {} (", record.name)));
            json!({"key": record.key, "vmid": record.vmid, "name": record.name, "record": record, "adopt": change.adopt,
                "new": new, "diff": change.lines})
        })
        .collect();
    let orphan = |record: &Record| {
        let vmid = guest_key(&record.key).as_str().rsplit('/').next().and_then(|vmid| vmid.parse::<u64>().ok());
        json!({"key": record.key, "vmid": vmid, "name": record.name, "diff": diff(Some(record), None)})
    };
    json!({"changes": changes, "orphans": found.orphans.iter().map(orphan).collect::<Vec<_>>(), "clashes": found.clashes,
        "unchanged": found.unchanged})
}
