//! An event a line, as JSON, for programs that follow a run.

use std::io::Write;

use serde::Serialize;

use super::FORMAT_VERSION;
use crate::engine::ports::Observer;
use crate::event::{Body, Event};

#[derive(Serialize)]
struct Line<'a> {
    format_version: &'static str,
    seq: u64,
    /// Milliseconds since 1970.
    at: u64,
    actor: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    body: &'a Body,
}

/// Writes one line for each event.
pub struct JsonLines<W> {
    out: W,
}

impl<W: Write + Send> JsonLines<W> {
    pub fn new(out: W) -> Self {
        Self { out }
    }

    pub fn into_inner(self) -> W {
        self.out
    }
}

impl<W: Write + Send> Observer for JsonLines<W> {
    fn see(&mut self, event: &Event) {
        let Event { seq, at, actor, body } = event;
        let path = event.path().map(|p| p.as_str());
        let line = Line { format_version: FORMAT_VERSION, seq: *seq, at: *at, actor, path, body };
        if let Ok(text) = serde_json::to_string(&line) {
            // Whoever reads has gone away: the run goes on, and the journal has it all.
            let _ = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
        }
    }
}
