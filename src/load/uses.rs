//! `uses` and `with`: what is called and whether its parameters fit.

use std::collections::BTreeMap;

use super::api_call;
use super::diagnostic::{Span, code};
use super::library::NoCallee;
use super::params::{is_identifier, literal, nearest_param};
use super::reader::Reader;
use super::talosctl_call;
use super::yaml::{Node, Spanned, Value};
use crate::expr::{nearest, segments};
use crate::model::action_spec::{ActionSpec, Catalogue};
use crate::model::effect::Effect;
use crate::model::param::Param;
use crate::model::runbook::{Target, Template};

/// What a procedure or another runbook takes and gives.
#[derive(Debug, Clone, Default)]
pub struct Interface {
    pub params: Vec<Param>,
    /// Names of what it puts out.
    pub outputs: Vec<String>,
    /// Of a runbook.
    pub target: Option<Target>,
}

/// What a file may call.
pub struct Callables<'c> {
    pub catalogue: &'c Catalogue,
    /// The file's own target.
    pub target: Option<Target>,
    /// Local procedures, without `local.`.
    pub defines: BTreeMap<String, Interface>,
    /// Other runbooks, as `uses` spells them.
    pub files: BTreeMap<&'c str, Result<&'c Interface, &'c NoCallee>>,
}

impl Callables<'_> {
    pub fn action(&self, name: &str) -> Option<&ActionSpec> {
        self.catalogue.get(name)
    }

    /// What a call of an action does, as far as the file says.
    pub fn effect(&self, uses: &str, with: Option<&Node>) -> Option<Effect> {
        let of = |spec: &ActionSpec| {
            spec.effect_with(|name| match with.and_then(|with| with.get(name)) {
                Some(node) => Some(node.as_str()?.into()),
                None => spec.default_of(name),
            })
        };
        self.action(uses).map(of)
    }

    /// Whether `uses` means a procedure or another runbook and no action: `local.run` is one, `local.drain` is none.
    pub fn is_call(&self, uses: &str) -> bool {
        uses.starts_with("local.") && self.action(uses).is_none() || is_file_call(uses)
    }

    /// What a procedure takes and gives, where that is known.
    pub fn procedure(&self, uses: &str) -> Option<&Interface> {
        match uses.strip_prefix("local.") {
            Some(local) => self.defines.get(local),
            None => self.files.get(uses)?.ok(),
        }
    }
}

/// Whether `uses` means another runbook.
pub fn is_file_call(uses: &str) -> bool {
    uses.starts_with("runbook:") || uses.starts_with("./")
}

/// Reads `uses` and `with` of a step or a check.
pub fn call(
    reader: &mut Reader<'_>,
    callables: &Callables<'_>,
    uses: &Node,
    with: Option<&Node>,
) -> Option<(String, Vec<(String, Template)>)> {
    let name = reader.text(uses)?;
    let entries = with.map(|node| reader.map(node, "a map of parameters")).unwrap_or_default();
    let params = callee(reader, callables, uses, &name);
    let mut out = Vec::new();
    for (key, node) in entries {
        let param = params.and_then(|params| params.iter().find(|p| p.name == key.value));
        if let (Some(params), None) = (params, param) {
            unknown_param(reader, &name, params, &key.value, key.span);
        }
        if let Some(template) = argument(reader, param, &key.value, node) {
            out.push((key.value.clone(), template));
        }
    }
    missing(reader, uses.span, &name, params.unwrap_or_default(), entries);
    if name == api_call::ACTION {
        api_call::check(reader, with, &out);
    }
    if talosctl_call::ACTIONS.contains(&name.as_str()) {
        talosctl_call::check(reader, with, &out);
    }
    Some((name, out))
}

/// The parameters of what is called, where they are known.
fn callee<'c>(reader: &mut Reader<'_>, callables: &'c Callables<'_>, uses: &Node, name: &str) -> Option<&'c [Param]> {
    if let Some(local) = name.strip_prefix("local.").filter(|_| callables.is_call(name)) {
        if !callables.defines.contains_key(local) {
            unknown_local(reader, callables, uses.span, local);
        }
        return callables.defines.get(local).map(|define| define.params.as_slice());
    }
    if is_file_call(name) {
        return other_runbook(reader, callables, uses.span, name);
    }
    let spec = callables.action(name);
    if spec.is_none() {
        unknown_action(reader, callables, uses.span, name);
    }
    spec.map(|spec| spec.params.as_slice())
}

fn other_runbook<'c>(
    reader: &mut Reader<'_>,
    callables: &'c Callables<'_>,
    span: Span,
    name: &str,
) -> Option<&'c [Param]> {
    match callables.files.get(name)? {
        Ok(found) => {
            if let (Some(own), Some(its)) = (callables.target, found.target)
                && !fits(own, its)
            {
                let message = format!("`{name}` is for {}, this runbook for {}", its.as_str(), own.as_str());
                reader.error(code::TARGET, span, message).help(
                    "call what has the same target or none; a runbook with target talos may also call one for proxmox",
                );
            }
            Some(&found.params)
        }
        Err(why) => {
            reader.error(why.code, span, &why.message).help = why.help.clone();
            None
        }
    }
}

