//! `runbook status` and `runbook logs`: a run looked at from outside, while it goes on or later.

use super::figures::{clock, date, duration};
use super::plain;
use super::style::{Ink, Look};
use super::summary;
use super::table::{Cell, Column, Table};
use super::text::{clean, hang};
use super::view::{RunView, undone};
use crate::event::{Body, Ending, Event, Fact};
use crate::model::ids::StepPath;

/// A run in a list of runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunLine<'a> {
    /// The shortest beginning that names it.
    pub id: &'a str,
    pub runbook: &'a str,
    pub site: &'a str,
    pub cluster: Option<&'a str>,
    /// Its status, or `interrupted`.
    pub state: &'a str,
    /// Milliseconds since 1970: when it was created, and its last event.
    pub created: u64,
    pub updated: u64,
    pub actor: &'a str,
}

/// `runbook runs`: a line a run, in the order given.
pub fn runs<'a>(lines: impl IntoIterator<Item = RunLine<'a>>, look: &Look) -> String {
    let mut table = Table::new(&[
        Column::new("run"),
        Column::new("runbook").flexible(),
        Column::new("site").expendable(2),
        Column::new("state"),
        Column::new("begun"),
        Column::new("took").right().expendable(1),
        Column::new("by").flexible().expendable(3),
    ]);
    for line in lines {
        let at = line.cluster.map_or_else(|| line.site.to_owned(), |c| format!("{}/{c}", line.site));
        table.row(vec![
            Cell::new(line.id),
            Cell::new(line.runbook),
            Cell::new(at),
            Cell::new(line.state.replace('_', " ")),
            Cell::new(format!("{} {}", date(line.created, look.offset), clock(line.created, look.offset))),
            Cell::new(duration(line.updated.saturating_sub(line.created))),
            Cell::new(line.actor),
        ]);
    }
    if table.is_empty() { "no runs yet\n".into() } else { table.render(look, 0) }
}

/// A run as it stands. `state` is its status or `interrupted`, which only the journal can tell; `id` the shortest
/// beginning that names it.
pub fn status(view: &RunView, state: &str, id: &str, look: &Look) -> String {
    let shown = state.replace('_', " ");
    let mut out = format!("run {}: {}, {}\n", view.run, view.runbook(), look.style.paint(Ink::Bold, &shown));
    if let Some(plan) = &view.plan {
        let site = format!("site {}", plan.inputs.site);
        let since = view.started.map(|at| format!(", since {}", clock(at, look.offset))).unwrap_or_default();
        let last = format!(", last event {}", clock(view.last, look.offset));
        let took = duration(view.took());
        let took = if view.status.is_final() { format!("took {took}") } else { format!("{took} so far") };
        out.push_str(&hang("  ", &format!("{site}{since}{last}, {took}"), look.width));
    }
    out.push('\n');
    out.push_str(&summary::table(view, look));
    for step in view.running() {
        if let Some((line, share)) = &step.progress {
            let far = share.map(|s| format!("{:.0}% ", s * 100.0)).unwrap_or_default();
            out.push_str(&hang(&format!("{}: ", step.path), &format!("{far}{line}"), look.width));
        }
    }
    summary::asked(&mut out, view, look);
    let next = match state {
        "waiting" => summary::commands(view, id).into_iter().skip(1).collect(),
        "interrupted" => vec![format!("runbook resume {id}")],
        "paused" => vec![format!("runbook resume {id}"), format!("runbook abandon {id}")],
        "failed" | "cancelled" => view.plan.as_deref().map(summary::again).into_iter().collect(),
        _ => Vec::new(),
    };
    match next.as_slice() {
        [one] => out.push_str(&format!("\nNext: {}\n", look.style.paint(Ink::Info, &clean(one)))),
        several => summary::listed(&mut out, several, look),
    }
    out
}

/// The log of a run, or of one step with all below it and its undo. Lines are not cut: they are for searching.
pub fn logs<'a>(events: impl IntoIterator<Item = &'a Event>, step: Option<&StepPath>, look: &Look) -> String {
    let mut view = RunView::default();
    let mut out = String::new();
    for event in events {
        view.see(event);
        if step.is_some_and(|wanted| !event.path().is_some_and(|path| is_within(path, wanted))) {
            continue;
        }
        if let Some(line) = plain::line(event, &view) {
            out.push_str(&format!("{} {}\n", clock(event.at, look.offset), clean(&line)));
        }
        if let Body::Fact(Fact::Finished { ending: Ending::Failed { failure }, .. }) = &event.body {
            failure.details.iter().for_each(|line| out.push_str(&format!("         | {}\n", clean(line))));
        }
    }
    out
}

fn is_within(path: &StepPath, wanted: &StepPath) -> bool {
    let rest = path.as_str().strip_prefix(wanted.as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '['])) || undone(path).as_ref() == Some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_status_of_an_interrupted_run() {
        let view = RunView::of(&sample::failed_run()[..sample::DURING]);
        insta::assert_snapshot!(status(&view, "interrupted", "3f2a", &Look::default()));
    }

    #[test]
    fn the_status_of_a_run_that_asks() {
        let view = RunView::of(&sample::waiting_run());
        insta::assert_snapshot!(status(&view, view.status.as_str(), "3f2a", &Look { width: 60, ..Look::default() }));
    }

    #[test]
    fn a_list_of_runs() {
        let line = |id, state, cluster| RunLine {
            id,
            runbook: "node-evacuation",
            site: "home",
            cluster,
            state,
            created: sample::START,
            updated: sample::START + 100_000,
            actor: "ops@host",
        };
        let lines = [line("3f2a", "interrupted", None), line("77aa", "rolled_back", Some("prod"))];
        insta::assert_snapshot!("runs_wide", runs(lines, &Look { width: 100, ..Look::default() }));
        insta::assert_snapshot!("runs_narrow", runs(lines, &Look { width: 60, ..Look::default() }));
        assert_eq!(runs([], &Look::default()), "no runs yet\n");
    }

    #[test]
    fn the_log_of_a_step() {
        insta::assert_snapshot!(logs(&sample::failed_run(), Some(&"move[107]".into()), &Look::default()));
    }

    #[test]
    fn a_step_is_asked_for_with_all_below_it() {
        let within = |path: &str, wanted: &str| is_within(&path.into(), &wanted.into());
        assert!(within("move[104]", "move") && within("move[104]/undo", "move[104]") && within("a/b", "a"));
        assert!(!within("move[104]", "move[10") && !within("mover", "move"));
    }
}
