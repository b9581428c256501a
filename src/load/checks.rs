//! Checks: `verify`, `gate` and `require`.

use super::diagnostic::code;
use super::keys::CHECK;
use super::reader::Reader;
use super::uses::{Callables, call};
use super::yaml::Node;
use crate::model::effect::Effect;
use crate::model::runbook::{Check, Expr};

const EVERY: u64 = 5_000;

pub fn checks(reader: &mut Reader<'_>, callables: &Callables<'_>, node: &Node) -> Vec<Check> {
    let nodes = reader.list(node, "checks");
    nodes.iter().filter_map(|node| check(reader, callables, node)).collect()
}

fn check(reader: &mut Reader<'_>, callables: &Callables<'_>, node: &Node) -> Option<Check> {
    if !reader.keys(node, &CHECK) {
        return None;
    }
    let called = node.get("uses").and_then(|uses| call(reader, callables, uses, node.get("with")));
    if let Some(uses) = node.get("uses") {
        refuse_change(reader, callables, uses, node.get("with"));
    } else {
        for key in ["with", "every", "within", "stable_for"] {
            if let Some((name, _)) = node.entries().iter().find(|(k, _)| k.value == key) {
                reader
                    .error(code::MODIFIER, name.span, format!("`{key}` needs `uses`"))
                    .help("without `uses` a check is a test of `result`, made once");
            }
        }
        if node.get("expect").is_none() {
            reader.error(code::MISSING_KEY, node.span, "a check needs `uses`, `expect` or both");
        }
    }
    let expect = match node.get("expect") {
        Some(expect) => reader.expression(expect),
        None => Some(Expr { source: "true".into(), place: node.span.place() }),
    };
    let every = node.get("every").and_then(|n| reader.duration(n));
    let within = node.get("within").and_then(|n| reader.duration(n));
    let looks_again = node.get("within").or_else(|| node.get("stable_for"));
    if let (Some(_), Some(every), None) = (node.get("uses"), node.get("every"), looks_again) {
        reader
            .error(code::MODIFIER, every.span, "`every` without `within` or `stable_for`: how long?")
            .help("add within: 5m");
    }
    let (uses, with) = called.map_or((None, Vec::new()), |(name, with)| (Some(name), with));
    Some(Check {
        uses,
        with,
        expect: expect?,
        every: every.unwrap_or(EVERY),
        within: within.unwrap_or(0),
        stable_for: node.get("stable_for").and_then(|n| reader.duration(n)).unwrap_or(0),
        message: node.get("message").and_then(|n| reader.template(n)),
        place: node.span.place(),
    })
}

fn refuse_change(reader: &mut Reader<'_>, callables: &Callables<'_>, uses: &Node, with: Option<&Node>) {
    let name = uses.as_str().unwrap_or_default();
    let local = callables.is_call(name);
    let effect = callables.effect(name, with).unwrap_or(Effect::Read);
    if local || effect > Effect::Read {
        let what = if local { "is a procedure".into() } else { format!("has effect {}", effect.as_str()) };
        reader
            .error(code::EFFECT, uses.span, format!("a check only reads, but `{name}` {what}"))
            .help("make it a step of its own");
    }
}
