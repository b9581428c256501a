//! Plans: made, saved, read back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::books::Book;
use super::error::{AppError, Exit};
use super::naming;
use super::open::OpenSite;
use super::policy;
use super::site_lock::{self, Reach};
use crate::actions::proxmox;
use crate::engine::evaluate::text_of;
use crate::engine::hash::hash;
use crate::engine::plan as planner;
use crate::engine::world::LiveWorld;
use crate::load::{bind_params, fill_defaults};
use crate::model::effect::Effect;
use crate::model::failure::Failure;
use crate::model::plan::{Inputs, Plan, PlanFailure, PlanStep, Planned};
use crate::model::runbook::{LockScope, Runbook};
use crate::model::value::ParamError;
use crate::sys::{clock, files};

/// What to plan.
pub struct Request {
    pub args: Vec<String>,
    pub set: Vec<(String, String)>,
    pub cluster: Option<String>,
}

/// The parameters, checked for shape; nothing is contacted.
///
/// # Errors
/// All that is unknown, missing or of the wrong shape.
pub fn bind(runbook: &Runbook, request: &Request) -> Result<BTreeMap<String, Value>, AppError> {
    bind_params(runbook, &request.args, &request.set).map_err(|errors| bad_params(runbook, &errors))
}

fn bad_params(runbook: &Runbook, errors: &[ParamError]) -> AppError {
    let message = match errors {
        [one] => one.to_string(),
        more => format!("{} parameters of {} are wrong", more.len(), runbook.name),
    };
    let mut error = AppError::new(Exit::Usage, "params::invalid", message);
    if errors.len() > 1 {
        error.details = errors.iter().map(ToString::to_string).collect();
    }
    error.hint(format!("`runbook show {}` lists its parameters", runbook.name))
}

/// Makes a plan against the site as it is now.
///
/// # Errors
/// Something was wrong before any step could be planned. A step that fails while planning is in the plan.
pub async fn plan(site: &OpenSite, book: &Book, request: &Request) -> Result<Plan, AppError> {
    let mut params = bind(&book.runbook, request)?;
    let cluster = request.cluster.as_deref().map(|name| site.config.cluster(name)).transpose()?;
    let scope = site.config.scope(cluster);
    fill_defaults(&book.runbook, &mut params, &defaults_scope(&scope))
        .map_err(|errors| bad_params(&book.runbook, &errors))?;
    let mut runbook = book.runbook.clone();
    naming::resolve(site, &mut runbook, &mut params).await?;
    let inputs = Inputs {
        site: site.config.site.cluster.name.clone(),
        cluster: request.cluster.clone(),
        params,
        scope,
        runbook_digest: book.digest.clone(),
        config_digest: site.config.digest.clone(),
    };
    let now = u64::try_from(clock::now_ms()).unwrap_or_default();
    let onlooker = policy::Onlooker::new(&site.config.site.policy);
    let actions = onlooker.beside(&site.actions);
    let mut plan = planner::plan(runbook, inputs, now, &actions, site.planning_source()).await?;
    if book.warnings > 0 {
        let name = &book.source.name;
        plan.warnings.push(format!("there is something to say about {name}: see `runbook lint {name}`"));
    }
    if plan.failure.is_none()
        && plan.summary.changes()
        && plan.procedure.lock == LockScope::Site
        && let Some(proxmox) = &site.proxmox
        && let Reach::Host(why) = site_lock::reach(proxmox).await?
    {
        plan.warnings.push(why);
    }
    keep_to_policy(site, &mut plan, &onlooker, now).await?;
    Ok(plan)
}

/// Says in the plan what the site's policy has against it.
async fn keep_to_policy(site: &OpenSite, plan: &mut Plan, by: &policy::Onlooker, now: u64) -> Result<(), AppError> {
    let policy = &site.config.site.policy;
    if plan.failure.is_none()
        && let Some(failure) = policy::violation(plan, policy, by, &LiveWorld(site.source.clone())).await?
    {
        plan.failure = Some(PlanFailure { path: "policy".into(), failure });
    }
    if plan.summary.changes() {
        plan.warnings.extend(policy::outside(policy, now));
    }
    plan.hash = hash(plan);
    Ok(())
}

/// Writes a plan, whole or not at all; only its owner can read it.
///
/// # Errors
/// The file cannot be written.
pub fn save(plan: &Plan, path: &Path) -> Result<(), AppError> {
    let mut text = serde_json::to_string_pretty(plan)
        .map_err(|e| AppError::new(Exit::Failed, "plan::unwritable", e.to_string()))?;
    text.push('\n');
    files::write_atomic(path, text.as_bytes(), 0o600)
        .map_err(|e| AppError::new(Exit::Configuration, "plan::unwritable", e.to_string()))
}

