//! A run folded from its events for those who look at it. It follows what was recorded and decides nothing, so it may
//! say less than the engine knows (a group's own outcome is not recorded), never something else.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::blocked::{blocked, is_among};
use super::late::Written;
use crate::event::{
    Body, Decision, Ending, Event, Fact, Note, Outcome, Question, RunStatus, Signal, UndoStatus, Verdict,
};
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::ids::{RunId, StepPath};
use crate::model::plan::{Change, Plan, Planned};

/// Lines of a step's log that are kept for showing.
const TAIL: usize = 20;

/// What is known of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepView {
    pub path: StepPath,
    /// `proxmox.guest_migrate`; empty where it was never said.
    pub uses: String,
    /// The plan's line for it, where it was in the plan.
    pub summary: Option<String>,
    pub effect: Effect,
    pub outcome: Outcome,
    /// Attempts that were started.
    pub attempts: u32,
    /// Milliseconds since 1970: of the first attempt, and of the last ending.
    pub started: Option<u64>,
    pub ended: Option<u64>,
    /// The last progress: its line and its share from 0 to 1.
    pub progress: Option<(String, Option<f64>)>,
    /// The last lines of its log.
    pub log: Vec<String>,
    pub undo: UndoStatus,
    /// Why its undo failed.
    pub undo_cause: Option<String>,
    /// What a person is asked.
    pub question: Option<Question>,
    /// A group or fan-out: its steps are shown, not it.
    pub scope: bool,
    /// The failure of an attempt of which it is still open what it did, or what is to become of it.
    lost: Option<Box<Failure>>,
    /// The plan did not know yet what it is called with.
    later: bool,
    /// Its deadline, or that of a scope round it, passed while it was under way.
    overdue: bool,
}

impl StepView {
    fn new(path: StepPath) -> Self {
        Self {
            path,
            uses: String::new(),
            summary: None,
            effect: Effect::Read,
            outcome: Outcome::Pending,
            attempts: 0,
            started: None,
            ended: None,
            progress: None,
            log: Vec::new(),
            undo: UndoStatus::None,
            undo_cause: None,
            lost: None,
            question: None,
            scope: false,
            later: false,
            overdue: false,
        }
    }

    fn undo_fails(&mut self, cause: String) {
        self.undo = UndoStatus::RollbackFailed;
        self.undo_cause = Some(cause);
    }

    /// Why it is as it is, in a line.
    pub fn cause(&self) -> Option<String> {
        match &self.outcome {
            Outcome::Failed(failure) => Some(failure.to_string()),
            Outcome::Skipped(why) | Outcome::InDoubt(why) => Some(why.clone()),
            Outcome::NotRun(Some(path)) => Some(format!("{path} failed")),
            Outcome::NotRun(None) => Some("the run stopped first".into()),
            _ => None,
        }
    }

    pub fn failure(&self) -> Option<&Failure> {
        match &self.outcome {
            Outcome::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    /// Whether it has changed the world, wholly or partly, or may have.
    pub fn changed(&self) -> bool {
        let may = self.effect != Effect::Read && self.attempts > 0;
        may && match &self.outcome {
            Outcome::Ok | Outcome::InDoubt(_) => true,
            Outcome::Failed(failure) => failure.done != Done::None,
            _ => false,
        }
    }

    /// Milliseconds from the first attempt to the last ending, or to `now`.
    pub fn took(&self, now: u64) -> Option<u64> {
        Some(self.ended.unwrap_or(now).saturating_sub(self.started?))
    }
}

/// A run as its events tell it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunView {
    pub run: RunId,
    pub plan: Option<Arc<Plan>>,
    pub status: RunStatus,
    steps: Vec<StepView>,
    places: HashMap<StepPath, usize>,
    /// Steps by outcome and those that run, kept up with each event: a display asks for them at each one.
    tally: BTreeMap<&'static str, usize>,
    at_work: BTreeSet<usize>,
    /// Milliseconds since 1970.
    pub started: Option<u64>,
    /// When the last event was recorded.
    pub last: u64,
    /// Who held the lock that the run did not get.
    pub lock_holder: Option<String>,
    /// Who or what ended it: a decline, a cancel, a lost lock.
    pub ended_by: Option<String>,
    written: Written,
}

impl Default for RunView {
    fn default() -> Self {
        Self {
            run: RunId::new(""),
            plan: None,
            status: RunStatus::Running,
            steps: Vec::new(),
            places: HashMap::new(),
            tally: BTreeMap::new(),
            at_work: BTreeSet::new(),
            started: None,
            last: 0,
            lock_holder: None,
            ended_by: None,
            written: Written::default(),
        }
    }
}

impl RunView {
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut view = Self::default();
        events.into_iter().for_each(|event| view.see(event));
        view
    }

