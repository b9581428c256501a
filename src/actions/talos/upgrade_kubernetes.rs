//! `talos.upgrade_kubernetes`: another Kubernetes on all nodes, by `talosctl upgrade-k8s`. It does the parts one after
//! another and may be called again where it was broken off; whether it is done, the parts themselves say.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::source::{Machine, TalosSource};
use super::survey::{Answer, Survey};
use super::wait::Wait;
use super::{broken, settled, text};
use crate::actions::deps::Timing;
use crate::actions::kubernetes::{Clusters, Running, look_at_versions, running};
use crate::clients::talos::{Talos, TalosError};
use crate::contracts::talos::support;
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::Intent;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::param::{Param, ValueType};
use crate::model::talos::{Minor, Version};
use crate::model::world::Delta;

/// So often the parts are looked at, and stay as they are, before it counts as broken off.
const LOOKS: u32 = 6;
/// As many lines of talosctl are kept in the step's log.
const LINES: usize = 200;

/// The act.
pub struct TalosUpgradeKubernetes {
    spec: ActionSpec,
    timing: Timing,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Before {
    cluster: String,
    lowest: Version,
    highest: Version,
    /// `NODE/PART`: its version.
    parts: BTreeMap<String, Version>,
}

/// How far it is: told to the journal before each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Phase {
    /// It only looks, and fetches images.
    Dry,
    Begun,
}

fn attempted(call: &Call) -> String {
    format!("upgrade {} to Kubernetes {}", text(call, "cluster"), text(call, "version"))
}

fn wanted(call: &Call) -> Result<Version, Failure> {
    text(call, "version").parse().map_err(|e: crate::model::talos::BadVersion| {
        Failure::new(Class::Precondition, attempted(call), e.to_string()).remedy("give it as 1.35.4")
    })
}

fn meant(intent: &Intent) -> Result<Before, Failure> {
    let before = Before::deserialize(&intent.before);
    before.map_err(|e| Failure::new(Class::Internal, "read the intent of an upgrade", e.to_string()))
}

fn outputs(before: &Before, call: &Call) -> Value {
    json!({"version": text(call, "version"), "from": before.lowest})
}

/// What stands in the way, from what the nodes of Talos say.
fn possible(call: &Call, version: &Version, survey: &Survey) -> Result<(), Failure> {
    let refused = |cause: String| Failure::new(Class::Precondition, attempted(call), cause);
    let troubles = survey.troubles();
    if let Some(first) = troubles.first() {
        return Err(refused(first.clone())
            .details(troubles)
            .remedy("see `runbook run talos-status`, and mend it first"));
    }
    for (machine, answer) in &survey.nodes {
        let Answer::Said(node) = answer else { continue };
        let row = support().iter().find(|row| row.talos == node.version.minor());
        if !row.is_some_and(|row| row.takes(version.minor())) {
            let cause =
                format!("{} runs Talos {}, which does not go with Kubernetes {version}", machine.name, node.version);
            return Err(refused(cause).remedy("`runbook plan talos-upgrade` finds the way with both"));
        }
    }
    Ok(())
}

/// A control plane that answers, with its own version.
async fn plane<'a>(call: &Call, source: &'a TalosSource) -> Result<(&'a Talos, &'a str, Minor), Failure> {
    let (talos, machines) = source.cluster(text(call, "cluster"))?;
    let mut silent = Vec::new();
    for Machine { name, address, .. } in machines.iter().filter(|machine| machine.control_plane) {
        let Some(address) = address.as_deref() else { continue };
        match talos.version(address).await {
            Ok(version) => return Ok((talos, address, version.version.minor())),
            Err(error @ TalosError::Program(_)) => return Err(broken(attempted(call), &error, Done::None)),
            Err(error) => silent.push(format!("{name}: {error}")),
        }
    }
    Err(Failure::new(Class::Unreachable, attempted(call), "no control plane answers").details(silent))
}

/// What runs now, where nobody has a World.
async fn now(call: &Call, mutate: &Mutate) -> Result<Running, Failure> {
    let clusters = mutate.client::<Clusters>()?;
    let kubernetes = clusters.of(text(call, "cluster"), &attempted(call))?;
    look_at_versions(kubernetes, text(call, "cluster")).await
}

