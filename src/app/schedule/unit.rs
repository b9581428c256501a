//! The units of a schedule, as text. Source: systemd.unit(5), systemd.service(5), systemd.timer(5), systemd.syntax(7).

use std::path::{Path, PathBuf};

use super::Approved;
use crate::app::error::{AppError, Exit};
use crate::app::settings::Settings;

/// A file of systemd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    pub path: PathBuf,
    pub text: String,
}

/// What the unit needs to know of this machine.
pub struct Place<'p> {
    pub program: &'p Path,
    /// Absolute.
    pub config: Option<&'p Path>,
    pub settings: &'p Settings,
}

/// A word as systemd reads it back: in quotes, with what it would replace doubled.
fn quoted(word: &str) -> String {
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    format!("\"{escaped}\"")
}

/// The same in a command, where a dollar is the beginning of a variable.
fn argument(word: &str) -> String {
    quoted(word).replace('$', "$$")
}

/// What is in one line and can be read back.
fn line(text: &str) -> Result<&str, AppError> {
    if text.chars().any(char::is_control) {
        let message = format!("{text:?} does not fit into a unit of systemd: it is more than one line");
        return Err(AppError::new(Exit::Usage, "schedule::unit", message));
    }
    Ok(text)
}

pub fn units(name: &str, approved: &Approved, place: &Place<'_>) -> Result<Vec<Unit>, AppError> {
    let [service, timer] = super::paths(&approved.folder, name);
    let title = line(&super::words(approved))?.replace('%', "%%");
    let mut command = vec![argument(line(&place.program.display().to_string())?)];
    if let Some(config) = place.config {
        command.extend(["--config".to_owned(), argument(line(&config.display().to_string())?)]);
    }
    command.extend(["schedule", "run"].map(str::to_owned));
    command.push(argument(name));
    let mut text = format!(
        "# Written by `runbook schedule install`; `runbook schedule remove {name}` takes it away.\n[Unit]\n\
         Description=runbook {title}\nWants=network-online.target\nAfter=network-online.target\n\n[Service]\nType=oneshot\n"
    );
    text.push_str(&format!(
        "WorkingDirectory={}\n",
        line(&place.settings.cwd.display().to_string())?.replace('%', "%%")
    ));
    for (variable, value) in environment(approved, place.settings) {
        text.push_str(&format!("Environment={}\n", quoted(line(&format!("{variable}={value}"))?)));
    }
    text.push_str(&format!("ExecStart={}\n", command.join(" ")));
    let calendar = line(&approved.on_calendar)?;
    let timer_text = format!(
        "# Written by `runbook schedule install`; `runbook schedule remove {name}` takes it away.\n[Unit]\n\
         Description=runbook {title}\n\n[Timer]\nOnCalendar={calendar}\nPersistent=true\n\n[Install]\nWantedBy=timers.target\n"
    );
    Ok(vec![Unit { path: service, text }, Unit { path: timer, text: timer_text }])
}

/// Where the journal and the user's own files are, where systemd would not say the same.
fn environment(approved: &Approved, settings: &Settings) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    if let Some(home) = settings.home.as_ref().filter(|_| approved.system) {
        all.push(("HOME", home.display().to_string()));
    }
    let by_itself = settings.home.as_ref().map(|home| home.join(".local/state"));
    let state = settings.state.as_deref().and_then(Path::parent).map(Path::to_owned);
    if let Some(state) = state.filter(|state| Some(state) != by_itself.as_ref()) {
        all.push(("XDG_STATE_HOME", state.display().to_string()));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_units_name_the_approval_and_nothing_else() {
        let approved = Approved {
            runbook: "etcd-backup".into(),
            digest: "d".into(),
            args: Vec::new(),
            set: vec![("folder".into(), "/b 100%".into())],
            cluster: Some("prod".into()),
            on_calendar: "*-*-* 03:00:00".into(),
            system: false,
            folder: "/u".into(),
        };
        let settings = Settings {
            cwd: "/home/ops/site".into(),
            home: Some("/home/ops".into()),
            state: Some("/srv/state/runbook".into()),
            ..Settings::default()
        };
        let place =
            Place { program: Path::new("/opt/run book"), config: Some(Path::new("/s/$c.yaml")), settings: &settings };
        let units = units("etcd-backup-prod", &approved, &place).unwrap();
        let text = |n: usize| format!("{}\n{}", units[n].path.display(), units[n].text);
        assert_eq!(
            text(0),
            "/u/runbook-etcd-backup-prod.service\n# Written by `runbook schedule install`; `runbook schedule remove \
             etcd-backup-prod` takes it away.\n[Unit]\nDescription=runbook etcd-backup --set 'folder=/b 100%%' --cluster \
             prod\nWants=network-online.target\nAfter=network-online.target\n\n[Service]\nType=oneshot\n\
             WorkingDirectory=/home/ops/site\nEnvironment=\"XDG_STATE_HOME=/srv/state\"\nExecStart=\"/opt/run book\" \
             --config \"/s/$$c.yaml\" schedule run \"etcd-backup-prod\"\n"
        );
        assert_eq!(
            text(1),
            "/u/runbook-etcd-backup-prod.timer\n# Written by `runbook schedule install`; `runbook schedule remove \
             etcd-backup-prod` takes it away.\n[Unit]\nDescription=runbook etcd-backup --set 'folder=/b 100%%' --cluster \
             prod\n\n[Timer]\nOnCalendar=*-*-* 03:00:00\nPersistent=true\n\n[Install]\nWantedBy=timers.target\n"
        );
        let two_lines = Approved { on_calendar: "daily\nX=y".into(), ..approved };
        assert!(super::units("x", &two_lines, &place).is_err());
    }
}
