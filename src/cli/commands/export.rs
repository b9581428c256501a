//! `runbook export`: a run as a file for somebody else.

use crate::app::{AppError, Exit, export};
use crate::cli::Face;
use crate::cli::args::{Export, ExportFormat};
use crate::report::{RunView, junit, page};

pub fn run(face: &Face, args: &Export) -> Result<Exit, AppError> {
    let (found, facts) = export::facts(&face.settings, &args.run)?;
    let text = match args.format {
        ExportFormat::Html => page(&found.events, &facts, face.printer.look().offset),
        ExportFormat::Junit => junit(&RunView::of(&found.events)),
    };
    match &args.to {
        Some(path) => export::write(&face.settings, path, &face.redactor.redact(&text))?,
        None => face.printer.data(&text),
    }
    Ok(Exit::Done)
}

/// `--junit`: written however the run ended.
pub fn junit_file(face: &Face, path: Option<&std::path::Path>, view: &RunView) -> Result<(), AppError> {
    path.map_or(Ok(()), |path| export::write(&face.settings, path, &face.redactor.redact(&junit(view))))
}