/// Whether a runbook with the one target may call one with the other. A Talos cluster lies on the site, so both are
/// there for a runbook that is for Talos.
fn fits(caller: Target, callee: Target) -> bool {
    callee == Target::None || callee == caller || (caller, callee) == (Target::Talos, Target::Proxmox)
}

fn missing(reader: &mut Reader<'_>, span: Span, name: &str, params: &[Param], entries: &[(Spanned<String>, Node)]) {
    for param in params.iter().filter(|p| p.required && p.default.is_none()) {
        if !entries.iter().any(|(key, _)| key.value == param.name) {
            let kind = param.ty.as_str();
            let help = param.help.as_deref().map(|h| format!("  {h}")).unwrap_or_default();
            reader
                .error(code::ACTION_PARAM, span, format!("`{name}` needs `{}`", param.name))
                .help(format!("with: {{{}: <{kind}>}}{help}", param.name));
        }
    }
}

/// Beside the file's own procedures there is an action or two of that beginning.
fn unknown_local(reader: &mut Reader<'_>, callables: &Callables<'_>, span: Span, local: &str) {
    let actions = callables.catalogue.keys().filter(|name| name.starts_with("local."));
    let defined = callables.defines.keys().map(|name| format!("local.{name}"));
    let (actions, defined): (Vec<String>, Vec<String>) = (actions.cloned().collect(), defined.collect());
    let name = format!("local.{local}");
    let near = nearest(&name, actions.iter().chain(&defined).map(|name| name.as_str()));
    let quoted = |names: &[String]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let own = if defined.is_empty() { "nothing".to_owned() } else { quoted(&defined) };
    let known = match actions.as_slice() {
        [] => format!("`define` has {own}"),
        actions => format!("{} is an action, and `define` has {own}", quoted(actions)),
    };
    let diagnostic =
        reader.error(code::UNKNOWN_ACTION, span, format!("`{name}` is neither an action nor defined in this file"));
    diagnostic.suggest(near);
    // Where there is one other name, that is all there is to say.
    if actions.len() + defined.len() > 1 || diagnostic.help.is_none() {
        let near = diagnostic.help.take().map(|near| format!("{near} "));
        diagnostic.help = Some(near.unwrap_or_default() + &known);
    }
}

fn unknown_action(reader: &mut Reader<'_>, callables: &Callables<'_>, span: Span, name: &str) {
    let near = nearest(name, callables.catalogue.keys().map(String::as_str)).or_else(|| {
        let last = name.rsplit('.').next().unwrap_or(name);
        let tails = callables.catalogue.keys().map(|full| full.rsplit('.').next().unwrap_or(full));
        let tail = nearest(last, tails)?;
        callables.catalogue.keys().find(|full| full.ends_with(&format!(".{tail}"))).cloned()
    });
    let diagnostic = reader.error(code::UNKNOWN_ACTION, span, format!("there is no action `{name}`"));
    diagnostic.suggest(near);
    if diagnostic.help.is_none() {
        diagnostic.help("`runbook actions` lists them");
    }
}

fn unknown_param(reader: &mut Reader<'_>, action: &str, params: &[Param], name: &str, span: Span) {
    let near = nearest_param(name, params);
    let diagnostic = reader.error(code::ACTION_PARAM, span, format!("`{action}` has no parameter `{name}`"));
    diagnostic.suggest(near);
    if diagnostic.help.is_none() {
        let names: Vec<&str> = params.iter().map(|p| p.name.as_str()).collect();
        diagnostic.help(if names.is_empty() { "it has none".into() } else { format!("it has {}", names.join(", ")) });
    }
}

/// One value of `with`: a literal is brought into its JSON form, the rest waits for its evaluation.
fn argument(reader: &mut Reader<'_>, param: Option<&Param>, name: &str, node: &Node) -> Option<Template> {
    if name == "script" && refuse_script(reader, node) {
        return None;
    }
    match (reader.template(node)?, param) {
        (Template::Literal(_), Some(param)) => literal(reader, param, node).map(Template::Literal),
        (template, _) => Some(template),
    }
}

/// A shell script is never built by pasting text.
fn refuse_script(reader: &mut Reader<'_>, node: &Node) -> bool {
    let Value::Str(text) = &node.value else { return false };
    let Some(at) = text.find("{{") else { return false };
    let expression = match segments(&text[at..]).ok().as_deref() {
        Some([crate::expr::Segment::Expr { source, .. }, ..]) => source.trim().to_owned(),
        _ => "…".into(),
    };
    let span = node.verbatim.map_or(node.span, |start| reader.source.span_at(start + at, 2));
    let name = expression.rsplit('.').next().filter(|n| is_identifier(n)).unwrap_or("value").to_uppercase();
    reader.error(code::SCRIPT, span, "`{{ }}` inside a script: text of a script is fixed").help(format!(
        "hand it over: env: {{{name}: \"{{{{ {expression} }}}}\"}}, and write \"${name}\" in the script"
    ));
    true
}
