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
    moves: Vec<Guest>,
    by_ha: Vec<Guest>,
    staying: Vec<Value>,
    stops: Vec<Value>,
    usage: Vec<Usage>,
    warnings: Vec<String>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct Guest {
    vmid: u64,
    kind: String,
    name: Option<String>,
    from: String,
    /// A node; for an HA guest perhaps a list of those that the HA manager may choose, or nothing.
    to: Value,
    mode: Option<String>,
    memory: u64,
    disk_bytes: u64,
    seconds: Option<f64>,
    /// Whether, or for how many seconds, it is down.
    downtime: Value,
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
        let down = is_down(&guest.downtime);
        let mode = guest.mode.as_deref().unwrap_or("-");
        table.row(vec![
            Cell::new(guest.title()),
            Cell::new(owner),
            // The sign says it without the colour.
            Cell::new(if down { format!("{mode} !") } else { mode.to_owned() }).ink(if down {
                Ink::Bad
            } else {
                Ink::Plain
            }),
            Cell::new(format!("{} {} {}", guest.from, look.style.arrow(), guest.target())),
            Cell::new(guest.size()),
            Cell::new(guest.seconds.map_or("-".into(), |s| duration((s.max(0.0) * 1000.0) as u64))),
        ]);
    }
    if table.is_empty() { String::new() } else { table.render(look, indent) }
}

fn is_down(downtime: &Value) -> bool {
    downtime.as_bool().unwrap_or_else(|| downtime.as_f64().is_some_and(|seconds| seconds >= 1.0))
}

impl Guest {
    fn title(&self) -> String {
        let kind = if self.kind == "lxc" { "CT" } else { "VM" };
        match &self.name {
            Some(name) => format!("{kind} {} ({name})", self.vmid),
            None => format!("{kind} {}", self.vmid),
        }
    }

    fn target(&self) -> String {
        match &self.to {
            Value::String(node) => node.clone(),
            Value::Array(nodes) if !nodes.is_empty() => {
                nodes.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or ")
            }
            _ => "HA's choice".into(),
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

/// Columns that a bar has beside its node and its figures.
const BAR: std::ops::RangeInclusive<usize> = 10..=48;

fn bars(usage: &[Usage], look: &Look, indent: usize) -> String {
    let style = look.style;
    let node = usage.iter().map(|u| width(&u.node)).max().unwrap_or(0);
    let figures: Vec<String> = usage
        .iter()
        .map(|u| format!("{:>5.1}% {} {:>5.1}%", u.percent(u.before), style.arrow(), u.percent(u.after)))
        .collect();
    let room = look.width.saturating_sub(indent + node + 4 + figures.iter().map(|f| width(f)).max().unwrap_or(0));
    let bar = room.clamp(*BAR.start(), *BAR.end());
    let blanks = " ".repeat(indent);
    let head = format!("memory per node, before {} after", style.arrow());
    let legend = style.pick("(█ used, ▓ comes, ▒ goes, │ limit)", "(# used, + comes, - goes, | limit)");
    let fits = indent + width(&head) + 1 + width(legend) <= look.width;
    let between = if fits { " ".to_owned() } else { format!("\n{blanks}") };
    let mut out = format!("{blanks}{head}{between}{legend}\n");
    for (u, figures) in usage.iter().zip(figures) {
        let over = u.after > u.usable && u.after > u.before;
        let ink = if over { Ink::Bad } else { Ink::Plain };
        let line = format!("{blanks}{}  {}  {figures}", fill(&u.node, node, false), u.bar(bar, style));
        out.push_str(&style.paint(ink, &line));
        out.push_str(if over { " over the limit\n" } else { "\n" });
    }
    out
}

impl Usage {
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
    all("! down for a while: ", evacuation.stops.iter().map(said).collect());
    all("= stays: ", evacuation.staying.iter().map(said).collect());
    all("warning: ", evacuation.warnings.clone());
    out
}

/// A text, a bare VMID, or a guest with a reason.
fn said(value: &Value) -> String {
    if let Some(text) = value.as_str() {
        return text.to_owned();
    }
    if let Some(vmid) = value.as_u64() {
        return format!("guest {vmid}");
    }
    let title = Guest::deserialize(value).map(|g| g.title()).unwrap_or_default();
    let why = ["why", "reason", "text"].iter().find_map(|key| value[*key].as_str());
    why.map_or_else(|| title.clone(), |why| format!("{title}: {why}"))
}
