//! What is wrong with a file, as plain data with a place. Drawing it is the command line's affair.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::model::runbook::Place;

/// A text and the name under which messages show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub name: String,
    pub text: String,
    /// The offset of each line, so that a place is found without reading the text again.
    lines: Vec<usize>,
}

impl Source {
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { name: name.into(), text, lines }
    }

    /// The file's name without folders and extension.
    pub fn stem(&self) -> &str {
        let file = self.name.rsplit('/').next().unwrap_or(&self.name);
        file.rsplit_once('.').map_or(file, |(stem, _)| stem)
    }

    fn line_start(&self, line: u32) -> usize {
        self.lines.get(line.saturating_sub(1) as usize).copied().unwrap_or(self.text.len())
    }

    /// The text of a line, counted from 1, without its end.
    pub fn line(&self, line: u32) -> &str {
        self.text[self.line_start(line)..].lines().next().unwrap_or_default()
    }

    /// The span of `len` bytes at an offset.
    pub fn span_at(&self, offset: usize, len: usize) -> Span {
        let offset = (0..=offset.min(self.text.len())).rev().find(|i| self.text.is_char_boundary(*i)).unwrap_or(0);
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines[line.max(1) - 1];
        Span { line: line as u32, column: self.text[start..offset].chars().count() as u32 + 1, offset, len }
    }

    /// The span of `len` bytes at a line and column.
    pub fn span_of(&self, place: Place, len: usize) -> Span {
        let start = self.line_start(place.line);
        let column: usize =
            self.text[start..].chars().take(place.column.saturating_sub(1) as usize).map(char::len_utf8).sum();
        Span { line: place.line, column: place.column, offset: start + column, len }
    }
}

/// A stretch of a source. Line and column count from 1 and in characters, offset and length in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Span {
    pub line: u32,
    pub column: u32,
    pub offset: usize,
    pub len: usize,
}

impl Span {
    pub fn place(self) -> Place {
        Place { line: self.line, column: self.column }
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    Warning,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing to say about one place of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    pub severity: Severity,
    /// Stable, from [`code`].
    pub code: &'static str,
    /// What is there and what was expected.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// The source's name.
    pub file: String,
    pub span: Span,
    /// Other places that matter, and why.
    pub labels: Vec<(Span, String)>,
    /// The source line may hold a secret: do not show it.
    pub conceal: bool,
}

impl Diagnostic {
    pub fn help(&mut self, text: impl Into<String>) -> &mut Self {
        self.help = Some(text.into());
        self
    }

    pub fn label(&mut self, span: Span, text: impl Into<String>) -> &mut Self {
        self.labels.push((span, text.into()));
        self
    }

    /// `did you mean …?` where something is near.
    pub fn suggest(&mut self, near: Option<String>) -> &mut Self {
        if let Some(near) = near {
            self.help = Some(format!("did you mean `{near}`?"));
        }
        self
    }

    /// As plain text with the source line under it: for logs, tests and places without a terminal.
    pub fn plain(&self, source: &Source) -> String {
        let mut out = String::new();
        let Span { line, column, .. } = self.span;
        let _ =
            writeln!(out, "{} {} {}:{line}:{column}: {}", self.severity.as_str(), self.code, self.file, self.message);
        if !self.conceal {
            excerpt(&mut out, source, self.span, "");
        }
        for (span, text) in &self.labels {
            excerpt(&mut out, source, *span, text);
        }
        if let Some(help) = &self.help {
            let _ = writeln!(out, "  help: {help}");
        }
        out
    }
}

fn excerpt(out: &mut String, source: &Source, span: Span, text: &str) {
    let line = source.line(span.line);
    let before = span.column.saturating_sub(1) as usize;
    let end = (span.offset + span.len).min(source.text.len());
    let marked = source.text.get(span.offset..end).and_then(|t| t.lines().next()).map_or(1, |t| t.chars().count());
    let _ = writeln!(out, "{:>4} | {line}", span.line);
    let marks = format!("{}{} {text}", " ".repeat(before), "^".repeat(marked.max(1)));
    let _ = writeln!(out, "     | {}", marks.trim_end());
}

/// Everything that there is to say about a runbook and what it calls.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Findings {
    /// Those of the file itself first, then those of each file that it calls, in the order of the file. What is called
    /// is there with its errors only.
    pub diagnostics: Vec<Diagnostic>,
    /// The files that were read; the first one is the runbook itself.
    pub sources: Vec<Source>,
}

impl Findings {
    pub fn is_broken(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }

    /// The file that a diagnostic is about.
    pub fn source_of(&self, diagnostic: &Diagnostic) -> Option<&Source> {
        self.sources.iter().find(|source| source.name == diagnostic.file)
    }
}

/// The stable codes of diagnostics.
pub mod code {
    /// The text is not YAML.
    pub const SYNTAX: &str = "RB001";
    pub const DUPLICATE_KEY: &str = "RB002";
    /// A part of YAML that is not taken: tags, merge keys, several documents, bombs.
    pub const NOT_TAKEN: &str = "RB003";
    /// `yes`, `no`, `on`, `off`.
    pub const OLD_BOOL: &str = "RB004";
    /// A leading zero, a version as a float.
    pub const NUMBER_SPELLING: &str = "RB005";
    pub const UNKNOWN_KEY: &str = "RB006";
    pub const MISSING_KEY: &str = "RB007";
    pub const WRONG_VALUE: &str = "RB008";
    /// None of the verbs, or several.
    pub const VERB: &str = "RB010";
    /// A modifier that its step cannot have.
    pub const MODIFIER: &str = "RB011";
    pub const ID: &str = "RB012";
    pub const NEEDS: &str = "RB013";
    pub const CYCLE: &str = "RB014";
    pub const UNKNOWN_ACTION: &str = "RB015";
    /// A parameter that the action does not have, or needs.
    pub const ACTION_PARAM: &str = "RB016";
    pub const ACTION_VALUE: &str = "RB017";
    pub const EFFECT: &str = "RB018";
    pub const RETRY: &str = "RB019";
    pub const EXPRESSION: &str = "RB020";
    pub const UNKNOWN_NAME: &str = "RB021";
    pub const NOT_ANCESTOR: &str = "RB022";
    pub const UNKNOWN_OUTPUT: &str = "RB023";
    /// `{{ }}` inside a script.
    pub const SCRIPT: &str = "RB024";
    /// Braces round an expression that is taken bare.
    pub const BRACES: &str = "RB025";
    pub const PARAM: &str = "RB026";
    /// The runbook's name is not its file's.
    pub const NAME: &str = "RB027";
    pub const ROLLBACK: &str = "RB028";
    /// Procedures or runbooks that call each other without an end.
    pub const RECURSION: &str = "RB029";
    /// A called runbook works on something else than its caller.
    pub const TARGET: &str = "RB030";
    /// Configuration: two things claim the same name, number or address.
    pub const CLASH: &str = "RB050";
    /// Configuration: outside its range, or a count that does not fit.
    pub const RANGE: &str = "RB051";
    /// Configuration: names something that there is not.
    pub const NOT_THERE: &str = "RB052";
}
