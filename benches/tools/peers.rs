//! The programs that runbook is measured beside: the files that they are given, and how they are called.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const STEPS: usize = 200;
const WIDTH: usize = 8;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// 200 × `/bin/true`, one after another.
    Sequence,
    /// The same, 8 at a time.
    Wide,
    /// 200 × `sleep 0.05`, 8 at a time: 1.25 s at best.
    Sleep,
}

impl Work {
    pub const ALL: [Self; 3] = [Self::Sequence, Self::Wide, Self::Sleep];

    pub fn title(self) -> &'static str {
        match self {
            Self::Sequence => "200 × `/bin/true`, one after another",
            Self::Wide => "200 × `/bin/true`, 8 at a time",
            Self::Sleep => "200 × `/bin/sleep 0.05`, 8 at a time (1.25 s at best)",
        }
    }

    fn words(self) -> &'static str {
        if self == Self::Sleep { "/bin/sleep 0.05" } else { "/bin/true" }
    }

    fn is_wide(self) -> bool {
        self != Self::Sequence
    }
}

/// A program, and how it does such work.
pub struct Peer {
    pub name: &'static str,
    /// Its own words; absent where it is not installed.
    pub version: Option<String>,
    /// How it is to be had.
    pub install: &'static str,
    /// How it is told to do things one after another, and 8 at a time.
    pub how: [&'static str; 2],
    /// It takes half a minute for what others do in one second: fewer rounds say enough.
    pub slow: bool,
    program: PathBuf,
    file: fn(Work) -> Option<String>,
    args: fn(Work, &str) -> Vec<String>,
}

const INSTALL: &str = "scripts/peers";

/// All of them, runbook first. Writes their files into `folder`.
pub fn all(folder: &Path) -> Vec<Peer> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target/tmp").join("peers/bin");
    let peers = [
        Peer {
            name: "runbook",
            version: None,
            install: "cargo builds it",
            how: [
                "200 steps `local.run` with `argv`, journal on, fsync and all",
                "`for_each` of 200, `max_parallel: 8`",
            ],
            slow: false,
            program: env!("CARGO_BIN_EXE_runbook").into(),
            file: runbook,
            args: |_, file| words(&["run", file, "--apply", "--yes", "--progress", "quiet"]),
        },
        Peer {
            name: "make",
            version: None,
            install: "apt-get install --no-install-recommends make",
            how: ["200 phony targets, `make -s`", "the same, `make -s -j8`"],
            slow: false,
            program: "/usr/bin/make".into(),
            file: make,
            args: |work, file| words(&["-s", if work.is_wide() { "-j8" } else { "-j1" }, "-f", file]),
        },
        Peer {
            name: "just",
            version: None,
            install: INSTALL,
            how: ["one recipe of 200 lines", "8 `[parallel]` recipes of 25 lines: it has no bound on the width"],
            slow: false,
            program: home.join("just"),
            file: just,
            args: |_, file| words(&["--quiet", "--justfile", file, "all"]),
        },
        Peer {
            name: "go-task",
            version: None,
            install: INSTALL,
            how: ["one task of 200 `cmds`", "200 tasks as `deps`, `--concurrency 8`"],
            slow: false,
            program: home.join("task"),
            file: task,
            args: |work, file| {
                let width: &[&str] = if work.is_wide() { &["--concurrency", "8"] } else { &[] };
                words(&[&["--silent", "--taskfile", file], width, &["all"]].concat())
            },
        },
        Peer {
            name: "pyinfra",
            version: None,
            install: INSTALL,
            how: ["200 × `server.shell` on `@local`", "one operation at a time on a host"],
            slow: false,
            program: home.join("pyinfra"),
            file: pyinfra,
            args: |_, file| words(&["-y", "@local", file]),
        },
        Peer {
            name: "ansible-core",
            version: None,
            install: INSTALL,
            how: ["200 tasks `command`, local connection", "25 tasks on 8 local hosts, `strategy: free`, 8 forks"],
            slow: true,
            program: home.join("ansible-playbook"),
            file: ansible,
            args: |work, file| {
                let hosts: &[&str] =
                    if work.is_wide() { &["-f", "8", "-i", "h1,h2,h3,h4,h5,h6,h7,h8,"] } else { &["-i", "h1,"] };
                words(&[hosts, &["-c", "local", file]].concat())
            },
        },
    ];
    peers.map(|peer| peer.ready(folder)).into()
}

impl Peer {
    fn ready(mut self, folder: &Path) -> Self {
        for work in Work::ALL {
            if let Some(text) = (self.file)(work) {
                write(&self.path(work, folder), &text);
            }
        }
        self.version = self.program.exists().then(|| self.asked_version(folder));
        self
    }

    fn asked_version(&self, folder: &Path) -> String {
        let output = self.bare(folder).arg("--version").output().expect("a child");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().next().unwrap_or_default();
        let word = line
            .split_whitespace()
            .find(|word| word.trim_start_matches(['v', '[']).starts_with(|c: char| c.is_ascii_digit()));
        let version = word.unwrap_or_else(|| line.split_whitespace().last().unwrap_or_default());
        version.trim_matches(['[', ']', 'v']).to_owned()
    }

