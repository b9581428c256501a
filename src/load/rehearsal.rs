//! `runbooks/tests/NAME.yaml`: how a runbook is rehearsed.

use serde_json::{Value as Json, json};

use super::config::read;
use super::diagnostic::{Diagnostic, Source, code};
use super::keys::REHEARSAL;
use super::reader::Reader;
use super::shape::Shape;
use super::site::load;
use super::yaml::{Node, Value};
use crate::model::rehearsal::Rehearsal;

/// Reads a rehearsal. Errors: all that is wrong, at once.
pub fn load_rehearsal(source: &Source) -> Result<Rehearsal, Vec<Diagnostic>> {
    load(source, |reader, root| {
        let json = read(reader, root, &Shape::Table(&REHEARSAL));
        check(reader, root);
        let mut json = json?;
        for (case, node) in json["cases"].as_array_mut()?.iter_mut().zip(root.get("cases")?.items()) {
            spell(case, node);
        }
        Some(json)
    })
}

fn check(reader: &mut Reader<'_>, root: &Node) {
    let stem = reader.source.stem().to_owned();
    if let Some(node) = root.get("test").filter(|n| n.as_str().is_some_and(|name| name != stem)) {
        let name = node.as_str().unwrap_or_default();
        reader
            .error(code::NAME, node.span, format!("the file is called `{stem}`, the runbook `{name}`"))
            .help(format!("write test: {stem}, or call the file {name}.yaml"));
    }
    let Some(cases) = root.get("cases") else { return };
    if matches!(&cases.value, Value::Seq(items) if items.is_empty()) {
        reader.error(code::WRONG_VALUE, cases.span, "a rehearsal without a case rehearses nothing");
    }
    let mut names: Vec<&str> = Vec::new();
    for case in cases.items() {
        let values = case.get("args").map(Node::items).unwrap_or_default().iter();
        let values = values.chain(case.get("set").map(Node::entries).unwrap_or_default().iter().map(|(_, node)| node));
        for node in values.filter(|node| typed(node).is_none()) {
            reader.wrong(node, "a value as it would be typed");
        }
        if let Some((node, name)) = case.get("name").and_then(|node| Some((node, node.as_str()?))) {
            if names.contains(&name) {
                reader.error(code::NAME, node.span, format!("another case is called `{name}`"));
            }
            names.push(name);
        }
    }
}

/// A case's values as they would be typed on the command line: numbers as they are written.
fn spell(case: &mut Json, node: &Node) {
    if let Some(args) = node.get("args") {
        case["args"] = args.items().iter().filter_map(typed).collect();
    }
    if let Some(set) = node.get("set") {
        case["set"] = set.entries().iter().filter_map(|(key, node)| Some(json!([key.value, typed(node)?]))).collect();
    }
}

/// A list is typed as JSON.
fn typed(node: &Node) -> Option<String> {
    match &node.value {
        Value::Int(_) | Value::Float(_) | Value::Bool(_) => Some(node.raw.clone()),
        Value::Seq(_) => Some(node.to_json().to_string()),
        _ => node.as_str().map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Rehearsal, Vec<String>> {
        load_rehearsal(&Source::new("runbooks/tests/empty.yaml", text))
            .map_err(|found| found.into_iter().map(|d| format!("{}: {}", d.span.line, d.message)).collect())
    }

    #[test]
    fn values_are_what_would_be_typed() {
        let read = read("test: empty\nschema: 1\ncases:\n  - {name: a, scenario: tiny, args: [pve2, 104], set: {stop: true, stay: [104], keep: 15%}}\n").unwrap();
        let case = &read.cases[0];
        assert_eq!(case.args, ["pve2", "104"]);
        let set: Vec<String> = case.set.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(set, ["stop=true", "stay=[104]", "keep=15%"]);
        assert_eq!(case.expect.status, "succeeded");
    }

    #[test]
    fn everything_that_is_wrong_is_said_with_its_line() {
        let wrong = "test: other\nschema: 1\ncases:\n  - {name: a, scenaro: tiny}\n  - {name: a, scenario: tiny, args: [{x: 1}], expect: {status: fine}}\n";
        let found = read(wrong).unwrap_err().join("\n");
        for part in [
            "1: the file is called `empty`",
            "no key `scenaro`",
            "needs the key `scenario`",
            "5: another case is called `a`",
            "a value as it would be typed",
            "expected one of succeeded",
        ] {
            assert!(found.contains(part), "{part} in {found}");
        }
        assert!(read("test: empty\nschema: 1\ncases: []\n").unwrap_err()[0].contains("rehearses nothing"));
    }
}
