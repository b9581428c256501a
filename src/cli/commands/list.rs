//! `runbook list`.

use crate::app::books;
use crate::app::{AppError, Exit};
use crate::cli::Face;
use crate::cli::args::Output;
use crate::report::{Cell, Column, FORMAT_VERSION, Table};

pub fn run(face: &Face) -> Result<Exit, AppError> {
    let listed = books::list(&face.settings);
    let rows: Vec<_> = listed
        .iter()
        .map(|b| {
            serde_json::json!({
                "name": b.name, "aliases": b.aliases, "title": b.title, "from": b.from, "problems": b.problems,
            })
        })
        .collect();
    if face.printer.json(&serde_json::json!({"format_version": FORMAT_VERSION, "runbooks": rows})) {
        return Ok(Exit::Done);
    }
    if face.printer.output == Output::Name {
        let names: Vec<&str> = listed.iter().map(|b| b.name.as_str()).collect();
        face.printer.data(&names.join("\n"));
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&[
        Column::new("runbook"),
        Column::new("also"),
        Column::new("what it does").flexible(),
        Column::new("from").expendable(1),
    ]);
    for book in &listed {
        let title = match book.problems {
            0 => book.title.clone(),
            1 => format!("1 problem: runbook lint {}", book.name),
            n => format!("{n} problems: runbook lint {}", book.name),
        };
        table.row(vec![
            Cell::new(&book.name),
            Cell::new(book.aliases.join(", ")),
            Cell::new(title),
            Cell::new(&book.from),
        ]);
    }
    face.printer.data(&table.render(face.printer.look(), 0));
    Ok(Exit::Done)
}
