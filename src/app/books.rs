//! The runbooks that there are: shipped ones, and files beside the configuration, which override them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::config::{self, Config};
use super::error::{AppError, Exit};
use super::settings::Settings;
use crate::actions;
use crate::load::diagnostic::{Severity, Source};
use crate::load::{self, Library, Loaded, NotFound, shipped};
use crate::model::runbook::Runbook;

/// A runbook and the text that it was read from.
pub struct Book {
    pub runbook: Runbook,
    pub source: Source,
    /// SHA-256 of the text and of those that it calls.
    pub digest: String,
    /// How many warnings there are about it; `runbook lint` shows them.
    pub warnings: usize,
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
    let shelf = Shelf::open(settings);
    let specs = actions::specs();
    let listed = shelf.books.iter().map(|(name, (source, from))| {
        let read = load::read_runbook(source, &specs, &shelf);
        let problems = read.found.diagnostics.iter().filter(|d| d.severity != Severity::Warning).count();
        let (title, aliases) = read.runbook.map(|r| (r.title.unwrap_or_default(), r.aliases)).unwrap_or_default();
        Listed { name: name.clone(), title, aliases, from: from.clone(), problems }
    });
    listed.collect()
}

/// The runbook of that name or alias, or in that file, ready to be planned.
///
/// # Errors
/// There is none (with the nearest name), or it or what it calls has problems: all of them.
pub fn find(settings: &Settings, name: &str) -> Result<Book, AppError> {
    let shelf = Shelf::open(settings);
    let source = shelf.source_of(name)?;
    let Loaded { runbook, found } = load::read_runbook(&source, &actions::specs(), &shelf);
    let warnings = found.diagnostics.len();
    let runbook = runbook.ok_or_else(|| AppError::invalid_files(Exit::Usage, "runbook::invalid", found))?;
    let digest = digest(&source, &runbook);
    Ok(Book { runbook, source, digest, warnings })
}

/// Over the text itself and those of the runbooks that it calls.
fn digest(source: &Source, runbook: &Runbook) -> String {
    let mut digest = Sha256::new();
    digest.update(source.text.as_bytes());
    for (name, called) in &runbook.procedures {
        if let Some(text) = &called.digest {
            digest.update(format!("\0{name}\0{text}"));
        }
    }
    digest.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// The text of the runbook of that name or alias, or in that file.
///
/// # Errors
/// There is none (with the nearest name).
pub fn source_of(settings: &Settings, name: &str) -> Result<Source, AppError> {
    Shelf::open(settings).source_of(name)
}

/// The texts of all runbooks that have a name.
pub struct Shelf<'s> {
    settings: &'s Settings,
    /// By name: the text and where it is from.
    books: BTreeMap<String, (Source, String)>,
}

impl<'s> Shelf<'s> {
    /// Reads them. A file that cannot be read is left out: whoever asks for it is told that there is none.
    pub fn open(settings: &'s Settings) -> Self {
        let shipped = shipped::names().filter_map(|name| Some((shipped::source(name)?, "shipped".to_owned())));
        let files = folder(settings).map(|folder| config::yaml_files(&folder)).unwrap_or_default();
        let files = files.iter().filter_map(|path| Some((config::read(path).ok()?, path.display().to_string())));
        // A file of the same name comes after and overrides.
        let books = shipped.chain(files).map(|(source, from)| (source.stem().to_owned(), (source, from))).collect();
        Self { settings, books }
    }

    /// The text of the runbook of that name or alias, or in that file.
    ///
    /// # Errors
    /// There is none (with the nearest name).
    pub fn source_of(&self, name: &str) -> Result<Source, AppError> {
        if name.contains('/') || name.ends_with(".yaml") || name.ends_with(".yml") {
            let path = self.settings.cwd.join(name);
            if !path.is_file() {
                return Err(AppError::new(Exit::NotFound, "runbook::unknown", format!("no file {name}"))
                    .hint("`runbook list` shows the runbooks that there are"));
            }
            return config::read(&path).map(|s| Source::new(name, s.text));
        }
        self.named(name).map_err(|near| {
            AppError::new(Exit::NotFound, "runbook::unknown", format!("no runbook {name:?}")).hint(match near {
                Some(near) => format!("did you mean {near:?}? `runbook list` shows all"),
                None => "`runbook list` shows the runbooks that there are".to_owned(),
            })
        })
    }

