//! What holds round the steps of a plan, in a line each: calls, waves, gates, deadlines, and what a failure means.

use std::collections::BTreeMap;

use super::figures::count;
use crate::model::param::ValueType;
use crate::model::plan::Plan;
use crate::model::runbook::{Amount, ForEach, OnFailure, Procedure, Step, Template, Verb};
use crate::model::value;

/// What is said of a step or scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Terms {
    /// Its path without the keys of items.
    pub path: String,
    pub text: String,
    /// It stands above its steps; otherwise below its own row.
    pub scope: bool,
}

/// In the order of the runbook.
pub(super) fn terms(plan: &Plan) -> Vec<Terms> {
    let mut gathered = Gathered { procedures: &plan.procedure.procedures, terms: Vec::new() };
    gathered.steps(&plan.procedure.steps, "");
    gathered.steps(&plan.procedure.finally, "finally/");
    gathered.terms
}

/// A path as [`Terms::path`] has it: `waves[a]/inner` is of `waves/inner`.
pub(super) fn bare(path: &str) -> String {
    let mut depth = 0_usize;
    path.chars()
        .filter(|c| {
            depth += usize::from(*c == '[');
            let keep = depth == 0;
            depth = depth.saturating_sub(usize::from(*c == ']'));
            keep
        })
        .collect()
}

struct Gathered<'a> {
    procedures: &'a BTreeMap<String, Procedure>,
    terms: Vec<Terms>,
}

impl<'a> Gathered<'a> {
    fn steps(&mut self, steps: &'a [Step], prefix: &str) {
        for step in steps {
            let path = format!("{prefix}{}", step.id);
            let called = match &step.verb {
                Verb::Call { procedure, .. } => self.procedures.get(procedure),
                _ => None,
            };
            let said = said(step, called);
            let scope = step.for_each.is_some() || !matches!(step.verb, Verb::Uses { .. } | Verb::Confirm(_));
            if !said.is_empty() {
                self.terms.push(Terms { path: path.clone(), text: said.join("; "), scope });
            }
            match &step.verb {
                Verb::Steps(inner) | Verb::Parallel(inner) => self.steps(inner, &format!("{path}/")),
                // Recursion is refused when a runbook is read, so this ends.
                Verb::Call { .. } => {
                    let Some(called) = called else { continue };
                    self.steps(&called.steps, &format!("{path}/"));
                    self.steps(&called.finally, &format!("{path}/finally/"));
                }
                Verb::Uses { .. } | Verb::Confirm(_) => {}
            }
        }
    }
}

fn said(step: &Step, called: Option<&Procedure>) -> Vec<String> {
    let mut said = Vec::new();
    match &step.verb {
        Verb::Call { procedure, .. } => said.push(format!("calls {procedure}")),
        Verb::Parallel(_) => said.push("at the same time".to_owned()),
        _ => {}
    }
    if let Some(called) = called.filter(|called| !called.require.is_empty()) {
        said.push(format!("{} first", count(called.require.len(), "requirement", "requirements")));
    }
    if let Some(fan) = &step.for_each {
        said.extend(waves(fan));
        let when = if fan.batches.is_empty() { "before the first" } else { "before each wave" };
        if !step.gate.is_empty() {
            said.push(format!("gate {when}: {}", count(step.gate.len(), "check", "checks")));
        }
        if fan.max_failures != Amount::Count(0) {
            said.push(format!("up to {} may fail", amount(fan.max_failures)));
        }
    }
    let deadline = step.deadline.into_iter().chain(called.and_then(|called| called.deadline)).min();
    said.extend(deadline.map(|time| format!("deadline {}", value::written(ValueType::Duration, &time.into()))));
    let on_failure = step.on_failure.or(called.and_then(|called| called.on_failure));
    said.extend(on_failure.and_then(means).map(str::to_owned));
    if step.optional {
        said.push("its failure is borne".to_owned());
    }
    said
}

fn waves(fan: &ForEach) -> Option<String> {
    if fan.batches.is_empty() {
        let width = match &fan.max_parallel {
            Some(Template::Literal(width)) => width.as_u64().unwrap_or(1),
            _ => 1,
        };
        return (width > 1).then(|| format!("{width} at a time"));
    }
    let sizes: Vec<String> = fan.batches.iter().map(|size| amount(*size)).collect();
    Some(format!("in waves of {}", sizes.join(", then ")))
}

fn amount(amount: Amount) -> String {
    match amount {
        Amount::Count(n) => n.to_string(),
        Amount::Percent(share) => format!("{share} %"),
    }
}

fn means(on_failure: OnFailure) -> Option<&'static str> {
    match on_failure {
        OnFailure::Stop => None,
        OnFailure::Continue => Some("a failure lets the rest go on"),
        OnFailure::Rollback => Some("a failure rolls it back"),
        OnFailure::Ask => Some("a failure is asked about"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_no_part_of_a_bare_path() {
        assert_eq!(bare("waves[a]/inner[b[1]]/x"), "waves/inner/x");
        assert_eq!(bare("a/b"), "a/b");
    }
}