    /// The runbook's name; empty before the first event.
    pub fn runbook(&self) -> &str {
        self.plan.as_ref().map_or("", |p| &p.runbook)
    }

    /// The steps that do something, in the order of the plan and then of their start; undoing is part of its step.
    pub fn steps(&self) -> impl Iterator<Item = &StepView> {
        self.steps.iter().filter(|s| !s.scope && undone(&s.path).is_none())
    }

    pub fn step(&self, path: &StepPath) -> Option<&StepView> {
        self.places.get(path).map(|i| &self.steps[*i])
    }

    /// What waits for a person: gates, steps that failed, and lists that became known.
    pub fn questions(&self) -> impl Iterator<Item = (&StepView, &Question)> {
        self.steps.iter().filter(|s| s.outcome == Outcome::Waiting).filter_map(|s| Some((s, s.question.as_ref()?)))
    }

    /// What is going on now, undoing included.
    pub fn running(&self) -> impl Iterator<Item = &StepView> {
        self.at_work.iter().map(|i| &self.steps[*i])
    }

    /// How many are going on now.
    pub fn running_count(&self) -> usize {
        self.at_work.len()
    }

    /// How many steps have the outcome of this word (`Outcome::as_str`).
    pub fn count(&self, outcome: &str) -> usize {
        self.tally.get(outcome).copied().unwrap_or(0)
    }

    /// How many steps there are, as far as known.
    pub fn total(&self) -> usize {
        self.tally.values().sum()
    }

    /// The first step that failed, and how.
    pub fn failed(&self) -> Option<(&StepView, &Failure)> {
        let ended = |s: &StepView| s.ended.unwrap_or(u64::MAX);
        self.steps().filter_map(|s| Some((s, s.failure()?))).min_by_key(|(s, _)| ended(s))
    }

    /// How long the run has taken so far: milliseconds.
    pub fn took(&self) -> u64 {
        self.last.saturating_sub(self.started.unwrap_or(self.last))
    }

    /// Takes an event in. Events of a run come in order.
    pub fn see(&mut self, event: &Event) {
        self.last = self.last.max(event.at);
        self.started.get_or_insert(event.at);
        let place = event.path().map(|path| self.place(path));
        if let Some(place) = place {
            self.tell(place, false);
        }
        match &event.body {
            Body::Fact(fact) => self.fact(fact, event),
            Body::Note(note) => self.note(note),
        }
        match place {
            Some(place) => self.tell(place, true),
            None => self.recount(event),
        }
    }

    /// Takes a step into the tally, or out of it.
    fn tell(&mut self, place: usize, into: bool) {
        let step = &self.steps[place];
        if step.scope {
            return;
        }
        if step.outcome == Outcome::Running {
            if into {
                self.at_work.insert(place)
            } else {
                self.at_work.remove(&place)
            };
        }
        if undone(&step.path).is_none() {
            let n = self.tally.entry(step.outcome.as_str()).or_default();
            *n = if into { *n + 1 } else { n.saturating_sub(1) };
        }
    }

    /// The few facts about the run as a whole may touch any step.
    fn recount(&mut self, event: &Event) {
        if event.fact().is_none() {
            return;
        }
        (self.tally, self.at_work) = Default::default();
        (0..self.steps.len()).for_each(|place| self.tell(place, true));
    }

