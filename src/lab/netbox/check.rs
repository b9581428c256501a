//! Whether a value, and then an object as a whole, may be as somebody wants it: the framework's checks of fields first,
//! then the models' own.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::kind::{Field, Kind, Takes, VM_INTERFACE};
use super::store::{Row, Store};

/// What is wrong, by field; `__all__` for the object as a whole.
pub type Wrong = Map<String, Value>;

pub fn wrong(field: &str, text: impl Into<String>) -> Wrong {
    Map::from_iter([(field.to_owned(), json!([text.into()]))])
}

/// A value as it is kept.
pub fn value(store: &Store, kind: Kind, field: &Field, given: &Value) -> Result<Value, String> {
    if given.is_null() {
        return if field.null { Ok(Value::Null) } else { Err("This field may not be null.".into()) };
    }
    match field.takes {
        Takes::Text { most } => text(given, most, field.required),
        Takes::Choice(choices) => match given.as_str() {
            Some(text) if choices.contains(&text) => Ok(given.clone()),
            _ => Err(format!("{} is not a valid choice.", plain(given))),
        },
        Takes::One(other) => one(store, other, given),
        Takes::Whole => match given {
            Value::Number(n) if n.is_u64() => Ok(given.clone()),
            Value::String(text) if text.parse::<u64>().is_ok() => Ok(json!(text.parse::<u64>().unwrap_or_default())),
            Value::Number(n) if n.as_f64().is_some_and(|n| n < 0.0) => {
                Err("Ensure this value is greater than or equal to 0.".into())
            }
            _ => Err("A valid integer is required.".into()),
        },
        Takes::Decimal => decimal(given),
        Takes::Bool => given.as_bool().map(Value::from).ok_or_else(|| "Must be a valid boolean.".into()),
        Takes::Mac => mac(given.as_str().unwrap_or_default())
            .map(Value::from)
            .ok_or_else(|| format!("Invalid MAC address format: {}", plain(given))),
        Takes::Address => address(given.as_str().unwrap_or_default())
            .map(|(ip, prefix)| json!(format!("{ip}/{prefix}")))
            .ok_or_else(|| format!("Invalid IP address format: {}", plain(given))),
        Takes::Model => match given.as_str() {
            Some(VM_INTERFACE | "dcim.interface") => Ok(given.clone()),
            _ => Err("Invalid value. Specify a content type as '<app_label>.<model_name>'.".into()),
        },
        Takes::Models => match given.as_array() {
            Some(all) if all.iter().all(|t| t.as_str().is_some_and(|t| t.contains('.'))) => Ok(given.clone()),
            Some(_) => Err("Invalid value. Specify a content type as '<app_label>.<model_name>'.".into()),
            None => Err(format!("Expected a list of items but got type \"{}\".", type_of(given))),
        },
        Takes::Custom => match given.as_object() {
            Some(values) => custom(store, kind, values),
            None => {
                Err("Invalid data format. Custom field data must be passed as a dictionary mapping field names to \
                         their values."
                    .into())
            }
        },
        Takes::Any => Ok(given.clone()),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| format!("\"{value}\""), |text| format!("\"{text}\""))
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "str",
        Value::Number(_) => "int",
        Value::Object(_) => "dict",
        _ => "bool",
    }
}

fn text(given: &Value, most: usize, required: bool) -> Result<Value, String> {
    let text = match given {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(n) => n.to_string(),
        _ => return Err("Not a valid string.".into()),
    };
    if text.is_empty() && required {
        return Err("This field may not be blank.".into());
    }
    if text.chars().count() > most {
        return Err(format!("Ensure this field has no more than {most} characters."));
    }
    Ok(text.into())
}

fn decimal(given: &Value) -> Result<Value, String> {
    let number = given.as_f64().or_else(|| given.as_str()?.parse().ok()).filter(|n| n.is_finite());
    let number = number.ok_or("A valid number is required.")?;
    if number < 0.01 {
        return Err("Ensure this value is greater than or equal to 0.01.".into());
    }
    if number >= 10_000.0 {
        return Err("Ensure that there are no more than 6 digits in total.".into());
    }
    if ((number * 100.0).round() - number * 100.0).abs() > 1e-6 {
        return Err("Ensure that there are no more than 2 decimal places.".into());
    }
    Ok(json!(number))
}

