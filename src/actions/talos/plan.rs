//! `talos.plan_upgrade`: by which versions a cluster gets to the wanted ones, with which images, and in which order its nodes go. It changes nothing
//! and refuses what could not be carried through.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::left::Left;
use super::source::{Machine, Node};
use super::survey::{Answer, Survey};
use crate::contracts::talos::support;
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::param::{Param, ValueType};
use crate::model::talos::{Minor, Version};
use crate::placement::quorum;
use crate::placement::upgrade::{Hop, Versions, hops};

/// From this on the factory has an installer for each platform.
const BY_PLATFORM: Minor = Minor(1, 10);
/// The last version of which there is an installer without a schematic.
const LAST_PLAIN: Minor = Minor(1, 13);

/// The action.
pub struct TalosPlanUpgrade {
    spec: ActionSpec,
}

impl Default for TalosPlanUpgrade {
    fn default() -> Self {
        let spec = ActionSpec::new("talos.plan_upgrade", Effect::Read, "Plan the upgrade of a Talos cluster")
            .param(Param::new("cluster", ValueType::String).required().help("Its profile's name"))
            .param(Param::new("talos", ValueType::Version).help("The Talos that is wanted; absent: what runs"))
            .param(Param::new("kubernetes", ValueType::Version).help("The Kubernetes that is wanted; absent: what runs"))
            .param(Param::new("kubernetes_now", ValueType::Version).required().help("The Kubernetes that runs"))
            .param(
                Param::new("talos_via", ValueType::List)
                    .help("Patches to go through, of minor versions in between; else the newest that is known"),
            )
            .param(Param::new("kubernetes_via", ValueType::List).help("The same of Kubernetes"))
            .param(Param::new("schematic", ValueType::String).help("Of the images; absent: the one that runs"))
            .param(
                Param::new("factory", ValueType::String)
                    .default_value("factory.talos.dev")
                    .help("The registry that the images come from"),
            )
            .param(
                Param::new("single", ValueType::Bool)
                    .default_value(false)
                    .help("Whether a cluster with one control plane may go without it while it restarts"),
            )
            .output(
                "hops",
                ValueType::List,
                "Maps of what (talos or kubernetes), version, planes and workers: maps of name, address, kubernetes_name, image, from, schematic, in the order in which they go; for kubernetes both are empty",
            )
            .output("images", ValueType::List, "Maps of key, node and image: every installer that a node will need")
            .output("from", ValueType::Map, "talos (the oldest that runs), kubernetes")
            .output("to", ValueType::Map, "talos, kubernetes")
            .output("upgraded", ValueType::Bool, "Whether there is nothing left to do")
            .needs_privilege("none of Proxmox: the role os:reader of a talosconfig");
        Self { spec }
    }
}

fn attempted(call: &Call) -> String {
    format!("plan the upgrade of {}", call.get("cluster").as_str().unwrap_or_default())
}

fn refused(call: &Call, cause: impl Into<String>, remedy: impl Into<String>) -> Failure {
    Failure::new(Class::Precondition, attempted(call), cause).remedy(remedy)
}

fn version(call: &Call, name: &str) -> Result<Option<Version>, Failure> {
    let Some(text) = call.get(name).as_str() else { return Ok(None) };
    text.parse().map(Some).map_err(|e| refused(call, format!("{name}: {e}"), "give it as 1.13.9"))
}

fn versions(call: &Call, name: &str) -> Result<Vec<Version>, Failure> {
    let texts = call.get(name).as_array().into_iter().flatten().filter_map(Value::as_str);
    let read = texts.map(|text| text.parse().map_err(|e| refused(call, format!("{name}: {e}"), "give it as 1.13.9")));
    read.collect()
}

/// A machine that answers.
type Known<'a> = (&'a Machine, &'a Node);

/// What the installer of a node is called.
fn image(call: &Call, (machine, node): Known<'_>, version: &Version) -> Result<String, Failure> {
    let factory = call.get("factory").as_str().unwrap_or_default();
    let given = call.get("schematic").as_str();
    if let Some(schematic) = given.or(node.schematic.as_deref()) {
        let name = match &node.platform {
            Some(platform) if version.minor() >= BY_PLATFORM => format!("{platform}-installer"),
            _ => "installer".to_owned(),
        };
        return Ok(format!("{factory}/{name}/{schematic}:v{version}"));
    }
    if !node.extensions.is_empty() {
        let names: Vec<&str> = node.extensions.iter().map(|one| one.name.as_str()).collect();
        let cause = format!("{} has extensions ({}) and tells no schematic", machine.name, names.join(", "));
        return Err(refused(call, cause, "say schematic: an image without it would take them away"));
    }
    if version.minor() > LAST_PLAIN {
        let cause = format!("there is no installer of Talos {version} without a schematic");
        return Err(refused(call, cause, "say schematic: factory.talos.dev gives one for no extensions, too"));
    }
    Ok(format!("ghcr.io/siderolabs/installer:v{version}"))
}

/// Control planes first, the leader last of them; the others by name.
fn in_order<'a>(known: &[Known<'a>], leader: &str) -> Vec<Known<'a>> {
    let mut order = known.to_vec();
    order.sort_by_key(|(machine, _)| (!machine.control_plane, machine.name == leader, machine.name.clone()));
    order
}

/// What makes it unsafe to begin.
fn possible(call: &Call, survey: &Survey, leader: &str) -> Result<(), Failure> {
    let single = survey.told.len() == 1;
    if single && call.get("single") != true {
        let cause = "it has one control plane: Kubernetes and etcd stop while that restarts";
        return Err(refused(call, cause, "say single: true if that is accepted"));
    }
    let troubles = survey.troubles();
    if let Some(first) = troubles.first() {
        let failure = refused(call, first.clone(), "see `runbook run talos-status`, and mend it first");
        return Err(failure.details(troubles));
    }
    if !single {
        quorum::goes_on_without(&survey.told, leader)
            .map_err(|cause| refused(call, cause, "mend etcd first, or add control planes"))?;
    }
    Ok(())
}

