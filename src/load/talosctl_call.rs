//! `talosctl` in the `argv` of a step: held against the command line of each version that is known. Which one is installed is not
//! known here: what none takes is an error, what some do not take is a warning that names them. Words with expressions are left
//! alone. What takes nodes down may name one node only.

use serde_json::Value;

use super::diagnostic::{Severity, Span, code};
use super::reader::Reader;
use super::yaml::Node;
use crate::contracts::talosctl::{Contract, MINORS, OPEN, Typed};
use crate::expr::{Segment, segments};
use crate::model::runbook::Template;

/// The actions that take an `argv`.
pub const ACTIONS: [&str; 3] = ["local.run", "ssh.run", "ssh.wait"];
const PROGRAM: &str = "talosctl";
/// Commands that take a node down, or its member of etcd: since 1.13 several nodes go at the same time.
const ONE_NODE: [&[&str]; 7] =
    [&["upgrade"], &["reboot"], &["reset"], &["shutdown"], &["rollback"], &["etcd", "defrag"], &["etcd", "leave"]];

/// Reports what talosctl would refuse, and what it would do to several nodes at once.
pub fn check(reader: &mut Reader<'_>, with: Option<&Node>, given: &[(String, Template)]) {
    let Some(argv) = with.and_then(|with| with.get("argv")) else { return };
    let Some(words) = given.iter().find(|(name, _)| name == "argv").and_then(|(_, template)| words(template)) else {
        return;
    };
    let Some((program, words)) = words.split_first() else { return };
    let Some(versions) = versions(program) else { return };
    let span = |word: &str| {
        let is_it = |node: &&Node| node.as_str().is_some_and(|own| own == word || own.starts_with(&format!("{word}=")));
        argv.items().iter().find(is_it).map_or(argv.span, |node| node.span)
    };
    let (mut refused, mut taken) = (Vec::<(&str, String)>::new(), Vec::<(&str, Typed)>::new());
    for version in versions {
        match Contract::of(version).map(|contract| contract.parse(words)) {
            // A head of other commands is content with anything.
            Some(Ok(typed)) if typed.help && !words.iter().any(|word| word == "--help" || word == "-h") => {
                let word = typed.args.first().map(String::as_str).unwrap_or_default();
                let head = typed.path.join(" ");
                refused.push((
                    version,
                    format!("no command {word:?} for \"talosctl {head}\": it shows its help, and does nothing"),
                ));
            }
            Some(Ok(typed)) => taken.push((version, typed)),
            Some(Err(refusal)) => refused.push((version, refusal.message)),
            None => {}
        }
    }
    if let Some((_, typed)) = taken.first() {
        several_nodes(reader, typed, span("--nodes"));
    }
    let place = |message: &str| span(culprit(message, words));
    if taken.is_empty() {
        // Of several reasons the newest version's: older ones lack what is newer.
        if let Some((version, why)) = refused.last() {
            let which = if refused.len() > 1 {
                "no known version of talosctl takes this"
            } else {
                "talosctl does not take this"
            };
            reader
                .error(code::ACTION_VALUE, place(why), format!("{which}: {version} says {why:?}"))
                .help(format!("`{PROGRAM} {} --help` says what there is", command(words)));
        }
        return;
    }
    for (why, versions) in together(&refused) {
        let of = taken.iter().map(|(version, _)| *version).collect::<Vec<_>>().join(", ");
        reader
            .report(Severity::Warning, code::ACTION_VALUE, place(&why), format!("talosctl {versions} does not take this: {why}"))
            .help(format!("it goes with {of} alone: word it for all versions that are in use, or see that another is never installed"));
    }
    let warned: Vec<(&str, String)> = taken
        .iter()
        .flat_map(|(version, typed)| typed.warnings.iter().map(|warning| (*version, warning.clone())))
        .collect();
    for (warning, versions) in together(&warned) {
        reader
            .report(
                Severity::Warning,
                code::ACTION_VALUE,
                place(&warning),
                format!("talosctl {versions} says: {warning}"),
            )
            .help("leave it out");
    }
}

fn several_nodes(reader: &mut Reader<'_>, typed: &Typed, span: Span) {
    let nodes = typed.all("nodes");
    if nodes.len() < 2 || !ONE_NODE.iter().any(|path| typed.path == *path) {
        return;
    }
    let command = typed.path.join(" ");
    reader
        .error(code::ACTION_VALUE, span, format!("`talosctl {command}` of {} nodes at once: they go down together", nodes.len()))
        .help("name one node, and give the step `for_each` with max_parallel: 1; or use talos.upgrade_node, which asks etcd first");
}

/// Each text once, with the versions that say it.
fn together(all: &[(&str, String)]) -> Vec<(String, String)> {
    let mut found: Vec<(String, Vec<&str>)> = Vec::new();
    for (version, text) in all {
        match found.iter_mut().find(|(own, _)| own == text) {
            Some((_, versions)) => versions.push(version),
            None => found.push((text.clone(), vec![version])),
        }
    }
    found.into_iter().map(|(text, versions)| (text, versions.join(", "))).collect()
}

/// The words that are no flags, for its own help.
fn command(words: &[String]) -> String {
    let plain = words.iter().take_while(|word| !word.starts_with('-') && !word.contains(OPEN));
    plain.map(String::as_str).take(2).collect::<Vec<_>>().join(" ")
}

/// The word that a message is about; the first where it names none.
fn culprit<'w>(message: &str, words: &'w [String]) -> &'w str {
    let bare = |word: &'w String| word.split('=').next().unwrap_or(word);
    let named = |word: &&'w str| message.split([' ', '"', '\'', ',', ':']).any(|part| part == *word);
    words.iter().map(bare).find(named).unwrap_or_default()
}

/// The versions that a program is; nothing where it is another program.
fn versions(program: &str) -> Option<Vec<&'static str>> {
    let name = program.rsplit('/').next().unwrap_or(program);
    let Some(of) = name.strip_prefix(PROGRAM)?.strip_prefix('-') else {
        return (name == PROGRAM).then(|| MINORS.to_vec());
    };
    // `talosctl-1.13`, `talosctl-v1.13.9`
    let minor: Vec<&str> = of.trim_start_matches('v').splitn(3, '.').take(2).collect();
    let minor = minor.join(".");
    MINORS.iter().find(|known| **known == minor).map(|known| vec![*known])
}

/// The words, each expression as a sign that stands for anything; nothing where the whole list is one.
fn words(argv: &Template) -> Option<Vec<String>> {
    let open = |text: &str| {
        let parts = segments(text).ok()?.into_iter().map(|part| match part {
            Segment::Text(text) => text.to_owned(),
            _ => OPEN.to_string(),
        });
        Some(parts.collect::<String>())
    };
    let literal = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match argv {
        Template::Literal(Value::Array(all)) => Some(all.iter().map(literal).collect()),
        Template::List(all) => all
            .iter()
            .map(|one| match one {
                Template::Literal(value) => Some(literal(value)),
                Template::Text(expr) => open(&expr.source),
                _ => Some(OPEN.to_string()),
            })
            .collect(),
        _ => None,
    }
}
