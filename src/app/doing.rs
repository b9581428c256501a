//! `runbook do`: one action as a runbook of one step, so that it goes the way of every runbook.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::books::Book;
use super::error::{AppError, Exit};
use crate::actions;
use crate::load::bind_params;
use crate::load::diagnostic::Source;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::param::Param;
use crate::model::plan::Plan;
use crate::model::runbook::{Expr, LockScope, OnFailure, Place, Runbook, Step, Target, Template, Verb};
use crate::model::shell;

/// The name that its runs have.
pub const NAME: &str = "do";

/// The action of that name.
///
/// # Errors
/// There is none (with the nearest name).
pub fn spec(action: &str) -> Result<ActionSpec, AppError> {
    let mut specs = actions::specs();
    if let Some(spec) = specs.remove(action) {
        return Ok(spec);
    }
    // `guest_migrat` is near to `proxmox.guest_migrate` too.
    let tail = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let tails: BTreeMap<String, &String> = specs.keys().map(|name| (tail(name), name)).collect();
    let near = crate::expr::nearest(action, specs.keys().map(String::as_str)).or_else(|| {
        let near = crate::expr::nearest(&tail(action), tails.keys().map(String::as_str))?;
        tails.get(&near).map(|name| (*name).clone())
    });
    let hint = match near {
        Some(near) => format!("did you mean {near:?}? `runbook actions` lists them"),
        None => "`runbook actions` lists them".to_owned(),
    };
    Err(AppError::new(Exit::NotFound, "action::unknown", format!("no action {action:?}")).hint(hint))
}

/// The action as a runbook whose parameters are those that were given.
///
/// # Errors
/// No such action, or all that is wrong with the parameters: unknown, missing, of the wrong shape.
pub fn book(action: &str, given: &[(String, String)]) -> Result<Book, AppError> {
    let spec = spec(action)?;
    let value = |name: &str| match given.iter().find(|(n, _)| n == name) {
        Some((_, text)) => Some(Value::from(text.as_str())),
        None => spec.default_of(name),
    };
    let effect = spec.effect_with(value);
    let whole = runbook(&spec, effect, action, spec.params.clone());
    bind_params(&whole, &[], given).map_err(|errors| {
        let message = match errors.as_slice() {
            [one] => one.to_string(),
            more => format!("{} parameters of {action} are wrong", more.len()),
        };
        let lines = if errors.len() > 1 { errors.iter().map(ToString::to_string).collect() } else { Vec::new() };
        AppError::new(Exit::Usage, "params::invalid", message)
            .details(lines)
            .hint(format!("`runbook actions {action}` lists its parameters"))
    })?;
    let used = |param: &&Param| given.iter().any(|(name, _)| *name == param.name);
    let runbook = runbook(&spec, effect, NAME, spec.params.iter().filter(used).cloned().collect());
    let text = words(action, given);
    let digest = Sha256::digest(&text).iter().map(|b| format!("{b:02x}")).collect();
    Ok(Book { runbook, source: Source::new(NAME, text), digest, warnings: 0 })
}

/// `do ACTION NAME=VALUE …`, as it was typed.
pub fn words(action: &str, given: &[(String, String)]) -> String {
    let given = given.iter().map(|(name, value)| format!("{name}={value}"));
    shell::line([NAME.to_owned(), action.to_owned()].into_iter().chain(given))
}

/// What a reading has put out; nothing for an action that changes something.
pub fn outputs(plan: &Plan) -> Option<(&str, Value)> {
    let [step] = plan.steps.as_slice() else { return None };
    let outputs = || step.pinned.clone().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    (step.effect == Effect::Read && plan.failure.is_none()).then(|| (step.summary.as_str(), outputs()))
}

