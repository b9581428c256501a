//! What a playbook's run came to, read from the lines that ansible-playbook writes.
//!
//! The default callback is asked for with results as JSON, so that whatever a task prints is on one line or indented:
//! nothing of it can be taken for the recap, which is the last of its kind.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

/// A host's counts, under the names of the recap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    pub ok: u64,
    pub changed: u64,
    pub unreachable: u64,
    pub failed: u64,
    pub skipped: u64,
    pub rescued: u64,
    pub ignored: u64,
}

impl Counts {
    /// `ok=1    changed=0 …`; `None` unless all seven are there.
    fn of(text: &str) -> Option<Self> {
        let mut given: BTreeMap<&str, u64> = BTreeMap::new();
        for word in text.split_whitespace() {
            let (name, count) = word.split_once('=')?;
            given.insert(name, count.parse().ok()?);
        }
        let mut take = |name: &str| given.remove(name);
        Some(Self {
            ok: take("ok")?,
            changed: take("changed")?,
            unreachable: take("unreachable")?,
            failed: take("failed")?,
            skipped: take("skipped")?,
            rescued: take("rescued")?,
            ignored: take("ignored")?,
        })
    }

    fn add(&mut self, other: Self) {
        self.ok += other.ok;
        self.changed += other.changed;
        self.unreachable += other.unreachable;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.rescued += other.rescued;
        self.ignored += other.ignored;
    }
}

/// What a host failed at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Failed {
    host: String,
    task: String,
    why: String,
}

/// The reading of one run, line by line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recap {
    pub hosts: BTreeMap<String, Counts>,
    seen: bool,
    task: String,
    failed: Vec<Failed>,
}

impl Recap {
    pub fn line(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("PLAY RECAP ").filter(|rest| rest.starts_with('*')) {
            let _ = rest;
            (self.seen, self.hosts) = (true, BTreeMap::new());
        } else if let Some(name) = ["TASK [", "RUNNING HANDLER ["].iter().find_map(|head| line.strip_prefix(head)) {
            self.task = name.rsplit_once(']').map_or(name, |(name, _)| name).to_owned();
        } else if line == "...ignoring" {
            self.failed.pop();
        } else if let Some(failed) = self.failure(line) {
            self.failed.push(failed);
        } else if self.seen
            && let Some((host, counts)) = line.split_once(" : ").or_else(|| line.split_once(": "))
            && let Some(counts) = Counts::of(counts)
        {
            self.hosts.insert(host.trim().to_owned(), counts);
        }
    }

    /// `fatal: [h1]: FAILED! => {…}`, `failed: [h1 -> h2] (item=x) => {…}`
    fn failure(&self, line: &str) -> Option<Failed> {
        let rest = line.strip_prefix("fatal: [").or_else(|| line.strip_prefix("failed: ["))?;
        let (host, rest) = rest.split_once(']')?;
        let host = host.split(" -> ").next().unwrap_or(host);
        let result = rest.split_once("=> ").map_or(rest, |(_, result)| result);
        let why = match serde_json::from_str::<Value>(result) {
            Ok(result) => ["msg", "stderr", "reason"]
                .iter()
                .filter_map(|key| result[*key].as_str())
                .find(|text| !text.trim().is_empty())
                .map_or_else(|| result.to_string(), str::to_owned),
            Err(_) => rest.trim_start_matches([':', ' ']).to_owned(),
        };
        const MOST: usize = 500;
        let why: String = why.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("; ");
        let why = why.chars().take(MOST).collect();
        Some(Failed { host: host.to_owned(), task: self.task.clone(), why })
    }

    pub fn totals(&self) -> Counts {
        let mut totals = Counts::default();
        self.hosts.values().for_each(|counts| totals.add(*counts));
        totals
    }

