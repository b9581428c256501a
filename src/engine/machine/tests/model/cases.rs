//! Which graphs are checked, with which features and how many disturbances.

use std::sync::Arc;

use super::super::puppet::{action, created_with};
use super::graphs::{List, Shape, lists};
use super::moves::Left;
use super::search::Case;
use crate::event::Fact;
use crate::model::runbook::{OnFailure, Procedure, Step};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

pub fn torture() -> bool {
    std::env::var_os("TORTURE").is_some()
}

fn left(disturbances: u8) -> Left {
    Left { disturbances: disturbances + u8::from(torture()), verdicts: false }
}

/// The first fact of a run; lists that become known late are not asked about.
fn created(procedures: &[(&str, Procedure)], steps: Vec<Step>, finally: Vec<Step>, policy: OnFailure) -> Fact {
    let Fact::RunCreated { run, plan, .. } = created_with(procedures, steps, finally, policy) else { unreachable!() };
    Fact::RunCreated { run, plan: Arc::clone(&plan), auto_expand: true }
}

/// The steps of a list; `scope` makes the scopes.
fn steps(list: &List, scope: &mut dyn FnMut(&str, Vec<Step>) -> Step) -> Vec<Step> {
    let mut out = Vec::new();
    for (i, (item, mask)) in list.items.iter().zip(&list.needs).enumerate() {
        let mut step = match item {
            Shape::Leaf => action(NAMES[i], "x", &[]),
            Shape::Scope(list) => {
                let inside = steps(list, scope);
                scope(NAMES[i], inside)
            }
        };
        step.needs = (0..i).filter(|b| mask & 1 << b != 0).map(|b| NAMES[b].to_owned()).collect();
        out.push(step);
    }
    out
}

fn no_scope(_: &str, _: Vec<Step>) -> Step {
    unreachable!()
}

/// All graphs of up to four steps without scopes.
pub fn plain() -> Vec<Case> {
    let mut out = Vec::new();
    for n in 1..=4 {
        for (i, list) in lists(n, 0).iter().enumerate() {
            for policy in [OnFailure::Stop, OnFailure::Continue, OnFailure::Rollback] {
                let name = format!("{n}.{i} {policy:?} {:?}", list.needs);
                let disturbances = match n {
                    1 => 3,
                    2 => 2,
                    _ => 1,
                };
                let created = created(&[], steps(list, &mut no_scope), vec![], policy);
                out.push(Case { name, created, left: left(disturbances) });
            }
        }
    }
    out
}
