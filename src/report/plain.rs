//! A run as lines, for logs, pipes and CI: an event a line with its time, no animation.

use std::collections::HashMap;
use std::io::Write;

use super::crowd::{Crowds, Told};
use super::figures::{clock, count, duration};
use super::style::Look;
use super::text::clean;
use super::view::RunView;
use crate::engine::ports::Observer;
use crate::event::{Body, Ending, Event, Fact, Note, Question, RunStatus, Signal, Verdict};
use crate::model::failure::{Class, Failure};
use crate::model::ids::StepPath;

/// Progress of a step is written when it is so much further, or so many milliseconds later.
const SHARE: f64 = 0.1;
const PAUSE: u64 = 30_000;

/// Writes a line for each event that a person would want to see.
pub struct Plain<W> {
    out: W,
    look: Look,
    view: RunView,
    crowds: Crowds,
    /// When progress of a step was last written, and how far it was.
    written: HashMap<StepPath, (u64, f64)>,
    /// Questions that waited when this process came.
    asked: HashMap<StepPath, Question>,
}

impl<W: Write + Send> Plain<W> {
    pub fn new(out: W, look: Look) -> Self {
        Self {
            out,
            look,
            view: RunView::default(),
            crowds: Crowds::default(),
            written: HashMap::new(),
            asked: HashMap::new(),
        }
    }

    /// Goes on with a run of which so much was seen before, by others.
    pub fn since(mut self, view: RunView) -> Self {
        self.asked = view.questions().map(|(step, question)| (step.path.clone(), question.clone())).collect();
        self.view = view;
        self
    }

    /// A question that waited already is put again where the run is taken up: that is nothing new.
    fn is_asked_again(&mut self, event: &Event) -> bool {
        let Some(Fact::Asked { path, question }) = event.fact() else { return false };
        self.asked.remove(path).is_some_and(|asked| asked == *question)
    }

    /// What was seen so far: for the summary at the end.
    pub fn view(&self) -> &RunView {
        &self.view
    }

    pub fn into_inner(self) -> W {
        self.out
    }

    fn is_due(&mut self, path: &StepPath, share: Option<f64>, at: u64) -> bool {
        let share = share.unwrap_or(0.0);
        let due = self.written.get(path).is_none_or(|(when, far)| at >= when + PAUSE || share >= far + SHARE);
        if due {
            self.written.insert(path.clone(), (at, share));
        }
        due
    }
}

impl<W: Write + Send> Observer for Plain<W> {
    fn see(&mut self, event: &Event) {
        self.view.see(event);
        if self.is_asked_again(event) {
            return;
        }
        if let Body::Note(Note::Progress { path, share, .. }) = &event.body
            && !self.is_due(path, *share, event.at)
        {
            return;
        }
        let text = match self.crowds.tell(event, &self.view) {
            Told::ByItself => line(event, &self.view),
            Told::Not => None,
            Told::Instead(text) => Some(text),
        };
        if let Some(text) = text {
            let time = clock(event.at, self.look.offset);
            // Whoever reads has gone away: the run goes on, and the journal has it all.
            let _ = writeln!(self.out, "{time} {}", clean(&text)).and_then(|()| self.out.flush());
        }
    }
}

/// What an event says, in a line; `None`: nothing that a person would want to see. `view` has seen it.
pub(super) fn line(event: &Event, view: &RunView) -> Option<String> {
    match &event.body {
        Body::Note(Note::Progress { path, line, share }) => {
            // Many a line says its share itself.
            let far = share.filter(|_| !line.contains('%'));
            let far = far.map(|s| format!(" {:.0}%", s * 100.0)).unwrap_or_default();
            Some(format!("{path}:{far} {line}"))
        }
        Body::Note(Note::Log { path, line }) => Some(format!("{path} | {line}")),
        Body::Note(Note::Message { line }) => Some(line.clone()),
        Body::Fact(fact) => of_fact(fact, event, view),
    }
}

fn of_fact(fact: &Fact, event: &Event, view: &RunView) -> Option<String> {
    Some(match fact {
        Fact::RunCreated { run, plan, .. } => {
            let steps = count(plan.steps.len(), "planned step", "planned steps");
            format!("run {run} of {} begins: {steps}", plan.runbook)
        }
        Fact::LockGranted => "the lock is ours".into(),
        Fact::LockRefused { holder } => format!("locked by {holder}"),
        Fact::LockLost { why } => format!("the lock was lost: {why}"),
        Fact::LockReleased | Fact::Checkpoint { .. } => return None,
        Fact::Expanded { path, items, .. } => format!("{path}: {}", count(items.len(), "item", "items")),
        Fact::Evaluated { path, verdict } => return of_verdict(path, verdict),
        // Its number counts recoveries too, which send nothing: the view counts what was sent.
        Fact::Started { path, .. } => match view.step(path).map_or(1, |step| step.attempts) {
            0 | 1 => format!("{path}: started"),
            tries => format!("{path}: started, attempt {tries}"),
        },
        Fact::Finished { path, ending, .. } => {
            let took = view.step(path).and_then(|s| s.took(event.at)).unwrap_or(0);
            format!("{path}: {}", of_ending(ending, took))
        }
        Fact::TimerFired { path, .. } => format!("{path}: the wait before the next attempt is over"),
        Fact::DeadlinePassed { path: Some(path) } => format!("{path}: its deadline has passed"),
        Fact::DeadlinePassed { path: None } => "the run's deadline has passed".into(),
        Fact::Decided { path, who, decision, .. } => format!("{path}: {who} decides: {}", decision.as_str()),
        Fact::Asked { path, question } => format!("{path}: asks: {}", question.message),
        Fact::Approved { path, who, .. } => format!("{path}: approved by {who}"),
        Fact::Declined { path, who, why } => format!("{path}: declined by {who}: {why}"),
        Fact::Signalled { signal, .. } => of_signal(signal, &event.actor),
        Fact::DriverRestarted { host, process } => format!("taken over by process {process} on {host}"),
        Fact::Parked if view.status == RunStatus::Waiting => {
            format!("{}: waits for an answer; it keeps its lock", named(view))
        }
        Fact::Parked => format!("{}: paused; it keeps its lock", named(view)),
        Fact::RunFinished { status } => format!("{}: {}", named(view), status.as_str()),
    })
}

