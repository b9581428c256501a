//! Which graphs are checked, with which features and how many disturbances.

use std::sync::Arc;

use serde_json::Value;

use super::super::puppet::{action, call, check, created_with, for_each, procedure, retry, step};
use super::graphs::{List, Shape, lists};
use super::moves::Left;
use super::search::Case;
use crate::event::Fact;
use crate::model::effect::Effect;
use crate::model::runbook::{Amount, Confirm, OnFailure, Procedure, Rollback, Step, Template, Verb};

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
            for policy in [OnFailure::Stop, OnFailure::Continue, OnFailure::Rollback, OnFailure::Ask] {
                let name = format!("plain {n}.{i} {policy:?} {:?}", list.needs);
                let disturbances = match n {
                    1 => 3,
                    2 => 2,
                    4 if !torture() && matches!(policy, OnFailure::Continue | OnFailure::Ask) => continue,
                    _ => 1,
                };
                let created = created(&[], steps(list, &mut no_scope), vec![], policy);
                out.push(Case { name, created, left: left(disturbances) });
            }
        }
    }
    out
}

/// What a scope is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    Group,
    /// Two items, one after the other, none of which may fail.
    Fan,
    /// Two items at once, one of which may fail.
    WideFan,
    /// Two items in waves of one, each behind a gate.
    Waves,
    Call,
    /// With requirements and its own `finally`.
    CarefulCall,
}

impl Made {
    const ALL: [Self; 6] = [Self::Group, Self::Fan, Self::WideFan, Self::Waves, Self::Call, Self::CarefulCall];

    fn of(self, id: &str, inside: Vec<Step>, procedures: &mut Vec<(String, Procedure)>) -> Step {
        match self {
            Self::Group => step(id, Verb::Steps(inside), &[]),
            Self::Fan | Self::WideFan | Self::Waves => {
                let mut fan = step(id, Verb::Steps(inside), &[]);
                self.go_through(&mut fan);
                fan
            }
            Self::Call | Self::CarefulCall => {
                let name = format!("local.{}", procedures.len());
                let (require, finally) = match self {
                    Self::Call => (vec![], vec![]),
                    _ => (vec![check(true)], vec![action("tidy", "x", &[])]),
                };
                let step = call(id, &name, &[]);
                procedures.push((name, procedure(require, inside, finally)));
                step
            }
        }
    }

    fn go_through(self, step: &mut Step) {
        let mut list = for_each(u32::from(self == Self::WideFan));
        list.max_parallel = Some(Template::Literal(Value::from(if self == Self::WideFan { 2 } else { 1 })));
        if self == Self::Waves {
            list.batches = vec![Amount::Count(1)];
            step.gate = vec![check(true)];
        }
        step.for_each = Some(list);
    }
}

/// What a scope's failure means.
const POLICIES: [(Option<OnFailure>, bool); 6] = [
    (None, false),
    (Some(OnFailure::Stop), false),
    (Some(OnFailure::Continue), false),
    (Some(OnFailure::Rollback), false),
    (Some(OnFailure::Ask), false),
    (None, true),
];

/// All graphs of so many steps in so many scopes, with each kind of scope.
fn shaped(count: usize, scopes: usize, disturbances: u8, out: &mut Vec<Case>) {
    let kinds = Made::ALL.len().pow(scopes as u32);
    for (i, list) in lists(count, scopes).iter().enumerate() {
        for kind in 0..kinds {
            for (p, (policy, optional)) in POLICIES.into_iter().enumerate() {
                // Of two scopes not all kinds with all policies: by turns.
                if scopes > 1 && !torture() && (i * 7 + kind * 5 + p) % 24 != 0 {
                    continue;
                }
                let root = [OnFailure::Stop, OnFailure::Rollback][(i + kind + p) % 2];
                let name =
                    format!("{count} steps, {scopes} scopes, graph {i}, kinds {kind}, {policy:?} {optional} {root:?}");
                let mut procedures = Vec::new();
                let (mut left_kinds, mut heavy) = (kind, false);
                let mut turn = p;
                let steps = steps(list, &mut |id, inside| {
                    let made = Made::ALL[left_kinds % Made::ALL.len()];
                    left_kinds /= Made::ALL.len();
                    let plain = |s: &Step| matches!(s.verb, Verb::Uses { .. });
                    heavy |= made == Made::WideFan && (inside.len() > 1 || !inside.iter().all(plain));
                    let mut step = made.of(id, inside, &mut procedures);
                    (step.on_failure, step.optional) = POLICIES[turn % POLICIES.len()];
                    turn += 1 + kind;
                    step
                });
                if heavy && !torture() {
                    continue;
                }
                let procedures: Vec<(&str, Procedure)> =
                    procedures.iter().map(|(name, p)| (name.as_str(), p.clone())).collect();
                let created = created(&procedures, steps, vec![action("tidy", "x", &[])], root);
                out.push(Case { name, created, left: left(disturbances) });
            }
        }
    }
}

