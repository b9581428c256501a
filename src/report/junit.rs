//! A run as JUnit XML, as CI systems read it: a suite a run, a case a step.

use std::fmt::Write;

use super::view::{RunView, StepView};
use crate::event::{Outcome, RunStatus};
use crate::model::failure::Failure;

/// The run as one test suite. A step in doubt, and a run that ended badly without a failed step, are errors; what was
/// skipped or never ran is skipped.
pub fn junit(view: &RunView) -> String {
    let mut cases = String::new();
    let (mut tests, mut failures, mut errors, mut skipped) = (0, 0, 0, 0);
    for step in view.steps() {
        tests += 1;
        match &step.outcome {
            Outcome::Failed(_) => failures += 1,
            Outcome::InDoubt(_) => errors += 1,
            outcome if is_skipped(outcome) => skipped += 1,
            _ => {}
        }
        case(&mut cases, view, step);
    }
    if let Some(why) = badly(view).filter(|_| failures + errors == 0) {
        (tests, errors) = (tests + 1, errors + 1);
        let body = format!("<error type=\"{}\" message=\"{}\"/>", view.status.as_str(), attribute(&why));
        let _ = writeln!(
            cases,
            "    <testcase classname=\"{}\" name=\"run\" time=\"0\">{body}</testcase>",
            attribute(view.runbook())
        );
    }
    let suite = Suite {
        runbook: view.runbook(),
        run: view.run.as_str(),
        status: view.status.as_str(),
        counts: [tests, failures, errors, skipped],
        took: view.took(),
        started: view.started,
    };
    suite.around(&cases)
}

/// What `--junit` says of a run that was refused before it began: one case, in error, with the refusal's code.
pub fn junit_refused(runbook: &str, code: &str, why: &str, details: &[String]) -> String {
    let case = format!(
        "    <testcase classname=\"{}\" name=\"run\" time=\"0\"><error type=\"{}\" message=\"{}\">{}</error></testcase>\n",
        attribute(runbook),
        attribute(code),
        attribute(why),
        text(&details.join("\n"))
    );
    Suite { runbook, run: "", status: "refused", counts: [1, 0, 1, 0], took: 0, started: None }.around(&case)
}

/// What `--junit` says where there was nothing to do: a suite without a case, which is well.
pub fn junit_of_nothing(runbook: &str) -> String {
    Suite { runbook, run: "", status: "succeeded", counts: [0; 4], took: 0, started: None }.around("")
}

/// What stands round the cases.
struct Suite<'a> {
    runbook: &'a str,
    run: &'a str,
    status: &'a str,
    /// Tests, failures, errors, skipped.
    counts: [usize; 4],
    /// Milliseconds.
    took: u64,
    /// Milliseconds since 1970.
    started: Option<u64>,
}

impl Suite<'_> {
    fn around(&self, cases: &str) -> String {
        let [tests, failures, errors, skipped] = self.counts;
        let figures = format!(
            "tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\" time=\"{}\"",
            seconds(self.took)
        );
        let name = attribute(self.runbook);
        let stamp = self.started.map(|at| format!(" timestamp=\"{}\"", stamp(at))).unwrap_or_default();
        let run = attribute(self.run);
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"{name}\" {figures}>\n  \
             <testsuite name=\"{name}\" id=\"{run}\" {figures}{stamp}>\n    <properties>\n      \
             <property name=\"status\" value=\"{}\"/>\n    </properties>\n{cases}  </testsuite>\n</testsuites>\n",
            self.status
        )
    }
}

fn is_skipped(outcome: &Outcome) -> bool {
    !matches!(outcome, Outcome::Ok | Outcome::Unchanged | Outcome::Failed(_) | Outcome::InDoubt(_))
}

/// Why a run that is over is not well, where no step says it.
fn badly(view: &RunView) -> Option<String> {
    let well = !view.status.is_final() || view.status == RunStatus::Succeeded;
    let why = view.lock_holder.as_ref().map(|holder| format!("locked by {holder}"));
    (!well).then(|| why.or_else(|| view.ended_by.clone()).unwrap_or_else(|| view.status.as_str().replace('_', " ")))
}

