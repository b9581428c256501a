//! Runbooks that a timer runs: a standing approval in the journal, and the units of systemd that start it.
//!
//! The timer's unit only names the approval. What is run is what was approved: this runbook, word for word, with these
//! parameters. Whatever was changed since is not run until somebody approves it again.

mod allowed;
mod systemd;
mod unit;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;

pub use systemd::Enabled;
pub use unit::Unit;

use super::books::{self, Book};
use super::config::Config;
use super::error::{AppError, Exit};
use super::open::store;
use super::planning::{self, Request};
use super::settings::Settings;
use crate::journal::{RunFilter, RunHeader, Schedule};
use crate::model::plan::Plan;
use crate::sys::files;

/// What is asked for.
pub struct Asked {
    /// Of the schedule; made of the runbook's and the cluster's where absent.
    pub name: Option<String>,
    pub runbook: String,
    pub request: Request,
    pub on_calendar: String,
    /// Nothing: the system's for root, the user's for everybody else.
    pub system: Option<bool>,
    /// This program.
    pub program: PathBuf,
}

/// What is approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approved {
    pub runbook: String,
    pub digest: String,
    pub args: Vec<String>,
    pub set: Vec<(String, String)>,
    pub cluster: Option<String>,
    pub on_calendar: String,
    pub system: bool,
    /// Where its units are.
    pub folder: PathBuf,
}

impl Approved {
    pub fn request(&self) -> Request {
        Request { args: self.args.clone(), set: self.set.clone(), cluster: self.cluster.clone() }
    }
}

/// A schedule that is about to be, or to be no longer.
pub struct Prepared {
    pub name: String,
    pub approved: Approved,
    pub units: Vec<Unit>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// A line of the list.
pub struct Listed {
    pub name: String,
    pub approved: Approved,
    pub by: String,
    pub since: u64,
    /// When systemd runs it next, in its own words; nothing where it does not say.
    pub next: Option<String>,
    pub last: Option<RunHeader>,
    /// Why it would be refused.
    pub refused: Option<String>,
}

fn wrong(code: &'static str, message: String) -> AppError {
    AppError::new(Exit::Usage, code, message)
}

/// Checks what is asked for; nothing is written.
///
/// # Errors
/// The runbook may not be run by a timer, a parameter or the calendar is wrong.
pub async fn prepare(settings: &Settings, asked: Asked) -> Result<Prepared, AppError> {
    let book = books::find(settings, &asked.runbook)?;
    planning::bind(&book.runbook, &asked.request)?;
    if let Some(why) = allowed::refusal(&book.runbook) {
        let message = format!("{} may not be run by a timer: {why}", book.runbook.name);
        return Err(AppError::new(Exit::Gate, "schedule::refused", message)
            .hint("only what reads, and what takes a backup without disturbing or destroying anything, may go without a person's yes"));
    }
    let config = Config::load_for(settings, &book.runbook)?;
    if let Some(cluster) = &asked.request.cluster {
        config.cluster(cluster)?;
    }
    let name = asked.name.unwrap_or_else(|| match &asked.request.cluster {
        Some(cluster) => format!("{}-{cluster}", book.runbook.name),
        None => book.runbook.name.clone(),
    });
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c)) {
        let message = format!("{name:?} is no name for a schedule: expected small letters, digits, - and _");
        return Err(wrong("schedule::name", message));
    }
    let mut notes = Vec::new();
    notes.extend(systemd::check_calendar(&asked.on_calendar).await?);
    let system = asked.system.unwrap_or_else(systemd::is_root);
    let folder = systemd::folder(settings, system)?;
    let runbook =
        match asked.runbook.contains('/') || asked.runbook.ends_with(".yaml") || asked.runbook.ends_with(".yml") {
            true => settings.cwd.join(&asked.runbook).display().to_string(),
            false => asked.runbook,
        };
    let given = &config.site.credentials;
    if given.token.iter().chain(&given.password).any(|reference| reference.starts_with("env:")) {
        notes.push(
            "the credential is in the environment (env:…), which a timer does not have; keep it in pass: or file:"
                .into(),
        );
    }
    let approved = Approved {
        runbook,
        digest: book.digest,
        args: asked.request.args,
        set: asked.request.set,
        cluster: asked.request.cluster,
        on_calendar: asked.on_calendar,
        system,
        folder: folder.clone(),
    };
    let own = (!config.is_absent()).then(|| settings.cwd.join(&config.path));
    let place = unit::Place { program: &asked.program, config: own.as_deref(), settings };
    let units = unit::units(&name, &approved, &place)?;
    notes.extend(systemd::verify(&units, system).await);
    Ok(Prepared { name, approved, units, notes })
}

/// Approves it in the journal, writes the units whole, and has systemd take them.
///
/// # Errors
/// The journal or a file cannot be written; systemd refuses.
pub async fn install(settings: &Settings, prepared: &Prepared, enable: bool) -> Result<Enabled, AppError> {
    let failed = |e: files::FileError| AppError::new(Exit::Configuration, "schedule::unwritable", e.to_string());
    let words = words(&prepared.approved);
    store(settings)?.schedule(&prepared.name, &settings.actor, &json!(prepared.approved), &words)?;
    files::make_dir(&prepared.approved.folder).map_err(failed)?;
    for unit in &prepared.units {
        files::write_atomic(&unit.path, unit.text.as_bytes(), 0o644).map_err(failed)?;
    }
    systemd::enable(&prepared.name, prepared.approved.system, enable).await
}

