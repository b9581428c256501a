//! Errors on the terminal: the one file that names miette.

use std::fmt;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, Severity as Level, SourceCode};

use crate::app::AppError;
use crate::load::diagnostic::{Diagnostic, Severity, Source, Span};
use crate::report::Look;

/// An error with its places and its hint, as text.
pub fn render(error: &AppError, look: &Look) -> String {
    let mut out = String::new();
    for (source, diagnostic) in &error.diagnostics {
        out.push_str(&place(source, diagnostic, look));
    }
    let color = look.style.color;
    let (red, dim, reset) = if color { ("\x1b[1;31m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
    out.push_str(&format!("{red}error{reset}: {} {dim}[{}]{reset}\n", error.message, error.code));
    for line in &error.details {
        out.push_str(&format!("  {line}\n"));
    }
    if let Some(hint) = &error.hint {
        out.push_str(&format!("  hint: {hint}\n"));
    }
    out
}

/// One problem with the line that it stands in.
pub fn place(source: &Source, diagnostic: &Diagnostic, look: &Look) -> String {
    let theme = match (look.style.unicode, look.style.color) {
        (true, true) => GraphicalTheme::unicode(),
        (true, false) => GraphicalTheme::unicode_nocolor(),
        (false, true) => GraphicalTheme { characters: miette::ThemeCharacters::ascii(), ..GraphicalTheme::unicode() },
        (false, false) => GraphicalTheme::none(),
    };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(look.width.clamp(40, 200)).with_links(false);
    let shown = Shown { text: NamedSource::new(&source.name, source.text.clone()), diagnostic };
    let mut out = String::new();
    // The line may hold a secret that was pasted where a reference belongs.
    if diagnostic.conceal {
        return format!("{}\n", diagnostic.plain(source));
    }
    if handler.render_report(&mut out, &shown).is_err() {
        out = diagnostic.plain(source);
    }
    out
}

#[derive(Debug)]
struct Shown<'a> {
    text: NamedSource<String>,
    diagnostic: &'a Diagnostic,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.diagnostic.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl miette::Diagnostic for Shown<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        // The word and not only a colour or a sign: what is read aloud or searched for has it too.
        Some(Box::new(format!("{} {}", self.diagnostic.severity.as_str(), self.diagnostic.code)))
    }

    fn severity(&self) -> Option<Level> {
        Some(match self.diagnostic.severity {
            Severity::Error => Level::Error,
            Severity::Warning => Level::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.diagnostic.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.text)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = |span: &Span, text: Option<String>| LabeledSpan::new(text, span.offset, span.len.max(1));
        // The place in the headline is the problem's own, not that of whatever label comes first in the file.
        let (span, text) = (&self.diagnostic.span, None);
        let first = std::iter::once(LabeledSpan::new_primary_with_span(text, (span.offset, span.len.max(1))));
        Some(Box::new(
            first.chain(self.diagnostic.labels.iter().map(move |(span, text)| label(span, Some(text.clone())))),
        ))
    }
}
