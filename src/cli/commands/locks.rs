//! `runbook lock list` and `lock break`; `runbook freeze` and `unfreeze`.

use serde_json::json;

use crate::app::locks::Held;
use crate::app::{AppError, Exit, freeze, locks};
use crate::cli::args::{Freeze, Lock, LockBreak};
use crate::cli::{Face, ask};
use crate::report::{Cell, Column, FORMAT_VERSION, Table, clock, date};

pub fn run(face: &Face, command: Lock) -> Result<Exit, AppError> {
    match command {
        Lock::List => list(face),
        Lock::Break(args) => break_lock(face, &args),
    }
}

fn list(face: &Face) -> Result<Exit, AppError> {
    let held = locks::list(&face.settings)?;
    let runbook = |h: &Held| h.lock.header.as_ref().map(|header| header.runbook.clone());
    let rows = held.iter().map(|h| {
        json!({
            "name": h.lock.name, "run": h.lock.run, "runbook": runbook(h), "since": h.lock.since, "by": h.lock.by,
            "status": h.state(), "next": h.next(),
        })
    });
    if face.printer.json(&json!({"format_version": FORMAT_VERSION, "locks": rows.collect::<Vec<_>>()})) {
        return Ok(Exit::Done);
    }
    let look = face.printer.look();
    let mut table = Table::new(&[
        Column::new("lock"),
        Column::new("run"),
        Column::new("runbook").flexible().expendable(1),
        Column::new("since"),
        Column::new("by").flexible().expendable(2),
        Column::new("state"),
        Column::new("to go on"),
    ]);
    for h in &held {
        table.row(vec![
            Cell::new(&h.lock.name),
            Cell::new(&h.short),
            Cell::new(runbook(h).unwrap_or_default()),
            Cell::new(format!("{} {}", date(h.lock.since, look.offset), clock(h.lock.since, look.offset))),
            Cell::new(&h.lock.by),
            Cell::new(h.state().replace('_', " ")),
            Cell::new(h.next()),
        ]);
    }
    if table.is_empty() {
        face.printer.note("No lock is held.");
    } else {
        face.printer.data(&table.render(look, 0));
    }
    Ok(Exit::Done)
}

fn break_lock(face: &Face, args: &LockBreak) -> Result<Exit, AppError> {
    let held = locks::find(&face.settings, &args.name)?;
    let name = &held.lock.name;
    let of = held.lock.header.as_ref().map(|h| format!(" ({})", h.runbook)).unwrap_or_default();
    face.printer.note(&format!("The lock {name} is run {}{of}'s, which is {}.", held.short, held.state()));
    if !args.yes {
        if !ask::at_terminal() {
            let message = "nobody has said yes, and there is no terminal to ask at";
            return Err(AppError::new(Exit::Gate, "lock::unconfirmed", message)
                .hint(format!("`{}` goes on with the run instead; --yes breaks the lock", held.next())));
        }
        if !ask::yes("What the run has left half-way stays so. Break the lock?") {
            face.printer.note("Nothing was changed.");
            return Ok(Exit::Gate);
        }
    }
    let broken = locks::break_lock(&face.settings, name, &args.reason)?;
    face.printer.json(&json!({"format_version": FORMAT_VERSION, "name": broken.name, "run": broken.run}));
    face.printer.note(&format!("The lock {name} is free. Run {} must get it back before it goes on.", held.short));
    Ok(Exit::Done)
}

pub fn freeze(face: &Face, args: &Freeze) -> Result<Exit, AppError> {
    let site = freeze::freeze(&face.settings, &args.reason)?;
    face.printer.json(&json!({"format_version": FORMAT_VERSION, "site": site, "reason": args.reason}));
    face.printer.note(&format!(
        "Site {site} is frozen: runs that change something neither start nor go on. One that is under way goes to its end."
    ));
    Ok(Exit::Done)
}

pub fn unfreeze(face: &Face) -> Result<Exit, AppError> {
    let ended = freeze::unfreeze(&face.settings)?;
    face.printer.json(&json!({"format_version": FORMAT_VERSION, "site": ended.site}));
    face.printer.note(&format!("Site {} is no longer frozen; it was by {}: {}", ended.site, ended.by, ended.reason));
    Ok(Exit::Done)
}
