//! What the code says of itself: tables between `<!-- generated: NAME -->` and `<!-- end of generated -->`, and the JSON
//! Schemas in docs/schema. `UPDATE_DOCS=1 make pictures` writes them anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;
use runbook::app::{Settings, books, needs};
use runbook::load::{schema, shipped};
use runbook::model::action_spec::ActionSpec;
use runbook::model::param::Param;
use serde_json::Value;

use super::{Page, none_of, root};

const END: &str = "<!-- end of generated -->";

fn updating() -> bool {
    std::env::var_os("UPDATE_DOCS").is_some()
}

/// The commands, as the help shows them.
const COMMANDS: [&str; 60] = [
    "",
    "list",
    "show",
    "graph",
    "plan",
    "run",
    "apply",
    "do",
    "guest",
    "guest list",
    "guest status",
    "guest config",
    "guest start",
    "guest stop",
    "guest kill",
    "guest clone",
    "guest set",
    "guest resize",
    "guest migrate",
    "guest delete",
    "guest unlock",
    "guest snapshot",
    "template list",
    "resume",
    "runs",
    "runs prune",
    "status",
    "logs",
    "audit verify",
    "audit log",
    "export",
    "import",
    "lock",
    "lock list",
    "lock break",
    "freeze",
    "unfreeze",
    "replay",
    "lint",
    "test",
    "schema",
    "actions",
    "inventory",
    "inventory diff",
    "doctor",
    "init",
    "notify",
    "notify test",
    "notify flush",
    "notify list",
    "metrics",
    "lab",
    "lab up",
    "lab down",
    "lab status",
    "lab env",
    "lab fault",
    "lab exec",
    "completions",
    "version",
];

fn help() -> String {
    let mut out = String::new();
    for command in COMMANDS {
        let said = Command::new(env!("CARGO_BIN_EXE_runbook"))
            .args(command.split_whitespace())
            .arg(if command.is_empty() { "--help" } else { "-h" })
            .env("COLUMNS", "100")
            .output()
            .unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        let _ = writeln!(
            out,
            "### {}\n\n```text\n{}\n```\n",
            format!("runbook {command}").trim(),
            of_its_own(&said, command)
        );
    }
    out.trim_end().to_owned()
}

