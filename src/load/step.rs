//! Steps: one verb and its modifiers.

use std::collections::{BTreeMap, BTreeSet};

use super::checks::checks;
use super::cycles::refuse_cycles;
use super::diagnostic::{Severity, Span, code};
use super::keys::{CONFIRM, LIMIT, NO_ROLLBACK, RETRY, STEP, VERBS};
use super::params::is_identifier;
use super::reader::Reader;
use super::uses::{Callables, call};
use super::yaml::{Node, Value};
use crate::expr::nearest;
use crate::model::effect::Effect;
use crate::model::failure::Class;
use crate::model::ids::StepPath;
use crate::model::runbook::{Amount, Confirm, ForEach, Limit, OnFailure, Retry, Rollback, Step, Template, Verb};

/// Modifiers that only a fan-out has.
const OF_FAN_OUT: [&str; 7] = ["as", "key", "max_parallel", "batches", "limit", "max_failures", "gate"];
/// Modifiers that only a step with `uses` has.
const OF_USES: [&str; 5] = ["with", "retry", "verify", "effect", "skip_if"];

const EFFECTS: [(&str, Effect); 4] =
    [("read", Effect::Read), ("change", Effect::Change), ("disrupt", Effect::Disrupt), ("destroy", Effect::Destroy)];

/// The ids of a scope and where they stand. `finally` shares it with `steps`, since both are `steps.ID`.
#[derive(Default)]
pub struct Ids {
    taken: BTreeMap<String, Span>,
    /// How often an id was made up from the same word.
    made: BTreeMap<String, usize>,
}

/// Reads a list of siblings.
pub fn steps(
    reader: &mut Reader<'_>,
    callables: &Callables<'_>,
    node: &Node,
    parallel: bool,
    ids: &mut Ids,
) -> Vec<Step> {
    let nodes = reader.list(node, "steps");
    // Written ids first, so that made-up ones keep out of their way.
    let written: Vec<Option<String>> = nodes.iter().map(|node| written_id(reader, node, ids)).collect();
    let mut out: Vec<Step> = Vec::new();
    for (node, written) in nodes.iter().zip(written) {
        if !reader.keys(node, &STEP) {
            continue;
        }
        let Some(mut step) = step(reader, callables, node) else { continue };
        step.named = written.is_some();
        step.id = written.unwrap_or_else(|| made_up_id(&step.verb, node.span, ids));
        let before = out.last().map(|s| s.id.clone()).filter(|_| !parallel);
        step.needs = match node.get("needs") {
            Some(needs) => read_needs(reader, needs),
            None => before.into_iter().collect(),
        };
        out.push(step);
    }
    check_needs(reader, nodes, &out);
    refuse_cycles(reader, &out);
    out
}

fn written_id(reader: &mut Reader<'_>, node: &Node, ids: &mut Ids) -> Option<String> {
    let node = node.get("id")?;
    let id = reader.text(node)?;
    if !is_identifier(&id) {
        reader
            .error(code::ID, node.span, format!("`{id}` is no id"))
            .help(format!("lower-case letters, digits and `_`, a letter first: `{}`", slug(&id)));
        return Some(id);
    }
    if StepPath::RESERVED.contains(&id.as_str()) {
        reader
            .error(code::ID, node.span, format!("`{id}` cannot be a step's id"))
            .help(format!("paths of steps use the word, as in `STEP/{id}`: say more, `{id}_it` maybe"));
        return Some(id);
    }
    if let Some(first) = ids.taken.insert(id.clone(), node.span) {
        reader
            .error(code::ID, node.span, format!("two steps have the id `{id}`"))
            .label(first, "the first one")
            .help("ids are unique in their scope");
    }
    Some(id)
}

fn slug(text: &str) -> String {
    let slug: String = text
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '_' })
        .collect();
    let slug = slug.trim_matches('_').to_owned();
    if slug.starts_with(|c: char| c.is_ascii_lowercase()) { slug } else { format!("step_{slug}") }
}

