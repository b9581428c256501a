//! YAML text to a tree with places. The one file that names the YAML crate.
//!
//! Reads the crate's events and not its values: every key and value keeps its span and its spelling, and all
//! problems are reported, not only the first. It knows nothing of runbooks.

use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span as YamlSpan, StructureStyle};

use super::diagnostic::{Diagnostic, Severity, Source, Span, code};

/// Nodes that a file may have once its aliases are written out. A runbook of 10,000 steps, the most that is promised,
/// has some 110,000; what is beyond this is no file that anybody wrote.
const NODES: usize = 300_000;
/// A file that an operator writes is far below this.
const BYTES: usize = 4 * 1024 * 1024;

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Spanned<T> {
    pub value: T,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    Seq(Vec<Node>),
    /// In the order of the file; keys are unique.
    Map(Vec<(Spanned<String>, Node)>),
    /// Already reported: say nothing more about it.
    Invalid,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub value: Value,
    pub span: Span,
    /// As it was spelled, for plain scalars; else empty.
    pub raw: String,
    /// Where a text's characters start, if they stand in the file exactly as they are in the value.
    pub verbatim: Option<usize>,
}

impl Node {
    /// What it is, for messages: `the number 3`, `a list`.
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".into(),
            Value::Bool(b) => format!("{b}"),
            Value::Int(_) | Value::Float(_) => format!("the number {}", self.raw),
            Value::Str(s) if s.chars().count() <= 60 && !s.contains('\n') => format!("`{s}`"),
            Value::Str(_) => "a long text".into(),
            Value::Seq(_) => "a list".into(),
            Value::Map(_) => "a map".into(),
            Value::Invalid => "something invalid".into(),
        }
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(k, _)| k.value == key).map(|(_, node)| node),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::Seq(items) => items,
            _ => &[],
        }
    }

    pub fn entries(&self) -> &[(Spanned<String>, Node)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// As JSON, without any look at types.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null | Value::Invalid => Json::Null,
            Value::Bool(b) => Json::Bool(*b),
            Value::Int(i) => Json::from(*i),
            Value::Float(f) => Json::from(*f),
            Value::Str(s) => Json::from(s.as_str()),
            Value::Seq(items) => items.iter().map(Node::to_json).collect(),
            Value::Map(entries) => Json::Object(entries.iter().map(|(k, v)| (k.value.clone(), v.to_json())).collect()),
        }
    }
}

/// Reads one document. The tree is absent only where the text is no YAML at all; what is wrong in it is
/// reported and stands there as [`Value::Invalid`].
pub fn parse(source: &Source) -> (Option<Node>, Vec<Diagnostic>) {
    let mut builder = Builder { source, nodes: 0, anchors: HashMap::new(), diagnostics: Vec::new() };
    if source.text.len() > BYTES {
        builder.error(code::NOT_TAKEN, Span::default(), "the file is larger than 4 MiB".into());
        return (None, builder.diagnostics);
    }
    let root = builder.document();
    (root, builder.diagnostics)
}

/// Typed data of our own (scenarios, tables): one error, in the crate's words.
pub fn typed<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_saphyr::from_str(text).map_err(|e| e.to_string())
}

/// A collection that is not closed yet.
enum Open {
    Seq {
        items: Vec<Node>,
        anchor: usize,
        span: Span,
    },
    Map {
        entries: Vec<(Spanned<String>, Node)>,
        seen: HashMap<String, Span>,
        key: Option<Spanned<String>>,
        skip: bool,
        anchor: usize,
        span: Span,
    },
}

struct Builder<'s> {
    source: &'s Source,
    nodes: usize,
    anchors: HashMap<usize, Node>,
    diagnostics: Vec<Diagnostic>,
}

