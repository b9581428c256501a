//! Figures about runs in Prometheus's text format, version 0.0.4.
//! Source: prometheus.io/docs/instrumenting/exposition_formats; names after prometheus.io/docs/practices/naming.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::event::RunStatus;

/// A run, as far as it is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFigures {
    pub runbook: String,
    pub site: String,
    pub cluster: Option<String>,
    pub status: RunStatus,
    /// Its process is gone, though it should be going on.
    pub interrupted: bool,
    /// Milliseconds since 1970: when it was created, and its last event.
    pub created: u64,
    pub updated: u64,
    /// Steps of which it is not known what they did.
    pub in_doubt: usize,
}

impl RunFigures {
    fn state(&self) -> &'static str {
        if self.interrupted { INTERRUPTED } else { self.status.as_str() }
    }

    fn is_over(&self) -> bool {
        self.status.is_final()
    }
}

const INTERRUPTED: &str = "interrupted";

const FINAL: [RunStatus; 6] = [
    RunStatus::Succeeded,
    RunStatus::Failed,
    RunStatus::Stopped,
    RunStatus::Cancelled,
    RunStatus::RolledBack,
    RunStatus::RollbackIncomplete,
];
const OPEN: [RunStatus; 4] = [RunStatus::Running, RunStatus::Waiting, RunStatus::Paused, RunStatus::RollingBack];

/// What is counted together.
type Key<'a> = (&'a str, &'a str, Option<&'a str>);