fn runbook(spec: &ActionSpec, effect: Effect, name: &str, params: Vec<Param>) -> Runbook {
    let reads = effect == Effect::Read;
    // The step's id: letters, digits and `_`, as every action's last word is.
    let id = spec.name.rsplit('.').next().unwrap_or(NAME).to_owned();
    let with = params.iter().map(|param| (param.name.clone(), expr(format!("params.{}", param.name)))).collect();
    // What is referred to is in the plan, and there it is all that a reading is for.
    let outputs = spec.outputs.iter().filter(|_| reads);
    let outputs = outputs.map(|o| (o.name.clone(), expr(format!("steps.{id}.{}", o.name)))).collect();
    Runbook {
        name: name.to_owned(),
        title: Some(spec.title.clone()),
        description: None,
        aliases: Vec::new(),
        target: target(&spec.name),
        params,
        vars: Vec::new(),
        lock: if reads { LockScope::None } else { LockScope::Site },
        deadline: None,
        on_failure: OnFailure::Stop,
        require: Vec::new(),
        steps: vec![Step::new(id, Verb::Uses { action: spec.name.clone(), with })],
        finally: Vec::new(),
        outputs,
        procedures: BTreeMap::new(),
    }
}

/// Acts on etcd itself.
const ETCD_AT_WORK: [&str; 2] = ["talos.etcd_defragment", "talos.etcd_disarm"];

fn target(action: &str) -> Target {
    match action.split('.').next() {
        // What a member does meanwhile is the site's business: its lock and its policy.
        _ if ETCD_AT_WORK.contains(&action) => Target::Talos,
        // Files of this machine, and members of etcd that are asked by their own addresses: no site is needed.
        _ if action.starts_with("talos.etcd_") => Target::None,
        Some("proxmox") => Target::Proxmox,
        Some("talos" | "kubernetes") => Target::Talos,
        _ => Target::None,
    }
}

fn expr(source: String) -> Template {
    Template::Expr(Expr { source, place: Place::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn refused(action: &str, pairs: &[(&str, &str)]) -> String {
        let error = book(action, &given(pairs)).err().unwrap();
        format!(
            "{} {}: {} [{}] {}",
            error.exit as u8,
            error.code,
            error.message,
            error.details.join("; "),
            error.hint.unwrap()
        )
    }

    #[test]
    fn an_action_is_a_runbook_of_one_step() {
        let book = book("proxmox.guest_shutdown", &given(&[("guest", "web"), ("timeout", "90s")])).unwrap();
        let runbook = &book.runbook;
        assert_eq!((runbook.name.as_str(), runbook.lock, runbook.target), ("do", LockScope::Site, Target::Proxmox));
        assert_eq!(runbook.params.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["guest", "timeout"]);
        assert_eq!(runbook.steps[0].id, "guest_shutdown");
        assert_eq!(book.source.text, "do proxmox.guest_shutdown guest=web timeout=90s");
    }

    #[test]
    fn every_action_of_the_catalogue_can_be_done() {
        for spec in actions::specs().values() {
            let book = runbook(spec, spec.effect, NAME, spec.params.clone());
            assert_eq!(book.lock == LockScope::None, spec.effect == Effect::Read, "{}", spec.name);
            let target = match spec.name.split('.').next() {
                Some("proxmox") => Target::Proxmox,
                Some("talos") if !spec.name.starts_with("talos.etcd_") => Target::Talos,
                _ if matches!(spec.name.as_str(), "talos.etcd_defragment" | "talos.etcd_disarm") => Target::Talos,
                Some("kubernetes") => Target::Talos,
                _ => Target::None,
            };
            assert_eq!(book.target, target, "{}", spec.name);
            assert!(!book.steps[0].id.is_empty(), "{}", spec.name);
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_what_is_near() {
        let unknown = "5 action::unknown: no action \"guest_migrat\" [] did you mean \"proxmox.guest_migrate\"? \
                       `runbook actions` lists them";
        assert_eq!(refused("guest_migrat", &[]), unknown);
        let missing = refused("proxmox.guest_shutdown", &[]);
        assert!(missing.starts_with("2 params::invalid: parameter `guest`: not given; expected a VMID"), "{missing}");
        let wrong = refused("proxmox.guest_shutdown", &[("gest", "1"), ("guest", "104"), ("timeout", "soon")]);
        assert!(wrong.starts_with("2 params::invalid: 2 parameters of proxmox.guest_shutdown are wrong ["), "{wrong}");
        assert!(wrong.contains("did you mean `guest`?") && wrong.contains("`soon`; expected a duration"), "{wrong}");
        assert!(wrong.ends_with("`runbook actions proxmox.guest_shutdown` lists its parameters"), "{wrong}");
    }
}
