//! How values are written: on one line, so that nothing round them has to move.

use serde_json::Value as Json;

use super::super::yaml::Style;
use super::find::plain;

/// A key of a map.
pub fn key(text: &str) -> String {
    word(text)
}

/// A value in a line: maps in braces, lists in brackets.
pub fn flow(value: &Json) -> String {
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => value.to_string(),
        Json::String(text) => word(text),
        Json::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Json::Object(map) => {
            let entry = |(name, value): (&String, &Json)| format!("{}: {}", key(name), flow(value));
            format!("{{{}}}", map.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

/// A value in the place of another, in its quotes where it is a text too.
pub fn like(value: &Json, style: Style) -> String {
    let Json::String(text) = value else { return flow(value) };
    match style {
        Style::Single if !text.chars().any(is_odd) => format!("'{}'", text.replace('\'', "''")),
        Style::Double => quoted(text),
        _ => word(text),
    }
}

/// Without quotes where no reader of any version could take it for anything else.
fn word(text: &str) -> String {
    const OTHERS: [&str; 10] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan"];
    let safe = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_./-".contains(c))
        && !OTHERS.contains(&text.to_ascii_lowercase().as_str())
        && plain(text).as_str() == Some(text);
    if safe { text.to_owned() } else { quoted(text) }
}

/// What quotes of one kind cannot hold on a line, or nobody could see.
fn is_odd(c: char) -> bool {
    c.is_control() || matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}')
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_odd(c) && u32::from(c) < 0x1_0000 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
