//! `runbook test`.

use std::time::Instant;

use serde_json::json;

use crate::app::rehearse::{self, End, Ended, Kind, Report, Told, Wanted};
use crate::app::{AppError, Exit};
use crate::cli::Face;
use crate::cli::args::{Output, Test};
use crate::report::{FORMAT_VERSION, duration};

/// Rehearses one runbook, or all that have a rehearsal.
pub async fn run(face: &Face, args: Test) -> Result<Exit, AppError> {
    let names = match &args.name {
        Some(name) => vec![name.clone()],
        None => rehearse::names(&face.settings),
    };
    let (began, text) = (Instant::now(), !is_json(face));
    let mut reports = Vec::new();
    for name in names {
        let wanted = wanted(&args, name);
        let mut told = |told: Told<'_>| {
            if text {
                show(face, &told);
            }
        };
        reports.push(rehearse::rehearse(&face.settings, &wanted, &mut told).await?);
    }
    let found = reports.iter().flat_map(Report::findings).count();
    let took = u64::try_from(began.elapsed().as_millis()).unwrap_or_default();
    let value = json!({"format_version": FORMAT_VERSION, "findings": found, "took_ms": took, "reports": reports});
    if !face.printer.json(&value) {
        face.printer.data(&summary(&reports, took));
    }
    Ok(if found == 0 { Exit::Done } else { Exit::Failed })
}

fn is_json(face: &Face) -> bool {
    matches!(face.printer.output, Output::Json | Output::Jsonl | Output::Yaml)
}

fn wanted(args: &Test, name: String) -> Wanted {
    let jobs = args.jobs.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(2);
    Wanted {
        version: None,
        name,
        args: args.args.clone(),
        set: args.set.clone(),
        cluster: args.cluster.clone(),
        scenario: args.scenario.clone(),
        only: args.case.clone(),
        torture: args.torture,
        jobs,
        double: None,
    }
}

fn show(face: &Face, told: &Told<'_>) {
    match told {
        Told::Case { runbook, case } => {
            let mut words = vec![(*runbook).to_owned()];
            words.extend(case.args.clone());
            words.extend(case.set.iter().map(|(name, value)| format!("{name}={value}")));
            let faults: String = case.faults.iter().map(|fault| format!(", {fault}")).collect();
            face.printer.data(&format!("{}: {} in the lab {}{faults}", case.name, words.join(" "), case.scenario));
        }
        Told::Kind { kind, ended } => {
            if !ended.is_empty() {
                face.printer.data(&line(*kind, ended));
            }
            ended.iter().filter(|one| !one.findings.is_empty()).for_each(|one| face.printer.data(&finding(one)));
        }
    }
}

/// `  fail               7 runs   start 2, reported 5`
fn line(kind: Kind, ended: &[Ended]) -> String {
    let runs = if ended.len() == 1 { "run " } else { "runs" };
    format!("  {:18} {:4} {runs}  {}", kind.as_str(), ended.len(), counts(ended))
}

fn counts<'a>(ended: impl IntoIterator<Item = &'a Ended> + Clone) -> String {
    let of = |end: Option<End>| ended.clone().into_iter().filter(|one| one.end == end).count();
    let counted = [
        ("start", of(Some(End::Start))),
        ("goal", of(Some(End::Goal))),
        ("reported", of(Some(End::Reported))),
        ("FOUND", of(None)),
    ];
    let parts: Vec<String> = counted.iter().filter(|(_, n)| *n > 0).map(|(word, n)| format!("{word} {n}")).collect();
    parts.join(", ")
}

fn finding(one: &Ended) -> String {
    let mut out = format!("\nFOUND: {}, status {}\n", one.case, one.status.as_deref().unwrap_or("none"));
    one.findings.iter().for_each(|why| out.push_str(&format!("  {why}\n")));
    out.push_str(&format!("  the same again: {}\n", one.command));
    out
}

fn summary(reports: &[Report], took: u64) -> String {
    let all: Vec<&Ended> = reports.iter().flat_map(|report| &report.ended).collect();
    let (n, took) = (all.len(), duration(took));
    let found = all.iter().filter(|one| !one.findings.is_empty()).count();
    let ends = counts(all.iter().copied());
    let books = if reports.len() == 1 { "1 runbook".to_owned() } else { format!("{} runbooks", reports.len()) };
    let verdict = match found {
        0 => "no finding".to_owned(),
        1 => "1 FINDING".to_owned(),
        n => format!("{n} FINDINGS"),
    };
    format!("\n{books}, {n} runs: {ends}; {verdict}, in {took}")
}
