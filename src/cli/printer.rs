//! The only way to the terminal. Data goes to stdout, everything else to stderr; all of it passes the redactor.

use std::io::{IsTerminal, Write};

use serde::Serialize;

use super::args::{Global, Output, When};
use super::diagnostic;
use crate::app::AppError;
use crate::app::redact::{RedactingWriter, Redactor};
use crate::report::{Look, Style};

#[derive(Clone)]
pub struct Printer {
    pub output: Output,
    out: Look,
    err: Look,
    redactor: Redactor,
}

impl Printer {
    pub fn new(global: &Global, redactor: Redactor) -> Self {
        let offset = crate::app::utc_offset();
        let look = |terminal: bool| {
            let style = Style { color: color(global.color, terminal), unicode: unicode() };
            Look { style, width: width(terminal), offset }
        };
        let (out, err) = (look(std::io::stdout().is_terminal()), look(std::io::stderr().is_terminal()));
        Self { output: global.output, out, err, redactor }
    }

    /// How stdout looks.
    pub fn look(&self) -> &Look {
        &self.out
    }

    /// The same without an end of the line: nothing is cut or left out.
    pub fn wide_look(&self) -> Look {
        Look { width: usize::MAX / 2, ..self.out }
    }

    /// How stderr looks.
    pub fn err_look(&self) -> &Look {
        &self.err
    }

    /// Data.
    pub fn data(&self, text: &str) {
        let text = self.redactor.redact(text);
        let mut out = std::io::stdout().lock();
        let ended = if text.ends_with('\n') { "" } else { "\n" };
        // A reader that has gone (`| head`) has seen what it wanted.
        let _ = write!(out, "{text}{ended}").and_then(|()| out.flush());
    }

    /// Data that is too much to be held in one piece.
    pub fn stream(&self, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) {
        let out = RedactingWriter::new(self.redactor.clone(), std::io::stdout().lock());
        let mut out = std::io::BufWriter::with_capacity(64 << 10, out);
        // A reader that has gone (`| head`) has seen what it wanted.
        let _ = write(&mut out).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    }

    /// Data as JSON, in the shape that `-o` asks for; `false`: it asks for text.
    pub fn json(&self, value: &impl Serialize) -> bool {
        match self.output {
            Output::Json => self.data(&serde_json::to_string_pretty(value).unwrap_or_default()),
            Output::Jsonl => self.data(&serde_json::to_string(value).unwrap_or_default()),
            // Every JSON text is a YAML text.
            Output::Yaml => self.data(&crate::app::to_yaml(value)),
            _ => return false,
        }
        true
    }

    /// Whatever is not data.
    pub fn note(&self, text: &str) {
        let text = self.redactor.redact(text);
        let mut err = std::io::stderr().lock();
        let ended = if text.ends_with('\n') { "" } else { "\n" };
        let _ = write!(err, "{text}{ended}").and_then(|()| err.flush());
    }

    /// An error, with places and hint; as JSON too where that is asked for.
    pub fn error(&self, error: &AppError) {
        if matches!(self.output, Output::Json | Output::Jsonl) {
            self.json(&serde_json::json!({
                "format_version": crate::report::FORMAT_VERSION,
                "error": {
                    "code": error.code,
                    "exit": error.exit as u8,
                    "message": error.message,
                    "details": error.details,
                    "hint": error.hint,
                },
            }));
        }
        self.note(&diagnostic::render(error, &self.err));
    }
}

fn color(when: When, terminal: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    match when {
        When::Always => true,
        When::Never => false,
        When::Auto => terminal && !set("NO_COLOR") && std::env::var("TERM").is_ok_and(|term| term != "dumb"),
    }
}

fn unicode() -> bool {
    let locale =
        ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    locale.is_none_or(|locale| {
        let upper = locale.to_uppercase();
        upper.contains("UTF-8") || upper.contains("UTF8") || !(upper == "C" || upper == "POSIX")
    })
}

/// Columns; off a terminal a width that tables read well at.
fn width(terminal: bool) -> usize {
    let given = std::env::var("COLUMNS").ok().and_then(|v| v.parse().ok()).filter(|n| *n >= 20);
    let asked = terminal.then(crate::app::terminal_width).flatten();
    given.or(asked).unwrap_or(if terminal { 80 } else { 120 })
}
