//! What a run has left different: one list for the summary, JSON and rehearsals, so that all say the same.

use super::blocked::steps_to;
use super::view::{RunView, StepView};
use crate::event::{Outcome, UndoStatus};
use crate::model::effect::Done;
use crate::model::ids::StepPath;
use crate::model::runbook::{Rollback, Step};

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

/// Whether `runbook rollback` would undo something of it: the runbook's own way back, or an inverse that the plan knew.
/// Of a step that the plan did not know it is open, and that command says so.
pub(super) fn can_be_rolled_back(view: &RunView) -> bool {
    let Some(plan) = &view.plan else { return false };
    let undoes = |left: &Left| {
        let steps = steps_to(plan, &left.path);
        let by_author = |step: &&Step| matches!(step.rollback, Rollback::Steps(_));
        let never = matches!(steps.last().map(|step| &step.rollback), Some(Rollback::None(_)));
        let planned = plan.steps.iter().find(|step| step.path == left.path);
        steps.iter().any(by_author) || !never && planned.is_none_or(|step| step.can_be_undone())
    };
    let open = |left: &Left| left.extent != Extent::Perhaps;
    let listed = |left: &Left| matches!(view.step(&left.path).map(|step| &step.undo), Some(UndoStatus::Listed(_)));
    left(view).iter().any(|left| open(left) && !listed(left) && undoes(left))
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

    #[test]
    fn a_rollback_is_for_what_is_left_and_has_a_way_back() {
        let with = |change: &dyn Fn(&mut crate::model::plan::Plan)| {
            let mut view = RunView::of(&sample::failed_run());
            let mut plan = sample::plan();
            change(&mut plan);
            view.plan = Some(std::sync::Arc::new(plan));
            can_be_rolled_back(&view)
        };
        assert!(with(&|_| {}));
        let nothing = |plan: &mut crate::model::plan::Plan| {
            plan.steps.iter_mut().for_each(|step| step.undo = "nothing can undo it".into());
        };
        assert!(!with(&nothing));
        assert!(with(&|plan| {
            nothing(plan);
            std::sync::Arc::make_mut(&mut plan.procedure).steps[4].rollback = Rollback::Steps(Vec::new());
        }));
        assert!(!with(&|plan| {
            for step in &mut std::sync::Arc::make_mut(&mut plan.procedure).steps {
                step.rollback = Rollback::None("it is not worth it".into());
            }
        }));
        assert!(!can_be_rolled_back(&RunView::of(&sample::rolled_back_run())), "what is left is a person's to undo");
    }
}
