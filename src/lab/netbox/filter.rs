//! Lists: filters, order, pages.

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::check::{address, mac};
use super::kind::Kind;
use super::show::{self, OWN_URL, is_vm_interface};
use super::store::{Row, Store, interface_of};
use super::{Ask, Said};

const PAGE: usize = 50;
const MOST: usize = 1000;

pub fn list(store: &Store, kind: Kind, ask: &Ask) -> Said {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in &ask.query {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let mut found: Vec<(u64, &Row)> = store.all(kind).collect();
    for name in names {
        let given: Vec<&str> = ask.query.iter().filter(|(n, _)| n == name).map(|(_, text)| text.as_str()).collect();
        let test = match filter(store, kind, name, &given) {
            Ok(Some(test)) => test,
            // A filter that it does not have is passed over: all objects are the answer.
            Ok(None) => continue,
            Err(why) => return Said::new(400, json!({name: [why]})),
        };
        found.retain(|(id, row)| test(*id, row));
    }
    sort(&mut found, first(ask, "ordering").unwrap_or(default_order(kind)));
    page(store, kind, ask, &found)
}

fn first<'a>(ask: &'a Ask, name: &str) -> Option<&'a str> {
    ask.query.iter().find(|(n, _)| n == name).map(|(_, text)| text.as_str())
}

fn default_order(kind: Kind) -> &'static str {
    match kind {
        Kind::Ip => "address",
        Kind::Mac => "mac_address",
        Kind::Interface => "virtual_machine",
        _ => "name",
    }
}

fn sort(found: &mut [(u64, &Row)], order: &str) {
    let (field, down) = order.strip_prefix('-').map_or((order, false), |field| (field, true));
    found.sort_by(|(a_id, a), (b_id, b)| {
        let by = match (a.get(field), b.get(field)) {
            (Some(Value::Number(a)), Some(Value::Number(b))) => a.as_u64().cmp(&b.as_u64()),
            (Some(a), Some(b)) => a.to_string().cmp(&b.to_string()),
            _ => Ordering::Equal,
        };
        let by = by.then(a_id.cmp(b_id));
        if down { by.reverse() } else { by }
    });
}

fn page(store: &Store, kind: Kind, ask: &Ask, found: &[(u64, &Row)]) -> Said {
    let number = |name: &str| first(ask, name).and_then(|text| text.parse::<usize>().ok());
    let limit = match number("limit") {
        None => PAGE,
        Some(0) => MOST,
        Some(limit) => limit.min(MOST),
    };
    let offset = number("offset").unwrap_or_default();
    let results: Vec<Value> =
        found.iter().skip(offset).take(limit).map(|(id, _)| show::full(store, kind, *id)).collect();
    let link = |offset: usize| format!("{OWN_URL}{}?limit={limit}&offset={offset}", ask.path);
    let next = (offset + limit < found.len()).then(|| link(offset + limit));
    let previous = (offset > 0).then(|| link(offset.saturating_sub(limit)));
    Said::new(200, json!({"count": found.len(), "next": next, "previous": previous, "results": results}))
}

type Test<'a> = Box<dyn Fn(u64, &Row) -> bool + 'a>;

