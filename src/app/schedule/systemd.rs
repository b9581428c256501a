//! systemd, where there is one: it checks the calendar and the units, and takes them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Unit;
use crate::app::error::{AppError, Exit};
use crate::app::settings::Settings;
use crate::sys::files;
use crate::sys::process::{self, Captured, Ended, ProcessError, Spec};

const PATIENCE: Duration = Duration::from_secs(30);
const SYSTEM: &str = "/etc/systemd/system";
/// There only where systemd runs: sd_booted(3).
const RUNS: &str = "/run/systemd/system";

/// What became of the timer.
pub enum Enabled {
    Yes,
    /// What to type where it is to run.
    No(Vec<String>),
}

pub fn is_root() -> bool {
    crate::sys::is_root()
}

/// Where units of that manager are.
pub fn folder(settings: &Settings, system: bool) -> Result<PathBuf, AppError> {
    if system {
        return Ok(PathBuf::from(SYSTEM));
    }
    settings.config_home.as_ref().map(|home| home.join("systemd/user")).ok_or_else(|| {
        AppError::new(Exit::Configuration, "schedule::folder", "neither XDG_CONFIG_HOME nor HOME is set")
            .hint("set HOME, or install it for the system: --system")
    })
}

async fn run(program: &str, args: &[&str]) -> Result<Captured, ProcessError> {
    process::run(Spec::new(program).args(args.iter().copied()).deadline(PATIENCE)).await
}

fn said(captured: &Captured) -> String {
    let text = String::from_utf8_lossy(&captured.stderr);
    let text = if text.trim().is_empty() { String::from_utf8_lossy(&captured.stdout) } else { text };
    text.trim().to_owned()
}

/// Refuses what is no calendar; a note where nobody can tell.
pub async fn check_calendar(text: &str) -> Result<Option<String>, AppError> {
    let wrong = |why: String| {
        AppError::new(Exit::Usage, "schedule::calendar", format!("--on-calendar {text:?}: {why}"))
            .hint("as \"daily\", \"*-*-* 03:00:00\" or \"Mon..Fri 22:30\": systemd.time(7)")
    };
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err(wrong("it is empty, or more than one line".into()));
    }
    match run("systemd-analyze", &["calendar", "--", text]).await {
        Ok(captured) if captured.ended == Ended::Exit(0) => Ok(None),
        Ok(captured) => Err(wrong(said(&captured))),
        Err(_) => Ok(Some("the calendar was not checked: systemd-analyze is not here".to_owned())),
    }
}

/// What systemd has against the units; nothing where it cannot be asked.
pub async fn verify(units: &[Unit], system: bool) -> Vec<String> {
    let folder = std::env::temp_dir().join(format!("runbook-units-{:016x}", rand::random::<u64>()));
    let found = verify_in(&folder, units, system).await.unwrap_or_default();
    for unit in units {
        let _ = files::remove(folder.join(unit.path.file_name().unwrap_or_default()));
    }
    let _ = std::fs::remove_dir(&folder);
    found
}

async fn verify_in(folder: &Path, units: &[Unit], system: bool) -> Option<Vec<String>> {
    files::make_private_dir(folder).ok()?;
    let mut paths = Vec::new();
    for unit in units {
        let path = folder.join(unit.path.file_name()?);
        files::write_private(&path, unit.text.as_bytes()).ok()?;
        paths.push(path.display().to_string());
    }
    let manager = if system { "--system" } else { "--user" };
    let mut args = vec!["verify", manager];
    args.extend(paths.iter().map(String::as_str));
    let captured = run("systemd-analyze", &args).await.ok()?;
    // Where its manager does not run it fails for reasons of its own: what counts is what it says of these files.
    let text = said(&captured);
    let name = folder.display().to_string();
    let about = text.lines().filter(|line| line.contains(&name) && captured.ended != Ended::Exit(0));
    Some(about.map(|line| format!("systemd-analyze verify: {}", line.replace(&format!("{name}/"), ""))).collect())
}

fn manager(system: bool) -> &'static [&'static str] {
    if system { &[] } else { &["--user"] }
}

fn typed(system: bool, words: &[&str]) -> String {
    let all = ["systemctl"].iter().chain(manager(system)).chain(words).copied();
    all.collect::<Vec<_>>().join(" ")
}

async fn systemctl(system: bool, words: &[&str]) -> Result<(), AppError> {
    let args: Vec<&str> = manager(system).iter().chain(words).copied().collect();
    let failed = |why: String| {
        let message = format!("`{}`: {why}", typed(system, words));
        AppError::new(Exit::Failed, "schedule::systemd", message)
            .hint("the files and the approval are there; type that line once systemd answers")
    };
    match run("systemctl", &args).await {
        Ok(captured) if captured.ended == Ended::Exit(0) => Ok(()),
        Ok(captured) => Err(failed(said(&captured))),
        Err(error) => Err(failed(error.to_string())),
    }
}

fn runs() -> bool {
    Path::new(RUNS).is_dir()
}

/// Has systemd read the units and start the timer.
pub async fn enable(name: &str, system: bool, wanted: bool) -> Result<Enabled, AppError> {
    let timer = format!("runbook-{name}.timer");
    let steps: [&[&str]; 2] = [&["daemon-reload"], &["enable", "--now", &timer]];
    if !wanted || !runs() {
        return Ok(Enabled::No(steps.iter().map(|words| typed(system, words)).collect()));
    }
    for words in steps {
        systemctl(system, words).await?;
    }
    Ok(Enabled::Yes)
}

/// Stops the timer, where systemd runs.
pub async fn disable(name: &str, system: bool) -> Result<(), AppError> {
    if !runs() {
        return Ok(());
    }
    systemctl(system, &["disable", "--now", &format!("runbook-{name}.timer")]).await
}

/// When it elapses next.
pub async fn next(name: &str, system: bool) -> Option<String> {
    if !runs() {
        return None;
    }
    let timer = format!("runbook-{name}.timer");
    let args: Vec<&str> = manager(system)
        .iter()
        .chain(&["show", "--property=NextElapseUSecRealtime", "--value", &timer])
        .copied()
        .collect();
    let captured = run("systemctl", &args).await.ok()?;
    let text = String::from_utf8_lossy(&captured.stdout).trim().to_owned();
    (captured.ended == Ended::Exit(0) && !text.is_empty()).then_some(text)
}
