//! An ordeal: a runbook that works on a Talos cluster, run once for each thing that can go wrong × each place in the run at
//! which it can. A place is a fact of the journal: the fault happens when that is durable, with the runner going on or
//! crashing there. The end is judged by the lab's own witness and by what the machines really are, never by the run's word.
//!
//! A run that stopped is followed by a second one in the same lab, as an impatient operator would have it; and, once all
//! that is ill is mended, by a third.

mod blow;
mod judge;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use blow::Blow;
use tokio::sync::mpsc;

use super::in_lab;
use super::stage::{Act, Ear, Setting, Stage, status};
use crate::app::books::{self, Book};
use crate::app::error::{AppError, Exit};
use crate::app::planning::{self, Request};
use crate::app::settings::Settings;
use crate::engine::inject::Inject;
use crate::event::{Ending, Event, Fact, RunStatus};
use crate::lab::ledger::Entry;
use crate::lab::world::{Truth, World};
use crate::model::effect::Effect;
use crate::model::ids::StepPath;
use crate::model::plan::Plan;
use crate::report::{Look, RunView, summary};

/// How long a crash goes unnoticed.
const UNNOTICED: Duration = Duration::from_secs(15);

/// What is put to the test, and where.
#[derive(Debug, Clone, Default)]
pub struct Scenery {
    pub runbook: String,
    pub scenario: String,
    pub cluster: String,
    pub args: Vec<String>,
    pub set: Vec<(String, String)>,
    /// What the machines run at the beginning, where that is not the scenario's own.
    pub talos: Option<String>,
}

/// Somewhere in the undisturbed run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// So many facts are in the journal.
    pub facts: u64,
    /// `hop[1.12.11]/node[cp2]/upgrade: checkpoint`
    pub at: String,
    pub step: Option<StepPath>,
    /// The kind of the fact.
    pub phase: &'static str,
    /// Whether something happens outside before the next one: they are made durable together otherwise, and only a crash
    /// can tell them apart.
    pub apart: bool,
    /// Whether it is of a step that looks at the cluster: after the last of them nothing more can be seen.
    looks: bool,
}

/// What is done to one run.
#[derive(Debug, Clone)]
pub struct Stroke {
    /// Of [`Ordeal::places`]; nothing: before it begins, with the plan made.
    pub place: Option<usize>,
    /// At once.
    pub blows: Vec<Blow>,
    /// Whether the runner crashes there, too, and goes on 15 s later.
    pub crash: bool,
}

/// How one run ended, and those after it.
#[derive(Debug, Clone)]
pub struct Endured {
    /// Of the run, of the next one, and of the one after all was mended; absent where it was not even planned.
    pub statuses: Vec<Option<RunStatus>>,
    pub findings: Vec<String>,
    /// As a person reads it.
    pub story: String,
}

/// The undisturbed run, and what all others start from.
pub struct Ordeal {
    shared: Arc<Shared>,
    places: Vec<Place>,
    blows: Vec<Blow>,
}

struct Shared {
    setting: Setting,
    book: Book,
    request: Request,
    plan: Plan,
    goal: judge::Goal,
}

/// What a run leaves for its judge.
struct Scene<'a> {
    act: &'a Act,
    before: &'a [Truth],
    after: Vec<Truth>,
    /// What the lab has taken since it began.
    taken: Vec<Entry>,
    /// How much of that was taken when the first step had failed.
    stopped: Option<usize>,
    /// Whether the API was gone at the very moment of the blow: then that is nobody's doing.
    excused: bool,
    violations: Vec<String>,
}

impl Ordeal {
    /// Runs it undisturbed.
    ///
    /// # Errors
    /// It cannot be planned in its lab, or does not come to its goal there.
    pub async fn of(scenery: &Scenery) -> Result<Self, AppError> {
        let mut setting = Setting::new(&scenery.scenario, Vec::new())?;
        if let Some(version) = &scenery.talos {
            setting.world.run_talos(version);
        }
        let settings = Settings { actor: "ordeal".into(), ..Settings::default() };
        let book = books::find(&settings, &scenery.runbook)?;
        let (args, set) = (scenery.args.clone(), scenery.set.clone());
        let request = Request { args, set, cluster: Some(scenery.cluster.clone()) };
        in_lab(move || async move { Self::undisturbed(setting, book, request).await }).await?
    }

