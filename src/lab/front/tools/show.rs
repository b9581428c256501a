//! What the tools print of an answer.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::grid;
use super::line::Line;
use crate::lab::call::PveError;

/// How a command prints what its call answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Show {
    Nothing,
    /// The task's own lines, once it has ended.
    Worker,
    /// A table, or JSON where that is asked for.
    Result,
    Guests,
    Status,
    Config,
    Set,
    Snapshots,
    HaConfig,
    /// Of `ha-manager migrate` and `relocate`.
    Motion(&'static str),
}

impl Show {
    /// For standard output and standard error; a text for the latter is a failure.
    pub fn text(self, data: &Value, line: &Line) -> (String, String) {
        let text = match self {
            Self::Nothing | Self::Worker => String::new(),
            Self::Result => match result(data, line) {
                Ok(text) => text,
                Err(error) => return (String::new(), format!("{}\n", error.message)),
            },
            Self::Guests => guests(data),
            Self::Status => status(data, line.has("verbose")),
            Self::Config => config(data),
            Self::Set => set(line),
            Self::Snapshots => snapshots(data),
            Self::HaConfig => ha_config(data),
            Self::Motion(what) => return motion(what, data),
        };
        (text, String::new())
    }
}

/// As `--output-format` and its companions ask for.
pub(super) fn result(data: &Value, line: &Line) -> Result<String, PveError> {
    if line.has("quiet") {
        return Ok(String::new());
    }
    match line.own("output-format").unwrap_or("text") {
        "text" => Ok(grid::text(data, !line.has("noborder"), !line.has("noheader"))),
        "json" => Ok(format!("{}\n", grid::canonical(data))),
        "json-pretty" => Ok(grid::pretty(data)),
        "yaml" => Err(PveError::die("the lab does not print yaml; ask for json")),
        other => {
            let known = "text, json, json-pretty, yaml";
            let text = format!("value '{other}' does not have a value in the enumeration '{known}'");
            Err(PveError::die(format!("400 Parameter verification failed.\noutput-format: {text}")))
        }
    }
}

/// A value without quotes.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(flag) => u8::from(*flag).to_string(),
        Value::Number(number) => number.to_string(),
        nested => grid::canonical(nested),
    }
}

fn rows(data: &Value) -> Vec<&Map<String, Value>> {
    data.as_array().into_iter().flatten().filter_map(Value::as_object).collect()
}

fn field(row: &Map<String, Value>, name: &str) -> String {
    row.get(name).map(plain).unwrap_or_default()
}

/// `qm list`, and `pct list`, whose rows say `"type": "lxc"`.
fn guests(data: &Value) -> String {
    let mut rows = rows(data);
    rows.sort_by_key(|row| row.get("vmid").and_then(Value::as_u64));
    let Some(first) = rows.first() else { return String::new() };
    if first.get("type").is_some_and(|kind| kind == "lxc") {
        let line = |cells: [&str; 4]| format!("{:<10} {:<10} {:<12} {:<20}\n", cells[0], cells[1], cells[2], cells[3]);
        let of = |row: &&Map<String, Value>| {
            let cells = ["vmid", "status", "lock", "name"].map(|name| field(row, name));
            line([&cells[0], &cells[1], &cells[2], &cells[3]])
        };
        return line(["VMID", "Status", "Lock", "Name"]) + &rows.iter().map(of).collect::<String>();
    }
    let head = format!(
        "{:>10} {:<20} {:<10} {:<10} {:>12} {:<10}\n",
        "VMID", "NAME", "STATUS", "MEM(MB)", "BOOTDISK(GB)", "PID"
    );
    let number = |row: &Map<String, Value>, name: &str| row.get(name).and_then(Value::as_f64).unwrap_or(0.0);
    let of = |row: &&Map<String, Value>| {
        let memory = number(row, "maxmem") / f64::from(1 << 20);
        let disk = number(row, "maxdisk") / f64::from(1 << 30);
        let (vmid, name, status) = (field(row, "vmid"), field(row, "name"), field(row, "status"));
        let pid = number(row, "pid");
        format!("{vmid:>10} {name:<20} {status:<10} {memory:<10} {disk:>12.2} {pid:<10}\n")
    };
    head + &rows.iter().map(of).collect::<String>()
}