/// All figures. `pending`: notifications that are still to be delivered.
pub fn metrics(runs: &[RunFigures], pending: usize) -> String {
    let mut groups: BTreeMap<Key<'_>, Vec<&RunFigures>> = BTreeMap::new();
    for run in runs {
        groups.entry((&run.runbook, &run.site, run.cluster.as_deref())).or_default().push(run);
    }
    groups.values_mut().for_each(|runs| runs.sort_by_key(|run| run.created));
    let mut out = Page(String::new());
    counts(&mut out, &groups);
    last(&mut out, &groups);
    out.family("runbook_outbox_pending", "gauge", "Notifications that are still to be delivered.");
    out.sample("runbook_outbox_pending", &[], pending as f64);
    out.family("runbook_build_info", "gauge", "The version that wrote these figures.");
    out.sample("runbook_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    out.0
}

fn counts(out: &mut Page, groups: &BTreeMap<Key<'_>, Vec<&RunFigures>>) {
    let count = |runs: &[&RunFigures], state: &str| runs.iter().filter(|run| run.state() == state).count() as f64;
    out.family("runbook_runs_total", "counter", "Runs in the journal that are over, by how they ended.");
    for (key, runs) in groups {
        FINAL.iter().for_each(|s| out.of("runbook_runs_total", key, Some(s.as_str()), count(runs, s.as_str())));
    }
    out.family("runbook_runs_open", "gauge", "Runs that are not over, by how they stand.");
    for (key, runs) in groups {
        for state in OPEN.iter().map(|s| s.as_str()).chain([INTERRUPTED]) {
            out.of("runbook_runs_open", key, Some(state), count(runs, state));
        }
    }
    out.family("runbook_runs_waiting", "gauge", "Runs that go on only when a person does something.");
    for (key, runs) in groups {
        let waiting = |run: &&&RunFigures| matches!(run.state(), "waiting" | "paused" | INTERRUPTED);
        out.of("runbook_runs_waiting", key, None, runs.iter().filter(waiting).count() as f64);
    }
    out.family("runbook_steps_in_doubt", "gauge", "Steps of open runs of which it is not known what they did.");
    for (key, runs) in groups {
        let doubts = runs.iter().filter(|run| !run.is_over()).map(|run| run.in_doubt).sum::<usize>();
        out.of("runbook_steps_in_doubt", key, None, doubts as f64);
    }
}

fn last(out: &mut Page, groups: &BTreeMap<Key<'_>, Vec<&RunFigures>>) {
    let seconds = |ms: u64| ms as f64 / 1000.0;
    out.family("runbook_last_run_timestamp_seconds", "gauge", "When the last run began.");
    for (key, runs) in groups {
        runs.last().into_iter().for_each(|run| {
            out.of("runbook_last_run_timestamp_seconds", key, None, seconds(run.created));
        });
    }
    out.family("runbook_run_last_status", "gauge", "How the last run stands: 1 for its status, 0 for every other one.");
    for (key, runs) in groups {
        let Some(run) = runs.last() else { continue };
        for state in FINAL.iter().chain(&OPEN).map(|s| s.as_str()).chain([INTERRUPTED]) {
            out.of("runbook_run_last_status", key, Some(state), f64::from(u8::from(run.state() == state)));
        }
    }
    out.family("runbook_last_success_timestamp_seconds", "gauge", "When the last run that succeeded was over.");
    for (key, runs) in groups {
        let good = runs.iter().filter(|run| run.status == RunStatus::Succeeded).map(|run| run.updated).max();
        good.into_iter().for_each(|at| out.of("runbook_last_success_timestamp_seconds", key, None, seconds(at)));
    }
    out.family("runbook_last_run_duration_seconds", "gauge", "How long the last run that is over took.");
    for (key, runs) in groups {
        runs.iter().rfind(|run| run.is_over()).into_iter().for_each(|run| {
            let took = seconds(run.updated.saturating_sub(run.created));
            out.of("runbook_last_run_duration_seconds", key, None, took);
        });
    }
}

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn of(&mut self, name: &str, (runbook, site, cluster): &Key<'_>, status: Option<&str>, value: f64) {
        let mut labels = vec![("runbook", *runbook), ("site", *site)];
        labels.extend(cluster.map(|cluster| ("cluster", cluster)));
        labels.extend(status.map(|status| ("status", status)));
        self.sample(name, &labels, value);
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex::Regex;

    fn run(created: u64, status: RunStatus) -> RunFigures {
        RunFigures {
            runbook: "node-evacuation".into(),
            site: "home".into(),
            cluster: None,
            status,
            interrupted: false,
            created,
            updated: created + 90_500,
            in_doubt: 0,
        }
    }

    /// Holds a page against the grammar; what is not so is a panic. The samples, by name with labels.
    fn parse(page: &str) -> BTreeMap<String, f64> {
        let comment = Regex::new(r"^# (HELP [a-z_]+ .+|TYPE [a-z_]+ (counter|gauge))$").unwrap();
        let label = r#"[a-z_]+="(?:[^"\\\n]|\\\\|\\"|\\n)*""#;
        let sample =
            Regex::new(&format!(r"^([a-z_]+)((?:\{{{label}(?:,{label})*\}})?) (-?[0-9]+(?:\.[0-9]+)?)$")).unwrap();
        let (mut family, mut done, mut found) = (String::new(), Vec::new(), BTreeMap::new());
        assert!(page.ends_with('\n') && !page.contains("\r"));
        for line in page.lines() {
            if let Some(name) = line.strip_prefix("# TYPE ") {
                assert!(comment.is_match(line), "{line}");
                family = name.split(' ').next().unwrap().to_owned();
                assert!(!done.contains(&family), "{family} stands in two places");
                done.push(family.clone());
            } else if line.starts_with('#') {
                assert!(comment.is_match(line), "{line}");
            } else {
                let parts = sample.captures(line).unwrap_or_else(|| panic!("no sample: {line}"));
                assert_eq!(&parts[1], family, "a sample outside of its family");
                let old = found.insert(format!("{}{}", &parts[1], &parts[2]), parts[3].parse().unwrap());
                assert!(old.is_none(), "twice: {line}");
            }
        }
        found
    }

    #[test]
    fn the_page_keeps_to_the_grammar_and_says_what_is_true() {
        let mut odd = run(5_000, RunStatus::Running);
        (odd.runbook, odd.interrupted, odd.in_doubt) = ("a\\b \"c\"\nd".into(), true, 2);
        let runs = [run(1_000, RunStatus::Succeeded), run(200_000, RunStatus::Failed), odd];
        let found = parse(&metrics(&runs, 3));
        let here = r#"runbook="node-evacuation",site="home""#;
        assert_eq!(found[&format!("runbook_runs_total{{{here},status=\"succeeded\"}}")], 1.0);
        assert_eq!(found[&format!("runbook_run_last_status{{{here},status=\"failed\"}}")], 1.0);
        assert_eq!(found[&format!("runbook_run_last_status{{{here},status=\"succeeded\"}}")], 0.0);
        assert_eq!(found[&format!("runbook_last_success_timestamp_seconds{{{here}}}")], 91.5);
        assert_eq!(found[&format!("runbook_last_run_timestamp_seconds{{{here}}}")], 200.0);
        assert_eq!(found[&format!("runbook_last_run_duration_seconds{{{here}}}")], 90.5);
        assert_eq!(found[r#"runbook_steps_in_doubt{runbook="a\\b \"c\"\nd",site="home"}"#], 2.0);
        assert_eq!(found[r#"runbook_runs_waiting{runbook="a\\b \"c\"\nd",site="home"}"#], 1.0);
        assert_eq!(found["runbook_outbox_pending"], 3.0);
    }

    #[test]
    fn an_empty_journal_is_a_page_too() {
        assert_eq!(parse(&metrics(&[], 0))["runbook_outbox_pending"], 0.0);
    }
}
