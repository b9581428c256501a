//! Runs that go from one journal to another, whole.

use std::path::Path;

use super::error::{AppError, Exit};
use super::open::store;
use super::settings::Settings;
use crate::engine::machine::State;
use crate::journal::{Parcel, RunHeader};
use crate::sys::files;

/// Where the text of an export goes.
pub type Write<'a> = &'a dyn Fn(&str) -> Result<(), AppError>;

/// A run as JSON Lines, to `write`; with `hand_over` it is given away with its locks.
///
/// # Errors
/// A process is at work on it, it cannot be handed over, or it cannot be written: then it is this journal's still.
pub fn export(settings: &Settings, asked: &str, hand_over: bool, write: Write<'_>) -> Result<Parcel, AppError> {
    let store = store(settings)?;
    let run = store.find(asked)?.id;
    if !hand_over {
        let parcel = store.export(&run, &settings.actor)?;
        write(&parcel.to_jsonl()?)?;
        return Ok(parcel);
    }
    let parcel = store.hand_over(&run, &settings.actor)?;
    // Marked first: a crash in between leaves a run that can be exported again, never one that two machines go on with.
    if let Err(error) = parcel.to_jsonl().map_err(AppError::from).and_then(|text| write(&text)) {
        store.take_back(&run, &settings.actor)?;
        return Err(error);
    }
    Ok(parcel)
}

/// # Errors
/// It cannot be read.
pub fn read_from(path: &Path) -> Result<String, AppError> {
    files::read_text(path).map_err(|e| {
        let exit = if e.is_not_found() { Exit::NotFound } else { Exit::Configuration };
        AppError::new(exit, "import::unreadable", e.to_string())
    })
}

/// Brings an exported run in: the shortest name that it has here, and how it stands.
///
/// # Errors
/// It is not whole, was changed, does not follow from itself, is here already, or one of its locks is another run's.
pub fn import(settings: &Settings, text: &str) -> Result<(String, RunHeader, Parcel), AppError> {
    let parcel = Parcel::from_jsonl(text)?;
    // What a newer version wrote is kept for looking at, and cannot be judged.
    if parcel.run.format <= crate::event::FORMAT {
        let events = parcel.events()?;
        let facts = events.iter().filter_map(|e| Some((e.at, e.fact()?)));
        let state = State::replay(facts)
            .map_err(|e| AppError::new(Exit::Failed, "journal::corrupt", format!("run {}: {e}", parcel.run.id)))?;
        if state.run() != Some(&parcel.run.id) {
            let message = format!("the export says that it is run {}, and its events are another's", parcel.run.id);
            return Err(AppError::new(Exit::Failed, "journal::corrupt", message));
        }
    }
    let store = store(settings)?;
    let header = store.import(&parcel, &settings.actor)?;
    Ok((store.short_id(&header.id), header, parcel))
}

/// Makes a run that was handed over, or is a copy, this journal's again.
///
/// # Errors
/// No such run, or the journal cannot be written.
pub fn take_back(settings: &Settings, asked: &str) -> Result<(), AppError> {
    let store = store(settings)?;
    let run = store.find(asked)?.id;
    Ok(store.take_back(&run, &settings.actor)?)
}
