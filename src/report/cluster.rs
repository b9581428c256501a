//! What a reading of a Talos cluster pins (`talos.status`, `talos.diagnose`), as a table of its nodes and, below it, what is to
//! be looked at first.

use serde::Deserialize;
use serde_json::Value;

use super::style::{Ink, Look};
use super::table::{Cell, Column, Table};
use super::text::{clean, hang};

/// The actions whose outputs these are.
pub(super) const ACTIONS: [&str; 2] = ["talos.status", "talos.diagnose"];

#[derive(Deserialize)]
struct Node {
    name: String,
    #[serde(default)]
    vmid: Option<u32>,
    #[serde(default)]
    address: Option<String>,
    control_plane: bool,
    #[serde(default)]
    etcd: Option<String>,
    #[serde(default)]
    why: Option<String>,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    stage: Option<String>,
    #[serde(default)]
    ready: bool,
}

#[derive(Deserialize)]
struct Suspect {
    #[serde(default)]
    node: Option<String>,
    what: String,
    #[serde(default)]
    evidence: Vec<String>,
    #[serde(default)]
    next: Vec<String>,
}

/// The nodes; nothing where the outputs are of another shape.
pub fn nodes(outputs: &Value) -> Option<Table> {
    let nodes = Vec::<Node>::deserialize(&outputs["nodes"]).ok()?;
    let mut table = Table::new(&[
        Column::new("node"),
        Column::new("vmid").right().expendable(2),
        Column::new("address").expendable(1),
        Column::new("role").expendable(3),
        Column::new("version"),
        Column::new("stage"),
        Column::new("ready"),
        Column::new("etcd"),
    ]);
    for node in &nodes {
        let silent = node.why.is_some();
        let good = |well: bool| if well { Ink::Plain } else { Ink::Bad };
        let stage = if silent { "no answer" } else { node.stage.as_deref().unwrap_or_default() };
        let etcd = node.etcd.as_deref().unwrap_or_default();
        table.row(vec![
            Cell::new(&node.name),
            Cell::new(node.vmid.map(|vmid| vmid.to_string()).unwrap_or_default()),
            Cell::new(node.address.as_deref().unwrap_or("not known")),
            Cell::new(if node.control_plane { "control plane" } else { "worker" }),
            Cell::new(node.version.as_deref().unwrap_or("?")),
            Cell::new(stage).ink(good(stage == "running")),
            Cell::new(match (silent, node.ready) {
                (true, _) => "?",
                (false, true) => "yes",
                (false, false) => "no",
            })
            .ink(good(node.ready)),
            Cell::new(etcd).ink(good(matches!(etcd, "" | "leader" | "member"))),
        ]);
    }
    Some(table)
}

/// What is to be looked at first, numbered, each with what it is seen by and what to type next.
pub fn suspects(outputs: &Value, look: &Look, indent: usize) -> String {
    let all = Vec::<Suspect>::deserialize(&outputs["suspects"]).unwrap_or_default();
    let (blank, mut out) = (" ".repeat(indent), String::new());
    for (n, one) in all.iter().enumerate() {
        let of = one.node.as_ref().map(|node| format!("{node}: ")).unwrap_or_default();
        let head = format!("{blank}{:>2}. ", n + 1);
        for line in hang(&head, &format!("{of}{}", one.what), look.width).lines() {
            out.push_str(&look.style.paint(Ink::Bad, line));
            out.push('\n');
        }
        // Never broken: lines of a log are read as they are, and commands are copied.
        let lines = one.evidence.iter().map(|line| (Ink::Dim, '|', line));
        for (ink, sign, line) in lines.chain(one.next.iter().map(|line| (Ink::Info, '$', line))) {
            out.push_str(&look.style.paint(ink, &format!("{blank}    {sign} {}", clean(line))));
            out.push('\n');
        }
    }
    out
}

/// Both, below a step of a plan.
pub(super) fn render(pinned: &Value, look: &Look, indent: usize) -> String {
    let Some(table) = nodes(pinned) else { return String::new() };
    let mut out = table.render(look, indent);
    let suspects = suspects(pinned, look, indent);
    if !suspects.is_empty() {
        out.push('\n');
        out.push_str(&suspects);
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::report::Style;

    #[test]
    fn nodes_and_suspects_are_told_in_lines() {
        let outputs = json!({
            "nodes": [
                {"name": "cp1", "vmid": 1051, "address": "10.0.0.51", "control_plane": true, "etcd": "leader", "version": "1.11.2",
                    "stage": "running", "ready": true},
                {"name": "w1", "vmid": null, "address": null, "control_plane": false, "etcd": null, "why": "i/o timeout"},
            ],
            "suspects": [{"node": "w1", "what": "it does not answer", "evidence": ["i/o timeout"], "next": ["talosctl version"]}],
        });
        let look = Look { style: Style::default(), width: 90, ..Look::default() };
        let text = render(&outputs, &look, 2);
        let lines: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines[1], "cp1 1051 10.0.0.51 control plane 1.11.2 running yes leader");
        assert_eq!(lines[2], "w1 not known worker ? no answer ?");
        assert_eq!(lines[4..], ["1. w1: it does not answer", "| i/o timeout", "$ talosctl version"]);
        assert_eq!(render(&json!({"nodes": 1}), &look, 2), "");
    }
}