impl Builder<'_> {
    fn error(&mut self, code: &'static str, span: Span, message: String) -> &mut Diagnostic {
        self.diagnostics.push(Diagnostic {
            severity: Severity::Error,
            code,
            message,
            help: None,
            file: self.source.name.clone(),
            span,
            labels: Vec::new(),
            conceal: false,
        });
        self.diagnostics.last_mut().expect("one was pushed just now")
    }

    fn document(&mut self) -> Option<Node> {
        let text: &str = &self.source.text;
        let mut root = None;
        let mut stack: Vec<Open> = Vec::new();
        let mut documents = 0;
        for event in Parser::new_from_str(text) {
            let (event, yaml_span) = match event {
                Ok(found) => found,
                Err(error) => {
                    let at = error.marker().byte_offset().unwrap_or(text.len());
                    let span = self.source.span_at(at, 1);
                    self.error(code::SYNTAX, span, format!("this is not YAML: {}", error.info()));
                    return None;
                }
            };
            let span = self.span(&yaml_span);
            if matches!(event, Event::DocumentStart(..)) {
                documents += 1;
                if documents == 2 {
                    self.error(code::NOT_TAKEN, span, "a second document: one file is one document".into());
                    return root;
                }
            }
            let Some(node) = self.event(event, span, &mut stack) else { continue };
            if self.nodes > NODES {
                let message = format!("more than {NODES} values once its aliases are written out");
                self.error(code::NOT_TAKEN, span, message);
                return None;
            }
            match stack.last_mut() {
                None => root = Some(node),
                Some(open) => self.put(open, node),
            }
        }
        root
    }

    fn span(&self, span: &YamlSpan) -> Span {
        let start = span.start.byte_offset().unwrap_or(0);
        let end = span.end.byte_offset().unwrap_or(start);
        let text = self.source.text.get(start..end).unwrap_or_default();
        Span {
            line: span.start.line() as u32,
            column: span.start.col() as u32 + 1,
            offset: start,
            len: text.trim_end().len(),
        }
    }

    /// A node when the event completes one.
    fn event(&mut self, event: Event<'_>, span: Span, stack: &mut Vec<Open>) -> Option<Node> {
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let mut node = self.scalar(&text, style, span);
                if tag.is_some() {
                    self.error(code::NOT_TAKEN, span, "a tag (`!…`): types follow from the place".into())
                        .help("take the tag off");
                    node.value = Value::Invalid;
                }
                (node, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                stack.push(Open::Seq { items: Vec::new(), anchor, span });
                return None;
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                stack.push(Open::Map {
                    entries: Vec::new(),
                    seen: HashMap::new(),
                    key: None,
                    skip: false,
                    anchor,
                    span,
                });
                return None;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let (value, anchor, start) = match stack.pop()? {
                    Open::Seq { items, anchor, span } => (Value::Seq(items), anchor, span),
                    Open::Map { entries, anchor, span, .. } => (Value::Map(entries), anchor, span),
                };
                (Node { value, span: start, raw: String::new(), verbatim: None }, anchor)
            }
            Event::Alias(anchor) => return Some(self.alias(anchor, span)),
            _ => return None,
        };
        self.nodes += 1;
        if anchor != 0 && self.nodes <= NODES {
            self.anchors.insert(anchor, node.clone());
        }
        Some(node)
    }

    /// What an alias stands for, at the alias's own place.
    fn alias(&mut self, anchor: usize, span: Span) -> Node {
        let Some(mut node) = self.anchors.get(&anchor).cloned() else {
            self.error(code::NOT_TAKEN, span, "an alias inside of what it stands for".into());
            return Node { value: Value::Invalid, span, raw: String::new(), verbatim: None };
        };
        self.nodes += count(&node);
        node.span = span;
        node.verbatim = None;
        node
    }

    fn refuse_tag(&mut self, tagged: bool, span: Span) {
        if tagged {
            self.error(code::NOT_TAKEN, span, "a tag (`!…`): types follow from the place".into())
                .help("take the tag off");
        }
    }

    fn put(&mut self, open: &mut Open, node: Node) {
        let (entries, seen, key, skip) = match open {
            Open::Seq { items, .. } => return items.push(node),
            Open::Map { entries, seen, key, skip, .. } => (entries, seen, key, skip),
        };
        if *skip {
            *skip = false;
            return;
        }
        let Some(name) = key.take() else {
            match self.key(node, seen) {
                Some(name) => *key = Some(name),
                None => *skip = true,
            }
            return;
        };
        entries.push((name, node));
    }

    fn key(&mut self, node: Node, seen: &mut HashMap<String, Span>) -> Option<Spanned<String>> {
        let span = node.span;
        let name = match node.value {
            Value::Str(text) => text,
            Value::Int(_) | Value::Float(_) | Value::Bool(_) => node.raw,
            // `on:` and `no:` are good names; only as values they are ambiguous.
            Value::Invalid if self.diagnostics.last().is_some_and(|d| d.span == span && d.code == code::OLD_BOOL) => {
                self.diagnostics.pop();
                node.raw
            }
            _ => {
                let message = format!("a key must be a text, but {} stands here", node.describe());
                self.error(code::WRONG_VALUE, span, message);
                return None;
            }
        };
        if name == "<<" {
            self.error(code::NOT_TAKEN, span, "a merge key (`<<`): write the keys out".into());
            return None;
        }
        if let Some(first) = seen.get(&name).copied() {
            self.error(code::DUPLICATE_KEY, span, format!("the key `{name}` is here twice")).label(first, "first here");
            return None;
        }
        seen.insert(name.clone(), span);
        Some(Spanned { value: name, span })
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, span: Span) -> Node {
        let raw = self.source.text.get(span.offset..span.offset + span.len).unwrap_or_default();
        if style != ScalarStyle::Plain {
            let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
            let verbatim = (inner == text).then_some(span.offset + 1);
            return Node { value: Value::Str(text.to_owned()), span, raw: String::new(), verbatim };
        }
        let verbatim = (raw == text).then_some(span.offset);
        Node { value: self.plain(text, span), span, raw: text.to_owned(), verbatim }
    }

    fn plain(&mut self, text: &str, span: Span) -> Value {
        match text {
            "" | "~" | "null" => return Value::Null,
            "true" => return Value::Bool(true),
            "false" => return Value::Bool(false),
            _ => {}
        }
        if let Some(meant) = old_bool(text) {
            self.error(code::OLD_BOOL, span, format!("`{text}` is a bool in some YAML and a text in other"))
                .help(format!("write `{meant}`, or \"{text}\" for the text"));
            return Value::Invalid;
        }
        if !looks_like_number(text) {
            return Value::Str(text.to_owned());
        }
        let digits = text.trim_start_matches(['-', '+']);
        if digits.len() > 1 && digits.starts_with('0') && digits[1..].starts_with(|c: char| c.is_ascii_alphanumeric()) {
            self.error(code::NUMBER_SPELLING, span, format!("`{text}`: a number with a leading zero")).help(format!(
                "write {} for the number, or \"{text}\" for the text",
                Some(digits.trim_start_matches('0'))
                    .filter(|d| !d.is_empty() && d.parse::<f64>().is_ok())
                    .unwrap_or("0")
            ));
            return Value::Invalid;
        }
        match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(int), _) => Value::Int(int),
            (Err(_), Ok(float)) if float.is_finite() && text.contains(['.', 'e', 'E']) => Value::Float(float),
            _ => {
                self.error(code::NUMBER_SPELLING, span, format!("`{text}` is not a number that can be kept"))
                    .help(format!("write \"{text}\" for the text"));
                Value::Invalid
            }
        }
    }
}

