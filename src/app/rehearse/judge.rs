//! What may be said of an end: the start state, the goal state, or one whose differences the run has listed. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::objects::{Fields, Listed, objects};
use crate::lab::ledger::{Channel, Entry};
use crate::lab::netbox::NODE;
use crate::lab::world::diff;

/// Where a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Nothing is different.
    Start,
    /// All is as after the undisturbed run.
    Goal,
    /// Between the two, and the run says exactly what is different.
    Reported,
}

/// Which end it is.
pub(super) fn end_of(start: &Value, goal: &Value, end: &Value) -> End {
    if diff(start, end).is_empty() {
        End::Start
    } else if diff(goal, end).is_empty() {
        End::Goal
    } else {
        End::Reported
    }
}

/// Where what the run lists and what the lab compares are not the same.
pub(super) fn untruths(start: &Value, end: &Value, listed: &Listed) -> Vec<String> {
    untruths_of(&objects(start), &objects(end), listed)
}

type Objects = BTreeMap<String, Fields>;

/// The objects that differ, as they should be and as they are.
pub(super) fn different(goal: &Objects, end: &Objects) -> Vec<String> {
    let names: BTreeSet<&String> = goal.keys().chain(end.keys()).collect();
    let differ = names.into_iter().filter(|name| goal.get(*name) != end.get(*name));
    differ.map(|name| format!("{name}: {:?} -> {:?}", goal.get(name), end.get(name))).collect()
}

/// The same for states that are read as objects already.
pub(super) fn untruths_of(start: &Objects, end: &Objects, listed: &Listed) -> Vec<String> {
    let mut found = Vec::new();
    let names: BTreeSet<&String> = start.keys().chain(end.keys()).collect();
    let nothing = Fields::new();
    for object in names {
        let (was, is) = (start.get(object).unwrap_or(&nothing), end.get(object).unwrap_or(&nothing));
        let said = listed.now.get(object);
        if listed.is_gone(object) {
            found.extend((!is.is_empty()).then(|| format!("{object} is listed as gone; it is there")));
            continue;
        }
        if !listed.perhaps.contains(object) {
            let fields: BTreeSet<&String> = was.keys().chain(is.keys()).filter(|f| was.get(*f) != is.get(*f)).collect();
            let told = |field: &String| said.is_some_and(|said| said.contains_key(named(field)));
            // A digest is of the configuration's lines, of which any may be what was told; a lock is one, a snapshot's name
            // is one. What QEMU says follows from whether it runs.
            let follows = |field: &String| match (object.strip_suffix("/config"), field.as_str()) {
                (Some(guest), _) => listed.tells_of(guest),
                (None, "digest") => listed.tells_of(object),
                (None, "qmpstatus") => told(&"status".to_owned()),
                _ => false,
            };
            let unsaid = fields.into_iter().filter(|field| !told(field) && !follows(field));
            found.extend(unsaid.map(|field| {
                format!(
                    "{object} is different and not listed: {field}: {} -> {}",
                    shown(was.get(field)),
                    shown(is.get(field))
                )
            }));
        }
        for (field, value) in said.into_iter().flatten() {
            found.extend(untruth(object, field, value, was, is));
        }
    }
    let gone = listed.now.keys().filter(|object| !start.contains_key(*object) && !end.contains_key(*object));
    found.extend(gone.map(|object| format!("{object} is listed, and the lab has no such object")));
    found
}

/// The lab tells a request for maintenance from maintenance; to a run they are one.
fn named(field: &str) -> &str {
    if field == "maintenance_asked" { "maintenance" } else { field }
}

