//! `runbook show`: what a runbook would do and what it takes.

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
    steps(&runbook.steps, 1, &mut text);
    if !runbook.finally.is_empty() {
        text.push_str("Finally, whatever happens\n");
        steps(&runbook.finally, 1, &mut text);
    }
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

fn steps(steps: &[Step], depth: usize, text: &mut String) {
    for step in steps {
        let what = match &step.verb {
            Verb::Uses { action, .. } => action.clone(),
            Verb::Call { procedure, .. } => procedure.clone(),
            Verb::Confirm(_) => "asks a person".into(),
            Verb::Steps(_) => "one after another".into(),
            Verb::Parallel(_) => "at the same time".into(),
        };
        let mut line = format!("{}{}: {what}", "  ".repeat(depth), step.id);
        if let Some(fan) = &step.for_each {
            line.push_str(&format!(", for each of {}", fan.list.source));
        }
        if let Some(when) = &step.when {
            line.push_str(&format!(", when {}", when.source));
        }
        text.push_str(&line);
        text.push('\n');
        if let Verb::Steps(inner) | Verb::Parallel(inner) = &step.verb {
            self::steps(inner, depth + 1, text);
        }
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
