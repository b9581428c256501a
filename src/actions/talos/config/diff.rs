//! What one machine configuration changes in another, as paths. A value is shown only where its place is one of those
//! that hold no secret: a list of what is secret would always miss something.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Beginnings of paths whose values may be seen.
const SHOWN: [&[&str]; 16] = [
    &["machine", "type"],
    &["machine", "install"],
    &["machine", "kubelet", "image"],
    &["machine", "kubelet", "extraArgs"],
    &["machine", "network", "hostname"],
    &["machine", "nodeLabels"],
    &["machine", "nodeTaints"],
    &["machine", "sysctls"],
    &["machine", "sysfs"],
    &["machine", "time"],
    &["cluster", "clusterName"],
    &["cluster", "controlPlane", "endpoint"],
    &["cluster", "apiServer", "image"],
    &["cluster", "controllerManager", "image"],
    &["cluster", "scheduler", "image"],
    &["cluster", "proxy", "image"],
];
/// Words in a key whose value is never shown, wherever it stands.
const SECRET: [&str; 7] = ["token", "secret", "key", "password", "crt", "auth", "cert"];
/// Shorter texts are found everywhere and give nothing away.
const SHORTEST: usize = 4;

fn is_shown(path: &[String], value: &Value) -> bool {
    let hidden = |word: &String| SECRET.iter().any(|secret| word.to_lowercase().contains(secret));
    if path.iter().any(hidden) {
        return false;
    }
    let below = match value {
        Value::Object(map) => !map.keys().any(hidden),
        Value::Bool(_) => return true,
        _ => true,
    };
    below && SHOWN.iter().any(|shown| path.len() >= shown.len() && path.iter().zip(*shown).all(|(a, b)| a == b))
}

/// A word with a point in it is written in quotes.
fn dotted(path: &[String]) -> String {
    let word = |word: &String| if word.contains('.') { format!("{word:?}") } else { word.clone() };
    path.iter().map(word).collect::<Vec<_>>().join(".")
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(super) fn changes(old: &Map<String, Value>, new: &Map<String, Value>) -> Vec<String> {
    let mut lines = Vec::new();
    walk(&mut Vec::new(), old, new, &mut lines);
    lines
}

fn walk(path: &mut Vec<String>, old: &Map<String, Value>, new: &Map<String, Value>, lines: &mut Vec<String>) {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for key in keys {
        path.push(key.clone());
        let at = dotted(path);
        match (old.get(key), new.get(key)) {
            (Some(Value::Object(old)), Some(Value::Object(new))) => walk(path, old, new, lines),
            (Some(old), Some(new)) if old == new => {}
            (Some(old), Some(new)) if is_shown(path, old) && is_shown(path, new) => {
                lines.push(format!("~ {at}: {} -> {}", text(old), text(new)));
            }
            (Some(_), Some(_)) => lines.push(format!("~ {at} (not shown)")),
            (Some(_), None) => lines.push(format!("- {at}")),
            (None, Some(new)) if is_shown(path, new) => lines.push(format!("+ {at}: {}", text(new))),
            (None, Some(_)) => lines.push(format!("+ {at}")),
            (None, None) => {}
        }
        path.pop();
    }
}

/// Texts that may be secret, and the lines of those that have several.
pub(super) fn secrets(value: &Value, path: &mut Vec<String>, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                path.push(key.clone());
                secrets(value, path, found);
                path.pop();
            }
        }
        Value::Array(list) => list.iter().for_each(|one| secrets(one, path, found)),
        Value::String(text) if !is_shown(path, value) && !is_name(path) => {
            let lines = text.lines().map(str::trim).filter(|line| line.len() >= SHORTEST);
            found.extend(lines.map(str::to_owned));
        }
        Value::Number(number) if !is_shown(path, value) && number.to_string().len() >= SHORTEST => {
            found.push(number.to_string());
        }
        _ => {}
    }
}

/// What says which document it is.
fn is_name(path: &[String]) -> bool {
    matches!(path, [one] if ["version", "apiVersion", "kind"].contains(&one.as_str()))
}
