//! Evaluation. The one file, with `scope.rs` and `filters.rs`, that names minijinja.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Expression, UndefinedBehavior, Value};
use serde_json::Value as Json;

use super::names::{check_filters, references};
use super::scope::{Scope, watch};
use super::text::{Segment, segments};
use super::{Evaluated, ExprError, filters};
use crate::model::runbook::{Expr, Template};

/// Instructions that one evaluation may take: enough for filters over thousands of items, little enough to stop
/// within a moment.
const FUEL: u64 = 1_000_000;
/// Compiled expressions that are kept; a file has tens.
const CACHED: usize = 4096;
/// How deep a value may nest before it is refused.
const DEPTH: usize = 64;

type Compiled = Expression<'static, 'static>;

fn environment() -> &'static Environment<'static> {
    static ENVIRONMENT: OnceLock<Environment<'static>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut env = Environment::new();
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        env.set_fuel(Some(FUEL));
        env.set_debug(false);
        env.remove_global("debug");
        env.remove_global("namespace");
        filters::register(&mut env);
        env
    })
}

fn compiled(source: &str) -> Result<Arc<Compiled>, ExprError> {
    static CACHE: OnceLock<RwLock<HashMap<String, Arc<Compiled>>>> = OnceLock::new();
    let cache = CACHE.get_or_init(RwLock::default);
    if let Some(found) = cache.read().unwrap_or_else(PoisonError::into_inner).get(source) {
        return Ok(Arc::clone(found));
    }
    let expression = environment().compile_expression_owned(source.to_owned()).map_err(|e| syntax_error(&e))?;
    let expression = Arc::new(expression);
    let mut cache = cache.write().unwrap_or_else(PoisonError::into_inner);
    if cache.len() >= CACHED {
        cache.clear();
    }
    cache.insert(source.to_owned(), Arc::clone(&expression));
    Ok(expression)
}

fn syntax_error(error: &Error) -> ExprError {
    let message = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    ExprError::new(message, error.range().map_or(0, |r| r.start))
}

/// Whether a bare expression can be read and all its filters exist.
pub fn parse_check(source: &str) -> Result<(), ExprError> {
    if source.trim().is_empty() {
        return Err(ExprError::new("an expression is expected, but there is nothing", 0));
    }
    compiled(source)?;
    check_filters(source)
}

/// The value of a bare expression.
///
/// Errors: it cannot be read; a name that does not exist (with the nearest one that does); an operation that its
/// values do not have; out of fuel.
pub fn eval(expr: &Expr, scope: &Scope) -> Result<Evaluated, ExprError> {
    evaluate(&expr.source, scope)
}

fn evaluate(source: &str, scope: &Scope) -> Result<Evaluated, ExprError> {
    let expression = compiled(source)?;
    let (result, touched) = watch(|| expression.eval(scope.root()).and_then(|value| to_json(&value, 0)));
    match result {
        // Also where minijinja stumbled over the placeholder: what went before it does not matter then.
        _ if touched => Ok(Evaluated::Unknown),
        Ok(value) => Ok(Evaluated::Known(value)),
        Err(error) => Err(explain(source, scope, &error)),
    }
}

fn explain(source: &str, scope: &Scope, error: &Error) -> ExprError {
    let undefined =
        error.kind() == ErrorKind::UndefinedError || error.detail().is_some_and(|d| d.contains("undefined"));
    if undefined {
        for reference in references(source) {
            if let Some((depth, near)) = scope.missing(&reference.names) {
                let name = reference.names[..=depth].join(".");
                let hint = near.map(|near| {
                    let mut names = reference.names[..depth].to_vec();
                    names.push(near);
                    format!("; did you mean `{}`?", names.join("."))
                });
                let message = format!("there is no `{name}`{}", hint.unwrap_or_default());
                return ExprError::new(message, reference.offset);
            }
        }
    }
    let offset = error.range().map_or(0, |r| r.start);
    match error.kind() {
        ErrorKind::OutOfFuel => ExprError::new("the expression does too much: it was stopped", offset),
        kind => ExprError::new(error.detail().map_or_else(|| kind.to_string(), str::to_owned), offset),
    }
}

