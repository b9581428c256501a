//! What is to be said of an end in an ordeal: whether it is true, whether it says why and where, and whether anything was
//! done that ought not to have been. Pure.

use std::collections::BTreeMap;

use super::super::stage::status;
use super::{Blow, Scene, counted};
use crate::app::error::AppError;
use crate::event::{Ending, Event, Fact, Outcome, RunStatus};
use crate::lab::ledger::{Channel, Entry};
use crate::lab::world::Truth;
use crate::model::effect::Effect;
use crate::model::ids::StepPath;
use crate::report::{RunView, StepView};

/// What the undisturbed run has come to.
#[derive(Debug, Clone)]
pub(super) struct Goal {
    /// By machine: what is to run there, and with which schematic. A schematic is never another than before.
    wanted: BTreeMap<String, (String, String)>,
    asked: BTreeMap<String, usize>,
}

impl Goal {
    pub fn of(before: &[Truth], after: &[Truth], taken: &[Entry]) -> Self {
        let wanted =
            before.iter().zip(after).map(|(was, is)| (is.name.clone(), (is.version.clone(), was.schematic.clone())));
        Self { wanted: wanted.collect(), asked: acts(taken) }
    }

    /// Why a machine is not as wanted; whether it takes pods is another question.
    fn unmet(&self, one: &Truth) -> Option<String> {
        let (version, schematic) = self.wanted.get(&one.name)?;
        let name = &one.name;
        if one.version != *version {
            return Some(format!("{name} runs {}", one.version));
        }
        self.unwell(one).or_else(|| (one.schematic != *schematic).then(|| format!("{name} has lost its extensions")))
    }

    /// Why it is not well, whatever it runs.
    fn unwell(&self, one: &Truth) -> Option<String> {
        let name = &one.name;
        if !one.serves {
            return Some(format!("{name} is down"));
        }
        if let Some(why) = one.etcd {
            return Some(format!("the etcd of {name} {why}"));
        }
        let lost = self.wanted.get(name).is_some_and(|(_, schematic)| one.schematic != *schematic);
        if lost {
            return Some(format!("{name} has lost its extensions"));
        }
        (!one.ready).then(|| format!("{name} is not ready"))
    }
}

/// The requests that must not be sent more often than they are undisturbed: what takes a node down or out of service. An
/// eviction is of one pod, whose name no other ever has.
fn acts(taken: &[Entry]) -> BTreeMap<String, usize> {
    let ours = |entry: &&Entry| match entry.channel {
        Channel::Talosctl | Channel::Kubectl => true,
        Channel::Http | Channel::Ssh => false,
    };
    counted(&taken.iter().filter(ours).cloned().collect::<Vec<_>>())
}

/// How a step's failure reads.
struct Said<'a> {
    step: &'a StepView,
    text: String,
    remedy: bool,
}

fn said(step: &StepView) -> Option<Said<'_>> {
    match &step.outcome {
        Outcome::Failed(failure) => {
            let remedy = failure.remedy.clone().unwrap_or_default();
            let text = format!("{}: {} ({})", failure.attempted, failure.cause, failure.details.join("; "));
            // A check of a runbook has no remedy of its own: its author writes what to type into what it says.
            let remedy = !remedy.trim().is_empty() || failure.cause.contains('`');
            Some(Said { step, text, remedy })
        }
        // What to type is said of every doubt.
        Outcome::InDoubt(evidence) => Some(Said { step, text: evidence.clone(), remedy: true }),
        _ => None,
    }
}

/// Everything that is wrong with an end.
pub(super) fn findings(scene: &Scene<'_>, goal: &Goal, blows: &[Blow], late: bool) -> Vec<String> {
    let excused = |line: &&String| !(scene.excused && line.contains("no control plane's API server answers"));
    let mut found: Vec<String> = scene.violations.iter().filter(excused).map(|v| format!("witness: {v}")).collect();
    let status = match status(scene.act) {
        Ok(status) => status,
        Err(why) => {
            found.push(format!("it came to no end: {why}"));
            return found;
        }
    };
    let view = RunView::of(&scene.act.events);
    let failures: Vec<Said<'_>> = view.steps().filter_map(said).collect();
    if status == RunStatus::Succeeded {
        if !late {
            found.extend(untrue(scene, goal));
        }
    } else {
        found.extend(stop(scene, goal, blows, &view, &failures));
    }
    found.extend(went_back(scene, &view, &failures, status));
    found.extend(begun_after(&scene.act.events));
    found.extend(sent_after(scene));
    for (what, times) in acts(&scene.taken) {
        let most = goal.asked.get(&what).copied().unwrap_or(1);
        if times > most {
            found.push(format!("asked for {times} times, undisturbed {most}: {what}"));
        }
    }
    found
}

