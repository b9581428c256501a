//! Answers as text: tables with lines round their cells, and JSON as Perl writes it.
//!
//! Source: PVE::CLIFormatter. The real one takes columns and alignment from the schema of the answer, which the lab has
//! not: it shows what a row is known by first, then what every row has, and numbers on the right.

use std::collections::BTreeMap;

use serde_json::Value;

use super::show::plain;

/// A list of objects as rows, an object as keys and values, anything else by itself; of nothing, nothing.
pub(super) fn text(data: &Value, border: bool, header: bool) -> String {
    match data {
        Value::Null => String::new(),
        Value::Object(object) if object.is_empty() => String::new(),
        Value::Object(object) => {
            let sorted: BTreeMap<_, _> = object.iter().collect();
            let rows = sorted.into_iter().map(|(name, value)| vec![Cell::left(name.clone()), Cell::left(plain(value))]);
            draw(&["key".into(), "value".into()], &rows.collect::<Vec<_>>(), border, header)
        }
        Value::Array(rows) if rows.iter().all(Value::is_object) => list(rows, border, header),
        Value::Array(values) => values.iter().map(|value| format!("{}\n", plain(value))).collect(),
        other => format!("{}\n", plain(other)),
    }
}

/// What a row is known by, where it has one of these.
const NAMES: [&str; 12] =
    ["vmid", "node", "userid", "tokenid", "roleid", "poolid", "storage", "sid", "rule", "path", "realm", "upid"];

struct Cell {
    text: String,
    right: bool,
}

impl Cell {
    fn left(text: String) -> Self {
        Self { text, right: false }
    }
}

fn list(rows: &[Value], border: bool, header: bool) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    rows.iter()
        .filter_map(Value::as_object)
        .flat_map(|row| row.keys())
        .for_each(|name| *counts.entry(name).or_default() += 1);
    let mut columns: Vec<(&str, usize)> = counts.into_iter().collect();
    let place = |name: &str| NAMES.iter().position(|known| *known == name).unwrap_or(NAMES.len());
    columns.sort_by_key(|(name, count)| (place(name), *count < rows.len(), *name));
    let columns: Vec<String> = columns.into_iter().map(|(name, _)| name.to_owned()).collect();
    let mut cells: Vec<Vec<Cell>> = rows
        .iter()
        .map(|row| {
            let cell = |name: &String| Cell { text: plain(&row[name.as_str()]), right: row[name.as_str()].is_number() };
            columns.iter().map(cell).collect()
        })
        .collect();
    cells.sort_by(|a, b| match (a[0].text.parse::<f64>(), b[0].text.parse::<f64>()) {
        (Ok(a), Ok(b)) => a.total_cmp(&b),
        _ => a[0].text.cmp(&b[0].text),
    });
    draw(&columns, &cells, border, header)
}

fn draw(columns: &[String], rows: &[Vec<Cell>], border: bool, header: bool) -> String {
    let shown = |text: &str| if header { text.chars().count() } else { 0 };
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(i, name)| rows.iter().map(|row| row[i].text.chars().count()).fold(shown(name), usize::max))
        .collect();
    let padded = |text: &str, right: bool, width: usize| {
        if right { format!("{text:>width$}") } else { format!("{text:<width$}") }
    };
    let line = |cells: Vec<String>| match border {
        true => format!("│ {} │\n", cells.join(" │ ")),
        false => format!("{}\n", cells.join(" ").trim_end()),
    };
    let rule = |left: &str, fill: &str, cross: &str, right: &str| match border {
        true => format!("{left}{}{right}\n", widths.iter().map(|w| fill.repeat(w + 2)).collect::<Vec<_>>().join(cross)),
        false => String::new(),
    };
    let mut text = rule("┌", "─", "┬", "┐");
    if header {
        text.push_str(&line(columns.iter().zip(&widths).map(|(name, width)| padded(name, false, *width)).collect()));
        text.push_str(&rule("╞", "═", "╪", "╡"));
    }
    let between = rule("├", "─", "┼", "┤");
    let body = rows
        .iter()
        .map(|row| line(row.iter().zip(&widths).map(|(cell, w)| padded(&cell.text, cell.right, *w)).collect()));
    text.push_str(&body.collect::<Vec<_>>().join(&between));
    text + &rule("└", "─", "┴", "┘")
}

/// One line, keys in order.
pub(super) fn canonical(value: &Value) -> String {
    match value {
        Value::Object(object) => {
            let sorted: BTreeMap<_, _> = object.iter().collect();
            let pairs = sorted.into_iter().map(|(name, value)| format!("{}:{}", quoted(name), canonical(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
        }
        Value::Array(values) => format!("[{}]", values.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Three spaces a level, and one before each colon.
pub(super) fn pretty(value: &Value) -> String {
    format!("{}\n", indented(value, 0))
}

fn indented(value: &Value, depth: usize) -> String {
    let (inner, outer) = ("   ".repeat(depth + 1), "   ".repeat(depth));
    let block = |open: char, items: Vec<String>, close: char| match items.is_empty() {
        true => format!("{open}{close}"),
        false => format!("{open}\n{inner}{}\n{outer}{close}", items.join(&format!(",\n{inner}"))),
    };
    match value {
        Value::Object(object) => {
            let sorted: BTreeMap<_, _> = object.iter().collect();
            let items =
                sorted.into_iter().map(|(name, value)| format!("{} : {}", quoted(name), indented(value, depth + 1)));
            block('{', items.collect(), '}')
        }
        Value::Array(values) => block('[', values.iter().map(|value| indented(value, depth + 1)).collect(), ']'),
        other => other.to_string(),
    }
}
