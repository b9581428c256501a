//! `runbook test`: a runbook in the lab with something going wrong at each place, each time in a lab of its own.
//!
//! Every run must end at the start state, at the goal state (that of an undisturbed run), or without success and with a
//! list of differences that is the lab's own. Anything else is a finding.

mod cases;
mod configs;
mod files;
mod judge;
mod keeping;
mod objects;
mod one;
mod ordeal;
mod outside;
mod stage;
mod trial;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub use cases::Kind;
pub use files::{lint, names};
pub use judge::End;
pub use ordeal::{Blow, Endured, Ordeal, Place, Scenery, Stroke};
pub use trial::{Laid, Trial, Tried, When};

use self::cases::Injection;
use self::one::{Base, Verdict};
use self::stage::Setting;
use super::books::{self, Book};
use super::error::{AppError, Exit};
use super::planning::Request;
use super::settings::Settings;
use crate::engine::ports::Actions;
use crate::model::plan::Plan;
use crate::model::rehearsal::{Case, Expect};

/// The lab of a rehearsal that names none.
const SCENARIO: &str = "three-node";

/// What to rehearse.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// A runbook's name or alias, or a file.
    pub name: String,
    /// Where any of these is given they are the one case, instead of those in the runbook's own file.
    pub args: Vec<String>,
    pub set: Vec<(String, String)>,
    pub cluster: Option<String>,
    pub scenario: Option<String>,
    /// Every node of the lab is of this version: `8.4.2`.
    pub version: Option<String>,
    /// Only what this pattern (`*`, `?`) matches: `one-by-one/fail:*`.
    pub only: Option<String>,
    /// A crash after every fact.
    pub torture: bool,
    /// Runs at once.
    pub jobs: usize,
    /// Doubles laid over the actions, to see that they are found out.
    pub double: Option<fn(Actions) -> Actions>,
}

/// Told while it goes on.
#[derive(Debug)]
pub enum Told<'a> {
    Case { runbook: &'a str, case: &'a Case },
    Kind { kind: Kind, ended: &'a [Ended] },
}

/// How one run ended.
#[derive(Debug, Clone, Serialize)]
pub struct Ended {
    /// `one-by-one/fail:move[104]`
    pub case: String,
    pub kind: Kind,
    /// The run's status; absent where it came to no end.
    pub status: Option<String>,
    /// Absent for a finding.
    pub end: Option<End>,
    /// Why it is a finding; empty for a good end.
    pub findings: Vec<String>,
    /// What brings the same about.
    pub command: String,
}

/// All of them, in the order of the kinds.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub runbook: String,
    pub ended: Vec<Ended>,
}

impl Report {
    pub fn findings(&self) -> impl Iterator<Item = &Ended> {
        self.ended.iter().filter(|ended| !ended.findings.is_empty())
    }
}

