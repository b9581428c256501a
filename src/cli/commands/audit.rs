//! `runbook audit verify` and `audit log`.

use serde_json::json;

use crate::app::audit::{self, Line, Verification, Verified};
use crate::app::{AppError, Exit};
use crate::cli::Face;
use crate::cli::args::Audit;
use crate::report::{Cell, Column, FORMAT_VERSION, Table, clock, date};

pub fn run(face: &Face, command: Audit) -> Result<Exit, AppError> {
    match command {
        Audit::Verify { runs } => verify(face, &runs),
        Audit::Log { limit } => log(face, limit),
    }
}

fn verify(face: &Face, asked: &[String]) -> Result<Exit, AppError> {
    let found = audit::verify(&face.settings, asked)?;
    if !face.printer.json(&as_json(&found)) {
        let mut table = Table::new(&[
            Column::new("run"),
            Column::new("runbook").flexible(),
            Column::new("events").right(),
            Column::new("head").expendable(1),
            Column::new(""),
        ]);
        for run in &found.runs {
            table.row(row(run));
        }
        let mut text = if table.is_empty() { "no runs\n".to_owned() } else { table.render(face.printer.look(), 0) };
        for run in &found.runs {
            if let Err(broken) = &run.found {
                let at = broken.seq.map(|seq| format!(", event {seq}")).unwrap_or_default();
                text.push_str(&format!("BROKEN run {}{at}: {}\n", run.short, broken.why));
            }
        }
        for damage in &found.damage {
            text.push_str(&format!("BROKEN file: {damage}\n"));
        }
        if let Err(why) = &found.acts {
            text.push_str(&format!("BROKEN {why}\n"));
        }
        face.printer.data(&text);
    }
    if found.is_whole() {
        return Ok(Exit::Done);
    }
    face.printer.note(
        "The journal is not as it was written. Keep it as it is, and restore a copy: docs/how-to/keep-the-journal.md",
    );
    Ok(Exit::Failed)
}

fn row(run: &Verified) -> Vec<Cell> {
    let (head, verdict) = match &run.found {
        Ok(chain) if run.newer => (&chain.head[..12], "ok, as far as this version knows"),
        Ok(chain) => (&chain.head[..12], "ok"),
        Err(_) => ("", "BROKEN"),
    };
    vec![
        Cell::new(&run.short),
        Cell::new(&run.header.runbook),
        Cell::new(run.header.events.to_string()),
        Cell::new(head),
        Cell::new(verdict),
    ]
}

fn as_json(found: &Verification) -> serde_json::Value {
    let runs = found.runs.iter().map(|run| {
        let chain = run.found.as_ref().ok();
        let broken = run.found.as_ref().err();
        json!({
            "run": run.header.id, "runbook": run.header.runbook, "ok": chain.is_some(), "newer": run.newer,
            "events": run.header.events, "head": chain.map(|c| &c.head),
            "broken": broken.map(|b| json!({"seq": b.seq, "kind": b.kind, "why": b.why})),
        })
    });
    json!({
        "format_version": FORMAT_VERSION,
        "ok": found.is_whole(),
        "runs": runs.collect::<Vec<_>>(),
        "damage": found.damage,
        "audit": {"ok": found.acts.is_ok(), "records": found.acts.as_ref().ok(), "why": found.acts.as_ref().err()},
    })
}

fn log(face: &Face, limit: usize) -> Result<Exit, AppError> {
    let lines = audit::log(&face.settings)?;
    let shown = &lines[lines.len().saturating_sub(limit)..];
    let of = |line: &Line| {
        json!({
            "at": line.at, "actor": line.actor, "kind": line.kind, "subject": line.subject, "what": line.what,
        })
    };
    let rows: Vec<_> = shown.iter().map(of).collect();
    if face.printer.json(&json!({"format_version": FORMAT_VERSION, "acts": rows})) {
        return Ok(Exit::Done);
    }
    let look = face.printer.look();
    let mut table = Table::new(&[
        Column::new("when"),
        Column::new("who").flexible(),
        Column::new("on").flexible().expendable(1),
        Column::new("what").flexible(),
    ]);
    for line in shown {
        table.row(vec![
            Cell::new(format!("{} {}", date(line.at, look.offset), clock(line.at, look.offset))),
            Cell::new(&line.actor),
            Cell::new(&line.subject),
            Cell::new(&line.what),
        ]);
    }
    face.printer.data(&if table.is_empty() { "nothing yet\n".into() } else { table.render(look, 0) });
    Ok(Exit::Done)
}
