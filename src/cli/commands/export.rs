//! `runbook export` and `runbook import`.

use std::io::Read;
use std::path::Path;

use crate::app::inspect::Inspected;
use crate::app::{AppError, Exit, export, handing};
use crate::cli::Face;
use crate::cli::args::{Export, ExportFormat, Import};
use crate::report::{FORMAT_VERSION, RunFacts, RunView, junit, page};

pub fn export(face: &Face, args: &Export) -> Result<Exit, AppError> {
    match args.format {
        ExportFormat::Jsonl => jsonl(face, args),
        ExportFormat::Html | ExportFormat::Junit if args.hand_over => Err(AppError::new(
            Exit::Usage,
            "export::no_hand_over",
            "a page cannot be gone on with: nothing was handed over",
        )
        .hint("leave --format out")),
        ExportFormat::Html => {
            to_read(face, args, |found, facts| page(&found.events, facts, face.printer.look().offset))
        }
        ExportFormat::Junit => to_read(face, args, |found, _| junit(&RunView::of(&found.events))),
    }
}

fn to_read(face: &Face, args: &Export, text: impl Fn(&Inspected, &RunFacts) -> String) -> Result<Exit, AppError> {
    let (found, facts) = export::facts(&face.settings, &args.run)?;
    let text = text(&found, &facts);
    match &args.to {
        Some(path) => export::write(&face.settings, path, &face.redactor.redact(&text))?,
        None => face.printer.data(&text),
    }
    Ok(Exit::Done)
}

fn jsonl(face: &Face, args: &Export) -> Result<Exit, AppError> {
    let write = |text: &str| match &args.to {
        Some(path) => export::write(&face.settings, path, text),
        None => {
            face.printer.data(text);
            Ok(())
        }
    };
    let parcel = handing::export(&face.settings, &args.run, args.hand_over, &write)?;
    let run = &parcel.run;
    let to = args.to.as_ref().map(|to| format!(" to {}", to.display())).unwrap_or_default();
    face.printer.note(&format!("Exported run {} of {}{to}: {} events.", run.id, run.runbook, run.events));
    if args.hand_over {
        let locks: Vec<&str> = parcel.locks().collect();
        let locks = if locks.is_empty() { String::new() } else { format!(" with its lock {}", locks.join(", ")) };
        face.printer.note(&format!(
            "It is handed over{locks}: `runbook import` there, then `runbook resume`. Here it is not gone on with any more."
        ));
    } else if parcel.is_copy() {
        face.printer.note("It is not over, and stays this machine's: what is imported is a copy to look at (--hand-over gives it away).");
    }
    Ok(Exit::Done)
}

pub fn import(face: &Face, args: &Import) -> Result<Exit, AppError> {
    let text = read(face, &args.file)?;
    let (short, header, parcel) = handing::import(&face.settings, &text)?;
    let locks: Vec<&str> = parcel.locks().collect();
    if face.printer.json(&serde_json::json!({
        "format_version": FORMAT_VERSION, "run": header.id, "runbook": header.runbook, "site": header.site,
        "status": header.state(), "events": header.events, "locks": locks, "copy": parcel.is_copy(),
    })) {
        return Ok(Exit::Done);
    }
    let state = header.state().replace('_', " ");
    face.printer.data(&format!("Imported run {short} of {}: {state}, {} events.", header.runbook, header.events));
    if parcel.is_copy() {
        face.printer.note("It is a copy to look at: the machine that it is from has it still.");
    } else if !header.status.is_final() {
        let held = if locks.is_empty() { String::new() } else { format!("It holds the lock {}. ", locks.join(", ")) };
        face.printer.note(&format!("{held}Go on with it: runbook resume {short}"));
    }
    Ok(Exit::Done)
}

fn read(face: &Face, file: &Path) -> Result<String, AppError> {
    if file != Path::new("-") {
        return handing::read_from(&face.settings.cwd.join(file));
    }
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .read_to_string(&mut text)
        .map_err(|e| AppError::new(Exit::Configuration, "import::unreadable", format!("stdin: {e}")))?;
    Ok(text)
}
