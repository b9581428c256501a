//! A run as programs read it: the public shape, which changes only with its version.

use serde_json::{Value, json};

use super::FORMAT_VERSION;
use super::view::{RunView, StepView};
use crate::event::{Question, UndoStatus};

/// `format_version`, `run`, `runbook`, `status`, `steps`. `state` is the status or `interrupted`, which only the
/// journal can tell; times are milliseconds since 1970.
pub fn run_json(view: &RunView, state: &str) -> Value {
    json!({
        "format_version": FORMAT_VERSION,
        "run": view.run,
        "runbook": view.runbook(),
        "status": state,
        "started": view.started,
        "updated": view.last,
        "plan_hash": view.plan.as_ref().map(|p| p.hash.as_str()),
        "questions": view.questions().map(question).collect::<Vec<_>>(),
        "steps": view.steps().map(step).collect::<Vec<_>>(),
    })
}

fn question((step, question): (&StepView, &Question)) -> Value {
    json!({
        "step": step.path,
        "message": question.message,
        "show": question.show,
        "word": question.word,
        "decisions": question.options.iter().map(|option| option.as_str()).collect::<Vec<_>>(),
    })
}

fn step(step: &StepView) -> Value {
    let manual = match &step.undo {
        UndoStatus::Listed(manual) => Some(manual.as_str()),
        _ => None,
    };
    json!({
        "path": step.path,
        "uses": step.uses,
        "status": step.outcome.as_str(),
        "attempts": step.attempts,
        "cause": step.cause(),
        "failure": step.failure(),
        "undo": step.undo.as_str(),
        "undo_manual": manual,
        "undo_cause": step.undo_cause,
        "started": step.started,
        "ended": step.ended,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_public_shape_of_a_run() {
        let view = RunView::of(&sample::failed_run());
        insta::assert_json_snapshot!(run_json(&view, view.status.as_str()));
    }
}
