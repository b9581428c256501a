//! A run as one HTML page that needs nothing else: no network, no scripts. What came from outside is text and stays text.

mod history;
mod html;
mod people;
mod planned;
mod steps;
mod style;
mod timeline;

use html::{Html, when};

use super::figures::duration;
use super::style::{Style, mark};
use super::text::clean;
use super::view::RunView;
use crate::event::{Event, Outcome, RunStatus, UndoStatus};
use history::History;

/// What the journal knows of a run beside its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFacts {
    /// The shortest beginning that names it.
    pub short: String,
    pub site: String,
    pub cluster: Option<String>,
    /// Its status, or `interrupted`.
    pub state: String,
    /// Who asked for it, and where it ran last.
    pub actor: String,
    pub host: String,
    /// Milliseconds since 1970.
    pub created: u64,
    pub plan_hash: String,
    /// The head of the events' hash chain, and how many there are; or why they are not as they were written.
    pub chain: Result<(String, u64), String>,
}

/// The page. Times are shown at `offset` seconds east of Greenwich.
pub fn page(events: &[Event], facts: &RunFacts, offset: i32) -> String {
    let view = RunView::of(events);
    let page = Page { view: &view, history: History::of(events), events, facts, offset };
    let mut out = Html::default();
    page.head(&mut out);
    out.open("main");
    page.trouble(&mut out);
    page.timeline(&mut out);
    page.steps(&mut out);
    page.plan(&mut out);
    page.people(&mut out);
    page.chain(&mut out);
    out.close("main");
    out.raw("</body>\n</html>\n");
    out.done()
}

struct Page<'a> {
    view: &'a RunView,
    history: History<'a>,
    events: &'a [Event],
    facts: &'a RunFacts,
    offset: i32,
}

const UNICODE: Style = Style { color: false, unicode: true };

