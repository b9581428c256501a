//! The end of a run: what was done, and after a failure what failed and why, what has changed already, what to do and
//! what to type next.

use serde_json::Value;

use super::figures::{count, duration};
use super::left::{Extent, can_be_rolled_back, left};
use super::question;
use super::style::{Ink, Look, mark};
use super::table::{Cell, Column, Table};
use super::text::{clean, hang};
use super::view::{RunView, StepView};
use crate::event::{Outcome, Question, RunStatus, UndoStatus};
use crate::model::effect::Done;
use crate::model::failure::{Class, Failure};
use crate::model::param::Param;
use crate::model::plan::Plan;
use crate::model::runbook::Verb;
use crate::model::shell;
use crate::model::value;

/// Rows of the table; what failed or is in doubt is always among them.
const ROWS: usize = 40;
/// Steps that failed beside the first, by name.
const OTHERS: usize = 10;

/// What to print when a run is over or parked. `id` is the shortest beginning that names the run.
pub fn summary(view: &RunView, id: &str, look: &Look) -> String {
    let mut out = table(view, look);
    out.push('\n');
    out.push_str(&story(view, id, look));
    listed(&mut out, &commands(view, id), look);
    out
}

/// What became of it, in words: without the table, and without what to type next.
pub(super) fn story(view: &RunView, id: &str, look: &Look) -> String {
    let mut out = headline(view, id, look);
    asked(&mut out, view, look);
    match view.failed() {
        Some(_) if view.status == RunStatus::Succeeded => tolerated(&mut out, view, look),
        Some((step, failure)) => {
            out.push_str(&failed(step, failure, look));
            others(&mut out, view, step, look);
        }
        None => {}
    }
    doubts(&mut out, view, id, look);
    changed(&mut out, view, look);
    undoing(&mut out, view, look);
    out
}

/// The steps, their outcome and how long they took; those that never ran in one line.
pub(super) fn table(view: &RunView, look: &Look) -> String {
    let mut table = Table::new(&[
        Column::new(""),
        Column::new("step").flexible(),
        Column::new("outcome"),
        Column::new("tries").right().expendable(2),
        Column::new("took").right(),
        Column::new("what").flexible().expendable(1),
    ]);
    let ran = |s: &&StepView| !matches!(s.outcome, Outcome::NotRun(_) | Outcome::Pending | Outcome::Skipped(_));
    let (mut shown, mut more) = (0, 0);
    for step in view.steps().filter(ran) {
        let weighty = matches!(step.outcome, Outcome::Failed(_) | Outcome::InDoubt(_));
        if shown >= ROWS && !weighty {
            more += 1;
            continue;
        }
        shown += 1;
        table.row(row(step, view.last, look));
    }
    let mut out = if table.is_empty() { String::new() } else { table.render(look, 0) };
    if more > 0 {
        out.push_str(&format!("and {more} more\n"));
    }
    let of = |word: &str| view.steps().filter(|s| s.outcome.as_str() == word).count();
    for (word, said) in [("skipped", "skipped"), ("not_run", "not run"), ("pending", "not started yet")] {
        if of(word) > 0 {
            let line = format!("{} {said}\n", count(of(word), "step", "steps"));
            out.push_str(&look.style.paint(Ink::Dim, line.trim_end()));
            out.push('\n');
        }
    }
    out
}

fn row(step: &StepView, now: u64, look: &Look) -> Vec<Cell> {
    let (sign, ink) = mark(&step.outcome, look.style);
    let undo = match step.undo {
        UndoStatus::None => "",
        UndoStatus::Listed(_) => ", undo by hand",
        UndoStatus::RolledBack => ", rolled back",
        UndoStatus::RollbackFailed => ", rollback failed",
    };
    let said = match &step.outcome {
        Outcome::Failed(failure) => failure.cause.clone(),
        Outcome::InDoubt(evidence) => evidence.clone(),
        _ => step.summary.clone().unwrap_or_default(),
    };
    vec![
        Cell::new(sign).ink(ink),
        Cell::new(step.path.as_str()),
        Cell::new(step.outcome.as_str().replace('_', " ") + undo).ink(ink),
        Cell::new(if step.attempts > 0 { step.attempts.to_string() } else { String::new() }),
        Cell::new(step.took(now).map(duration).unwrap_or_default()),
        Cell::new(said),
    ]
}

