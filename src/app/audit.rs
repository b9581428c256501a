//! Proofs that the journal is as it was written, and who did what when.

use super::error::AppError;
use super::open::store;
use super::settings::Settings;
use crate::engine::machine::{State, step};
use crate::event::{Decision, Event, Fact, RunStatus, Signal};
use crate::journal::{Act, Chain, RunFilter, RunHeader, Store, StoreError};

/// What was found of one run.
pub struct Verified {
    pub header: RunHeader,
    pub short: String,
    pub found: Result<Chain, Broken>,
    /// Its events were written by a newer version: the chain was proved, what they mean could not be.
    pub newer: bool,
}

/// The first thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub seq: Option<u64>,
    pub kind: Option<&'static str>,
    pub why: String,
}

/// What was found of the journal.
pub struct Verification {
    pub runs: Vec<Verified>,
    /// What the database finds wrong with its own file.
    pub damage: Vec<String>,
    /// How many acts outside runs there are; or what is wrong with them.
    pub acts: Result<usize, String>,
}

impl Verification {
    pub fn is_whole(&self) -> bool {
        self.damage.is_empty() && self.acts.is_ok() && self.runs.iter().all(|run| run.found.is_ok())
    }
}

/// Proves the runs that `asked` names; where it names none all of them, and the file itself.
///
/// # Errors
/// A name fits no run, or the journal cannot be opened. What is broken is no error but what was found.
pub fn verify(settings: &Settings, asked: &[String]) -> Result<Verification, AppError> {
    let store = store(settings)?;
    let headers = if asked.is_empty() {
        store.runs(&RunFilter::default())?
    } else {
        asked.iter().map(|name| store.find(name)).collect::<Result<_, _>>()?
    };
    let runs = headers.into_iter().map(|header| prove(&store, header)).collect();
    let damage = if asked.is_empty() { store.damage().unwrap_or_else(|e| vec![e.to_string()]) } else { Vec::new() };
    let acts = store.acts().map(|acts| acts.len()).map_err(|e| e.to_string());
    Ok(Verification { runs, damage, acts })
}

fn prove(store: &Store, header: RunHeader) -> Verified {
    let newer = store.is_newer(&header.id).unwrap_or_default();
    let mut fold = Fold::new(!newer);
    let chain = store.verify_events(&header.id, |event| {
        fold.see(&event);
        Ok(())
    });
    let found = match chain {
        // What breaks the chain comes before what breaks the sense.
        Err(error) => Err(Broken::of(&error)),
        Ok(chain) => fold.end(&header).map_or(Ok(chain), Err),
    };
    Verified { short: store.short_id(&header.id), header, found, newer }
}

/// The machine's fold of the facts, up to the first that does not follow.
struct Fold {
    wanted: bool,
    state: State,
    status: RunStatus,
    broken: Option<Broken>,
}

impl Fold {
    fn new(wanted: bool) -> Self {
        Self { wanted, state: State::default(), status: RunStatus::Running, broken: None }
    }

    fn see(&mut self, event: &Event) {
        let Some(fact) = event.fact() else { return };
        self.status = self.status.after(fact);
        if self.wanted
            && self.broken.is_none()
            && let Err(bad) = step(&mut self.state, event.at, fact)
        {
            self.broken = Some(Broken { seq: Some(event.seq), kind: Some(bad.kind), why: bad.to_string() });
        }
    }

    fn end(self, header: &RunHeader) -> Option<Broken> {
        let differs = || {
            let (says, are) = (header.status.as_str(), self.status.as_str());
            let why = format!("the run's record says {says}, and its events say {are}");
            (header.status.is_final() != self.status.is_final()).then_some(Broken { seq: None, kind: None, why })
        };
        self.broken.clone().or_else(|| if self.wanted { differs() } else { None })
    }
}

impl Broken {
    fn of(error: &StoreError) -> Self {
        match error {
            StoreError::Tampered { seq, why, .. } => Self { seq: Some(*seq), kind: None, why: why.clone() },
            StoreError::Unreadable { seq, why, .. } => Self { seq: Some(*seq), kind: None, why: why.clone() },
            other => Self { seq: None, kind: None, why: other.to_string() },
        }
    }
}