    /// Its file for this work; the ending is what some of them go by.
    fn path(&self, work: Work, folder: &Path) -> PathBuf {
        let ending = if self.name == "pyinfra" { "py" } else { "yaml" };
        folder.join(format!("{}-{work:?}.{ending}", self.name).to_lowercase())
    }

    /// `None`: it cannot do that.
    pub fn command(&self, work: Work, folder: &Path) -> Option<Command> {
        (self.file)(work)?;
        let mut command = self.bare(folder);
        command.args((self.args)(work, &self.path(work, folder).display().to_string()));
        Some(command)
    }

    /// In an environment that is the same for all.
    #[allow(clippy::disallowed_methods, reason = "a bench measures the bare child")]
    fn bare(&self, folder: &Path) -> Command {
        let bin = self.program.parent().unwrap_or(Path::new("/")).display().to_string();
        let mut command = Command::new(&self.program);
        command.env_clear().env("HOME", folder).env("PATH", format!("{bin}:/usr/bin:/bin")).env("LC_ALL", "C.UTF-8");
        command.env("XDG_STATE_HOME", folder.join("state")).current_dir(folder);
        command.env("ANSIBLE_PYTHON_INTERPRETER", self.program.with_file_name("python3"));
        command.stdin(Stdio::null());
        command
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// `line` for each step, numbered.
fn lines(line: impl Fn(usize) -> String) -> String {
    (0..STEPS).map(line).collect()
}

fn runbook(work: Work) -> Option<String> {
    let argv = work.words().replace(' ', ", ");
    // A number as a word would be refused as a version that loses a digit, or not: quoted it is a text.
    let argv = argv.replace("0.05", "\"0.05\"");
    let steps = if work.is_wide() {
        format!(
            "  - for_each: range({STEPS}) | list\n    max_parallel: {WIDTH}\n    uses: local.run\n    with: {{argv: [{argv}]}}\n"
        )
    } else {
        lines(|i| format!("  - id: s{i}\n    uses: local.run\n    with: {{argv: [{argv}]}}\n"))
    };
    Some(format!("runbook: runbook-{}\nschema: 1\ntarget: none\nsteps:\n{steps}", format!("{work:?}").to_lowercase()))
}

fn make(work: Work) -> Option<String> {
    let names: Vec<String> = (0..STEPS).map(|i| format!("t{i}")).collect();
    let names = names.join(" ");
    Some(format!(".PHONY: all {names}\nall: {names}\n{}", lines(|i| format!("t{i}:\n\t{}\n", work.words()))))
}

fn just(work: Work) -> Option<String> {
    let line = format!("  @{}\n", work.words());
    if !work.is_wide() {
        return Some(format!("all:\n{}", line.repeat(STEPS)));
    }
    let lanes: String = (0..WIDTH).map(|i| format!("l{i}:\n{}", line.repeat(STEPS / WIDTH))).collect();
    let names: Vec<String> = (0..WIDTH).map(|i| format!("l{i}")).collect();
    Some(format!("[parallel]\nall: {}\n{lanes}", names.join(" ")))
}

fn task(work: Work) -> Option<String> {
    let words = work.words();
    Some(if work.is_wide() {
        let names: Vec<String> = (0..STEPS).map(|i| format!("t{i}")).collect();
        let tasks = lines(|i| format!("  t{i}: {{cmds: [{words}]}}\n"));
        format!("version: '3'\ntasks:\n  all: {{deps: [{}]}}\n{tasks}", names.join(", "))
    } else {
        format!("version: '3'\ntasks:\n  all:\n    cmds:\n{}", lines(|_| format!("      - {words}\n")))
    })
}

fn pyinfra(work: Work) -> Option<String> {
    let operations = lines(|i| format!("server.shell(name='s{i}', commands=['{}'])\n", work.words()));
    (!work.is_wide()).then(|| format!("from pyinfra.operations import server\n{operations}"))
}

fn ansible(work: Work) -> Option<String> {
    let words = work.words();
    let (count, strategy) = if work.is_wide() { (STEPS / WIDTH, "free") } else { (STEPS, "linear") };
    let tasks = format!("    - ansible.builtin.command: {words}\n").repeat(count);
    Some(format!("- hosts: all\n  gather_facts: false\n  strategy: {strategy}\n  tasks:\n{tasks}"))
}

/// Processors, kernel, memory, and what the journal lies on.
pub fn machine(folder: &Path) -> String {
    let model = said("sh", &["-c", "grep -m1 'model name' /proc/cpuinfo | cut -d: -f2"]);
    let kind = said("stat", &["-f", "-c", "%T", &folder.display().to_string()]);
    let memory = said("sh", &["-c", "awk '/MemTotal/ {printf \"%.0f\", $2 / 1048576}' /proc/meminfo"]);
    format!(
        "{} cores of {model}, {memory} GiB, Linux {}, journal on {kind}",
        said("nproc", &[]),
        said("uname", &["-r"])
    )
}

/// What a program of the system says.
#[allow(clippy::disallowed_methods, reason = "a bench asks the system what it runs on")]
pub fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

#[allow(clippy::disallowed_methods, reason = "a bench writes what a person would write")]
fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a file");
}
