//! Every shipped runbook, put through a failure, a failed undo, a second look and a crash at each place; and the checker
//! itself, put through actions that lie.

use std::sync::Arc;

use async_trait::async_trait;
use runbook::app::rehearse::{self, End, Kind, Report, Wanted};
use runbook::app::{AppError, Settings, lint};
use runbook::contracts::VERSIONS;
use runbook::engine::ports::{Action, Actions, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use runbook::event::{Intent, Invocation};
use runbook::load::shipped;
use runbook::model::action_spec::ActionSpec;
use runbook::model::failure::Failure;
use serde_json::{Value, json};

use super::harness;
use super::rig::torture;

const MIGRATE: &str = "proxmox.guest_migrate";

fn nowhere() -> Settings {
    let cwd = tempfile::tempdir().unwrap().path().to_owned();
    Settings { cwd, actor: "test@here".into(), ..Settings::default() }
}

async fn rehearsed(wanted: Wanted) -> Result<Report, AppError> {
    rehearse::rehearse(&nowhere(), &wanted, &mut |_| {}).await
}

fn story(report: &Report) -> String {
    let one = |e: &rehearse::Ended| format!("{} ({:?}): {:#?}\n{}\n", e.case, e.status, e.findings, e.command);
    report.findings().map(one).collect()
}

/// Those that change nothing: they end where they began.
const ONLY_LOOK: [&str; 2] = ["talos-diagnose", "talos-status"];

/// Of one act.
const SHORT: &str = "etcd-restore-drill";

#[tokio::test(flavor = "multi_thread")]
async fn every_shipped_runbook_ends_well_or_says_what_it_left() {
    for name in lint::shipped_names() {
        assert!(shipped::rehearsal(name).is_some(), "{name} has no runbooks/tests/{name}.yaml");
        let wanted = Wanted { name: name.into(), torture: torture() > 1, jobs: 2, ..Wanted::default() };
        let report = rehearsed(wanted).await.unwrap_or_else(|e| panic!("{name}: {e}: {:?}", e.details));
        assert_eq!(report.findings().count(), 0, "{name}:\n{}", story(&report));
        let ends = |kind: Kind, end: End| report.ended.iter().filter(|e| (e.kind, e.end) == (kind, Some(end))).count();
        if ONLY_LOOK.contains(&name) {
            assert!(report.ended.iter().all(|e| e.end == Some(End::Start)), "{name} changes something");
            continue;
        }
        assert!(ends(Kind::Undisturbed, End::Goal) > 0, "{name}: no case reaches its goal");
        let few = if name == SHORT { 3 } else { 5 };
        assert!(ends(Kind::Crash, End::Goal) > few, "{name}: hardly a place to crash at");
    }
}

/// Each request of theirs is checked by the lab against the official schema of its version, so that a parameter or a path
/// that one of the two has not would end the run. What needs the newer one says so itself, and none of these does.
#[tokio::test(flavor = "multi_thread")]
async fn every_shipped_runbook_asks_only_for_what_either_version_has() {
    for (name, version) in lint::shipped_names().into_iter().flat_map(|name| VERSIONS.map(|version| (name, version))) {
        let only = Some("*/undisturbed".to_owned());
        let wanted = Wanted { name: name.into(), version: Some(version.into()), only, jobs: 2, ..Wanted::default() };
        let report = rehearsed(wanted).await.unwrap_or_else(|e| panic!("{name}, {version}: {e}: {:?}", e.details));
        assert_eq!(report.findings().count(), 0, "{name}, {version}:\n{}", story(&report));
        let goal = if ONLY_LOOK.contains(&name) { End::Start } else { End::Goal };
        assert!(report.ended.iter().any(|e| e.end == Some(goal)), "{name}, {version}: no case reaches its goal");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_of_the_other_version_says_which_one_it_needs() {
    let world = harness::World::new();
    let refused = async |version: &str, with: &str| {
        let step = format!("  - {{id: rule, uses: proxmox.ha_rule, with: {with}}}\n");
        world.write("rule.yaml", &format!("runbook: rule\nschema: 1\ntarget: proxmox\nsteps:\n{step}"));
        let settings = Settings { cwd: world.path("."), actor: "test@here".into(), ..Settings::default() };
        let wanted = Wanted {
            name: "rule.yaml".into(),
            scenario: Some("tiny".into()),
            version: Some(version.into()),
            jobs: 2,
            ..Wanted::default()
        };
        let ended = rehearse::rehearse(&settings, &wanted, &mut |_| {}).await;
        ended.map_or_else(|error| format!("{error}: {:?}", error.details), |report| story(&report))
    };
    let rule = "{name: home, kind: node-affinity, guests: [111], nodes: [pve2]}";
    let group = "{name: home, kind: group, nodes: [pve2]}";
    let said = refused("8.4.2", rule).await;
    assert!(said.contains("HA rules are there from Proxmox VE 9 on"), "{said}");
    let said = refused("9.2.3", group).await;
    assert!(said.contains("Proxmox VE 9 has rules instead of groups"), "{said}");
    assert_eq!((refused("9.2.3", rule).await.as_str(), refused("8.4.2", group).await.as_str()), ("", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evacuation_is_disturbed_at_each_step_and_after_each_fact() {
    let only = Some("one-by-one/*".to_owned());
    let wanted = Wanted { name: "evacuate".into(), only, torture: true, jobs: 2, ..Wanted::default() };
    let report = rehearsed(wanted).await.unwrap();
    assert_eq!(report.findings().count(), 0, "{}", story(&report));
    let of = |kind: Kind| -> Vec<&str> {
        let all = report.ended.iter().filter(|e| e.kind == kind);
        all.map(|e| e.case.split_once('/').unwrap().1).collect()
    };
    let steps = ["placement", "maintenance", "still_fits", "move[104]", "move[105]", "move[108]", "node_empty"];
    for (kind, word) in [(Kind::Fail, "fail:"), (Kind::Repeat, "repeat:")] {
        for step in steps {
            assert!(of(kind).contains(&format!("{word}{step}").as_str()), "{word}{step} in {:?}", of(kind));
        }
    }
    assert_eq!(of(Kind::RollBack).len(), steps.len());
    let acting = ["maintenance", "move[104]", "move[105]", "move[108]"].map(|step| format!("fail-after:{step}"));
    assert_eq!(of(Kind::FailAfter), acting);
    let after = report.ended.iter().find(|e| e.case.ends_with("fail-after:move[104]")).unwrap();
    assert_eq!((after.status.as_deref(), after.end), (Some("succeeded"), Some(End::Goal)), "it is found out");
    assert!(after.command.contains("--inject 'fail-after:move[104]'"), "{}", after.command);
    assert_eq!(of(Kind::FailUndo).len(), 4, "{:?}", of(Kind::FailUndo));
    assert!(of(Kind::Crash).len() > 20 && of(Kind::CrashRollBack).len() > 10, "{:?}", of(Kind::Crash));
    let crash = report.ended.iter().find(|e| e.kind == Kind::Crash).unwrap();
    assert!(
        crash.command.contains("lab exec --scenario tiny -- sh -c 'runbook run evacuate pve2 --inject crash-after:1")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_question_is_answered_with_no_once() {
    let world = harness::World::new();
    let text = "runbook: asks\nschema: 1\ntarget: proxmox\nsteps:\n  - {id: sure, confirm: Sure?}\n  \
                - {id: enter, uses: proxmox.ha_maintenance, with: {node: pve2, enabled: true}}\n  \
                - {id: word, confirm: {message: Really?, type: pve2}}\n";
    world.write("asks.yaml", text);
    let settings = Settings { cwd: world.path("."), actor: "test@here".into(), ..Settings::default() };
    let wanted = Wanted { name: "asks.yaml".into(), scenario: Some("tiny".into()), jobs: 2, ..Wanted::default() };
    let report = rehearse::rehearse(&settings, &wanted, &mut |_| {}).await.unwrap();
    assert_eq!(report.findings().count(), 0, "{}", story(&report));
    let declined: Vec<_> = report.ended.iter().filter(|e| e.kind == Kind::Decline).collect();
    let ends: Vec<_> = declined.iter().map(|e| (e.case.as_str(), e.status.as_deref(), e.end)).collect();
    let stopped = Some("stopped");
    // All was done when the second one was asked.
    assert_eq!(
        ends,
        [("given/decline:sure", stopped, Some(End::Start)), ("given/decline:word", stopped, Some(End::Goal))]
    );
    assert!(declined[1].command.contains("--inject decline:word"), "{}", declined[1].command);
}

/// An action that is the real one but for one lie.
struct Lies {
    honest: Arc<dyn Action>,
    lie: Lie,
}

#[derive(Clone, Copy, PartialEq)]
enum Lie {
    /// Says that it has moved the guest, and has not.
    Apply,
    /// Its undo does something else, and says that all is as it was.
    Undo,
    /// Does more than it foretells.
    Predict,
    /// Says after a crash that nothing was done.
    Recover,
}

#[async_trait]
impl Action for Lies {
    fn spec(&self) -> &ActionSpec {
        self.honest.spec()
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        if self.lie == Lie::Recover && call.attempt > 1 {
            return Ok(Probe::new("again", json!({})));
        }
        self.honest.probe(call, world).await
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        if self.lie == Lie::Predict { Prediction::default() } else { self.honest.predict(call, before) }
    }

    async fn prepare(&self, call: &Call, world: &dyn World) -> Result<Value, Failure> {
        self.honest.prepare(call, world).await
    }

    async fn apply(&self, call: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        match self.lie {
            Lie::Apply => Ok(json!({"vmid": call.get("guest"), "status": "running"})),
            _ => self.honest.apply(call, intent, mutate).await,
        }
    }

    async fn attach(&self, call: &Call, intent: &Intent, handle: &Value, mutate: &Mutate) -> Result<Value, Failure> {
        self.honest.attach(call, intent, handle, mutate).await
    }

    async fn verify(&self, call: &Call, before: &Value, outputs: &Value, world: &dyn World) -> Result<(), Failure> {
        if self.lie == Lie::Apply { Ok(()) } else { self.honest.verify(call, before, outputs, world).await }
    }

    async fn recover(
        &self,
        call: &Call,
        intent: &Intent,
        handle: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        match self.lie {
            Lie::Recover => Ok(Recovery::NotApplied),
            _ => self.honest.recover(call, intent, handle, world).await,
        }
    }

    fn undo(&self, call: &Call, before: &Value, outputs: Option<&Value>) -> Option<Invocation> {
        let honest = self.honest.undo(call, before, outputs)?;
        match self.lie {
            // Another node's maintenance, which is off already: nothing is done, and all is well with it.
            Lie::Undo => Some(Invocation {
                uses: "proxmox.ha_maintenance".into(),
                with: json!({"node": "pve1", "enabled": false}),
            }),
            _ => Some(honest),
        }
    }
}

fn lying(mut actions: Actions, lie: Lie) -> Actions {
    let honest = actions[MIGRATE].clone();
    actions.insert(MIGRATE.into(), Arc::new(Lies { honest, lie }));
    actions
}

async fn found(only: &str, double: fn(Actions) -> Actions) -> Vec<String> {
    let only = Some(format!("one-by-one/{only}"));
    let wanted =
        Wanted { name: "evacuate".into(), only, torture: true, jobs: 2, double: Some(double), ..Wanted::default() };
    let report = rehearsed(wanted).await.unwrap();
    report.findings().map(|e| format!("{}: {}", e.case, e.findings.join("; "))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_that_lies_is_found() {
    let found = found("fail:node_empty+roll-back", |actions| lying(actions, Lie::Undo)).await;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("it says that all was rolled back, and something is different"), "{found:#?}");
    assert!(found[0].contains("proxmox/guest/104 is different and not listed: node: \"pve2\""), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_only_says_it_was_made_is_found() {
    let found = found("undisturbed", |actions| lying(actions, Lie::Apply)).await;
    // The node is asked itself at the end, so the run does not even succeed; and what it lists is not so.
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("undisturbed it is to end as succeeded"), "{found:#?}");
    assert!(found[0].contains("proxmox/guest/104 is listed as changed"), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_not_listed_is_found() {
    let found = found("fail:node_empty", |actions| lying(actions, Lie::Predict)).await;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("proxmox/guest/105 is different and not listed"), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_that_lies_is_found() {
    let found = found("crash-after:*", |actions| lying(actions, Lie::Recover)).await;
    assert!(!found.is_empty());
    assert!(found.iter().any(|f| f.contains("it ends as failed, undisturbed as succeeded")), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_that_is_looked_into_wrongly_is_found() {
    let found = found("fail-after:*", |actions| lying(actions, Lie::Recover)).await;
    assert!(found.iter().any(|f| f.contains("fail-after:move[104]")), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_rehearsed_says_why() {
    let of = |wanted: Wanted| async { rehearsed(wanted).await.map(|_| ()).unwrap_err() };
    let error = of(Wanted { name: "evacuate".into(), only: Some("nothing".into()), ..Wanted::default() }).await;
    assert_eq!(error.code, "test::no_case");
    let args = vec!["pve2".to_owned()];
    let scenario = Some("nowhere".to_owned());
    let error = of(Wanted { name: "evacuate".into(), args, scenario, ..Wanted::default() }).await;
    assert_eq!(error.code, "lab::scenario");
}
