//! Arguments and environment to one plain struct; the only place that reads the environment.

use std::path::PathBuf;
use std::time::Duration;

use super::args::Global;
use crate::app::{AppError, Exit, Settings};

pub fn settings(global: &Global) -> Result<Settings, AppError> {
    let path = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let cwd = std::env::current_dir().map_err(|e| {
        AppError::new(Exit::Configuration, "config::cwd", format!("the current folder cannot be read: {e}"))
    })?;
    let home = path("HOME");
    let below_home = |tail: &str| home.as_ref().map(|home| home.join(tail));
    let state_home = path("XDG_STATE_HOME").or_else(|| below_home(".local/state"));
    let cache_home = path("XDG_CACHE_HOME").or_else(|| below_home(".cache"));
    let poll = std::env::var("RUNBOOK_LAB_POLL").ok().and_then(|v| v.parse().ok()).map(Duration::from_millis);
    let lab_scale = std::env::var("RUNBOOK_LAB_SCALE").ok().and_then(|v| v.parse().ok());
    Ok(Settings {
        config: global.config.clone().or_else(|| path("RUNBOOK_CONFIG")).map(|config| cwd.join(config)),
        config_home: path("XDG_CONFIG_HOME").or_else(|| below_home(".config")),
        state: state_home.map(|home| home.join("runbook")),
        cache: cache_home.map(|home| home.join("runbook")),
        lab: path("RUNBOOK_LAB"),
        actor: format!("{}@{}", crate::app::user(), crate::app::host()),
        ssh_socket: path("RUNBOOK_LAB_SSH"),
        cwd,
        home,
        poll,
        lab_scale,
        journal: crate::app::settings::OpenJournal::default(),
    })
}