fn case(out: &mut String, view: &RunView, step: &StepView) {
    let (class, name) = (attribute(view.runbook()), attribute(step.path.as_str()));
    let time = seconds(step.took(view.last).unwrap_or(0));
    let _ = write!(out, "    <testcase classname=\"{class}\" name=\"{name}\" time=\"{time}\"");
    let cause = attribute(&step.cause().unwrap_or_default());
    let inner = match &step.outcome {
        Outcome::Failed(failure) => {
            format!(
                "<failure type=\"{}\" message=\"{cause}\">{}</failure>",
                failure.class.as_str(),
                text(&body(failure))
            )
        }
        Outcome::InDoubt(_) => format!("<error type=\"in_doubt\" message=\"{cause}\"/>"),
        outcome if is_skipped(outcome) => {
            let why = if cause.is_empty() { outcome.as_str().replace('_', " ") } else { cause };
            format!("<skipped message=\"{why}\"/>")
        }
        _ => String::new(),
    };
    let log = if step.log.is_empty() {
        String::new()
    } else {
        format!("<system-out>{}</system-out>", text(&step.log.join("\n")))
    };
    if inner.is_empty() && log.is_empty() {
        out.push_str("/>\n");
    } else {
        let _ = writeln!(out, ">{inner}{log}</testcase>");
    }
}

fn body(failure: &Failure) -> String {
    let mut lines = vec![format!("attempted: {}", failure.attempted), format!("cause: {}", failure.cause)];
    lines.extend(failure.details.iter().cloned());
    lines.extend(failure.remedy.iter().map(|remedy| format!("remedy: {remedy}")));
    lines.join("\n")
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// `2025-11-21T02:13:05`, in UTC.
fn stamp(at: u64) -> String {
    format!("{}T{}", super::date(at, 0), super::clock(at, 0))
}

/// Text in an element: what XML 1.0 cannot hold at all, escaped or not, is shown by its number.
fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for sign in raw.chars() {
        match sign {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(sign),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

/// Text in an attribute: its line breaks would be read as blanks.
fn attribute(raw: &str) -> String {
    text(raw).replace('\n', "&#10;").replace('\t', "&#9;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::report::sample;

    /// The attributes of the suite, as the cases themselves give them.
    #[track_caller]
    fn counted(events: &[Event]) -> String {
        let xml = junit(&RunView::of(events));
        crate::report::page_is_balanced(&xml.replacen("<?xml version=\"1.0\" encoding=\"UTF-8\"?>", "", 1));
        let of = |tag: &str| xml.matches(tag).count();
        let figures = format!(
            "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\"",
            of("<testcase "),
            of("<failure "),
            of("<error "),
            of("<skipped ")
        );
        assert_eq!(xml.matches(&figures).count(), 2, "{figures}\n{xml}");
        xml
    }

    #[test]
    fn the_figures_are_those_of_the_cases() {
        let failed = counted(&sample::failed_run());
        assert!(failed.contains("<failure type=\"failed\" message=\"migrate VM 107"), "{failed}");
        assert!(
            failed.contains("<testcase classname=\"node-evacuation\" name=\"maintenance\" time=\"100.000\""),
            "{failed}"
        );
        assert!(failed.contains("<skipped message=\"move[107] failed\"/>") && failed.contains("2025-11-21T02:13:05"));
        assert!(counted(&sample::doubtful_run()).contains("<error type=\"in_doubt\""));
        assert!(counted(&sample::locked_run()).contains("<error type=\"stopped\" message=\"locked by run 77aa"));
        for run in
            [sample::good_run(), sample::cancelled_run(), sample::waiting_run(), sample::rolled_back_run(), vec![]]
        {
            counted(&run);
        }
        assert!(!counted(&sample::good_run()).contains("<error"));
    }

    #[test]
    fn a_refusal_is_one_case_in_error_and_nothing_to_do_is_none() {
        let balanced = |xml: &str| crate::report::page_is_balanced(xml.split_once('\n').unwrap().1);
        let refused = junit_refused("a<b", "run::locked", "held by \"x\"", &["one".into(), "hint: wait".into()]);
        balanced(&refused);
        assert_eq!(refused.matches("tests=\"1\" failures=\"0\" errors=\"1\"").count(), 2, "{refused}");
        let error = "<error type=\"run::locked\" message=\"held by &quot;x&quot;\">one\nhint: wait</error>";
        assert!(refused.contains(error) && refused.contains("classname=\"a&lt;b\""), "{refused}");
        let nothing = junit_of_nothing("x");
        balanced(&nothing);
        assert!(nothing.contains("tests=\"0\"") && !nothing.contains("<testcase"), "{nothing}");
    }

    #[test]
    fn control_signs_and_markup_stay_text() {
        assert_eq!(text("a\x1b[31m<b> & \u{0}\n"), "a\\x1b[31m&lt;b&gt; &amp; \\x00\n");
        assert_eq!(attribute("a\n\"b\""), "a&#10;&quot;b&quot;");
    }
}
