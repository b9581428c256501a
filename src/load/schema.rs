//! JSON Schema (2020-12) of the files, from the tables that the checker reads: for completion in editors.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::config_keys::{CLUSTER, SITE};
use super::keys::{REHEARSAL, RUNBOOK, STEP, TYPES, VERBS};
use super::shape::{Key, Shape, Table};
use crate::model::action_spec::{ActionSpec, Catalogue};
use crate::model::param::{Param, ValueType};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// Somewhere in the text is an expression.
const EXPRESSION: &str = r"\{\{";

/// The schema of a runbook, with the parameters of each action of the catalogue.
pub fn runbook_schema(catalogue: &Catalogue) -> Value {
    let mut schema = document(&RUNBOOK, "A runbook");
    let mut step = table(&STEP);
    step["oneOf"] = VERBS.iter().map(|verb| json!({"required": [verb]})).collect();
    if !catalogue.is_empty() {
        step["allOf"] = catalogue.values().map(call).collect();
    }
    let names: Vec<&str> = catalogue.keys().map(String::as_str).collect();
    schema["$defs"] = json!({
        "step": step,
        "uses": {
            "anyOf": [
                {"enum": names},
                {"type": "string", "pattern": r"^(local\.[a-z][a-z0-9_]*|runbook:.+|\./.+)$"},
            ],
        },
    });
    schema
}

/// The schema of `cluster-config.yaml`.
pub fn site_schema() -> Value {
    document(&SITE, "The configuration of a site")
}

/// The schema of `clusters/*.yaml`.
pub fn cluster_schema() -> Value {
    document(&CLUSTER, "A guest cluster")
}

/// The schema of `runbooks/tests/*.yaml`.
pub fn rehearsal_schema() -> Value {
    document(&REHEARSAL, "How a runbook is rehearsed")
}

fn document(of: &'static Table, title: &str) -> Value {
    let mut schema = table(of);
    schema["$schema"] = DIALECT.into();
    schema["title"] = title.into();
    schema
}

fn table(table: &'static Table) -> Value {
    let required: Vec<&str> = table.keys.iter().filter(|k| k.required).map(|k| k.name).collect();
    let properties: Map<String, Value> = table.keys.iter().map(|k| (k.name.to_owned(), property(k))).collect();
    let mut schema = json!({"type": "object", "additionalProperties": false, "properties": properties});
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    schema
}

fn property(key: &'static Key) -> Value {
    let mut schema = shape(&key.shape);
    schema["description"] = key.help.into();
    schema
}

fn text(pattern: &str) -> Value {
    json!({"type": "string", "pattern": pattern})
}

fn shape(of: &'static Shape) -> Value {
    match of {
        Shape::Text => json!({"type": "string"}),
        Shape::Bool => json!({"type": "boolean"}),
        Shape::Int { min, max } => json!({"type": "integer", "minimum": min, "maximum": max}),
        Shape::Number => json!({"type": "number"}),
        Shape::Any | Shape::Template => json!({}),
        Shape::Expr => json!({"type": ["string", "boolean"]}),
        Shape::Value(ty) => value(*ty),
        Shape::Mebibytes => {
            json!({"anyOf": [value(ValueType::Size), {"type": "integer", "minimum": 1}]})
        }
        Shape::VmidRange => text("^[0-9]+ *- *[0-9]+$"),
        Shape::Host => text("^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$"),
        Shape::HostPort => json!({"type": "string"}),
        Shape::Fingerprint => text("^([0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}$"),
        Shape::Schematic => text("^[0-9A-Fa-f]{64}$"),
        Shape::Amount => json!({"anyOf": [{"type": "integer", "minimum": 0}, text("^(100|[0-9]{1,2})%$")]}),
        Shape::Choice(names) => json!({"enum": names}),
        Shape::List(of) => json!({"type": "array", "items": shape(of)}),
        Shape::Map(of) => json!({"type": "object", "additionalProperties": shape(of)}),
        Shape::Table(of) => table(of),
        Shape::OneOf(shapes) => {
            let any: Vec<Value> = shapes.iter().map(shape).collect();
            json!({"anyOf": any})
        }
        Shape::Uses => json!({"$ref": "#/$defs/uses"}),
        Shape::Id => text("^[a-z][a-z0-9_]*$"),
        Shape::Steps => json!({"type": "array", "items": {"$ref": "#/$defs/step"}}),
    }
}

/// How a literal of this type is spelled in YAML.
fn value(ty: ValueType) -> Value {
    match ty {
        ValueType::Int => json!({"type": "integer"}),
        ValueType::Float => json!({"type": "number"}),
        ValueType::Bool => json!({"type": "boolean"}),
        ValueType::List => json!({"type": "array"}),
        ValueType::Map => json!({"type": "object"}),
        ValueType::Duration => text("^([0-9]+(ms|s|m|h|d) *)+$"),
        ValueType::Size => text("^[0-9]+([.][0-9]+)? *(B|[KMGT](i|iB)?)$"),
        ValueType::Percent => {
            json!({"anyOf": [{"type": "number", "minimum": 0, "maximum": 100}, text("^[0-9]+([.][0-9]+)?%?$")]})
        }
        ValueType::Version => text("^v?[0-9]+([.][0-9]+){1,2}([-+].+)?$"),
        ValueType::Cidr => text("^[0-9A-Fa-f.:]+/[0-9]{1,3}$"),
        ValueType::Ip => text("^[0-9A-Fa-f.:]+$"),
        ValueType::Mac => text("^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$"),
        ValueType::Url => text("^[A-Za-z][A-Za-z0-9+.-]*://[^/ ]"),
        ValueType::Vmid => {
            json!({"anyOf": [{"type": "integer", "minimum": 100, "maximum": 999_999_999}, text("^[0-9]+$")]})
        }
        ValueType::Guest => json!({"type": ["integer", "string"]}),
        ValueType::Secret => text("^(pass|env|file|cmd|op|vault|sops):."),
        ValueType::String | ValueType::Path | ValueType::Node | ValueType::Cluster => json!({"type": "string"}),
        ValueType::Any => json!({}),
    }
}

/// What `with` must be for one action.
fn call(spec: &ActionSpec) -> Value {
    let properties: Map<String, Value> = spec.params.iter().map(|p| (p.name.clone(), argument(p))).collect();
    let required: BTreeSet<&str> =
        spec.params.iter().filter(|p| p.required && p.default.is_none()).map(|p| p.name.as_str()).collect();
    let mut with = json!({"type": "object", "additionalProperties": false, "properties": properties});
    let mut then = json!({});
    if !required.is_empty() {
        with["required"] = required.into_iter().collect();
        then["required"] = json!(["with"]);
    }
    then["properties"] = json!({"with": with});
    json!({
        "title": spec.title,
        "if": {"properties": {"uses": {"const": spec.name}}, "required": ["uses"]},
        "then": then,
    })
}

/// A literal of the parameter's type, or a text with an expression.
fn argument(param: &Param) -> Value {
    let literal = if param.choices.is_empty() { value(param.ty) } else { json!({"enum": param.choices}) };
    let mut schema = if literal == json!({}) || param.name == "script" {
        literal
    } else {
        json!({"anyOf": [literal, text(EXPRESSION)]})
    };
    let kind = TYPES.iter().find(|name| **name == param.ty.as_str()).copied().unwrap_or("any");
    schema["description"] =
        param.help.as_ref().map_or_else(|| kind.to_owned(), |help| format!("{help} ({kind})")).into();
    schema
}
