//! A command on a host that can be looked for and ended, which a channel of SSH alone does not allow.
//!
//! Without a terminal sshd tells a command nothing when its channel closes: it goes on. OpenSSH's client cannot pass a
//! signal on to it over a shared connection either. So the command is run by a few words of `/bin/sh` that say which
//! process it is, in the first line of its output, and then *become* it (`exec`): no shell stays between, its exit code
//! and its streams are its own, and nothing is left on the host, as a file with its pid would be. sshd gives every
//! session without a terminal a session and process group of its own (`setsid` in `do_exec_no_pty`), led by the login
//! shell; a group that neither that shell nor the command leads is somebody else's and is left alone: then only the
//! process itself is ended. Ending is a second command over the same connection: TERM to the group, then KILL.
//!
//! A pid alone is not enough, for it is given out again: a process is told by the host's boot, its pid and its start
//! (field 22 of `/proc/PID/stat`). A host without `/proc` names no process, and then nothing is ended.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Takes secrets out of a text.
#[derive(Clone)]
pub struct Redact(Arc<dyn Fn(&str) -> String + Send + Sync>);

impl Redact {
    pub fn new(redact: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        Self(Arc::new(redact))
    }

    pub(super) fn text(&self, text: &str) -> String {
        (self.0)(text)
    }
}

impl Default for Redact {
    fn default() -> Self {
        Self::new(str::to_owned)
    }
}

impl fmt::Debug for Redact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redact")
    }
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Job {
    /// At least the program.
    pub argv: Vec<String>,
    /// Beyond what the host gives; `None` takes the variable away. Names are letters, digits and `_`.
    pub env: Vec<(String, Option<String>)>,
    pub stdin: Vec<u8>,
    /// Bytes kept of each stream: the first of stdout, the last of stderr.
    pub keep: usize,
}

/// One process of a host and no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteProcess {
    /// The host's boot.
    pub boot: String,
    pub pid: u32,
    /// In the host's clock ticks since its boot.
    pub start: String,
    /// Its process group, where that is its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
}

/// What is heard of a job before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// From here on it may have begun.
    Sent,
    /// It runs; which process it is, where the host says so.
    Began(Option<RemoteProcess>),
    /// A line of either stream.
    Line(String),
}

/// What a job left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
    /// Whether either stream was longer than what was to be kept.
    pub cut: bool,
    /// Whether its program was found; where not, nothing was run.
    pub found: bool,
}

/// Before the line that says which process it is, so that a login shell's own greeting is not taken for it.
const WORD: &str = "runbook-job";

const BEGIN: &str = "N=$1; shift; \
    while [ \"$1\" != -- ]; do case $1 in *=*) export \"$1\";; *) unset \"$1\";; esac; shift; done; shift; \
    command -v \"$1\" >/dev/null || { echo \"$N missing\"; exit 127; }; \
    f() { echo \"$N $B $$ ${20} $3 $PPID\"; }; \
    { read -r B </proc/sys/kernel/random/boot_id && read -r S </proc/$$/stat; } 2>/dev/null \
    && f ${S##*) } || echo \"$N\"; \
    exec \"$@\"";

/// `$1` boot, `$2` pid, `$3` start, `$4` group or 0, `$5` tenths of a second until KILL. `f` sees the fields of a
/// process from its state on, `h` whether one is left that is ours and no zombie.
const END: &str = "P=$2; T=$3; G=$4; N=$5; \
    read -r B </proc/sys/kernel/random/boot_id && [ \"$B\" = \"$1\" ] || { echo gone; exit 0; }; \
    f() { [ \"${20}\" = \"$T\" ]; }; \
    if read -r S 2>/dev/null </proc/$P/stat; then f ${S##*) } || { echo gone; exit 0; }; fi; \
    h() { [ \"$1\" != Z ] && { [ \"$G\" != 0 ] && [ \"$3\" = \"$G\" ] || [ \"${20}\" = \"$T\" ]; }; }; \
    left() { if [ \"$G\" = 0 ]; then set -- /proc/$P/stat; else set -- /proc/[0-9]*/stat; fi; \
    for d; do S=; read -r S 2>/dev/null <$d; [ -n \"$S\" ] && h ${S##*) } && return 0; done; return 1; }; \
    to=$P; [ \"$G\" = 0 ] || to=-$G; \
    kill -s TERM -- $to 2>/dev/null; \
    while left; do [ $N -gt 0 ] || break; N=$((N-1)); sleep 0.1; done; \
    if left; then kill -s KILL -- $to 2>/dev/null; sleep 0.2; fi; \
    if left; then echo left; else echo gone; fi";

/// `$1` boot, `$2` pid, `$3` start.
const LOOK: &str = "read -r B </proc/sys/kernel/random/boot_id; f() { [ \"$1\" != Z ] && [ \"${20}\" = \"$T\" ]; }; \
    T=$3; S=; read -r S 2>/dev/null </proc/$2/stat; \
    if [ \"$B\" = \"$1\" ] && [ -n \"$S\" ] && f ${S##*) }; then echo running; else echo gone; fi";

