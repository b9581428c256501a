//! Checks a call's parameters, in the server's order and words, and brings them into one form.
//!
//! Source: PVE::JSONSchema (check_type, check_prop, check_object, validate).

use std::collections::BTreeMap;

use serde_json::Value;

use super::formats;
use super::method::Method;
use super::property::{Format, Kind, Property};
use super::property_string;

/// By parameter; several for one are joined by a literal backslash and `n`, as the server does.
pub type Errors = BTreeMap<String, String>;

const MISSING: &str = "property is missing and it is not optional";
const UNDEFINED: &str = "property is not defined in schema and the schema does not allow additional properties";

impl Method {
    /// Checks all parameters, those of the path included. A form's values are strings; a JSON body may also have
    /// `true` and `false`, numbers and arrays.
    ///
    /// The answer has booleans as `0` and `1`, numbers in decimal, and lists joined by commas; by NUL where an element
    /// is free text that may hold commas itself (`command` of the guest agent's `exec`).
    ///
    /// # Errors
    /// The server's text for each parameter, as in `errors` of the 400.
    pub fn validate(&self, given: &BTreeMap<String, Value>) -> Result<BTreeMap<String, String>, Errors> {
        let mut errors = Errors::new();
        for (name, property) in &self.params {
            if !given.contains_key(name) && !property.optional {
                add(&mut errors, name, MISSING);
            }
        }
        for (name, value) in given {
            match self.property(name) {
                Some(property) => {
                    check_value(property, &for_type(property, value), name, &mut errors);
                    check_requires(property, name, given, "", &mut errors);
                }
                None if self.additional || self.path_names().any(|path| path == name) => {}
                None => add(&mut errors, name, UNDEFINED),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(given.iter().map(|(name, value)| (name.clone(), normal(self.property(name), value))).collect())
    }
}

impl Method {
    /// As [`Method::validate`] where some values are not known yet: what is said of the others, and of their names.
    ///
    /// # Errors
    /// As there.
    pub fn validate_known(&self, given: &BTreeMap<String, Option<Value>>) -> Result<(), Errors> {
        let known = given.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect();
        let mut errors = self.validate(&known).err().unwrap_or_default();
        let open = |at: &str| {
            let name = at.split(['.', '[']).next().unwrap_or(at);
            given.get(name).is_some_and(Option::is_none)
        };
        errors.retain(|at, _| !open(at));
        for name in given.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name) {
            if self.property(name).is_none() && !self.additional && !self.path_names().any(|path| path == name) {
                add(&mut errors, name, UNDEFINED);
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

/// Checks the keys of a property string, or any other flat set of values.
pub(super) fn check_all(
    properties: &BTreeMap<String, Property>,
    given: &BTreeMap<String, Value>,
    path: &str,
    errors: &mut Errors,
) {
    for (name, property) in properties {
        let at = format!("{path}.{name}");
        match given.get(name) {
            Some(value) => {
                check_value(property, value, &at, errors);
                check_requires(property, name, given, &format!("{path}."), errors);
            }
            None if property.optional || property.alias.is_some() => {}
            None => add(errors, &at, MISSING),
        }
    }
}

fn add(errors: &mut Errors, at: &str, text: impl AsRef<str>) {
    let entry = errors.entry(at.to_owned()).or_default();
    if !entry.is_empty() {
        entry.push_str("\\n");
    }
    entry.push_str(text.as_ref());
}

fn check_requires(property: &Property, name: &str, given: &BTreeMap<String, Value>, prefix: &str, errors: &mut Errors) {
    if let Some(other) = property.requires.as_ref().filter(|other| !given.contains_key(*other)) {
        add(errors, &format!("{prefix}{other}"), format!("missing property required by '{name}'"));
    }
}

/// A list parameter may come as an array, and an array as a single value.
fn for_type(property: &Property, value: &Value) -> Value {
    let listed = matches!(&property.format, Some(Format::Named(name)) if name.ends_with("-list"));
    match value {
        Value::Array(items) if listed => Value::String(items.iter().map(plain).collect::<Vec<_>>().join(",")),
        Value::Array(_) => value.clone(),
        _ if property.kind == Kind::Array => Value::Array(vec![value.clone()]),
        _ => value.clone(),
    }
}

fn check_value(property: &Property, value: &Value, at: &str, errors: &mut Errors) {
    if !property.one_of.is_empty() {
        let fits = |option: &&Property| {
            let mut own = Errors::new();
            check_value(option, value, at, &mut own);
            own.is_empty()
        };
        if !property.one_of.iter().any(|option| fits(&option)) {
            check_value(&property.one_of[0], value, at, errors);
        }
        return;
    }
    if let Err(text) = check_type(property.kind, value) {
        add(errors, at, text);
    } else if let (Value::Array(items), Some(item)) = (value, &property.items) {
        for (i, value) in items.iter().enumerate() {
            check_value(item, value, &format!("{at}[{i}]"), errors);
        }
    } else if !value.is_array()
        && let Err(text) = check_text(property, &plain(value), at)
    {
        add(errors, at, text);
    }
}

fn check_type(kind: Kind, value: &Value) -> Result<(), String> {
    let wrong = |got: &str| Err(format!("type check ('{}') failed - got {got}", kind.name()));
    let text = match value {
        Value::Array(_) if matches!(kind, Kind::Array | Kind::Any) => return Ok(()),
        Value::Array(_) => return wrong("ARRAY"),
        Value::Object(_) => return wrong("HASH"),
        // The JSON parser's booleans are objects to the server, taken where a boolean is wanted alone.
        Value::Bool(_) if matches!(kind, Kind::Boolean | Kind::Any) => return Ok(()),
        Value::Bool(_) => return wrong("JSON::PP::Boolean"),
        _ => plain(value),
    };
    let fits = match kind {
        Kind::String | Kind::Any => true,
        Kind::Array => false,
        Kind::Boolean => text == "0" || text == "1",
        Kind::Integer => is_integer(&text),
        Kind::Number => is_number(&text),
    };
    if fits { Ok(()) } else { wrong(&format!("'{text}'")) }
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// What Perl takes for a number; Rust's own parser would also take `inf` and `nan`.
fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'))
        && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'))
        && text.parse::<f64>().is_ok()
}

/// In the server's order; the first trouble ends the check of this value.
fn check_text(property: &Property, text: &str, at: &str) -> Result<(), String> {
    let format = match &property.format {
        Some(Format::Named(name)) => formats::check(name, text),
        Some(Format::PropertyString(keys)) => property_string::check(keys, at, text),
        None => Ok(()),
    };
    format.map_err(|text| format!("invalid format - {text}\n"))?;
    if property.pattern.as_ref().is_some_and(|pattern| !pattern.matches(text)) {
        return Err("value does not match the regex pattern".into());
    }
    let length = text.chars().count() as u64;
    if let Some(most) = property.max_length.filter(|most| length > *most) {
        return Err(format!("value may only be {most} characters long"));
    }
    if let Some(least) = property.min_length.filter(|least| length < *least) {
        return Err(format!("value must be at least {least} characters long"));
    }
    check_range(property, text)?;
    match &property.values {
        Some(values) if !values.iter().any(|value| value == text) => {
            Err(format!("value '{text}' does not have a value in the enumeration '{}'", values.join(", ")))
        }
        _ => Ok(()),
    }
}

fn check_range(property: &Property, text: &str) -> Result<(), String> {
    let Some(number) = text.parse::<f64>().ok().filter(|_| is_number(text)) else { return Ok(()) };
    let beyond = |limit: &Option<serde_json::Number>, wrong: fn(f64, f64) -> bool| {
        limit.as_ref().filter(|limit| limit.as_f64().is_some_and(|limit| wrong(number, limit))).map(ToString::to_string)
    };
    if let Some(limit) = beyond(&property.maximum, |n, limit| n > limit) {
        return Err(format!("value must have a maximum value of {limit}"));
    }
    match beyond(&property.minimum, |n, limit| n < limit) {
        Some(limit) => Err(format!("value must have a minimum value of {limit}")),
        None => Ok(()),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(flag) => u8::from(*flag).to_string(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn normal(property: Option<&Property>, value: &Value) -> String {
    let Value::Array(items) = value else { return plain(value) };
    let free_text = property.and_then(|p| p.items.as_deref()).is_some_and(|item| !item.is_free_of_commas());
    let separator = if free_text { "\0" } else { "," };
    items.iter().map(plain).collect::<Vec<_>>().join(separator)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::contracts::{Schema, Verb};

    fn validate(verb: Verb, path: &str, given: Value) -> Result<BTreeMap<String, String>, Errors> {
        let (method, path) = Schema::version("9").find(verb, path).unwrap();
        let mut all: BTreeMap<String, Value> = given.as_object().unwrap().clone().into_iter().collect();
        all.extend(path.into_iter().map(|(k, v)| (k, v.into())));
        method.validate(&all)
    }

    fn one_error(verb: Verb, path: &str, given: Value) -> (String, String) {
        let errors = validate(verb, path, given).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        errors.into_iter().next().unwrap()
    }

    const MIGRATE: &str = "/nodes/pve1/qemu/104/migrate";
    const CREATE: &str = "/nodes/pve1/qemu";

    #[test]
    fn a_good_call_is_brought_into_one_form() {
        let given = json!({"target": "pve2", "online": true, "bwlimit": 1024, "targetstorage": ["local:ceph", "nfs"]});
        let params = validate(Verb::Post, MIGRATE, given).unwrap();
        assert_eq!((params["online"].as_str(), params["bwlimit"].as_str()), ("1", "1024"));
        assert_eq!((params["targetstorage"].as_str(), params["vmid"].as_str()), ("local:ceph,nfs", "104"));
    }

    #[test]
    fn each_trouble_has_the_servers_words() {
        let dow = json!({"dow": "mon", "storage": "local"});
        let long = "x".repeat(41);
        for (verb, path, given, name, text) in [
            (Verb::Post, MIGRATE, json!({}), "target", MISSING),
            (Verb::Post, MIGRATE, json!({"target": "pve2", "foo": "1"}), "foo", UNDEFINED),
            (
                Verb::Post,
                MIGRATE,
                json!({"target": "pve2", "online": "true"}),
                "online",
                "type check ('boolean') failed - got 'true'",
            ),
            (
                Verb::Post,
                MIGRATE,
                json!({"target": "pve2", "bwlimit": "fast"}),
                "bwlimit",
                "type check ('integer') failed - got 'fast'",
            ),
            (
                Verb::Post,
                MIGRATE,
                json!({"target": "pve2", "bwlimit": -1}),
                "bwlimit",
                "value must have a minimum value of 0",
            ),
            (
                Verb::Post,
                MIGRATE,
                json!({"target": "pve2", "migration_type": "x"}),
                "migration_type",
                "value 'x' does not have a value in the enumeration 'secure, insecure'",
            ),
            (
                Verb::Post,
                "/nodes/pve1/qemu/104/snapshot",
                json!({"snapname": long}),
                "snapname",
                "value may only be 40 characters long",
            ),
            (Verb::Post, "/cluster/backup", dow, "starttime", "missing property required by 'dow'"),
            (
                Verb::Post,
                MIGRATE,
                json!({"target": "pve_2"}),
                "target",
                "invalid format - value does not look like a valid node name\n",
            ),
            (
                Verb::Put,
                "/nodes/pve1/qemu/104/config",
                json!({"digest": "x".repeat(41)}),
                "digest",
                "value may only be 40 characters long",
            ),
        ] {
            assert_eq!(one_error(verb, path, given), (name.to_owned(), text.to_owned()));
        }
    }

    #[test]
    fn indexed_names_have_a_count() {
        assert!(validate(Verb::Post, CREATE, json!({"vmid": 105, "net31": "virtio"})).is_ok());
        assert_eq!(one_error(Verb::Post, CREATE, json!({"vmid": 105, "net32": "virtio"})).1, UNDEFINED);
        let (name, text) = one_error(Verb::Post, CREATE, json!({"vmid": 105, "net0": "bridge=vmbr0"}));
        assert_eq!(name, "net0");
        assert_eq!(text, "invalid format - format error\nnet0.model: property is missing and it is not optional\n");
    }

    #[test]
    fn free_text_arrays_are_joined_by_nul() {
        let exec = "/nodes/pve1/qemu/104/agent/exec";
        let params = validate(Verb::Post, exec, json!({"command": ["sh", "-c", "a, b"]})).unwrap();
        assert_eq!(params["command"], "sh\0-c\0a, b");
        let bulk = validate(Verb::Post, "/cluster/bulk-action/guest/start", json!({"vms": [100, "101"]})).unwrap();
        assert_eq!(bulk["vms"], "100,101");
    }

    #[test]
    fn a_json_boolean_is_for_booleans_alone() {
        let (_, text) = one_error(Verb::Post, MIGRATE, json!({"target": true}));
        assert_eq!(text, "type check ('string') failed - got JSON::PP::Boolean");
    }
}
