//! `runbook run --apply`, `runbook apply` and `runbook resume`: ask, do, and say what became of it.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::app::config::Config;
use crate::app::inspect::Inspected;
use crate::app::notify::Notifier;
use crate::app::open::OpenSite;
use crate::app::ports::{Answer, Approver, Inject, Observer};
use crate::app::running::{self, Attendance, Ended, Purpose as Taken};
use crate::app::{AppError, Exit, control, freeze, handing, inspect, planning};
use crate::cli::args::{Answers, Apply, Output, Progress, Resume, What};
use crate::cli::ask::{self, Person};
use crate::cli::junit::JunitFile;
use crate::cli::{Face, signals};
use crate::event::{Event, Question, Signal};
use crate::model::ids::StepPath;
use crate::model::plan::Plan;
use crate::model::runbook::LockScope;
use crate::report::{Human, JsonLines, Pause, Plain, PlanText, Purpose, Quiet, RunView, run_json, summary};

/// Plans, shows, asks, does it.
pub async fn run(face: &Face, what: What, out: Option<&Path>, answers: Answers) -> Result<Exit, AppError> {
    let inject = inject(&answers)?;
    let book = crate::app::books::find(&face.settings, &what.name)?;
    if book.runbook.lock == LockScope::Site {
        let config = Config::load_for(&face.settings, &book.runbook)?;
        running::refuse_if_locked(&face.settings, &config.site.cluster.name)?;
    }
    let (site, plan) = super::plan::make_of(face, &book, &what).await?;
    if let Some(path) = out {
        planning::save(&plan, path)?;
    }
    carry_out(face, &site, plan, answers, inject).await
}

/// A saved plan, or a runbook by name.
pub async fn apply(face: &Face, args: Apply) -> Result<Exit, AppError> {
    let path = face.settings.cwd.join(&args.plan);
    let named = crate::app::books::source_of(&face.settings, &args.plan);
    if !path.is_file() || (named.is_ok() && !args.plan.contains(['.', '/'])) {
        named?;
        let what = What { name: args.plan, args: args.args, set: args.set, cluster: args.cluster };
        return run(face, what, None, args.answers).await;
    }
    if !args.args.is_empty() || !args.set.is_empty() || args.cluster.is_some() {
        return Err(AppError::new(Exit::Usage, "apply::arguments", "a saved plan has its parameters in it")
            .hint("leave them out, or make a new plan with them: `runbook plan … --out FILE`"));
    }
    let inject = inject(&args.answers)?;
    let plan = planning::read_saved(&path)?;
    let site = super::open(face, &plan.procedure).await?;
    planning::still_holds(&site, &plan).await?;
    carry_out(face, &site, plan, args.answers, inject).await
}

/// What is to go wrong.
pub fn inject(answers: &Answers) -> Result<Inject, AppError> {
    let parsed = answers.inject.iter().map(|text| text.parse::<Inject>());
    let parsed: Result<Vec<_>, _> = parsed.collect();
    let parsed = parsed.map_err(|e| AppError::new(Exit::Usage, "inject::invalid", e.to_string()))?;
    Ok(parsed.into_iter().fold(Inject::default(), Inject::and))
}

