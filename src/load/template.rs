//! Nodes to expressions and templates, each parsed when the file is read.

use super::diagnostic::{Severity, Source, Span, code};
use super::reader::Reader;
use super::yaml::{Node, Value};
use crate::expr::{self, ExprError, Segment, segments};
use crate::model::runbook::{Expr, Place, Template};

impl Reader<'_> {
    /// A bare expression. Braces round it are taken off with a warning.
    pub fn expression(&mut self, node: &Node) -> Option<Expr> {
        let text = match &node.value {
            Value::Str(text) => text.as_str(),
            Value::Bool(_) | Value::Int(_) => node.raw.as_str(),
            _ => {
                self.wrong(node, "an expression");
                return None;
            }
        };
        let trimmed = text.trim();
        if trimmed.starts_with("{{") {
            let parts = segments(trimmed).unwrap_or_default();
            let [Segment::Expr { source, offset }] = parts[..] else {
                self.error(code::EXPRESSION, node.span, "one bare expression is expected here, not text with braces");
                return None;
            };
            let inner = source.trim();
            self.report(Severity::Warning, code::BRACES, node.span, "the braces are not needed here")
                .help(format!("write `{inner}`; `runbook fmt` takes them off"));
            return self.parsed(node, source, lead(text) + offset);
        }
        self.parsed(node, text, 0)
    }

    /// Checks an expression that starts at `offset` of the node's text.
    fn parsed(&mut self, node: &Node, source: &str, offset: usize) -> Option<Expr> {
        let offset = offset + lead(source);
        let source = source.trim();
        if let Err(ExprError { message, offset: at }) = expr::parse_check(source) {
            let span = self.inside(node, offset + at);
            self.error(code::EXPRESSION, span, format!("in the expression `{source}`: {message}"));
            return None;
        }
        Some(Expr { source: source.to_owned(), place: self.inside(node, offset).place() })
    }

    /// The place of a byte of the node's text; the node's own where the file spells the text otherwise.
    fn inside(&self, node: &Node, offset: usize) -> Span {
        node.verbatim.map_or(node.span, |start| self.source.span_at(start + offset, 1))
    }

    /// A value that may hold `{{ }}` anywhere.
    pub fn template(&mut self, node: &Node) -> Option<Template> {
        match &node.value {
            Value::Invalid => None,
            Value::Str(text) if text.contains("{{") || text.contains("{%") || text.contains("{#") => {
                self.template_text(node, text)
            }
            Value::Float(_) if loses_a_digit(&node.raw) => {
                let raw = &node.raw;
                self.error(
                    code::NUMBER_SPELLING,
                    node.span,
                    format!("`{raw}` is a number and would become {}", node.to_json()),
                )
                .help(format!("write \"{raw}\" for a version or another text"));
                None
            }
            Value::Seq(items) => {
                let items: Vec<_> = items.iter().map(|item| self.template(item)).collect();
                let items = items.into_iter().collect::<Option<Vec<_>>>()?;
                Some(literal_list(items))
            }
            Value::Map(entries) => {
                let entries: Vec<_> =
                    entries.iter().map(|(key, node)| Some((key.value.clone(), self.template(node)?))).collect();
                let entries = entries.into_iter().collect::<Option<Vec<_>>>()?;
                Some(literal_map(entries))
            }
            _ => Some(Template::Literal(node.to_json())),
        }
    }

    fn template_text(&mut self, node: &Node, text: &str) -> Option<Template> {
        let parts = match segments(text) {
            Ok(parts) => parts,
            Err(ExprError { message, offset }) => {
                let span = self.inside(node, offset);
                self.error(code::EXPRESSION, span, message);
                return None;
            }
        };
        let blank = |part: &Segment<'_>| matches!(part, Segment::Text(text) if text.trim().is_empty());
        let mut meaningful = parts.iter().filter(|part| !blank(part));
        if let (Some(Segment::Expr { source, offset }), None) = (meaningful.next(), meaningful.next()) {
            return self.parsed(node, source, *offset).map(Template::Expr);
        }
        let mut fine = true;
        for part in &parts {
            if let Segment::Expr { source, offset } = part {
                fine &= self.parsed(node, source, *offset).is_some();
            }
        }
        fine.then(|| Template::Text(Expr { source: text.to_owned(), place: self.inside(node, 0).place() }))
    }
}

/// A list without expressions is one literal.
fn literal_list(items: Vec<Template>) -> Template {
    let literals: Option<Vec<_>> = items.iter().map(literal).collect();
    literals.map_or(Template::List(items), |values| Template::Literal(values.into()))
}

fn literal_map(entries: Vec<(String, Template)>) -> Template {
    let literals: Option<serde_json::Map<_, _>> =
        entries.iter().map(|(key, value)| Some((key.clone(), literal(value)?))).collect();
    literals.map_or(Template::Map(entries), |map| Template::Literal(map.into()))
}

fn literal(template: &Template) -> Option<serde_json::Value> {
    match template {
        Template::Literal(value) => Some(value.clone()),
        _ => None,
    }
}

fn lead(text: &str) -> usize {
    text.len() - text.trim_start().len()
}

/// `1.10` reads as 1.1: most likely a version.
fn loses_a_digit(raw: &str) -> bool {
    raw.split_once('.').is_some_and(|(_, fraction)| fraction.len() > 1 && fraction.ends_with('0'))
}

/// The place of a byte of an expression's source, if the file spells it in the same way.
pub fn place_inside(source: &Source, place: Place, text: &str, offset: usize, len: usize) -> Span {
    let start = source.span_of(place, len);
    let same = source.text.get(start.offset..).is_some_and(|rest| rest.starts_with(text));
    if same { Span { len, ..source.span_at(start.offset + offset, len) } } else { Span { len: 1, ..start } }
}
