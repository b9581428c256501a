//! `talos.join_node`: a machine that waits for its first configuration is given it, and has joined before the step is over: it runs
//! the right Talos with the right configuration, and its etcd votes.

use std::path::PathBuf;

use async_trait::async_trait;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::actions::deps::Timing;
use crate::actions::talos::config::{File, MachineConfig, Running, file_key, read_file, running_key};
use crate::actions::talos::source::{Node, TalosSource, node as ask_node};
use crate::actions::talos::survey::{Answer, Survey, ask};
use crate::actions::talos::text;
use crate::actions::talos::wait::Wait;
use crate::clients::talos::{Talos, TalosError};
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::Intent;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::param::{Param, ValueType};
use crate::model::plan::Change;
use crate::model::world::{Delta, Identity};
use crate::placement::quorum;

/// The act.
pub struct TalosJoinNode {
    spec: ActionSpec,
    timing: Timing,
    files: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Before {
    cluster: String,
    name: String,
    address: String,
    control_plane: bool,
    file: PathBuf,
    /// Of what the file says.
    wanted: String,
    kubernetes: Option<String>,
}

fn attempted(call: &Call) -> String {
    format!("have {} join {}", text(call, "node"), text(call, "cluster"))
}

fn meant(intent: &Intent) -> Result<Before, Failure> {
    let before = Before::deserialize(&intent.before);
    before.map_err(|e| Failure::new(Class::Internal, "read what a probe found", e.to_string()))
}

impl TalosJoinNode {
    /// `files`: where relative paths begin.
    pub fn new(timing: Timing, files: PathBuf) -> Self {
        let title = "Give a new machine its configuration, and have it join its Talos cluster";
        let spec = ActionSpec::new("talos.join_node", Effect::Change, title)
            .param(Param::new("cluster", ValueType::String).required().help("Its profile's name"))
            .param(Param::new("node", ValueType::String).required().help("The machine's name in the profile"))
            .param(Param::new("file", ValueType::Path).required().help(
                "Its machine configuration, for yourself alone (mode 0600); a relative path begins at the configuration's folder",
            ))
            .param(Param::new("version", ValueType::String).help("The Talos that it must run; absent: any"))
            .param(Param::new("schematic", ValueType::String).help("The schematic of its image; absent or empty: any"))
            .param(
                Param::new("within", ValueType::Duration)
                    .default_value(json!(1_200_000))
                    .help("How long it may take from its start until it has joined"),
            )
            .output("node", ValueType::String, "Its name")
            .output("digest", ValueType::String, "SHA-256 of what its configuration says")
            .needs_privilege("none of Proxmox: the role os:admin of a talosconfig; the machine itself asks nobody");
        Self { spec, timing, files }
    }

    /// Waits until a look says that it is so.
    async fn until<F, L>(&self, call: &Call, mutate: &Mutate, wait: &Wait, done: Done, look: L) -> Result<(), Failure>
    where
        L: Fn() -> F,
        F: Future<Output = Result<Option<String>, Failure>>,
    {
        loop {
            let Some(why) = look().await? else { return Ok(()) };
            let passed = wait.pass(mutate, attempted(call), &why).await;
            let remedy = "see the machine's console; it has a static address only by a cloud-init drive";
            passed.map_err(|failure| failure.done(done).remedy(remedy))?;
        }
    }

    async fn joined(
        &self,
        call: &Call,
        before: &Before,
        talos: &Talos,
        wait: &Wait,
        mutate: &Mutate,
    ) -> Result<Value, Failure> {
        self.until(call, mutate, wait, Done::Unknown, || not_yet(call, before, talos)).await?;
        Ok(json!({"node": before.name, "digest": before.wanted}))
    }
}

fn way<'a>(call: &Call, source: &'a TalosSource) -> Result<(&'a Talos, &'a str), Failure> {
    let (talos, address) = source.machine(text(call, "cluster"), text(call, "node"))?;
    let address = address.map_err(|why| Failure::new(Class::Precondition, attempted(call), why))?;
    Ok((talos, address))
}

fn not_here(call: &Call, error: &TalosError) -> Failure {
    Failure::new(Class::Precondition, attempted(call), error.to_string())
}