/// A reference: by number, or by attributes.
fn one(store: &Store, kind: Kind, given: &Value) -> Result<Value, String> {
    if let Value::Object(attributes) = given {
        let fits = |row: &Row| attributes.iter().all(|(name, value)| row.get(name) == Some(value));
        let found: Vec<u64> = store.all(kind).filter(|(_, row)| fits(row)).map(|(id, _)| id).collect();
        return match found[..] {
            [id] => Ok(json!(id)),
            [] => Err("Related object not found using the provided attributes".into()),
            _ => Err("Multiple objects match the provided attributes".into()),
        };
    }
    let id = given.as_u64().or_else(|| given.as_str()?.parse().ok());
    let id = id.ok_or("Related objects must be referenced by numeric ID or by dictionary of attributes.")?;
    match store.get(kind, id) {
        Some(_) => Ok(json!(id)),
        None => Err(format!("Related object not found using the provided numeric ID: {id}")),
    }
}

fn custom(store: &Store, kind: Kind, values: &Map<String, Value>) -> Result<Value, String> {
    for (name, value) in values {
        let Some(field) = store.all(Kind::CustomField).map(|(_, row)| row).find(|row| row["name"] == *name) else {
            continue;
        };
        let fits = match field["type"].as_str() {
            _ if value.is_null() => true,
            Some("integer") => value.is_i64() || value.is_u64(),
            Some("boolean") => value.is_boolean(),
            Some("text" | "longtext" | "url" | "select" | "date" | "datetime") => value.is_string(),
            _ => true,
        };
        if !fits {
            let expected =
                if field["type"] == "integer" { "Value must be an integer." } else { "Value must be a string." };
            return Err(format!("Invalid value for custom field '{name}': {expected}"));
        }
    }
    let known: Vec<&str> = store.custom_fields(kind).collect();
    match values.keys().find(|name| !known.contains(&name.as_str())) {
        Some(unknown) => Err(format!("Unknown field name '{unknown}' in custom field data.")),
        None => Ok(Value::Object(values.clone())),
    }
}

/// Six pairs in upper case, as NetBox writes them.
pub fn mac(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let others = text.chars().filter(|c| !c.is_ascii_hexdigit()).all(|c| matches!(c, ':' | '-' | '.'));
    let pairs: Vec<&str> = (0..digits.len() / 2).map(|i| &digits[2 * i..2 * i + 2]).collect();
    (digits.len() == 12 && others).then(|| pairs.join(":").to_uppercase())
}

/// An address with its prefix; all of it where none is given.
pub fn address(text: &str) -> Option<(IpAddr, u8)> {
    let (ip, prefix) = text.split_once('/').map_or((text, None), |(ip, prefix)| (ip, Some(prefix)));
    let ip: IpAddr = ip.parse().ok()?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.map_or(Some(most), |prefix| prefix.parse().ok())?;
    (prefix <= most).then_some((ip, prefix))
}

fn address_in(row: &Row) -> Option<(IpAddr, u8)> {
    address(row.get("address")?.as_str()?)
}

fn number(row: &Row, field: &str) -> Option<u64> {
    row.get(field).and_then(Value::as_u64)
}

/// What the model says of the object as it would be; `was` is the object as it is.
pub fn object(store: &Store, kind: Kind, id: u64, row: &Row, was: Option<&Row>) -> Result<(), Wrong> {
    match kind {
        Kind::Vm => vm(store, id, row, was.is_none()),
        Kind::Interface => interface(store, id, row),
        Kind::Mac => mac_address(store, id, row, was),
        Kind::Ip => ip(store, id, row, was),
        Kind::CustomField => custom_field(store, id, row, was),
        Kind::ClusterType => unique(store, kind, id, row, &["name", "slug"]),
        Kind::Disk => together(store, kind, id, row),
        Kind::Cluster => Ok(()),
    }
}

