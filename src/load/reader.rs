//! Reading a tree of nodes: typed access that reports what is wrong and goes on.

use super::diagnostic::{Diagnostic, Severity, Source, Span, code};
use super::shape::Table;
use super::yaml::{Node, Spanned, Value};
use crate::expr::nearest;
use crate::model::value as values;

/// Collects what is wrong while a file is read.
pub struct Reader<'s> {
    pub source: &'s Source,
    pub diagnostics: Vec<Diagnostic>,
}

impl<'s> Reader<'s> {
    pub fn new(source: &'s Source) -> Self {
        Self { source, diagnostics: Vec::new() }
    }

    pub fn report(
        &mut self,
        severity: Severity,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        let file = self.source.name.clone();
        let message = message.into();
        self.diagnostics.push(Diagnostic {
            severity,
            code,
            message,
            help: None,
            file,
            span,
            labels: Vec::new(),
            conceal: false,
        });
        self.diagnostics.last_mut().expect("one was pushed just now")
    }

    pub fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.report(Severity::Error, code, span, message)
    }

    /// `expected X, but Y stands here`; silent where the node was reported already.
    pub fn wrong(&mut self, node: &Node, expected: &str) {
        if node.value == Value::Invalid {
            return;
        }
        let bare_version = expected.contains("version") && matches!(node.value, Value::Float(_) | Value::Int(_));
        let code = if bare_version { code::NUMBER_SPELLING } else { code::WRONG_VALUE };
        let raw = node.raw.clone();
        let number = matches!(node.value, Value::Int(_) | Value::Float(_));
        let diagnostic =
            self.error(code, node.span, format!("expected {expected}, but {} stands here", node.describe()));
        if bare_version || (number && expected == "a text") {
            diagnostic.help(format!("write \"{raw}\": without quotes it is a number"));
        }
    }

    pub fn text(&mut self, node: &Node) -> Option<String> {
        let text = node.as_str().map(str::to_owned);
        if text.is_none() {
            self.wrong(node, "a text");
        }
        text
    }

    pub fn boolean(&mut self, node: &Node) -> Option<bool> {
        match &node.value {
            Value::Bool(value) => Some(*value),
            _ => {
                self.wrong(node, "true or false");
                None
            }
        }
    }

    /// A whole number from `min`.
    pub fn count(&mut self, node: &Node, min: u32) -> Option<u32> {
        match &node.value {
            Value::Int(value) if *value >= i64::from(min) && u32::try_from(*value).is_ok() => Some(*value as u32),
            _ => {
                self.wrong(node, &format!("a whole number from {min}"));
                None
            }
        }
    }

    /// Milliseconds.
    pub fn duration(&mut self, node: &Node) -> Option<u64> {
        let found = node.as_str().and_then(values::duration);
        if found.is_none() {
            self.wrong(node, "a duration such as 90s, 5m or 1h30m");
        }
        found
    }

    pub fn list<'n>(&mut self, node: &'n Node, of: &str) -> &'n [Node] {
        if !matches!(node.value, Value::Seq(_)) {
            self.wrong(node, &format!("a list of {of}"));
        }
        node.items()
    }

    pub fn map<'n>(&mut self, node: &'n Node, what: &str) -> &'n [(Spanned<String>, Node)] {
        if !matches!(node.value, Value::Map(_)) {
            self.wrong(node, what);
        }
        node.entries()
    }

    /// One of some words.
    pub fn choice<T: Copy>(&mut self, node: &Node, choices: &[(&str, T)]) -> Option<T> {
        let found = node.as_str().and_then(|text| choices.iter().find(|(name, _)| *name == text));
        if found.is_none() && node.value != Value::Invalid {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            let near = node.as_str().and_then(|text| nearest(text, names.iter().copied()));
            let message = format!("expected one of {}, but {} stands here", names.join(", "), node.describe());
            self.error(code::WRONG_VALUE, node.span, message).suggest(near);
        }
        found.map(|(_, value)| *value)
    }

    /// Reports keys that the table does not have and required ones that are not there. `false` if it is no map.
    pub fn keys(&mut self, node: &Node, table: &Table) -> bool {
        let Value::Map(entries) = &node.value else {
            self.wrong(node, &format!("{} as a map", table.what));
            return false;
        };
        for (key, _) in entries {
            if !table.keys.iter().any(|k| k.name == key.value) {
                let near = nearest(&key.value, table.keys.iter().map(|k| k.name));
                let fallback = table.keys.iter().map(|k| k.name).collect::<Vec<_>>().join(", ");
                let message = format!("{} has no key `{}`", table.what, key.value);
                let diagnostic = self.error(code::UNKNOWN_KEY, key.span, message);
                diagnostic.suggest(near);
                if diagnostic.help.is_none() {
                    diagnostic.help(format!("its keys are {fallback}"));
                }
            }
        }
        for key in table.keys.iter().filter(|k| k.required && node.get(k.name).is_none()) {
            let mut span = node.span;
            span.len = span.len.min(1);
            self.error(code::MISSING_KEY, span, format!("{} needs the key `{}`", table.what, key.name))
                .help(format!("{}: {}", key.name, key.help));
        }
        true
    }
}
