//! Runs: begun, resumed, and what their ends mean.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::doing;
use super::error::{AppError, Exit};
use super::freeze;
use super::listener::Listener;
use super::open::{OpenSite, store};
use super::planning;
use super::policy::SitePolicy;
use super::settings::Settings;
use super::site_lock;
use crate::engine::drivers::embedded::{self, DriverError, Ports, RunEnd, Told};
use crate::engine::inject::{CrashingJournal, Inject};
use crate::engine::ports::{Approver, Clock, Journal, JournalError, Locks, Observer};
use crate::engine::world::LiveWorld;
use crate::event::{Event, RunStatus, Signal};
use crate::journal::{NewRun, RunHeader, SystemClock};
use crate::model::ids::{RunId, StepPath};
use crate::model::plan::Plan;
use crate::model::runbook::LockScope;

/// How a run is watched, answered and disturbed.
pub struct Attendance {
    pub approver: Arc<dyn Approver>,
    pub observer: Box<dyn Observer>,
    pub signals: mpsc::UnboundedReceiver<Signal>,
    pub inject: Inject,
    /// Lists that become known only later are gone through without asking.
    pub auto_expand: bool,
}

/// What became of it.
#[derive(Debug)]
pub struct Ended {
    pub run: RunId,
    pub status: RunStatus,
    pub exit: Exit,
    /// Who holds the lock, where it was not to be had.
    pub lock_holder: Option<String>,
}

/// Carries a plan out, exactly.
///
/// # Errors
/// Refused before it began (the plan no longer fits, the journal cannot be written), or the journal failed on the way.
pub async fn apply(
    settings: &Settings,
    site: &OpenSite,
    plan: Plan,
    attendance: Attendance,
) -> Result<Ended, AppError> {
    if let Some(failed) = &plan.failure {
        return Err(failed.failure.clone().into());
    }
    let store = store(settings)?;
    planning::still_holds(site, &plan).await?;
    planning::may_start(site, &plan)?;
    planning::may_be_done(site, &plan).await?;
    check_injections(&plan, &attendance.inject)?;
    // Looked at before there is a run, so that a run that never began is not the last one; taken when it begins.
    if plan.procedure.lock == LockScope::Site {
        freeze::refuse_if_frozen(settings, &plan.inputs.site)?;
        refuse_if_held(settings, site).await?;
    }
    let run = RunId::new(new_id());
    let header = NewRun {
        id: run.clone(),
        runbook: plan.runbook.clone(),
        site: plan.inputs.site.clone(),
        cluster: plan.inputs.cluster.clone(),
        created: SystemClock.now(),
        plan_hash: plan.hash.clone(),
        actor: settings.actor.clone(),
    };
    let writer = store.create_run(&header)?;
    let auto_expand = attendance.auto_expand;
    let locks = site_lock::locks(settings, site, &store)?;
    // A run's row is there with its first event: until then nobody can say anything to it.
    let (listener, requests) = Listener::start(store.clone(), run.clone());
    let (ports, signals) = ports(settings, site, locks, writer, attendance, &[], requests);
    let ended = embedded::start(ports, run.clone(), Arc::new(plan), auto_expand, signals).await;
    listener.end();
    end(run, ended)
}

/// Says at once that the site is another run's, before a plan is made that would fail on that run's own work.
///
/// # Errors
/// Who holds it since when, and how to go on with that run.
pub fn refuse_if_locked(settings: &Settings, site: &str) -> Result<(), AppError> {
    let holder = store(settings)?.locks()?.holder(&format!("site/{site}"))?;
    holder.map_or(Ok(()), |holder| Err(locked(&holder)))
}

/// The same, and of the site itself: another controller may be at work there.
///
/// # Errors
/// Who holds it since when, and what to do.
pub async fn refuse_if_held(settings: &Settings, site: &OpenSite) -> Result<(), AppError> {
    let holder = site_lock::locks(settings, site, &store(settings)?)?.holder().await?;
    holder.map_or(Ok(()), |holder| Err(locked(&holder)))
}

