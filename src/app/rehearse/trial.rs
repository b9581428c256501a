//! One action in the lab with one thing going wrong: what `runbook do` would do, in a lab of its own for each fault, and
//! what is to be said of its end.
//!
//! Beside what holds for every rehearsal: a run that stops in doubt says why and what to do, and may be gone on with once
//! the lab is well again; nothing that was taken is ever asked for again.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;

use super::judge;
use super::objects::{self, Fields};
use super::one;
use super::stage::{Act, Setting, Stage, status};
use super::{cases::Injection, in_lab};
use crate::app::doing;
use crate::app::error::{AppError, Exit};
use crate::app::planning::Request;
use crate::engine::inject::Inject;
use crate::event::{Outcome, RunStatus, Signal};
use crate::lab::fault::{Effect, Fault, RequestFault};
use crate::model::plan::Plan;
use crate::model::rehearsal::Expect;
use crate::report::{Look, RunView, summary};

/// After so much of a run's own time an operator has had enough of it.
const PATIENCE: Duration = Duration::from_secs(20 * 60);
/// How often it is looked whether a change was taken.
const LOOK: Duration = Duration::from_millis(20);

/// A fault and when it is laid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Laid {
    /// As `runbook lab fault` takes it.
    pub fault: String,
    pub when: When,
}

/// When a fault is laid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before the run begins; the plan was made in a lab that was well.
    AtOnce,
    /// As soon as the lab has taken a change.
    Taken,
}

/// What an undisturbed run of the action is like.
pub struct Trial {
    setting: Setting,
    plan: Plan,
    goal: Value,
    asked: BTreeMap<String, usize>,
}

/// How one run ended.
#[derive(Debug, Clone)]
pub struct Tried {
    /// Of the run, and of each time that it was resumed.
    pub statuses: Vec<RunStatus>,
    /// What is wrong with that; none for a good end.
    pub findings: Vec<String>,
    /// The end as a person reads it.
    pub story: String,
}

impl Trial {
    /// Plans the action and runs it undisturbed, as `user` or with the lab's token. `faults` are there from the beginning and belong to the scene: a lock to
    /// be taken off.
    ///
    /// # Errors
    /// The scenario, the action or its parameters are none, or it does not succeed.
    pub async fn of(
        scenario: &str,
        faults: &[String],
        user: Option<&str>,
        action: &str,
        given: &[(String, String)],
    ) -> Result<Self, AppError> {
        let mut setting = Setting::new(scenario, faults.to_vec())?;
        setting.user = user.map(str::to_owned);
        let book = doing::book(action, given)?;
        let request = Request { args: Vec::new(), set: given.to_vec(), cluster: None };
        in_lab(move || async move {
            let plan = one::plan(&setting, &book, &request).await?;
            let (base, verdict) = one::base(&setting, &plan, &Injection::none(), None, &Expect::default()).await?;
            if verdict.findings.is_empty() {
                return Ok(Self { setting, plan, goal: base.end, asked: base.asked });
            }
            let text = "the action does not succeed undisturbed";
            Err(AppError::new(Exit::Failed, "test::undisturbed", text).details(verdict.findings))
        })
        .await?
    }

    /// What the undisturbed run asked the lab for.
    pub fn asked(&self) -> impl Iterator<Item = &str> {
        self.asked.keys().map(String::as_str)
    }

    /// Runs it with these faults; a run that is left in doubt is resumed once the lab is well again.
    ///
    /// # Errors
    /// The lab cannot be set up, or a fault is none.
    pub async fn run(&self, faults: Vec<Laid>) -> Result<Tried, AppError> {
        let (setting, plan) = (self.setting.clone(), self.plan.clone());
        let (goal, asked) = (self.goal.clone(), self.asked.clone());
        in_lab(move || async move {
            let own = OwnDoing::of(&setting, &plan, &faults).await?;
            let stage = Stage::set(&setting).await?;
            let settled = tokio::time::Instant::now();
            Scene { settled, start: stage.state(), stage, goal, asked, own }.play(&plan, &faults).await
        })
        .await?
    }
}