/// What is said of a field against what it is. Fields that the lab does not compare (figures) are not looked at.
fn untruth(object: &str, field: &str, said: &Value, was: &Fields, is: &Fields) -> Option<String> {
    let (was, is) = (was.get(field), is.get(field));
    if was.is_none() && is.is_none() {
        return None;
    }
    let listed = format!("{object} is listed as changed: {field}: {}", shown(was));
    match said {
        Value::Null if was == is => Some(format!("{listed} -> something else; it is as it was")),
        Value::Null => None,
        said if is == Some(said) => None,
        said => Some(format!("{listed} -> {said}; it is {}", shown(is))),
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".to_owned(), Value::to_string)
}

/// What was asked for, and how often.
pub(super) fn asked(taken: &[Entry]) -> BTreeMap<String, usize> {
    let mut asked = BTreeMap::new();
    for entry in taken {
        // A digest says what was seen before, which for a guest of the run's own making differs from run to run.
        let params = entry.params.iter().filter(|(name, _)| *name != "digest");
        let params: Vec<String> = params.map(|(name, value)| format!("{name}={value}")).collect();
        let what = match entry.channel {
            Channel::Http if entry.node.as_str() == NODE => unnumbered(entry),
            Channel::Http => format!("{} {} {}", entry.method, entry.path, params.join(" ")),
            Channel::Kubectl => format!("{} {}", entry.method, entry.path),
            // By which node a command goes is nobody's business.
            _ => entry.params.get("argv").cloned().unwrap_or_else(|| entry.path.clone()),
        };
        *asked.entry(what).or_default() += 1;
    }
    asked
}

/// A request to a NetBox without the numbers that it gives to objects as they come.
fn unnumbered(entry: &Entry) -> String {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let words = entry.path.split('/').map(|word| if is_number(word) { "*" } else { word });
    let path = words.collect::<Vec<_>>().join("/");
    let refers = |name: &str| NUMBERS.contains(&name);
    let shown = |(name, value): (&String, &String)| match refers(name) && is_number(value) {
        true => format!("{name}=*"),
        false => format!("{name}={value}"),
    };
    let params: Vec<String> = entry.params.iter().map(shown).collect();
    format!("{} {path} {}", entry.method, params.join(" "))
}

/// Fields of NetBox's objects that name another by its number.
const NUMBERS: [&str; 7] =
    ["assigned_object_id", "cluster", "primary_ip4", "primary_ip6", "primary_mac_address", "type", "virtual_machine"];

/// What was asked for more often than in the undisturbed run; with `all`, also what was asked for less often.
pub(super) fn extra(usual: &BTreeMap<String, usize>, asked: &BTreeMap<String, usize>, all: bool) -> Vec<String> {
    let of = |map: &BTreeMap<String, usize>, what: &str| map.get(what).copied().unwrap_or(0);
    let names: BTreeSet<&String> = usual.keys().chain(asked.keys()).collect();
    let differs = |what: &&String| of(asked, what) > of(usual, what) || (all && of(asked, what) < of(usual, what));
    names
        .into_iter()
        .filter(differs)
        .map(|what| format!("asked for {} times, undisturbed {}: {what}", of(asked, what), of(usual, what)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn state(node: &str, maintenance: bool) -> Value {
        json!({"guests": {"104": {"node": node, "status": "running"}}, "nodes": {"pve2": {"maintenance": maintenance}},
            "ha": {"maintenance_asked": if maintenance { vec!["pve2"] } else { vec![] }, "resources": {}, "rules": {}}})
    }

    fn says(object: &str, fields: Value) -> (String, Fields) {
        (object.to_owned(), fields.as_object().unwrap().clone().into_iter().collect())
    }

    #[test]
    fn a_list_that_is_the_labs_own_is_true() {
        let now = [
            says("proxmox/guest/104", json!({"node": "pve3", "status": "running"})),
            says("proxmox/node/pve2", json!({"maintenance": true, "memory_used": null})),
        ];
        let listed = Listed { now: now.into(), ..Listed::default() };
        assert_eq!(untruths(&state("pve2", false), &state("pve3", true), &listed), Vec::<String>::new());
    }

    #[test]
    fn what_is_not_listed_what_is_not_so_and_what_is_elsewhere_is_found() {
        let (start, end) = (state("pve2", false), state("pve3", false));
        let of = |listed: &Listed| untruths(&start, &end, listed);
        assert_eq!(
            of(&Listed::default()),
            ["proxmox/guest/104 is different and not listed: node: \"pve2\" -> \"pve3\""]
        );
        let listed = |fields| Listed { now: [says("proxmox/guest/104", fields)].into(), ..Listed::default() };
        assert!(of(&listed(json!({"node": "pve1"})))[0].ends_with("-> \"pve1\"; it is \"pve3\""));
        assert!(of(&listed(json!({"node": null}))).is_empty());
        assert!(untruths(&start, &start, &listed(json!({"node": null})))[0].ends_with("it is as it was"));
        let nowhere = Listed { now: [says("proxmox/guest/999", json!({"node": "pve1"}))].into(), ..Listed::default() };
        assert!(untruths(&start, &start, &nowhere)[0].contains("no such object"));
        let doubt = Listed { perhaps: ["proxmox/guest/104".to_owned()].into(), ..Listed::default() };
        assert!(of(&doubt).is_empty() && untruths(&start, &start, &doubt).is_empty());
    }

    #[test]
    fn what_is_asked_for_twice_is_found() {
        let usual = BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 1)]);
        let twice = BTreeMap::from([("a".to_owned(), 2)]);
        assert_eq!(extra(&usual, &twice, false), ["asked for 2 times, undisturbed 1: a"]);
        assert_eq!(extra(&usual, &twice, true).len(), 2);
    }
}
