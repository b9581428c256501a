//! What is to go wrong: every injection that a run offers a place for, and how a person would bring it about.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::engine::inject::Inject;
use crate::event::{Event, Fact, Outcome, UndoStatus, Verdict};
use crate::model::effect::Effect;
use crate::model::ids::StepPath;
use crate::model::plan::{Plan, Planned};
use crate::model::rehearsal::Case;
use crate::model::shell::quote;
use crate::report::RunView;

/// What is done to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Nothing.
    Undisturbed,
    /// A step fails; what the runbook says happens then.
    Fail,
    /// A step acts, and its answer is lost.
    FailAfter,
    /// A question is answered with no.
    Decline,
    /// A step fails, and the run is rolled back whatever the runbook says.
    RollBack,
    /// The last step fails, all is rolled back, and one undo fails.
    FailUndo,
    /// A step is looked at again when it is done.
    Repeat,
    /// The process is gone after a fact, and another one goes on.
    Crash,
    /// The same while all is rolled back because the last step failed.
    CrashRollBack,
}

impl Kind {
    /// As results call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Undisturbed => "undisturbed",
            Self::Fail => "fail",
            Self::FailAfter => "fail-after",
            Self::Decline => "decline",
            Self::RollBack => "roll-back",
            Self::FailUndo => "fail-undo",
            Self::Repeat => "repeat",
            Self::Crash => "crash",
            Self::CrashRollBack => "crash in roll-back",
        }
    }
}

/// One run to be made.
#[derive(Debug, Clone)]
pub(super) struct Injection {
    pub kind: Kind,
    /// `fail:move[104]`
    pub label: String,
    pub inject: Inject,
    /// The step whose failure must be met.
    pub step: Option<StepPath>,
}

impl Injection {
    pub fn none() -> Self {
        Self { kind: Kind::Undisturbed, label: "undisturbed".into(), inject: Inject::default(), step: None }
    }

    fn new(kind: Kind, label: String, inject: Inject, step: Option<&StepPath>) -> Self {
        Self { kind, label, inject, step: step.cloned() }
    }

    /// All is done, the last step fails, and the run is rolled back.
    pub fn roll_back(last: &StepPath) -> Self {
        let inject = Inject { fail: vec![last.clone()], roll_back: true, ..Inject::default() };
        Self::new(Kind::RollBack, format!("fail:{last}+roll-back"), inject, Some(last))
    }
}

/// The steps that did something or would have, in the order of their end.
pub(super) fn steps(events: &[Event]) -> Vec<StepPath> {
    let view = RunView::of(events);
    let ran = |outcome: &Outcome| matches!(outcome, Outcome::Ok | Outcome::Unchanged);
    let mut steps: Vec<_> =
        view.steps().filter(|s| !s.uses.is_empty() && s.uses != "confirm" && ran(&s.outcome)).collect();
    steps.sort_by_key(|step| step.ended);
    steps.into_iter().map(|step| step.path.clone()).collect()
}

/// The last step before `finally`.
pub(super) fn last(steps: &[StepPath]) -> Option<&StepPath> {
    steps.iter().rfind(|path| !path.parts().any(|part| part == StepPath::FINALLY))
}

/// Everything that can be done to a run with these steps: all but what needs to have seen a rollback.
pub(super) fn of_run(steps: &[StepPath], events: &[Event], torture: bool) -> Vec<Injection> {
    let mut all = Vec::new();
    for path in steps {
        let inject = Inject { fail: vec![path.clone()], ..Inject::default() };
        all.push(Injection::new(Kind::Fail, format!("fail:{path}"), inject, Some(path)));
    }
    let view = RunView::of(events);
    for step in view.steps().filter(|step| step.effect > Effect::Read && step.attempts > 0) {
        let (path, inject) = (&step.path, Inject { fail_after: vec![step.path.clone()], ..Inject::default() });
        all.push(Injection::new(Kind::FailAfter, format!("fail-after:{path}"), inject, Some(path)));
    }
    for step in view.steps().filter(|step| step.question.is_some() && step.outcome == Outcome::Ok) {
        let (path, inject) = (&step.path, Inject { decline: vec![step.path.clone()], ..Inject::default() });
        all.push(Injection::new(Kind::Decline, format!("decline:{path}"), inject, Some(path)));
    }
    for path in steps.iter().filter(|path| last(steps) != Some(path)) {
        all.push(Injection::roll_back(path));
    }
    let (view, specs) = (RunView::of(events), crate::actions::specs());
    let anew = |path: &StepPath| {
        let step = view.steps().find(|step| step.path == *path);
        step.and_then(|step| specs.get(&step.uses)).is_some_and(|spec| spec.anew)
    };
    for path in steps.iter().filter(|path| !anew(path)) {
        let inject = Inject { repeat: vec![path.clone()], ..Inject::default() };
        all.push(Injection::new(Kind::Repeat, format!("repeat:{path}"), inject, None));
    }
    for n in crashes(events, torture) {
        let inject = Inject { crash_after: Some(n), ..Inject::default() };
        all.push(Injection::new(Kind::Crash, format!("crash-after:{n}"), inject, None));
    }
    all
}

