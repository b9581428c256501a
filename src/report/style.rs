//! Colours and signs. Meaning never hangs on a colour alone: each coloured thing has a sign or a word too.

use crate::event::Outcome;
use crate::model::plan::Change;

/// What the terminal (or file) can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    pub color: bool,
    pub unicode: bool,
}

/// Everything that decides how a text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    pub style: Style,
    /// Columns of the terminal.
    pub width: usize,
    /// Seconds east of Greenwich, for times of day.
    pub offset: i32,
}

impl Default for Look {
    fn default() -> Self {
        Self { style: Style::default(), width: 80, offset: 0 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ink {
    #[default]
    Plain,
    Bold,
    Dim,
    Good,
    Warn,
    Bad,
    Info,
}

impl Style {
    pub(super) fn paint(self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Plain => "",
            Ink::Bold => "1",
            Ink::Dim => "2",
            Ink::Good => "32",
            Ink::Warn => "33",
            Ink::Bad => "31",
            Ink::Info => "36",
        };
        if !self.color || code.is_empty() || text.is_empty() {
            return text.to_owned();
        }
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    pub(super) fn pick(self, unicode: &'static str, ascii: &'static str) -> &'static str {
        if self.unicode { unicode } else { ascii }
    }

    pub(super) fn arrow(self) -> &'static str {
        self.pick("→", "->")
    }

    /// A horizontal bar of `width` columns, filled up to `share` (0 to 1).
    pub(super) fn bar(self, share: f64, width: usize) -> String {
        let full = (share.clamp(0.0, 1.0) * width as f64).round() as usize;
        self.pick("█", "#").repeat(full) + &self.pick("░", ".").repeat(width - full)
    }
}

/// The sign of a planned change, in Terraform's manner.
pub(super) fn symbol(change: Change) -> (&'static str, Ink) {
    match change {
        Change::Create => ("+", Ink::Good),
        Change::Change => ("~", Ink::Warn),
        Change::Destroy => ("-", Ink::Bad),
        Change::Disrupt => ("!", Ink::Bad),
        Change::None => ("=", Ink::Dim),
        Change::Read => ("<=", Ink::Info),
        Change::Unknown => ("?", Ink::Info),
    }
}

/// The sign of what became of a step.
pub(super) fn mark(outcome: &Outcome, style: Style) -> (&'static str, Ink) {
    match outcome {
        Outcome::Ok => (style.pick("✓", "ok"), Ink::Good),
        Outcome::Unchanged => ("=", Ink::Dim),
        Outcome::Skipped(_) => (style.pick("·", "."), Ink::Dim),
        Outcome::NotRun(_) | Outcome::Pending => (style.pick("○", "o"), Ink::Dim),
        Outcome::Failed(_) => (style.pick("✗", "x"), Ink::Bad),
        Outcome::InDoubt(_) | Outcome::Waiting => ("?", Ink::Warn),
        Outcome::Running | Outcome::Retrying => (style.pick("▶", ">"), Ink::Info),
        Outcome::Cancelled => (style.pick("■", "#"), Ink::Warn),
    }
}
