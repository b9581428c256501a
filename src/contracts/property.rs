//! One parameter as the schema describes it.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use super::pattern::Pattern;

/// The schema's types; `Any` where it names none (aliases in property strings) or one we do not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    String,
    Integer,
    Number,
    Boolean,
    Array,
    Any,
}

impl Kind {
    fn parse(name: Option<&str>) -> Self {
        match name {
            Some("string") => Self::String,
            Some("integer") => Self::Integer,
            Some("number") => Self::Number,
            Some("boolean") => Self::Boolean,
            Some("array") => Self::Array,
            _ => Self::Any,
        }
    }

    /// As error texts name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Array => "array",
            Self::Any => "any",
        }
    }
}

/// A registered format by name, or the keys of a property string (`virtio=…,bridge=vmbr0`).
#[derive(Debug)]
pub enum Format {
    Named(String),
    PropertyString(BTreeMap<String, Property>),
}

/// A parameter, an item of a list, or a key of a property string.
#[derive(Debug)]
pub struct Property {
    pub kind: Kind,
    pub optional: bool,
    pub format: Option<Format>,
    pub pattern: Option<Pattern>,
    pub values: Option<Vec<String>>,
    pub minimum: Option<Number>,
    pub maximum: Option<Number>,
    pub min_length: Option<u64>,
    pub max_length: Option<u64>,
    pub items: Option<Box<Property>>,
    /// Another parameter that must be given with this one.
    pub requires: Option<String>,
    /// By section type (storage, SDN): one of these must fit.
    pub one_of: Vec<Property>,
    /// In a property string: this key stands for that one (`virtio` for `macaddr`).
    pub alias: Option<String>,
    /// In a property string: and its own name is the value of that key (`model`).
    pub key_alias: Option<String>,
    /// In a property string: takes a value that has no key.
    pub default_key: bool,
}

impl Property {
    pub(super) fn parse(json: &Map<String, Value>) -> Self {
        let text = |key: &str| json.get(key).and_then(Value::as_str).map(str::to_owned);
        let number = |key: &str| json.get(key).and_then(Value::as_number).cloned();
        let length = |key: &str| json.get(key).and_then(Value::as_u64);
        let list = |key: &str| json.get(key).and_then(Value::as_array);
        Self {
            kind: Kind::parse(json.get("type").and_then(Value::as_str)),
            optional: truthy(json.get("optional")),
            format: json.get("format").and_then(parse_format),
            pattern: json.get("pattern").and_then(Value::as_str).map(Pattern::new),
            values: list("enum").map(|values| values.iter().map(plain).collect()),
            minimum: number("minimum"),
            maximum: number("maximum"),
            min_length: length("minLength"),
            max_length: length("maxLength"),
            items: json.get("items").and_then(Value::as_object).map(|items| Box::new(Self::parse(items))),
            requires: text("requires"),
            one_of: list("oneOf")
                .map(|options| options.iter().filter_map(Value::as_object).map(Self::parse).collect())
                .unwrap_or_default(),
            alias: text("alias"),
            key_alias: text("keyAlias"),
            default_key: truthy(json.get("default_key")),
        }
    }

    /// Whether an array of these can be written with commas and read back: their values have no comma of their own.
    pub(super) fn is_free_of_commas(&self) -> bool {
        match self.kind {
            Kind::Integer | Kind::Number | Kind::Boolean => true,
            _ => self.values.is_some() || matches!(self.format, Some(Format::Named(_))),
        }
    }
}

fn parse_format(json: &Value) -> Option<Format> {
    match json {
        Value::String(name) => Some(Format::Named(name.clone())),
        Value::Object(keys) => Some(Format::PropertyString(parse_properties(keys))),
        _ => None,
    }
}

pub(super) fn parse_properties(json: &Map<String, Value>) -> BTreeMap<String, Property> {
    json.iter().filter_map(|(name, value)| Some((name.clone(), Property::parse(value.as_object()?)))).collect()
}

/// The schemas write flags as `true` or `1`.
pub(super) fn truthy(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        _ => false,
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