/// Shows a plan, asks, and does it.
pub async fn carry_out(
    face: &Face,
    site: &OpenSite,
    mut plan: Plan,
    answers: Answers,
    inject: Inject,
) -> Result<Exit, AppError> {
    inject.lay_over(&mut plan);
    // Before the plan is shown: it may well fail on the other run's own work.
    if plan.procedure.lock == LockScope::Site && (plan.summary.changes() || plan.failure.is_some()) {
        running::refuse_if_held(&face.settings, site).await?;
    }
    let json = matches!(face.printer.output, Output::Json | Output::Jsonl | Output::Yaml);
    if !json || plan.failure.is_some() {
        let purpose = Purpose::Apply;
        face.printer.note(&PlanText { plan: &plan, purpose, look: *face.printer.err_look(), next: &[] }.render());
    }
    if let Some(failed) = &plan.failure {
        let exit = crate::app::exit_of(failed.failure.class).0;
        return Err(AppError::new(exit, "plan::failed", "the plan cannot be carried out, and nothing was changed")
            .hint(failed.failure.remedy.clone().unwrap_or_else(|| "see the plan above".into())));
    }
    if !plan.has_work() {
        face.printer.note(match plan.warnings.is_empty() {
            true => "Nothing to do: everything is as it should be.",
            // A reading has found something: it is well only for the runbook, which has nothing to change.
            false => "Nothing to do; see the warnings.",
        });
        if json {
            face.printer.json(&serde_json::json!({
                "format_version": crate::report::FORMAT_VERSION, "run": null, "runbook": plan.runbook,
                "status": "succeeded", "steps": [], "warnings": plan.warnings,
            }));
        }
        return Ok(Exit::Done);
    }
    freeze::refuse_if_frozen(&face.settings, &site.config.site.cluster.name)?;
    // Before a person is asked for a yes that would count for nothing.
    planning::may_start(site, &plan)?;
    if !answers.yes {
        if !ask::at_terminal() {
            return Err(AppError::new(
                Exit::Gate,
                "apply::unconfirmed",
                "nobody has said yes, and there is no terminal to ask at",
            )
            .hint("look at the plan, then add --yes"));
        }
        if !ask::yes("Carry this plan out?") {
            face.printer.note("Nothing was changed.");
            return Ok(Exit::Gate);
        }
    }
    let junit = answers.junit.clone();
    let notifier = Notifier::start(&face.settings, &site.config, &face.redactor, None);
    let (attendance, seen, by) = attend(face, &notifier, answers, inject, &[]);
    let ended = running::apply(&face.settings, site, plan, attendance).await;
    Ok(by.exit(tell(face, ended, &seen, notifier, junit.as_ref()).await?))
}

/// Goes on with a run.
pub async fn resume(face: &Face, args: Resume) -> Result<Exit, AppError> {
    let found = inspect::run(&face.settings, &args.run)?;
    freeze::refuse_if_frozen(&face.settings, &found.header.site)?;
    if args.force {
        handing::take_back(&face.settings, found.header.id.as_str())?;
    }
    running::refuse_if_over(&found.header, &found.short)?;
    let first = control::resolved(&found, &args.resolve)?;
    face.printer.note(&format!("Going on with run {} of {}.", found.short, found.header.runbook));
    take_up(face, found, Taking { purpose: Taken::GoOn, first, answers: args.answers, given: None }).await
}

/// What a run is taken up for, and how it is answered.
pub struct Taking {
    pub purpose: Taken,
    /// What is said to the run before anything else.
    pub first: Vec<Signal>,
    pub answers: Answers,
    /// An answer that was given already.
    pub given: Option<(StepPath, Answer)>,
}

/// Takes a run up that no process has.
pub async fn take_up(face: &Face, found: Inspected, taking: Taking) -> Result<Exit, AppError> {
    let Taking { purpose, first, answers, given } = taking;
    let inject = inject(&answers)?;
    let site = super::open(face, found.procedure()?).await?;
    let known = (&found.header.id, found.header.events);
    let junit = answers.junit.clone();
    let notifier = Notifier::start(&face.settings, &site.config, &face.redactor, Some(known));
    let (mut attendance, seen, by) = attend(face, &notifier, answers, inject, &found.events);
    if let Some((path, answer)) = given {
        attendance.approver = Arc::new(Given { path, answer, person: attendance.approver });
    }
    let ended = running::take_up(&face.settings, &site, found.header.id.as_str(), purpose, first, attendance).await;
    Ok(by.exit(tell(face, ended, &seen, notifier, junit.as_ref()).await?))
}