/// What a filter takes; nothing where there is none of that name.
fn filter<'a>(store: &'a Store, kind: Kind, name: &str, given: &[&str]) -> Result<Option<Test<'a>>, String> {
    let texts: Vec<String> = given.iter().map(|text| (*text).to_owned()).collect();
    if let Some(field) = name.strip_prefix("cf_") {
        return Ok(custom(store, kind, field, texts));
    }
    let test: Test<'a> = match (kind, name) {
        (_, "id") => {
            let ids = numbers(given)?;
            Box::new(move |id, _| ids.contains(&id))
        }
        (Kind::Vm | Kind::Cluster | Kind::ClusterType | Kind::CustomField | Kind::Interface | Kind::Disk, "name") => {
            is_one(name, texts)
        }
        (Kind::Vm, "name__ie") => {
            let lower: Vec<String> = texts.iter().map(|text| text.to_lowercase()).collect();
            Box::new(move |_, row| row["name"].as_str().is_some_and(|name| lower.contains(&name.to_lowercase())))
        }
        (Kind::ClusterType, "slug") | (Kind::Vm | Kind::Cluster | Kind::Ip, "status") | (Kind::CustomField, "type") => {
            is_one(name, texts)
        }
        (Kind::Vm, "cluster_id") => refers(there(store, Kind::Cluster, given)?, "cluster"),
        (Kind::Cluster, "type_id") => refers(there(store, Kind::ClusterType, given)?, "type"),
        (Kind::Interface | Kind::Disk, "virtual_machine_id") => {
            refers(there(store, Kind::Vm, given)?, "virtual_machine")
        }
        (Kind::Interface, "cluster_id") => {
            let clusters = there(store, Kind::Cluster, given)?;
            Box::new(move |_, row| {
                let vm = row["virtual_machine"].as_u64().and_then(|vm| store.get(Kind::Vm, vm));
                vm.and_then(|vm| vm["cluster"].as_u64()).is_some_and(|cluster| clusters.contains(&cluster))
            })
        }
        (Kind::Mac | Kind::Ip, "virtual_machine_id") => {
            let vms = numbers(given)?;
            Box::new(move |_, row| store.vm_of(row).is_some_and(|vm| vms.contains(&vm)))
        }
        (Kind::Mac | Kind::Ip, "vminterface_id") => {
            let interfaces = there(store, Kind::Interface, given)?;
            Box::new(move |_, row| interface_of(row).is_some_and(|id| interfaces.contains(&id)))
        }
        (Kind::Mac, "assigned_object_type") => {
            if !given.iter().all(|text| is_vm_interface(text)) {
                return Ok(Some(Box::new(|_, _| false)));
            }
            is_one(name, texts)
        }
        (Kind::Mac, "assigned_object_id") => refers(numbers(given)?, "assigned_object_id"),
        (Kind::Mac, "mac_address") => {
            let macs: Vec<String> = given.iter().filter_map(|text| mac(text)).collect();
            is_one(name, macs)
        }
        (Kind::Ip, "address") => by_address(given),
        (Kind::Ip, "assigned_to_interface") => {
            let wanted = given.first() == Some(&"true");
            Box::new(move |_, row| row["assigned_object_id"].is_null() != wanted)
        }
        (Kind::CustomField, "object_type") => Box::new(move |_, row| {
            let types = row["object_types"].as_array().map(Vec::as_slice).unwrap_or_default();
            types.iter().any(|t| t.as_str().is_some_and(|t| texts.iter().any(|text| text == t)))
        }),
        _ => return Ok(None),
    };
    Ok(Some(test))
}

fn is_one<'a>(field: &str, texts: Vec<String>) -> Test<'a> {
    let field = field.to_owned();
    Box::new(move |_, row| row.get(&field).and_then(Value::as_str).is_some_and(|own| texts.iter().any(|t| t == own)))
}

fn refers<'a>(ids: Vec<u64>, field: &'static str) -> Test<'a> {
    Box::new(move |_, row| row.get(field).and_then(Value::as_u64).is_some_and(|id| ids.contains(&id)))
}

fn numbers(given: &[&str]) -> Result<Vec<u64>, String> {
    given.iter().map(|text| text.parse().map_err(|_| "Enter a number.".to_owned())).collect()
}

/// A filter by objects refuses one that there is not.
fn there(store: &Store, kind: Kind, given: &[&str]) -> Result<Vec<u64>, String> {
    let none = |text: &str| format!("Select a valid choice. {text} is not one of the available choices.");
    let one = |text: &&str| text.parse().ok().filter(|id| store.get(kind, *id).is_some()).ok_or_else(|| none(text));
    given.iter().map(one).collect()
}

/// With a prefix exactly so; without one any prefix.
fn by_address<'a>(given: &[&str]) -> Test<'a> {
    let wanted: Vec<_> = given.iter().filter_map(|text| Some((address(text)?, text.contains('/')))).collect();
    Box::new(move |_, row| {
        let own = row.get("address").and_then(Value::as_str).and_then(address);
        own.is_some_and(|own| wanted.iter().any(|(ip, exact)| if *exact { *ip == own } else { ip.0 == own.0 }))
    })
}

/// By the field's own way: `loose` is any part of the text, `exact` all of it.
fn custom<'a>(store: &'a Store, kind: Kind, field: &str, texts: Vec<String>) -> Option<Test<'a>> {
    store.custom_fields(kind).find(|name| *name == field)?;
    let logic = store.all(Kind::CustomField).find(|(_, row)| row["name"] == field)?.1["filter_logic"].clone();
    let field = field.to_owned();
    let text = move |row: &Row| {
        let value = row.get("custom_fields")?.get(&field)?.clone();
        value.as_str().map(str::to_owned).or_else(|| Some(value.as_i64()?.to_string()))
    };
    match logic.as_str() {
        Some("disabled") => None,
        Some("exact") => Some(Box::new(move |_, row| text(row).is_some_and(|own| texts.contains(&own)))),
        _ => Some(Box::new(move |_, row| {
            let own = text(row).map(|own| own.to_lowercase());
            own.is_some_and(|own| texts.iter().any(|part| own.contains(&part.to_lowercase())))
        })),
    }
}
