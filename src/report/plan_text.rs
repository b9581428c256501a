//! The plan as a person reads it, in Terraform's manner.

use std::collections::{BTreeMap, BTreeSet};

use super::cluster;
use super::figures::count;
use super::placement;
use super::question;
use super::style::{Ink, Look, symbol};
use super::summary::written;
use super::terms;
use super::text::{clean, clip, fill, hang, width};
use crate::model::failure::Failure;
use crate::model::param::{Param, ValueType};
use crate::model::plan::{Change, Plan, PlanStep, Planned};
use crate::model::value;

const DRY_RUN: &str = "DRY RUN: nothing was changed";
/// A path longer than this does not push the summaries of all others to the right.
const WIDEST_PATH: usize = 28;
/// Destructive steps that the last line names.
const NAMED: usize = 6;
/// Reasons for skipping that have a line.
const REASONS: usize = 10;

/// Why a plan is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose<'a> {
    /// Nothing is done; this command would do it.
    DryRun { command: &'a str },
    /// A question, and then it is done.
    Apply,
}

/// A plan and how to show it.
#[derive(Debug, Clone, Copy)]
pub struct PlanText<'a> {
    pub plan: &'a Plan,
    pub purpose: Purpose<'a>,
    pub look: Look,
    /// Commands to type next, where the plan has failed.
    pub next: &'a [String],
}