/// A node at which an earlier run has stopped may have lost what its image had: it is upgraded to the schematic that it runs
/// only where another one, that nothing happened to, runs the same.
fn as_the_others(call: &Call, (machine, node): Known<'_>, all: &[Known<'_>]) -> Result<(), Failure> {
    let mut others = all.iter().filter(|(other, _)| other.name != machine.name).peekable();
    if call.get("schematic").is_string()
        || others.peek().is_none()
        || others.any(|(_, other)| other.schematic == node.schematic)
    {
        return Ok(());
    }
    let runs = node.schematic.as_deref().unwrap_or("none");
    let cause = format!(
        "an earlier upgrade stopped at {}, which runs Talos {} with schematic {runs}, as no other node does: it may \
         have lost its extensions",
        machine.name, node.version
    );
    Err(refused(call, cause, "say which it is to have: --set schematic=…"))
}

#[async_trait]
impl Action for TalosPlanUpgrade {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let cluster: String = call.arg("cluster")?;
        let survey = Survey::of(world, &cluster).await?;
        let unknown = || refused(call, "etcd has no leader that all agree on", "see `runbook run talos-status`");
        let leader = survey.leader().map(|one| one.name.clone());
        possible(call, &survey, leader.as_deref().unwrap_or_default())?;
        let leader = leader.ok_or_else(unknown)?;
        let known = survey.nodes.iter().filter_map(|(machine, answer)| match answer {
            Answer::Said(node) => Some((machine, node)),
            Answer::Not(_) => None,
        });
        let known: Vec<Known<'_>> = known.collect();
        let oldest = known.iter().map(|(_, node)| &node.version).min().ok_or_else(unknown)?;
        let kubernetes = version(call, "kubernetes_now")?.ok_or_else(unknown)?;
        let from = Versions { talos: oldest.clone(), kubernetes: kubernetes.clone() };
        let talos = version(call, "talos")?;
        let to = Versions {
            talos: talos.unwrap_or_else(|| oldest.clone()),
            kubernetes: version(call, "kubernetes")?.unwrap_or(kubernetes),
        };
        let (talos_via, kubernetes_via) = (versions(call, "talos_via")?, versions(call, "kubernetes_via")?);
        let mut way = hops(support(), &from, &to, &talos_via, &kubernetes_via)
            .map_err(|no| refused(call, no.cause, no.remedy))?;
        let order = in_order(&known, &leader);
        let left = Left::of(world, &cluster).await?;
        let is_left = |(machine, node): &Known<'_>, version: &Version| {
            left.by(node.kubernetes_name.as_deref().unwrap_or(&machine.name), &machine.name, version).is_some()
        };
        let behind = Hop::Talos(to.talos.clone());
        if !way.contains(&behind) && order.iter().any(|known| is_left(known, &to.talos)) {
            way.push(behind);
        }
        let given = call.get("schematic").as_str();
        let mut told = Vec::new();
        let mut images = BTreeMap::new();
        let mut reached = oldest.clone();
        for hop in &way {
            let Hop::Talos(version) = hop else {
                told.push(json!({"what": "kubernetes", "version": hop.version(), "planes": [], "workers": []}));
                continue;
            };
            let (mut planes, mut workers) = (Vec::new(), Vec::new());
            let before = std::mem::replace(&mut reached, version.clone());
            for known in &order {
                let (machine, node) = known;
                let is_left = is_left(known, version);
                let other_schematic = given.is_some_and(|id| node.schematic.as_deref() != Some(id));
                // In the middle of an upgrade some are there already.
                let due = node.version < *version || (node.version == *version && (is_left || other_schematic));
                if !due {
                    continue;
                }
                if is_left && node.version == *version {
                    as_the_others(call, *known, &order)?;
                }
                let image = image(call, *known, version)?;
                let name = &machine.name;
                images.insert(format!("{name}/{version}"), json!({"node": name, "image": image}));
                // What a rollback takes it to: the hop before this one has been there.
                let from = node.version.clone().max(before.clone());
                let row = json!({"name": name, "address": machine.address, "image": image, "from": from,
                    "schematic": node.schematic,
                    "kubernetes_name": node.kubernetes_name.as_ref().unwrap_or(name)});
                if machine.control_plane { planes.push(row) } else { workers.push(row) }
            }
            told.push(json!({"what": "talos", "version": version, "planes": planes, "workers": workers}));
        }
        let images: Vec<Value> = images
            .into_iter()
            .map(|(key, mut one)| {
                one["key"] = json!(key);
                one
            })
            .collect();
        let names: Vec<String> = way.iter().map(Hop::title).collect();
        let order: Vec<&str> = order.iter().map(|(machine, _)| machine.name.as_str()).collect();
        let summary = if way.is_empty() {
            format!("{cluster}: Talos {} and Kubernetes {} run already", to.talos, to.kubernetes)
        } else {
            format!("{cluster}: {}; nodes in the order {}", names.join(", then "), order.join(", "))
        };
        let versions = |v: &Versions| json!({"talos": v.talos, "kubernetes": v.kubernetes});
        let outputs = json!({"hops": told, "images": images, "from": versions(&from), "to": versions(&to), "upgraded": way.is_empty()});
        Ok(Reading { outputs, summary, guards: Vec::new(), notes: Vec::new() })
    }
}
