//! The evacuation that a plan pins (`proxmox.plan_evacuation`), as a table of guests and a bar for each node.

use serde::Deserialize;
use serde_json::Value;

use super::figures::{bytes, duration};
use super::style::{Ink, Look, Style};
use super::table::{Cell, Column, Table};
use super::text::{fill, hang, width};

/// The action whose pinned outputs these are.
pub(super) const ACTION: &str = "proxmox.plan_evacuation";

#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct Evacuation {
    node: String,
    moves: Vec<Guest>,
    by_ha: Vec<Guest>,
    staying: Vec<Value>,
    stops: Vec<Value>,
    usage: Vec<Usage>,
    warnings: Vec<String>,
    /// The rule behind the order of `moves`, in words.
    order: String,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct Guest {
    vmid: u64,
    kind: String,
    name: String,
    from: String,
    /// For a move of ours.
    to: Option<String>,
    /// For one of the HA manager's: where it may put the guest.
    targets: Vec<String>,
    mode: Option<String>,
    memory: u64,
    disk_bytes: u64,
    seconds: Option<f64>,
    downtime: bool,
    /// About an HA guest.
    note: String,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct Usage {
    node: String,
    memory_total: u64,
    /// What may be used of it: the rest is kept free.
    usable: u64,
    before: u64,
    after: u64,
    /// Kept on top of `after` for guests that the HA manager may put here.
    kept_for_ha: u64,
}

/// The table, the bars and what there is to say beside them; empty where the outputs are of another shape.
pub(super) fn render(pinned: &Value, look: &Look, indent: usize) -> String {
    let Ok(evacuation) = Evacuation::deserialize(pinned) else { return String::new() };
    let mut out = guests(&evacuation, look, indent);
    if !evacuation.usage.is_empty() {
        out.push('\n');
        out.push_str(&bars(&evacuation.usage, look, indent));
    }
    out.push_str(&remarks(&evacuation, look, indent));
    out
}

fn guests(evacuation: &Evacuation, look: &Look, indent: usize) -> String {
    let mut table = Table::new(&[
        Column::new("guest").flexible(),
        Column::new("owner").expendable(2),
        Column::new("mode"),
        Column::new(look.style.pick("from → to", "from -> to")).flexible(),
        Column::new("size").right().expendable(1),
        Column::new("estimate").right(),
    ]);
    for (guest, owner) in
        evacuation.moves.iter().map(|g| (g, "runbook")).chain(evacuation.by_ha.iter().map(|g| (g, "HA manager")))
    {
        let mode = guest.mode.as_deref().unwrap_or("-");
        let from = if guest.from.is_empty() { &evacuation.node } else { &guest.from };
        table.row(vec![
            Cell::new(guest.title()),
            Cell::new(owner),
            // The sign says it without the colour.
            Cell::new(if guest.downtime { format!("{mode} !") } else { mode.to_owned() }).ink(if guest.downtime {
                Ink::Bad
            } else {
                Ink::Plain
            }),
            Cell::new(format!("{from} {} {}", look.style.arrow(), guest.target())),
            Cell::new(guest.size()),
            Cell::new(guest.seconds.map_or("-".into(), |s| duration((s.max(0.0) * 1000.0) as u64))),
        ]);
    }
    if table.is_empty() { String::new() } else { table.render(look, indent) }
}

impl Guest {
    fn title(&self) -> String {
        let kind = match self.kind.as_str() {
            "lxc" => "CT",
            "qemu" => "VM",
            _ => "guest",
        };
        format!("{kind} {} ({})", self.vmid, self.name)
    }

    fn target(&self) -> String {
        match &self.to {
            Some(node) => node.clone(),
            None if self.targets.is_empty() => "HA's choice".into(),
            None => self.targets.join(" or "),
        }
    }

    /// Memory, and what is copied of disks.
    fn size(&self) -> String {
        match (self.memory, self.disk_bytes) {
            (memory, 0) => bytes(memory),
            (memory, disk) => format!("{} + {}", bytes(memory), bytes(disk)),
        }
    }
}

const OVER: &str = " over the limit";
/// Columns that a bar has beside its node and its figures.
const BAR: std::ops::RangeInclusive<usize> = 10..=48;

fn bars(usage: &[Usage], look: &Look, indent: usize) -> String {
    let style = look.style;
    let node = usage.iter().map(|u| width(&u.node)).max().unwrap_or(0);
    let figures: Vec<String> = usage
        .iter()
        .map(|u| format!("{:>5.1}% {} {:>5.1}%", u.percent(u.before), style.arrow(), u.percent(u.after)))
        .collect();
    let suffix = if usage.iter().any(Usage::is_over) { width(OVER) } else { 0 };
    let room =
        look.width.saturating_sub(indent + node + 4 + suffix + figures.iter().map(|f| width(f)).max().unwrap_or(0));
    let bar = room.clamp(*BAR.start(), *BAR.end());
    let blanks = " ".repeat(indent);
    let head = format!("memory per node, before {} after", style.arrow());
    let legend = style.pick("(█ used, ▓ comes, ▒ goes, │ limit)", "(# used, + comes, - goes, | limit)");
    let fits = indent + width(&head) + 1 + width(legend) <= look.width;
    let between = if fits { " ".to_owned() } else { format!("\n{blanks}") };
    let mut out = format!("{blanks}{head}{between}{legend}\n");
    for (u, figures) in usage.iter().zip(figures) {
        let ink = if u.is_over() { Ink::Bad } else { Ink::Plain };
        let line = format!("{blanks}{}  {}  {figures}", fill(&u.node, node, false), u.bar(bar, style));
        out.push_str(&style.paint(ink, &line));
        if u.is_over() {
            out.push_str(OVER);
        }
        out.push('\n');
        if u.kept_for_ha > 0 {
            let pad = " ".repeat(indent + node + 2);
            out.push_str(&format!("{pad}and {} kept for the HA manager's guests\n", bytes(u.kept_for_ha)));
        }
    }
    out
}

impl Usage {
    /// Brought over its limit by what comes.
    fn is_over(&self) -> bool {
        self.after > self.usable && self.after > self.before
    }

    fn percent(&self, used: u64) -> f64 {
        if self.memory_total == 0 { 0.0 } else { used as f64 * 100.0 / self.memory_total as f64 }
    }

    fn bar(&self, width: usize, style: Style) -> String {
        let column = |n: u64| (self.percent(n) / 100.0 * width as f64).round() as usize;
        let (before, after, limit) = (column(self.before), column(self.after), column(self.usable));
        (0..width)
            .map(|i| match i {
                i if i < before.min(after) => style.pick("█", "#"),
                i if i < after => style.pick("▓", "+"),
                i if i < before => style.pick("▒", "-"),
                i if i + 1 == limit => style.pick("│", "|"),
                _ => style.pick("░", "."),
            })
            .collect()
    }
}

fn remarks(evacuation: &Evacuation, look: &Look, indent: usize) -> String {
    let blanks = " ".repeat(indent);
    let mut out = String::new();
    let mut all = |head: &str, items: Vec<String>| {
        for item in items {
            out.push_str(&hang(&format!("{blanks}{head}"), &item, look.width));
        }
    };
    let order = Some(evacuation.order.clone()).filter(|o| !o.is_empty());
    all("order: ", order.into_iter().collect());
    let noted = evacuation.by_ha.iter().filter(|g| !g.note.is_empty());
    all("HA manager: ", noted.map(|g| format!("{}: {}", g.title(), g.note)).collect());
    all("! down for a while: ", evacuation.stops.iter().map(said).collect());
    all("= stays: ", evacuation.staying.iter().map(said).collect());
    all("warning: ", evacuation.warnings.clone());
    out
}

/// A guest and why; or what else stands there, as it is.
fn said(value: &Value) -> String {
    match (Guest::deserialize(value), value["why"].as_str()) {
        (Ok(guest), Some(why)) => format!("{}: {why}", guest.title()),
        _ => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_evacuation_is_left_out() {
        assert_eq!(render(&json!([1, 2]), &Look::default(), 0), "");
        assert_eq!(render(&json!({"moves": []}), &Look::default(), 0), "");
    }

    #[test]
    fn a_node_above_its_limit_is_said_in_words() {
        let usage = json!({"usage": [{"node": "pve1", "memory_total": 100, "usable": 80, "before": 50, "after": 90}]});
        let look = Look { width: 56, ..Look::default() };
        insta::assert_snapshot!(render(&usage, &look, 0), @r"

        memory per node, before -> after
        (# used, + comes, - goes, | limit)
        pve1  #########++++++..   50.0% ->  90.0% over the limit
        ");
    }
}