fn to_json(value: &Value, depth: usize) -> Result<Json, Error> {
    if depth > DEPTH {
        return Err(Error::new(ErrorKind::InvalidOperation, "the value nests too deep"));
    }
    match value.kind() {
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::None => Ok(Json::Null),
        ValueKind::Bool => Ok(Json::Bool(value.is_true())),
        ValueKind::String => Ok(Json::from(value.as_str().unwrap_or_default())),
        ValueKind::Map => {
            let mut map = serde_json::Map::new();
            for key in value.try_iter()? {
                let item = value.get_item(&key)?;
                map.insert(key.to_string(), to_json(&item, depth + 1)?);
            }
            Ok(Json::Object(map))
        }
        ValueKind::Seq | ValueKind::Iterable => {
            value.try_iter()?.map(|item| to_json(&item, depth + 1)).collect::<Result<_, _>>().map(Json::Array)
        }
        ValueKind::Number => match serde_json::to_value(value) {
            Ok(number @ Json::Number(_)) => Ok(number),
            _ => Err(Error::new(ErrorKind::InvalidOperation, format!("{value} is not a number that can be kept"))),
        },
        kind => Err(Error::new(ErrorKind::InvalidOperation, format!("a {kind} is not a value that can be kept"))),
    }
}

/// The truth of a bare expression; `None` when it is unknown.
///
/// Errors: those of [`eval`], and a value that is not a bool.
pub fn truth(expr: &Expr, scope: &Scope) -> Result<Option<bool>, ExprError> {
    match eval(expr, scope)? {
        Evaluated::Unknown => Ok(None),
        Evaluated::Known(Json::Bool(value)) => Ok(Some(value)),
        Evaluated::Known(other) => {
            let message = format!("true or false is expected, but `{}` is {}", expr.source.trim(), describe(&other));
            Err(ExprError::new(message, 0))
        }
    }
}

/// A value as an error names it: `the number 3`, `a list of 2`.
fn describe(value: &Json) -> String {
    match value {
        Json::Null => "nothing (none)".into(),
        Json::Bool(b) => b.to_string(),
        Json::Number(n) => format!("the number {n}"),
        Json::String(s) => format!("the text {s:?}"),
        Json::Array(items) => format!("a list of {}", items.len()),
        Json::Object(map) => format!("a map of {}", map.len()),
    }
}

/// The value of a template. An unknown anywhere makes all of it unknown.
///
/// Errors: those of [`eval`]; in text also a value that has no spelling (nothing, a list, a map are refused, as
/// they are hardly ever meant).
pub fn render(template: &Template, scope: &Scope) -> Result<Evaluated, ExprError> {
    match template {
        Template::Literal(value) => Ok(Evaluated::Known(value.clone())),
        Template::Expr(expr) => eval(expr, scope),
        Template::Text(text) => render_text(&text.source, scope),
        Template::List(items) => {
            let values = items.iter().map(|item| render(item, scope)).collect::<Result<Vec<_>, _>>()?;
            let values: Option<Vec<Json>> = values.into_iter().map(Evaluated::known).collect();
            Ok(values.map_or(Evaluated::Unknown, |values| Evaluated::Known(Json::Array(values))))
        }
        Template::Map(entries) => {
            let mut map = Some(serde_json::Map::new());
            for (name, template) in entries {
                match (render(template, scope)?, &mut map) {
                    (Evaluated::Known(value), Some(map)) => drop(map.insert(name.clone(), value)),
                    (Evaluated::Unknown, _) => map = None,
                    (Evaluated::Known(_), None) => {}
                }
            }
            Ok(map.map_or(Evaluated::Unknown, |map| Evaluated::Known(Json::Object(map))))
        }
    }
}

fn render_text(source: &str, scope: &Scope) -> Result<Evaluated, ExprError> {
    let mut out = Some(String::new());
    for segment in segments(source)? {
        let Segment::Expr { source, offset } = segment else {
            if let (Segment::Text(text), Some(out)) = (segment, &mut out) {
                out.push_str(text);
            }
            continue;
        };
        let moved = |e: ExprError| ExprError { offset: e.offset + offset, ..e };
        match (evaluate(source, scope).map_err(moved)?, &mut out) {
            (Evaluated::Known(Json::String(text)), Some(out)) => out.push_str(&text),
            (Evaluated::Known(value @ (Json::Bool(_) | Json::Number(_))), Some(out)) => {
                out.push_str(&value.to_string())
            }
            (Evaluated::Unknown, _) => out = None,
            (Evaluated::Known(_), None) => {}
            (Evaluated::Known(other), Some(_)) => {
                let message = format!(
                    "a text or a number is expected inside text, but `{}` is {}; use a filter such as `tojson` or `join`",
                    source.trim(),
                    describe(&other)
                );
                return Err(ExprError::new(message, offset));
            }
        }
    }
    Ok(out.map_or(Evaluated::Unknown, |text| Evaluated::Known(Json::String(text))))
}