fn custom_field(store: &Store, id: u64, row: &Row, was: Option<&Row>) -> Result<(), Wrong> {
    if was.is_some_and(|was| was["type"] != row["type"]) {
        return Err(wrong("type", "Changing the type of custom fields is not supported."));
    }
    let name = row["name"].as_str().unwrap_or_default();
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(wrong("name", "Only alphanumeric characters and underscores are allowed."));
    }
    unique(store, Kind::CustomField, id, row, &["name"])
}

fn unique(store: &Store, kind: Kind, id: u64, row: &Row, fields: &[&str]) -> Result<(), Wrong> {
    for field in fields {
        if store.all(kind).any(|(other, there)| other != id && there.get(*field) == row.get(*field)) {
            let words =
                kind.model().chars().fold(String::new(), |text, c| match c.is_uppercase() && !text.is_empty() {
                    true => format!("{text} {}", c.to_lowercase()),
                    false => format!("{text}{}", c.to_lowercase()),
                });
            return Err(wrong(field, format!("{words} with this {field} already exists.")));
        }
    }
    Ok(())
}

/// One name in one virtual machine.
fn together(store: &Store, kind: Kind, id: u64, row: &Row) -> Result<(), Wrong> {
    let same = |there: &Row| there["virtual_machine"] == row["virtual_machine"] && there["name"] == row["name"];
    match store.all(kind).any(|(other, there)| other != id && same(there)) {
        true => Err(wrong("non_field_errors", "The fields virtual_machine, name must make a unique set.")),
        false => Ok(()),
    }
}

fn vm(store: &Store, id: u64, row: &Row, new: bool) -> Result<(), Wrong> {
    let cluster = number(row, "cluster");
    if cluster.is_none() && number(row, "site").is_none() && number(row, "device").is_none() {
        return Err(wrong("__all__", "A virtual machine must be assigned to a site, cluster, or device."));
    }
    let lower = |row: &Row| row["name"].as_str().unwrap_or_default().to_lowercase();
    let tenant = |row: &Row| number(row, "tenant");
    let same =
        |there: &Row| lower(there) == lower(row) && number(there, "cluster") == cluster && tenant(there) == tenant(row);
    if cluster.is_some() && store.all(Kind::Vm).any(|(other, there)| other != id && same(there)) {
        let text = match tenant(row) {
            None => "Virtual machine name must be unique per cluster.",
            Some(_) => "Virtual machine name must be unique per cluster and tenant.",
        };
        return Err(wrong("__all__", text));
    }
    let disks = store.referring(Kind::Disk, "virtual_machine", id);
    let total: u64 = disks.iter().filter_map(|disk| store.get(Kind::Disk, *disk)?["size"].as_u64()).sum();
    if !new && total > 0 && number(row, "disk").is_some_and(|disk| disk != total) {
        let size = number(row, "disk").unwrap_or_default();
        let text = format!(
            "The specified disk size ({size}) must match the aggregate size of assigned virtual disks ({total})."
        );
        return Err(wrong("disk", text));
    }
    for (field, family) in [("primary_ip4", 4), ("primary_ip6", 6)] {
        let Some(ip) = number(row, field).and_then(|ip| store.get(Kind::Ip, ip)) else { continue };
        let shown = ip["address"].as_str().unwrap_or_default();
        let version = if address_in(ip).is_some_and(|(ip, _)| ip.is_ipv4()) { 4 } else { 6 };
        if version != family {
            let text = format!("Must be an IPv{family} address. ({shown} is an IPv{version} address.)");
            return Err(wrong(field, text));
        }
        if store.vm_of(ip) != Some(id) {
            return Err(wrong(field, format!("The specified IP address ({shown}) is not assigned to this VM.")));
        }
    }
    Ok(())
}

