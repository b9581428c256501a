//! Which graphs are checked, with which features and how many disturbances.

use std::sync::Arc;

use serde_json::Value;

use super::super::puppet::{action, check, created_with, retry};
use super::graphs::{List, Shape, lists};
use super::moves::Left;
use super::scopes::Made;
use super::search::Case;
use crate::event::Fact;
use crate::model::effect::Effect;
use crate::model::runbook::{Confirm, LockScope, OnFailure, Procedure, Rollback, Step, Template, Verb};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

pub fn torture() -> bool {
    std::env::var_os("TORTURE").is_some()
}

pub fn left(disturbances: u8) -> Left {
    Left { disturbances: disturbances + u8::from(torture()), verdicts: false, handles: false }
}

/// The first fact of a run; lists that become known late are not asked about.
pub fn created(procedures: &[(&str, Procedure)], steps: Vec<Step>, finally: Vec<Step>, policy: OnFailure) -> Fact {
    let Fact::RunCreated { run, plan, .. } = created_with(procedures, steps, finally, policy) else { unreachable!() };
    Fact::RunCreated { run, plan: Arc::clone(&plan), auto_expand: true }
}

/// The steps of a list; `scope` makes the scopes.
pub fn steps(list: &List, scope: &mut dyn FnMut(&str, Vec<Step>) -> Step) -> Vec<Step> {
    let twins = list.twins();
    // Twins are called alike but for a digit: see `mark`.
    let name = |i: usize| match twins.iter().filter(|twin| **twin == twins[i]).count() {
        1 => NAMES[i].to_owned(),
        _ => format!("{}{i}", NAMES[twins[i]]),
    };
    let mut out = Vec::new();
    for (i, (item, mask)) in list.items.iter().zip(&list.needs).enumerate() {
        let mut step = match item {
            Shape::Leaf => action(&name(i), "x", &[]),
            Shape::Scope(list) => {
                let inside = steps(list, scope);
                scope(&name(i), inside)
            }
        };
        step.needs = (0..i).filter(|b| mask & 1 << b != 0).map(name).collect();
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
                    _ => 1,
                };
                let created = created(&[], steps(list, &mut no_scope), vec![], policy);
                out.push(Case { name, created, left: left(disturbances) });
            }
        }
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
    GroupUndo,
    CallUndo,
    CallDeadline,
    /// Requests say a handle before they are over.
    Handle,
    RunDeadline,
    RootRequire,
    NoLock,
}

impl Feature {
    const ALL: [Self; 24] = [
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
        Self::GroupUndo,
        Self::CallUndo,
        Self::CallDeadline,
        Self::Handle,
        Self::RunDeadline,
        Self::RootRequire,
        Self::NoLock,
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
            Self::GroupUndo | Self::CallUndo => {
                let made = if self == Self::GroupUndo { Made::Group } else { Made::Call };
                plain = made.of(id, inside(), procedures);
                plain.rollback = Rollback::Steps(vec![action("fix", "x", &[])]);
            }
            Self::CallDeadline => {
                plain = Made::CarefulCall.of(id, inside(), procedures);
                procedures.iter_mut().for_each(|(_, procedure)| procedure.deadline = Some(50));
            }
            Self::NoUndo => plain.rollback = Rollback::None("it cannot be".into()),
            Self::Destroys => plain.effect = Some(Effect::Destroy),
            // Of the run or of all that it does: see `featured`.
            Self::Expressions | Self::Handle | Self::RunDeadline | Self::RootRequire | Self::NoLock => {}
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
    // The same twice, side by side: twins.
    let names = if second == Some(first) && !chain { ["a1", "a2"] } else { ["a", "b"] };
    let mut steps = vec![first.step(names[0], &mut procedures)];
    steps.extend(second.map(|second| second.step(names[1], &mut procedures)));
    if let Some(b) = steps.get_mut(1).filter(|_| chain) {
        b.needs = vec!["a".into()];
    }
    let procedures: Vec<(&str, Procedure)> = procedures.iter().map(|(name, p)| (name.as_str(), p.clone())).collect();
    let has = |feature| first == feature || second == Some(feature);
    let mut created = created(&procedures, steps, vec![action("tidy", "x", &[])], root);
    if let Fact::RunCreated { auto_expand, plan, .. } = &mut created {
        *auto_expand = !has(Feature::LateList);
        let procedure = Arc::make_mut(&mut Arc::make_mut(plan).procedure);
        procedure.deadline = has(Feature::RunDeadline).then_some(50);
        procedure.require = if has(Feature::RootRequire) { vec![check(true)] } else { vec![] };
        procedure.lock = if has(Feature::NoLock) { LockScope::None } else { procedure.lock };
    }
    let left = Left { verdicts: has(Feature::Expressions), handles: has(Feature::Handle), ..left(disturbances) };
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
            // Side by side is where the orders multiply: by turns.
            if i <= j && (torture() || (i + j) % 3 == 0) {
                out.push(featured(first, Some(second), false, roots[(i + j + 1) % 2], 1));
            }
        }
    }
    out
}

/// Cases that can be searched with all their states told apart, one disturbance each: graphs of up to three steps, each
/// feature alone, and twice side by side (twins; two of these have so many states that they are for torture).
pub fn small() -> Vec<Case> {
    let left = Left { disturbances: 1, verdicts: false, handles: false };
    let mut out = Vec::new();
    for n in 1..=3 {
        for (i, list) in lists(n, 0).iter().enumerate() {
            for policy in [OnFailure::Continue, OnFailure::Rollback] {
                let created = created(&[], steps(list, &mut no_scope), vec![], policy);
                out.push(Case { name: format!("small {n}.{i} {policy:?}"), created, left });
            }
        }
    }
    for feature in Feature::ALL {
        let has_many = matches!(feature, Feature::WideFan | Feature::CallDeadline);
        for second in std::iter::once(None).chain((torture() || !has_many).then_some(Some(feature))) {
            let case = featured(feature, second, false, OnFailure::Rollback, 1);
            out.push(Case { left: Left { disturbances: 1, ..case.left }, ..case });
        }
    }
    out
}