/// Reads a saved plan and makes sure that it is as it was written.
///
/// # Errors
/// Not a plan, of another format, or edited.
pub fn read_saved(path: &Path) -> Result<Plan, AppError> {
    let refuse = |why: String| {
        AppError::new(Exit::Gate, "plan::invalid", format!("plan {}: {why}", path.display()))
            .hint("make it again: `runbook plan … --out FILE`")
    };
    let text = match files::read_text(path) {
        Ok(text) => text,
        Err(error) if error.is_not_found() => {
            return Err(AppError::new(Exit::NotFound, "plan::unreadable", error.to_string()));
        }
        Err(error) => return Err(refuse(format!("not a plan: {error}"))),
    };
    let value: Value = serde_json::from_str(&text).map_err(|e| refuse(format!("not a plan: {e}")))?;
    let format = value["format_version"].as_str().unwrap_or("none").to_owned();
    if format.split('.').next() != planner::FORMAT.split('.').next() {
        return Err(refuse(format!("its format is {format}, this runbook reads {}", planner::FORMAT)));
    }
    let plan: Plan = serde_json::from_value(value).map_err(|e| refuse(format!("not a plan: {e}")))?;
    if hash(&plan) != plan.hash {
        return Err(refuse("the file was edited: its content does not match its hash".into()));
    }
    Ok(plan)
}

/// Refuses a plan that changes something outside the site's windows.
///
/// # Errors
/// When the next one opens.
pub fn may_start(site: &OpenSite, plan: &Plan) -> Result<(), AppError> {
    policy::may_start(&site.config.site.policy, plan, u64::try_from(clock::now_ms()).unwrap_or_default())
}

/// Refuses a plan of which some step would only be refused half-way: every privilege that its changes need is looked
/// for before the first of them.
///
/// # Errors
/// What is missing, or the site's own refusal.
pub async fn may_be_done(site: &OpenSite, plan: &Plan) -> Result<(), AppError> {
    // This machine knows users, and each command says by itself what it may not do.
    let Some(at) = &site.proxmox else { return Ok(()) };
    let attempted = "read our own privileges";
    let held = at.permissions(None).await.map_err(|e| proxmox::failure(at, attempted, &e))?;
    let mut missing = BTreeSet::new();
    let changes =
        |step: &&PlanStep| step.effect > Effect::Read && matches!(step.planned, Planned::Run | Planned::Maybe);
    for step in plan.steps.iter().filter(changes) {
        let Some(action) = site.actions.get(&step.uses) else { continue };
        for needed in &action.spec().privileges {
            if let Some((privilege, path)) = privilege_of(needed, step)
                && !held.may(&path, &privilege)
            {
                missing.insert(format!("{privilege} on {path}"));
            }
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!("{} may not carry out all of this plan; nothing was changed", at.user());
    Err(AppError::new(Exit::Refused, "site::privilege", message)
        .details(missing.into_iter().map(|what| format!("missing: {what}")).collect())
        .hint("give it a role with these privileges: pveum acl modify PATH --tokens 'USER@REALM!NAME' --roles ROLE"))
}

/// `VM.Migrate on /vms/{guest}` for this step. What only holds in some cases says so in brackets, and is left to the
/// step itself.
fn privilege_of(needed: &str, step: &PlanStep) -> Option<(String, String)> {
    let (privilege, path) = needed.split_once(" on ").filter(|_| !needed.ends_with(')'))?;
    let mut path = path.to_owned();
    for (name, value) in &step.with {
        path = path.replace(&format!("{{{name}}}"), &text_of(value));
    }
    (!path.contains('{') && path.starts_with('/')).then(|| (privilege.to_owned(), path))
}

/// Refuses a plan that was made for another configuration, or whose world has moved: by name.
///
/// # Errors
/// What moved.
pub async fn still_holds(site: &OpenSite, plan: &Plan) -> Result<(), AppError> {
    let name = &site.config.site.cluster.name;
    let stale =
        |message: String| AppError::new(Exit::Gate, "plan::stale", message).hint("make a new plan: `runbook plan …`");
    if plan.inputs.site != *name {
        return Err(stale(format!("the plan is for site {:?}, the configuration is for {name:?}", plan.inputs.site)));
    }
    if plan.inputs.config_digest != site.config.digest {
        return Err(stale(format!(
            "{} or a cluster profile was changed after the plan was made",
            site.config.path.display()
        )));
    }
    let moved = planner::moved_since(plan, &LiveWorld(site.source.clone())).await;
    match moved.as_slice() {
        [] => Ok(()),
        failures => {
            // Not being able to look is another thing than having looked; one thing that was seen to have moved is enough.
            if failures.iter().all(|f| f.class != crate::model::failure::Class::Precondition) {
                return Err(failures[0].clone().into());
            }
            let count = failures.len();
            let what = if count == 1 { "something that it rests on" } else { "things that it rests on" };
            Err(stale(format!("the plan no longer fits: {what} changed since it was made"))
                .details(failures.iter().map(Failure::to_string).collect()))
        }
    }
}

fn defaults_scope(scope: &BTreeMap<String, Value>) -> crate::expr::Scope {
    let mut names = crate::expr::Scope::new();
    for (name, value) in scope {
        names.insert(name.clone(), crate::expr::Datum::Known(value.clone()));
    }
    names
}