fn made_up_id(verb: &Verb, span: Span, ids: &mut Ids) -> String {
    let base = match verb {
        Verb::Uses { action, .. } | Verb::Call { procedure: action, .. } => {
            let last = action
                .trim_end_matches(".yaml")
                .trim_end_matches(".yml")
                .rsplit(['.', ':', '/'])
                .next()
                .unwrap_or_default();
            slug(last)
        }
        Verb::Confirm(_) => "confirm".to_owned(),
        Verb::Steps(_) | Verb::Parallel(_) => "group".to_owned(),
    };
    let made = ids.made.entry(base.clone()).or_insert(0);
    loop {
        *made += 1;
        let id = if *made == 1 { base.clone() } else { format!("{base}_{made}") };
        if !ids.taken.contains_key(&id) && !StepPath::RESERVED.contains(&id.as_str()) {
            ids.taken.insert(id.clone(), span);
            return id;
        }
    }
}

fn read_needs(reader: &mut Reader<'_>, node: &Node) -> Vec<String> {
    reader.list(node, "ids").iter().filter_map(|item| reader.text(item)).collect()
}

fn check_needs(reader: &mut Reader<'_>, nodes: &[Node], steps: &[Step]) {
    let known: BTreeSet<&str> = steps.iter().filter(|s| s.named).map(|s| s.id.as_str()).collect();
    for need in nodes.iter().filter_map(|n| n.get("needs")).flat_map(Node::items) {
        let Some(id) = need.as_str() else { continue };
        if !known.contains(id) {
            let near = nearest(id, known.iter().copied());
            let diagnostic = reader.error(code::NEEDS, need.span, format!("there is no sibling with the id `{id}`"));
            diagnostic.suggest(near);
            if diagnostic.help.is_none() {
                diagnostic.help("`needs` names steps of the same list; give the step an `id`");
            }
        }
    }
}

fn step(reader: &mut Reader<'_>, callables: &Callables<'_>, node: &Node) -> Option<Step> {
    let verb_name = one_verb(reader, node)?;
    let verb = verb(reader, callables, node, verb_name);
    check_modifiers(reader, callables, node, verb_name);
    let timeout = node.get("timeout").and_then(|n| reader.duration(n));
    let deadline = node.get("deadline").and_then(|n| reader.duration(n));
    if let (Some(node), true) = (node.get("deadline"), deadline.zip(timeout).is_some_and(|(d, t)| d < t)) {
        let message = "the deadline is over before the timeout of a single attempt is";
        reader
            .report(Severity::Warning, code::MODIFIER, node.span, message)
            .help("`timeout` is for one attempt, `deadline` for all of them: make it longer");
    }
    let effect = node.get("effect").and_then(|n| raised_effect(reader, callables, node, n));
    Some(Step {
        id: String::new(),
        named: false,
        place: node.span.place(),
        needs: Vec::new(),
        when: node.get("when").and_then(|n| reader.expression(n)),
        skip_if: node.get("skip_if").and_then(|n| reader.expression(n)),
        for_each: node.get("for_each").and_then(|n| for_each(reader, node, n)),
        optional: node.get("optional").and_then(|n| reader.boolean(n)).unwrap_or(false),
        gate: node.get("gate").map(|n| checks(reader, callables, n)).unwrap_or_default(),
        timeout,
        deadline,
        retry: node.get("retry").and_then(|n| retry(reader, callables, node, n, effect)),
        verify: node.get("verify").map(|n| checks(reader, callables, n)).unwrap_or_default(),
        rollback: node.get("rollback").map_or(Rollback::Auto, |n| rollback(reader, callables, node, n)),
        on_failure: node.get("on_failure").and_then(|n| on_failure(reader, n, true)),
        effect,
        outputs: node.get("outputs").map(|n| values(reader, n)).unwrap_or_default(),
        verb: verb?,
    })
}