/// What the faults change by themselves: fields that say nothing of the run.
struct OwnDoing(BTreeMap<String, Vec<String>>);

impl OwnDoing {
    async fn of(setting: &Setting, plan: &Plan, faults: &[Laid]) -> Result<Self, AppError> {
        let mut own = Self(BTreeMap::new());
        let of_world = |laid: &Laid| {
            let text = laid.fault.split_once(' ').filter(|_| laid.fault.starts_with('@'));
            matches!(text.map_or(laid.fault.as_str(), |(_, fault)| fault).parse(), Ok(Fault::World(_)))
        };
        if !faults.iter().any(of_world) {
            return Ok(own);
        }
        // With nothing done, and with all done.
        for run in [None, Some(plan)] {
            let stage = Stage::set(setting).await?;
            if let Some(plan) = run {
                stage.run(plan, &Inject::default()).await;
            }
            let before = stage.at_rest().await;
            for laid in faults {
                // With all done, what a fault is about may be gone, and then it does nothing.
                let laid = stage.lay(&laid.fault);
                if run.is_none() {
                    laid?;
                }
            }
            let broken = stage.at_rest().await;
            own.add(&before, &broken);
            stage.mend();
            own.add(&before, &stage.at_rest().await);
        }
        Ok(own)
    }

    fn add(&mut self, before: &Value, after: &Value) {
        let (before, after) = (objects::objects(before), objects::objects(after));
        let nothing = Fields::new();
        for object in before.keys().chain(after.keys()) {
            let (was, is) = (before.get(object).unwrap_or(&nothing), after.get(object).unwrap_or(&nothing));
            let fields = was.keys().chain(is.keys()).filter(|field| was.get(*field) != is.get(*field));
            self.0.entry(object.clone()).or_default().extend(fields.cloned());
        }
    }

    /// The state without them.
    fn hide(&self, state: &Value) -> BTreeMap<String, Fields> {
        let mut objects = objects::objects(state);
        for (object, fields) in &self.0 {
            if let Some(known) = objects.get_mut(object) {
                known.retain(|field, _| !fields.contains(field));
            }
        }
        objects
    }
}

/// How long the lab holds a request at most, by these faults.
fn held(faults: &[Laid]) -> Duration {
    let of = |laid: &Laid| match laid.fault.parse() {
        Ok(Fault::Request(RequestFault { effect: Effect::Slow(time), .. })) => time,
        _ => Duration::ZERO,
    };
    faults.iter().map(of).max().unwrap_or_default()
}

struct Scene {
    /// When nothing is held any more that was asked for before.
    settled: tokio::time::Instant,
    stage: Stage,
    start: Value,
    goal: Value,
    asked: BTreeMap<String, usize>,
    own: OwnDoing,
}

impl Scene {
    async fn play(mut self, plan: &Plan, faults: &[Laid]) -> Result<Tried, AppError> {
        for laid in faults.iter().filter(|laid| laid.when == When::AtOnce) {
            self.stage.lay(&laid.fault)?;
        }
        let later: Vec<&Laid> = faults.iter().filter(|laid| laid.when == When::Taken).collect();
        let (word, signals) = mpsc::unbounded_channel();
        let none = Inject::default();
        let run = self.stage.run_with(plan, &none, signals);
        let mut act = tokio::select! {
            act = run => act,
            never = self.disturb(&later, &word) => match never? {},
        };
        // What was said of the end must stand when the last request has been carried out, however late.
        self.settled = tokio::time::Instant::now() + held(faults);
        let mut tried = Tried { statuses: Vec::new(), findings: Vec::new(), story: String::new() };
        self.judge(&act, &mut tried).await;
        if tried.statuses.last() == Some(&RunStatus::Paused) {
            self.stage.mend();
            let (word, signals) = mpsc::unbounded_channel();
            let resumed = self.stage.resume_with(act.events, &none, signals);
            act = tokio::select! {
                act = resumed => act,
                never = self.disturb(&[], &word) => match never? {},
            };
            self.judge(&act, &mut tried).await;
        }
        Ok(tried)
    }

