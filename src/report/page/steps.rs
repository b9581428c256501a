//! The steps as a table, each with its log and failure to be opened.

use super::history::Story;
use super::html::{Html, when};
use super::{Page, of_outcome, said};
use crate::event::{Ending, UndoStatus};
use crate::model::effect::Done;
use crate::model::failure::{Class, Failure};
use crate::report::figures::{clock, count, duration};
use crate::report::view::StepView;

impl Page<'_> {
    pub(super) fn steps(&self, out: &mut Html) {
        out.raw("<section aria-labelledby=\"steps\">\n");
        out.element("h2", "id=\"steps\"", "Steps");
        out.raw("<div class=\"wide\"><table>\n<thead><tr>");
        for head in ["Step", "Outcome", "Tries", "Begun", "Took", "What"] {
            out.element("th", "scope=\"col\"", head);
        }
        out.raw("</tr></thead>\n<tbody>\n");
        for step in self.view.steps() {
            self.row(out, step);
            self.more(out, step);
        }
        out.raw("</tbody></table></div>\n");
        out.close("section");
    }

    fn row(&self, out: &mut Html, step: &StepView) {
        let (sign, class) = of_outcome(&step.outcome);
        out.raw("<tr>");
        out.element("td", "class=\"path\"", step.path.as_str());
        let undo = match &step.undo {
            UndoStatus::None => "",
            UndoStatus::Listed(_) => ", undo by hand",
            UndoStatus::RolledBack => ", rolled back",
            UndoStatus::RollbackFailed => ", rollback failed",
        };
        let outcome = format!("{sign} {}{undo}", said(step.outcome.as_str()));
        out.element("td", &format!("class=\"w {class}\""), &outcome);
        out.element("td", "class=\"n\"", &if step.attempts > 0 { step.attempts.to_string() } else { String::new() });
        out.element("td", "class=\"n\"", &step.started.map(|at| clock(at, self.offset)).unwrap_or_default());
        out.element("td", "class=\"n\"", &step.took(self.view.last).map(duration).unwrap_or_default());
        let what = step.summary.as_deref().unwrap_or(&step.uses);
        let cause = step.cause().filter(|cause| cause != what);
        out.raw("<td>");
        out.text(what);
        if let Some(cause) = cause {
            out.raw(&format!("<br><span class=\"{class}\">"));
            out.text(&cause);
            out.raw("</span>");
        }
        out.raw("</td></tr>\n");
    }

    /// The undo of a step may be of several steps.
    fn undo_stories(&self, step: &StepView) -> Vec<(&str, &Story<'_>)> {
        let undo = step.path.undo();
        let below = format!("{undo}/");
        let paths = self.history.order.iter().filter(|p| **p == undo.as_str() || p.starts_with(&below));
        paths.filter_map(|path| Some((*path, self.history.story(path)?))).collect()
    }

    fn more(&self, out: &mut Html, step: &StepView) {
        let story = self.history.story(step.path.as_str());
        let told = story.filter(|s| !s.log.is_empty() || s.spans.len() > 1);
        let undo = self.undo_stories(step);
        let (failure, asked) = (step.failure(), step.question.as_ref());
        if told.is_none() && undo.is_empty() && failure.is_none() && asked.is_none() && step.undo == UndoStatus::None {
            return;
        }
        let open = if failure.is_some() { " open" } else { "" };
        out.raw(&format!("<tr class=\"more\"><td colspan=\"6\"><details{open}><summary>"));
        out.text(&self.summary(step, told));
        out.raw("</summary>\n");
        if let Some(failure) = failure {
            self::failure(out, failure);
        }
        if let Some(question) = asked {
            out.element("p", "", &format!("Asked: {}", question.message));
            question.word.iter().for_each(|word| out.element("p", "", &format!("To be answered with {word}")));
        }
        if let Some(story) = told {
            self.tell(out, story);
        }
        match &step.undo {
            UndoStatus::Listed(what) => out.element("p", "", &format!("Undo, for a person to do: {what}")),
            UndoStatus::RollbackFailed => {
                out.element(
                    "p",
                    "class=\"bad\"",
                    &format!("✗ Undo failed: {}", step.undo_cause.as_deref().unwrap_or_default()),
                );
            }
            UndoStatus::RolledBack => out.element("p", "", "↶ Rolled back"),
            UndoStatus::None => {}
        }
        for (path, story) in undo {
            out.element("h3", "", path);
            self.tell(out, story);
        }
        out.raw("</details></td></tr>\n");
    }

    fn summary(&self, step: &StepView, told: Option<&Story<'_>>) -> String {
        let mut parts = Vec::new();
        parts.extend(step.failure().map(|_| "failure".to_owned()));
        let lines = told.map_or(0, |story| story.log.len() + story.left_out);
        parts.extend((lines > 0).then(|| count(lines, "line of log", "lines of log")));
        parts.extend((step.undo != UndoStatus::None).then(|| "undo".to_owned()));
        parts.extend(step.question.as_ref().map(|_| "question".to_owned()));
        if parts.is_empty() { "more".into() } else { parts.join(", ") }
    }

    fn tell(&self, out: &mut Html, story: &Story<'_>) {
        out.open("ul");
        for span in &story.spans {
            let took = span.to.map_or_else(|| "not over".into(), |to| duration(to.saturating_sub(span.from)));
            let what = if span.waits { "waited for a person".to_owned() } else { format!("attempt {}", span.attempt) };
            let ended = span.ending.map(|ending| format!(": {}", ending_in_words(ending))).unwrap_or_default();
            out.element("li", "", &format!("{} {what}, {took}{ended}", when(span.from, self.offset)));
        }
        out.close("ul");
        if story.log.is_empty() {
            return;
        }
        out.raw("<pre>");
        if story.left_out > 0 {
            out.text(&format!("({} before these are left out)", count(story.left_out, "line", "lines")));
            out.raw("\n");
        }
        for (at, line) in &story.log {
            out.text(&format!("{}  {line}", clock(*at, self.offset)));
            out.raw("\n");
        }
        out.raw("</pre>\n");
    }
}

fn ending_in_words(ending: &Ending) -> String {
    match ending {
        Ending::Ok { .. } => "ok".into(),
        Ending::Unchanged { .. } => "unchanged, it is so already".into(),
        Ending::Failed { failure } => format!("failed: {failure}"),
        Ending::NotApplied => "found not to have been applied".into(),
        Ending::InDoubt { evidence } => format!("in doubt: {evidence}"),
        Ending::Cancelled => "cancelled before anything was sent".into(),
    }
}

/// A failure with all that a person needs.
pub(super) fn failure(out: &mut Html, failure: &Failure) {
    let done = match failure.done {
        Done::None => "nothing was changed by it",
        Done::Partial => "part of it was done",
        Done::Whole => "all of it was done",
        Done::Unknown => "it is not known how much of it was done",
    };
    out.open("dl");
    let class = if failure.class == Class::Failed { "" } else { failure.class.as_str() };
    let remedy = failure.remedy.as_deref().unwrap_or_default();
    for (what, text) in [
        ("attempted", failure.attempted.as_str()),
        ("cause", &failure.cause),
        ("class", class),
        ("effect", done),
        ("remedy", remedy),
    ] {
        if !text.is_empty() {
            out.element("dt", "", what);
            out.element("dd", "", text);
        }
    }
    out.close("dl");
    if !failure.details.is_empty() {
        out.raw("<pre>");
        for line in &failure.details {
            out.text(line);
            out.raw("\n");
        }
        out.raw("</pre>\n");
    }
}
