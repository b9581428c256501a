//! `talos.apply_config`: one node gets the machine configuration of a file, and is whole again before the step is over. What
//! counts is what is in force there afterwards, since another boot than before where it had to reboot.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::plan::{mode_param, older_param};
use super::resource::mode_of;
use super::{File, MachineConfig, Running, Trial, file_key, running_key, trial_key};
use crate::actions::deps::Timing;
use crate::actions::talos::settle::{still_waits, unready};
use crate::actions::talos::source::{Machine, Node, TalosSource, node as ask_node};
use crate::actions::talos::survey::{Answer, Survey, ask};
use crate::actions::talos::wait::Wait;
use crate::actions::talos::{gate, text};
use crate::clients::talos::{self, Talos, TalosError};
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::{Intent, Invocation};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::param::{Param, ValueType};
use crate::model::talos::Version;
use crate::model::world::{Delta, Identity};
use crate::placement::quorum;

const STAGED: &str = "staged";

/// The act.
pub struct TalosApplyConfig {
    spec: ActionSpec,
    timing: Timing,
    files: PathBuf,
}

/// The node before it. Of configurations nothing but digests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Before {
    cluster: String,
    name: String,
    address: String,
    control_plane: bool,
    version: Version,
    boot_id: String,
    mode: String,
    file: PathBuf,
    /// What is in force, what is stored for the next boot, and what is to be.
    digest: String,
    stored: Option<String>,
    wanted: String,
    /// Whether it has to reboot for it, by a trial.
    reboot: bool,
    /// Of the Kubernetes that its kubelet has then.
    kubernetes: Option<Version>,
    /// Where what is in force is kept.
    kept: Option<PathBuf>,
}

/// It was asked to; whether with a reboot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Asked {
    reboot: bool,
}

/// What was seen of a node that is waited for.
enum Seen {
    /// As wanted and whole; its boot.
    Whole(String),
    NotYet(String),
    Never(Failure),
}

fn attempted(call: &Call) -> String {
    format!("apply a machine configuration to {} of {}", text(call, "node"), text(call, "cluster"))
}

fn meant(intent: &Intent) -> Result<Before, Failure> {
    let before = Before::deserialize(&intent.before);
    before.map_err(|e| Failure::new(Class::Internal, "read the intent of a configuration", e.to_string()))
}

/// Whether a node has it already, and nothing else waits for its next boot.
pub(super) fn has(running: &Running, wanted: &str, mode: &str) -> bool {
    match &running.stored {
        Some(stored) if mode == STAGED => stored == wanted,
        stored => running.facts.digest == wanted && stored.as_ref().is_none_or(|stored| stored == wanted),
    }
}

/// Why no control plane may reboot now, or not this one.
pub(super) fn not_safe(survey: &Survey, name: &str) -> Vec<String> {
    let mut why = quorum::findings(&survey.told);
    if survey.told.len() > 1 {
        why.extend(quorum::goes_on_without(&survey.told, name).err());
    }
    why.dedup();
    why
}

impl TalosApplyConfig {
    /// `files`: where relative paths begin.
    pub fn new(timing: Timing, files: PathBuf) -> Self {
        let title = "Apply a machine configuration to one node of a Talos cluster";
        let spec = ActionSpec::new("talos.apply_config", Effect::Disrupt, title)
            .effect_by("mode", &[("no-reboot", Effect::Change), (STAGED, Effect::Change)])
            .param(Param::new("cluster", ValueType::String).required().help("Its profile's name"))
            .param(Param::new("node", ValueType::String).required().help("The machine's name in the profile"))
            .param(Param::new("file", ValueType::Path).required().help(
                "The file, for yourself alone (mode 0600); a relative one begins at the configuration's folder",
            ))
            .param(mode_param())
            .param(older_param())
            .param(Param::new("keep", ValueType::Path).help(
                "A folder in which what was in force is kept, with mode 0600, so that it can be undone; none: nothing is kept",
            ))
            .param(
                Param::new("within", ValueType::Duration)
                    .default_value(json!(900_000))
                    .help("How long it may take until the node is whole"),
            )
            .output("node", ValueType::String, "Its name")
            .output("mode", ValueType::String, "How it took effect: auto, no-reboot or staged")
            .output("rebooted", ValueType::Bool, "Whether it had to reboot for it")
            .output("digest", ValueType::String, "SHA-256 of what the configuration says, however it is written")
            .output("kept", ValueType::Path, "The file with what was in force; empty: none")
            .needs_privilege("none of Proxmox: the role os:admin of a talosconfig")
            .needs_privilege(gate::PRIVILEGE)
            .undoable();
        Self { spec, timing, files }
    }

