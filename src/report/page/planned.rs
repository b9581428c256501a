//! The plan that was carried out, with its signs.

use super::Page;
use super::html::Html;
use crate::model::plan::{Plan, PlanStep, Planned, Summary};
use crate::report::figures::count;

impl Page<'_> {
    pub(super) fn plan(&self, out: &mut Html) {
        let Some(plan) = &self.view.plan else { return };
        out.raw("<section aria-labelledby=\"plan\">\n");
        out.element("h2", "id=\"plan\"", "Plan");
        out.element("p", "", &total(&plan.summary));
        for warning in crate::report::plan_text::grouped(&plan.warnings) {
            out.element("p", "class=\"warn\"", &format!("Warning: {warning}"));
        }
        let guards = plan.guards.len() + plan.steps.iter().map(|s| s.guards.len()).sum::<usize>();
        if guards > 0 {
            out.element(
                "p",
                "class=\"small\"",
                &format!("{} checked before anything was changed", count(guards, "condition", "conditions")),
            );
        }
        self.table(out, plan);
        out.close("section");
    }

    fn table(&self, out: &mut Html, plan: &Plan) {
        out.raw("<div class=\"wide\"><table>\n<thead><tr>");
        for head in ["Change", "Step", "What", "Undo"] {
            out.element("th", "scope=\"col\"", head);
        }
        out.raw("</tr></thead>\n<tbody>\n");
        for step in &plan.steps {
            let (sign, word, class) = change(step);
            out.raw("<tr>");
            out.element("td", &format!("class=\"w {class}\""), &format!("{sign} {word}"));
            out.element("td", "class=\"path\"", step.path.as_str());
            out.raw("<td>");
            out.text(&what(step));
            for note in &step.notes {
                out.raw("<br><span class=\"small\">");
                out.text(&format!("note: {note}"));
                out.raw("</span>");
            }
            out.raw("</td>");
            out.element("td", "class=\"small\"", &step.undo);
            out.raw("</tr>\n");
        }
        out.raw("</tbody></table></div>\n");
    }
}

fn what(step: &PlanStep) -> String {
    match &step.planned {
        Planned::Skipped(why) => format!("skipped: {why}"),
        Planned::Gate { message, word, .. } => {
            let answer = word.as_ref().map(|word| format!(" (answer: {word})")).unwrap_or_default();
            format!("{message}{answer}")
        }
        Planned::Maybe => format!("(may be skipped) {}", step.summary),
        Planned::Run | Planned::Unchanged => step.summary.clone(),
    }
}

/// The sign, the word and the colour, which says nothing by itself.
fn change(step: &PlanStep) -> (&'static str, &'static str, &'static str) {
    use crate::model::plan::Change::{Change, Create, Destroy, Disrupt, None, Read, Unknown};
    match (&step.planned, step.change) {
        (Planned::Gate { .. }, _) => ("*", "asks", "warn"),
        (Planned::Skipped(_), _) => ("=", "skipped", "dim"),
        (Planned::Unchanged, _) | (_, None) => ("=", "unchanged", "dim"),
        (_, Create) => ("+", "create", "good"),
        (_, Change) => ("~", "change", "warn"),
        (_, Destroy) => ("-", "destroy", "bad"),
        (_, Disrupt) => ("!", "disrupt", "bad"),
        (_, Read) => ("<=", "read", "info"),
        (_, Unknown) => ("?", "known later", "info"),
    }
}

fn total(summary: &Summary) -> String {
    let parts = [
        (summary.create, "+", "to create"),
        (summary.change, "~", "to change"),
        (summary.destroy, "-", "to destroy"),
        (summary.disrupt, "!", "with downtime"),
        (summary.unknown, "?", "known later"),
        (summary.unchanged, "=", "unchanged"),
    ];
    let shown: Vec<String> =
        parts.iter().filter(|(n, ..)| *n > 0).map(|(n, sign, what)| format!("{sign} {n} {what}")).collect();
    if shown.is_empty() { "No changes.".into() } else { shown.join(", ") }
}