    /// The runbook of that name or alias; else the nearest name that there is.
    fn named(&self, name: &str) -> Result<Source, Option<String>> {
        if let Some((source, _)) = self.books.get(name) {
            return Ok(source.clone());
        }
        let mut known: Vec<String> = self.books.keys().cloned().collect();
        for (source, _) in self.books.values() {
            let aliases = load::head_of(source).aliases;
            if aliases.iter().any(|alias| alias == name) {
                return Ok(source.clone());
            }
            known.extend(aliases);
        }
        Err(crate::expr::nearest(name, known.iter().map(String::as_str)))
    }
}

impl Library for Shelf<'_> {
    fn find(&self, from: &Source, uses: &str) -> Result<Source, NotFound> {
        if let Some(name) = uses.strip_prefix("runbook:") {
            return self.named(name).map_err(|near| NotFound {
                message: format!("there is no runbook `{name}`"),
                hint: Some(match near {
                    Some(near) => format!("did you mean `runbook:{near}`?"),
                    None => "`runbook list` shows those that there are; a file beside this one is `./FILE.yaml`".into(),
                }),
            });
        }
        if shipped::source(from.stem()).as_ref() == Some(from) {
            let hint = Some("call it by its name: runbook:NAME".to_owned());
            return Err(NotFound { message: "a shipped runbook has no file beside it".into(), hint });
        }
        let folder = Path::new(&from.name).parent().unwrap_or(Path::new(""));
        let shown = folder.join(uses.trim_start_matches("./"));
        let path = self.settings.cwd.join(&shown);
        // One that has a name is the same file under that name.
        if let Some((source, _)) = self.books.values().find(|(source, _)| Path::new(&source.name) == path) {
            return Ok(source.clone());
        }
        let shown = shown.display().to_string();
        if !path.is_file() {
            let hint = Some("it is looked for beside the file that calls it".to_owned());
            return Err(NotFound { message: format!("there is no file {shown}"), hint });
        }
        let read = config::read(&path).map_err(|error| NotFound { message: error.message, hint: error.hint })?;
        Ok(Source::new(shown, read.text))
    }
}

/// `runbooks/` beside the configuration, or here where there is none.
pub(in crate::app) fn folder(settings: &Settings) -> Option<PathBuf> {
    let beside = Config::load(settings).ok().map(|config| config.folder().join("runbooks"));
    Some(beside.unwrap_or_else(|| settings.cwd.join("runbooks"))).filter(|folder| folder.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::load_runbook;

    #[test]
    fn the_digest_is_that_of_the_text_and_of_all_that_is_called() {
        let digest_with = |called: &str| {
            let library = |_: &Source, uses: &str| match uses {
                "./b.yaml" => {
                    Ok(Source::new("b.yaml", "runbook: b\nschema: 1\ntarget: none\nsteps: [{uses: ./c.yaml}]\n"))
                }
                _ => Ok(Source::new("c.yaml", format!("runbook: c\nschema: 1\ntarget: none\nsteps: []\n{called}"))),
            };
            let source = Source::new("a.yaml", "runbook: a\nschema: 1\ntarget: none\nsteps: [{uses: ./b.yaml}]\n");
            let runbook = load_runbook(&source, &actions::specs(), &library).unwrap();
            digest(&source, &runbook)
        };
        assert_eq!(digest_with(""), digest_with(""));
        assert_ne!(digest_with(""), digest_with("# another line\n"));
        let alone = Source::new("a.yaml", "runbook: a\nschema: 1\ntarget: none\nsteps: []\n");
        let runbook = load_runbook(&alone, &actions::specs(), &load::NoOthers).unwrap();
        let of_text: String = Sha256::digest(alone.text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(digest(&alone, &runbook), of_text);
    }
}
