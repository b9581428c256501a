//! Reads a tree by the tables of keys: every value checked and brought into its JSON form.

use serde_json::{Map, Value as Json, json};

use super::diagnostic::code;
use super::reader::Reader;
use super::shape::{Shape, Table};
use super::yaml::{Node, Value};
use crate::model::ids::Vmid;
use crate::model::param::{Param, ValueType};
use crate::model::value::{coerce, expected, is_host_name, size};

/// The JSON form of a node, or nothing when something in it is wrong (which is reported).
pub fn read(reader: &mut Reader<'_>, node: &Node, shape: &Shape) -> Option<Json> {
    let text = node.as_str();
    let found = match shape {
        Shape::Text => return reader.text(node).map(Json::from),
        Shape::Bool => return reader.boolean(node).map(Json::from),
        Shape::Table(table) => return read_table(reader, node, table),
        Shape::List(of) => return read_list(reader, node, of),
        Shape::Map(of) => return read_map(reader, node, of),
        Shape::OneOf(shapes) => return read_one_of(reader, node, shapes),
        Shape::Choice(names) => {
            let choices: Vec<(&str, &str)> = names.iter().map(|name| (*name, *name)).collect();
            return reader.choice(node, &choices).map(Json::from);
        }
        Shape::Int { min, max } => match node.value {
            Value::Int(n) if (*min..=*max).contains(&n) => Some(Json::from(n)),
            _ => None,
        },
        Shape::Number => matches!(node.value, Value::Int(_) | Value::Float(_)).then(|| node.to_json()),
        Shape::Value(ty) => literal(node, *ty),
        Shape::Mebibytes => match node.value {
            Value::Int(n) => u64::try_from(n).ok().filter(|n| *n > 0 && *n < 1 << 40).map(|n| Json::from(n << 20)),
            _ => text.and_then(size).filter(|n| *n > 0).map(Json::from),
        },
        Shape::VmidRange => text.and_then(vmid_range),
        Shape::Host => text.filter(|t| is_host_name(t)).map(Json::from),
        Shape::HostPort => text.and_then(host_port),
        Shape::Fingerprint => text.filter(|t| is_fingerprint(t)).map(|t| Json::from(t.to_ascii_uppercase())),
        Shape::Schematic => text.filter(|t| t.len() == 64 && t.bytes().all(|b| b.is_ascii_hexdigit())).map(Json::from),
        Shape::Any | Shape::Template | Shape::Expr | Shape::Amount | Shape::Uses | Shape::Id | Shape::Steps => {
            Some(node.to_json())
        }
    };
    if found.is_none() && matches!(shape, Shape::Value(ValueType::Secret)) {
        pasted(reader, node, expected(ValueType::Secret));
    } else if found.is_none() {
        reader.wrong(node, &describe(shape));
    }
    found
}

/// As `Reader::wrong`, where somebody may have pasted the secret itself.
fn pasted(reader: &mut Reader<'_>, node: &Node, expected: &str) {
    if node.value != Value::Invalid {
        let message = format!("expected {expected}, but something else stands here");
        reader.error(code::WRONG_VALUE, node.span, message).conceal = true;
    }
}

/// What a shape takes, for messages.
fn describe(shape: &Shape) -> String {
    match shape {
        Shape::Int { min, max } => format!("a whole number from {min} to {max}"),
        Shape::Number => "a number".into(),
        Shape::Value(ty) => expected(*ty).into(),
        Shape::Mebibytes => "a size such as 8GiB, or a number of MiB".into(),
        Shape::VmidRange => "a range of VMIDs such as 1000-9999".into(),
        Shape::Host => "a host's name: letters, digits, `-` and `.`".into(),
        Shape::HostPort => "a host, or host:port in quotes".into(),
        Shape::Fingerprint => "a SHA-256 fingerprint: 32 pairs of hexadecimal digits with colons".into(),
        Shape::Schematic => "64 hexadecimal digits".into(),
        Shape::Text => "a text".into(),
        Shape::Map(_) => "a map".into(),
        Shape::Table(table) => format!("{} as a map", table.what),
        _ => "a value".into(),
    }
}