/// Somebody who has answered one question already.
struct Given {
    path: StepPath,
    answer: Answer,
    person: Arc<dyn Approver>,
}

#[async_trait]
impl Approver for Given {
    async fn ask(&self, path: &StepPath, question: &Question) -> Answer {
        if *path == self.path { self.answer.clone() } else { self.person.ask(path, question).await }
    }
}

/// What was seen of the run, here and, where it was taken up, before.
#[derive(Default)]
struct Witness {
    view: RunView,
    /// Something of it happened here.
    here: bool,
}

type Seen = Arc<Mutex<Witness>>;

/// `before`: what happened before this process came is part of the story.
fn attend(
    face: &Face,
    notifier: &Notifier,
    answers: Answers,
    inject: Inject,
    before: &[Event],
) -> (Attendance, Seen, signals::Ended) {
    let view = RunView::of(before);
    let (shown, pause) = observer(face, &view);
    let seen = Arc::new(Mutex::new(Witness { view, here: false }));
    let observer = notifier.observer(Box::new(Both { seen: seen.clone(), shown }));
    let auto_expand = answers.auto_expand;
    let person =
        Person { answers, who: face.settings.actor.clone(), printer: face.printer.clone(), pause: pause.clone() };
    let (signals, by) = signals::listen(&face.printer, pause);
    (Attendance { approver: Arc::new(person), observer, signals, inject, auto_expand }, seen, by)
}

/// Keeps the view for the summary, and shows.
struct Both {
    seen: Seen,
    shown: Box<dyn Observer>,
}

impl Observer for Both {
    fn see(&mut self, event: &Event) {
        let mut seen = witness(&self.seen);
        seen.here = true;
        seen.view.see(event);
        drop(seen);
        self.shown.see(event);
    }
}

/// Goes on with what was seen before.
fn observer(face: &Face, before: &RunView) -> (Box<dyn Observer>, Option<Pause>) {
    use std::io::IsTerminal;
    let look = *face.printer.err_look();
    let live = std::io::stderr().is_terminal() && std::env::var_os("CI").is_none();
    let out = || crate::app::redact::RedactingWriter::new(face.redactor.clone(), std::io::stderr());
    match face.args.progress {
        Progress::Quiet => (Box::new(Quiet), None),
        Progress::Jsonl => (Box::new(JsonLines::new(out())), None),
        Progress::Live => human(look, before),
        Progress::Auto if live => human(look, before),
        Progress::Plain | Progress::Auto => (Box::new(Plain::new(out(), look).since(before.clone())), None),
    }
}

fn human(look: crate::report::Look, before: &RunView) -> (Box<dyn Observer>, Option<Pause>) {
    let human = Human::on_stderr(look).since(before.clone());
    let pause = human.pause();
    (Box::new(human), Some(pause))
}

/// Says what became of it, and only then waits a little for those who are to be told.
async fn tell(
    face: &Face,
    ended: Result<Ended, AppError>,
    seen: &Seen,
    notifier: Notifier,
    junit: Option<&JunitFile>,
) -> Result<Exit, AppError> {
    if let Some(file) = junit.filter(|_| ended.is_ok() || witness(seen).here) {
        file.write(face, &witness(seen).view)?;
    }
    let told = sum_up(face, ended, seen);
    notifier.finish().await.iter().for_each(|note| face.printer.note(note));
    told
}

fn witness(seen: &Seen) -> MutexGuard<'_, Witness> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn sum_up(face: &Face, ended: Result<Ended, AppError>, seen: &Seen) -> Result<Exit, AppError> {
    let ended = ended?;
    if let Some(holder) = &ended.lock_holder {
        return Err(running::locked(holder));
    }
    let view = &witness(seen).view;
    let id = inspect::short_id(&face.settings, &ended.run);
    if !face.printer.json(&run_json(view, ended.status.as_str())) {
        face.printer.data(&summary(view, &id, face.printer.look()));
    }
    Ok(ended.exit)
}
