//! `proxmox.api` in a file: its call is held against the official schemas as far as it is literal. Of which version the
//! site is, is not known here: it must be valid in one of those that there are.

use std::collections::BTreeMap;

use serde_json::Value;

use super::diagnostic::{Span, code};
use super::reader::Reader;
use super::yaml::Node;
use crate::contracts::{VERSIONS, Verb, check_shape, secret_in};
use crate::expr::{Segment, segments};
use crate::model::runbook::Template;

/// The action whose parameters are a call.
pub const ACTION: &str = "proxmox.api";

/// Reports what no version of Proxmox VE would take.
pub fn check(reader: &mut Reader<'_>, with: Option<&Node>, given: &[(String, Template)]) {
    let of = |name: &str| given.iter().find(|(key, _)| key == name).map(|(_, template)| template);
    let (Some(Template::Literal(Value::String(method))), Some(path)) = (of("method"), of("path")) else { return };
    let (Some(verb), Some(path)) = (Verb::parse(&method.to_uppercase()), parts(path)) else { return };
    let Some(params) = params(of("params")) else { return };
    let Some(span) = with.and_then(|with| with.get("path")).map(|node| node.span) else { return };
    let path: Vec<Option<&str>> = path.iter().map(Option::as_deref).collect();
    let mut wrong = Vec::new();
    for version in VERSIONS {
        match check_shape(version, verb, &path, &params) {
            Ok(method) => return refuse_secret(reader, span, verb, &method.template, &params),
            Err(why) => wrong.push(why.to_string()),
        }
    }
    wrong.dedup();
    reader
        .error(code::ACTION_VALUE, span, wrong.join("; "))
        .help("`pvesh usage PATH --verbose` on a node, and the API viewer of its documentation, say what there is");
}

fn refuse_secret(reader: &mut Reader<'_>, span: Span, verb: Verb, template: &str, params: &Params) {
    if let Some(what) = secret_in(verb, template, params.keys().map(String::as_str)) {
        reader
            .error(code::ACTION_VALUE, span, format!("{what}: a plan and a journal would keep it"))
            .help("do that by hand, or with an action that takes a reference such as pass:PATH");
    }
}

type Params = BTreeMap<String, Option<Value>>;

/// The path's segments, `None` where one holds an expression; nothing where the whole path is one.
fn parts(path: &Template) -> Option<Vec<Option<String>>> {
    // Not in any path, so that it marks where an expression was.
    const OPEN: char = '\u{0}';
    let text = match path {
        Template::Literal(Value::String(text)) => text.clone(),
        Template::Text(expr) => {
            let marked = segments(&expr.source).ok()?.into_iter().map(|part| match part {
                Segment::Text(text) => text.to_owned(),
                _ => OPEN.to_string(),
            });
            marked.collect()
        }
        _ => return None,
    };
    let words = text.split('/').filter(|word| !word.is_empty());
    Some(words.map(|word| (!word.contains(OPEN)).then(|| word.to_owned())).collect())
}

/// By name, without those that are left out; nothing where not even the names are known.
fn params(template: Option<&Template>) -> Option<Params> {
    match template {
        None | Some(Template::Literal(Value::Null)) => Some(Params::new()),
        Some(Template::Literal(Value::Object(map))) => {
            Some(map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), Some(v.clone()))).collect())
        }
        Some(Template::Map(entries)) => {
            let value = |template: &Template| match template {
                Template::Literal(value) => Some(value.clone()),
                _ => None,
            };
            Some(entries.iter().map(|(name, template)| (name.clone(), value(template))).collect())
        }
        _ => None,
    }
}