impl PlanText<'_> {
    pub fn render(&self) -> String {
        let mut out = self.banner();
        out.push('\n');
        out.push_str(&self.title());
        match &self.plan.failure {
            Some(failed) => {
                self.steps(&mut out);
                self.failure(&mut out, failed.path.as_str(), &failed.failure);
            }
            None => {
                self.destructive(&mut out);
                self.steps(&mut out);
                self.remarks(&mut out);
                self.total(&mut out);
            }
        }
        if let Purpose::DryRun { .. } = self.purpose {
            out.push('\n');
            out.push_str(&self.banner());
        }
        out
    }

    fn paint(&self, ink: Ink, text: &str) -> String {
        self.look.style.paint(ink, text)
    }

    fn banner(&self) -> String {
        let Purpose::DryRun { command } = self.purpose else { return String::new() };
        let head = self.paint(Ink::Bold, DRY_RUN);
        if self.plan.failure.is_some() {
            return format!("{head}, and this plan cannot be applied\n");
        }
        if !self.plan.summary.changes() {
            return format!("{head}\n");
        }
        // On a line of its own and never broken: it is for copying.
        format!("{head}\nTo apply it: {}\n", self.paint(Ink::Info, command))
    }

    fn title(&self) -> String {
        let plan = self.plan;
        let title = plan.procedure.title.as_deref().map(|t| format!(": {}", clean(t))).unwrap_or_default();
        let mut out = format!("{}{title}\n", self.paint(Ink::Bold, &plan.runbook));
        let cluster = plan.inputs.cluster.as_ref().map(|c| format!(", cluster {c}")).unwrap_or_default();
        let hash: String = plan.hash.chars().take(12).collect();
        let params = params(plan);
        let params = if params.is_empty() { params } else { format!(", {params}") };
        let line = format!("site {}{cluster}{params}; plan {hash}", plan.inputs.site);
        out.push_str(&self.paint_lines(Ink::Dim, &hang("", &line, self.look.width)));
        out + "\n"
    }

    fn destructive(&self, out: &mut String) {
        let rows: Vec<&PlanStep> = self.plan.steps.iter().filter(|s| rank(s).is_some()).collect();
        if rows.is_empty() {
            return;
        }
        out.push_str(&self.paint(Ink::Bold, "Loss and downtime"));
        out.push('\n');
        let mut sorted = rows;
        sorted.sort_by_key(|s| rank(s));
        let column = self.column();
        for step in sorted {
            out.push_str(&self.row(step, column));
        }
        out.push('\n');
    }

    /// Where the summaries begin.
    fn column(&self) -> usize {
        let widest = self.plan.steps.iter().filter(|s| shown(s)).map(|s| width(s.path.as_str())).max().unwrap_or(0);
        widest.min(WIDEST_PATH).min(self.look.width / 3)
    }

    fn row(&self, step: &PlanStep, column: usize) -> String {
        let (sign, ink) = sign_of(step);
        let path = clip(step.path.as_str(), column, self.look.style);
        let maybe = if step.planned == Planned::Maybe { "(may be skipped) " } else { "" };
        let sign = self.paint(ink, &fill(sign, 2, true));
        // Broken and not cut: what is not said before a yes is a surprise after it.
        let indent = " ".repeat(column + 7);
        let summary = hang(&indent, &format!("{maybe}{}", step.summary), self.look.width);
        let summary = if summary.trim().is_empty() { "\n" } else { &summary[indent.len()..] };
        format!("  {sign} {}  {summary}", fill(&path, column, false))
    }

    fn steps(&self, out: &mut String) {
        let column = self.column();
        if self.plan.steps.iter().any(shown) {
            out.push_str(&self.paint(Ink::Bold, "Steps, in order"));
            out.push('\n');
            out.push_str(&self.legend());
        }
        let terms = terms::terms(self.plan);
        let mut said = BTreeSet::new();
        for step in self.plan.steps.iter().filter(|s| shown(s)) {
            let bare = terms::bare(step.path.as_str());
            for (n, term) in terms.iter().enumerate().filter(|(_, term)| term.scope && is_within(&bare, &term.path)) {
                if said.insert(n) {
                    let head = format!("     {}: ", clip(&term.path, self.look.width / 2, self.look.style));
                    out.push_str(&self.paint_lines(Ink::Dim, &hang(&head, &term.text, self.look.width)));
                }
            }
            out.push_str(&self.row(step, column));
            if let Some(term) = terms.iter().find(|term| !term.scope && term.path == bare) {
                out.push_str(&self.paint_lines(Ink::Dim, &hang("       ", &term.text, self.look.width)));
            }
            self.beneath(out, step);
        }
        let unchanged = self.plan.steps.iter().filter(|s| s.planned == Planned::Unchanged).count();
        if unchanged > 0 {
            let line = format!("   = {}: nothing to do", count(unchanged, "step", "steps"));
            out.push_str(&self.paint(Ink::Dim, &line));
            out.push('\n');
        }
        self.skipped(out);
    }

    /// What the signs that are used mean.
    fn legend(&self) -> String {
        const WORDS: [(&str, &str); 7] = [
            ("+", "create"),
            ("~", "change"),
            ("-", "destroy"),
            ("!", "downtime"),
            ("<=", "read"),
            ("?", "known later"),
            ("*", "question"),
        ];
        let used = |sign: &str| self.plan.steps.iter().any(|s| shown(s) && sign_of(s).0 == sign);
        let words: Vec<String> =
            WORDS.iter().filter(|(sign, _)| used(sign)).map(|(sign, word)| format!("{sign} {word}")).collect();
        self.paint_lines(Ink::Dim, &hang("  ", &words.join(", "), self.look.width))
    }

    fn beneath(&self, out: &mut String, step: &PlanStep) {
        const INDENT: &str = "       ";
        if let Planned::Gate { message, show, word } = &step.planned {
            let text = question::lines(message, show, word.as_deref(), &self.look, INDENT.len());
            out.push_str(&self.paint_lines(Ink::Warn, &text));
        }
        let mut say = |head: &str, ink: Ink, text: &str| {
            // What stands below the first line is shown as it is: a diff, commands.
            let (first, below) = text.split_once('\n').unwrap_or((text, ""));
            let text = hang(&format!("{INDENT}{head}"), first, self.look.width);
            out.push_str(&self.paint_lines(ink, &text));
            for line in below.lines() {
                out.push_str(&self.paint_lines(Ink::Dim, &format!("{INDENT}{line}")));
            }
        };
        if !step.undo.is_empty() && !matches!(step.change, Change::Read | Change::None) {
            say("undo: ", Ink::Dim, &step.undo);
        }
        for note in &step.notes {
            say("note: ", Ink::Warn, note);
        }
        if !step.unknown.is_empty() {
            say("known later: ", Ink::Dim, &step.unknown.join(", "));
        }
        if cluster::ACTIONS.contains(&step.uses.as_str())
            && let Some(pinned) = &step.pinned
        {
            out.push_str(&cluster::render(pinned, &self.look, INDENT.len()));
        }
        if step.uses == placement::ACTION
            && let Some(pinned) = &step.pinned
        {
            out.push('\n');
            out.push_str(&placement::render(pinned, &self.look, INDENT.len()));
            out.push('\n');
        }
    }

    /// Each line by itself, so that a colour never runs over a line's end.
    fn paint_lines(&self, ink: Ink, text: &str) -> String {
        text.lines().map(|line| self.paint(ink, line) + "\n").collect()
    }

    fn skipped(&self, out: &mut String) {
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for step in &self.plan.steps {
            if let Planned::Skipped(reason) = &step.planned {
                *reasons.entry(reason).or_default() += 1;
            }
        }
        let more: usize = reasons.values().skip(REASONS).sum();
        for (reason, n) in reasons.iter().take(REASONS).map(|(r, n)| (*r, *n)) {
            let line = format!("   = {} skipped: {}", count(n, "step", "steps"), clean(reason));
            out.push_str(&self.paint(Ink::Dim, &clip(&line, self.look.width, self.look.style)));
            out.push('\n');
        }
        if more > 0 {
            let line = format!("   = {} skipped for other reasons", count(more, "step", "steps"));
            out.push_str(&self.paint(Ink::Dim, &line));
            out.push('\n');
        }
    }

    fn remarks(&self, out: &mut String) {
        if !self.plan.warnings.is_empty() {
            out.push('\n');
        }
        for warning in grouped(&self.plan.warnings) {
            out.push_str(&self.paint_lines(Ink::Warn, &hang("Warning: ", &warning, self.look.width)));
        }
        let guards = self.plan.guards.len() + self.plan.steps.iter().map(|s| s.guards.len()).sum::<usize>();
        if guards > 0 {
            let line =
                format!("{} checked again before anything is changed", count(guards, "condition is", "conditions are"));
            out.push_str(&format!("\n{line}\n"));
        }
        if let Some(deadline) = self.plan.procedure.deadline {
            let time = value::written(ValueType::Duration, &deadline.into());
            let text = format!("After {time} nothing new is begun: that is the deadline of the run");
            out.push_str(&format!("\n{text}\n"));
        }
    }

    fn total(&self, out: &mut String) {
        let s = &self.plan.summary;
        out.push('\n');
        if !s.changes() {
            out.push_str(&self.paint(Ink::Bold, "No changes."));
            out.push('\n');
            return;
        }
        let parts = [
            (s.create, "to create", Ink::Good),
            (s.change, "to change", Ink::Warn),
            (s.destroy, "to destroy", Ink::Bad),
            (s.disrupt, "with downtime", Ink::Bad),
            (s.unknown, "known later", Ink::Info),
            (s.unchanged, "unchanged", Ink::Dim),
        ];
        let shown = parts.iter().filter(|(n, ..)| *n > 0);
        let words: Vec<(String, Ink)> = shown.map(|(n, what, ink)| (format!("{n} {what}"), *ink)).collect();
        let one_line = "Plan:".len() + words.iter().map(|(w, _)| width(w) + 2).sum::<usize>() <= self.look.width;
        let between = if one_line { ", " } else { ",\n      " };
        let words: Vec<String> = words.iter().map(|(word, ink)| self.paint(*ink, word)).collect();
        out.push_str(&format!("{} {}.\n", self.paint(Ink::Bold, "Plan:"), words.join(between)));
        for (change, head) in [(Change::Destroy, "  - destroys: "), (Change::Disrupt, "  ! downtime: ")] {
            let names: Vec<&str> =
                self.plan.steps.iter().filter(|s| shown_as(s, change)).map(|s| s.path.as_str()).collect();
            if names.is_empty() {
                continue;
            }
            let more = names.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let text = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ") + &more;
            out.push_str(&self.paint_lines(Ink::Bad, &hang(head, &text, self.look.width)));
        }
    }

    fn failure(&self, out: &mut String, path: &str, failure: &Failure) {
        out.push('\n');
        out.push_str(&self.paint(Ink::Bad, &format!("The plan fails at {path} ({})", failure.class.as_str())));
        out.push('\n');
        out.push_str(&hang("  what:   ", &failure.attempted, self.look.width));
        out.push_str(&hang("  why:    ", &failure.cause, self.look.width));
        for line in &failure.details {
            // A line that begins with blanks says more of the one above it.
            let head = if line.starts_with(' ') { "              " } else { "          - " };
            out.push_str(&hang(head, line.trim_start(), self.look.width));
        }
        if let Some(remedy) = &failure.remedy {
            out.push_str(&hang("  remedy: ", remedy, self.look.width));
        }
        for warning in grouped(&self.plan.warnings) {
            out.push_str(&self.paint_lines(Ink::Warn, &hang("Warning: ", &warning, self.look.width)));
        }
        if !self.next.is_empty() {
            out.push_str("\nNext:\n");
        }
        for command in self.next {
            out.push_str(&format!("  {}\n", self.paint(Ink::Info, command)));
        }
    }
}