/// The help of a command without what every command has.
fn of_its_own(help: &str, command: &str) -> String {
    if command.is_empty() {
        return help.trim_end().to_owned();
    }
    const GLOBAL: [&str; 7] = ["--config", "--lab", "--fault", "-o,", "--color", "--progress", "-h,"];
    let (mut out, mut skip) = (Vec::new(), false);
    for line in help.trim_end().lines() {
        let bare = line.trim_start();
        // Options begin near the margin; what stands further in belongs to the one above.
        if bare.starts_with('-') && line.len() - bare.len() <= 6 {
            skip = GLOBAL.iter().any(|g| bare.starts_with(g));
        } else if !line.starts_with(' ') {
            skip = false;
        }
        if !skip {
            out.push(line);
        }
    }
    let text = out.join("\n");
    text.replace("Options:\n\n", "").trim_end().trim_end_matches("Options:").trim_end().to_owned()
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn actions() -> String {
    let specs = runbook::actions::specs();
    let mut out = String::new();
    for spec in specs.values() {
        action(&mut out, spec);
    }
    out.trim_end().to_owned()
}

fn action(out: &mut String, spec: &ActionSpec) {
    let undo = if spec.undoable { "has an inverse of its own" } else { "has no inverse of its own" };
    let _ = writeln!(
        out,
        "## {}\n\n{}. Effect: `{}`; {undo}. Version {}.\n",
        spec.name,
        spec.title,
        spec.effect.as_str(),
        spec.version
    );
    if !spec.params.is_empty() {
        out.push_str("| `with` | type | | |\n|---|---|---|---|\n");
        for param in &spec.params {
            let help = param.help.as_deref().unwrap_or_default();
            let _ = writeln!(out, "| `{}` | {} | {} | {} |", param.name, param.ty.as_str(), need(param), cell(help));
        }
        out.push('\n');
    }
    out.push_str("| puts out | type | |\n|---|---|---|\n");
    for output in &spec.outputs {
        let _ = writeln!(out, "| `{}` | {} | {} |", output.name, output.ty.as_str(), cell(&output.help));
    }
    out.push_str("\nThe token needs:\n\n");
    for privilege in &spec.privileges {
        let _ = writeln!(out, "- {privilege}");
    }
    out.push('\n');
}

fn need(param: &Param) -> String {
    match (&param.default, param.required) {
        (Some(value), _) => format!("default `{value}`"),
        (None, true) => "required".into(),
        (None, false) => String::new(),
    }
}

/// The keys of a map in a schema, and those of the maps below it.
fn keys(schema: &Value, below: &str) -> String {
    let mut out = "| key | | value | |\n|---|---|---|---|\n".to_owned();
    rows(&mut out, schema, below);
    out.trim_end().to_owned()
}

fn rows(out: &mut String, schema: &Value, prefix: &str) {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, of) in schema["properties"].as_object().into_iter().flatten() {
        let need = if required.contains(&name.as_str()) { "required" } else { "" };
        let help = of["description"].as_str().unwrap_or_default();
        let _ = writeln!(out, "| `{prefix}{name}` | {need} | {} | {} |", cell(&kind(of)), cell(help));
        if of["properties"].is_object() {
            rows(out, of, &format!("{prefix}{name}."));
        } else if of["items"]["properties"].is_object() {
            rows(out, &of["items"], &format!("{prefix}{name}[]."));
        } else if of["additionalProperties"]["properties"].is_object() {
            rows(out, &of["additionalProperties"], &format!("{prefix}{name}.NAME."));
        }
        for any in of["anyOf"].as_array().into_iter().flatten().filter(|any| any["properties"].is_object()) {
            rows(out, any, &format!("{prefix}{name}."));
        }
    }
}

/// A shape in words.
fn kind(of: &Value) -> String {
    if let Some(all) = of["anyOf"].as_array() {
        let mut words: Vec<String> = all.iter().map(kind).collect();
        words.dedup();
        return words.join(" or ");
    }
    if let Some(names) = of["enum"].as_array() {
        return names.iter().map(|n| format!("`{}`", n.as_str().unwrap_or_default())).collect::<Vec<_>>().join(", ");
    }
    if let Some(to) = of["$ref"].as_str() {
        return match to.rsplit('/').next() {
            Some("step") => "step".into(),
            Some("check") => "check".into(),
            _ => "name of what is called".into(),
        };
    }
    match (of["type"].as_str(), of["pattern"].as_str()) {
        (Some("array"), _) if of["items"]["properties"].is_object() => "list of maps".into(),
        (Some("array"), _) if of["items"]["$ref"].is_string() => format!("list of {}s", kind(&of["items"])),
        (Some("array"), _) => match kind(&of["items"]).as_str() {
            "" => "list".into(),
            items => format!("list of {items}"),
        },
        (Some("object"), _) if of["additionalProperties"]["properties"].is_object() => "map of NAME to map".into(),
        (Some("object"), _) => "map".into(),
        (Some("boolean"), _) => "true or false".into(),
        (Some("integer"), _) => match (of["minimum"].as_i64(), of["maximum"].as_i64()) {
            (Some(min), Some(max)) if min == max => format!("{min}"),
            (Some(min), Some(max)) => format!("{min} to {max}"),
            _ => "whole number".into(),
        },
        (Some("number"), _) => "number".into(),
        (Some("string"), Some(pattern)) => pattern_in_words(pattern),
        (Some("string"), None) => "text".into(),
        _ if of["type"].is_array() => "expression".into(),
        _ => "any, may hold `{{ }}`".into(),
    }
}

