//! Writing HTML: text is escaped here and nowhere else.

use crate::report::figures::{clock, date};
use crate::report::picture::escape;

/// A page as it grows.
#[derive(Default)]
pub(super) struct Html(String);

impl Html {
    /// Markup of our own, never anything from outside.
    pub fn raw(&mut self, markup: &str) {
        self.0.push_str(markup);
    }

    pub fn open(&mut self, tag: &str) {
        self.0.push_str(&format!("<{tag}>\n"));
    }

    pub fn close(&mut self, tag: &str) {
        self.0.push_str(&format!("</{tag}>\n"));
    }

    pub fn text(&mut self, text: &str) {
        self.0.push_str(&escape(&super::plain(text)));
    }

    /// An element with text in it; `attributes` are our own.
    pub fn element(&mut self, tag: &str, attributes: &str, text: &str) {
        let between = if attributes.is_empty() { "" } else { " " };
        self.0.push_str(&format!("<{tag}{between}{attributes}>"));
        self.text(text);
        self.0.push_str(&format!("</{tag}>"));
        // White space would show in what stands within a line.
        if !matches!(tag, "code" | "span" | "b" | "text" | "title") {
            self.0.push('\n');
        }
    }

    pub fn done(self) -> String {
        self.0
    }
}

/// `2025-11-21 02:13:05`
pub(super) fn when(at: u64, offset: i32) -> String {
    format!("{} {}", date(at, offset), clock(at, offset))
}
