//! `runbook notify …` and `runbook metrics`.

use serde_json::json;

use crate::app::{AppError, Exit, metrics, notify};
use crate::cli::Face;
use crate::cli::args::Notify;
use crate::report::{self, Cell, Column, FORMAT_VERSION, Table};

pub async fn run(face: &Face, command: Notify) -> Result<Exit, AppError> {
    match command {
        Notify::Test => test(face).await,
        Notify::Flush => flush(face).await,
        Notify::List { all } => list(face, all),
    }
}

async fn test(face: &Face) -> Result<Exit, AppError> {
    let tried = notify::test(&face.settings, &face.redactor).await?;
    let failed = tried.iter().filter(|t| t.error.is_some()).count();
    let rows: Vec<_> =
        tried.iter().map(|t| json!({"receiver": t.label, "delivered": t.error.is_none(), "error": t.error})).collect();
    if !face.printer.json(&json!({"format_version": FORMAT_VERSION, "receivers": rows})) {
        for t in &tried {
            let how = t.error.as_ref().map_or("delivered".to_owned(), |error| format!("FAILED: {error}"));
            face.printer.data(&format!("{}: {how}", t.label));
        }
    }
    undelivered(failed, tried.len(), "`notify` in the configuration says where to")
}

async fn flush(face: &Face) -> Result<Exit, AppError> {
    let tried = notify::flush(&face.settings, &face.redactor).await?;
    let failed = tried.iter().filter(|t| t.error.is_some()).count();
    let rows: Vec<_> = tried
        .iter()
        .map(|t| {
            json!({
                "id": t.mail.id(), "receiver": t.mail.label, "event": t.mail.moment,
                "delivered": t.error.is_none(), "error": t.error,
            })
        })
        .collect();
    if !face.printer.json(&json!({"format_version": FORMAT_VERSION, "notifications": rows})) {
        for t in &tried {
            let how = t.error.as_ref().map_or("delivered".to_owned(), |error| format!("FAILED: {error}"));
            face.printer.data(&format!("{} {} to {}: {how}", t.mail.id(), t.mail.moment, t.mail.label));
        }
        if tried.is_empty() {
            face.printer.note("Nothing is pending.");
        }
    }
    undelivered(failed, tried.len(), "`runbook notify list` shows what is pending")
}

fn undelivered(failed: usize, of: usize, hint: &str) -> Result<Exit, AppError> {
    if failed == 0 {
        return Ok(Exit::Done);
    }
    let message = format!("{failed} of {of} could not be delivered");
    Err(AppError::new(Exit::Unreachable, "notify::undelivered", message).hint(hint))
}

fn list(face: &Face, all: bool) -> Result<Exit, AppError> {
    let mut mail = notify::list(&face.settings)?;
    mail.retain(|m| all || m.state.as_str() == "pending");
    let rows: Vec<_> = mail
        .iter()
        .map(|m| {
            json!({
                "id": m.id(), "run": m.run, "receiver": m.label, "event": m.moment, "at": m.at,
                "state": m.state.as_str(), "tries": m.tries, "due": m.due, "error": m.why,
            })
        })
        .collect();
    if face.printer.json(&json!({"format_version": FORMAT_VERSION, "notifications": rows})) {
        return Ok(Exit::Done);
    }
    if mail.is_empty() {
        face.printer.note("Nothing is pending.");
        return Ok(Exit::Done);
    }
    let look = face.printer.look();
    let mut table = Table::new(&[
        Column::new("when"),
        Column::new("run"),
        Column::new("event"),
        Column::new("receiver").flexible(),
        Column::new("state"),
        Column::new("tries").right().expendable(2),
        Column::new("why").flexible().expendable(1),
    ]);
    for m in &mail {
        table.row(vec![
            Cell::new(format!("{} {}", report::date(m.at, look.offset), report::clock(m.at, look.offset))),
            Cell::new(m.run.as_str()),
            Cell::new(m.moment.replace('_', " ")),
            Cell::new(m.label.as_str()),
            Cell::new(m.state.as_str().replace('_', " ")),
            Cell::new(m.tries.to_string()),
            Cell::new(m.why.as_deref().unwrap_or_default()),
        ]);
    }
    face.printer.data(&table.render(look, 0));
    Ok(Exit::Done)
}

/// The same page that is written for node_exporter.
pub fn metrics(face: &Face) -> Result<Exit, AppError> {
    face.printer.data(&metrics::text(&face.settings)?);
    Ok(Exit::Done)
}
