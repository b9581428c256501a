//! A moment of a run as a message for people who are not looking: what, where, why, and what to type next; in the same
//! words as the summary. A pure function of the run's events up to that moment.

use serde_json::{Value, json};

use super::FORMAT_VERSION;
use super::style::{Look, Style};
use super::summary::{commands, story};
use super::text::clean;
use super::view::RunView;
use crate::event::{Event, Fact, Outcome, RunStatus};
use crate::model::notify::Moment;

/// Whoever shows the message breaks its lines.
const LOOK: Look = Look { style: Style { color: false, unicode: true }, width: 10_000, offset: 0 };

/// A message, in the forms that receivers take.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    pub moment: Moment,
    pub title: String,
    pub text: String,
    /// From 1 to 5, where nothing else is configured; 5 calls people out of bed.
    pub priority: u8,
    /// The public shape, with `format_version`.
    pub json: Value,
}

/// The moments that an event is, the one that names it first; none: nobody is told of it.
pub fn moments(event: &Event) -> &'static [Moment] {
    match event.fact() {
        Some(Fact::RunCreated { .. }) => &[Moment::Started],
        Some(Fact::Parked) => &[Moment::Waiting],
        Some(Fact::RunFinished { status }) => match status {
            RunStatus::Succeeded => &[Moment::Succeeded],
            RunStatus::Failed => &[Moment::Failed],
            // It had failed, or somebody wanted it undone: whoever is told of failures is told of this.
            RunStatus::RolledBack => &[Moment::RolledBack, Moment::Failed],
            RunStatus::RollbackIncomplete => &[Moment::Failed, Moment::RolledBack],
            RunStatus::Cancelled | RunStatus::Stopped => &[Moment::Cancelled],
            RunStatus::Running | RunStatus::Waiting | RunStatus::Paused | RunStatus::RollingBack => &[Moment::Waiting],
        },
        _ => &[],
    }
}

/// The message for `event`, the last that `view` has seen. `None`: nobody is told of it.
pub fn notice(view: &RunView, event: &Event) -> Option<Notice> {
    let moment = *moments(event).first()?;
    let asks = view.questions().next().is_some();
    let doubt = view.steps().find(|s| matches!(s.outcome, Outcome::InDoubt(_)));
    let place = place(view);
    let what = happened(view, moment, asks, doubt.is_some());
    let next = next(view, moment);
    let mut text = match moment {
        Moment::Started => begun(view, event),
        _ => story(view, view.run.as_str(), &LOOK),
    };
    if !next.is_empty() {
        text.push_str("\nNext:\n");
        next.iter().for_each(|command| text.push_str(&format!("  {}\n", clean(command))));
    }
    let title = clean(&format!("{} {what} at {place}", view.runbook()));
    let priority = match (moment, view.status) {
        (_, RunStatus::RollbackIncomplete) => 5,
        (Moment::Waiting | Moment::Failed | Moment::RolledBack, _) => 4,
        (Moment::Succeeded | Moment::Cancelled, _) => 3,
        (Moment::Started, _) => 2,
    };
    let json = body(view, event, moment, &title, &text, &next);
    Some(Notice { moment, title, text, priority, json })
}

/// A message that only says that messages arrive.
pub fn rehearsal(site: &str, actor: &str) -> Notice {
    let title = clean(&format!("runbook at {site}: a test"));
    let text = clean(&format!("{actor} asked for it with `runbook notify test`; nothing has happened.")) + "\n";
    let json = json!({
        "format_version": FORMAT_VERSION, "event": "test", "site": site, "actor": actor, "title": title, "text": text,
    });
    Notice { moment: Moment::Started, title, text, priority: 3, json }
}

fn place(view: &RunView) -> String {
    let inputs = view.plan.as_ref().map(|plan| (plan.inputs.site.as_str(), plan.inputs.cluster.as_deref()));
    match inputs {
        Some((site, Some(cluster))) => format!("{site}/{cluster}"),
        Some((site, None)) => site.to_owned(),
        None => String::new(),
    }
}

