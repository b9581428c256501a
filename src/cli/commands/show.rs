//! `runbook show`: what a runbook would do and what it takes.

use std::collections::BTreeSet;

use crate::app::{AppError, Exit, books};
use crate::cli::Face;
use crate::model::runbook::{Runbook, Step, Verb};
use crate::report::{Cell, Column, FORMAT_VERSION, Table};

pub fn run(face: &Face, name: &str) -> Result<Exit, AppError> {
    let book = books::find(&face.settings, name)?;
    let runbook = &book.runbook;
    if face
        .printer
        .json(&serde_json::json!({"format_version": FORMAT_VERSION, "from": book.source.name, "runbook": runbook}))
    {
        return Ok(Exit::Done);
    }
    let mut text = format!("{}: {}\n", runbook.name, runbook.title.as_deref().unwrap_or("(no title)"));
    if !runbook.aliases.is_empty() {
        text.push_str(&format!("also: {}\n", runbook.aliases.join(", ")));
    }
    text.push_str(&format!("from: {}\n", book.source.name));
    if let Some(description) = &runbook.description {
        text.push_str(&format!("\n{}\n", description.trim_end()));
    }
    text.push_str(&params(runbook, face));
    text.push_str("\nSteps\n");
    let mut listing = Listing { runbook, shown: BTreeSet::new(), text: String::new() };
    listing.steps(&runbook.steps, 1);
    if !runbook.finally.is_empty() {
        listing.text.push_str("Finally, whatever happens\n");
        listing.steps(&runbook.finally, 1);
    }
    text.push_str(&listing.text);
    text.push_str(&format!("\nPlan it: runbook plan {}{}\n", runbook.name, usage(runbook)));
    face.printer.data(&text);
    Ok(Exit::Done)
}

fn params(runbook: &Runbook, face: &Face) -> String {
    if runbook.params.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[
        Column::new("parameter"),
        Column::new("type"),
        Column::new("default"),
        Column::new("").flexible(),
    ]);
    for param in &runbook.params {
        let default = match &param.default {
            Some(value) => crate::app::shown_value(param, value),
            None if param.required => "(required)".into(),
            None => String::new(),
        };
        let help = param.help.clone().unwrap_or_default();
        table.row(vec![Cell::new(&param.name), Cell::new(param.ty.as_str()), Cell::new(default), Cell::new(help)]);
    }
    format!("\n{}", table.render(face.printer.look(), 2))
}

/// Steps as lines, those of what is called under the call.
struct Listing<'r> {
    runbook: &'r Runbook,
    /// Procedures whose steps are there already.
    shown: BTreeSet<&'r str>,
    text: String,
}

impl<'r> Listing<'r> {
    fn steps(&mut self, steps: &'r [Step], depth: usize) {
        for step in steps {
            let what = match &step.verb {
                Verb::Uses { action, .. } => action.clone(),
                Verb::Call { procedure, .. } => procedure.clone(),
                Verb::Confirm(_) => "asks a person".into(),
                Verb::Steps(_) => "one after another".into(),
                Verb::Parallel(_) => "at the same time".into(),
            };
            let mut line = format!("{}: {what}", step.id);
            if let Some(fan) = &step.for_each {
                line.push_str(&format!(", for each of {}", fan.list.source));
            }
            if let Some(when) = &step.when {
                line.push_str(&format!(", when {}", when.source));
            }
            self.line(depth, &line);
            match &step.verb {
                Verb::Steps(inner) | Verb::Parallel(inner) => self.steps(inner, depth + 1),
                Verb::Call { procedure, .. } => self.called(procedure, depth + 1),
                _ => {}
            }
        }
    }

    fn called(&mut self, name: &str, depth: usize) {
        let Some((name, procedure)) = self.runbook.procedures.get_key_value(name) else { return };
        if !self.shown.insert(name) {
            return self.line(depth, "(its steps are above)");
        }
        self.steps(&procedure.steps, depth);
        if !procedure.finally.is_empty() {
            self.line(depth, "finally");
            self.steps(&procedure.finally, depth + 1);
        }
    }

    fn line(&mut self, depth: usize, line: &str) {
        self.text.push_str(&format!("{}{line}\n", "  ".repeat(depth)));
    }
}

/// The positional arguments as a usage line has them.
fn usage(runbook: &Runbook) -> String {
    let mut positional: Vec<_> = runbook.params.iter().filter(|p| p.positional.is_some()).collect();
    positional.sort_by_key(|p| match p.positional {
        Some(crate::model::param::Positional::Nth(n)) => n,
        _ => usize::MAX,
    });
    positional.iter().map(|p| format!(" {}", p.name.to_uppercase())).collect()
}
