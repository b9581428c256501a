//! The real binary in a world of its own: a home, a state folder and a working folder that go with the test. Nothing
//! here knows what a command should say.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The program under test.
pub const RUNBOOK: &str = env!("CARGO_BIN_EXE_runbook");

/// What came back of a command.
#[derive(Debug, Clone)]
pub struct Got {
    /// The exit code; a signal is none.
    pub exit: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Got {
    /// Fails with both streams where the exit code is another.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.exit, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails unless stdout has all of these.
    #[track_caller]
    pub fn says(&self, parts: &[&str]) -> &Self {
        has(&self.stdout, parts, "stdout");
        self
    }

    /// Fails unless stderr has all of these.
    #[track_caller]
    pub fn complains(&self, parts: &[&str]) -> &Self {
        has(&self.stderr, parts, "stderr");
        self
    }

    /// Fails unless stdout is empty: an error is no data.
    #[track_caller]
    pub fn without_data(&self) -> &Self {
        assert_eq!(self.stdout, "", "stderr:\n{}", self.stderr);
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("{e}\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr))
    }

    pub fn both(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// Wrapped text is compared as if it were not: runs of white space count as one blank.
#[track_caller]
fn has(text: &str, parts: &[&str], what: &str) {
    let flat = flat(text);
    for part in parts {
        assert!(flat.contains(&self::flat(part)), "{what} lacks {part:?}:\n{text}");
    }
}

pub fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A folder with `home`, `state` and `cwd`, and an environment that knows nothing of the machine's own.
pub struct World {
    dir: tempfile::TempDir,
    env: BTreeMap<String, OsString>,
}

impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut env = BTreeMap::new();
        for (name, folder) in [("HOME", "home"), ("XDG_STATE_HOME", "state"), ("XDG_CONFIG_HOME", "config")] {
            let path = dir.path().join(folder);
            std::fs::create_dir_all(&path).unwrap();
            env.insert(name.to_owned(), path.into_os_string());
        }
        std::fs::create_dir_all(dir.path().join("cwd")).unwrap();
        let path = Path::new(RUNBOOK).parent().unwrap().display().to_string();
        let rest = std::env::var("PATH").unwrap_or_default();
        env.insert("PATH".into(), format!("{path}:{rest}").into());
        env.insert("LC_ALL".into(), "C.UTF-8".into());
        env.insert("USER".into(), std::env::var_os("USER").unwrap_or_else(|| "root".into()));
        Self { dir, env }
    }

    pub fn set(&mut self, name: &str, value: impl Into<OsString>) -> &mut Self {
        self.env.insert(name.to_owned(), value.into());
        self
    }

    pub fn unset(&mut self, name: &str) -> &mut Self {
        self.env.remove(name);
        self
    }

    /// Below the working folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("cwd").join(name)
    }

    /// Writes a file below the working folder.
    pub fn write(&self, name: &str, text: &str) -> &Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write(&path, text.as_bytes());
        self
    }

    pub fn read(&self, name: &str) -> String {
        String::from_utf8(read(&self.path(name))).unwrap()
    }

    pub fn runbook(&self, args: &[&str]) -> Got {
        self.spawn(RUNBOOK, args)
    }

    /// A shell script in which `runbook` is the program under test.
    pub fn sh(&self, script: &str) -> Got {
        self.spawn("/bin/sh", &["-c", script])
    }

    /// A shell script against a fresh lab.
    pub fn lab(&self, lab: &Lab<'_>, script: &str) -> Got {
        let mut args: Vec<String> = lab.faults.iter().flat_map(|f| ["--fault".into(), (*f).into()]).collect();
        args.extend(["lab".into(), "exec".into(), "--scenario".into(), lab.scenario.into()]);
        args.extend(["--time-scale".into(), lab.time_scale.to_string()]);
        args.extend(["--ledger".into(), self.path("ledger").display().to_string()]);
        args.extend(lab.token.iter().flat_map(|token| ["--token".into(), (*token).into()]));
        args.extend(["--".into(), "/bin/sh".into(), "-c".into(), script.into()]);
        self.runbook(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// All that reached the last labs of this world.
    pub fn ledger(&self) -> Vec<Value> {
        let text = self.read("ledger");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// `METHOD path` of what changed something, without node names of the door.
    pub fn changes(&self) -> Vec<String> {
        let mutating = self.ledger().into_iter().filter(|entry| entry["mutating"] == true);
        mutating
            .map(|entry| match entry["channel"].as_str().unwrap() {
                "ssh" => format!("ssh {}", entry["params"]["argv"].as_str().unwrap_or_default()),
                _ => format!("{} {}", entry["method"].as_str().unwrap(), entry["path"].as_str().unwrap()),
            })
            .collect()
    }

    /// The same without the two calls of the site's lock, which must be there: it is taken first and given back last.
    #[track_caller]
    pub fn work(&self) -> Vec<String> {
        let mut changes = self.changes();
        let (first, last) = (changes.first().cloned(), changes.pop());
        assert_eq!((first.as_deref(), last.as_deref()), (Some("POST /pools"), Some("DELETE /pools")), "{changes:#?}");
        changes.remove(0);
        assert!(!changes.iter().any(|change| change.ends_with(" /pools")), "{changes:#?}");
        changes
    }

    /// Fails if anything reached the site that changed it.
    #[track_caller]
    pub fn nothing_changed(&self) {
        assert_eq!(self.changes(), Vec::<String>::new());
    }

    #[allow(clippy::disallowed_methods, reason = "the tests start the program from outside, as a person does")]
    pub fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).env_clear().envs(&self.env).current_dir(self.dir.path().join("cwd")).stdin(Stdio::null());
        command
    }

    fn spawn(&self, program: &str, args: &[&str]) -> Got {
        let output = self.command(program, args).output().unwrap();
        Got {
            exit: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Every file below this world, with its bytes.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut folders = vec![self.dir.path().to_owned()];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let kind = entry.file_type().unwrap();
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file() {
                    files.push((entry.path(), read(&entry.path())));
                }
            }
        }
        files
    }
}

/// Which lab a script runs in.
#[derive(Debug, Clone)]
pub struct Lab<'a> {
    pub scenario: &'a str,
    pub faults: &'a [&'a str],
    pub time_scale: u32,
    pub token: Option<&'a str>,
}

impl Default for Lab<'_> {
    fn default() -> Self {
        Self { scenario: "three-node", faults: &[], time_scale: 600, token: None }
    }
}

/// A fresh world, one script in it.
pub fn lab_exec(scenario: &str, faults: &[&str], script: &str) -> (World, Got) {
    let world = World::new();
    let got = world.lab(&Lab { scenario, faults, ..Lab::default() }, script);
    (world, got)
}

#[allow(clippy::disallowed_methods, reason = "tests look at files as they are")]
fn read(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

#[allow(clippy::disallowed_methods, reason = "tests make files as a person would")]
fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
}