/// What can be done to a run that is rolled back, from one that was.
pub(super) fn of_rollback(last: &StepPath, events: &[Event], torture: bool) -> Vec<Injection> {
    let base = Injection::roll_back(last).inject;
    let mut all = Vec::new();
    let view = RunView::of(events);
    for step in view.steps().filter(|step| step.undo == UndoStatus::RolledBack) {
        let inject = Inject { fail_undo: vec![step.path.clone()], ..base.clone() };
        all.push(Injection::new(Kind::FailUndo, format!("fail-undo:{}", step.path), inject, Some(&step.path)));
    }
    let undoing = events.iter().filter(|e| e.fact().is_some()).position(|e| e.path().is_some_and(StepPath::is_undo));
    for n in crashes(events, torture).into_iter().filter(|n| undoing.is_some_and(|first| *n > first as u64)) {
        let inject = Inject { crash_after: Some(n), ..base.clone() };
        all.push(Injection::new(Kind::CrashRollBack, format!("roll-back+crash-after:{n}"), inject, None));
    }
    all
}

/// After how many facts to crash: once for each kind of fact about each action, or after every fact but the last.
fn crashes(events: &[Event], torture: bool) -> Vec<u64> {
    let facts: Vec<&Fact> = events.iter().filter_map(Event::fact).collect();
    let mut uses: BTreeMap<&StepPath, &str> = BTreeMap::new();
    for fact in &facts {
        if let Fact::Evaluated { path, verdict: Verdict::Run { invocation: Some(call), .. } } = fact {
            uses.insert(path, &call.uses);
        }
    }
    let mut seen = BTreeSet::new();
    let last = facts.len();
    let numbered = (1u64..).zip(facts).take(last.saturating_sub(1));
    let wanted = numbered.filter(|(_, fact)| {
        let action = fact.path().and_then(|path| uses.get(path)).copied().unwrap_or_default();
        let first = seen.insert((action.to_owned(), fact.kind(), fact.path().is_some_and(StepPath::is_undo)));
        torture || first
    });
    wanted.map(|(n, _)| n).collect()
}

/// What a person types to see the same.
pub(super) fn command(name: &str, case: &Case, plan: &Plan, injection: &Injection) -> String {
    let inject = &injection.inject;
    let mut run = vec!["run".to_owned(), name.to_owned()];
    run.extend(case.args.clone());
    let mut option = |name: &str, value: String| run.extend([name.to_owned(), value]);
    case.set.iter().for_each(|(name, value)| option("--set", format!("{name}={value}")));
    case.cluster.iter().for_each(|cluster| option("--cluster", cluster.clone()));
    for step in &plan.steps {
        if let Planned::Gate { word: Some(word), .. } = &step.planned {
            option("--confirm", word.clone());
        }
    }
    inject.fail.iter().for_each(|path| option("--inject", format!("fail:{path}")));
    inject.fail_after.iter().for_each(|path| option("--inject", format!("fail-after:{path}")));
    inject.fail_undo.iter().for_each(|path| option("--inject", format!("fail-undo:{path}")));
    inject.decline.iter().for_each(|path| option("--inject", format!("decline:{path}")));
    inject.repeat.iter().for_each(|path| option("--inject", format!("repeat:{path}")));
    if inject.roll_back {
        option("--inject", "roll-back".into());
    }
    inject.crash_after.iter().for_each(|n| option("--inject", format!("crash-after:{n}")));
    run.extend(["--apply".to_owned(), "--yes".to_owned()]);
    let faults: String = case.faults.iter().map(|fault| format!(" --fault {}", quote(fault))).collect();
    let run = run.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ");
    if inject.crash_after.is_none() {
        return format!("runbook --lab={}{faults} {run}", case.scenario);
    }
    // The injected failures belong to the run, not to one process.
    let again: String =
        inject.fail.iter().map(|path| format!(" --inject {}", quote(&format!("fail:{path}")))).collect();
    let both = format!("runbook {run}; runbook resume last --yes{again}");
    format!("runbook{faults} lab exec --scenario {} -- sh -c {}", case.scenario, quote(&both))
}
