//! `talos.plan_config`: which nodes get another machine configuration by the files of a folder, what changes on each, which of
//! them reboot for it, and in which order they go. It changes nothing and refuses files that are not the node's own or are older.

use std::path::PathBuf;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{File, Running, Trial, file_key, folder, running_key, trial_key};
use crate::actions::talos::source::{Machine, Node};
use crate::actions::talos::survey::{Answer, Survey, ask};
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::param::{Param, ValueType};

/// The action.
pub struct TalosPlanConfig {
    spec: ActionSpec,
    files: PathBuf,
}

pub(super) fn mode_param() -> Param {
    let words = ["auto", "no-reboot", "staged"];
    Param::new("mode", ValueType::String).default_value("auto").choices(&words).help(
        "auto: at once, with a reboot where it needs one; no-reboot: at once or not at all; staged: at the next boot",
    )
}

pub(super) fn older_param() -> Param {
    Param::new("older", ValueType::Bool).default_value(false).help("Whether going back to older versions is meant")
}

impl TalosPlanConfig {
    /// `files`: where relative paths begin.
    pub fn new(files: PathBuf) -> Self {
        let title = "Plan how the nodes of a Talos cluster get other machine configurations";
        let spec = ActionSpec::new("talos.plan_config", Effect::Read, title)
            .param(Param::new("cluster", ValueType::String).required().help("Its profile's name"))
            .param(
                Param::new("folder", ValueType::Path)
                    .help("The folder with the files, NODE.yaml each [default: talos.config_dir of the profile]"),
            )
            .param(
                Param::new("nodes", ValueType::List)
                    .items(ValueType::String)
                    .default_value(json!([]))
                    .help("Only these; none: all that have a file"),
            )
            .param(mode_param())
            .param(older_param())
            .output(
                "nodes",
                ValueType::List,
                "Maps of name, kubernetes_name, control_plane, file, reboot, changes (paths; values only where they are no secret), in the order in which they go: those that have it already are left out",
            )
            .output("same", ValueType::List, "Names of those that have it already")
            .needs_privilege("none of Proxmox: the role os:admin of a talosconfig");
        Self { spec, files }
    }
}

fn refused(call: &Call, cause: impl Into<String>) -> Failure {
    let attempted = format!("plan machine configurations of {}", call.get("cluster").as_str().unwrap_or_default());
    Failure::new(Class::Precondition, attempted, cause)
}

/// What is known of a node and its file.
struct Due<'a> {
    machine: &'a Machine,
    node: &'a Node,
    path: PathBuf,
    /// Nothing: it has it already.
    trial: Option<Trial>,
}

/// What a file would do on its node, or why it is refused.
async fn due<'a>(
    call: &Call,
    world: &dyn World,
    machine: &'a Machine,
    answer: &'a Answer<Node>,
    path: PathBuf,
) -> Result<Result<Due<'a>, String>, Unreadable> {
    let cluster: String = call.arg("cluster")?;
    let (mode, name): (String, &str) = (call.arg("mode")?, &machine.name);
    let node = match answer {
        Answer::Said(node) => node,
        Answer::Not(why) => return Ok(Err(format!("{name}: it does not answer: {why}"))),
    };
    let file: File = match ask(world, file_key(&cluster, &path).to_string()).await? {
        Answer::Said(file) => file,
        Answer::Not(why) => return Ok(Err(format!("{name}: {why}"))),
    };
    let running: Running = match ask(world, running_key(&cluster, name).to_string()).await? {
        Answer::Said(running) => running,
        Answer::Not(why) => return Ok(Err(format!("{name}: {why}"))),
    };
    if super::apply::has(&running, &file.facts.digest, &mode) {
        return Ok(Ok(Due { machine, node, path, trial: None }));
    }
    let older = call.get("older") == true;
    if let Some(why) = file.facts.refusal(&running.facts, &node.version, name, older) {
        return Ok(Err(format!("{name}: {}: {why}", path.display())));
    }
    Ok(match ask::<Trial>(world, trial_key(&cluster, name, &mode, &path).to_string()).await? {
        Answer::Said(trial) => Ok(Due { machine, node, path, trial: Some(trial) }),
        Answer::Not(why) => Err(format!("{name}: {why}")),
    })
}

