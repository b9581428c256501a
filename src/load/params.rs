//! Declared parameters of a runbook or a local procedure.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::diagnostic::{Span, code};
use super::keys::{PARAM, TYPES};
use super::reader::Reader;
use super::yaml::{Node, Value};
use crate::expr::{Evaluated, Scope, nearest, parse_check, render, segments};
use crate::model::param::{Param, Positional, ValueType};
use crate::model::runbook::{Expr, Place, Runbook, Template};
use crate::model::value::{ParamError, coerce, expected};

/// A name that expressions can use.
pub fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

pub fn params(reader: &mut Reader<'_>, node: &Node) -> Vec<Param> {
    let entries = reader.map(node, "a map of parameters");
    let mut out = Vec::new();
    let mut positions: Vec<(Positional, Span)> = Vec::new();
    for (name, node) in entries {
        if !is_identifier(&name.value) {
            let message = format!("`{}` is no name of a parameter", name.value);
            reader.error(code::PARAM, name.span, message).help("lower-case letters, digits and `_`, a letter first");
        }
        let Some(param) = param(reader, &name.value, node) else { continue };
        if let Some(position) = param.positional {
            positions.push((position, node.get("positional").map_or(name.span, |n| n.span)));
        }
        out.push(param);
    }
    check_positions(reader, &positions);
    out
}

fn param(reader: &mut Reader<'_>, name: &str, node: &Node) -> Option<Param> {
    if !reader.keys(node, &PARAM) {
        return None;
    }
    let ty = value_type(reader, node.get("type")?)?;
    let mut param = Param::new(name, ty);
    if let Some(items) = node.get("items") {
        param.items = value_type(reader, items);
        if ty != ValueType::List {
            reader.error(code::PARAM, items.span, "`items` is for a list").help("take it off, or make the type list");
        }
    }
    let choices = node.get("enum").map(|n| reader.list(n, "values")).unwrap_or_default();
    param.choices = choices.iter().filter_map(|choice| literal(reader, &item_of(&param), choice)).collect();
    param.pattern = node.get("pattern").and_then(|n| pattern(reader, n));
    param.min = node.get("min").and_then(|n| bound(reader, &param, n));
    param.max = node.get("max").and_then(|n| bound(reader, &param, n));
    param.help = node.get("help").and_then(|n| reader.text(n));
    param.positional = node.get("positional").and_then(|n| positional(reader, ty, n));
    param.default = node.get("default").and_then(|n| default(reader, &param, n));
    let required = node.get("required").and_then(|n| reader.boolean(n));
    param.required = required.unwrap_or(node.get("default").is_none());
    if let (Some(true), Some(default)) = (required, node.get("default")) {
        reader.error(code::PARAM, default.span, format!("`{name}` is required and has a default")).help("take one off");
    }
    Some(param)
}

/// What one item of a list must look like; a parameter that is no list is its own item.
fn item_of(param: &Param) -> Param {
    let ty = if param.ty == ValueType::List { param.items.unwrap_or(ValueType::Any) } else { param.ty };
    Param::new(&param.name, ty)
}

fn value_type(reader: &mut Reader<'_>, node: &Node) -> Option<ValueType> {
    let types: Vec<(&str, ValueType)> = ValueType::ALL.into_iter().filter(|(name, _)| TYPES.contains(name)).collect();
    reader.choice(node, &types)
}

fn pattern(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.text(node)?;
    if let Err(error) = regex::Regex::new(&text) {
        let why = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
        reader.error(code::PARAM, node.span, format!("this is no regular expression: {why}"));
        return None;
    }
    Some(text)
}

fn bound(reader: &mut Reader<'_>, param: &Param, node: &Node) -> Option<f64> {
    // A bound counts in the type's own unit; of a list it is the number of items.
    let counted = matches!(param.ty, ValueType::List);
    let number = if counted { node.to_json().as_f64() } else { literal(reader, param, node)?.as_f64() };
    if number.is_none() {
        let message = format!("`{}` has no order: min and max are for numbers and lists", param.ty.as_str());
        reader.error(code::PARAM, node.span, message);
    }
    number
}

fn positional(reader: &mut Reader<'_>, ty: ValueType, node: &Node) -> Option<Positional> {
    match &node.value {
        Value::Int(n) if (1..=64).contains(n) => Some(Positional::Nth(*n as usize)),
        Value::Str(text) if text == "rest" => {
            if ty != ValueType::List {
                reader.error(code::PARAM, node.span, "`rest` is for a list: it takes all arguments that are left");
            }
            Some(Positional::Rest)
        }
        _ => {
            reader.wrong(node, "a position from 1, or rest");
            None
        }
    }
}

