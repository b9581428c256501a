//! A text's values with the places that they are written at.

use serde_json::Value as Json;

use super::super::yaml::{Mark, MarkKind, Style, marks};
use super::EditError;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub what: What,
    pub start: usize,
    pub end: usize,
    pub column: usize,
    pub dressed: bool,
    /// Behind the `:` or `-` that it belongs to.
    pub sign: Option<usize>,
}

/// What it is.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    Scalar { text: String, style: Style },
    Seq { items: Vec<Node>, flow: bool },
    Map { entries: Vec<(Node, Node)>, flow: bool },
    Alias,
}

impl Node {
    pub fn text(&self) -> Option<&str> {
        match &self.what {
            What::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    pub fn is_flow(&self) -> bool {
        matches!(self.what, What::Seq { flow: true, .. } | What::Map { flow: true, .. })
    }

    /// Whether it stands here alone and is what it looks like.
    pub fn editable(&self) -> Result<(), &'static str> {
        match self.what {
            What::Alias => Err("it is an alias: what it holds stands elsewhere"),
            _ if self.dressed => Err("it has an anchor or a tag, so that it means more than it says"),
            _ => Ok(()),
        }
    }

    /// What is written last of it; a collection in brackets ends with its bracket.
    pub fn last_leaf(&self) -> &Node {
        let inner = match &self.what {
            What::Seq { items, flow: false } => items.last(),
            What::Map { entries, flow: false } => entries.last().map(|(_, value)| value),
            _ => None,
        };
        inner.map_or(self, Node::last_leaf)
    }

    /// As YAML 1.2 reads it. An alias is what no value can be equal to by chance.
    pub fn json(&self) -> Json {
        match &self.what {
            What::Scalar { text, style: Style::Plain } => plain(text),
            What::Scalar { text, .. } => Json::from(text.as_str()),
            What::Seq { items, .. } => items.iter().map(Node::json).collect(),
            What::Map { entries, .. } => {
                let name = |key: &Node| key.text().map_or_else(|| key.json().to_string(), str::to_owned);
                Json::Object(entries.iter().map(|(key, value)| (name(key), value.json())).collect())
            }
            What::Alias => Json::from("\u{0}alias"),
        }
    }
}

/// What a scalar without quotes means.
pub fn plain(text: &str) -> Json {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Json::Null,
        "true" | "True" | "TRUE" => return Json::Bool(true),
        "false" | "False" | "FALSE" => return Json::Bool(false),
        _ => {}
    }
    let number = text.chars().all(|c| c.is_ascii_digit() || "+-.eE".contains(c))
        && text.trim_start_matches(['-', '+', '.']).starts_with(|c: char| c.is_ascii_digit());
    if !number {
        return Json::from(text);
    }
    if let Ok(int) = text.parse::<i64>() {
        return Json::from(int);
    }
    if let Ok(int) = text.parse::<u64>() {
        return Json::from(int);
    }
    match text.parse::<f64>() {
        Ok(float) if float.is_finite() => Json::from(float),
        _ => Json::from(text),
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// The document's value; `None` where it has none.
///
/// # Errors
/// It is no YAML, more than one document, or indented by tabs.
pub fn tree(text: &str) -> Result<Option<Node>, EditError> {
    let syntax = |line: usize, why: &str| EditError::Syntax { line, why: why.to_owned() };
    let tabbed = |line: &str| line.trim_start_matches(' ').starts_with('\t') && !line.trim().is_empty();
    if let Some(line) = text.lines().position(tabbed) {
        return Err(syntax(line + 1, "a tab in an indentation"));
    }
    let marks = marks(text).map_err(|(at, why)| syntax(line_of(text, at), &why))?;
    let mut documents = marks.iter().filter(|mark| mark.kind == MarkKind::Document);
    if let Some(second) = documents.nth(1) {
        return Err(syntax(line_of(text, second.start), "a second document: one file is one document here"));
    }
    let mut left = marks.iter().filter(|mark| mark.kind != MarkKind::Document);
    let root = left.next().map(|mark| node(text, mark, &mut left));
    let is_something = |root: &Node| {
        root.start < root.end || root.dressed || !matches!(root.what, What::Scalar { style: Style::Plain, .. })
    };
    Ok(root.filter(is_something))
}

fn node<'m>(text: &str, mark: &Mark, left: &mut dyn Iterator<Item = &'m Mark>) -> Node {
    let mut end = mark.end;
    let mut inner = |left: &mut dyn Iterator<Item = &'m Mark>| {
        let mut all: Vec<Node> = Vec::new();
        while let Some(next) = left.next() {
            if next.kind == MarkKind::End {
                end = next.end;
                break;
            }
            all.push(node(text, next, left));
        }
        all
    };
    let what = match &mark.kind {
        MarkKind::Scalar { text, style } => What::Scalar { text: text.clone(), style: *style },
        MarkKind::Alias | MarkKind::End | MarkKind::Document => What::Alias,
        MarkKind::Seq { flow } => {
            let mut items = inner(left);
            if !flow {
                items.iter_mut().for_each(|item| item.sign = sign_before(text, item.start, '-'));
            }
            What::Seq { items, flow: *flow }
        }
        MarkKind::Map { flow } => {
            let all = inner(left);
            let mut entries = Vec::new();
            let mut pairs = all.into_iter();
            while let (Some(key), Some(mut value)) = (pairs.next(), pairs.next()) {
                value.sign = sign_behind(text, key.end);
                entries.push((key, value));
            }
            What::Map { entries, flow: *flow }
        }
    };
    Node { what, start: mark.start, end, column: mark.column, dressed: mark.dressed, sign: None }
}

/// Behind the `:` that follows a key; none for a key in the long form (`? key`).
fn sign_behind(text: &str, key: usize) -> Option<usize> {
    let rest = &text[key..];
    let gap = rest.len() - rest.trim_start_matches(' ').len();
    rest[gap..].starts_with(':').then_some(key + gap + 1)
}

/// Behind the `-` that stands before an item, in its line.
fn sign_before(text: &str, item: usize, sign: char) -> Option<usize> {
    let line = text[..item].rfind('\n').map_or(0, |at| at + 1);
    text[line..item].rfind(sign).map(|at| line + at + 1)
}
