//! Which steps a failure keeps from ever running, as far as the runbook itself says so. What goes on nevertheless (a
//! person decides so) shows as that, since whatever happens to a step replaces what was foreseen.

use crate::model::failure::Failure;
use crate::model::ids::StepPath;
use crate::model::plan::Plan;
use crate::model::runbook::{Amount, OnFailure, Step, Verb};

/// The paths that need `failed`, directly or through others: whole scopes and fan-outs by the beginning of their paths.
/// Empty where the failure may yet be tried again, borne or decided about.
pub(super) fn blocked(plan: &Plan, failed: &StepPath, failure: &Failure, attempts: u32) -> Vec<String> {
    let mut levels = levels(plan, failed);
    let mut out = Vec::new();
    if let Some(own) = levels.last()
        && own.step().retry.as_ref().is_some_and(|r| attempts < r.attempts && r.errors.contains(&failure.class))
    {
        return out;
    }
    while let Some(level) = levels.pop() {
        let step = level.step();
        let tolerant = step.for_each.as_ref().is_some_and(|fan| fan.max_failures != Amount::Count(0));
        if step.optional || tolerant || matches!(step.on_failure, Some(OnFailure::Continue | OnFailure::Ask)) {
            break;
        }
        out.extend(level.dependents().into_iter().map(|id| format!("{}{id}", level.prefix)));
    }
    out
}

/// Whether `path` is one of those, or within it.
pub(super) fn is_among(path: &StepPath, blocked: &[String]) -> bool {
    blocked.iter().any(|base| {
        let rest = path.as_str().strip_prefix(base.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '[']))
    })
}

/// A step among its siblings.
struct Level<'a> {
    steps: &'a [Step],
    at: usize,
    /// Of its siblings' paths.
    prefix: String,
}

impl Level<'_> {
    fn step(&self) -> &Step {
        &self.steps[self.at]
    }

    fn dependents(&self) -> Vec<&str> {
        let mut reached = vec![self.step().id.as_str()];
        // Those that need stand anywhere in the file, so it is gone through until nothing is added.
        loop {
            let more = self.steps.iter().find(|step| {
                !reached.contains(&step.id.as_str()) && step.needs.iter().any(|need| reached.contains(&need.as_str()))
            });
            match more {
                Some(step) => reached.push(&step.id),
                None => return reached.split_off(1),
            }
        }
    }
}

/// The step of the path and all that it is in, from the outside in; none where the path is of no step of the runbook.
fn levels<'a>(plan: &'a Plan, path: &StepPath) -> Vec<Level<'a>> {
    let mut steps: &[Step] = &plan.procedure.steps;
    let (mut levels, mut prefix) = (Vec::new(), String::new());
    for part in path.parts() {
        let id = part.split('[').next().unwrap_or(part);
        let Some(at) = steps.iter().position(|step| step.id == id) else { return Vec::new() };
        levels.push(Level { steps, at, prefix: prefix.clone() });
        prefix.push_str(part);
        prefix.push('/');
        steps = match &steps[at].verb {
            Verb::Steps(inner) | Verb::Parallel(inner) => inner,
            Verb::Call { procedure, .. } => plan.procedure.procedures.get(procedure).map_or(&[], |p| &p.steps),
            Verb::Uses { .. } | Verb::Confirm(_) => &[],
        };
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::failure::Class;
    use crate::model::runbook::Retry;
    use crate::report::sample;

    fn of(plan: &Plan, path: &str) -> Vec<String> {
        blocked(plan, &path.into(), &Failure::new(Class::Failed, "a", "b"), 1)
    }

    #[test]
    fn all_that_needs_a_failed_step_is_blocked_through_scopes_and_lists() {
        let mut plan = sample::plan();
        assert_eq!(of(&plan, "checks/still_fits"), ["move", "empty"]);
        assert_eq!(of(&plan, "move[107]"), ["empty"]);
        assert!(of(&plan, "nowhere").is_empty() && of(&plan, "empty").is_empty());
        assert!(is_among(&"move[104]".into(), &["move".into()]) && !is_among(&"mover".into(), &["move".into()]));
        plan.procedure.steps[4].on_failure = Some(OnFailure::Ask);
        assert!(of(&plan, "move[107]").is_empty());
    }

    #[test]
    fn what_may_be_tried_again_blocks_nothing() {
        let mut plan = sample::plan();
        let retry = Retry { attempts: 2, backoff: 1, factor: 1.0, max: 1, errors: vec![Class::Failed] };
        plan.procedure.steps[2].retry = Some(retry);
        assert!(of(&plan, "maintenance").is_empty());
        let again = blocked(&plan, &"maintenance".into(), &Failure::new(Class::Failed, "a", "b"), 2);
        assert_eq!(again, ["move", "empty"]);
    }
}