#[async_trait]
impl Action for TalosPlanConfig {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let cluster: String = call.arg("cluster")?;
        let given = call.get("folder").as_str().unwrap_or_default();
        let folder = folder(world, &cluster, given, &self.files).await?;
        let key = ResourceKey::new(format!("talos/{cluster}/configs{}", folder.display()));
        let there = Vec::<String>::deserialize(&*world.read(&key).await?.known("the files")?);
        let there = there.map_err(|e| Failure::new(Class::Internal, format!("read {key}"), e.to_string()))?;
        let survey = Survey::of(world, &cluster).await?;
        let wanted: Vec<String> = call.arg("nodes")?;
        let known = |name: &String| survey.nodes.iter().any(|(machine, _)| machine.name == *name);
        let mut wrong: Vec<String> = Vec::new();
        for name in &wanted {
            if !known(name) {
                wrong.push(format!("{name}: the profile of {cluster} has no such machine"));
            } else if !there.contains(name) {
                wrong.push(format!("{name}: there is no {}/{name}.yaml", folder.display()));
            }
        }
        let leader = survey.leader().map(|one| one.name.clone());
        let mut all: Vec<Due<'_>> = Vec::new();
        for (machine, answer) in &survey.nodes {
            let meant = if wanted.is_empty() { &there } else { &wanted };
            if !meant.contains(&machine.name) || !there.contains(&machine.name) {
                continue;
            }
            let path = folder.join(format!("{}.yaml", machine.name));
            match due(call, world, machine, answer, path).await? {
                Ok(one) => all.push(one),
                Err(why) => wrong.push(why),
            }
        }
        if all.is_empty() && wrong.is_empty() {
            wrong.push(format!("{} has no file for any machine of {cluster}: expected NODE.yaml", folder.display()));
        }
        let (mut nodes, same): (Vec<&Due<'_>>, Vec<&Due<'_>>) = all.iter().partition(|one| one.trial.is_some());
        let leads = |machine: &Machine| leader.as_ref() == Some(&machine.name);
        nodes.sort_by_key(|one| (!one.machine.control_plane, leads(one.machine), one.machine.name.clone()));
        let reboots = |one: &Due<'_>| one.trial.as_ref().is_some_and(|trial| trial.reboot);
        if nodes.iter().any(|one| one.machine.control_plane && reboots(one)) {
            wrong.extend(super::apply::not_safe(&survey, leader.as_deref().unwrap_or_default()));
        }
        if let Some(first) = wrong.first() {
            return Err(refused(call, first.clone()).details(wrong).remedy("nothing was changed").into());
        }
        let mut notes = Vec::new();
        let mut rows = Vec::new();
        for one in &nodes {
            let Some(trial) = &one.trial else { continue };
            let name = &one.machine.name;
            notes.push(format!("{name}: {}", trial.mode));
            notes.extend(trial.changes.iter().map(|line| format!("{name}: {line}")));
            notes.extend(trial.warnings.iter().map(|line| format!("{name}: warning: {line}")));
            let in_kubernetes = one.node.kubernetes_name.as_ref().unwrap_or(name);
            rows.push(
                json!({"name": name, "kubernetes_name": in_kubernetes, "control_plane": one.machine.control_plane,
                "file": one.path, "reboot": trial.reboot, "changes": trial.changes}),
            );
        }
        let name = |one: &&Due<'_>| match reboots(one) {
            true => format!("{} (with a reboot)", one.machine.name),
            false => one.machine.name.clone(),
        };
        let summary = match nodes.is_empty() {
            true => format!("{cluster}: all have it already"),
            false => format!("{cluster}: {}", nodes.iter().map(name).collect::<Vec<_>>().join(", then ")),
        };
        let same: Vec<&str> = same.iter().map(|one| one.machine.name.as_str()).collect();
        let outputs: Value = json!({"nodes": rows, "same": same});
        Ok(Reading { outputs, summary, guards: Vec::new(), notes })
    }
}
