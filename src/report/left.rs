//! What a run has left different: one list for the summary, JSON and rehearsals, so that all say the same.

use super::view::{RunView, StepView};
use crate::event::{Outcome, UndoStatus};
use crate::model::effect::Done;
use crate::model::ids::StepPath;

/// How much of what a step does is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    Whole,
    /// Something of it, or of its undoing, failed half-way.
    Part,
    /// It is not known.
    Perhaps,
}

/// A step whose effect is still there, or may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    pub path: StepPath,
    pub extent: Extent,
    /// As the plan has it; the action's name where the plan has nothing.
    pub what: String,
}

/// The steps that have changed something which was not undone, in the order of their start.
pub fn left(view: &RunView) -> Vec<Left> {
    let still = view.steps().filter(|step| step.changed() && step.undo != UndoStatus::RolledBack);
    still
        .map(|step| Left {
            path: step.path.clone(),
            extent: extent(view, step),
            what: step.summary.clone().unwrap_or_else(|| step.uses.clone()),
        })
        .collect()
}

fn extent(view: &RunView, step: &StepView) -> Extent {
    match (&step.outcome, &step.undo) {
        (Outcome::InDoubt(_), _) => Extent::Perhaps,
        (Outcome::Failed(_), _) => Extent::Part,
        (_, UndoStatus::RollbackFailed) => match view.step(&step.path.undo()).map(|undo| &undo.outcome) {
            // It failed before it had changed anything.
            Some(Outcome::Failed(failure)) if failure.done == Done::None => Extent::Whole,
            Some(Outcome::InDoubt(_)) => Extent::Perhaps,
            _ => Extent::Part,
        },
        _ => Extent::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn what_was_done_and_not_undone_is_left() {
        let of = |events: Vec<crate::event::Event>| -> Vec<(String, Extent)> {
            left(&RunView::of(&events)).into_iter().map(|l| (l.path.to_string(), l.extent)).collect()
        };
        let whole = |path: &str| (path.to_owned(), Extent::Whole);
        assert_eq!(of(sample::failed_run()), [whole("maintenance"), whole("move[104]")]);
        assert_eq!(of(sample::rolled_back_run()), [whole("maintenance")]);
    }
}