/// `etcd-backup --set folder=/backups --cluster prod`
pub fn words(approved: &Approved) -> String {
    let set = approved.set.iter().flat_map(|(name, value)| ["--set".to_owned(), format!("{name}={value}")]);
    let cluster = approved.cluster.iter().flat_map(|name| ["--cluster".to_owned(), name.clone()]);
    let args = approved.args.iter().cloned();
    crate::model::shell::line([approved.runbook.clone()].into_iter().chain(args).chain(set).chain(cluster))
}

fn approved(schedule: &Schedule) -> Result<Approved, AppError> {
    serde_json::from_value(schedule.body.clone()).map_err(|e| {
        let message = format!("the approval of {} is not understood: {e}", schedule.name);
        AppError::new(Exit::Gate, "schedule::unreadable", message).hint("install the schedule again")
    })
}

/// The approval of that name.
///
/// # Errors
/// There is none.
pub fn find(settings: &Settings, name: &str) -> Result<Approved, AppError> {
    let all = store(settings)?.schedules()?;
    let found = all.iter().find(|schedule| schedule.name == name).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|schedule| schedule.name.as_str()).collect();
        let known =
            if names.is_empty() { "there are none".to_owned() } else { format!("there are {}", names.join(", ")) };
        AppError::new(Exit::NotFound, "schedule::unknown", format!("no schedule {name:?}"))
            .hint(format!("{known}; `runbook schedule install` makes one"))
    })?;
    approved(found)
}

/// The runbook as it was approved.
///
/// # Errors
/// It is another one by now, or may not be run by a timer any more.
pub fn approved_book(settings: &Settings, approved: &Approved) -> Result<Book, AppError> {
    let book = books::find(settings, &approved.runbook)?;
    let refuse = |why: String| {
        let again = format!(
            "read it (`runbook show {}`), and approve it again: `runbook schedule install {} --on-calendar {} --apply`",
            approved.runbook,
            words(approved),
            crate::model::shell::quote(&approved.on_calendar)
        );
        AppError::new(Exit::Gate, "schedule::approval", why).hint(again)
    };
    if book.digest != approved.digest {
        let was = approved.digest.get(..12).unwrap_or_default();
        let is = book.digest.get(..12).unwrap_or_default();
        return Err(refuse(format!(
            "{} has changed since it was approved: it was {was}, and is {is}",
            approved.runbook
        )));
    }
    match allowed::refusal(&book.runbook) {
        Some(why) => Err(refuse(format!("{} may not be run by a timer: {why}", approved.runbook))),
        None => Ok(book),
    }
}

/// Refuses a plan that would do more than a standing approval covers: what a step does may show only now.
///
/// # Errors
/// Which step, and what it would do.
pub fn covers(plan: &Plan) -> Result<(), AppError> {
    match allowed::beyond(plan) {
        None => Ok(()),
        Some(why) => Err(AppError::new(Exit::Gate, "schedule::beyond", format!("nothing was changed: {why}"))
            .hint("run it by hand, and say yes to its plan")),
    }
}

/// Takes the approval back and the units away; the paths that were removed.
///
/// # Errors
/// There is no such schedule, or a file is still there.
pub async fn remove(settings: &Settings, name: &str, enable: bool) -> Result<Vec<PathBuf>, AppError> {
    let approved = find(settings, name)?;
    if enable {
        systemd::disable(name, approved.system).await?;
    }
    let mut gone = Vec::new();
    for path in paths(&approved.folder, name) {
        match files::remove(&path) {
            Ok(()) => gone.push(path),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(AppError::new(Exit::Configuration, "schedule::unwritable", error.to_string())),
        }
    }
    store(settings)?.unschedule(name, &settings.actor)?;
    Ok(gone)
}

/// Where the units of a schedule are.
pub fn paths(folder: &Path, name: &str) -> [PathBuf; 2] {
    ["service", "timer"].map(|kind| folder.join(format!("runbook-{name}.{kind}")))
}

/// All schedules.
///
/// # Errors
/// The journal cannot be read.
pub async fn list(settings: &Settings) -> Result<Vec<Listed>, AppError> {
    let store = store(settings)?;
    let mut listed = Vec::new();
    for schedule in store.schedules()? {
        let approved = approved(&schedule)?;
        let book = approved_book(settings, &approved);
        let missing = paths(&approved.folder, &schedule.name).into_iter().find(|path| !path.exists());
        let refused = match (&book, missing) {
            (Err(error), _) => Some(error.message.clone()),
            (Ok(_), Some(path)) => Some(format!("{} is not there", path.display())),
            (Ok(_), None) => None,
        };
        let runbook = book.map_or_else(|_| approved.runbook.clone(), |book| book.runbook.name);
        let filter = RunFilter { runbook: Some(runbook), ..RunFilter::default() };
        let last = store.runs(&filter)?.into_iter().find(|run| run.cluster == approved.cluster);
        let next = systemd::next(&schedule.name, approved.system).await;
        let Schedule { name, since, by, .. } = schedule;
        listed.push(Listed { name, approved, by, since, next, last, refused });
    }
    Ok(listed)
}