    async fn undisturbed(setting: Setting, book: Book, request: Request) -> Result<Self, AppError> {
        let stage = Stage::set(&setting).await?;
        let before = truth(&stage);
        let blows = blow::all(&stage, &before);
        let plan = planned(&stage, &book, &request).await?;
        let commits = Arc::new(Mutex::new(Vec::new()));
        let ear: Ear = {
            let (commits, mut facts) = (commits.clone(), 0);
            Box::new(move |events| {
                facts += facts_in(events);
                commits.lock().unwrap_or_else(PoisonError::into_inner).push(facts);
            })
        };
        let act = run(&stage, "undisturbed", &plan, &Inject::default(), Some(ear)).await;
        let after = truth(&stage);
        let commits = commits.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let goal = judge::Goal::of(&before, &after, &stage.taken());
        let scene = Scene {
            act: &act,
            before: &before,
            after,
            taken: stage.taken(),
            stopped: None,
            excused: false,
            violations: stage.violations(),
        };
        let found = judge::findings(&scene, &goal, &[], false);
        if !found.is_empty() || status(&act) != Ok(RunStatus::Succeeded) {
            let text = "the runbook does not come to its goal undisturbed";
            let details = found.into_iter().chain([story(&act)]).collect();
            return Err(AppError::new(Exit::Failed, "test::undisturbed", text).details(details));
        }
        let places = places(&act.events, &commits);
        Ok(Self { shared: Arc::new(Shared { setting, book, request, plan, goal }), places, blows })
    }

    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Each fault × each machine, host or budget that it can hit.
    pub fn blows(&self) -> &[Blow] {
        &self.blows
    }

    /// One run, with what comes after it.
    ///
    /// # Errors
    /// The lab cannot be set up, or a fault is none.
    pub async fn run(&self, stroke: &Stroke) -> Result<Endured, AppError> {
        let trial = Trial {
            shared: self.shared.clone(),
            place: stroke.place.map(|place| self.places[place].clone()),
            late: stroke.place.is_some_and(|place| !self.places[place + 1..].iter().any(|place| place.looks)),
            stroke: stroke.clone(),
        };
        in_lab(move || trial.go()).await?
    }
}

/// One run as it is handed to its thread.
#[derive(Clone)]
struct Trial {
    shared: Arc<Shared>,
    place: Option<Place>,
    late: bool,
    stroke: Stroke,
}

/// What was heard while a run went on.
#[derive(Default)]
struct Notes {
    facts: u64,
    struck: bool,
    excused: bool,
    stopped: Option<usize>,
    trouble: Option<String>,
}

impl Trial {
    async fn go(self) -> Result<Endured, AppError> {
        let stage = Arc::new(Stage::set(&self.shared.setting).await?);
        let before = truth(&stage);
        let (act, notes) = self.struck(&stage).await?;
        stage.at_rest().await;
        let mut endured = Endured { statuses: Vec::new(), findings: Vec::new(), story: story(&act) };
        if let Some(why) = &notes.trouble {
            endured.findings.push(format!("the fault could not be laid: {why}"));
        }
        if !notes.struck {
            endured.findings.push(format!("the place was not met: {}", self.stroke));
        }
        let scene = Scene {
            act: &act,
            before: &before,
            after: truth(&stage),
            taken: stage.taken(),
            stopped: notes.stopped,
            excused: notes.excused,
            violations: stage.violations(),
        };
        endured.findings.extend(judge::findings(&scene, &self.shared.goal, &self.stroke.blows, self.late));
        let ended = status(&act).ok();
        endured.statuses.push(ended);
        let seen = scene.violations.len();
        match ended {
            Some(RunStatus::Paused) => self.resumed(&stage, act, &before, seen, &mut endured).await,
            Some(RunStatus::Succeeded) | None => {}
            Some(_) => self.again(&stage, seen, &mut endured).await?,
        }
        Ok(endured)
    }