/// Something that somebody did.
pub struct Line {
    /// Milliseconds since 1970.
    pub at: u64,
    pub actor: String,
    /// `applied`, `approved`, `lock_broken`: for programs.
    pub kind: String,
    /// The run, lock or site that it was done to.
    pub subject: String,
    /// For people.
    pub what: String,
}

/// Who did what, oldest first: runs begun and taken over, what people said to them, and what was done outside of runs.
///
/// # Errors
/// The journal cannot be read, or its audit is not as it was written.
pub fn log(settings: &Settings) -> Result<Vec<Line>, AppError> {
    let store = store(settings)?;
    let runs = store.runs(&RunFilter::default())?;
    let begun = runs.into_iter().map(|h| Line {
        at: h.created,
        what: format!("began {} on site {}", h.runbook, h.site),
        actor: h.actor,
        kind: "applied".into(),
        subject: h.id.to_string(),
    });
    let mut lines: Vec<Line> = begun.collect();
    for (run, event) in store.said()? {
        if let Some((kind, actor, what)) = said(&event) {
            lines.push(Line { at: event.at, actor, kind: kind.into(), subject: run.to_string(), what });
        }
    }
    lines.extend(store.acts()?.into_iter().map(act));
    lines.sort_by_key(|line| line.at);
    Ok(lines)
}

/// The kind of a word to a run, who said it, and what.
fn said(event: &Event) -> Option<(&'static str, String, String)> {
    let fact = event.fact()?;
    let (who, what) = match fact {
        Fact::Approved { path, who, .. } => (who, format!("approved {path}")),
        Fact::Declined { path, who, why } => (who, format!("declined {path}: {why}")),
        Fact::Decided { path, who, decision, .. } => (who, format!("{} {path}", decided(*decision))),
        Fact::Signalled { signal, .. } => (&event.actor, signalled(signal)),
        Fact::DriverRestarted { host, process } => (&event.actor, format!("went on with it on {host}, pid {process}")),
        _ => return None,
    };
    Some((fact.kind(), who.clone(), what))
}

fn decided(decision: Decision) -> &'static str {
    match decision {
        Decision::Retry => "had another attempt made at",
        Decision::Skip => "went on without",
        Decision::Done => "has done by hand",
        Decision::RollBack => "had the scope rolled back after",
        Decision::Stop => "stopped after",
    }
}

fn signalled(signal: &Signal) -> String {
    match signal {
        Signal::Cancel { level, rollback: true } => format!("cancelled it (level {level}), with a rollback"),
        Signal::Cancel { level, .. } => format!("cancelled it (level {level})"),
        Signal::Pause => "paused it".into(),
        Signal::Resume => "let it go on".into(),
        Signal::Abandon => "gave it up".into(),
        Signal::RollBack => "had it rolled back".into(),
        Signal::Resolve { path, done } => {
            format!("said that {path} {}", if *done { "was done" } else { "was not done" })
        }
    }
}

fn act(act: Act) -> Line {
    let text = |name: &str| act.detail[name].as_str().unwrap_or_default();
    let subject = &act.subject;
    let what = match act.kind.as_str() {
        "lock_broken" => format!("took the lock {subject} from run {}: {}", text("run"), text("reason")),
        "scheduled" => format!("said that a timer may run {subject}: {}", text("runs")),
        "unscheduled" => format!("took back that a timer may run {subject}"),
        "frozen" => format!("froze site {subject}: {}", text("reason")),
        "unfrozen" => format!("ended the freeze of site {subject}"),
        "pruned" => "deleted what was over for long".into(),
        "exported" => "exported it".into(),
        "handed_over" => "handed it over to another machine".into(),
        "imported" if act.detail["copy"] == true => format!("imported a copy of it from {}", text("from")),
        "imported" => format!("imported it from {}", text("from")),
        "taken_back" => "took it back by force".into(),
        other => format!("{other} {subject}"),
    };
    Line { at: act.at, what, actor: act.actor, kind: act.kind, subject: act.subject }
}