    /// Lays what is to be laid later, and loses patience in the end.
    async fn disturb(
        &self,
        later: &[&Laid],
        word: &mpsc::UnboundedSender<Signal>,
    ) -> Result<std::convert::Infallible, AppError> {
        let until = tokio::time::Instant::now() + PATIENCE;
        while !later.is_empty() && self.stage.taken().is_empty() && tokio::time::Instant::now() < until {
            tokio::time::sleep(LOOK).await;
        }
        for laid in later {
            self.stage.lay(&laid.fault)?;
        }
        tokio::time::sleep_until(until).await;
        let _ = word.send(Signal::Cancel { level: 2, rollback: false });
        std::future::pending().await
    }

    async fn judge(&self, act: &Act, tried: &mut Tried) {
        let status = match status(act) {
            Ok(status) => status,
            Err(why) => return tried.findings.push(format!("it came to no end: {why}")),
        };
        tokio::time::sleep_until(self.settled).await;
        let end = self.stage.at_rest().await;
        let view = RunView::of(&act.events);
        tried.statuses.push(status);
        tried.story = summary(&view, "run", &Look { width: 120, ..Look::default() });
        let found = &mut tried.findings;
        let (start, mut goal, mut end) = (self.own.hide(&self.start), self.own.hide(&self.goal), self.own.hide(&end));
        // A guest that was made gets addresses of its own, each time others.
        for state in [&mut goal, &mut end] {
            let is_lines = |object: &str| object.starts_with("proxmox/guest/") && object.ends_with("/config");
            state.retain(|object, _| !is_lines(object) || start.contains_key(object));
        }
        let listed = objects::listed(&act.events, &self.stage.site.actions);
        if status == RunStatus::Succeeded {
            let short = judge::different(&listed.without_open(&goal), &listed.without_open(&end));
            found.extend(short.into_iter().map(|line| format!("it succeeded, short of the goal: {line}")));
        }
        found.extend(judge::untruths_of(&start, &end, &listed));
        found.extend(judge::extra(&self.asked, &judge::asked(&self.stage.taken()), false));
        if self.stage.tells_a_secret(&act.events) {
            found.push("the journal has a secret".to_owned());
        }
        found.extend(self.stage.violations());
        found.extend(said(&view, status, &tried.story));
    }
}

/// What is missing in what a run says that did not succeed.
fn said(view: &RunView, status: RunStatus, story: &str) -> Vec<String> {
    let mut missing = Vec::new();
    for step in view.steps() {
        match &step.outcome {
            Outcome::InDoubt(evidence) if evidence.trim().is_empty() => missing.push("a doubt without evidence".into()),
            Outcome::Failed(failure) if failure.cause.trim().is_empty() => {
                missing.push("a failure without a cause".into());
            }
            _ => {}
        }
    }
    let next = match status {
        RunStatus::Succeeded => None,
        RunStatus::Paused => Some("runbook resume run"),
        RunStatus::Failed | RunStatus::Stopped | RunStatus::Cancelled => Some("runbook logs run"),
        other => {
            missing.push(format!("it was left as {}", other.as_str()));
            None
        }
    };
    let doubtful = view.steps().any(|step| matches!(step.outcome, Outcome::InDoubt(_)));
    if status == RunStatus::Paused && !doubtful {
        missing.push("it is paused, and nothing is in doubt".into());
    }
    let untold = next.filter(|next| !story.contains(next) && !story.contains("Next:"));
    missing.extend(untold.map(|next| format!("what to do next is not said ({next}): {story}")));
    missing
}