impl Page<'_> {
    fn head(&self, out: &mut Html) {
        let (view, facts) = (self.view, self.facts);
        let name = view.runbook();
        out.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        out.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
        // Nothing may be fetched, whatever a page was made to hold.
        out.raw(
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n",
        );
        out.raw("<meta name=\"color-scheme\" content=\"light dark\">\n");
        out.element("title", "", &format!("{name}: run {} {}", facts.short, said(&facts.state)));
        out.raw(&format!("<style>{}</style>\n</head>\n<body>\n", style::CSS));
        out.open("header");
        let title = view.plan.as_ref().and_then(|plan| plan.procedure.title.clone());
        out.element("p", "class=\"kind\"", "runbook run");
        out.element("h1", "", title.as_deref().unwrap_or(name));
        let (sign, class) = of_state(&facts.state);
        out.element("p", &format!("class=\"state {class}\""), &format!("{sign} {}", said(&facts.state)));
        out.open("dl");
        let at = facts.cluster.as_ref().map_or_else(|| facts.site.clone(), |c| format!("{}, cluster {c}", facts.site));
        let run = if view.run.as_str().is_empty() { &facts.short } else { view.run.as_str() };
        for (what, value) in [
            ("runbook", name.to_owned()),
            ("site", at),
            ("run", run.to_owned()),
            ("by", facts.actor.clone()),
            ("on", facts.host.clone()),
            ("begun", when(facts.created, self.offset)),
            ("last event", when(view.last, self.offset)),
            ("took", duration(view.took())),
            ("steps", self.counts()),
            ("parameters", view.plan.as_deref().map(super::plan_text::params).unwrap_or_default()),
        ] {
            if !value.is_empty() {
                out.element("dt", "", what);
                out.element("dd", "", &value);
            }
        }
        out.close("dl");
        self.contents(out);
        out.close("header");
    }

    fn contents(&self, out: &mut Html) {
        out.raw("<nav aria-label=\"Contents\">");
        for (to, name) in
            [("timeline", "Timeline"), ("steps", "Steps"), ("plan", "Plan"), ("people", "People"), ("events", "Events")]
        {
            out.raw(&format!("<a href=\"#{to}\">{name}</a> "));
        }
        out.raw("</nav>\n");
    }

    /// `12: 9 ok, 2 unchanged, 1 failed`
    fn counts(&self) -> String {
        let words = [
            "ok",
            "unchanged",
            "skipped",
            "failed",
            "in_doubt",
            "cancelled",
            "waiting",
            "running",
            "retrying",
            "not_run",
            "pending",
        ];
        let known = words.iter().filter(|word| self.view.count(word) > 0);
        let counts: Vec<String> = known.map(|word| format!("{} {}", self.view.count(word), said(word))).collect();
        if counts.is_empty() { String::new() } else { format!("{}: {}", self.view.total(), counts.join(", ")) }
    }

    /// What somebody must know before anything else: what failed, what is in doubt, what is left to do by hand.
    fn trouble(&self, out: &mut Html) {
        let view = self.view;
        let doubtful = || view.steps().filter(|s| matches!(s.outcome, Outcome::InDoubt(_)));
        let by_hand: Vec<(String, String)> = view
            .steps()
            .filter_map(|s| match &s.undo {
                UndoStatus::Listed(what) => Some((s.path.to_string(), what.clone())),
                UndoStatus::RollbackFailed => {
                    let why = s.undo_cause.clone().unwrap_or_else(|| "see its log".into());
                    Some((s.path.to_string(), format!("its rollback failed: {why}")))
                }
                _ => None,
            })
            .collect();
        let failed = view.failed().filter(|_| view.status != RunStatus::Succeeded);
        if failed.is_none() && doubtful().next().is_none() && by_hand.is_empty() && view.ended_by.is_none() {
            return;
        }
        out.raw("<section class=\"trouble\" aria-labelledby=\"trouble\">\n");
        out.element("h2", "id=\"trouble\"", "What went otherwise");
        for said in view.ended_by.iter().chain(&view.lock_holder) {
            out.element("p", "", said);
        }
        if let Some((step, failure)) = failed {
            out.element("h3", "", &format!("✗ {} failed", step.path));
            steps::failure(out, failure);
        }
        for step in doubtful() {
            out.element("h3", "", &format!("? {} is in doubt", step.path));
            out.element("p", "", &step.cause().unwrap_or_default());
        }
        let paths = |wanted: &dyn Fn(&&super::StepView) -> bool| {
            view.steps().filter(|s| wanted(s)).map(|s| s.path.to_string()).collect::<Vec<_>>()
        };
        let back = paths(&|s| s.undo == UndoStatus::RolledBack);
        let still = paths(&|s| s.changed() && s.undo != UndoStatus::RolledBack);
        if view.status != RunStatus::Succeeded {
            self.list(out, "Still changed", &still);
        }
        self.list(out, "Rolled back", &back);
        let by_hand: Vec<String> = by_hand.into_iter().map(|(path, what)| format!("{path}: {what}")).collect();
        self.list(out, "To be done by hand", &by_hand);
        out.close("section");
    }

    fn list(&self, out: &mut Html, head: &str, items: &[String]) {
        if items.is_empty() {
            return;
        }
        out.element("h3", "", head);
        out.open("ul");
        items.iter().for_each(|item| out.element("li", "", item));
        out.close("ul");
    }

    fn chain(&self, out: &mut Html) {
        out.raw("<section aria-labelledby=\"events\">\n");
        out.element("h2", "id=\"events\"", "Events");
        match &self.facts.chain {
            Ok((head, events)) => {
                out.element("p", "", &format!("✓ verified: {events} events, each tied to the one before it."));
                out.raw("<p>Head of the chain: ");
                out.element("code", "", head);
                out.raw("</p>\n");
            }
            Err(why) => out.element("p", "class=\"bad\"", &format!("✗ not verified: {why}")),
        }
        out.raw("<p>Plan: ");
        out.element("code", "", &self.facts.plan_hash);
        out.raw("</p>\n");
        out.close("section");
    }
}

/// A word of the JSON as people read it.
fn said(word: &str) -> String {
    word.replace('_', " ")
}

/// A sign beside the word, and the colour that says the same.
fn of_state(state: &str) -> (&'static str, &'static str) {
    match state {
        "succeeded" => ("✓", "good"),
        "failed" | "rollback_incomplete" => ("✗", "bad"),
        "running" | "rolling_back" => ("▶", "info"),
        "rolled_back" => ("↶", "warn"),
        "waiting" => ("?", "warn"),
        _ => ("■", "warn"),
    }
}

/// The sign and the class of what became of a step.
fn of_outcome(outcome: &Outcome) -> (&'static str, &'static str) {
    let class = match outcome {
        Outcome::Ok => "good",
        Outcome::Failed(_) => "bad",
        Outcome::InDoubt(_) | Outcome::Waiting | Outcome::Cancelled => "warn",
        Outcome::Running | Outcome::Retrying => "info",
        _ => "dim",
    };
    (mark(outcome, UNICODE).0, class)
}

/// A stranger's line without what would steer a terminal; a page needs no more of it.
fn plain(text: &str) -> String {
    clean(text)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) use tests::balanced;