fn headline(view: &RunView, id: &str, look: &Look) -> String {
    let (word, ink) = match view.status {
        RunStatus::Succeeded => ("Done", Ink::Good),
        RunStatus::Failed => ("FAILED", Ink::Bad),
        RunStatus::Stopped => ("Stopped", Ink::Warn),
        RunStatus::Cancelled => ("Cancelled", Ink::Warn),
        RunStatus::RolledBack => ("Failed and rolled back", Ink::Warn),
        RunStatus::RollbackIncomplete => ("FAILED, and the rollback is INCOMPLETE", Ink::Bad),
        RunStatus::Paused => ("Paused", Ink::Warn),
        RunStatus::Waiting => ("Waiting for a person", Ink::Warn),
        RunStatus::RollingBack => ("Rolling back", Ink::Warn),
        RunStatus::Running => ("Running", Ink::Info),
    };
    let head = look.style.paint(ink, word);
    let mut out = format!("{head}: {}, run {id}, after {}\n", view.runbook(), duration(view.took()));
    if let Some(holder) = &view.lock_holder {
        out.push_str(&hang("  locked: ", holder, look.width));
    }
    if let Some(by) = &view.ended_by {
        out.push_str(&hang("  ", by, look.width));
    }
    out
}

/// The questions that wait for a person, whole: what is said here is what is answered from elsewhere.
pub(super) fn asked(out: &mut String, view: &RunView, look: &Look) {
    for (step, question) in view.questions() {
        out.push_str(&format!("\n{} ", look.style.paint(Ink::Bold, &clean(step.path.as_str()))));
        out.push_str(&question::question(question, look));
    }
}

/// What answers the questions: one command each.
fn answers(view: &RunView, id: &str) -> Vec<String> {
    let several = view.questions().count() > 1;
    let answer = |(step, question): (&StepView, &Question)| {
        let step = if several { format!(" {}", shell::quote(step.path.as_str())) } else { String::new() };
        let word = question.word.as_ref().map(|w| format!(" --confirm {}", shell::quote(w))).unwrap_or_default();
        let options: Vec<&str> = question.options.iter().map(|o| o.as_str()).collect();
        let decide = if options.is_empty() { String::new() } else { format!(" --decide {}", options.join("|")) };
        format!("runbook approve {id}{step}{word}{decide}")
    };
    view.questions().map(answer).collect()
}

fn failed(step: &StepView, failure: &Failure, look: &Look) -> String {
    let class = if failure.class == Class::Failed { String::new() } else { format!(" ({})", failure.class.as_str()) };
    let tries = if step.attempts > 1 { format!(", after {} attempts", step.attempts) } else { String::new() };
    let head = format!("{} failed{class}{tries}", step.path);
    let mut out = format!("\n{}\n", look.style.paint(Ink::Bad, &head));
    out.push_str(&hang("  attempted: ", &failure.attempted, look.width));
    out.push_str(&hang("  cause:     ", &failure.cause, look.width));
    let done = match failure.done {
        Done::None => "nothing was changed by it",
        Done::Partial => "part of it was done",
        Done::Whole => "all of it was done",
        Done::Unknown => "it is not known how much of it was done",
    };
    out.push_str(&hang("  effect:    ", done, look.width));
    let lines = if failure.details.is_empty() { &step.log } else { &failure.details };
    if !lines.is_empty() {
        out.push_str("  its last lines:\n");
    }
    // As they came: broken lines of another program's log are harder to find again.
    lines.iter().for_each(|line| out.push_str(&format!("  {} {}\n", look.style.pick("│", "|"), clean(line))));
    if let Some(remedy) = &failure.remedy {
        out.push_str(&hang("  remedy:    ", remedy, look.width));
    }
    out
}

/// Failures in a run that is well: of optional steps.
fn tolerated(out: &mut String, view: &RunView, look: &Look) {
    for (step, failure) in view.steps().filter_map(|s| Some((s, s.failure()?))) {
        let text = hang("  warning: ", &format!("{} failed, which this run bears: {failure}", step.path), look.width);
        out.push_str(&look.style.paint(Ink::Warn, text.trim_end()));
        out.push('\n');
    }
}