    /// Why it has not worked, whatever the exit code says; `None` where every host was met and none has failed.
    pub fn problem(&self) -> Option<String> {
        if !self.seen || self.hosts.is_empty() {
            let why = self.failed.last().map_or_else(String::new, |last| format!("; {}", said(last)));
            let what = if self.seen { "the recap names no host" } else { "it wrote no recap" };
            return Some(format!("{what}: nothing can be said of any host{why}"));
        }
        let bad: Vec<&String> =
            self.hosts.iter().filter(|(_, counts)| counts.failed + counts.unreachable > 0).map(|(h, _)| h).collect();
        let first = bad.first()?;
        let of = |host: &String| self.failed.iter().rev().find(|failed| failed.host == *host);
        let why = of(first).map_or_else(|| format!("{first} has failed"), said);
        let more = if bad.len() > 1 { format!(" (and {} more hosts)", bad.len() - 1) } else { String::new() };
        Some(format!("{why}{more}"))
    }

    /// One line for each host that has failed.
    pub fn details(&self) -> Vec<String> {
        let bad = |host: &str| self.hosts.get(host).is_none_or(|counts| counts.failed + counts.unreachable > 0);
        self.failed.iter().filter(|failed| bad(&failed.host)).map(said).collect()
    }

    pub fn outputs(&self, code: Option<i32>) -> Value {
        let totals = self.totals();
        json!({"hosts": self.hosts, "totals": totals, "changed": totals.changed > 0, "code": code})
    }
}

fn said(failed: &Failed) -> String {
    let task = if failed.task.is_empty() { String::new() } else { format!("task {:?} on ", failed.task) };
    format!("{task}{}: {}", failed.host, failed.why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Recap {
        let mut recap = Recap::default();
        text.lines().for_each(|line| recap.line(line));
        recap
    }

    const RECAP: &str = "PLAY RECAP *********\nh1                         : ok=3    changed=1    unreachable=0    failed=0    skipped=0    rescued=0    ignored=1   \nfe80::1%eth0               : ok=1    changed=0    unreachable=0    failed=0    skipped=2    rescued=1    ignored=0   \n";

    #[test]
    fn the_recap_is_read_by_host_and_in_total() {
        let recap = of(&format!("TASK [a] ****\nok: [h1] => {{\n    \"msg\": \"PLAY RECAP ***\"\n}}\n{RECAP}"));
        assert_eq!(recap.hosts.len(), 2);
        assert_eq!(recap.hosts["fe80::1%eth0"].rescued, 1);
        let totals = recap.totals();
        assert_eq!((totals.ok, totals.changed, totals.skipped, totals.ignored), (4, 1, 2, 1));
        assert_eq!(recap.problem(), None);
        assert_eq!(recap.outputs(Some(0))["changed"], true);
    }

    #[test]
    fn a_failure_is_named_and_no_recap_is_one() {
        let failed = "TASK [boom] ***\nfatal: [h2]: FAILED! => {\"changed\": false, \"msg\": \"non-zero return code\"}\n\nPLAY RECAP ****\nh1 : ok=1 changed=0 unreachable=0 failed=0 skipped=0 rescued=0 ignored=0\nh2 : ok=0 changed=0 unreachable=0 failed=1 skipped=0 rescued=0 ignored=0\n";
        assert_eq!(of(failed).problem().unwrap(), "task \"boom\" on h2: non-zero return code");
        let away =
            failed.replace("FAILED!", "UNREACHABLE!").replace("unreachable=0 failed=1", "unreachable=1 failed=0");
        assert!(of(&away).problem().unwrap().contains("on h2"));
        assert!(of("").problem().unwrap().contains("it wrote no recap"));
        assert!(of("skipping: no hosts matched\nPLAY RECAP ****\n").problem().unwrap().contains("names no host"));
        // What was ignored or rescued is no failure.
        let borne = failed.replace("\n\nPLAY", "\n...ignoring\n\nPLAY").replace("failed=1", "failed=0");
        assert_eq!((of(&borne).problem(), of(&borne).details().len()), (None, 0));
    }
}