    fn place(&mut self, path: &StepPath) -> usize {
        if let Some(place) = self.places.get(path) {
            return *place;
        }
        let place = self.steps.len();
        self.places.insert(path.clone(), place);
        self.steps.push(StepView::new(path.clone()));
        self.tell(place, true);
        place
    }

    fn at(&mut self, path: &StepPath) -> &mut StepView {
        let place = self.place(path);
        &mut self.steps[place]
    }

    fn note(&mut self, note: &Note) {
        match note {
            Note::Progress { path, line, share } => self.at(path).progress = Some((line.clone(), *share)),
            Note::Log { path, line } => {
                // What a reading found is said when it is made, where the plan could not say it.
                self.at(path).summary.get_or_insert_with(|| line.clone());
                let log = &mut self.at(path).log;
                if log.len() == TAIL {
                    log.remove(0);
                }
                log.push(line.clone());
            }
            Note::Message { .. } => {}
        }
    }

    fn fact(&mut self, fact: &Fact, event: &Event) {
        self.status = self.status.after(fact);
        match fact {
            Fact::RunCreated { run, plan, .. } => self.begin(run, plan),
            Fact::LockRefused { holder } => self.lock_holder = Some(holder.clone()),
            Fact::LockLost { why } => self.ended_by = Some(format!("the lock was lost: {why}")),
            Fact::LockGranted => self.lock_holder = None,
            Fact::LockReleased | Fact::Parked => {}
            Fact::Expanded { path, .. } => self.at(path).scope = true,
            Fact::Evaluated { path, verdict } => self.evaluated(path, verdict, event.at),
            Fact::Started { path, intent, .. } => {
                let step = self.at(path);
                step.outcome = Outcome::Running;
                // A recovery has a number too, but sends nothing: what was sent is what is counted.
                (step.attempts, step.effect) = (step.attempts + 1, step.effect.max(intent.effect));
                step.started.get_or_insert(event.at);
                (step.ended, step.progress, step.lost) = (None, None, None);
            }
            Fact::Checkpoint { .. } => {}
            Fact::Finished { path, ending, .. } => {
                self.finished(path, ending, event.at);
                self.block(path);
            }
            Fact::TimerFired { path, .. } => self.at(path).outcome = Outcome::Retrying,
            Fact::Approved { path, .. } => {
                let step = self.at(path);
                (step.outcome, step.ended) = (Outcome::Ok, Some(event.at));
            }
            Fact::Declined { path, who, why } => {
                let step = self.at(path);
                (step.outcome, step.ended) = (Outcome::Cancelled, Some(event.at));
                self.ended_by = Some(format!("{who} declined {path}: {why}"));
            }
            Fact::DeadlinePassed { path: None } => self.ended_by = Some("the run's deadline passed".into()),
            Fact::DeadlinePassed { path: Some(path) } => self.too_late(path, event.at),
            Fact::Decided { path, who, decision, .. } => self.decided(path, who, *decision),
            Fact::Asked { path, question } => {
                let step = self.at(path);
                if let Outcome::Failed(failure) = &step.outcome {
                    step.lost = Some(failure.clone());
                }
                step.question = Some(question.clone());
                step.outcome = Outcome::Waiting;
            }
            Fact::Signalled { signal, .. } => self.signalled(signal, &event.actor),
            Fact::DriverRestarted { .. } => self.restarted(),
            Fact::RunFinished { status } => self.over(*status),
        }
    }

    fn begin(&mut self, run: &RunId, plan: &Arc<Plan>) {
        self.run = run.clone();
        self.plan = Some(plan.clone());
        self.written = Written::of(&plan.procedure);
        for planned in &plan.steps {
            let step = self.at(&planned.path);
            step.uses.clone_from(&planned.uses);
            let later = planned.change == Change::Read && planned.planned == Planned::Run && planned.pinned.is_none();
            step.summary = (!later).then(|| planned.summary.clone());
            step.later = !planned.unknown.is_empty();
            step.effect = planned.effect;
            if let Planned::Skipped(why) = &planned.planned {
                step.outcome = Outcome::Skipped(why.clone());
            }
        }
    }

