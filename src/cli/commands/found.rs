//! What an action that only looks has found: lists of guests, templates and nodes of a cluster as tables, all else as YAML.

use serde_json::Value;

use crate::cli::Face;
use crate::cli::args::Output;
use crate::report::{Cell, Column, FORMAT_VERSION, Table, bytes, cluster_nodes, cluster_suspects};

/// Shows it.
pub fn tell(face: &Face, action: &str, summary: &str, outputs: &Value) {
    let found = serde_json::json!({
        "format_version": FORMAT_VERSION, "action": action, "summary": summary, "outputs": outputs,
    });
    if face.printer.json(&found) {
        return;
    }
    if outputs.as_object().is_some_and(|map| map.is_empty()) {
        face.printer.data(summary);
        return;
    }
    let Some((rows, table)) = listed(action, outputs) else {
        face.printer.note(summary);
        face.printer.data(&crate::app::to_yaml(outputs));
        return;
    };
    if face.printer.output == Output::Name {
        let numbers: Vec<String> = rows.iter().map(|row| text(&row["vmid"])).collect();
        face.printer.data(&numbers.join("\n"));
        return;
    }
    face.printer.note(summary);
    if !table.is_empty() {
        face.printer.data(&table.render(face.printer.look(), 0));
    }
    let suspects = cluster_suspects(outputs, face.printer.look(), 0);
    if !suspects.is_empty() {
        face.printer.data(&suspects);
    } else {
        let findings = outputs["findings"].as_array().into_iter().flatten().filter_map(Value::as_str);
        findings.for_each(|finding| face.printer.note(&format!("Warning: {finding}")));
    }
}

/// The rows of a list, and the table of them.
fn listed<'a>(action: &str, outputs: &'a Value) -> Option<(&'a Vec<Value>, Table)> {
    match action {
        "proxmox.guests" => Some(guests(outputs["guests"].as_array()?)),
        "talos.status" | "talos.diagnose" => Some((outputs["nodes"].as_array()?, cluster_nodes(outputs)?)),
        "proxmox.templates" => Some(templates(outputs["templates"].as_array()?)),
        _ => None,
    }
}

fn guests(rows: &Vec<Value>) -> (&Vec<Value>, Table) {
    let mut table = Table::new(&[
        Column::new("vmid").right(),
        Column::new("name").flexible(),
        Column::new("type").expendable(3),
        Column::new("node"),
        Column::new("state"),
        Column::new("tags").flexible().expendable(1),
        Column::new("pool").expendable(5),
        Column::new("cpu").right().expendable(4),
        Column::new("memory").right().expendable(2),
        Column::new("ha").expendable(6),
        Column::new("lock"),
    ]);
    for row in rows {
        let kind = match (row["type"].as_str(), row["template"] == true) {
            (_, true) => "template",
            (Some("lxc"), _) => "ct",
            _ => "vm",
        };
        let memory = row["memory"].as_u64().map(bytes).unwrap_or_default();
        table.row(vec![
            Cell::new(text(&row["vmid"])),
            Cell::new(text(&row["name"])),
            Cell::new(kind),
            Cell::new(text(&row["node"])),
            Cell::new(text(&row["status"])),
            Cell::new(words(&row["tags"])),
            Cell::new(text(&row["pool"])),
            Cell::new(text(&row["cpus"])),
            Cell::new(memory),
            Cell::new(text(&row["ha"])),
            Cell::new(text(&row["lock"])),
        ]);
    }
    (rows, table)
}

fn templates(rows: &Vec<Value>) -> (&Vec<Value>, Table) {
    let mut table = Table::new(&[
        Column::new("vmid").right(),
        Column::new("name").flexible(),
        Column::new("node"),
        Column::new("tags").flexible(),
        Column::new("disks").expendable(1),
        Column::new("made of").flexible().expendable(2),
    ]);
    for row in rows {
        let disks = if row["shared"] == true { "shared" } else { "local" };
        table.row(vec![
            Cell::new(text(&row["vmid"])),
            Cell::new(text(&row["name"])),
            Cell::new(text(&row["node"])),
            Cell::new(words(&row["tags"])),
            Cell::new(disks),
            Cell::new(text(&row["source"])),
        ]);
    }
    (rows, table)
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        // Whole figures without a fraction: `cpulimit` of a container may have one.
        Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), |n| n.to_string()),
        other => other.to_string(),
    }
}

fn words(value: &Value) -> String {
    value.as_array().into_iter().flatten().map(text).collect::<Vec<_>>().join(", ")
}
