//! How talosctl writes: tables as Go's tabwriter pads them, resources as indented JSON, sizes as go-humanize words them.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::contracts::talosctl::Contract;

/// Padding 3, spaces; the last column is not padded.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&head).chain(rows).collect();
    let width = |column: usize| all.iter().map(|row| row[column].chars().count()).max().unwrap_or(0) + 3;
    let mut text = String::new();
    for row in &all {
        for (column, cell) in row.iter().enumerate() {
            text.push_str(cell);
            if column + 1 < row.len() {
                text.extend(std::iter::repeat_n(' ', width(column) - cell.chars().count()));
            }
        }
        text.push('\n');
    }
    text
}

/// A stream of objects, each indented by four spaces.
pub(super) fn objects(all: &[Value]) -> String {
    let mut text = Vec::new();
    for one in all {
        let form = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        let mut writer = serde_json::Serializer::with_formatter(&mut text, form);
        // A value in memory is always written.
        let _ = one.serialize(&mut writer);
        text.push(b'\n');
    }
    String::from_utf8(text).unwrap_or_default()
}

/// `20 MB`: decimal, one digit behind the point below ten.
pub(super) fn size(bytes: u64) -> String {
    let (mut value, mut units) = (bytes as f64, ["B", "kB", "MB", "GB", "TB"].into_iter());
    let mut unit = units.next().unwrap_or("B");
    while value >= 1000.0 {
        let Some(next) = units.next() else { break };
        (value, unit) = (value / 1000.0, next);
    }
    if value < 10.0 && unit != "B" { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

/// `version --client`.
pub(super) fn client(contract: &Contract, short: bool) -> String {
    if short {
        return format!("Talos {}\n", contract.tag);
    }
    let mut text = String::from("Client:\n");
    for (name, value) in lines(&contract.tag) {
        text.push_str(&format!("\t{:<13}{value}\n", format!("{name}:")));
    }
    text
}

/// Of bytes, hexadecimal.
pub(super) fn digest(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A time (milliseconds since 1970), as Go writes it.
pub(super) fn time(ms: i64) -> String {
    let at = crate::sys::clock::rfc3339(ms);
    let (day, rest) = at.split_once('T').unwrap_or((&at, ""));
    format!("{day} {} +0000 UTC", rest.trim_end_matches('Z'))
}

/// What is said of a build.
pub(super) fn lines(tag: &str) -> [(&'static str, String); 5] {
    [
        ("Tag", tag.to_owned()),
        ("SHA", "abcdef12".to_owned()),
        ("Built", String::new()),
        ("Go version", "go1.26.6".to_owned()),
        ("OS/Arch", "linux/amd64".to_owned()),
    ]
}