fn status(data: &Value, verbose: bool) -> String {
    if !verbose {
        return format!("status: {}\n", plain(&data["status"]));
    }
    let sorted = data.as_object().into_iter().flatten().collect::<std::collections::BTreeMap<_, _>>();
    sorted.into_iter().map(|(name, value)| format!("{name}: {}\n", plain(value))).collect()
}

fn config(data: &Value) -> String {
    let sorted = data.as_object().into_iter().flatten().collect::<std::collections::BTreeMap<_, _>>();
    let line = |(name, value): (&String, &Value)| match name.as_str() {
        "digest" => String::new(),
        // Source: PVE::Tools::encode_text.
        "description" => {
            format!("{name}: {}\n", plain(value).replace('%', "%25").replace('\n', "%0A").replace(':', "%3A"))
        }
        _ => format!("{name}: {}\n", plain(value)),
    };
    sorted.into_iter().map(line).collect()
}

/// Source: PVE::API2::Qemu (update_vm_api).
fn set(line: &Line) -> String {
    let Some(vmid) = line.params.get("vmid") else { return String::new() };
    let given = line.params.iter().filter(|(name, _)| !matches!(name.as_str(), "vmid" | "digest" | "skiplock"));
    let words = given
        .map(|(name, value)| format!("-{name} {}", if name == "cipassword" { "<hidden>" } else { value.as_str() }));
    format!("update VM {vmid}: {}\n", words.collect::<Vec<_>>().join(" "))
}

/// A tree by age, the state of now last. Source: PVE::GuestHelpers (print_snapshot_tree).
fn snapshots(data: &Value) -> String {
    let rows = rows(data);
    let age = |row: &&Map<String, Value>| row.get("snaptime").and_then(Value::as_i64).unwrap_or(i64::MAX);
    let known = |row: &Map<String, Value>| rows.iter().any(|other| other.get("name") == row.get("parent"));
    let mut roots: Vec<_> = rows.iter().copied().filter(|row| !known(row)).collect();
    roots.sort_by_key(age);
    let mut text = String::new();
    let mut open: Vec<(usize, &Map<String, Value>)> = roots.into_iter().rev().map(|row| (0, row)).collect();
    while let Some((depth, row)) = open.pop() {
        let prefix = format!("{}`->", "    ".repeat(depth));
        let time = row.get("snaptime").and_then(Value::as_i64).and_then(|s| Timestamp::from_second(s).ok());
        let time = time.map_or_else(String::new, |time| time.strftime("%F %T").to_string());
        let said = field(row, "description");
        let said = said.lines().next_back().filter(|line| !line.is_empty()).unwrap_or("no-description");
        let width = 30_usize.saturating_sub(prefix.len());
        text.push_str(&format!("{prefix} {:<width$} {time:<23} {said}\n", field(row, "name")));
        let mut children: Vec<_> = rows
            .iter()
            .copied()
            .filter(|child| child.get("parent").is_some_and(|of| Some(of) == row.get("name")))
            .collect();
        children.sort_by_key(age);
        open.extend(children.into_iter().rev().map(|child| (depth + 1, child)));
    }
    text
}

fn ha_config(data: &Value) -> String {
    let mut rows = rows(data);
    rows.sort_by_key(|row| field(row, "sid"));
    let of = |row: &&Map<String, Value>| {
        let shown: std::collections::BTreeMap<_, _> =
            row.iter().filter(|(name, _)| !matches!(name.as_str(), "digest" | "sid" | "type" | "errors")).collect();
        let lines: String = shown.into_iter().map(|(name, value)| format!("\t{name} {}\n", plain(value))).collect();
        format!("{}\n{lines}\n", field(row, "sid"))
    };
    rows.iter().map(of).collect()
}

fn motion(what: &str, data: &Value) -> (String, String) {
    let (sid, node) = (plain(&data["sid"]), plain(&data["requested-node"]));
    if let Some(blocking) = data["blocking-resources"].as_array() {
        let lines: String = blocking
            .iter()
            .map(|one| {
                let other = plain(&one["sid"]);
                format!("- resource '{other}' on target node '{node}' in negative affinity with resource '{sid}'\n")
            })
            .collect();
        return (String::new(), format!("cannot {what} resource '{sid}' to node '{node}':\n\n{lines}"));
    }
    let along = data["comigrated-resources"].as_array().into_iter().flatten().map(plain);
    let lines = along.map(|other| {
        format!("also {what} resource '{other}' in positive affinity with resource '{sid}' to target node '{node}'\n")
    });
    (lines.collect(), String::new())
}