    fn evaluated(&mut self, path: &StepPath, verdict: &Verdict, at: u64) {
        if let (Some(base), Verdict::Listed { manual }) = (undone(path), verdict) {
            self.at(&base).undo = UndoStatus::Listed(manual.clone());
        }
        let calls = |uses: &str| self.plan.as_ref().is_some_and(|plan| plan.procedure.procedures.contains_key(uses));
        let (scope, line) = match verdict {
            Verdict::Run { invocation: Some(call), .. } if calls(&call.uses) => (true, None),
            // What a reading found says more than what it was asked.
            Verdict::Run { invocation: Some(call), effect, .. } if *effect > Effect::Read => {
                (false, Some(self.written.line(call)))
            }
            _ => (false, None),
        };
        let step = self.at(path);
        if scope {
            step.scope = true;
        }
        if step.later || step.summary.is_none() {
            step.summary = line.or(step.summary.take());
        }
        step.outcome = match verdict {
            Verdict::Run { invocation: Some(call), effect, .. } => {
                step.uses.clone_from(&call.uses);
                step.effect = *effect;
                Outcome::Pending
            }
            Verdict::Run { question: Some(question), .. } => {
                step.question = Some(question.clone());
                Outcome::Waiting
            }
            Verdict::Run { .. } => {
                step.scope = true;
                Outcome::Pending
            }
            Verdict::Skip { reason } => Outcome::Skipped(reason.clone()),
            Verdict::Satisfied => Outcome::Unchanged,
            Verdict::Listed { manual } => Outcome::Skipped(manual.clone()),
            Verdict::Nothing { why } => Outcome::Skipped(why.clone()),
            Verdict::Broken { failure } => Outcome::Failed(Box::new(failure.clone())),
        };
        if step.outcome.is_final() {
            step.ended = Some(at);
        }
    }

    fn finished(&mut self, path: &StepPath, ending: &Ending, at: u64) {
        if let Some(base) = undone(path) {
            let single = *path == base.undo();
            let step = self.at(&base);
            match ending {
                // An undo of several steps has failed when one of them has; one that is a single step may be tried again.
                Ending::Ok { .. } | Ending::Unchanged { .. } if single || step.undo != UndoStatus::RollbackFailed => {
                    (step.undo, step.undo_cause) = (UndoStatus::RolledBack, None);
                }
                Ending::Failed { failure } => step.undo_fails(failure.to_string()),
                Ending::InDoubt { evidence } => step.undo_fails(evidence.clone()),
                _ => {}
            }
        }
        let step = self.at(path);
        step.ended = Some(at);
        let under_way = matches!(step.outcome, Outcome::Running | Outcome::InDoubt(_));
        step.outcome = match ending {
            // Looked into next; where that cannot be, a person has to.
            Ending::Failed { failure } if failure.done == Done::Unknown && under_way => {
                step.lost.get_or_insert_with(|| Box::new(failure.clone()));
                Outcome::InDoubt(failure.to_string())
            }
            Ending::Ok { .. } => Outcome::Ok,
            Ending::Unchanged { .. } => Outcome::Unchanged,
            Ending::Failed { failure } if step.overdue => {
                let cause = format!("its deadline passed: {}", failure.cause);
                Outcome::Failed(Box::new(Failure { class: Class::Timeout, cause, ..failure.clone() }))
            }
            Ending::Failed { failure } => Outcome::Failed(Box::new(failure.clone())),
            Ending::NotApplied => match step.lost.take() {
                Some(lost) => Outcome::Failed(Box::new(lost.done(Done::None))),
                None => Outcome::Retrying,
            },
            Ending::InDoubt { evidence } => Outcome::InDoubt(evidence.clone()),
            Ending::Cancelled => Outcome::Cancelled,
        };
    }

