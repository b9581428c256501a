//! A run folded from its events for those who look at it. It follows what was recorded and decides nothing, so it may
//! say less than the engine knows (a group's own outcome is not recorded), never something else.

mod fold;
mod step;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

pub use step::StepView;

use super::late::Written;
use crate::event::{Body, Event, Outcome, Question, RunStatus};
use crate::model::failure::Failure;
use crate::model::ids::{RunId, StepPath};
use crate::model::plan::Plan;

/// A run as its events tell it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunView {
    pub run: RunId,
    pub plan: Option<Arc<Plan>>,
    pub status: RunStatus,
    steps: Vec<StepView>,
    places: HashMap<StepPath, usize>,
    /// The place of the first step within each outermost one, by its id.
    firsts: HashMap<String, usize>,
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
            firsts: HashMap::new(),
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

    /// The steps that do something, in the order of the plan; those that it did not know stand, in the order of their
    /// start, after the others of the outermost step round them. Undoing is part of its step.
    pub fn steps(&self) -> impl Iterator<Item = &StepView> {
        let mut steps: Vec<_> = self.steps.iter().filter(|s| !s.scope && undone(&s.path).is_none()).collect();
        steps.sort_by_key(|step| self.firsts.get(outermost(&step.path)));
        steps.into_iter()
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
        if !self.firsts.contains_key(outermost(path)) {
            self.firsts.insert(outermost(path).to_owned(), place);
        }
        self.steps.push(StepView::new(path.clone()));
        self.tell(place, true);
        place
    }

    fn at(&mut self, path: &StepPath) -> &mut StepView {
        let place = self.place(path);
        &mut self.steps[place]
    }
}

/// The id of the outermost step round this one, or its own: `move` of `move[104]/check`.
fn outermost(path: &StepPath) -> &str {
    let first = path.parts().next().unwrap_or_default();
    first.split_once('[').map_or(first, |(id, _)| id)
}

/// The step that `path` undoes, where it is (part of) an undo.
pub(super) fn undone(path: &StepPath) -> Option<StepPath> {
    let text = path.as_str();
    let end = text.strip_suffix("/undo").map(str::len).or_else(|| text.find("/undo/"))?;
    Some(StepPath::new(&text[..end]))
}