    /// Until the node is as wanted.
    async fn settled(
        &self,
        call: &Call,
        before: &Before,
        talos: &Talos,
        reboot: bool,
        mutate: &Mutate,
    ) -> Result<Value, Failure> {
        let wait = Wait::of(call, self.timing)?;
        loop {
            let why = match seen(call, before, talos, reboot).await? {
                Seen::Whole(boot_id) => return Ok(outputs(before, boot_id != before.boot_id)),
                Seen::Never(failure) => return Err(failure),
                Seen::NotYet(why) => why,
            };
            if let Err(failure) = wait.pass(mutate, attempted(call), &why).await {
                return Err(still_waits(failure, mutate, &before.cluster, &before.name).await);
            }
        }
    }
}

fn outputs(before: &Before, rebooted: bool) -> Value {
    let kept = before.kept.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    json!({"node": before.name, "mode": before.mode, "rebooted": rebooted, "digest": before.wanted, "kept": kept})
}

fn broken(call: &Call, error: &TalosError, config: Option<&MachineConfig>) -> Failure {
    let class = match error {
        TalosError::Program(_) => Class::Precondition,
        error if error.is_denied() => Class::Refused,
        error if error.is_unreachable() => Class::Unreachable,
        _ => Class::Failed,
    };
    let cause = error.to_string();
    Failure::new(class, attempted(call), config.map_or_else(|| cause.clone(), |config| config.conceal(&cause)))
}

/// One look at a node that was given its configuration.
async fn seen(call: &Call, before: &Before, talos: &Talos, reboot: bool) -> Result<Seen, Failure> {
    let name = &before.name;
    let node = match ask_node(talos, &before.address).await {
        Ok(node) => node,
        Err(error @ TalosError::Program(_)) => return Err(broken(call, &error, None).done(Done::Unknown)),
        Err(error) => return Ok(Seen::NotYet(format!("{name} does not answer: {error}"))),
    };
    let both = match talos.machine_configs(node.version.minor(), &before.address).await {
        Ok(both) => both,
        Err(error) => return Ok(Seen::NotYet(format!("{name}: what is in force there is not known: {error}"))),
    };
    let digest = |text: &SecretString| MachineConfig::read(text).map(|config| config.digest()).unwrap_or_default();
    if before.mode == STAGED {
        let stored = both.stored.as_ref().map(digest);
        return Ok(match stored.as_ref() == Some(&before.wanted) {
            true => Seen::Whole(node.boot_id),
            false => Seen::NotYet(format!("{name}: another configuration waits for its next boot")),
        });
    }
    let booted = node.boot_id != before.boot_id;
    if digest(&both.in_force) != before.wanted {
        if booted {
            let failure = Failure::new(Class::Verify, attempted(call), "it rebooted, and runs another configuration");
            let remedy = "see who else changes it; nothing else was begun";
            return Ok(Seen::Never(failure.done(Done::Partial).remedy(remedy)));
        }
        return Ok(Seen::NotYet(format!("{name}: it is not in force yet")));
    }
    if reboot && !booted {
        return Ok(Seen::NotYet(format!("{name} has not rebooted yet")));
    }
    Ok(match unready(talos, name, &before.address, &node, before.control_plane).await {
        Some(why) => Seen::NotYet(why),
        None => Seen::Whole(node.boot_id),
    })
}