/// `run 3f2a`; somebody who looks on since a resume has not seen the run's beginning.
fn named(view: &RunView) -> String {
    format!("run {}", view.run).trim_end().to_owned()
}

fn of_verdict(path: &StepPath, verdict: &Verdict) -> Option<String> {
    match verdict {
        // A gate's question follows.
        Verdict::Run { .. } => None,
        Verdict::Skip { reason } => Some(format!("{path}: skipped: {reason}")),
        Verdict::Satisfied => Some(format!("{path}: unchanged: it is done already")),
        Verdict::Listed { manual } => Some(format!("{path}: for a person to do: {manual}")),
        Verdict::Nothing { why } => Some(format!("{path}: nothing to undo: {why}")),
        Verdict::Broken { failure } => Some(format!("{path}: failed: {failure}")),
    }
}

fn of_ending(ending: &Ending, took: u64) -> String {
    let took = duration(took);
    match ending {
        Ending::Ok { .. } => format!("ok after {took}"),
        Ending::Unchanged { .. } => "unchanged: it is so already".into(),
        Ending::Failed { failure } => format!("failed{} after {took}: {failure}", of_class(failure)),
        Ending::NotApplied => "found not to have been applied".into(),
        Ending::InDoubt { evidence } => format!("in doubt: {evidence}"),
        Ending::Cancelled => "cancelled before anything was sent".into(),
    }
}

/// The class, where it says more than that it failed.
fn of_class(failure: &Failure) -> String {
    if failure.class == Class::Failed { String::new() } else { format!(" ({})", failure.class.as_str()) }
}

fn of_signal(signal: &Signal, actor: &str) -> String {
    match signal {
        Signal::Cancel { level: 1, rollback } => {
            let back = if *rollback { "; what was done will be rolled back" } else { "" };
            format!("{actor} cancels: nothing new starts, what is in flight finishes{back}")
        }
        Signal::Cancel { .. } => format!("{actor} cancels again: what can be stopped is stopped"),
        Signal::Pause => format!("{actor} pauses: nothing new starts, what is in flight finishes"),
        Signal::Resume => format!("{actor} resumes"),
        Signal::Abandon => format!("{actor} gives the run up"),
        Signal::RollBack => format!("{actor} rolls back what the run has done"),
        Signal::Resolve { path, done } => {
            format!("{actor} found out about {path}: it was {}done", if *done { "" } else { "not " })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn shown(events: &[Event]) -> String {
        let mut plain = Plain::new(Vec::new(), Look::default());
        events.iter().for_each(|e| plain.see(e));
        String::from_utf8(plain.into_inner()).unwrap()
    }

    #[test]
    fn a_line_an_event() {
        insta::assert_snapshot!(shown(&sample::rolled_back_run()));
    }

    #[test]
    fn a_question_that_waited_is_not_told_again_by_who_takes_the_run_up() {
        let events = sample::failed_run();
        let at = events.iter().position(|event| matches!(event.fact(), Some(Fact::Asked { .. }))).unwrap();
        let asked = &events[at];
        let told = |mut plain: Plain<Vec<u8>>| {
            plain.see(asked);
            String::from_utf8(plain.into_inner()).unwrap()
        };
        let plain = || Plain::new(Vec::new(), Look::default());
        assert!(told(plain()).contains("asks: These guests"));
        assert_eq!(told(plain().since(RunView::of(&events[..=at]))), "");
    }

    #[test]
    fn a_recovery_is_no_attempt() {
        let events = sample::doubtful_run();
        let last = events[events.len() - 2].clone();
        let again = |attempt, body: Ending| Event {
            body: Body::Fact(Fact::Finished { path: "move[107]".into(), attempt, ending: body }),
            ..last.clone()
        };
        let mut shown_of = events[..events.len() - 2].to_vec();
        shown_of.push(again(2, Ending::NotApplied));
        let started = events
            .iter()
            .find(|e| matches!(e.fact(), Some(Fact::Started { path, .. }) if path.as_str() == "move[107]"));
        let mut third = started.unwrap().clone();
        if let Body::Fact(Fact::Started { attempt, .. }) = &mut third.body {
            *attempt = 3;
        }
        shown_of.push(third);
        let text = shown(&shown_of);
        assert!(text.contains("move[107]: started, attempt 2") && !text.contains("attempt 3"), "{text}");
    }

    #[test]
    fn progress_is_written_now_and_then() {
        let note = |at, share| Event {
            seq: 1,
            at: sample::START + at,
            actor: "engine".into(),
            body: Body::Note(Note::Progress {
                path: "a".into(),
                line: "1.0 GiB of 2.0 GiB, 1.0 MiB/s".into(),
                share: Some(share),
            }),
        };
        let events = [note(0, 0.0), note(1000, 0.05), note(2000, 0.12), note(40_000, 0.13), note(41_000, 0.14)];
        insta::assert_snapshot!(shown(&events), @r"
        02:13:05 a: 0% 1.0 GiB of 2.0 GiB, 1.0 MiB/s
        02:13:07 a: 12% 1.0 GiB of 2.0 GiB, 1.0 MiB/s
        02:13:45 a: 13% 1.0 GiB of 2.0 GiB, 1.0 MiB/s
        ");
    }
}