fn literal(node: &Node, ty: ValueType) -> Option<Json> {
    let number = matches!(node.value, Value::Int(_) | Value::Float(_));
    let without_unit = number && matches!(ty, ValueType::Duration | ValueType::Size);
    if without_unit { None } else { coerce(&Param::new("", ty), &node.to_json()).ok() }
}

fn read_table(reader: &mut Reader<'_>, node: &Node, table: &'static Table) -> Option<Json> {
    let before = reader.diagnostics.len();
    if !reader.keys(node, table) {
        return None;
    }
    let mut map = Map::new();
    for key in table.keys {
        if let Some(node) = node.get(key.name)
            && let Some(value) = read(reader, node, &key.shape)
        {
            map.insert(key.name.into(), value);
        }
    }
    (reader.diagnostics.len() == before).then_some(Json::Object(map))
}

fn read_list(reader: &mut Reader<'_>, node: &Node, of: &'static Shape) -> Option<Json> {
    if !matches!(node.value, Value::Seq(_)) {
        reader.wrong(node, "a list");
        return None;
    }
    let items: Vec<Option<Json>> = node.items().iter().map(|item| read(reader, item, of)).collect();
    items.into_iter().collect::<Option<Vec<_>>>().map(Json::Array)
}

fn read_map(reader: &mut Reader<'_>, node: &Node, of: &'static Shape) -> Option<Json> {
    let entries = reader.map(node, "a map");
    let entries: Vec<_> =
        entries.iter().map(|(key, node)| Some((key.value.clone(), read(reader, node, of)?))).collect();
    entries.into_iter().collect::<Option<Map<_, _>>>().map(Json::Object)
}

/// The first shape that fits; what is wrong is said in the words of the one that is of the node's kind.
fn read_one_of(reader: &mut Reader<'_>, node: &Node, shapes: &'static [Shape]) -> Option<Json> {
    let mut quiet = Reader::new(reader.source);
    if let Some(found) = shapes.iter().find_map(|shape| read(&mut quiet, node, shape)) {
        return Some(found);
    }
    let map = matches!(node.value, Value::Map(_));
    let same_kind = shapes.iter().find(|shape| matches!(shape, Shape::Table(_) | Shape::Map(_)) == map);
    match same_kind {
        Some(shape) if map => read(reader, node, shape),
        _ => {
            let all: Vec<String> = shapes.iter().map(describe).collect();
            let all = all.join(", or ");
            if shapes.iter().any(|shape| matches!(shape, Shape::Value(ValueType::Secret))) {
                pasted(reader, node, &all);
            } else {
                reader.wrong(node, &all);
            }
            None
        }
    }
}

fn vmid_range(text: &str) -> Option<Json> {
    let (first, last) = text.split_once('-')?;
    let first = first.trim().parse::<Vmid>().ok()?;
    let last = last.trim().parse::<Vmid>().ok()?;
    (first <= last).then(|| json!({"first": first, "last": last}))
}

/// An IPv6 address with a port stands in brackets.
fn host_port(text: &str) -> Option<Json> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        (host, port.strip_prefix(':'))
    } else if text.parse::<std::net::Ipv6Addr>().is_ok() {
        (text, None)
    } else {
        let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
        if !is_host_name(host) {
            return None;
        }
        (host, port)
    };
    let port = port.map_or(Some(8006), |port| port.parse::<u16>().ok().filter(|p| *p > 0))?;
    Some(json!({"host": host, "port": port}))
}

fn is_fingerprint(text: &str) -> bool {
    let pairs: Vec<&str> = text.split(':').collect();
    pairs.len() == 32 && pairs.iter().all(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()))
}