/// What is still missing; nothing: it has joined.
async fn not_yet(call: &Call, before: &Before, talos: &Talos) -> Result<Option<String>, Failure> {
    let name = &before.name;
    let node = match ask_node(talos, &before.address).await {
        Ok(node) => node,
        Err(error @ TalosError::Program(_)) => return Err(not_here(call, &error).done(Done::Unknown)),
        Err(error) => return Ok(Some(format!("{name} does not answer with its configuration: {error}"))),
    };
    let config = match talos.machine_configs(node.version.minor(), &before.address).await {
        Ok(both) => both,
        Err(error) => return Ok(Some(format!("{name}: what is in force there is not known: {error}"))),
    };
    let digest = |text: &SecretString| MachineConfig::read(text).map(|config| config.digest()).unwrap_or_default();
    let wrong = |cause: String| Failure::new(Class::Verify, attempted(call), cause).done(Done::Whole);
    if digest(&config.in_force) != before.wanted {
        return Err(wrong("it has another configuration".into()));
    }
    if let Some(why) = of_another_image(call, &node) {
        return Err(wrong(why).remedy("make the template anew of the right image, or upgrade it: talos-upgrade"));
    }
    if node.stage.stage != "running" || !node.stage.ready {
        return Ok(Some(format!("{name} is {}, waits for {}", node.stage.stage, node.stage.unmet.join(", "))));
    }
    if !before.control_plane {
        return Ok(None);
    }
    Ok(match talos.etcd_status(Some(node.version.minor()), &before.address).await {
        Ok(status) if !status.errors.is_empty() => Some(format!("{name}: etcd says {}", status.errors)),
        Ok(status) if status.learner || status.leader.trim_start_matches('0').is_empty() => {
            Some(format!("{name}: its etcd does not vote yet"))
        }
        Ok(_) => None,
        Err(error) => Some(format!("{name}: etcd: {error}")),
    })
}

fn of_another_image(call: &Call, node: &Node) -> Option<String> {
    let (version, schematic) = (text(call, "version"), text(call, "schematic"));
    if !version.is_empty() && node.version.to_string() != version {
        return Some(format!("it runs Talos {}, not {version}", node.version));
    }
    let has = node.schematic.as_deref().unwrap_or("none");
    (!schematic.is_empty() && has != schematic).then(|| format!("it runs schematic {has}, not {schematic}"))
}

