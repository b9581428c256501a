//! Whether a runbook needs the site at all: one that acts on this machine, or reaches hosts by itself, asks nobody for a
//! credential.

use std::collections::BTreeSet;

use crate::model::effect::Effect;
use crate::model::param::ValueType;
use crate::model::runbook::{Check, Rollback, Runbook, Step, Target, Template, Verb};

/// Whether anything of it is about a site: its target, a parameter that names something there, or an action.
pub fn needs_site(runbook: &Runbook) -> bool {
    let names_something = |ty: ValueType| matches!(ty, ValueType::Node | ValueType::Guest);
    let mut needs = runbook.target != Target::None
        || runbook.params.iter().any(|p| names_something(p.ty) || p.items.is_some_and(names_something));
    let no = Template::Literal(false.into());
    each_use(runbook, &mut |action, with| {
        // Handing the site's token on needs it as much as using it.
        needs |= elsewhere(action) || with.iter().any(|(name, value)| name == "proxmox_token" && *value != no);
    });
    needs
}

/// The actions that it uses, in its procedures, checks and undos too.
pub fn actions_of(runbook: &Runbook) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    each_use(runbook, &mut |action, _| {
        used.insert(action.to_owned());
    });
    used
}

/// What its actions need of a token, each with its path and, in brackets, when; sorted.
pub fn privileges_of(runbook: &Runbook) -> BTreeSet<String> {
    let specs = crate::actions::specs();
    let used = actions_of(runbook);
    used.iter().filter_map(|name| specs.get(name)).flat_map(|spec| spec.privileges.iter().cloned()).collect()
}

/// What each use of an action may do at most, in its procedures, checks and undos too.
pub fn effects_of(runbook: &Runbook) -> Vec<(String, Effect)> {
    let specs = crate::actions::specs();
    let mut found = Vec::new();
    each_use(runbook, &mut |action, with| {
        // What is not known may do anything.
        let effect = specs.get(action).map_or(Effect::Destroy, |spec| spec.effect_in(with));
        found.push((action.to_owned(), effect));
    });
    found
}

/// Whether it asks a person anything of itself.
pub fn asks(runbook: &Runbook) -> bool {
    let procedures = runbook.procedures.values().flat_map(|procedure| procedure.steps.iter().chain(&procedure.finally));
    runbook.steps.iter().chain(&runbook.finally).chain(procedures).any(asks_at)
}

fn asks_at(step: &Step) -> bool {
    let undo = match &step.rollback {
        Rollback::Steps(steps) => steps.iter().any(asks_at),
        _ => false,
    };
    undo || match &step.verb {
        Verb::Confirm(_) => true,
        Verb::Steps(steps) | Verb::Parallel(steps) => steps.iter().any(asks_at),
        Verb::Uses { .. } | Verb::Call { .. } => false,
    }
}

type With<'a> = &'a [(String, Template)];

fn each_use(runbook: &Runbook, see: &mut dyn FnMut(&str, With<'_>)) {
    body(&runbook.require, &runbook.steps, &runbook.finally, see);
    for procedure in runbook.procedures.values() {
        body(&procedure.require, &procedure.steps, &procedure.finally, see);
    }
}

fn body(require: &[Check], steps: &[Step], finally: &[Step], see: &mut dyn FnMut(&str, With<'_>)) {
    checks(require, see);
    steps.iter().chain(finally).for_each(|given| step(given, see));
}

fn checks(checks: &[Check], see: &mut dyn FnMut(&str, With<'_>)) {
    checks.iter().filter_map(|check| check.uses.as_deref()).for_each(|action| see(action, &[]));
}

fn step(given: &Step, see: &mut dyn FnMut(&str, With<'_>)) {
    match &given.verb {
        Verb::Uses { action, with } => see(action, with),
        // Procedures are looked at by themselves.
        Verb::Call { .. } | Verb::Confirm(_) => {}
        Verb::Steps(steps) | Verb::Parallel(steps) => steps.iter().for_each(|inner| step(inner, see)),
    }
    if let Rollback::Steps(steps) = &given.rollback {
        steps.iter().for_each(|inner| step(inner, see));
    }
    checks(&given.gate, see);
    checks(&given.verify, see);
}

/// Whether it goes through the site's own API.
fn elsewhere(action: &str) -> bool {
    !acts_here(action) && !["ssh.", "wait.", "http."].iter().any(|kind| action.starts_with(kind))
}

/// Whether an action acts on this machine, by itself or by a tool that is started on it.
pub(in crate::app) fn acts_here(action: &str) -> bool {
    const HERE: [&str; 6] = ["ansible", "file", "git", "local", "task", "yaml"];
    // A backup is a file of this machine, whoever writes it.
    action.starts_with("talos.etcd_") || action.split('.').next().is_some_and(|kind| HERE.contains(&kind))
}