impl TalosUpgradeKubernetes {
    pub fn new(timing: Timing) -> Self {
        let spec = ActionSpec::new(
            "talos.upgrade_kubernetes",
            Effect::Disrupt,
            "Upgrade Kubernetes on all nodes of a Talos cluster",
        )
        .param(Param::new("cluster", ValueType::String).required().help("Its profile's name"))
        .param(
            Param::new("version", ValueType::Version)
                .required()
                .help("The Kubernetes that is wanted: of the same minor version as what runs, or of the next"),
        )
        .param(
            Param::new("within", ValueType::Duration)
                .default_value(json!(600_000))
                .help("How long all parts may take, after talosctl has ended, until they run it and are ready"),
        )
        .output("version", ValueType::String, "What runs everywhere")
        .output("from", ValueType::String, "The oldest that ran")
        .needs_privilege("none of Proxmox: the role os:admin of a talosconfig")
        .needs_privilege("none of Proxmox: get and list of nodes and pods, by the cluster's kubeconfig");
        Self { spec, timing }
    }

    async fn send(&self, call: &Call, before: &Before, mutate: &Mutate) -> Result<Value, Failure> {
        let source = mutate.client::<TalosSource>()?;
        let version = wanted(call)?;
        let (talos, address, minor) = plane(call, &source).await?;
        mutate.checkpoint(json!(Phase::Dry)).await?;
        let dry = talos.upgrade_kubernetes(minor, address, &version, true).await;
        dry.map_err(|e| broken(attempted(call), &e, Done::None))?;
        mutate.checkpoint(json!(Phase::Begun)).await?;
        match talos.upgrade_kubernetes(minor, address, &version, false).await {
            Ok(lines) => {
                lines.iter().rev().take(LINES).rev().for_each(|line| mutate.log(line));
                self.whole(call, before, mutate).await
            }
            Err(error) => Err(self.stuck(call, &error, mutate).await),
        }
    }

    /// talosctl gave up, or its time was up: which parts are where.
    async fn stuck(&self, call: &Call, error: &TalosError, mutate: &Mutate) -> Failure {
        let failure = broken(attempted(call), error, Done::Unknown);
        let (Ok(version), Ok(running)) = (wanted(call), now(call, mutate).await) else {
            return failure
                .remedy("look at `kubectl get nodes -o wide`; run it again: it goes on where it has stopped");
        };
        let others = running.other_than(&version);
        failure
            .done(Done::Partial)
            .details(others)
            .remedy("mend the part that is named, and run it again: it goes on where it has stopped")
    }

    /// Until all parts run it and are ready.
    async fn whole(&self, call: &Call, before: &Before, mutate: &Mutate) -> Result<Value, Failure> {
        let version = wanted(call)?;
        let wait = Wait::of(call, self.timing)?;
        loop {
            let others = match now(call, mutate).await {
                Ok(running) => running.other_than(&version),
                Err(failure) => vec![failure.cause],
            };
            let Some(first) = others.first() else { return Ok(outputs(before, call)) };
            let passed = wait.pass(mutate, attempted(call), first).await;
            let remedy = "see `kubectl get nodes -o wide`; run it again: it goes on where it has stopped";
            passed.map_err(|failure| failure.done(Done::Partial).details(others).remedy(remedy))?;
        }
    }

    /// Whether nobody goes on with it: a talosctl may have outlived the run that called it.
    async fn stands_still(&self, call: &Call, mutate: &Mutate) -> Result<(), Failure> {
        let mut last = now(call, mutate).await.ok();
        let mut still = 0;
        while still < LOOKS {
            if mutate.stop.sleep(self.timing.poll).await {
                return Err(Failure::new(Class::Failed, attempted(call), "it was stopped").done(Done::Partial));
            }
            let next = now(call, mutate).await.ok();
            still = if next == last { still + 1 } else { 0 };
            last = next;
        }
        Ok(())
    }
}