/// The site is somebody else's.
pub fn locked(holder: &str) -> AppError {
    AppError::new(Exit::Locked, "run::locked", format!("the site is locked: {holder}"))
        .hint("nothing was changed; wait for that run, or go on with it")
}

/// An injection at a step that there is not would rehearse nothing.
fn check_injections(plan: &Plan, inject: &Inject) -> Result<(), AppError> {
    let steps = inject.fail.iter().chain(&inject.fail_after).chain(&inject.fail_undo);
    let mut asked = steps.chain(&inject.decline).chain(&inject.repeat);
    let known = |path: &StepPath| {
        let base = path.as_str().strip_suffix("/undo").unwrap_or(path.as_str());
        plan.steps.iter().any(|step| step.path.as_str() == base)
    };
    match asked.find(|path| !known(path)) {
        None => Ok(()),
        Some(path) => {
            let steps: Vec<&str> = plan.steps.iter().map(|step| step.path.as_str()).collect();
            Err(AppError::new(Exit::Usage, "inject::unknown_step", format!("--inject: the plan has no step {path}"))
                .hint(format!("its steps: {}", steps.join(", "))))
        }
    }
}

/// What a run is taken up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To go on with it.
    GoOn,
    /// To start nothing new of it, and bring it to its end.
    Cancel { rollback: bool },
    /// To give it up: what is in doubt is looked at once more and then left.
    Abandon,
    /// To undo what it has done, whether it is over or not.
    RollBack,
}

impl Purpose {
    fn said(self) -> Vec<Signal> {
        match self {
            Self::GoOn => vec![Signal::Resume],
            // First resumed: what is in doubt is found out before anything else.
            Self::Cancel { rollback } => vec![Signal::Resume, Signal::Cancel { level: 1, rollback }],
            Self::Abandon => vec![Signal::Abandon],
            Self::RollBack => vec![Signal::Resume, Signal::RollBack],
        }
    }
}

/// Nothing more can be said to a run that is over, but that it is to be rolled back.
///
/// # Errors
/// How it ended, and what can be done instead.
pub fn refuse_if_over(header: &RunHeader, short: &str) -> Result<(), AppError> {
    if !header.status.is_final() {
        return Ok(());
    }
    let message = format!("run {short} is over: it {}", in_words(header.status));
    let again = match header.runbook.as_str() {
        doing::NAME => "runbook do …".to_owned(),
        name => format!("runbook plan {name} …"),
    };
    let done = "what is done already shows as unchanged, but a guest that was made would be made again";
    let hint = format!("to do the rest, plan anew (`{again}`): {done}");
    Err(AppError::new(Exit::Gate, "run::over", message).hint(hint))
}

/// Takes a run up whose process is gone, that waits, is parked, or is over and to be rolled back. `first` is said to it
/// before anything else: what a person found out about steps in doubt.
///
/// # Errors
/// There is no such run, it is over, or another process has it.
pub async fn take_up(
    settings: &Settings,
    site: &OpenSite,
    asked: &str,
    purpose: Purpose,
    first: Vec<Signal>,
    attendance: Attendance,
) -> Result<Ended, AppError> {
    let store = store(settings)?;
    let header = store.find(asked)?;
    if purpose != Purpose::RollBack {
        refuse_if_over(&header, &store.short_id(&header.id))?;
    }
    if header.site != site.config.site.cluster.name {
        let message = format!(
            "run {} is of site {:?}, the configuration is for {:?}",
            header.id, header.site, site.config.site.cluster.name
        );
        return Err(AppError::new(Exit::Configuration, "run::other_site", message));
    }
    let (events, writer) = store.take_over(&header.id)?;
    if events.is_empty() {
        let message = format!("run {} never began: its journal is empty", header.id);
        return Err(AppError::new(Exit::Gate, "run::empty", message).hint("start it again"));
    }
    let locks = site_lock::locks(settings, site, &store)?;
    locks.hold_again(&header.id, &events).await?;
    let (listener, requests) = Listener::start(store.clone(), header.id.clone());
    let (ports, signals) = ports(settings, site, locks, writer, attendance, &events, requests);
    let said: Vec<Signal> = first.into_iter().chain(purpose.said()).collect();
    let ended = embedded::resume(ports, &events, &said, signals).await;
    listener.end();
    end(header.id, ended)
}