/// Whether a step stands in a scope, or is it; both without keys.
fn is_within(path: &str, scope: &str) -> bool {
    path.strip_prefix(scope).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn sign_of(step: &PlanStep) -> (&'static str, Ink) {
    if matches!(step.planned, Planned::Gate { .. }) { ("*", Ink::Warn) } else { symbol(step.change) }
}

fn shown(step: &PlanStep) -> bool {
    !matches!(step.planned, Planned::Unchanged | Planned::Skipped(_))
}

fn shown_as(step: &PlanStep, change: Change) -> bool {
    shown(step) && step.change == change
}

/// What is shown first: loss before downtime.
fn rank(step: &PlanStep) -> Option<u8> {
    match step.change {
        Change::Destroy if shown(step) => Some(0),
        Change::Disrupt if shown(step) => Some(1),
        _ => None,
    }
}

/// Warnings in their order; where several guests have the same one it is said once, with their number and names.
pub(super) fn grouped(warnings: &[String]) -> Vec<String> {
    let about = |warning: &str| -> Option<(String, String)> {
        let (guest, what) = warning.split_once(": ").filter(|(g, _)| g.starts_with("VM ") || g.starts_with("CT "))?;
        Some((guest.to_owned(), what.to_owned()))
    };
    let mut groups: Vec<(Vec<String>, String)> = Vec::new();
    for warning in warnings {
        let (guest, what) = about(warning).map_or_else(|| (None, warning.clone()), |(guest, what)| (Some(guest), what));
        match groups.iter_mut().find(|(guests, same)| *same == what && guest.is_some() && !guests.is_empty()) {
            Some((guests, _)) => guests.extend(guest),
            None => groups.push((guest.into_iter().collect(), what)),
        }
    }
    let said = |(guests, what): (Vec<String>, String)| match guests.as_slice() {
        [] => what,
        [one] => format!("{one}: {what}"),
        many => format!("{} guests: {what} ({})", many.len(), many.join(", ")),
    };
    groups.into_iter().map(said).collect()
}

/// The parameters as their author would write them: `node=pve2, keep_free=15%`.
pub(super) fn params(plan: &Plan) -> String {
    let types: BTreeMap<&str, &Param> = plan.procedure.params.iter().map(|p| (p.name.as_str(), p)).collect();
    let said = plan.inputs.params.iter().map(|(name, given)| {
        let given =
            types.get(name.as_str()).map_or_else(|| value::written(ValueType::Any, given), |p| written(p, given));
        format!("{name}={given}")
    });
    said.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Style, sample};

    fn shown(plan: &Plan, style: Style, width: usize) -> String {
        let purpose = Purpose::DryRun { command: "runbook run evacuate pve2 --apply" };
        let next = ["runbook plan evacuate pve2 --set stay=140".to_owned()];
        PlanText { plan, purpose, look: Look { style, width, offset: 0 }, next: &next }.render()
    }

    const UNICODE: Style = Style { color: false, unicode: true };
    const COLOR: Style = Style { color: true, unicode: true };

    #[test]
    fn a_plan_on_a_wide_and_on_a_narrow_terminal() {
        insta::assert_snapshot!("plan_wide", shown(&sample::plan(), UNICODE, 160));
        insta::assert_snapshot!("plan_usual", shown(&sample::plan(), UNICODE, 100));
        insta::assert_snapshot!("plan_narrow_ascii", shown(&sample::plan(), Style::default(), 60));
    }

    #[test]
    fn a_plan_in_colour() {
        insta::assert_snapshot!(shown(&sample::plan(), COLOR, 100).replace('\x1b', "␛"));
    }

    #[test]
    fn colour_adds_no_meaning() {
        let coloured = crate::report::text::clean(&shown(&sample::plan(), COLOR, 100));
        assert_eq!(coloured, crate::report::text::clean(&shown(&sample::plan(), UNICODE, 100)));
    }

    #[test]
    fn the_head_shows_parameters_as_they_are_written() {
        let mut plan = sample::plan();
        let types = [("keep_free", ValueType::Percent), ("wait", ValueType::Duration), ("room", ValueType::Size)];
        std::sync::Arc::make_mut(&mut plan.procedure).params = types.map(|(name, ty)| Param::new(name, ty)).to_vec();
        std::sync::Arc::make_mut(&mut plan.procedure)
            .params
            .push(Param::new("stay", ValueType::List).items(ValueType::Guest));
        let given = [("keep_free", 15.into()), ("wait", 300_000.into()), ("room", (32u64 << 30).into())];
        plan.inputs.params = given.map(|(name, value): (_, serde_json::Value)| (name.to_owned(), value)).into();
        plan.inputs.params.insert("stay".into(), serde_json::json!([104, 107]));
        assert_eq!(params(&plan), "keep_free=15%, room=32GiB, stay=104,107, wait=5m");
    }

    #[test]
    fn one_warning_of_many_guests_is_said_once() {
        let warnings = [
            "VM 104 (web): VM.Audit is missing",
            "the site: is tight",
            "CT 211 (dns): VM.Audit is missing",
            "VM 1: odd",
        ];
        assert_eq!(
            grouped(&warnings.map(str::to_owned)),
            ["2 guests: VM.Audit is missing (VM 104 (web), CT 211 (dns))", "the site: is tight", "VM 1: odd"]
        );
    }

    #[test]
    fn a_plan_that_fails_says_what_to_do() {
        insta::assert_snapshot!("failed_plan", shown(&sample::failed_plan(), UNICODE, 80));
    }

    #[test]
    fn a_plan_to_be_applied_has_no_word_of_a_dry_run() {
        let plan = sample::plan();
        let text = PlanText { plan: &plan, purpose: Purpose::Apply, look: Look::default(), next: &[] }.render();
        assert!(!text.contains("DRY RUN") && text.contains("with downtime"), "{text}");
    }

    #[test]
    fn nothing_to_do_is_said_in_so_many_words() {
        let mut plan = sample::plan();
        plan.steps.retain(|s| s.planned == Planned::Unchanged);
        plan.summary = crate::model::plan::Summary { unchanged: 1, ..Default::default() };
        plan.warnings.clear();
        plan.guards.clear();
        insta::assert_snapshot!("no_changes", shown(&plan, UNICODE, 80));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for at in [60, 72, 80, 100, 160] {
            for style in [UNICODE, Style::default()] {
                for line in shown(&sample::plan(), style, at).lines().filter(|l| !l.starts_with("To apply")) {
                    assert!(width(line) <= at, "{at}: {line}");
                }
            }
        }
    }
}