    /// One that waits for a person goes on when all is mended.
    async fn resumed(&self, stage: &Stage, act: Act, before: &[Truth], seen: usize, endured: &mut Endured) {
        stage.mend();
        stage.at_rest().await;
        let from = stage.taken().len();
        let act = stage.resume(act.events, &Inject::default()).await;
        stage.at_rest().await;
        endured.statuses.push(status(&act).ok());
        let scene = Scene {
            act: &act,
            before,
            after: truth(stage),
            taken: stage.taken().split_off(from),
            stopped: None,
            excused: false,
            violations: stage.violations().split_off(seen),
        };
        let found = judge::findings(&scene, &self.shared.goal, &self.stroke.blows, false);
        if !found.is_empty() {
            endured.story.push_str(&format!("\nresumed:\n{}", story(&act)));
        }
        endured.findings.extend(found.into_iter().map(|found| format!("resumed: {found}")));
    }

    /// With what goes wrong laid at its place.
    async fn struck(&self, stage: &Arc<Stage>) -> Result<(Act, Notes), AppError> {
        let notes = Arc::new(Mutex::new(Notes::default()));
        let Some(place) = &self.place else {
            self.strike(stage, &mut lock(&notes));
            let act =
                run(stage, "first", &self.shared.plan, &Inject::default(), Some(self.ear(stage, &notes, None))).await;
            return Ok((act, std::mem::take(&mut lock(&notes))));
        };
        if !self.stroke.crash {
            let ear = self.ear(stage, &notes, Some(place.facts));
            let act = run(stage, "first", &self.shared.plan, &Inject::default(), Some(ear)).await;
            return Ok((act, std::mem::take(&mut lock(&notes))));
        }
        let inject = Inject { crash_after: Some(place.facts), ..Inject::default() };
        let mut act = run(stage, "first", &self.shared.plan, &inject, Some(self.ear(stage, &notes, None))).await;
        if status(&act).is_err() {
            self.strike(stage, &mut lock(&notes));
            tokio::time::sleep(UNNOTICED).await;
            act = stage.resume(act.events, &inject).await;
        }
        Ok((act, std::mem::take(&mut lock(&notes))))
    }

    fn strike(&self, stage: &Stage, notes: &mut Notes) {
        for blow in &self.stroke.blows {
            if let Err(error) = stage.lay(&blow.fault) {
                notes.trouble = Some(format!("{}: {error}", blow.fault));
            }
        }
        notes.struck = true;
        notes.excused = !stage.lab().with_world_as::<World, _>(|world| world.has_api_server()).unwrap_or_default();
    }

    /// Strikes when so many facts are durable, and notes when the first step has failed.
    fn ear(&self, stage: &Arc<Stage>, notes: &Arc<Mutex<Notes>>, at: Option<u64>) -> Ear {
        let (stage, notes, own) = (stage.clone(), notes.clone(), self.clone());
        Box::new(move |events| {
            let mut notes = lock(&notes);
            notes.facts += facts_in(events);
            if notes.stopped.is_none() && events.iter().any(is_failure) {
                notes.stopped = Some(stage.taken().len());
            }
            if !notes.struck && at.is_some_and(|at| notes.facts >= at) {
                own.strike(&stage, &mut notes);
            }
        })
    }

    /// The run that an operator makes who has not looked, and the one that he makes when all is mended.
    async fn again(&self, stage: &Arc<Stage>, mut seen: usize, endured: &mut Endured) -> Result<(), AppError> {
        for (name, mended) in [("second", false), ("third", true)] {
            if mended {
                stage.mend();
                stage.at_rest().await;
            }
            let (before, from) = (truth(stage), stage.taken().len());
            let plan = planned(stage, &self.shared.book, &self.shared.request).await;
            let act = match plan {
                Ok(plan) => run(stage, name, &plan, &Inject::default(), None).await,
                Err(error) => {
                    endured.statuses.push(None);
                    let found = judge::of_a_refusal(&error, &before, &self.shared.goal, &self.stroke.blows, mended);
                    endured.findings.extend(found.into_iter().map(|found| format!("{name} run: {found}")));
                    continue;
                }
            };
            stage.at_rest().await;
            endured.statuses.push(status(&act).ok());
            let violations = stage.violations().split_off(seen);
            seen += violations.len();
            let after = truth(stage);
            let taken = stage.taken().split_off(from);
            let scene = Scene { act: &act, before: &before, after, taken, stopped: None, excused: false, violations };
            let blows = if mended { &[][..] } else { &self.stroke.blows };
            let found = judge::findings(&scene, &self.shared.goal, blows, false);
            if !found.is_empty() {
                endured.story.push_str(&format!("\n{name} run:\n{}", story(&act)));
            }
            endured.findings.extend(found.into_iter().map(|found| format!("{name} run: {found}")));
            // One that waits for a person holds the lock.
            if matches!(status(&act), Ok(RunStatus::Succeeded | RunStatus::Paused)) {
                break;
            }
        }
        Ok(())
    }
}

