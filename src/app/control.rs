//! What a person says to a run from elsewhere: answers, and that it is to stop, wait, be given up or rolled back.

use std::collections::BTreeMap;

use super::error::{AppError, Exit};
use super::inspect::{self, Inspected};
use super::open::{OpenSite, store};
use super::settings::Settings;
use crate::engine::guard::check_identity;
use crate::engine::machine::{Awaiting, Kind, Node, Region, State};
use crate::engine::ports::{Call, World};
use crate::engine::world::LiveWorld;
use crate::event::{Outcome, Question, Request, Signal, UndoStatus};
use crate::journal::RunHeader;
use crate::model::ids::StepPath;
use crate::model::runbook::Rollback;
use crate::model::shell;

/// A question of a run that nobody has answered yet.
pub struct Open {
    pub path: StepPath,
    /// The step's attempts until now: what tells this question from a later one of the same step.
    pub attempt: u32,
    pub question: Question,
    /// The hash that an approval is of: the plan's, or that of the last list that became known.
    pub hash: String,
}

/// The questions that a run waits for.
///
/// # Errors
/// Its history does not fold.
pub fn questions(run: &Inspected) -> Result<Vec<Open>, AppError> {
    let state = fold(run)?;
    let waiting = state.nodes().filter(|n| matches!(n.awaiting, Awaiting::Answer | Awaiting::Decision));
    Ok(waiting
        .filter_map(|n| {
            let (path, hash) = (n.path.clone(), state.hash().to_owned());
            Some(Open { path, attempt: n.attempt, question: n.question.clone()?, hash })
        })
        .collect())
}

/// The one that is meant: the only one, or the step's that was named.
///
/// # Errors
/// The run waits for nothing, or for more than one answer, or not for that step's.
pub fn question(run: &Inspected, step: Option<&str>) -> Result<Open, AppError> {
    let mut open = questions(run)?;
    let paths = open.iter().map(|o| o.path.to_string()).collect::<Vec<_>>().join(", ");
    let state = run.header.state().replace('_', " ");
    if open.is_empty() {
        return Err(AppError::new(
            Exit::Gate,
            "run::not_waiting",
            format!("run {} asks nothing: it is {state}", run.short),
        )
        .hint(format!("see `runbook status {}`", run.short)));
    }
    let found = match step {
        Some(step) => open.iter().position(|o| o.path.as_str() == step),
        None if open.len() == 1 => Some(0),
        None => {
            let message = format!("run {} waits for more than one answer", run.short);
            return Err(AppError::new(Exit::Usage, "run::which_question", message).hint(format!("name one: {paths}")));
        }
    };
    match found {
        Some(at) => Ok(open.swap_remove(at)),
        None => {
            let message = format!("run {} does not wait for {}", run.short, step.unwrap_or_default());
            Err(AppError::new(Exit::NotFound, "run::unknown_step", message).hint(format!("it waits for: {paths}")))
        }
    }
}

/// What a person found out about steps in doubt, as it is said to the run.
///
/// # Errors
/// A step that is not in doubt is named.
pub fn resolved(run: &Inspected, found: &[(String, bool)]) -> Result<Vec<Signal>, AppError> {
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let state = fold(run)?;
    let doubtful: Vec<&str> = state.in_doubt().map(|node| node.path.as_str()).collect();
    let signals = found.iter().map(|(step, done)| {
        if doubtful.contains(&step.as_str()) {
            return Ok(Signal::Resolve { path: StepPath::new(step), done: *done });
        }
        let hint = match doubtful.as_slice() {
            [] => "no step of it is in doubt: resume it without --resolve".to_owned(),
            some => format!("in doubt: {}", some.join(", ")),
        };
        let message = format!("run {}: {step} is not in doubt", run.short);
        Err(AppError::new(Exit::Usage, "resume::not_in_doubt", message).hint(hint))
    });
    signals.collect()
}

/// Files a request for whoever has the run, or will have it.
///
/// # Errors
/// The run is over or elsewhere, or the journal cannot be written.
pub fn tell(settings: &Settings, header: &RunHeader, request: &Request) -> Result<(), AppError> {
    store(settings)?.request(&header.id, &settings.actor, request)?;
    Ok(())
}

/// What a rollback makes of a step that the run has done.
pub struct Undoing {
    pub path: StepPath,
    /// What undoes it, as a person would type it, or why nothing does.
    pub by: String,
    /// Whether anything would be done.
    pub does: bool,
}