/// The one verb of a step.
fn one_verb(reader: &mut Reader<'_>, node: &Node) -> Option<&'static str> {
    let found: Vec<(&'static str, Span)> = node
        .entries()
        .iter()
        .filter_map(|(key, _)| VERBS.iter().find(|verb| **verb == key.value).map(|verb| (*verb, key.span)))
        .collect();
    match found[..] {
        [(verb, _)] => Some(verb),
        [] => {
            let span = Span { len: node.span.len.min(1), ..node.span };
            reader
                .error(code::VERB, span, "a step needs a verb: uses, confirm, steps or parallel")
                .help("for an action of the catalogue: uses: proxmox.guest_migrate");
            None
        }
        [(first, span), (second, at), ..] => {
            reader
                .error(code::VERB, at, format!("a step has one verb, but here are `{first}` and `{second}`"))
                .label(span, "the first one")
                .help("make two steps of it");
            Some(first)
        }
    }
}

fn check_modifiers(reader: &mut Reader<'_>, callables: &Callables<'_>, node: &Node, verb: &str) {
    let fan_out = node.get("for_each").is_some();
    for (key, _) in node.entries() {
        let name = key.value.as_str();
        let needs = if OF_FAN_OUT.contains(&name) && !fan_out {
            "for_each"
        } else if OF_USES.contains(&name) && verb != "uses" {
            "uses"
        } else {
            ""
        };
        if !needs.is_empty() {
            reader.error(code::MODIFIER, key.span, format!("`{name}` needs `{needs}`, and this step has none")).help(
                if fan_out || needs != "for_each" {
                    format!("take `{name}` off")
                } else {
                    format!("add for_each, or take `{name}` off")
                },
            );
        }
        if verb == "confirm" && ["rollback", "timeout", "for_each"].contains(&name) {
            reader
                .error(code::MODIFIER, key.span, format!("a `confirm` cannot have `{name}`"))
                .help(format!("take `{name}` off"));
        }
        let called = verb == "uses" && node.get("uses").and_then(Node::as_str).is_some_and(|n| callables.is_call(n));
        if let Some(help) = refused_of_many(name, called).filter(|_| called || ["steps", "parallel"].contains(&verb)) {
            let what = if called { "call" } else { "group" };
            reader.error(code::MODIFIER, key.span, format!("a {what} cannot have `{name}`")).help(help);
        }
    }
}

/// What a group or a call of a procedure cannot have, since it is many steps, and what to write instead.
fn refused_of_many(modifier: &str, called: bool) -> Option<&'static str> {
    match modifier {
        "timeout" => Some("`timeout` is for one attempt of one step; write `deadline` for all of it"),
        "retry" if called => Some("give it to those steps of what is called that may be tried again"),
        "effect" if called => Some("the steps of what is called have their own: take `effect` off"),
        "verify" if called => Some("what is called verifies its own steps; make a check of yours the next step"),
        "outputs" if called => Some("a call puts out what the procedure says under `outputs`"),
        _ => None,
    }
}

fn verb(reader: &mut Reader<'_>, callables: &Callables<'_>, node: &Node, name: &str) -> Option<Verb> {
    let value = node.get(name)?;
    Some(match name {
        "uses" => {
            let (action, with) = call(reader, callables, value, node.get("with"))?;
            if callables.is_call(&action) {
                Verb::Call { procedure: action, with }
            } else {
                Verb::Uses { action, with }
            }
        }
        "confirm" => Verb::Confirm(confirm(reader, value)?),
        "parallel" => Verb::Parallel(steps(reader, callables, value, true, &mut Ids::default())),
        _ => Verb::Steps(steps(reader, callables, value, false, &mut Ids::default())),
    })
}

fn confirm(reader: &mut Reader<'_>, node: &Node) -> Option<Confirm> {
    if node.as_str().is_some() {
        return Some(Confirm { message: reader.template(node)?, show: None, word: None });
    }
    if !matches!(node.value, Value::Map(_)) {
        reader.wrong(node, "a question, or {message, show, type}");
        return None;
    }
    reader.keys(node, &CONFIRM);
    let show = node.get("show").and_then(|n| reader.template(n));
    let word = node.get("type").and_then(|n| reader.template(n));
    Some(Confirm { message: reader.template(node.get("message")?)?, show, word })
}

fn for_each(reader: &mut Reader<'_>, step: &Node, node: &Node) -> Option<ForEach> {
    let list = reader.expression(node);
    let key = step.get("key").and_then(|n| reader.expression(n));
    let max_parallel = step.get("max_parallel").and_then(|n| width(reader, n));
    let batches = step.get("batches").map(|n| batches(reader, n)).unwrap_or_default();
    let limit = step.get("limit").and_then(|n| limit(reader, n));
    let max_failures = step.get("max_failures").and_then(|n| amount(reader, n)).unwrap_or(Amount::Count(0));
    let binding = step.get("as").and_then(|n| binding(reader, n)).unwrap_or_else(|| "item".into());
    Some(ForEach { list: list?, binding, key, max_parallel, batches, limit, max_failures })
}

fn binding(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let name = reader.text(node)?;
    let taken = super::names::ALWAYS.contains(&name.as_str()) || super::names::OF_RESULT.contains(&name.as_str());
    if !is_identifier(&name) || taken {
        let why = if taken { "has a meaning already" } else { "is no name" };
        reader.error(code::ID, node.span, format!("`{name}` {why}")).help(if taken {
            "choose another name"
        } else {
            "lower-case letters, digits and `_`, a letter first"
        });
        return None;
    }
    Some(name)
}

fn width(reader: &mut Reader<'_>, node: &Node) -> Option<Template> {
    match &node.value {
        Value::Int(n) if *n >= 1 => {}
        Value::Str(text) if text.contains("{{") => {}
        _ => {
            reader.wrong(node, "a whole number from 1, or \"{{ expression }}\"");
            return None;
        }
    }
    reader.template(node)
}

fn limit(reader: &mut Reader<'_>, node: &Node) -> Option<Limit> {
    if !reader.keys(node, &LIMIT) {
        return None;
    }
    let by = node.get("by").and_then(|n| reader.expression(n));
    let max = node.get("max").and_then(|n| reader.count(n, 1));
    Some(Limit { by: by?, max: max? })
}

/// The sizes of waves.
fn batches(reader: &mut Reader<'_>, node: &Node) -> Vec<Amount> {
    let items = reader.list(node, "numbers or shares");
    if items.is_empty() && matches!(node.value, Value::Seq(_)) {
        reader.error(code::WRONG_VALUE, node.span, "`batches` is empty").help("say how many at first: [1, 25%, 100%]");
    }
    let mut out = Vec::new();
    for item in items {
        match amount(reader, item) {
            Some(Amount::Count(0) | Amount::Percent(0)) => {
                reader
                    .error(code::WRONG_VALUE, item.span, "a batch of nothing")
                    .help("a number from 1, or a share from 1%");
            }
            found => out.extend(found),
        }
    }
    out
}

fn amount(reader: &mut Reader<'_>, node: &Node) -> Option<Amount> {
    if let Value::Int(_) = node.value {
        return reader.count(node, 0).map(Amount::Count);
    }
    let share = node.as_str().and_then(|t| t.strip_suffix('%')).and_then(|t| t.parse::<u32>().ok());
    if let Some(share) = share.filter(|s| *s <= 100) {
        return Some(Amount::Percent(share));
    }
    reader.wrong(node, "a whole number, or a share such as 25%");
    None
}

/// The effect that an author claims, if it is not below the catalogue's.
fn raised_effect(reader: &mut Reader<'_>, callables: &Callables<'_>, step: &Node, node: &Node) -> Option<Effect> {
    let claimed = reader.choice(node, &EFFECTS)?;
    let name = step.get("uses").and_then(Node::as_str)?;
    if let Some(effect) = callables.effect(name, step.get("with"))
        && claimed < effect
    {
        let (has, claims) = (effect.as_str(), claimed.as_str());
        reader
            .error(code::EFFECT, node.span, format!("`{name}` has effect {has}; it cannot be lowered to {claims}"))
            .help("an author may only raise the effect: take the key off");
    }
    Some(claimed)
}

fn retry(
    reader: &mut Reader<'_>,
    callables: &Callables<'_>,
    step: &Node,
    node: &Node,
    raised: Option<Effect>,
) -> Option<Retry> {
    const ERRORS: [(&str, Class); 4] = [
        ("transient", Class::Transient),
        ("timeout", Class::Timeout),
        ("unreachable", Class::Unreachable),
        ("locked", Class::Locked),
    ];
    if !reader.keys(node, &RETRY) {
        return None;
    }
    let name = step.get("uses").and_then(Node::as_str).unwrap_or_default();
    let own = callables.effect(name, step.get("with"));
    if own.max(raised) == Some(Effect::Destroy) {
        reader
            .error(code::RETRY, node.span, format!("`{name}` destroys: it is never retried by itself"))
            .help("take `retry` off; a person looks first and then says `runbook resume`");
    }
    let attempts = node.get("attempts").and_then(|n| reader.count(n, 1));
    let factor = node.get("factor").and_then(|n| factor(reader, n));
    let named = node.get("errors").map(|n| reader.list(n, "failures")).unwrap_or_default();
    let errors: Vec<Class> = named.iter().filter_map(|n| reader.choice(n, &ERRORS)).collect();
    let all = || ERRORS.iter().map(|(_, class)| *class).collect();
    Some(Retry {
        attempts: attempts?,
        backoff: node.get("backoff").and_then(|n| reader.duration(n)).unwrap_or(10_000),
        factor: factor.unwrap_or(2.0),
        max: node.get("max").and_then(|n| reader.duration(n)).unwrap_or(300_000),
        errors: if node.get("errors").is_some() { errors } else { all() },
    })
}

fn factor(reader: &mut Reader<'_>, node: &Node) -> Option<f64> {
    let number = match node.value {
        Value::Int(n) => Some(n as f64),
        Value::Float(f) => Some(f),
        _ => None,
    };
    let number = number.filter(|f| (1.0..=100.0).contains(f));
    if number.is_none() {
        reader.wrong(node, "a number from 1 to 100");
    }
    number
}

fn rollback(reader: &mut Reader<'_>, callables: &Callables<'_>, step: &Node, node: &Node) -> Rollback {
    match &node.value {
        Value::Str(text) if text == "auto" => {
            let name = step.get("uses").and_then(Node::as_str).unwrap_or_default();
            if callables.action(name).is_some_and(|spec| !spec.undoable && spec.effect > Effect::Read) {
                reader
                    .error(code::ROLLBACK, node.span, format!("`{name}` has no inverse of its own"))
                    .help("give steps that undo it, or rollback: {none: \"why\"}");
            }
            Rollback::Auto
        }
        Value::Map(_) => {
            reader.keys(node, &NO_ROLLBACK);
            Rollback::None(node.get("none").and_then(|n| reader.text(n)).unwrap_or_default())
        }
        Value::Seq(_) => Rollback::Steps(steps(reader, callables, node, false, &mut Ids::default())),
        _ => {
            reader.wrong(node, "auto, {none: \"why\"} or a list of steps");
            Rollback::Auto
        }
    }
}

pub fn on_failure(reader: &mut Reader<'_>, node: &Node, of_step: bool) -> Option<OnFailure> {
    const VALUES: [(&str, OnFailure); 4] = [
        ("stop", OnFailure::Stop),
        ("rollback", OnFailure::Rollback),
        ("ask", OnFailure::Ask),
        ("continue", OnFailure::Continue),
    ];
    reader.choice(node, &VALUES[..if of_step { 4 } else { 3 }])
}

/// Named values that may hold expressions.
pub fn values(reader: &mut Reader<'_>, node: &Node) -> Vec<(String, Template)> {
    let mut out = Vec::new();
    for (name, node) in reader.map(node, "a map of values") {
        if !is_identifier(&name.value) {
            reader
                .error(code::ID, name.span, format!("`{}` is no name of a value", name.value))
                .help("lower-case letters, digits and `_`, a letter first");
        }
        if let Some(template) = reader.template(node) {
            out.push((name.value.clone(), template));
        }
    }
    out
}