#[async_trait]
impl Action for TalosJoinNode {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let (cluster, name) = (text(call, "cluster"), text(call, "node"));
        let refused = |cause: String| Failure::new(Class::Precondition, attempted(call), cause);
        let path = self.files.join(text(call, "file"));
        let file: File = match ask(world, file_key(cluster, &path).to_string()).await? {
            Answer::Said(file) => file,
            Answer::Not(why) => return Err(refused(why).into()),
        };
        if world.is_planned() && world.is_disturbed() {
            return Err(Unreadable::Later(format!("{name}: is given {} and joins", path.display())));
        }
        let survey = Survey::of(world, cluster).await?;
        let Some((machine, answer)) = survey.nodes.iter().find(|(machine, _)| machine.name == name) else {
            return Err(refused(format!("the profile has no machine {name:?}")).into());
        };
        let before = Before {
            cluster: cluster.to_owned(),
            name: name.to_owned(),
            address: machine.address.clone().unwrap_or_default(),
            control_plane: machine.control_plane,
            file: path.clone(),
            wanted: file.facts.digest.clone(),
            kubernetes: file.facts.kubernetes.get("kubelet").map(ToString::to_string),
        };
        let mut probe = Probe::new(format!("{name}: is given {} and joins {cluster}", path.display()), json!(before));
        if let Answer::Said(node) = answer {
            let running: Answer<Running> = ask(world, running_key(cluster, name).to_string()).await?;
            let has = matches!(&running, Answer::Said(running) if running.facts.digest == before.wanted);
            if !has {
                let failure = refused("it has a configuration already, and another one".into());
                return Err(failure.remedy("talos.apply_config changes the configuration of a node").into());
            }
            if node.stage.stage == "running" && node.stage.ready && of_another_image(call, node).is_none() {
                probe.satisfied = true;
                probe.summary = format!("{name}: has joined already");
                return Ok(probe);
            }
        }
        probe.change = Some(Change::Create);
        probe.identities = vec![Identity {
            object: format!("the file {}", path.display()),
            resource: file_key(cluster, &path),
            expect: vec![("/facts/digest".into(), json!(before.wanted))],
        }];
        Ok(probe)
    }

    fn predict(&self, _: &Call, probe: &Probe) -> Prediction {
        let Ok(before) = Before::deserialize(&probe.before) else { return Prediction::default() };
        let outputs = [("node", json!(before.name)), ("digest", json!(before.wanted))];
        let outputs = outputs.map(|(name, value)| (name.to_owned(), value)).into();
        if probe.satisfied {
            return Prediction { outputs, ..Prediction::default() };
        }
        let key = |kind: &str| ResourceKey::new(format!("talos/{}/{kind}/{}", before.cluster, before.name));
        let mut deltas = vec![
            Delta { resource: key("node"), patch: json!({"config": null}) },
            Delta {
                resource: ResourceKey::new(format!("kubernetes/{}/nodes", before.cluster)),
                patch: json!({before.name.as_str(): {"schedulable": true}}),
            },
        ];
        if before.control_plane {
            deltas.push(Delta { resource: key("etcd"), patch: json!({"member": true, "learner": false}) });
        }
        Prediction { deltas, outputs, ..Prediction::default() }
    }

    async fn apply(&self, call: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let before = meant(intent)?;
        let wait = Wait::of(call, self.timing)?;
        let source = mutate.client::<TalosSource>()?;
        let (talos, address) = way(call, &source)?;
        let refused = |cause: String| Failure::new(Class::Precondition, attempted(call), cause);
        let config = read_file(&before.file).map_err(refused)?;
        if config.digest() != before.wanted {
            return Err(refused(format!("{} is another file than a moment ago", before.file.display())));
        }
        let waits = || async {
            Ok(match talos.is_in_maintenance(address).await {
                Ok(true) => None,
                Ok(false) => Some(format!("{} does not wait for a configuration", before.name)),
                Err(error @ TalosError::Program(_)) => return Err(not_here(call, &error)),
                Err(error) => Some(format!("{} does not answer: {error}", before.name)),
            })
        };
        self.until(call, mutate, &wait, Done::None, waits).await?;
        mutate.checkpoint(json!({"asked": true})).await?;
        match talos.give_config(address, &before.file.display().to_string()).await {
            Ok(()) | Err(TalosError::Deadline { .. }) => {}
            Err(error) => {
                // Talos repeats what it does not understand.
                let failure = Failure::new(Class::Failed, attempted(call), config.conceal(&error.to_string()));
                return Err(if error.is_unreachable() { failure.lost() } else { failure.done(Done::None) });
            }
        }
        self.joined(call, &before, talos, &wait, mutate).await
    }

    async fn attach(&self, call: &Call, intent: &Intent, _: &Value, mutate: &Mutate) -> Result<Value, Failure> {
        let before = meant(intent)?;
        let wait = Wait::of(call, self.timing)?;
        let source = mutate.client::<TalosSource>()?;
        let (talos, _) = way(call, &source)?;
        self.joined(call, &before, talos, &wait, mutate).await
    }

    async fn verify(&self, call: &Call, _: &Value, outputs: &Value, world: &dyn World) -> Result<(), Failure> {
        let (cluster, name) = (text(call, "cluster"), text(call, "node"));
        let failed = |cause: String| Failure::new(Class::Verify, attempted(call), cause);
        let known = |why: Unreadable| failed(why.to_string());
        let running: Answer<Running> = ask(world, running_key(cluster, name).to_string()).await.map_err(known)?;
        match running {
            Answer::Said(running) if outputs["digest"] == running.facts.digest.as_str() => {}
            Answer::Said(_) => return Err(failed("it has another configuration".into())),
            Answer::Not(why) => return Err(failed(why)),
        }
        let survey = Survey::of(world, cluster).await.map_err(known)?;
        quorum::findings(&survey.told).into_iter().next().map_or(Ok(()), |first| Err(failed(first)))
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
            return Ok(Recovery::Unseen { done: Done::None, evidence: "nothing had been asked of the machine".into() });
        };
        let key = ResourceKey::new(format!("talos/{}/maintenance/{}", before.cluster, before.name));
        let waits = world.read(&key).await?;
        Ok(match waits {
            crate::engine::ports::Observed::Known(said) if said["stage"] == "maintenance" => {
                let evidence = format!("{} waits for its configuration still", before.name);
                Recovery::Unseen { done: Done::None, evidence }
            }
            _ => Recovery::Running(handle.clone()),
        })
    }

    fn commands(&self, _: &Call, probe: &Probe) -> Vec<String> {
        let Ok(before) = Before::deserialize(&probe.before) else { return Vec::new() };
        let file = before.file.display().to_string();
        let words = ["talosctl", "--nodes", &before.address, "apply-config", "--insecure", "--file", &file];
        vec![crate::model::shell::line(words)]
    }
}