fn old_bool(text: &str) -> Option<&'static str> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "on" | "true" => Some("true"),
        "no" | "off" | "false" => Some("false"),
        _ => None,
    }
}

/// A sign, digits, at most one point and an exponent; also `0x…` and `0o…`, which are then refused.
fn looks_like_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let number = |t: &str| {
        let (whole, fraction) = t.split_once('.').unwrap_or((t, ""));
        let (fraction, exponent) = fraction.split_once(['e', 'E']).unwrap_or((fraction, "0"));
        let (whole, exponent) = whole.split_once(['e', 'E']).unwrap_or((whole, exponent));
        let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !whole.is_empty() && digits(whole) && digits(fraction) && !exponent.is_empty() && digits(exponent)
    };
    let prefixed =
        |p: &str| digits.strip_prefix(p).is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_hexdigit()));
    number(digits) || prefixed("0x") || prefixed("0o")
}

fn count(node: &Node) -> usize {
    1 + node.items().iter().map(count).sum::<usize>() + node.entries().iter().map(|(_, n)| count(n)).sum::<usize>()
}

/// Plain data as YAML; as JSON, which is YAML too, where that fails.
pub fn write(value: &impl serde::Serialize) -> String {
    serde_saphyr::to_string(value).unwrap_or_else(|_| serde_json::to_string_pretty(value).unwrap_or_default())
}

/// An event with its place, without the crate's types: enough to edit a text in place.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    pub kind: MarkKind,
    /// Bytes; of a block scalar its text without the header.
    pub start: usize,
    pub end: usize,
    /// Characters before it in its line.
    pub column: usize,
    /// It has an anchor or a tag.
    pub dressed: bool,
}

/// What an event is.
#[derive(Debug, Clone, PartialEq)]
pub enum MarkKind {
    Document,
    Scalar {
        text: String,
        style: Style,
    },
    Seq {
        flow: bool,
    },
    Map {
        flow: bool,
    },
    /// Of the last collection that is open.
    End,
    Alias,
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Plain,
    Single,
    Double,
    Block,
}

/// The events of a text. Errors: the place and the crate's words.
pub fn marks(text: &str) -> Result<Vec<Mark>, (usize, String)> {
    let mut marks = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|e| (e.marker().byte_offset().unwrap_or(text.len()), e.info().to_string()))?;
        let flow = |style| style == StructureStyle::Flow;
        let (kind, dressed) = match event {
            Event::DocumentStart(..) => (MarkKind::Document, false),
            Event::Scalar(text, style, anchor, tag) => {
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted => Style::Single,
                    ScalarStyle::DoubleQuoted => Style::Double,
                    ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
                };
                (MarkKind::Scalar { text: text.into_owned(), style }, anchor != 0 || tag.is_some())
            }
            Event::SequenceStart(style, anchor, tag) => {
                (MarkKind::Seq { flow: flow(style) }, anchor != 0 || tag.is_some())
            }
            Event::MappingStart(style, anchor, tag) => {
                (MarkKind::Map { flow: flow(style) }, anchor != 0 || tag.is_some())
            }
            Event::SequenceEnd | Event::MappingEnd => (MarkKind::End, false),
            Event::Alias(_) => (MarkKind::Alias, false),
            _ => continue,
        };
        let start = span.start.byte_offset().unwrap_or(0);
        let end = span.end.byte_offset().unwrap_or(start);
        marks.push(Mark { kind, start, end, column: span.start.col(), dressed });
    }
    Ok(marks)
}