/// Graphs with one scope, and with two.
pub fn scoped(scopes: usize) -> Vec<Case> {
    let mut out = Vec::new();
    let most = if torture() { 3 } else { 2 };
    for count in 1..=most {
        shaped(count, scopes, 1, &mut out);
    }
    out
}

/// What a step may have beside its action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Feature {
    Retry,
    Optional,
    Ask,
    Continue,
    OwnRollback,
    Deadline,
    Confirm,
    UndoByAuthor,
    NoUndo,
    Destroys,
    Expressions,
    Fan,
    WideFan,
    Waves,
    LateList,
    Call,
    GroupDeadline,
}

impl Feature {
    const ALL: [Self; 17] = [
        Self::Retry,
        Self::Optional,
        Self::Ask,
        Self::Continue,
        Self::OwnRollback,
        Self::Deadline,
        Self::Confirm,
        Self::UndoByAuthor,
        Self::NoUndo,
        Self::Destroys,
        Self::Expressions,
        Self::Fan,
        Self::WideFan,
        Self::Waves,
        Self::LateList,
        Self::Call,
        Self::GroupDeadline,
    ];

    fn step(self, id: &str, procedures: &mut Vec<(String, Procedure)>) -> Step {
        let mut plain = action(id, "x", &[]);
        let inside = || vec![action("in", "x", &[])];
        match self {
            Self::Retry => plain.retry = Some(retry(2)),
            Self::Optional => plain.optional = true,
            Self::Ask => plain.on_failure = Some(OnFailure::Ask),
            Self::Continue => plain.on_failure = Some(OnFailure::Continue),
            Self::OwnRollback => plain.on_failure = Some(OnFailure::Rollback),
            Self::Deadline => plain.deadline = Some(50),
            Self::Confirm => {
                let message = Template::Literal(Value::from("go on?"));
                plain.verb = Verb::Confirm(Confirm { message, show: None, word: None });
            }
            Self::UndoByAuthor => plain.rollback = Rollback::Steps(vec![action("fix", "x", &[])]),
            Self::NoUndo => plain.rollback = Rollback::None("it cannot be".into()),
            Self::Destroys => plain.effect = Some(Effect::Destroy),
            Self::Expressions => {}
            Self::Fan | Self::LateList => Made::Fan.go_through(&mut plain),
            Self::WideFan => Made::WideFan.go_through(&mut plain),
            Self::Waves => Made::Waves.go_through(&mut plain),
            Self::Call => return Made::CarefulCall.of(id, inside(), procedures),
            Self::GroupDeadline => {
                plain = Made::Group.of(id, inside(), procedures);
                plain.deadline = Some(50);
            }
        }
        plain
    }
}

/// A case of two steps with a feature each; or of one.
fn featured(first: Feature, second: Option<Feature>, chain: bool, root: OnFailure, disturbances: u8) -> Case {
    let mut procedures = Vec::new();
    let mut steps = vec![first.step("a", &mut procedures)];
    steps.extend(second.map(|second| second.step("b", &mut procedures)));
    if let Some(b) = steps.get_mut(1).filter(|_| chain) {
        b.needs = vec!["a".into()];
    }
    let procedures: Vec<(&str, Procedure)> = procedures.iter().map(|(name, p)| (name.as_str(), p.clone())).collect();
    let has = |feature| first == feature || second == Some(feature);
    let mut created = created(&procedures, steps, vec![action("tidy", "x", &[])], root);
    if let Fact::RunCreated { auto_expand, .. } = &mut created {
        *auto_expand = !has(Feature::LateList);
    }
    let left = Left { verdicts: has(Feature::Expressions), ..left(disturbances) };
    Case { name: format!("{first:?} {second:?} chain {chain} {root:?}"), created, left }
}

/// Each feature alone, and each pair, side by side and one after the other.
pub fn features() -> Vec<Case> {
    let mut out = Vec::new();
    let roots = [OnFailure::Stop, OnFailure::Rollback];
    for (i, first) in Feature::ALL.into_iter().enumerate() {
        out.extend(roots.map(|root| featured(first, None, false, root, 2)));
        for (j, second) in Feature::ALL.into_iter().enumerate() {
            out.push(featured(first, Some(second), true, roots[(i + j) % 2], 1));
            if i <= j {
                out.push(featured(first, Some(second), false, roots[(i + j + 1) % 2], 1));
            }
        }
    }
    out
}
