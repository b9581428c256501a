//! Which names an expression refers to, with their places, and whether its filters exist.
//!
//! Works on tokens: minijinja keeps its syntax tree to itself. Expressions bind no names of their own (there are
//! no loops and no lambdas in them), so every identifier that is not a keyword, an attribute, a filter, a test
//! or the name of an argument is a reference.

use super::ExprError;
use super::text::{Segment, segments};
use crate::model::nearest::nearest;
use crate::model::runbook::Template;

/// The functions that expressions have.
pub const FUNCTIONS: [&str; 2] = ["dict", "range"];

pub(super) const FILTERS: [&str; 45] = [
    "abs",
    "attr",
    "batch",
    "bool",
    "chain",
    "count",
    "d",
    "dateformat",
    "default",
    "dictsort",
    "duration",
    "filesizeformat",
    "first",
    "float",
    "format",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "select",
    "selectattr",
    "slice",
    "sort",
    "split",
    "string",
    "sum",
    "tojson",
    "trim",
    "unique",
    "upper",
];

const KEYWORDS: [&str; 12] = ["and", "or", "not", "in", "is", "if", "else", "true", "false", "none", "True", "False"];

/// A name that an expression uses: `steps.placement.moves` is `["steps", "placement", "moves"]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub names: Vec<String>,
    /// Bytes from the start of the expression's source.
    pub offset: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Token<'s> {
    Ident(&'s str),
    Text(&'s str),
    Number,
    Sign(char),
    /// `==`, so that it is not taken for the `=` of an argument.
    Equals,
}

fn tokens(source: &str) -> Vec<(usize, Token<'_>)> {
    let mut out = Vec::new();
    let mut rest = source.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        let mut end = at + c.len_utf8();
        let mut take = |rest: &mut std::iter::Peekable<std::str::CharIndices<'_>>, wanted: fn(char) -> bool| {
            while let Some((i, next)) = rest.next_if(|(_, next)| wanted(*next)) {
                end = i + next.len_utf8();
            }
            end
        };
        if c.is_whitespace() {
            continue;
        } else if c.is_alphabetic() || c == '_' {
            let end = take(&mut rest, |c| c.is_alphanumeric() || c == '_');
            out.push((at, Token::Ident(&source[at..end])));
        } else if c.is_ascii_digit() {
            let end = take(&mut rest, |c| c.is_ascii_alphanumeric() || c == '_');
            // `1.5` is one number; `x.1.y` does not come here with its dot.
            if source[end..].starts_with('.') && source[end + 1..].starts_with(|c: char| c.is_ascii_digit()) {
                rest.next();
                while rest.next_if(|(_, c)| c.is_ascii_alphanumeric()).is_some() {}
            }
            out.push((at, Token::Number));
        } else if c == '"' || c == '\'' {
            let mut close = source.len();
            while let Some((i, next)) = rest.next() {
                if next == '\\' {
                    rest.next();
                } else if next == c {
                    close = i;
                    break;
                }
            }
            out.push((at, Token::Text(&source[at + 1..close])));
        } else if c == '=' && rest.next_if(|(_, c)| *c == '=').is_some() {
            out.push((at, Token::Equals));
        } else {
            out.push((at, Token::Sign(c)));
        }
    }
    out
}

/// The names that a bare expression refers to, in the order of the text.
pub fn references(source: &str) -> Vec<Reference> {
    let tokens = tokens(source);
    let token = |i: usize| tokens.get(i).map(|(_, t)| *t);
    let mut out = Vec::new();
    let mut i = 0;
    while let Some(&(offset, current)) = tokens.get(i) {
        i += 1;
        let Token::Ident(name) = current else { continue };
        if name == "is" {
            i += 1 + usize::from(token(i) == Some(Token::Ident("not")));
            continue;
        }
        let before = i.checked_sub(2).and_then(token);
        let of_something = matches!(before, Some(Token::Sign('.' | '|')));
        let of_argument = token(i) == Some(Token::Sign('=')) && matches!(before, Some(Token::Sign('(' | ',')));
        let function = FUNCTIONS.contains(&name) && token(i) == Some(Token::Sign('('));
        if KEYWORDS.contains(&name) || name == "None" || of_something || of_argument || function {
            continue;
        }
        let mut names = vec![name.to_owned()];
        loop {
            if let (Some(Token::Sign('.')), Some(Token::Ident(next))) = (token(i), token(i + 1)) {
                i += 2;
                if token(i) == Some(Token::Sign('(')) {
                    break; // a method of the value, not a name below it
                }
                names.push(next.to_owned());
            } else if let (Some(Token::Sign('[')), Some(Token::Text(next)), Some(Token::Sign(']'))) =
                (token(i), token(i + 1), token(i + 2))
            {
                i += 3;
                names.push(next.to_owned());
            } else {
                break;
            }
        }
        out.push(Reference { names, offset });
    }
    out
}

/// The names that a template refers to; offsets are within the source of each of its expressions or texts.
pub fn template_references(template: &Template) -> Vec<Reference> {
    match template {
        Template::Literal(_) => Vec::new(),
        Template::Expr(expr) => references(&expr.source),
        Template::Text(text) => segments(&text.source)
            .unwrap_or_default()
            .iter()
            .flat_map(|segment| match segment {
                Segment::Text(_) => Vec::new(),
                Segment::Expr { source, offset } => references(source)
                    .into_iter()
                    .map(|r| Reference { offset: r.offset + offset, ..r })
                    .collect::<Vec<_>>(),
            })
            .collect(),
        Template::List(items) => items.iter().flat_map(template_references).collect(),
        Template::Map(entries) => entries.iter().flat_map(|(_, value)| template_references(value)).collect(),
    }
}

/// Refuses a filter that there is not: minijinja would say so only when the expression is evaluated.
pub(super) fn check_filters(source: &str) -> Result<(), ExprError> {
    let tokens = tokens(source);
    for pair in tokens.windows(2) {
        if let [(_, Token::Sign('|')), (offset, Token::Ident(name))] = pair
            && !FILTERS.contains(name)
        {
            let hint = nearest(name, FILTERS).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
            return Err(ExprError::new(format!("there is no filter `{name}`{hint}"), *offset));
        }
    }
    Ok(())
}