/// What is in force there, read once more, is kept where it was asked for.
async fn keep(call: &Call, before: &Before, talos: &Talos) -> Result<(), Failure> {
    let Some(path) = &before.kept else { return Ok(()) };
    let now = talos.machine_configs(before.version.minor(), &before.address).await;
    let now = now.map_err(|e| broken(call, &e, None))?;
    let is_it = MachineConfig::read(&now.in_force).is_ok_and(|config| config.digest() == before.digest);
    if !is_it {
        let cause = "it has another configuration than a moment ago";
        return Err(Failure::new(Class::Precondition, attempted(call), cause).remedy("see who else changes it"));
    }
    talos::keep_config(path, &now.in_force).map_err(|e| {
        Failure::new(Class::Precondition, attempted(call), format!("what is in force cannot be kept: {e}"))
            .remedy("make the folder first, for yourself alone: `mkdir -m 700 …`")
    })
}

/// The way to the machine.
fn way<'a>(call: &Call, source: &'a TalosSource) -> Result<(&'a Talos, &'a str), Failure> {
    let (talos, address) = source.machine(text(call, "cluster"), text(call, "node"))?;
    let address = address.map_err(|why| Failure::new(Class::Precondition, attempted(call), why))?;
    Ok((talos, address))
}

async fn settled_survey(call: &Call, world: &dyn World) -> Result<Survey, Failure> {
    Survey::of(world, text(call, "cluster")).await.map_err(|why| match why {
        Unreadable::Failed(failure) => failure,
        Unreadable::Unknown(why) | Unreadable::Later(why) => Failure::new(Class::Internal, attempted(call), why),
    })
}

async fn known<T: for<'de> Deserialize<'de>>(
    call: &Call,
    world: &dyn World,
    key: ResourceKey,
) -> Result<T, Unreadable> {
    match ask(world, key.to_string()).await? {
        Answer::Said(value) => Ok(value),
        Answer::Not(why) => Err(Failure::new(Class::Precondition, attempted(call), why).into()),
    }
}

