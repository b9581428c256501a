//! One run in a lab of its own, and what is to be said of its end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::cases::{Injection, Kind};
use super::judge::{self, End};
use super::objects;
use super::outside::Outside;
use super::stage::{Act, Setting, Stage, status};
use crate::app::books::Book;
use crate::app::error::AppError;
use crate::app::planning::{self, Request};
use crate::event::{Ending, Event, Fact, Outcome, RunStatus, UndoStatus};
use crate::lab::world::diff;
use crate::model::effect::{Done, Effect};
use crate::model::ids::StepPath;
use crate::model::plan::Plan;
use crate::model::rehearsal::Expect;
use crate::report::RunView;

/// How long a crash goes unnoticed.
const UNNOTICED: Duration = Duration::from_secs(15);

/// A run that others are measured by.
pub(super) struct Base {
    pub events: Vec<Event>,
    pub status: RunStatus,
    pub end: Value,
    /// What it asked the lab for.
    pub asked: BTreeMap<String, usize>,
}

/// What is to be said of a run.
pub(super) struct Verdict {
    pub status: Option<RunStatus>,
    pub end: Option<End>,
    pub findings: Vec<String>,
}

/// What a run left in its lab.
struct Scene {
    start: Value,
    end: Value,
    act: Act,
    asked: BTreeMap<String, usize>,
    listed: objects::Listed,
    /// What the lab's own witness has seen.
    violations: Vec<String>,
    /// Why the injection was not what it is meant to be.
    broke: Option<String>,
}

/// # Errors
/// It cannot be planned there, or the plan could not be carried out.
pub(super) async fn plan(setting: &Setting, book: &Book, request: &Request) -> Result<Plan, AppError> {
    let stage = Stage::set(setting).await?;
    let plan = planning::plan(&stage.site, book, request).await?;
    if let Some(failed) = &plan.failure {
        return Err(failed.failure.clone().into());
    }
    planning::still_holds(&stage.site, &plan).await?;
    planning::may_be_done(&stage.site, &plan).await?;
    Ok(plan)
}

impl Scene {
    /// Where its end is another; what the run itself says may be this or that is left out.
    fn differs_from(&self, goal: &Value) -> Vec<String> {
        let known = |state: &Value| self.listed.without_open(&objects::objects(state));
        judge::different(&known(goal), &known(&self.end))
    }
}

async fn play(setting: &Setting, plan: &Plan, injection: &Injection) -> Result<Scene, AppError> {
    let stage = Stage::set(setting).await?;
    let start = stage.state();
    let mut act = stage.run(plan, &injection.inject).await;
    let mut broke = None;
    if injection.inject.crash_after.is_some() {
        if let Ok(status) = status(&act) {
            broke = Some(format!("it was to crash and ended: {}", status.as_str()));
        } else {
            tokio::time::sleep(UNNOTICED).await;
            act = stage.resume(act.events, &injection.inject).await;
        }
    }
    let end = stage.at_rest().await;
    let listed = objects::listed(&act.events, &stage.site.actions);
    let violations = stage.violations();
    Ok(Scene { start, end, violations, asked: judge::asked(&stage.taken()), listed, act, broke })
}

/// Makes a run that others are measured by.
///
/// # Errors
/// The lab cannot be set up.
pub(super) async fn base(
    setting: &Setting,
    plan: &Plan,
    injection: &Injection,
    goal: Option<&Base>,
    expect: &Expect,
) -> Result<(Base, Verdict), AppError> {
    let scene = play(setting, plan, injection).await?;
    let goal_state = goal.map_or(&scene.end, |goal| &goal.end);
    let mut verdict = judged_scene(&scene, injection, goal_state);
    match (goal, verdict.status) {
        (None, Some(status)) if status.as_str() != expect.status => {
            verdict.findings.push(format!("undisturbed it is to end as {}, and it {}", expect.status, status.as_str()));
            verdict.findings.extend(why(&scene.act.events));
        }
        _ => {}
    }
    let status = verdict.status.unwrap_or(RunStatus::Running);
    Ok((Base { events: scene.act.events, status, end: scene.end, asked: scene.asked }, verdict))
}