impl std::fmt::Display for Stroke {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let faults: Vec<&str> = self.blows.iter().map(|blow| blow.fault.as_str()).collect();
        let place = self.place.map_or_else(|| "the beginning".to_owned(), |place| format!("place {place}"));
        write!(f, "{}{} at {place}", faults.join(" + "), if self.crash { " + crash" } else { "" })
    }
}

async fn planned(stage: &Stage, book: &Book, request: &Request) -> Result<Plan, AppError> {
    let plan = planning::plan(&stage.site, book, request).await?;
    match &plan.failure {
        Some(failed) => Err(failed.failure.clone().into()),
        None => Ok(plan),
    }
}

async fn run(stage: &Stage, name: &str, plan: &Plan, inject: &Inject, ear: Option<Ear>) -> Act {
    let (_word, signals) = mpsc::unbounded_channel();
    stage.run_heard(name, plan, inject, ear, signals).await
}

fn truth(stage: &Stage) -> Vec<Truth> {
    stage.lab().with_world_as::<World, _>(World::talos_truth).unwrap_or_default()
}

fn lock(notes: &Mutex<Notes>) -> std::sync::MutexGuard<'_, Notes> {
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}

fn facts_in(events: &[Event]) -> u64 {
    events.iter().filter(|event| event.fact().is_some()).count() as u64
}

fn is_failure(event: &Event) -> bool {
    matches!(event.fact(), Some(Fact::Finished { ending: Ending::Failed { .. } | Ending::InDoubt { .. }, .. }))
}

fn story(act: &Act) -> String {
    let look = Look { width: 140, ..Look::default() };
    match status(act) {
        Ok(_) => summary(&RunView::of(&act.events), "run", &look),
        Err(why) => format!("it came to no end: {why}"),
    }
}

fn places(events: &[Event], commits: &[u64]) -> Vec<Place> {
    let view = RunView::of(events);
    let looks = |step: &StepPath| {
        let uses = view.step(step).map_or("", |step| step.uses.as_str());
        uses.starts_with("talos.") || uses.starts_with("kubernetes.")
    };
    let facts = events.iter().filter_map(Event::fact);
    let place = |(n, fact): (usize, &Fact)| {
        let facts = n as u64 + 1;
        let (step, phase) = (fact.path().cloned(), phase(fact));
        let at = step.as_ref().map_or_else(|| phase.to_owned(), |step| format!("{step}: {phase}"));
        let looks = step.as_ref().is_some_and(looks);
        Place { facts, at, step, phase, apart: commits.contains(&facts), looks }
    };
    facts.enumerate().map(place).collect()
}

fn phase(fact: &Fact) -> &'static str {
    match fact {
        Fact::RunCreated { .. } => "created",
        Fact::LockGranted => "locked",
        Fact::Expanded { .. } => "expanded",
        Fact::Evaluated { .. } => "evaluated",
        Fact::Started { intent, .. } if intent.effect > Effect::Read => "intent",
        Fact::Started { .. } => "reading",
        Fact::Checkpoint { .. } => "checkpoint",
        Fact::Finished { ending: Ending::Unchanged { .. }, .. } => "unchanged",
        Fact::Finished { .. } => "finished",
        Fact::LockReleased => "released",
        Fact::RunFinished { .. } => "ended",
        _ => "other",
    }
}

/// What was asked for, and how often.
fn counted(taken: &[Entry]) -> BTreeMap<String, usize> {
    super::judge::asked(taken)
}