fn others(out: &mut String, view: &RunView, first: &StepView, look: &Look) {
    let paths: Vec<&str> =
        view.steps().filter(|s| s.failure().is_some() && s.path != first.path).map(|s| s.path.as_str()).collect();
    if paths.is_empty() {
        return;
    }
    let more = paths.len().saturating_sub(OTHERS);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let shown = paths[..paths.len().min(OTHERS)].join(", ");
    out.push_str(&hang("  failed too: ", &format!("{shown}{more}"), look.width));
}

fn doubts(out: &mut String, view: &RunView, id: &str, look: &Look) {
    for step in view.steps() {
        if let Outcome::InDoubt(evidence) = &step.outcome {
            let head = format!("{} is in doubt: look at it before going on", step.path);
            out.push_str(&format!("\n{}\n", look.style.paint(Ink::Warn, &head)));
            out.push_str(&hang("  seen: ", evidence, look.width));
            let known = shell::quote(&format!("{}=done", step.path));
            out.push_str(&format!("  when you know: runbook resume {id} --resolve {known} (or =not-done)\n"));
        }
    }
}

/// After anything but a good end a person must know what is different now.
fn changed(out: &mut String, view: &RunView, look: &Look) {
    if view.status == RunStatus::Succeeded {
        return;
    }
    let lines: Vec<String> = left(view)
        .into_iter()
        .map(|left| {
            let doubt = match left.extent {
                Extent::Perhaps => " (perhaps)",
                Extent::Part => " (in part)",
                Extent::Whole => "",
            };
            format!("{}{doubt}: {}", left.path, left.what)
        })
        .collect();
    if lines.is_empty() {
        out.push_str("\nNothing is changed.\n");
        return;
    }
    let undoing = matches!(view.status, RunStatus::RolledBack | RunStatus::RollbackIncomplete);
    out.push_str(if undoing { "\nStill changed:\n" } else { "\nChanged already:\n" });
    lines.iter().take(ROWS).for_each(|line| out.push_str(&hang("  ~ ", line, look.width)));
    if lines.len() > ROWS {
        out.push_str(&format!("  ~ and {} more\n", lines.len() - ROWS));
    }
}

fn undoing(out: &mut String, view: &RunView, look: &Look) {
    let back: Vec<&str> = view.steps().filter(|s| s.undo == UndoStatus::RolledBack).map(|s| s.path.as_str()).collect();
    if !back.is_empty() {
        out.push('\n');
        out.push_str(&hang("Rolled back: ", &back.join(", "), look.width));
    }
    let mut manual = Vec::new();
    for step in view.steps() {
        match &step.undo {
            UndoStatus::Listed(what) => manual.push(format!("{}: {what}", step.path)),
            UndoStatus::RollbackFailed => {
                let why = step.undo_cause.as_deref().unwrap_or("see its log");
                manual.push(format!("{}: its rollback failed: {why}", step.path));
            }
            UndoStatus::None | UndoStatus::RolledBack => {}
        }
    }
    if !manual.is_empty() {
        out.push_str("\nFor you to do by hand:\n");
    }
    manual.iter().for_each(|line| out.push_str(&hang("  ! ", line, look.width)));
}

/// Commands to type next.
pub(super) fn listed(out: &mut String, commands: &[String], look: &Look) {
    if commands.is_empty() {
        return;
    }
    out.push_str("\nNext:\n");
    commands.iter().for_each(|c| out.push_str(&format!("  {}\n", look.style.paint(Ink::Info, &clean(c)))));
}

