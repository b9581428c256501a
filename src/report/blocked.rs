//! Which steps a failure keeps from ever running, as far as the runbook itself says so. What goes on nevertheless (a
//! person decides so) shows as that, since whatever happens to a step replaces what was foreseen.

use crate::model::failure::Failure;
use crate::model::ids::StepPath;
use crate::model::plan::Plan;
use crate::model::runbook::{Amount, OnFailure, Procedure, Step, Verb};

/// The paths that need `failed`, directly or through others: whole scopes and fan-outs by the beginning of their paths.
/// Empty where the failure may yet be tried again, borne or decided about.
pub(super) fn blocked(plan: &Plan, failed: &StepPath, failure: &Failure, attempts: u32) -> Vec<String> {
    let Some(way) = way(plan, failed) else { return Vec::new() };
    if let (Some(own), false) = (way.levels.last(), way.is_check)
        && own.step().retry.as_ref().is_some_and(|r| attempts < r.attempts && r.errors.contains(&failure.class))
    {
        return Vec::new();
    }
    let mut out: Vec<String> = way.keeps.iter().map(|step| step.id.clone()).collect();
    for level in way.levels.iter().rev() {
        let (step, within) = (level.step(), format!("{}{}", level.prefix, level.part));
        if level.require_failed {
            let steps = level.called.map_or(&[][..], |called| &called.steps);
            out.extend(steps.iter().map(|step| format!("{within}/{}", step.id)));
            out.push(format!("{within}/{}", StepPath::FINALLY));
        }
        let on_failure = step.on_failure.or(level.called.and_then(|called| called.on_failure));
        let tolerant = step.for_each.as_ref().is_some_and(|fan| fan.max_failures != Amount::Count(0));
        if step.optional || tolerant || matches!(on_failure, Some(OnFailure::Continue | OnFailure::Ask)) {
            break;
        }
        if !level.in_finally {
            out.extend(level.dependents().into_iter().map(|id| format!("{}{id}", level.prefix)));
        }
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
    /// Its own part of the path, with the item's key.
    part: &'a str,
    /// Of its siblings' paths.
    prefix: String,
    /// What it calls.
    called: Option<&'a Procedure>,
    /// It is the call whose requirement failed: nothing in it runs.
    require_failed: bool,
    /// In `finally` a step's failure keeps none of the others from running.
    in_finally: bool,
}

impl<'a> Level<'a> {
    fn step(&self) -> &'a Step {
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

/// The steps round this path from the outside in, and its own; none where it is of no step of the runbook.
pub(super) fn steps_to<'a>(plan: &'a Plan, path: &'a StepPath) -> Vec<&'a Step> {
    way(plan, path).map(|way| way.levels.iter().map(Level::step).collect()).unwrap_or_default()
}

/// Where a path lies.
#[derive(Default)]
struct Way<'a> {
    /// The step of the path and all that it is in, from the outside in.
    levels: Vec<Level<'a>>,
    /// It is of a check in `require`, and so no step's own.
    is_check: bool,
    /// Steps of the run itself, of which none runs without that check.
    keeps: &'a [Step],
}

fn way<'a>(plan: &'a Plan, path: &'a StepPath) -> Option<Way<'a>> {
    let (mut steps, mut finally): (&[Step], &[Step]) = (&plan.procedure.steps, &plan.procedure.finally);
    let (mut way, mut prefix, mut in_finally) = (Way::default(), String::new(), false);
    for part in path.parts() {
        let id = part.split('[').next().unwrap_or(part);
        if id == StepPath::REQUIRE {
            way.is_check = true;
            match way.levels.last_mut() {
                Some(call) => call.require_failed = true,
                None => way.keeps = steps,
            }
            return Some(way);
        }
        if id == StepPath::FINALLY {
            (steps, finally, in_finally) = (finally, &[], true);
        } else {
            let at = steps.iter().position(|step| step.id == id)?;
            let called = match &steps[at].verb {
                Verb::Call { procedure, .. } => plan.procedure.procedures.get(procedure),
                _ => None,
            };
            let prefix = prefix.clone();
            way.levels.push(Level { steps, at, part, prefix, called, require_failed: false, in_finally });
            finally = called.map_or(&[], |called| &called.finally);
            steps = match (&steps[at].verb, called) {
                (Verb::Steps(inner) | Verb::Parallel(inner), _) => inner,
                (_, called) => called.map_or(&[], |called| &called.steps),
            };
        }
        prefix.push_str(part);
        prefix.push('/');
    }
    Some(way)
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
        std::sync::Arc::make_mut(&mut plan.procedure).steps[4].on_failure = Some(OnFailure::Ask);
        assert!(of(&plan, "move[107]").is_empty());
    }

    /// The sample's `maintenance` as a call of a procedure with `require`, two steps and two in `finally`.
    fn with_a_call() -> Plan {
        let mut plan = sample::plan();
        let step = |id: &str, needs: &[&str]| Step {
            id: id.into(),
            needs: needs.iter().map(|need| (*need).to_owned()).collect(),
            for_each: None,
            verb: Verb::Uses { action: "proxmox.node_empty".into(), with: Vec::new() },
            ..plan.procedure.steps[0].clone()
        };
        let called = Procedure {
            title: None,
            params: Vec::new(),
            vars: Vec::new(),
            deadline: None,
            on_failure: None,
            require: Vec::new(),
            steps: vec![step("first", &[]), step("second", &["first"])],
            finally: vec![step("tidy", &[]), step("told", &["tidy"])],
            outputs: Vec::new(),
            digest: None,
        };
        std::sync::Arc::make_mut(&mut plan.procedure).procedures.insert("drain".into(), called);
        std::sync::Arc::make_mut(&mut plan.procedure).steps[2].verb =
            Verb::Call { procedure: "drain".into(), with: Vec::new() };
        plan
    }

    #[test]
    fn a_call_whose_requirement_fails_runs_nothing_and_neither_does_what_needs_it() {
        let mut plan = with_a_call();
        let own = ["maintenance/first", "maintenance/second", "maintenance/finally"];
        assert_eq!(of(&plan, "maintenance/require[1]"), [&own[..], &["move", "empty"]].concat());
        assert_eq!(of(&plan, "maintenance/first"), ["maintenance/second", "move", "empty"]);
        std::sync::Arc::make_mut(&mut plan.procedure).steps[2].optional = true;
        assert_eq!(of(&plan, "maintenance/require[1]"), own, "it is borne by who calls");
        assert_eq!(of(&plan, "require[2]"), ["placement", "stops", "maintenance", "checks", "move", "empty"]);
    }

    #[test]
    fn in_finally_the_others_go_on_and_a_call_fails_when_that_is_over() {
        let plan = with_a_call();
        assert_eq!(of(&plan, "maintenance/finally/tidy"), ["move", "empty"]);
        assert!(of(&plan, "finally/report").is_empty());
    }

    #[test]
    fn who_is_asked_by_what_is_called_may_go_on() {
        let mut plan = with_a_call();
        let called = std::sync::Arc::make_mut(&mut plan.procedure).procedures.get_mut("drain").unwrap();
        called.on_failure = Some(OnFailure::Ask);
        assert_eq!(of(&plan, "maintenance/require[1]").len(), 3);
    }

    #[test]
    fn what_may_be_tried_again_blocks_nothing() {
        let mut plan = sample::plan();
        let retry = Retry { attempts: 2, backoff: 1, factor: 1.0, max: 1, errors: vec![Class::Failed] };
        std::sync::Arc::make_mut(&mut plan.procedure).steps[2].retry = Some(retry);
        assert!(of(&plan, "maintenance").is_empty());
        let again = blocked(&plan, &"maintenance".into(), &Failure::new(Class::Failed, "a", "b"), 2);
        assert_eq!(again, ["move", "empty"]);
    }
}
