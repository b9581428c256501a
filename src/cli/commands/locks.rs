//! `runbook lock list` and `lock break`; `runbook freeze` and `unfreeze`.

use serde_json::json;

use crate::app::locks::{AtSite, Held};
use crate::app::{AppError, Exit, freeze, locks};
use crate::cli::args::{Freeze, Lock, LockBreak};
use crate::cli::{Face, ask};
use crate::report::{Cell, Column, FORMAT_VERSION, Table, clock, date};

pub async fn run(face: &Face, command: Lock) -> Result<Exit, AppError> {
    match command {
        Lock::List => list(face).await,
        Lock::Break(args) => break_lock(face, &args).await,
    }
}

/// What the site says; a site that does not answer hides nothing of what is known here.
async fn at_site(face: &Face) -> Option<AtSite> {
    let asked = locks::at_site(&face.settings, &face.redactor).await;
    asked.unwrap_or_else(|error| {
        face.printer.note(&format!("The site could not be asked for its lock: {error}"));
        None
    })
}

async fn list(face: &Face) -> Result<Exit, AppError> {
    let held = locks::list(&face.settings)?;
    let at_site = at_site(face).await.and_then(|at| at.holder);
    // The site's own belongs to a run of this journal as a rule.
    let others = at_site.filter(|holder| held.iter().all(|h| !holder.contains(h.lock.run.as_str())));
    let runbook = |h: &Held| h.lock.header.as_ref().map(|header| header.runbook.clone());
    let rows = held.iter().map(|h| {
        json!({
            "name": h.lock.name, "run": h.lock.run, "runbook": runbook(h), "since": h.lock.since, "by": h.lock.by,
            "status": h.state(), "next": h.next(),
        })
    });
    if face
        .printer
        .json(&json!({"format_version": FORMAT_VERSION, "locks": rows.collect::<Vec<_>>(), "at_site": others}))
    {
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
    if let Some(holder) = &others {
        face.printer.data(&format!("At the site, held from elsewhere: {holder}"));
    }
    if table.is_empty() && others.is_none() {
        face.printer.note("No lock is held.");
    } else if !table.is_empty() {
        face.printer.data(&table.render(look, 0));
    }
    Ok(Exit::Done)
}

async fn break_lock(face: &Face, args: &LockBreak) -> Result<Exit, AppError> {
    let at_site = at_site(face).await;
    let held = match locks::find(&face.settings, &args.name) {
        Ok(held) => held,
        Err(unknown) => return break_elsewhere(face, args, at_site, unknown).await,
    };
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
    if let Some(at) = at_site.filter(|at| at.holder.as_ref().is_some_and(|h| h.contains(broken.run.as_str()))) {
        locks::break_at_site(&face.settings, &at, name, &args.reason).await?;
    }
    face.printer.json(&json!({"format_version": FORMAT_VERSION, "name": broken.name, "run": broken.run}));
    face.printer.note(&format!("The lock {name} is free. Run {} must get it back before it goes on.", held.short));
    Ok(Exit::Done)
}

/// A lock that only the site knows: a run of another controller has it.
async fn break_elsewhere(
    face: &Face,
    args: &LockBreak,
    at_site: Option<AtSite>,
    unknown: AppError,
) -> Result<Exit, AppError> {
    let name = args.name.strip_prefix("site/").unwrap_or(&args.name);
    let Some(at) = at_site.filter(|at| at.site.config.site.cluster.name == name) else { return Err(unknown) };
    let Some(holder) = &at.holder else { return Err(unknown) };
    face.printer.note(&format!("The lock of site {name} is held from elsewhere: {holder}."));
    if !args.yes {
        if !ask::at_terminal() {
            let message = "nobody has said yes, and there is no terminal to ask at";
            return Err(AppError::new(Exit::Gate, "lock::unconfirmed", message)
                .hint("when it is certain that nothing of that run goes on: --yes"));
        }
        if !ask::yes("Is it certain that nothing of that run goes on? Break the lock?") {
            face.printer.note("Nothing was changed.");
            return Ok(Exit::Gate);
        }
    }
    locks::break_at_site(&face.settings, &at, &args.name, &args.reason).await?;
    face.printer.json(&json!({"format_version": FORMAT_VERSION, "name": args.name, "run": null}));
    face.printer.note(&format!("The lock of site {name} is free."));
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
