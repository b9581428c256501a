//! `runbook runs prune`: shows what would go; `--apply` deletes it.

use serde_json::json;

use crate::app::retention::{self, OldRun};
use crate::app::{AppError, Exit};
use crate::cli::Face;
use crate::cli::args::Prune;
use crate::report::{Cell, Column, FORMAT_VERSION, Table, bytes, clock, date};

pub fn run(face: &Face, args: &Prune) -> Result<Exit, AppError> {
    let old = retention::old_runs(&face.settings, retention::rule(args.older_than, args.keep))?;
    let going = if args.apply {
        retention::prune(&face.settings, &old)?
    } else {
        old.iter().filter(|o| o.stays.is_none()).cloned().collect()
    };
    let total: u64 = going.iter().map(|o| o.bytes).sum();
    let staying: Vec<_> = old.iter().filter(|o| o.stays.is_some()).collect();
    let row = |o: &OldRun| {
        json!({
            "run": o.header.id, "runbook": o.header.runbook, "status": o.header.state(),
            "updated": o.header.updated, "bytes": o.bytes, "stays": o.stays,
        })
    };
    if face.printer.json(&json!({
        "format_version": FORMAT_VERSION, "applied": args.apply, "bytes": total,
        "runs": going.iter().map(row).collect::<Vec<_>>(),
        "stay": staying.iter().map(|o| row(o)).collect::<Vec<_>>(),
    })) {
        return Ok(Exit::Done);
    }
    let look = face.printer.look();
    let mut table = Table::new(&[
        Column::new("run"),
        Column::new("runbook").flexible(),
        Column::new("state"),
        Column::new("last event"),
        Column::new("size").right(),
    ]);
    for o in &going {
        table.row(vec![
            Cell::new(o.header.id.as_str()),
            Cell::new(&o.header.runbook),
            Cell::new(o.header.state().replace('_', " ")),
            Cell::new(format!("{} {}", date(o.header.updated, look.offset), clock(o.header.updated, look.offset))),
            Cell::new(bytes(o.bytes)),
        ]);
    }
    if !table.is_empty() {
        face.printer.data(&table.render(look, 0));
    }
    for o in staying {
        let why = o.stays.unwrap_or_default();
        face.printer.note(&format!("Run {} ({}) is old and stays: {why}.", o.header.id, o.header.runbook));
    }
    let runs = if going.len() == 1 { "1 run".to_owned() } else { format!("{} runs", going.len()) };
    face.printer.note(&match (going.is_empty(), args.apply) {
        (true, _) => "Nothing to delete.".to_owned(),
        (false, true) => format!("Deleted {runs}, {}.", bytes(total)),
        (false, false) => {
            format!("DRY RUN: nothing was deleted. {runs}, {} would be; add --apply to do it.", bytes(total))
        }
    });
    Ok(Exit::Done)
}