/// What a rollback of the run would undo, the last first.
///
/// # Errors
/// Its history does not fold.
pub fn undoing(run: &Inspected, site: &OpenSite) -> Result<Vec<Undoing>, AppError> {
    let state = fold(run)?;
    let mut steps: Vec<&Node> = state.nodes().filter(|n| is_to_undo(n)).collect();
    steps.sort_by_key(|n| std::cmp::Reverse(n.started));
    Ok(steps.into_iter().map(|n| undone_by(n, site)).collect())
}

fn undone_by(node: &Node, site: &OpenSite) -> Undoing {
    let (by, does) = match node.step().map(|step| &step.rollback) {
        Some(Rollback::None(why)) => (format!("nothing undoes it: {why}"), false),
        Some(Rollback::Steps(steps)) => {
            let ids: Vec<&str> = steps.iter().map(|step| step.id.as_str()).collect();
            (format!("its own steps: {}", ids.join(", ")), true)
        }
        Some(Rollback::Auto) | None => match inverse(node, site) {
            Some(line) => (line, true),
            None => ("nothing can undo it".to_owned(), false),
        },
    };
    Undoing { path: node.path.clone(), by, does }
}

fn inverse(node: &Node, site: &OpenSite) -> Option<String> {
    let (invocation, intent) = (node.invocation.as_ref()?, node.intent.as_ref()?);
    let inverse = site.actions.get(&invocation.uses)?.undo(&call_of(node), &intent.before, node.outputs.as_ref())?;
    Some(shell::call_line(site.actions.get(&inverse.uses)?.spec(), &inverse.with))
}

/// Looks whether the objects are still as the run left them: of each object the last step that touched it.
///
/// # Errors
/// They are not: which, and how; or the site cannot be asked.
pub async fn still_as_left(run: &Inspected, site: &OpenSite) -> Result<(), AppError> {
    let state = fold(run)?;
    let Some(plan) = state.plan() else { return Ok(()) };
    let planned: BTreeMap<&StepPath, _> = plan.steps.iter().map(|step| (&step.path, step)).collect();
    let mut last: BTreeMap<String, &Node> = BTreeMap::new();
    for node in state.nodes().filter(|n| is_to_undo(n) && n.outcome == Outcome::Ok) {
        let objects = planned.get(&node.path).map(|step| step.identities.as_slice()).unwrap_or_default();
        let mut names: Vec<String> = objects.iter().map(|identity| identity.resource.to_string()).collect();
        if names.is_empty() {
            names.push(node.path.to_string());
        }
        for name in names {
            let known = last.entry(name).or_insert(node);
            if known.started < node.started {
                *known = node;
            }
        }
    }
    let world = LiveWorld(site.source.clone());
    let mut moved = Vec::new();
    for node in last.into_values() {
        if let Err(failure) = is_as_left(node, planned.get(&node.path).copied(), site, &world).await {
            moved.push(format!("{}: {failure}", node.path));
        }
    }
    if moved.is_empty() {
        return Ok(());
    }
    moved.sort();
    moved.dedup();
    let message = format!("run {} cannot be rolled back: not everything is as it left it", run.short);
    Err(AppError::new(Exit::Gate, "rollback::moved", message)
        .details(moved)
        .hint(format!("nothing was changed; what it did is in `runbook status {}`: undo it by hand", run.short)))
}

async fn is_as_left(
    node: &Node,
    planned: Option<&crate::model::plan::PlanStep>,
    site: &OpenSite,
    world: &dyn World,
) -> Result<(), crate::model::failure::Failure> {
    for identity in planned.map(|step| step.identities.as_slice()).unwrap_or_default() {
        check_identity(identity, world).await?;
    }
    let action = node.invocation.as_ref().and_then(|invocation| site.actions.get(&invocation.uses));
    match (action, &node.intent, &node.outputs) {
        (Some(action), Some(intent), Some(outputs)) => {
            action.verify(&call_of(node), &intent.before, outputs, world).await
        }
        _ => Ok(()),
    }
}

fn is_to_undo(node: &Node) -> bool {
    node.region == Region::Main
        && matches!(node.kind, Kind::Action)
        && node.intent.is_some()
        && matches!(node.outcome, Outcome::Ok | Outcome::Failed(_))
        && !matches!(node.undo, UndoStatus::RolledBack | UndoStatus::Listed(_))
}

fn call_of(node: &Node) -> Call {
    let with = node.invocation.as_ref().map(|invocation| invocation.with.clone()).unwrap_or_default();
    Call { run: None, path: node.path.clone(), attempt: node.attempt, with }
}

fn fold(run: &inspect::Inspected) -> Result<State, AppError> {
    let facts = run.events.iter().filter_map(|event| Some((event.at, event.fact()?)));
    State::replay(facts).map_err(|error| {
        AppError::new(Exit::Failed, "journal::corrupt", format!("run {}: {error}", run.header.id))
            .hint("`runbook audit verify` says where")
    })
}
