//! The runbooks that there are: shipped ones, and files beside the configuration, which override them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::error::{AppError, Exit};
use super::open::{self, Config};
use super::settings::Settings;
use crate::actions;
use crate::load::diagnostic::{Severity, Source};
use crate::load::{self, shipped};
use crate::model::runbook::Runbook;

/// A runbook and the text that it was read from.
pub struct Book {
    pub runbook: Runbook,
    pub source: Source,
    /// SHA-256 of the text.
    pub digest: String,
}

/// A line of `runbook list`.
pub struct Listed {
    pub name: String,
    pub title: String,
    pub aliases: Vec<String>,
    /// `shipped`, or the file.
    pub from: String,
    /// Why it cannot be used, where it cannot.
    pub problems: usize,
}

/// All runbooks, by name.
pub fn list(settings: &Settings) -> Vec<Listed> {
    let mut listed: BTreeMap<String, Listed> = BTreeMap::new();
    for (source, from) in sources(settings) {
        let read = load::read_runbook(&source, &actions::specs());
        let problems = read.diagnostics.iter().filter(|d| d.severity != Severity::Warning).count();
        let (title, aliases) = read.runbook.map(|r| (r.title.unwrap_or_default(), r.aliases)).unwrap_or_default();
        let name = source.stem().to_owned();
        listed.insert(name.clone(), Listed { name, title, aliases, from, problems });
    }
    listed.into_values().collect()
}

/// The runbook of that name or alias, or in that file, ready to be planned.
///
/// # Errors
/// There is none (with the nearest name), or it has problems: all of them.
pub fn find(settings: &Settings, name: &str) -> Result<Book, AppError> {
    let source = source_of(settings, name)?;
    let runbook = load::load_runbook(&source, &actions::specs())
        .map_err(|found| AppError::invalid(Exit::Usage, "runbook::invalid", &source, found))?;
    let digest = Sha256::digest(source.text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
    Ok(Book { runbook, source, digest })
}

/// The text of the runbook of that name or alias, or in that file.
///
/// # Errors
/// There is none (with the nearest name).
pub fn source_of(settings: &Settings, name: &str) -> Result<Source, AppError> {
    if name.contains('/') || name.ends_with(".yaml") || name.ends_with(".yml") {
        let path = settings.cwd.join(name);
        if !path.is_file() {
            return Err(AppError::new(Exit::NotFound, "runbook::unknown", format!("no file {name}"))
                .hint("`runbook list` shows the runbooks that there are"));
        }
        return open::read(&path).map(|s| Source::new(name, s.text));
    }
    let mut by_name = BTreeMap::new();
    for (source, _) in sources(settings) {
        by_name.insert(source.stem().to_owned(), source);
    }
    if let Some(source) = by_name.remove(name) {
        return Ok(source);
    }
    let mut known: Vec<String> = by_name.keys().cloned().collect();
    for source in by_name.into_values() {
        let read = load::read_runbook(&source, &actions::specs());
        let aliases = read.runbook.map(|r| r.aliases).unwrap_or_default();
        if aliases.iter().any(|alias| alias == name) {
            return Ok(source);
        }
        known.extend(aliases);
    }
    let mut error = AppError::new(Exit::NotFound, "runbook::unknown", format!("no runbook {name:?}"));
    error.hint = Some(match crate::expr::nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {near:?}? `runbook list` shows all"),
        None => "`runbook list` shows the runbooks that there are".to_owned(),
    });
    Err(error)
}

/// Shipped ones first, so that a file of the same name comes after and overrides.
fn sources(settings: &Settings) -> Vec<(Source, String)> {
    let shipped = shipped::names().filter_map(|name| Some((shipped::source(name)?, "shipped".to_owned())));
    let files = folder(settings).map(|folder| open::yaml_files(&folder)).unwrap_or_default();
    let files = files.iter().filter_map(|path| Some((open::read(path).ok()?, path.display().to_string())));
    shipped.chain(files).collect()
}

/// `runbooks/` beside the configuration, or here where there is none.
pub(in crate::app) fn folder(settings: &Settings) -> Option<PathBuf> {
    let beside = Config::load(settings).ok().map(|config| config.folder().join("runbooks"));
    Some(beside.unwrap_or_else(|| settings.cwd.join("runbooks"))).filter(|folder| folder.is_dir())
}