#[async_trait]
impl Action for TalosApplyConfig {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let (cluster, name, mode) = (text(call, "cluster"), text(call, "node"), text(call, "mode"));
        let refused = |cause: String| Failure::new(Class::Precondition, attempted(call), cause);
        let path = self.files.join(text(call, "file"));
        let survey = Survey::of(world, cluster).await?;
        let (machine, node): (&Machine, &Node) = match survey.nodes.iter().find(|(one, _)| one.name == name) {
            Some((machine, Answer::Said(node))) => (machine, node),
            Some((_, Answer::Not(why))) => {
                return Err(Failure::new(Class::Unreachable, attempted(call), why.clone()).into());
            }
            None => return Err(refused(format!("the profile has no machine {name:?}")).into()),
        };
        let file: File = known(call, world, file_key(cluster, &path)).await?;
        let running: Running = known(call, world, running_key(cluster, name)).await?;
        if mode == STAGED && running.stored.is_none() {
            let cause = format!("Talos {} does not show what is staged, so nobody could see that it was", node.version);
            return Err(refused(cause).remedy("mode: auto, or no-reboot").into());
        }
        let wanted = file.facts.digest.clone();
        let kept = Some(text(call, "keep")).filter(|keep| !keep.is_empty()).map(|keep| {
            let short = running.facts.digest.get(..12).unwrap_or_default();
            self.files.join(keep).join(format!("{name}-{short}.yaml"))
        });
        let mut before = Before {
            cluster: cluster.to_owned(),
            name: name.to_owned(),
            address: machine.address.clone().unwrap_or_default(),
            control_plane: machine.control_plane,
            version: node.version.clone(),
            boot_id: node.boot_id.clone(),
            mode: mode.to_owned(),
            file: path.clone(),
            digest: running.facts.digest.clone(),
            stored: running.stored.clone(),
            wanted,
            reboot: false,
            kubernetes: file.facts.kubernetes.get("kubelet").cloned(),
            kept,
        };
        if has(&running, &before.wanted, mode) {
            let mut probe = Probe::new(format!("{name}: has this configuration already"), json!(before));
            probe.satisfied = true;
            return Ok(probe);
        }
        if let Some(why) = file.facts.refusal(&running.facts, &node.version, name, call.get("older") == true) {
            let remedy = "nothing was changed; a file that is to take a node back needs older: true";
            return Err(refused(format!("{}: {why}", path.display())).remedy(remedy).into());
        }
        let trial: Trial = known(call, world, trial_key(cluster, name, mode, &path)).await?;
        before.reboot = trial.reboot;
        if before.reboot
            && machine.control_plane
            && let Some(why) = not_safe(&survey, name).into_iter().next()
        {
            return Err(refused(why).remedy("mend etcd first: see `runbook run talos-status`").into());
        }
        let with = if before.reboot { ", with a reboot" } else { "" };
        let count = trial.changes.len();
        let settings = if count == 1 { "1 setting changes".to_owned() } else { format!("{count} settings change") };
        let mut probe = Probe::new(format!("{name}: {settings}{with}"), json!(before));
        probe.notes.push(format!("{name}: {}", trial.mode));
        probe.notes.extend(trial.changes.iter().map(|line| format!("{name}: {line}")));
        probe.notes.extend(trial.warnings.iter().map(|line| format!("{name}: warning: {line}")));
        if before.kept.is_none() {
            probe.notes.push("what is in force now is not kept (keep), so this cannot be undone".into());
        }
        probe.identities = vec![Identity {
            object: format!("the file {}", path.display()),
            resource: file_key(cluster, &path),
            expect: vec![("/facts/digest".into(), json!(before.wanted))],
        }];
        Ok(probe)
    }

    fn predict(&self, _: &Call, probe: &Probe) -> Prediction {
        let Ok(before) = Before::deserialize(&probe.before) else { return Prediction::default() };
        let outputs = outputs(&before, before.reboot).as_object().cloned().unwrap_or_default();
        let outputs = outputs.into_iter().collect();
        if probe.satisfied {
            return Prediction { outputs, ..Prediction::default() };
        }
        let config = match before.mode == STAGED {
            true => json!({"stored": before.wanted}),
            false => {
                json!({"facts": {"digest": before.wanted}, "stored": before.stored.as_ref().map(|_| &before.wanted)})
            }
        };
        // Another text than before: which one is nobody's to know.
        let node = match (before.mode == STAGED, &before.kubernetes) {
            (true, _) => json!({"staged": true}),
            (false, Some(kubernetes)) => json!({"config": null, "kubernetes": kubernetes}),
            (false, None) => json!({"config": null}),
        };
        let deltas = vec![
            Delta { resource: running_key(&before.cluster, &before.name), patch: config },
            Delta { resource: ResourceKey::new(format!("talos/{}/node/{}", before.cluster, before.name)), patch: node },
        ];
        Prediction { deltas, outputs, ..Prediction::default() }
    }

    async fn apply(&self, call: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let before = meant(intent)?;
        let source = mutate.client::<TalosSource>()?;
        let (talos, address) = way(call, &source)?;
        let refused = |cause: String| Failure::new(Class::Precondition, attempted(call), cause);
        let mode = mode_of(&before.mode).ok_or_else(|| refused(format!("there is no mode {}", before.mode)))?;
        let config = super::resource::read(&before.file).map_err(refused)?;
        if config.digest() != before.wanted {
            return Err(refused(format!("{} is another file than a moment ago", before.file.display())));
        }
        keep(call, &before, talos).await?;
        mutate.checkpoint(json!(Asked { reboot: before.reboot })).await?;
        if before.reboot {
            gate::may_go_down(mutate, text(call, "cluster"), text(call, "node"), &attempted(call), Done::None).await?;
        }
        let file = before.file.display().to_string();
        let reboot = match talos.apply_config(before.version.minor(), address, &file, mode).await {
            Ok(applied) => applied.reboot,
            // Only the node itself says what came of it.
            Err(TalosError::Deadline { .. }) => before.reboot,
            Err(error) => {
                let failure = broken(call, &error, Some(&config));
                return Err(if error.is_unreachable() { failure.lost() } else { failure.done(Done::None) });
            }
        };
        mutate.checkpoint(json!(Asked { reboot })).await.map_err(|failure| failure.done(Done::Unknown))?;
        self.settled(call, &before, talos, reboot, mutate).await
    }

    async fn attach(&self, call: &Call, intent: &Intent, handle: &Value, mutate: &Mutate) -> Result<Value, Failure> {
        let before = meant(intent)?;
        let source = mutate.client::<TalosSource>()?;
        let (talos, _) = way(call, &source)?;
        let reboot = Asked::deserialize(handle).map_or(before.reboot, |asked| asked.reboot);
        self.settled(call, &before, talos, reboot, mutate).await
    }

    async fn verify(&self, call: &Call, before: &Value, outputs: &Value, world: &dyn World) -> Result<(), Failure> {
        let (cluster, name) = (text(call, "cluster"), text(call, "node"));
        let failed = |cause: String| Failure::new(Class::Verify, attempted(call), cause);
        let running: Running = match known(call, world, running_key(cluster, name)).await {
            Ok(running) => running,
            Err(why) => return Err(failed(why.to_string())),
        };
        let wanted = outputs["digest"].as_str().unwrap_or_default();
        if !has(&running, wanted, text(call, "mode")) {
            return Err(failed(format!("{name} has another configuration")));
        }
        if outputs["rebooted"] != true {
            return Ok(());
        }
        let survey = settled_survey(call, world).await?;
        match survey.nodes.iter().find(|(machine, _)| machine.name == name) {
            Some((_, Answer::Said(node))) if before["boot_id"] == node.boot_id.as_str() => {
                Err(failed(format!("{name} has not been booted since")))
            }
            Some((machine, Answer::Said(_))) if machine.control_plane => {
                quorum::findings(&survey.told).into_iter().next().map_or(Ok(()), |first| Err(failed(first)))
            }
            Some((_, Answer::Said(_))) => Ok(()),
            Some((_, Answer::Not(why))) => Err(failed(why.clone())),
            None => Err(failed(format!("the profile has no machine {name:?}"))),
        }
    }

    async fn recover(
        &self,
        _: &Call,
        intent: &Intent,
        handle: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        let before = meant(intent)?;
        let Some(handle) = handle else {
            return Ok(Recovery::Unseen { done: Done::None, evidence: "nothing had been asked of the node".into() });
        };
        let node = ask::<Node>(world, format!("talos/{}/node/{}", before.cluster, before.name)).await;
        let running = ask::<Running>(world, running_key(&before.cluster, &before.name).to_string()).await;
        if let (Ok(Answer::Said(node)), Ok(Answer::Said(running))) = (&node, &running)
            && node.boot_id == before.boot_id
            && node.stage.stage == "running"
            && running.facts.digest == before.digest
            && running.stored == before.stored
        {
            let evidence =
                format!("{} runs as before, since the same boot, and nothing waits for the next", before.name);
            return Ok(Recovery::Unseen { done: Done::None, evidence });
        }
        Ok(Recovery::Running(handle.clone()))
    }

    fn undo(&self, call: &Call, was: &Value, _: Option<&Value>) -> Option<Invocation> {
        let before = Before::deserialize(was).ok()?;
        let mut with = call.with.clone();
        with["file"] = json!(before.kept?);
        with["older"] = json!(true);
        with["keep"] = Value::Null;
        Some(Invocation { uses: self.spec.name.clone(), with })
    }

    fn undo_summary(&self, call: &Call, probe: &Probe) -> Option<String> {
        let before = Before::deserialize(&probe.before).ok()?;
        let kept: &Path = before.kept.as_deref()?;
        Some(format!("{} gets back what is kept in {}", text(call, "node"), kept.display()))
    }

    fn commands(&self, call: &Call, probe: &Probe) -> Vec<String> {
        let Ok(before) = Before::deserialize(&probe.before) else { return Vec::new() };
        let (address, file) = (before.address.as_str(), before.file.display().to_string());
        let words = [
            "talosctl",
            "--endpoints",
            address,
            "--nodes",
            address,
            "apply-config",
            "--file",
            &file,
            "--mode",
            text(call, "mode"),
        ];
        vec![crate::model::shell::line(words)]
    }
}
