//! The timeline: a bar an attempt, a row a step, in the order of their begin; waits for people are framed and said.

use super::html::Html;
use super::{Page, of_outcome};
use crate::event::Ending;
use crate::report::figures::{clock, duration};
use crate::report::style::Style;
use crate::report::text::clip;
use crate::report::view::undone;

const WIDE: f64 = 1080.0;
const LABEL: f64 = 210.0;
/// Room behind a bar for how long it took.
const AFTER: f64 = 110.0;
const ROW: f64 = 19.0;
const HEAD: f64 = 26.0;
/// Ticks at most.
const TICKS: u64 = 8;
/// Milliseconds between two ticks: the first that makes few enough.
const STEPS: [u64; 16] = [
    1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000, 1_800_000, 3_600_000,
    7_200_000, 21_600_000, 86_400_000,
];

impl Page<'_> {
    pub(super) fn timeline(&self, out: &mut Html) {
        out.raw("<section aria-labelledby=\"timeline\">\n");
        out.element("h2", "id=\"timeline\"", "Timeline");
        let rows: Vec<&str> = self
            .history
            .order
            .iter()
            .copied()
            .filter(|p| self.history.story(p).is_some_and(|s| !s.spans.is_empty()))
            .collect();
        if rows.is_empty() {
            out.element("p", "", "Nothing was begun.");
        } else {
            self.chart(out, &rows);
        }
        out.close("section");
    }

    fn chart(&self, out: &mut Html, rows: &[&str]) {
        let from = self.view.started.unwrap_or(self.facts.created);
        let to = self.view.last.max(from + 1);
        let scale = |at: u64| LABEL + (at.saturating_sub(from)) as f64 / (to - from) as f64 * (WIDE - LABEL - AFTER);
        let high = HEAD + rows.len() as f64 * ROW + 6.0;
        out.raw(&format!(
            "<svg viewBox=\"0 0 {WIDE:.0} {high:.0}\" role=\"img\" aria-labelledby=\"chart-title chart-desc\">\n"
        ));
        out.element(
            "title",
            "id=\"chart-title\"",
            &format!("When each of {} ran", crate::report::figures::count(rows.len(), "step", "steps")),
        );
        out.element("desc", "id=\"chart-desc\"", "The same times stand in the table of steps below.");
        let step = STEPS.into_iter().find(|step| (to - from) / step <= TICKS).unwrap_or((to - from) / TICKS);
        for tick in (from..=to).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
            let x = scale(tick);
            out.raw(&format!("<path class=\"grid\" d=\"M{x:.1} {:.0}V{high:.0}\"/>", HEAD - 6.0));
            out.element(
                "text",
                &format!("class=\"t\" x=\"{x:.1}\" y=\"14\" text-anchor=\"middle\""),
                &clock(tick, self.offset),
            );
            out.raw("\n");
        }
        for (n, path) in rows.iter().enumerate() {
            self.bars(out, path, HEAD + n as f64 * ROW, &scale);
        }
        out.raw("</svg>\n");
        out.element("p", "class=\"small\"", "A bar is an attempt; a dashed frame is a wait for a person. ↶ is an undo. Widths are in proportion to time.");
    }

    fn bars(&self, out: &mut Html, path: &str, y: f64, scale: &dyn Fn(u64) -> f64) {
        let Some(story) = self.history.story(path) else { return };
        let base = undone(&path.into());
        let name =
            base.map_or_else(|| path.to_owned(), |base| format!("↶ {}{}", base, &path[base.as_str().len() + 5..]));
        let style = Style { color: false, unicode: true };
        out.raw("<g>");
        out.element("title", "", path);
        out.element(
            "text",
            &format!("x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\"", LABEL - 10.0, y + 13.0),
            &clip(&name, 32, style),
        );
        let (mut end, mut waits, mut all) = (LABEL, false, 0);
        for span in &story.spans {
            let over = span.to.unwrap_or(self.view.last);
            let (x0, x1) = (scale(span.from), scale(over));
            let class = if span.waits { "wait".to_owned() } else { format!("b-{}", self.class(path, span.ending)) };
            // A step of no time is still there.
            let wide = (x1 - x0).max(2.5);
            out.raw(&format!(
                "<rect class=\"{class}\" x=\"{x0:.1}\" y=\"{:.1}\" width=\"{wide:.1}\" height=\"11\" rx=\"2\"/>",
                y + 3.5
            ));
            (end, waits, all) = (x0 + wide, waits || span.waits, all + over.saturating_sub(span.from));
        }
        let mut text = duration(all);
        if waits {
            text.push_str(" waiting");
        }
        if let Some(word) = story.spans.last().and_then(|span| word(span.ending)) {
            text.push_str(word);
        }
        out.element("text", &format!("class=\"t\" x=\"{:.1}\" y=\"{:.1}\"", end + 6.0, y + 13.0), &text);
        out.raw("</g>\n");
    }

    fn class(&self, path: &str, ending: Option<&Ending>) -> &'static str {
        match ending {
            Some(Ending::Ok { .. }) => "good",
            Some(Ending::Unchanged { .. } | Ending::NotApplied) => "dim",
            Some(Ending::Failed { .. }) => "bad",
            Some(Ending::InDoubt { .. } | Ending::Cancelled) => "warn",
            None => self.view.step(&path.into()).map_or("info", |step| of_outcome(&step.outcome).1),
        }
    }
}

/// What a colour says too.
fn word(ending: Option<&Ending>) -> Option<&'static str> {
    match ending {
        Some(Ending::Failed { .. }) => Some(" ✗ failed"),
        Some(Ending::InDoubt { .. }) => Some(" ? in doubt"),
        Some(Ending::Cancelled) => Some(" ■ cancelled"),
        Some(Ending::Unchanged { .. }) => Some(" = unchanged"),
        Some(Ending::NotApplied) => Some(" not applied"),
        Some(Ending::Ok { .. }) | None => None,
    }
}