#[async_trait]
impl Action for TalosUpgradeKubernetes {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let version = wanted(call)?;
        let cluster = text(call, "cluster");
        let refused = |cause: String| Failure::new(Class::Precondition, attempted(call), cause);
        let running = running(world, cluster).await?;
        let (Some(lowest), Some(highest)) = (running.lowest(), running.highest()) else {
            return Err(refused("nothing of Kubernetes is known".into()).into());
        };
        let parts = running.0.iter().map(|part| (format!("{}/{}", part.node, part.name), part.version.clone()));
        let before = Before {
            cluster: cluster.to_owned(),
            lowest: lowest.clone(),
            highest: highest.clone(),
            parts: parts.collect(),
        };
        let mut probe = Probe::new(format!("{cluster}: Kubernetes {lowest} -> {version}"), json!(before));
        let others = running.other_than(&version);
        if others.is_empty() {
            probe.satisfied = true;
            probe.summary = format!("{cluster}: runs Kubernetes {version} already");
            return Ok(probe);
        }
        if *highest > version {
            let failure = refused(format!("{highest} runs, which is newer than {version}"));
            return Err(failure.remedy("going back is no upgrade").into());
        }
        if version.minor() > lowest.minor().next() {
            let cause = format!("{lowest} runs, and {version} is more than one minor version away");
            return Err(refused(cause).remedy("`runbook plan talos-upgrade` finds the way").into());
        }
        // In the middle of one, a part that is not ready may be what the rest of it mends.
        if lowest == highest {
            let sick: Vec<String> = running.other_than(lowest);
            if let Some(first) = sick.first() {
                return Err(refused(first.clone()).details(sick).remedy("mend it first").into());
            }
        }
        possible(call, &version, &Survey::of(world, cluster).await?)?;
        Ok(probe)
    }

    fn predict(&self, call: &Call, probe: &Probe) -> Prediction {
        let Ok(before) = Before::deserialize(&probe.before) else { return Prediction::default() };
        let given = outputs(&before, call).as_object().cloned().unwrap_or_default();
        let mut prediction = Prediction { outputs: given.into_iter().collect(), ..Prediction::default() };
        if probe.satisfied {
            return prediction;
        }
        let version = json!({"version": text(call, "version")});
        let (mut nodes, mut components) = (serde_json::Map::new(), serde_json::Map::new());
        for part in before.parts.keys() {
            match part.split_once('/') {
                Some((node, "kubelet")) => drop(nodes.insert(node.to_owned(), version.clone())),
                _ => drop(components.insert(part.clone(), version.clone())),
            }
        }
        let delta = |kind: &str, patch: serde_json::Map<String, Value>| Delta {
            resource: ResourceKey::new(format!("kubernetes/{}/{kind}", before.cluster)),
            patch: Value::Object(patch),
        };
        prediction.deltas = vec![delta("nodes", nodes), delta("components", components)];
        prediction
    }

    async fn apply(&self, call: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        self.send(call, &meant(intent)?, mutate).await
    }

    async fn attach(&self, call: &Call, intent: &Intent, _: &Value, mutate: &Mutate) -> Result<Value, Failure> {
        self.stands_still(call, mutate).await?;
        let version = wanted(call)?;
        if now(call, mutate).await.is_ok_and(|running| running.other_than(&version).is_empty()) {
            mutate.log(&format!(
                "every part runs {version}; whether the manifests were reached nobody saw: `talosctl upgrade-k8s --to \
                 {version}` does them once more"
            ));
            return Ok(outputs(&meant(intent)?, call));
        }
        mutate.log("it was broken off, and goes on where it has stopped");
        self.send(call, &meant(intent)?, mutate).await
    }

    async fn verify(&self, call: &Call, _: &Value, _: &Value, world: &dyn World) -> Result<(), Failure> {
        let running = running(world, text(call, "cluster")).await.map_err(settled)?;
        let others = running.other_than(&wanted(call)?);
        let failed = |first: &String| Failure::new(Class::Verify, attempted(call), first.clone());
        others.first().map_or(Ok(()), |first| Err(failed(first).details(others.clone())))
    }

    async fn recover(&self, _: &Call, _: &Intent, handle: Option<&Value>, _: &dyn World) -> Result<Recovery, Failure> {
        Ok(match handle.and_then(|handle| Phase::deserialize(handle).ok()) {
            // To look, and to fetch images, changes nothing; what comes after it was not begun.
            None | Some(Phase::Dry) => Recovery::NotApplied,
            // Versions alone do not say that it came to its end: manifests are the last that it does.
            Some(Phase::Begun) => Recovery::Running(json!(Phase::Begun)),
        })
    }

    fn commands(&self, call: &Call, _: &Probe) -> Vec<String> {
        let version = text(call, "version");
        let line = |dry: &[&'static str]| {
            let words = ["talosctl", "upgrade-k8s", "--to", version];
            crate::model::shell::line(words.into_iter().chain(dry.iter().copied()))
        };
        vec![line(&["--dry-run"]), line(&[])]
    }
}
