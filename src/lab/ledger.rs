//! The ledger: everything that reached the lab, in order. Tests and `runbook lab status` read it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::contracts::SECRET_NAMES;
use crate::model::ids::NodeName;

/// By what way something reached the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    Http,
    Ssh,
    Talosctl,
    Kubectl,
}

/// One thing that reached the lab.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// From 1, without gaps, in the order in which they were finished.
    #[serde(default)]
    pub seq: u64,
    /// World time, milliseconds since 1970.
    pub at_ms: u64,
    pub channel: Channel,
    /// Where it arrived.
    pub node: NodeName,
    /// The HTTP method, or `exec`.
    pub method: String,
    /// The path below `/api2/json`, or the command's first word.
    pub path: String,
    /// As they were sent, secrets replaced by `***`; a command's words under `argv`.
    pub params: BTreeMap<String, String>,
    /// Who it was, where that is known.
    pub user: Option<String>,
    /// The HTTP status or the exit code. After a reset, what would have been answered.
    pub status: i32,
    /// Whether it changed, or queued a change of, the world.
    pub mutating: bool,
    /// Whether it was carried out, even if the answer was lost.
    pub accepted: bool,
    /// The client's own name (`User-Agent`).
    pub client: Option<String>,
}

/// All entries, in memory and, if wanted, as JSON lines in a file.
#[derive(Debug, Default)]
pub struct Ledger {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: Vec<Entry>,
    file: Option<std::fs::File>,
    /// The first failure to write, reported rather than lost.
    trouble: Option<String>,
}

impl Ledger {
    /// In memory alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// In memory and appended to this file.
    ///
    /// # Errors
    /// When the file cannot be opened for appending.
    pub fn with_file(path: &Path) -> std::io::Result<Self> {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { state: Mutex::new(State { file: Some(file), ..State::default() }) })
    }

    /// Adds one; its number is given here.
    pub fn add(&self, mut entry: Entry) {
        let mut state = self.lock();
        entry.seq = state.entries.len() as u64 + 1;
        if let Some(file) = &mut state.file {
            let written =
                serde_json::to_string(&entry).map_err(std::io::Error::from).and_then(|line| writeln!(file, "{line}"));
            if let Err(error) = written {
                state.trouble.get_or_insert_with(|| format!("the ledger's file cannot be written: {error}"));
            }
        }
        state.entries.push(entry);
    }

    pub fn entries(&self) -> Vec<Entry> {
        self.lock().entries.clone()
    }

    /// What changed, or queued a change of, the world.
    pub fn mutating(&self) -> Vec<Entry> {
        self.lock().entries.iter().filter(|entry| entry.mutating).cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first trouble with the file, if there was any.
    pub fn trouble(&self) -> Option<String> {
        self.lock().trouble.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const SECRET: &str = "***";

/// Parameters as the ledger keeps them.
pub fn redact(path: &str, params: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_secret = |name: &str| is_secret(name) || name == "data" && path.starts_with("/cluster/acme/plugins");
    params
        .iter()
        .map(|(name, value)| (name.clone(), if is_secret(name) { SECRET.to_owned() } else { value.clone() }))
        .collect()
}

/// A command as the ledger keeps it: the word after `--password`, and what follows `--password=`, is hidden.
pub fn redact_command(argv: &[String]) -> String {
    let mut hide_next = false;
    // By pvesh or pvenode: what a DNS provider is logged in to with.
    let plugins =
        argv.iter().any(|word| word == "pvenode" || word.trim_start_matches('/').starts_with("cluster/acme/plugins"));
    let is_secret = |name: &str| is_secret(name) || name == "data" && plugins;
    let words: Vec<String> = argv
        .iter()
        .map(|word| {
            if std::mem::take(&mut hide_next) {
                return SECRET.to_owned();
            }
            let option = word.trim_start_matches('-');
            if option.len() == word.len() {
                return word.clone();
            }
            match option.split_once('=') {
                Some((name, _)) if is_secret(name) => format!("{}={SECRET}", &word[..word.find('=').unwrap_or(0)]),
                _ => {
                    hide_next = is_secret(option);
                    word.clone()
                }
            }
        })
        .collect();
    words.join(" ")
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "otp", "secret", "tfa-challenge", "vncticket", "privatekey", "hmac"]
        .iter()
        .any(|part| name.contains(part))
        || SECRET_NAMES.contains(&name.as_str())
}

#[cfg(test)]
pub(crate) fn sample(path: &str) -> Entry {
    Entry {
        seq: 0,
        at_ms: 1,
        channel: Channel::Http,
        node: "pve1".into(),
        method: "POST".into(),
        path: path.into(),
        params: BTreeMap::new(),
        user: None,
        status: 200,
        mutating: true,
        accepted: true,
        client: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_numbered_and_appended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.jsonl");
        let ledger = Ledger::with_file(&path).unwrap();
        ledger.add(sample("/a"));
        ledger.add(Entry { mutating: false, ..sample("/b") });
        assert_eq!(ledger.entries().iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(ledger.mutating().len(), 1);
        let lines: Vec<Entry> = std::io::BufRead::lines(std::io::BufReader::new(
            std::fs::OpenOptions::new().read(true).open(&path).unwrap(),
        ))
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
        assert_eq!(lines, ledger.entries());
    }

    #[test]
    fn secrets_are_not_kept() {
        let params = BTreeMap::from([("cipassword".to_owned(), "x".to_owned()), ("name".to_owned(), "y".to_owned())]);
        assert_eq!(
            redact("/access/users", &params),
            BTreeMap::from([("cipassword".into(), "***".into()), ("name".into(), "y".into())])
        );
        let data = BTreeMap::from([("data".to_owned(), "x".to_owned())]);
        assert_eq!(redact("/cluster/acme/plugins/cf", &data)["data"], "***");
        let argv: Vec<String> = ["pveum", "user", "add", "a@pve", "--password", "hunter2", "--password=b", "-c", "d"]
            .map(str::to_owned)
            .into();
        assert_eq!(redact_command(&argv), "pveum user add a@pve --password *** --password=*** -c d");
    }
}