fn happened(view: &RunView, moment: Moment, asks: bool, doubt: bool) -> &'static str {
    match (moment, view.status) {
        (Moment::Started, _) => "started",
        (Moment::Waiting, _) if asks => "waits for an answer",
        (Moment::Waiting, _) if doubt => "is in doubt",
        (Moment::Waiting, _) => "is paused",
        (Moment::Succeeded, _) => "succeeded",
        (_, RunStatus::RollbackIncomplete) => "FAILED, and the rollback is INCOMPLETE,",
        (_, RunStatus::RolledBack) if view.failed().is_some() => "failed and was rolled back",
        (_, RunStatus::RolledBack) => "was rolled back",
        (Moment::Cancelled, RunStatus::Stopped) => "was stopped",
        (Moment::Cancelled, _) => "was cancelled",
        (Moment::Failed | Moment::RolledBack, _) => "FAILED",
    }
}

fn begun(view: &RunView, event: &Event) -> String {
    let Some(plan) = &view.plan else { return String::new() };
    let s = &plan.summary;
    let counts = [
        (s.create, "to create"),
        (s.change, "to change"),
        (s.destroy, "to destroy"),
        (s.disrupt, "with downtime"),
        (s.unknown, "known later"),
    ];
    let counts = counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect::<Vec<_>>();
    let counts = if counts.is_empty() { "nothing to change".into() } else { counts.join(", ") };
    clean(&format!("run {}, begun by {}: {counts}", view.run, event.actor)) + "\n"
}

fn next(view: &RunView, moment: Moment) -> Vec<String> {
    let id = view.run.as_str();
    match moment {
        Moment::Started => vec![format!("runbook status {id}")],
        _ => commands(view, id),
    }
}

fn body(view: &RunView, event: &Event, moment: Moment, title: &str, text: &str, next: &[String]) -> Value {
    let plan = view.plan.as_ref();
    let question = view.questions().next();
    let doubts = view.steps().filter_map(|s| match &s.outcome {
        Outcome::InDoubt(evidence) => Some(json!({"step": s.path, "evidence": evidence})),
        _ => None,
    });
    json!({
        "format_version": FORMAT_VERSION,
        "event": moment.as_str(),
        "run": view.run,
        "seq": event.seq,
        "at": event.at,
        "runbook": view.runbook(),
        "site": plan.map(|p| &p.inputs.site),
        "cluster": plan.and_then(|p| p.inputs.cluster.as_ref()),
        "status": view.status.as_str(),
        "title": title,
        "text": text,
        "failure": view.failed().map(|(step, failure)| json!({"step": step.path, "failure": failure})),
        "question": question.map(|(step, q)| json!({
            "step": step.path, "message": q.message, "show": q.show, "word": q.word,
        })),
        "in_doubt": doubts.collect::<Vec<_>>(),
        "next": next,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn told(events: &[Event]) -> Notice {
        notice(&RunView::of(events), events.last().unwrap()).unwrap()
    }

    fn shown(notice: &Notice) -> String {
        format!("[{} {}] {}\n{}", notice.moment.as_str(), notice.priority, notice.title, notice.text)
    }

    #[test]
    fn a_failure_says_what_where_why_and_what_next() {
        insta::assert_snapshot!("notice_failure", shown(&told(&sample::failed_run())));
    }

    #[test]
    fn other_ends() {
        insta::assert_snapshot!("notice_success", shown(&told(&sample::good_run())));
        insta::assert_snapshot!("notice_locked", shown(&told(&sample::locked_run())));
        assert_eq!(told(&sample::rolled_back_run()).title, "node-evacuation failed and was rolled back at home");
        let incomplete = told(&sample::badly_rolled_back_run());
        assert_eq!((incomplete.moment, incomplete.priority), (Moment::Failed, 5));
        assert_eq!(told(&sample::cancelled_run()).title, "node-evacuation was cancelled at home");
    }

    #[test]
    fn a_run_that_asks_says_how_to_answer() {
        let mut events = sample::waiting_run();
        events.push(Event { seq: 6, ..sample::event(60, Fact::Parked) });
        let notice = told(&events);
        insta::assert_snapshot!("notice_asks", shown(&notice));
        assert_eq!(notice.json["question"]["word"], "pve2");
        assert_eq!(notice.json["next"][1], "runbook approve 3f2a11111111 --confirm pve2");
    }

    #[test]
    fn the_beginning() {
        insta::assert_snapshot!("notice_started", shown(&told(&sample::failed_run()[..1])));
        assert!(moments(&sample::failed_run()[1]).is_empty());
    }

    #[test]
    fn the_public_shape() {
        let mut json = told(&sample::failed_run()).json;
        json["text"] = "…".into();
        insta::assert_json_snapshot!(json);
    }
}
