//! Property strings: `virtio=BC:24:11:…,bridge=vmbr0,tag=20`, checked key by key.
//!
//! Source: PVE::JSONSchema (parse_property_string). Reading a property string for its meaning is `model`'s work.

use std::collections::BTreeMap;

use serde_json::Value;

use super::property::{Kind, Property};
use super::validate::{Errors, check_all};

/// Checks `text`, the value of `path`, against the keys of its format.
///
/// # Errors
/// As the server words them, without the `invalid format - ` before and the newline after.
pub fn check(keys: &BTreeMap<String, Property>, path: &str, text: &str) -> Result<(), String> {
    let mut values: BTreeMap<String, Value> = BTreeMap::new();
    for part in text.split(',').filter(|part| !part.trim().is_empty()) {
        match part.split_once('=') {
            Some((key, value)) if !key.is_empty() && !value.is_empty() => named(keys, key, value, &mut values)?,
            Some(_) => return Err("missing key in comma-separated list property".into()),
            None => unnamed(keys, part, &mut values)?,
        }
    }
    let mut errors = Errors::new();
    check_all(keys, &values, path, &mut errors);
    if errors.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = errors.iter().map(|(at, text)| format!("\n{at}: {text}")).collect();
    Err(format!("format error{}", lines.concat()))
}

fn named(
    keys: &BTreeMap<String, Property>,
    key: &str,
    value: &str,
    values: &mut BTreeMap<String, Value>,
) -> Result<(), String> {
    let invalid = || format!("invalid key in comma-separated list property: {key}");
    let mut name = key;
    let mut property = keys.get(key).ok_or_else(invalid)?;
    if let Some(alias) = &property.alias {
        if let Some(key_alias) = &property.key_alias
            && values.insert(key_alias.clone(), key.into()).is_some()
        {
            return Err(format!("key alias '{key_alias}' is already defined"));
        }
        name = alias;
        property = keys.get(name).ok_or_else(invalid)?;
    }
    let value = if property.kind == Kind::Boolean { boolean(value) } else { value };
    if values.insert(name.to_owned(), value.into()).is_some() {
        return Err(format!("duplicate key in comma-separated list property: {name}"));
    }
    Ok(())
}

fn unnamed(keys: &BTreeMap<String, Property>, value: &str, values: &mut BTreeMap<String, Value>) -> Result<(), String> {
    let Some((name, property)) = keys.iter().find(|(_, property)| property.default_key) else {
        return Err("value without key, but schema does not define a default key".into());
    };
    let value = if property.kind == Kind::Boolean { boolean(value) } else { value };
    if values.insert(name.clone(), value.into()).is_some() {
        return Err(format!("duplicate key in comma-separated list property: {name}"));
    }
    Ok(())
}

/// Inside a property string the server takes words for booleans, though not in a parameter of its own.
fn boolean(value: &str) -> &str {
    match value.to_ascii_lowercase().as_str() {
        "1" | "on" | "yes" | "true" => "1",
        "0" | "off" | "no" | "false" => "0",
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts::{Format, Schema, Verb};

    fn net(text: &str) -> Result<(), String> {
        let method = Schema::version("9").method(Verb::Post, "/nodes/{node}/qemu").unwrap();
        let Some(Format::PropertyString(keys)) = &method.property("net0").unwrap().format else {
            panic!("net0 has keys");
        };
        check(keys, "net0", text)
    }

    #[test]
    fn a_model_may_stand_for_its_own_key() {
        assert_eq!(net("virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=on"), Ok(()));
        assert_eq!(net("model=virtio,macaddr=BC:24:11:00:00:01"), Ok(()));
        assert_eq!(net("virtio,bridge=vmbr0"), Ok(()));
    }

    #[test]
    fn wrong_keys_and_values_are_named() {
        assert_eq!(net("virtio,brigde=vmbr0").unwrap_err(), "invalid key in comma-separated list property: brigde");
        let text = net("virtio,tag=9999").unwrap_err();
        assert_eq!(text, "format error\nnet0.tag: value must have a maximum value of 4094");
        assert_eq!(
            net("bridge=vmbr0").unwrap_err(),
            "format error\nnet0.model: property is missing and it is not optional"
        );
    }
}