/// What to type next.
pub(super) fn commands(view: &RunView, id: &str) -> Vec<String> {
    let mut commands = Vec::new();
    if view.status != RunStatus::Succeeded {
        commands.push(format!("runbook status {id}"));
    }
    if let Some((step, _)) = view.failed().filter(|_| view.status != RunStatus::Succeeded) {
        commands.push(format!("runbook logs {id} '{}'", step.path));
    }
    match view.status {
        RunStatus::Waiting => {
            commands.extend(answers(view, id));
            commands.push(format!("runbook cancel {id}"));
        }
        // What is done already shows as unchanged in a new plan.
        RunStatus::Failed | RunStatus::Cancelled | RunStatus::Stopped | RunStatus::RolledBack => {
            commands.extend(view.plan.as_deref().map(again));
            if can_be_rolled_back(view) {
                commands.push(format!("runbook rollback {id}"));
            }
        }
        RunStatus::Paused => {
            commands.push(format!("runbook resume {id}"));
            commands.push(format!("runbook abandon {id}"));
        }
        _ => {}
    }
    commands
}

/// The command that plans the same again.
pub(super) fn again(plan: &Plan) -> String {
    if let Some(line) = single(plan) {
        return line;
    }
    let mut words = vec![format!("runbook plan {}", plan.runbook)];
    let params = plan.procedure.params.iter();
    for param in params {
        let Some(value) = plan.inputs.params.get(&param.name) else { continue };
        if param.default.as_ref() != Some(value) && !value.is_null() {
            words.push(format!("--set {}={}", param.name, written(param, value)));
        }
    }
    words.extend(plan.inputs.cluster.iter().map(|name| format!("--cluster {name}")));
    words.join(" ")
}

/// The command of a run that `runbook do` began.
fn single(plan: &Plan) -> Option<String> {
    let [step] = plan.procedure.steps.as_slice() else { return None };
    let Verb::Uses { action, .. } = &step.verb else { return None };
    let given = plan.procedure.params.iter().filter_map(|param| Some((param, plan.inputs.params.get(&param.name)?)));
    let cluster = plan.inputs.cluster.iter().map(|name| format!(" --cluster {}", shell::quote(name)));
    (plan.runbook == "do").then(|| shell::do_line(action, given) + &cluster.collect::<String>())
}

/// A value as it would be typed; a list with commas.
pub(super) fn written(param: &Param, value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let ty = param.items.unwrap_or(param.ty);
            items.iter().map(|v| value::written(ty, v)).collect::<Vec<_>>().join(",")
        }
        other => value::written(param.ty, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::report::{Style, sample};

    fn shown(events: &[Event], width: usize, unicode: bool) -> String {
        summary(&RunView::of(events), "3f2a", &Look { style: Style { color: false, unicode }, width, offset: 0 })
    }

    #[test]
    fn a_good_end() {
        insta::assert_snapshot!(shown(&sample::good_run(), 120, true));
    }

    #[test]
    fn a_failure_wide_and_narrow() {
        insta::assert_snapshot!("failure_wide", shown(&sample::failed_run(), 160, true));
        insta::assert_snapshot!("failure_narrow", shown(&sample::failed_run(), 60, false));
    }

    #[test]
    fn an_optional_failure_is_a_warning() {
        let mut events = sample::failed_run();
        events.pop();
        events.push(sample::event(160, crate::event::Fact::RunFinished { status: RunStatus::Succeeded }));
        let text = shown(&events, 100, false);
        assert!(text.contains("warning: move[107] failed, which this run bears"), "{text}");
        assert!(!text.contains("Next:"), "{text}");
    }

    #[test]
    fn a_failure_in_colour() {
        let look = Look { style: Style { color: true, unicode: true }, width: 100, offset: 0 };
        insta::assert_snapshot!(summary(&RunView::of(&sample::failed_run()), "3f2a", &look).replace('\x1b', "␛"));
    }

    #[test]
    fn every_other_end() {
        insta::assert_snapshot!("rolled_back", shown(&sample::rolled_back_run(), 100, true));
        insta::assert_snapshot!("in_doubt", shown(&sample::doubtful_run(), 100, true));
        insta::assert_snapshot!("cancelled", shown(&sample::cancelled_run(), 100, true));
        insta::assert_snapshot!("waiting", shown(&sample::waiting_run(), 100, true));
        insta::assert_snapshot!("locked", shown(&sample::locked_run(), 100, true));
        insta::assert_snapshot!("paused", shown(&sample::paused_run(), 100, true));
        insta::assert_snapshot!("rollback_incomplete", shown(&sample::badly_rolled_back_run(), 100, true));
    }
}