fn interface(store: &Store, id: u64, row: &Row) -> Result<(), Wrong> {
    together(store, Kind::Interface, id, row)?;
    let Some(mac) = number(row, "primary_mac_address").and_then(|mac| store.get(Kind::Mac, mac)) else { return Ok(()) };
    let shown = mac["mac_address"].as_str().unwrap_or_default();
    match super::store::interface_of(mac) {
        Some(other) if other != id => {
            Err(wrong("primary_mac_address", format!("MAC address {shown} is assigned to a different interface.")))
        }
        _ => Ok(()),
    }
}

/// What is assigned must be there.
fn assigned(store: &Store, row: &Row) -> Result<(), Wrong> {
    match (row.get("assigned_object_type").and_then(Value::as_str), number(row, "assigned_object_id")) {
        (None, None) => Ok(()),
        (Some(VM_INTERFACE), Some(id)) if store.get(Kind::Interface, id).is_some() => Ok(()),
        (Some(_), Some(id)) => {
            Err(wrong("assigned_object_id", format!("Invalid assigned object: {id} does not exist.")))
        }
        _ => Err(wrong("__all__", "An object type and ID must be specified together.")),
    }
}

fn mac_address(store: &Store, id: u64, row: &Row, was: Option<&Row>) -> Result<(), Wrong> {
    assigned(store, row)?;
    let before = was.and_then(super::store::interface_of);
    let is_primary = before
        .and_then(|interface| store.get(Kind::Interface, interface))
        .is_some_and(|interface| number(interface, "primary_mac_address") == Some(id));
    match super::store::interface_of(row) {
        now if !is_primary || now == before => Ok(()),
        None => {
            Err(wrong("__all__", "Cannot unassign MAC Address while it is designated as the primary MAC for an object"))
        }
        Some(_) => {
            Err(wrong("__all__", "Cannot reassign MAC Address while it is designated as the primary MAC for an object"))
        }
    }
}

fn ip(store: &Store, id: u64, row: &Row, was: Option<&Row>) -> Result<(), Wrong> {
    assigned(store, row)?;
    let Some((address, prefix)) = address_in(row) else { return Ok(()) };
    if prefix == 0 {
        return Err(wrong("address", "Cannot create IP address with /0 mask."));
    }
    if number(row, "assigned_object_id").is_some()
        && let Some(why) = no_host(address, prefix)
    {
        return Err(wrong("__all__", format!("{address} is a {why}, which may not be assigned to an interface.")));
    }
    // Some roles may be held by several at once (a virtual address, anycast).
    let shared = |row: &Row| row.get("role").is_some_and(Value::is_string);
    let same = |there: &Row| {
        address_in(there).is_some_and(|(other, _)| other == address) && there.get("vrf") == row.get("vrf")
    };
    let twin =
        store.all(Kind::Ip).find(|(other, there)| *other != id && same(there) && !(shared(there) && shared(row)));
    if let Some((_, twin)) = twin.filter(|_| number(row, "vrf").is_none()) {
        let shown = twin["address"].as_str().unwrap_or_default();
        return Err(wrong("address", format!("Duplicate IP address found in global table: {shown}")));
    }
    let before = was.and_then(|was| store.vm_of(was));
    let is_primary = before
        .and_then(|vm| store.get(Kind::Vm, vm))
        .is_some_and(|vm| number(vm, "primary_ip4") == Some(id) || number(vm, "primary_ip6") == Some(id));
    if is_primary && store.vm_of(row) != before {
        let text = "Cannot reassign IP address while it is designated as the primary IP for the parent object";
        return Err(wrong("__all__", text));
    }
    Ok(())
}

/// Why an address is none that an interface can have.
fn no_host(address: IpAddr, prefix: u8) -> Option<&'static str> {
    match address {
        IpAddr::V4(ip) if prefix < 31 => {
            let host = u32::MAX >> prefix;
            match u32::from(ip) & host {
                0 => Some("network ID"),
                part if part == host => Some("broadcast address"),
                _ => None,
            }
        }
        IpAddr::V6(ip) if prefix < 127 => (u128::from(ip) & (u128::MAX >> prefix) == 0).then_some("network ID"),
        _ => None,
    }
}