fn ports(
    settings: &Settings,
    site: &OpenSite,
    locks: Arc<dyn Locks>,
    writer: impl Journal + 'static,
    attendance: Attendance,
    before: &[Event],
    requests: mpsc::UnboundedReceiver<Told>,
) -> (Ports, mpsc::UnboundedReceiver<Signal>) {
    let Attendance { approver, observer, signals, inject, .. } = attendance;
    let host = settings.actor.rsplit('@').next().unwrap_or_default().to_owned();
    let ports = Ports {
        actions: inject.over_actions(site.actions.clone()),
        world: Arc::new(LiveWorld(site.source.clone())),
        clients: site.clients.clone(),
        journal: Box::new(CrashingJournal::new(writer, &inject)),
        locks,
        policy: Arc::new(SitePolicy::new(&site.config.site.policy, before)),
        clock: Arc::new(SystemClock),
        approver: inject.over_approver(approver),
        observer,
        inject,
        requests,
        actor: settings.actor.clone(),
        host,
        process: std::process::id(),
    };
    (ports, signals)
}

fn end(run: RunId, ended: Result<RunEnd, DriverError>) -> Result<Ended, AppError> {
    match ended {
        Ok(end) => {
            let exit = exit_of(&end);
            Ok(Ended { run, status: end.status, exit, lock_holder: end.lock_holder })
        }
        Err(DriverError::Journal(JournalError::Crashed)) => {
            Err(AppError::new(Exit::Failed, "run::crashed", format!("run {run} crashed, as asked for by --inject"))
                .hint("go on with it: `runbook resume last`"))
        }
        Err(DriverError::Journal(JournalError::Lock(why))) => Err(site_lock::unreachable(&run, &why)),
        Err(DriverError::Journal(error)) => {
            Err(AppError::new(Exit::Failed, "journal::failed", format!("run {run}: {error}; nothing more was begun"))
                .hint(format!("when the journal can be written again: `runbook resume {run}`")))
        }
        Err(DriverError::Corrupt(error)) => {
            Err(AppError::new(Exit::Failed, "journal::corrupt", format!("run {run}: {error}")))
        }
        Err(DriverError::Unusable(failure)) => Err(failure.into()),
    }
}

fn exit_of(end: &RunEnd) -> Exit {
    match end.status {
        RunStatus::Succeeded => Exit::Done,
        RunStatus::Failed | RunStatus::Cancelled if end.in_doubt => Exit::Incomplete,
        RunStatus::Failed => Exit::Failed,
        RunStatus::Stopped if end.lock_holder.is_some() => Exit::Locked,
        RunStatus::Stopped => Exit::Gate,
        RunStatus::Cancelled => Exit::Interrupted,
        RunStatus::RolledBack => Exit::RolledBack,
        RunStatus::RollbackIncomplete => Exit::Incomplete,
        RunStatus::Paused if end.in_doubt => Exit::Incomplete,
        RunStatus::Paused | RunStatus::Waiting => Exit::Waiting,
        // Left in the middle, at a person's third word.
        RunStatus::Running | RunStatus::RollingBack => Exit::Interrupted,
    }
}

/// A status as the end of `it …`.
pub fn in_words(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Running => "is running",
        RunStatus::Waiting => "waits for a person",
        RunStatus::Paused => "is paused",
        RunStatus::RollingBack => "is rolling back",
        RunStatus::Succeeded => "succeeded",
        RunStatus::Failed => "failed",
        RunStatus::Stopped => "was stopped before it changed anything more",
        RunStatus::Cancelled => "was cancelled",
        RunStatus::RolledBack => "was rolled back",
        RunStatus::RollbackIncomplete => "was rolled back in part",
    }
}

/// Twelve lower-case letters and digits that are hard to confuse.
fn new_id() -> String {
    const LETTERS: &[u8] = b"23456789abcdefghjkmnpqrstvwxyz";
    (0..12).map(|_| LETTERS[rand::random_range(0..LETTERS.len())] as char).collect()
}