fn pattern_in_words(pattern: &str) -> String {
    let known = [
        ("(ms|s|m|h|d)", "duration: `90s`, `5m`"),
        ("[KMGT]", "size: `8GiB`"),
        ("%?$", "percent: `15%`"),
        ("%)", "percent: `25%`"),
        ("{1,2})%$", "share: `25%`"),
        ("^v?", "version: `\"1.11.2\"`"),
        ("{1,3}$", "address/prefix"),
        ("{5}", "MAC address"),
        ("://", "URL"),
        ("pass|env", "reference to a secret"),
        ("{31}", "SHA-256 fingerprint"),
        ("{64}", "64 hexadecimal digits"),
        (" *- *", "range: `100-999`"),
        ("[a-z0-9_]*$", "id"),
        ("A-Fa-f.:", "address"),
        ("^[0-9]+$", "digits"),
    ];
    known.iter().find(|(part, _)| pattern.contains(part)).map_or("name", |(_, words)| words).to_owned()
}

/// The codes of diagnostics, as the source lists them.
fn codes() -> String {
    let source = std::fs::read_to_string(root().join("src/load/diagnostic.rs")).unwrap();
    let constant = Regex::new(r#"((?:\s*/// .*\n)*)\s*pub const ([A-Z_]+): &str = "(RB\d+)";"#).unwrap();
    let mut out = "| code | what |\n|---|---|\n".to_owned();
    for found in constant.captures_iter(&source) {
        let name = found[2].to_lowercase().replace('_', " ");
        let help: Vec<&str> = found[1].lines().map(|l| l.trim().trim_start_matches("///").trim()).collect();
        let help = help.join(" ").trim().to_owned();
        let _ = writeln!(
            out,
            "| {} | {} |",
            &found[3],
            cell(&if help.is_empty() { name } else { format!("{name}: {help}") })
        );
    }
    out.trim_end().to_owned()
}

/// A body without the keys of what it holds: those have tables of their own.
fn without_inner(mut body: Value) -> Value {
    for nested in ["params", "require", "steps", "finally", "define"] {
        if let Some(map) = body["properties"].get_mut(nested).and_then(Value::as_object_mut) {
            map.retain(|key, _| key == "description" || key == "type");
        }
    }
    body
}

/// What a shipped runbook needs of a token, and which of its actions do.
fn privileges(name: &str) -> Option<String> {
    let settings = Settings { cwd: root().to_owned(), ..Settings::default() };
    let runbook = books::find(&settings, name).ok()?.runbook;
    let needed = needs::privileges_of(&runbook);
    if needed.is_empty() {
        return Some("None: it asks Proxmox for nothing.".to_owned());
    }
    let (specs, used) = (runbook::actions::specs(), needs::actions_of(&runbook));
    let mut out = "| the token needs | for |\n|---|---|\n".to_owned();
    for privilege in &needed {
        let users = used.iter().filter(|action| specs.get(*action).is_some_and(|s| s.privileges.contains(privilege)));
        let users: Vec<String> = users.map(|action| format!("`{action}`")).collect();
        let _ = writeln!(out, "| {} | {} |", cell(privilege), users.join(", "));
    }
    let _ = write!(
        out,
        "\n`runbook doctor --runbook {name}` says which of them yours lacks, with the `pveum` lines that give them."
    );
    Some(out)
}

fn generate(name: &str) -> Option<String> {
    if let Some(name) = name.strip_prefix("privileges of ") {
        return privileges(name);
    }
    let book = schema::runbook_schema(&runbook::actions::specs());
    Some(match name {
        "commands" => help(),
        "actions" => actions(),
        "codes" => codes(),
        "keys of a runbook" => keys(&without_inner(book), ""),
        "keys of a local procedure" => {
            keys(&without_inner(book["properties"]["define"]["additionalProperties"].clone()), "")
        }
        "keys of a parameter" => keys(&book["properties"]["params"]["additionalProperties"], ""),
        "keys of a step" => {
            let mut step = book["$defs"]["step"].clone();
            for nested in ["verify", "gate"] {
                step["properties"][nested]["items"] = serde_json::json!({"$ref": "#/$defs/check"});
            }
            keys(&step, "")
        }
        "keys of a check" => keys(&book["properties"]["require"]["items"], ""),
        "keys of a site" => keys(&schema::site_schema(), ""),
        "keys of a rehearsal" => keys(&schema::rehearsal_schema(), ""),
        "keys of a cluster" => keys(&schema::cluster_schema(), ""),
        _ => return None,
    })
}

#[test]
fn generated_parts_are_up_to_date() {
    let begin = Regex::new(r"<!-- generated: ([a-z0-9 -]+) -->\n").unwrap();
    let (mut problems, mut count) = (Vec::new(), 0);
    let mut unlisted: BTreeSet<String> = shipped::names().map(|name| format!("privileges of {name}")).collect();
    for page in Page::all() {
        let mut text = page.text.clone();
        for found in begin.captures_iter(&page.text) {
            count += 1;
            let (mark, name) = (&found[0], &found[1]);
            unlisted.remove(name);
            let Some(fresh) = generate(name) else {
                problems.push(format!("{}: nothing generates {name}", page.name()));
                continue;
            };
            let start = text.find(mark).expect("it was found in the same text") + mark.len();
            let Some(length) = text[start..].find(END) else {
                problems.push(format!("{}: {name} has no {END}", page.name()));
                continue;
            };
            text.replace_range(start..start + length, &format!("\n{fresh}\n\n"));
        }
        if text != page.text {
            if updating() {
                std::fs::write(&page.path, text).unwrap();
            } else {
                problems.push(format!("{} is out of date: run UPDATE_DOCS=1 make pictures", page.name()));
            }
        }
    }
    problems.extend(unlisted.iter().map(|name| format!("no page has <!-- generated: {name} -->")));
    none_of(&problems);
    assert!(count > 5, "only {count} generated parts were found");
}

#[test]
fn schemas_for_editors_are_up_to_date_and_named_by_the_files() {
    let all = [
        ("runbook", schema::runbook_schema(&runbook::actions::specs())),
        ("site", schema::site_schema()),
        ("cluster", schema::cluster_schema()),
        ("test", schema::rehearsal_schema()),
    ];
    for (kind, schema) in all {
        let path = root().join(format!("docs/schema/{kind}.schema.json"));
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if updating() {
            std::fs::write(&path, &text).unwrap();
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(there == text, "{} is out of date: run UPDATE_DOCS=1 make pictures", path.display());
    }
    let files = [
        "cluster-config.yaml",
        "clusters/prod.yaml",
        "runbooks/node-evacuation.yaml",
        "runbooks/tests/node-evacuation.yaml",
    ];
    for name in files.map(|name| root().join(name)) {
        let text = std::fs::read_to_string(&name).unwrap();
        let named = text.lines().next().and_then(|l| l.strip_prefix("# yaml-language-server: $schema="));
        let schema = name.parent().unwrap().join(named.unwrap_or("(none)"));
        assert!(schema.is_file(), "{}: there is no {}", name.display(), schema.display());
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { out.extend(sources(&path)) } else { out.push(path) }
    }
    out
}

#[test]
fn every_code_of_an_error_is_explained() {
    let code = Regex::new(r#""([a-z_]+::[a-z_]+)""#).unwrap();
    let mut used = BTreeSet::new();
    for folder in ["app", "cli", "journal"] {
        for path in sources(&root().join("src").join(folder)) {
            let text = std::fs::read_to_string(path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            used.extend(code.captures_iter(text).map(|found| found[1].to_owned()));
        }
    }
    let page = std::fs::read_to_string(root().join("docs/reference/errors.md")).unwrap();
    let row = Regex::new(r"(?m)^\| `([a-z_]+::[a-z_]+)`").unwrap();
    let explained: BTreeSet<String> = row.captures_iter(&page).map(|found| found[1].to_owned()).collect();
    let missing: Vec<_> = used.difference(&explained).collect();
    let gone: Vec<_> = explained.difference(&used).collect();
    assert!(missing.is_empty() && gone.is_empty(), "not explained: {missing:?}\nno longer used: {gone:?}");
}