/// It says that all is done.
fn untrue(scene: &Scene<'_>, goal: &Goal) -> Vec<String> {
    let unmet = scene
        .after
        .iter()
        .filter_map(|one| goal.unmet(one).or_else(|| one.cordoned.then(|| format!("{} takes no pods", one.name))));
    unmet.map(|why| format!("it says that it succeeded, and {why}")).collect()
}

/// It has stopped.
fn stop(scene: &Scene<'_>, goal: &Goal, blows: &[Blow], view: &RunView, failures: &[Said<'_>]) -> Vec<String> {
    let (status, mut found) = (view.status, Vec::new());
    if !matches!(status, RunStatus::Failed | RunStatus::Paused | RunStatus::RollbackIncomplete) {
        found.push(format!("it ends as {}", status.as_str()));
    }
    let all: String = failures.iter().map(|one| format!("{}: {}\n", one.step.path, one.text)).collect();
    if failures.is_empty() {
        found.push("it stopped, and no step says why".into());
    }
    if scene.after.iter().all(|one| goal.unmet(one).is_none() && !one.cordoned) {
        found.push(format!("it stopped, and all is as wanted: {all}"));
    }
    for one in failures.iter().filter(|one| !one.remedy) {
        found.push(format!("{} says nothing of what to do: {}", one.step.path, one.text));
    }
    // With several faults any of them is a reason.
    let fits = |blow: &Blow| {
        let named = blow.hits.is_empty() || blow.hits.iter().any(|name| all.contains(name.as_str()));
        named && blow.words.iter().any(|word| all.contains(word))
    };
    // With more faults than it can bear, nobody can say any more who is ill.
    let mute = blows.len() > 1 && is_mute(&all);
    if !blows.is_empty() && !mute && !blows.iter().any(fits) {
        found.push(format!("neither the node nor the cause is said: {all}"));
    }
    for one in &scene.after {
        found.extend(left(one, scene, goal, blows, view, failures));
    }
    found
}

/// Whether Kubernetes or etcd could not be asked at all.
fn is_mute(text: &str) -> bool {
    ["etcdserver: request timed out", "nobody answers", "it is not known who the members of etcd are"]
        .iter()
        .any(|word| text.contains(word))
}

/// What it has left of a machine that it should not have.
fn left(
    one: &Truth,
    scene: &Scene<'_>,
    goal: &Goal,
    blows: &[Blow],
    view: &RunView,
    failures: &[Said<'_>],
) -> Option<String> {
    let hit = blows.iter().any(|blow| blow.hits.contains(&one.name));
    let was_well = scene.before.iter().any(|was| was.name == one.name && was.serves);
    if !one.serves && was_well && !hit {
        return Some(format!("it has left {} down, which nothing was wrong with", one.name));
    }
    // Its drain, or that it takes pods again, is what has failed.
    let here = format!("[{}]/", one.name);
    // Of one that is in doubt nobody knows yet how it is.
    let own = |said: &Said<'_>| {
        let doubt = matches!(said.step.outcome, Outcome::InDoubt(_));
        said.step.path.as_str().contains(&here) && (doubt || said.step.uses.starts_with("kubernetes."))
    };
    // Nor can anything be undone there that nobody answers of; that it was not is listed.
    let undoing = view.steps().filter_map(|step| step.undo_cause.as_deref());
    let mute = blows.len() > 1 && failures.iter().map(|said| said.text.as_str()).chain(undoing).any(is_mute);
    let was_cordoned = scene.before.iter().any(|was| was.name == one.name && was.cordoned);
    let kept = !one.cordoned || was_cordoned || mute || goal.unwell(one).is_some() || failures.iter().any(own);
    (!kept).then(|| format!("it has left {} cordoned, which is well and is not what failed", one.name))
}