/// `$1` and `$2` are `NAME=VALUE`: the oldest of our processes that has both. The command has them before its
/// children, so it is the oldest.
const FIND: &str = "M=; f() { [ \"$1\" = Z ] && return; [ -z \"$M\" ] || [ \"${20}\" -lt \"$M\" ] || return; \
    M=${20}; L=\"$B $P ${20} $3 $2\"; }; read -r B </proc/sys/kernel/random/boot_id; \
    for d in /proc/[0-9]*; do P=${d#/proc/}; [ $P != $$ ] || continue; \
    { tr '\\0' '\\n' <$d/environ | grep -qxF \"$1\" && tr '\\0' '\\n' <$d/environ | grep -qxF \"$2\"; } 2>/dev/null \
    || continue; \
    S=; read -r S 2>/dev/null <$d/stat; [ -n \"$S\" ] && f ${S##*) }; done; \
    [ -z \"$M\" ] && echo none || echo \"$L\"";

fn words<'a>(script: &'a str, rest: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let first = ["/bin/sh", "-c", script, "runbook"].into_iter();
    first.chain(rest).map(str::to_owned).collect()
}

/// The words that run it.
pub(super) fn begin(job: &Job) -> Vec<String> {
    let variables: Vec<String> = job.env.iter().map(variable).collect();
    let rest = std::iter::once(WORD).chain(variables.iter().map(String::as_str));
    words(BEGIN, rest.chain(["--"]).chain(job.argv.iter().map(String::as_str)))
}

fn variable((name, value): &(String, Option<String>)) -> String {
    match value {
        Some(value) => format!("{name}={value}"),
        None => name.clone(),
    }
}

/// The words that end it; `tenths` of a second between TERM and KILL.
pub(super) fn end(process: &RemoteProcess, tenths: u64) -> Vec<String> {
    let (pid, group) = (process.pid.to_string(), process.group.unwrap_or(0).to_string());
    words(END, [process.boot.as_str(), &pid, &process.start, &group, &tenths.to_string()])
}

pub(super) fn look(process: &RemoteProcess) -> Vec<String> {
    words(LOOK, [process.boot.as_str(), &process.pid.to_string(), &process.start])
}

pub(super) fn find(marks: [(&str, &str); 2]) -> Vec<String> {
    let marks = marks.map(|(name, value)| format!("{name}={value}"));
    words(FIND, marks.iter().map(String::as_str))
}

/// The first line of a job's output.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum First {
    Missing,
    Began(Option<RemoteProcess>),
}

/// `None`: this is not the line.
pub(super) fn first(line: &str) -> Option<First> {
    let rest = line.strip_prefix(WORD)?;
    match rest.trim() {
        "missing" => Some(First::Missing),
        rest => Some(First::Began(process(rest))),
    }
}

/// `BOOT PID START GROUP PARENT`, as `BEGIN` and `FIND` write it.
pub(super) fn process(text: &str) -> Option<RemoteProcess> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    let [boot, pid, start, group, parent] = parts[..] else { return None };
    let (pid, group, parent): (u32, u32, u32) = (pid.parse().ok()?, group.parse().ok()?, parent.parse().ok()?);
    start.parse::<u64>().ok()?;
    let own = group > 1 && (group == pid || group == parent);
    Some(RemoteProcess { boot: boot.into(), pid, start: start.into(), group: own.then_some(group) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_names_a_process_and_its_own_group_only() {
        let Some(First::Began(Some(led))) = first("runbook-job b-1 12 345 12 11") else { panic!("it is one") };
        assert_eq!((led.pid, led.start.as_str(), led.group), (12, "345", Some(12)));
        let group = |line: &str| match first(line) {
            Some(First::Began(process)) => process.unwrap().group,
            other => panic!("{other:?}"),
        };
        assert_eq!(group("runbook-job b-1 12 345 11 11"), Some(11), "its login shell leads");
        assert_eq!(group("runbook-job b-1 12 345 7 11"), None, "another's group");
        assert_eq!(group("runbook-job b-1 12 345 1 1"), None, "never all of them");
        assert_eq!(first("runbook-job missing"), Some(First::Missing));
        assert_eq!(first("runbook-job"), Some(First::Began(None)));
        assert_eq!(first("Welcome"), None);
    }

    #[test]
    fn words_stay_words() {
        let env = vec![("A".into(), Some("x y".into())), ("GONE".into(), None)];
        let job = Job { argv: vec!["echo".into(), "a b;c".into()], env, ..Job::default() };
        assert_eq!(begin(&job)[4..], ["runbook-job", "A=x y", "GONE", "--", "echo", "a b;c"]);
    }
}