/// Makes a run and says what is to be said of it.
///
/// # Errors
/// The lab cannot be set up.
pub(super) async fn judged(
    setting: &Setting,
    plan: &Plan,
    injection: &Injection,
    goal: &Base,
    back: Option<&Base>,
) -> Result<Verdict, AppError> {
    let scene = play(setting, plan, injection).await?;
    let mut verdict = judged_scene(&scene, injection, &goal.end);
    let found = &mut verdict.findings;
    match injection.kind {
        Kind::Crash => same(found, &scene, verdict.status, goal),
        Kind::CrashRollBack => same(found, &scene, verdict.status, back.unwrap_or(goal)),
        Kind::Repeat => same(found, &scene, verdict.status, goal),
        Kind::Fail | Kind::FailAfter | Kind::Decline if !undid(&scene.act.events) => {
            found.extend(judge::extra(&goal.asked, &scene.asked, false));
        }
        Kind::FailUndo if verdict.status != Some(RunStatus::RollbackIncomplete) => {
            found.push("an undo failed, and the run does not end as rollback_incomplete".into());
        }
        Kind::Undisturbed | Kind::Fail | Kind::FailAfter | Kind::Decline | Kind::RollBack | Kind::FailUndo => {}
    }
    Ok(verdict)
}

/// Ends as the run without the disturbance ended, having asked for the same.
fn same(found: &mut Vec<String>, scene: &Scene, status: Option<RunStatus>, usual: &Base) {
    if was_given_up(&scene.act.events) {
        return;
    }
    if let Some(status) = status.filter(|status| *status != usual.status) {
        found.push(format!("it ends as {}, undisturbed as {}", status.as_str(), usual.status.as_str()));
        found.extend(why(&scene.act.events));
    }
    found.extend(scene.differs_from(&usual.end).into_iter().map(|line| format!("not as undisturbed: {line}")));
    found.extend(judge::extra(&usual.asked, &scene.asked, true));
}

/// Whether a step that destroys was interrupted before it was sent: it is not sent afterwards, so that the run cannot end
/// as the undisturbed one.
fn was_given_up(events: &[Event]) -> bool {
    let mut destroying = BTreeSet::new();
    events.iter().filter_map(Event::fact).any(|fact| match fact {
        Fact::Started { path, intent, .. } => {
            if intent.effect == Effect::Destroy {
                destroying.insert(path);
            }
            false
        }
        Fact::Finished { path, ending: Ending::NotApplied, .. } => destroying.contains(path),
        _ => false,
    })
}

/// Whether the runbook itself has undone something, for which more is asked than undisturbed.
fn undid(events: &[Event]) -> bool {
    RunView::of(events).steps().any(|step| step.undo != UndoStatus::None)
}

/// What holds for every end.
fn judged_scene(scene: &Scene, injection: &Injection, goal: &Value) -> Verdict {
    let mut findings: Vec<String> = scene.broke.iter().chain(&scene.violations).cloned().collect();
    let status = match status(&scene.act) {
        Ok(status) => status,
        Err(why) => {
            findings.push(format!("it came to no end: {why}"));
            return Verdict { status: None, end: None, findings };
        }
    };
    let end = judge::end_of(&scene.start, goal, &scene.end);
    if status == RunStatus::Succeeded {
        let short = scene.differs_from(goal).into_iter();
        findings.extend(short.map(|line| format!("it succeeded, short of the goal: {line}")));
    }
    if matches!(status, RunStatus::Running | RunStatus::RollingBack) {
        findings.push(format!("it was left as {}", status.as_str()));
    }
    let rest = Outside::without_lasting(&scene.end, &scene.listed);
    if status == RunStatus::RolledBack && !diff(&scene.start, &rest).is_empty() {
        findings.push("it says that all was rolled back, and something is different".into());
    }
    findings.extend(judge::untruths(&scene.start, &scene.end, &scene.listed));
    findings.extend(missed(&scene.act.events, injection));
    Verdict { status: Some(status), end: Some(end), findings }
}

/// A failure that was asked for and did not come about rehearses nothing.
fn missed(events: &[Event], injection: &Injection) -> Option<String> {
    let path = injection.step.as_ref()?;
    let view = RunView::of(events);
    let step = view.step(path)?;
    let met = match injection.kind {
        Kind::FailUndo => step.undo == UndoStatus::RollbackFailed,
        Kind::Decline => step.outcome == Outcome::Cancelled,
        // What becomes of the step is found out: that the answer was lost is all that is sure.
        Kind::FailAfter => events.iter().any(|event| is_lost(event, path)),
        _ => matches!(step.outcome, Outcome::Failed(_)),
    };
    (!met).then(|| format!("the failure of {path} was not met: {}, undo {}", step.outcome.as_str(), step.undo.as_str()))
}

fn is_lost(event: &Event, of: &StepPath) -> bool {
    let ended = matches!(event.fact(), Some(Fact::Finished { path, .. }) if path == of);
    ended
        && matches!(event.fact(), Some(Fact::Finished { ending: Ending::Failed { failure }, .. }) if failure.done == Done::Unknown)
}

/// The failures of a run, a line each.
fn why(events: &[Event]) -> Vec<String> {
    let view = RunView::of(events);
    view.steps().filter_map(|step| Some(format!("{} failed: {}", step.path, step.failure()?))).collect()
}