    /// What a person wants to become of a step that failed.
    fn decided(&mut self, path: &StepPath, who: &str, decision: Decision) {
        let step = self.at(path);
        let failed = step.lost.take();
        step.outcome = match (decision, failed) {
            (Decision::Skip, failed) => {
                let after = failed.map(|failure| format!(", after: {failure}")).unwrap_or_default();
                Outcome::Skipped(format!("by {who}{after}"))
            }
            (Decision::Done, _) => Outcome::Ok,
            (Decision::Stop | Decision::RollBack, Some(failure)) => Outcome::Failed(failure),
            (Decision::Retry, _) | (_, None) => Outcome::Retrying,
        };
        self.block(path);
    }

    /// What waited, for a person or for its next attempt, has failed; what was under way says itself how it ended.
    fn too_late(&mut self, path: &StepPath, at: u64) {
        for place in 0..self.steps.len() {
            let step = &mut self.steps[place];
            if undone(&step.path).is_some() || !is_among(&step.path, &[path.to_string()]) {
                continue;
            }
            step.overdue = step.outcome == Outcome::Running;
            if !matches!(step.outcome, Outcome::Waiting | Outcome::Retrying) {
                continue;
            }
            let failure =
                Failure::new(Class::Timeout, format!("step {}", step.path), "its deadline passed before it was done");
            // What the event is about is taken into the tally by whoever called.
            let other = step.path != *path;
            if other {
                self.tell(place, false);
            }
            let step = &mut self.steps[place];
            let last = step.lost.take().map(|last| {
                let cause = format!("its deadline passed: {}", last.cause);
                Failure { class: Class::Timeout, cause, ..*last }
            });
            (step.outcome, step.ended) = (Outcome::Failed(Box::new(last.unwrap_or(failure))), Some(at));
            if other {
                self.tell(place, true);
            }
        }
    }

    /// What can no longer run is known when what it needs has failed for good.
    fn block(&mut self, path: &StepPath) {
        let Some((plan, step)) = self.plan.clone().zip(self.step(path)) else { return };
        let Some(failure) = step.failure() else { return };
        let blocked = blocked(&plan, path, failure, step.attempts);
        if blocked.is_empty() {
            return;
        }
        for place in 0..self.steps.len() {
            let step = &self.steps[place];
            if step.outcome == Outcome::Pending && undone(&step.path).is_none() && is_among(&step.path, &blocked) {
                self.tell(place, false);
                self.steps[place].outcome = Outcome::NotRun(Some(path.clone()));
                self.tell(place, true);
            }
        }
    }

    fn signalled(&mut self, signal: &Signal, actor: &str) {
        match signal {
            Signal::Cancel { .. } => self.ended_by = Some(format!("{actor} cancelled it")),
            Signal::Pause => self.ended_by = Some(format!("{actor} paused it")),
            Signal::Abandon => self.ended_by = Some(format!("{actor} gave it up")),
            Signal::RollBack => self.ended_by = Some(format!("{actor} rolled it back")),
            Signal::Resume => self.ended_by = None,
            Signal::Resolve { path, done } => {
                self.at(path).outcome = if *done { Outcome::Ok } else { Outcome::Retrying };
            }
        }
    }

    /// The process was gone: the end of what it was doing was not seen, until it is recovered.
    fn restarted(&mut self) {
        self.ended_by = None;
        for step in self.steps.iter_mut().filter(|s| s.outcome == Outcome::Running) {
            step.outcome = Outcome::InDoubt("the process ended before its end was seen".into());
        }
        for step in self.steps.iter_mut().filter(|s| matches!(s.outcome, Outcome::NotRun(_))) {
            step.outcome = Outcome::Pending;
        }
    }

    fn over(&mut self, status: RunStatus) {
        if !status.is_final() {
            return;
        }
        let cause = self.failed().map(|(step, _)| step.path.clone());
        for step in self.steps.iter_mut().filter(|s| matches!(s.outcome, Outcome::Pending | Outcome::Retrying)) {
            step.outcome = Outcome::NotRun(cause.clone());
        }
    }
}

