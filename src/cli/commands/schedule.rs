//! `runbook schedule install|list|remove|run`.

use serde_json::json;

use crate::app::planning::{self, Request};
use crate::app::schedule::{self, Asked, Enabled, Listed};
use crate::app::{AppError, Exit};
use crate::cli::Face;
use crate::cli::args::{Answers, Schedule, ScheduleInstall};
use crate::report::{Cell, Column, FORMAT_VERSION, Table, clock, date};

pub async fn run(face: &Face, command: Schedule) -> Result<Exit, AppError> {
    match command {
        Schedule::Install(args) => install(face, args).await,
        Schedule::List => list(face).await,
        Schedule::Remove { name, no_enable, apply } => remove(face, &name, !no_enable, apply).await,
        Schedule::Run { name } => go(face, &name).await,
    }
}

async fn install(face: &Face, args: ScheduleInstall) -> Result<Exit, AppError> {
    let program = std::env::current_exe().map_err(|e| {
        AppError::new(Exit::Configuration, "schedule::program", format!("where this program is cannot be told: {e}"))
    })?;
    let what = args.what;
    let prepared = schedule::prepare(
        &face.settings,
        Asked {
            name: args.called,
            runbook: what.name,
            request: Request { args: what.args, set: what.set, cluster: what.cluster },
            on_calendar: args.on_calendar,
            system: if args.user { Some(false) } else { args.system.then_some(true) },
            program,
        },
    )
    .await?;
    let units: Vec<_> = prepared.units.iter().map(|unit| json!({"path": unit.path, "text": unit.text})).collect();
    let shown = face.printer.json(&json!({
        "format_version": FORMAT_VERSION, "name": prepared.name, "applied": args.apply, "approved": prepared.approved,
        "units": units, "notes": prepared.notes,
    }));
    if !shown {
        let units: Vec<String> =
            prepared.units.iter().map(|unit| format!("{}\n\n{}", unit.path.display(), unit.text)).collect();
        face.printer.data(units.join("\n").trim_end());
    }
    prepared.notes.iter().for_each(|note| face.printer.note(&format!("Note: {note}")));
    let digest = prepared.approved.digest.get(..12).unwrap_or_default();
    if !args.apply {
        face.printer.note(&format!(
            "DRY RUN: nothing was written. With --apply a timer may run {} (as it is now: {digest}) without anybody's yes.",
            schedule::words(&prepared.approved)
        ));
        return Ok(Exit::Done);
    }
    let enabled = schedule::install(&face.settings, &prepared, !args.no_enable).await?;
    face.printer.note(&match enabled {
        Enabled::Yes => format!("Approved and scheduled: {}. `runbook schedule list` says when next.", prepared.name),
        Enabled::No(lines) => {
            format!(
                "Approved and written: {}. To start it where systemd runs:\n  {}",
                prepared.name,
                lines.join("\n  ")
            )
        }
    });
    Ok(Exit::Done)
}

fn row(listed: &Listed) -> serde_json::Value {
    json!({
        "name": listed.name, "runs": schedule::words(&listed.approved), "on_calendar": listed.approved.on_calendar,
        "system": listed.approved.system, "by": listed.by, "since": listed.since, "next": listed.next,
        "last": listed.last.as_ref().map(|run| json!({"run": run.id, "status": run.state(), "at": run.created})),
        "approval": listed.refused.is_none(), "refused": listed.refused,
    })
}

async fn list(face: &Face) -> Result<Exit, AppError> {
    let all = schedule::list(&face.settings).await?;
    let rows: Vec<_> = all.iter().map(row).collect();
    if face.printer.json(&json!({"format_version": FORMAT_VERSION, "schedules": rows})) {
        return Ok(Exit::Done);
    }
    if all.is_empty() {
        face.printer.note("Nothing is scheduled.");
        return Ok(Exit::Done);
    }
    let look = face.printer.look();
    let mut table = Table::new(&[
        Column::new("schedule"),
        Column::new("when"),
        Column::new("next"),
        Column::new("last run").flexible(),
        Column::new("approval").flexible(),
    ]);
    for one in &all {
        let last = one.last.as_ref().map_or_else(
            || "none yet".to_owned(),
            |run| {
                let at = format!("{} {}", date(run.created, look.offset), clock(run.created, look.offset));
                format!("{} {at}", run.state().replace('_', " "))
            },
        );
        table.row(vec![
            Cell::new(&one.name),
            Cell::new(&one.approved.on_calendar),
            Cell::new(one.next.as_deref().unwrap_or("not known")),
            Cell::new(last),
            Cell::new(one.refused.as_deref().unwrap_or("holds")),
        ]);
    }
    face.printer.data(&table.render(look, 0));
    Ok(Exit::Done)
}

async fn remove(face: &Face, name: &str, enable: bool, apply: bool) -> Result<Exit, AppError> {
    let approved = schedule::find(&face.settings, name)?;
    if !apply {
        let paths = schedule::paths(&approved.folder, name).map(|path| path.display().to_string());
        face.printer.data(&paths.join("\n"));
        face.printer.note("DRY RUN: nothing was removed. With --apply these go, and so does the approval.");
        return Ok(Exit::Done);
    }
    let gone = schedule::remove(&face.settings, name, enable).await?;
    face.printer.json(&json!({"format_version": FORMAT_VERSION, "name": name, "removed": gone}));
    face.printer.note(&format!("{name} is no longer scheduled, and its approval is taken back."));
    Ok(Exit::Done)
}

/// By a timer: nobody is asked, since it was approved; whatever else would be asked is a no.
async fn go(face: &Face, name: &str) -> Result<Exit, AppError> {
    let approved = schedule::find(&face.settings, name)?;
    let book = schedule::approved_book(&face.settings, &approved)?;
    let request = approved.request();
    planning::bind(&book.runbook, &request)?;
    let site = super::open(face, &book.runbook).await?;
    let plan = planning::plan(&site, &book, &request).await?;
    if plan.failure.is_none() {
        schedule::covers(&plan)?;
    }
    let answers = Answers { yes: true, auto_expand: true, ..Answers::default() };
    super::apply::carry_out(face, &site, plan, answers, super::apply::inject(&Answers::default())?).await
}