fn check_positions(reader: &mut Reader<'_>, positions: &[(Positional, Span)]) {
    let numbered = positions.iter().filter(|(p, _)| matches!(p, Positional::Nth(_))).count();
    let mut seen: Vec<(Positional, Span)> = Vec::new();
    for (position, span) in positions {
        if let Some((_, first)) = seen.iter().find(|(p, _)| p == position) {
            let first = *first;
            reader.error(code::PARAM, *span, "two parameters have this position").label(first, "the other one");
        } else if let Positional::Nth(n) = position
            && *n > numbered
        {
            reader
                .error(code::PARAM, *span, format!("position {n}, but there are {numbered} positions"))
                .help("positions count from 1 without a gap");
        }
        seen.push((*position, *span));
    }
}

/// A default: a literal in its JSON form, or the text of an expression.
fn default(reader: &mut Reader<'_>, param: &Param, node: &Node) -> Option<Json> {
    match reader.template(node)? {
        Template::Literal(_) => literal(reader, param, node),
        Template::Expr(_) | Template::Text(_) => Some(node.to_json()),
        Template::List(_) | Template::Map(_) => {
            reader
                .error(code::PARAM, node.span, "a default with expressions must be one expression")
                .help("write \"{{ [a, b] }}\" or \"{{ {'a': b} }}\"");
            None
        }
    }
}

/// A literal of the file for a parameter. Stricter than an operator's text: a list is a list, and a number
/// has its unit.
pub fn literal(reader: &mut Reader<'_>, param: &Param, node: &Node) -> Option<Json> {
    if node.value == Value::Invalid {
        return None;
    }
    let number = matches!(node.value, Value::Int(_) | Value::Float(_));
    let quoted = node.as_str().is_some();
    let fits = match param.ty {
        ValueType::Duration | ValueType::Size => !number,
        ValueType::Int | ValueType::Float | ValueType::Bool | ValueType::List | ValueType::Map => !quoted,
        _ => true,
    };
    let result = if fits { coerce(param, &node.to_json()) } else { Err(refusal(param, node)) };
    result
        .map_err(|error| {
            let version = param.ty == ValueType::Version && number;
            let code = if version { code::NUMBER_SPELLING } else { code::ACTION_VALUE };
            let got = if param.ty == ValueType::Secret { "something else".into() } else { node.describe() };
            let raw = &node.raw;
            let (expected, hint) = match error.expected.split_once("; did you mean") {
                Some((expected, hint)) => (expected.to_owned(), Some(format!("did you mean{hint}"))),
                None => (error.expected, None),
            };
            let message = format!("`{}`: {expected}, but {got} stands here", param.name);
            let diagnostic = reader.error(code, node.span, message);
            diagnostic.conceal = param.ty == ValueType::Secret;
            diagnostic.help = match param.ty {
                ValueType::Version | ValueType::String if number => {
                    Some(format!("write \"{raw}\": without quotes it is a number"))
                }
                ValueType::Duration if number => Some(format!("give the unit: {raw}s, {raw}m or {raw}h")),
                ValueType::Size if number => Some(format!("give the unit: {raw}MiB or {raw}GiB")),
                ValueType::Int | ValueType::Float | ValueType::Bool if coerce(param, &node.to_json()).is_ok() => {
                    Some("take the quotes off".into())
                }
                _ => hint,
            };
        })
        .ok()
}

fn refusal(param: &Param, node: &Node) -> ParamError {
    ParamError { param: param.name.clone(), got: node.describe(), expected: format!("expected {}", expected(param.ty)) }
}

/// Evaluates the defaults that are expressions, once `cluster` and `config` are known.
///
/// `params` is what [`bind_params`](super::bind_params) gave. Errors: all that fail, at once.
pub fn fill_defaults(
    runbook: &Runbook,
    params: &mut BTreeMap<String, Json>,
    scope: &Scope,
) -> Result<(), Vec<ParamError>> {
    let mut errors = Vec::new();
    for param in &runbook.params {
        let Some(source) = param.default.as_ref().and_then(Json::as_str).filter(|t| t.contains("{{")) else { continue };
        if params.get(&param.name).and_then(Json::as_str) != Some(source) {
            continue;
        }
        let fail = |expected: String| ParamError {
            param: param.name.clone(),
            got: format!("its default `{source}` cannot be used"),
            expected,
        };
        match render(&default_template(source), scope) {
            Ok(Evaluated::Known(value)) => match coerce(param, &value) {
                Ok(value) => drop(params.insert(param.name.clone(), value)),
                Err(error) => errors.push(error),
            },
            Ok(Evaluated::Unknown) => errors.push(fail("it is not known before the run".into())),
            Err(error) => errors.push(fail(error.message)),
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// The text of a default as the template that it was checked as.
pub fn default_template(text: &str) -> Template {
    let place = Place::default();
    let trimmed = text.trim();
    if let Ok(parts) = segments(trimmed)
        && let [crate::expr::Segment::Expr { source, .. }] = parts[..]
        && parse_check(source).is_ok()
    {
        return Template::Expr(Expr { source: source.trim().to_owned(), place });
    }
    Template::Text(Expr { source: text.to_owned(), place })
}

/// `did you mean` among parameters.
pub fn nearest_param(name: &str, params: &[Param]) -> Option<String> {
    nearest(name, params.iter().map(|p| p.name.as_str()))
}