/// The step that `path` undoes, where it is (part of) an undo.
pub(super) fn undone(path: &StepPath) -> Option<StepPath> {
    let text = path.as_str();
    let end = text.strip_suffix("/undo").map(str::len).or_else(|| text.find("/undo/"))?;
    Some(StepPath::new(&text[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_failed_run_knows_what_failed_what_changed_and_what_never_ran() {
        let view = RunView::of(&sample::failed_run());
        let shown: Vec<_> = view.steps().map(|s| (s.path.as_str(), s.outcome.as_str(), s.attempts)).collect();
        insta::assert_debug_snapshot!(shown);
        assert_eq!(view.failed().unwrap().0.path.as_str(), "move[107]");
        assert_eq!(
            view.steps().filter(|s| s.changed()).map(|s| s.path.as_str()).collect::<Vec<_>>(),
            ["maintenance", "move[104]"]
        );
        assert_eq!(view.step(&"empty".into()).unwrap().cause().unwrap(), "move[107] failed");
    }

    #[test]
    fn what_a_failure_keeps_from_running_is_known_at_once() {
        let mut events = sample::failed_run();
        events.pop();
        let view = RunView::of(&events);
        assert_eq!(view.status, RunStatus::Running);
        assert_eq!(view.step(&"empty".into()).unwrap().outcome, Outcome::NotRun(Some("move[107]".into())));
        assert_eq!(view.step(&"move[211]".into()).unwrap().outcome, Outcome::Pending);
    }

    #[test]
    fn the_tally_is_what_counting_gives() {
        for events in [sample::good_run(), sample::failed_run(), sample::rolled_back_run(), sample::cancelled_run()] {
            let mut view = RunView::default();
            for event in &events {
                view.see(event);
                assert_eq!(view.total(), view.steps().count());
                for step in view.steps() {
                    let word = step.outcome.as_str();
                    assert_eq!(view.count(word), view.steps().filter(|s| s.outcome.as_str() == word).count(), "{word}");
                }
                let running = view.steps.iter().filter(|s| !s.scope && s.outcome == Outcome::Running).count();
                assert_eq!(view.running().count(), running);
            }
        }
    }

    #[test]
    fn an_undo_is_told_with_its_step() {
        let view = RunView::of(&sample::rolled_back_run());
        let shown: Vec<_> = view.steps().map(|s| (s.path.as_str(), s.undo.as_str())).collect();
        assert!(shown.contains(&("move[104]", "rolled_back")), "{shown:?}");
        assert!(shown.contains(&("maintenance", "listed")), "{shown:?}");
        assert_eq!(undone(&"a/undo/b".into()), Some("a".into()));
        assert_eq!(undone(&"a/undone".into()), None);
    }

    #[test]
    fn a_restart_puts_what_was_running_in_doubt() {
        let mut events = sample::failed_run();
        events.truncate(sample::DURING);
        let mut view = RunView::of(&events);
        assert_eq!(view.running().count(), 1);
        let restarted = Fact::DriverRestarted { host: "host".into(), process: 2 };
        view.see(&sample::event(99, restarted));
        assert_eq!(view.running().count(), 0);
        assert_eq!(view.steps().filter(|s| s.outcome.as_str() == "in_doubt").count(), 1);
    }
    #[test]
    fn a_lost_answer_is_in_doubt_until_it_is_found_out_and_its_cause_is_kept() {
        let mut events = sample::failed_run();
        events.truncate(sample::DURING);
        let mut view = RunView::of(&events);
        let path = view.running().next().unwrap().path.clone();
        let mut ended = |ending| {
            view.see(&sample::event(99, Fact::Finished { path: path.clone(), attempt: 9, ending }));
            view.step(&path).unwrap().outcome.clone()
        };
        let lost =
            Failure::new(crate::model::failure::Class::Transient, "migrate", "reset by peer").done(Done::Unknown);
        assert_eq!(ended(Ending::Failed { failure: lost.clone() }), Outcome::InDoubt("migrate: reset by peer".into()));
        assert_eq!(ended(Ending::NotApplied), Outcome::Failed(Box::new(lost.done(Done::None))));
    }
}