/// A node that went back by itself is said to have done so.
fn went_back(scene: &Scene<'_>, view: &RunView, failures: &[Said<'_>], status: RunStatus) -> Vec<String> {
    let mut found = Vec::new();
    let pairs = scene.before.iter().filter_map(|was| Some((was, scene.after.iter().find(|is| is.name == was.name)?)));
    for (_, one) in pairs.filter(|(was, is)| is.went_back > was.went_back) {
        let here = format!("[{}]/", one.name);
        let upgraded = |step: &&StepView| {
            step.uses == "talos.upgrade_node" && step.path.as_str().contains(&here) && step.outcome.satisfies()
        };
        if status == RunStatus::Succeeded || view.steps().any(|step| upgraded(&step)) {
            found.push(format!("{} went back, and counts as upgraded", one.name));
        }
        if !failures.iter().any(|said| said.text.contains("went back") && said.text.contains(&one.name)) {
            found.push(format!("{} went back, and nobody says so", one.name));
        }
    }
    found
}

/// What was begun although a step had failed; what cleans up is meant to be.
fn begun_after(events: &[Event]) -> Vec<String> {
    let mut found = Vec::new();
    let mut failed: Option<&StepPath> = None;
    for fact in events.iter().filter_map(Event::fact) {
        match fact {
            Fact::Finished { path, ending: Ending::Failed { failure }, .. }
                if failure.done != crate::model::effect::Done::Unknown =>
            {
                failed = failed.or(Some(path));
            }
            Fact::Started { path, intent, .. } if intent.effect > Effect::Read => {
                let cleans = path.parts().any(|part| part == StepPath::FINALLY || part == "undo");
                // Items of one fan-out may be on their way together.
                let fan = |path: &StepPath| path.as_str().rsplit_once('[').map(|(fan, _)| fan.to_owned());
                let beside = failed.is_some_and(|failed| fan(failed).is_some() && fan(failed) == fan(path));
                if let Some(failed) = failed.filter(|failed| *failed != path && !cleans && !beside) {
                    found.push(format!("{path} was begun although {failed} had failed"));
                }
            }
            _ => {}
        }
    }
    found
}

/// No machine is asked to go down once a step has failed.
fn sent_after(scene: &Scene<'_>) -> Vec<String> {
    let Some(stopped) = scene.stopped else { return Vec::new() };
    let down = |entry: &&Entry| {
        let argv = entry.params.get("argv").map(String::as_str).unwrap_or_default();
        entry.channel == Channel::Talosctl
            && [" upgrade ", " reboot ", " reset "].iter().any(|word| argv.contains(word))
    };
    let late = scene.taken.iter().skip(stopped).filter(down);
    late.map(|entry| format!("after it had failed: {:?}", entry.params.get("argv"))).collect()
}

/// A run that was not even planned: it must say why.
pub(super) fn of_a_refusal(
    error: &AppError,
    truth: &[Truth],
    goal: &Goal,
    blows: &[Blow],
    mended: bool,
) -> Vec<String> {
    let text = format!("{error} {} {}", error.details.join("; "), error.hint.as_deref().unwrap_or_default());
    let mut found = Vec::new();
    // What a check says of itself is its author's.
    if error.hint.as_deref().unwrap_or_default().trim().is_empty() && !text.contains("for require[") {
        found.push(format!("it is refused, and what to do is not said: {text}"));
    }
    let ill: Vec<&Truth> = truth.iter().filter(|one| goal.unwell(one).is_some() || one.cordoned).collect();
    if ill.is_empty() {
        let faults: Vec<&str> = blows.iter().map(|blow| blow.fault.as_str()).collect();
        let is_hidden = !mended && blows.iter().any(|blow| blow.hits.is_empty());
        if !is_hidden {
            found.push(format!("it is refused though all machines are well ({}): {text}", faults.join(", ")));
        }
    // Who is ill cannot be asked of a Kubernetes without its etcd.
    } else if !ill.iter().any(|one| text.contains(&one.name)) && !is_mute(&text) {
        let names: Vec<&str> = ill.iter().map(|one| one.name.as_str()).collect();
        found.push(format!("it is refused and names none of {}: {text}", names.join(", ")));
    }
    found
}