/// Rehearses one runbook.
///
/// # Errors
/// There is no such runbook, no rehearsal for it, or it cannot be planned in its lab.
pub async fn rehearse(
    settings: &Settings,
    wanted: &Wanted,
    told: &mut (dyn FnMut(Told<'_>) + Send),
) -> Result<Report, AppError> {
    let book = Arc::new(books::find(settings, &wanted.name)?);
    let mut report = Report { runbook: book.runbook.name.clone(), ended: Vec::new() };
    for case in cases_of(settings, &book, wanted)? {
        let ours = |pattern: &str| pattern.split_once('/').is_none_or(|(name, _)| files::matches(name, &case.name));
        if !wanted.only.as_deref().is_none_or(ours) {
            continue;
        }
        told(Told::Case { runbook: &book.runbook.name, case: &case });
        rehearse_case(&book, &case, wanted, told, &mut report.ended).await?;
    }
    if report.ended.is_empty() {
        let message = format!("no case of {} matches {:?}", report.runbook, wanted.only.as_deref().unwrap_or_default());
        return Err(AppError::new(Exit::NotFound, "test::no_case", message)
            .hint("leave --case out to see what the cases are called"));
    }
    Ok(report)
}

fn cases_of(settings: &Settings, book: &Book, wanted: &Wanted) -> Result<Vec<Case>, AppError> {
    let own = files::rehearsal(settings, &book.runbook.name)?;
    let given = !wanted.args.is_empty() || !wanted.set.is_empty() || wanted.cluster.is_some();
    if !given && let Some(rehearsal) = own {
        let mut cases = rehearsal.cases;
        if let Some(scenario) = &wanted.scenario {
            cases.iter_mut().for_each(|case| case.scenario.clone_from(scenario));
        }
        return Ok(cases);
    }
    if !given && book.runbook.params.iter().any(|param| param.required && param.default.is_none()) {
        let name = &book.runbook.name;
        return Err(AppError::new(
            Exit::Usage,
            "test::no_rehearsal",
            format!(
                "nothing says how to rehearse {name}: there is no runbooks/tests/{name}.yaml, and no argument is given"
            ),
        )
        .hint(format!("write one, or give arguments: `runbook test {name} ARGS --scenario tiny`")));
    }
    let scenario = wanted.scenario.clone().or_else(|| Some(own?.cases.first()?.scenario.clone()));
    Ok(vec![Case {
        name: "given".into(),
        scenario: scenario.unwrap_or_else(|| SCENARIO.to_owned()),
        args: wanted.args.clone(),
        set: wanted.set.clone(),
        cluster: wanted.cluster.clone(),
        user: None,
        faults: Vec::new(),
        expect: Expect::default(),
    }])
}

/// What all runs of a case share.
struct Shared {
    setting: Setting,
    plan: Plan,
    case: Case,
    name: String,
    only: Option<String>,
    room: Arc<Semaphore>,
}

async fn rehearse_case(
    book: &Arc<Book>,
    case: &Case,
    wanted: &Wanted,
    told: &mut (dyn FnMut(Told<'_>) + Send),
    ended: &mut Vec<Ended>,
) -> Result<(), AppError> {
    let mut setting = Setting::of_version(&case.scenario, case.faults.clone(), wanted.version.as_deref())?;
    setting.user.clone_from(&case.user);
    setting.double = wanted.double;
    let request = Request { args: case.args.clone(), set: case.set.clone(), cluster: case.cluster.clone() };
    let plan = {
        let (setting, book) = (setting.clone(), book.clone());
        in_lab(move || async move { one::plan(&setting, &book, &request).await }).await??
    };
    let shared = Arc::new(Shared {
        setting,
        plan,
        case: case.clone(),
        name: wanted.name.clone(),
        only: wanted.only.clone(),
        room: Arc::new(Semaphore::new(wanted.jobs.max(1))),
    });
    let mut tell = |mut all: Vec<Ended>| {
        let mut kinds: BTreeMap<Kind, Vec<Ended>> = BTreeMap::new();
        all.drain(..).for_each(|one| kinds.entry(one.kind).or_default().push(one));
        for (kind, all) in kinds {
            told(Told::Kind { kind, ended: &all });
            ended.extend(all);
        }
    };
    // What everything else is measured by: made whether it is asked for or not.
    let undisturbed = shared.base(Injection::none(), None).await?;
    tell(shared.filtered(vec![undisturbed.ended.clone()]));
    if undisturbed.ended.status.as_deref() != Some("succeeded") {
        return Ok(());
    }
    let goal = Arc::new(undisturbed.base);
    let steps = cases::steps(&goal.events);
    let mut all = shared.all(cases::of_run(&steps, &goal.events, wanted.torture), &goal, None).await?;
    let Some(last) = cases::last(&steps) else {
        tell(all);
        return Ok(());
    };
    let back = shared.base(Injection::roll_back(last), Some(goal.clone())).await?;
    all.extend(shared.filtered(vec![back.ended]));
    tell(all);
    let of_rollback = cases::of_rollback(last, &back.base.events, wanted.torture);
    tell(shared.all(of_rollback, &goal, Some(&Arc::new(back.base))).await?);
    Ok(())
}

/// A run that others are measured by.
struct Measured {
    base: Base,
    ended: Ended,
}

impl Shared {
    fn label(&self, injection: &Injection) -> String {
        format!("{}/{}", self.case.name, injection.label)
    }

    fn wants(&self, label: &str) -> bool {
        self.only.as_deref().is_none_or(|pattern| files::matches(pattern, label))
    }

    fn filtered(&self, mut all: Vec<Ended>) -> Vec<Ended> {
        all.retain(|one| self.wants(&one.case));
        all
    }

    async fn base(&self, injection: Injection, goal: Option<Arc<Base>>) -> Result<Measured, AppError> {
        let (setting, plan, told) = (self.setting.clone(), self.plan.clone(), injection.clone());
        let expect = self.case.expect.clone();
        let (base, verdict) =
            in_lab(move || async move { one::base(&setting, &plan, &told, goal.as_deref(), &expect).await }).await??;
        Ok(Measured { base, ended: self.ended(&injection, Ok(verdict)) })
    }

    /// Each in a lab of its own, some at once; in the order they were given in.
    async fn all(
        self: &Arc<Self>,
        injections: Vec<Injection>,
        goal: &Arc<Base>,
        back: Option<&Arc<Base>>,
    ) -> Result<Vec<Ended>, AppError> {
        let mut going = JoinSet::new();
        let wanted = injections.into_iter().filter(|injection| self.wants(&self.label(injection)));
        for (place, injection) in wanted.enumerate() {
            let (shared, goal, back) = (self.clone(), goal.clone(), back.cloned());
            going.spawn(async move {
                let _place = shared.room.clone().acquire_owned().await;
                let (setting, plan, told) = (shared.setting.clone(), shared.plan.clone(), injection.clone());
                let verdict =
                    in_lab(move || async move { one::judged(&setting, &plan, &told, &goal, back.as_deref()).await })
                        .await;
                let ended = match verdict {
                    Ok(Ok(verdict)) => shared.ended(&injection, Ok(verdict)),
                    Ok(Err(error)) | Err(error) => shared.ended(&injection, Err(error)),
                };
                (place, ended)
            });
        }
        let mut all: Vec<(usize, Ended)> = Vec::new();
        while let Some(one) = going.join_next().await {
            all.push(one.map_err(|e| AppError::new(Exit::Failed, "runbook::internal", e.to_string()))?);
        }
        all.sort_by_key(|(place, _)| *place);
        Ok(all.into_iter().map(|(_, ended)| ended).collect())
    }

    fn ended(&self, injection: &Injection, verdict: Result<Verdict, AppError>) -> Ended {
        let verdict =
            verdict.unwrap_or_else(|error| Verdict { status: None, end: None, findings: vec![error.to_string()] });
        Ended {
            case: self.label(injection),
            kind: injection.kind,
            status: verdict.status.map(|status| status.as_str().to_owned()),
            end: verdict.end.filter(|_| verdict.findings.is_empty()),
            findings: verdict.findings,
            command: cases::command(&self.name, &self.case, &self.plan, injection),
        }
    }
}

/// Runs this on a thread of its own, in a runtime whose time passes only while all wait for it.
async fn in_lab<T, F>(act: impl FnOnce() -> F + Send + 'static) -> Result<T, AppError>
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let broken = |why: String| AppError::new(Exit::Failed, "runbook::internal", why);
    let thread = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
        std::io::Result::Ok(runtime.block_on(act()))
    });
    match thread.await {
        Ok(ended) => ended.map_err(|e| broken(e.to_string())),
        Err(error) => Err(broken(format!("the rehearsal itself broke: {error}"))),
    }
}
