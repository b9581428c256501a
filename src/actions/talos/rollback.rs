//! `talos.rollback_node`: a node goes back to the Talos that it ran before its last upgrade. Which one its other slot holds
//! nobody can ask it: so it goes back only from the version of an upgrade that is known, to the one that was there before.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::left::Left;
use super::settle::Wanted;
use super::source::{TalosSource, way};
use super::survey::{Answer, Survey};
use super::wait::Wait;
use super::{broken, gate, guest, settled, text};
use crate::actions::deps::Timing;
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::Intent;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::param::{Param, ValueType};
use crate::model::talos::{Minor, Version};
use crate::model::world::Delta;

/// From this on control planes have an etcd whose data the one before does not read.
const NEWER_ETCD: Minor = Minor(1, 14);

/// The act.
pub struct TalosRollbackNode {
    spec: ActionSpec,
    timing: Timing,
}

/// The node before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Before {
    cluster: String,
    name: String,
    address: String,
    control_plane: bool,
    version: Version,
    boot_id: String,
}

fn attempted(call: &Call) -> String {
    format!("take {} of {} back to Talos {}", text(call, "node"), text(call, "cluster"), text(call, "version"))
}

fn version(call: &Call, name: &str) -> Result<Version, Failure> {
    text(call, name).parse().map_err(|e: crate::model::talos::BadVersion| {
        Failure::new(Class::Precondition, attempted(call), format!("{name}: {e}"))
    })
}

fn meant(intent: &Intent) -> Result<Before, Failure> {
    let before = Before::deserialize(&intent.before);
    before.map_err(|e| Failure::new(Class::Internal, "read the intent of a rollback", e.to_string()))
}

fn schematic(call: &Call) -> Option<&str> {
    call.get("schematic").as_str().filter(|text| !text.is_empty())
}

impl TalosRollbackNode {
    pub fn new(timing: Timing) -> Self {
        let spec = ActionSpec::new(
            "talos.rollback_node",
            Effect::Disrupt,
            "Boot the Talos that a node ran before its last upgrade",
        )
        .param(Param::new("cluster", ValueType::String).required().help("Its profile's name"))
        .param(Param::new("node", ValueType::String).required().help("The machine's name in the profile"))
        .param(Param::new("version", ValueType::Version).required().help("The Talos that ran there before"))
        .param(
            Param::new("from", ValueType::Version)
                .required()
                .help("The one that it was upgraded to: where it runs another, its other slot may hold anything"),
        )
        .param(Param::new("schematic", ValueType::String).help("The schematic that ran there before; absent: any"))
        .param(
            Param::new("within", ValueType::Duration)
                .default_value(json!(1_200_000))
                .help("How long it may take from its reboot until it is whole"),
        )
        .output("node", ValueType::String, "Its name")
        .output("version", ValueType::String, "What runs there")
        .output("boot_id", ValueType::String, "Of its present boot; absent where nothing was to do")
        .needs_privilege("VM.Audit on /vms")
        .needs_privilege("none of Proxmox: the role os:admin of a talosconfig")
        .needs_privilege(gate::PRIVILEGE);
        Self { spec, timing }
    }

    async fn settled(&self, call: &Call, before: &Before, mutate: &Mutate) -> Result<Value, Failure> {
        let source = mutate.client::<TalosSource>()?;
        let (talos, _) = way(call, &source, attempted(call))?;
        let wanted = Wanted {
            cluster: &before.cluster,
            name: &before.name,
            address: &before.address,
            control_plane: before.control_plane,
            was: (&before.version, &before.boot_id),
            version: version(call, "version")?,
            schematic: schematic(call),
        };
        let wait = Wait::of(call, self.timing)?;
        let boot_id = wanted.settled(talos, &wait, mutate, attempted(call)).await?;
        Ok(json!({"node": before.name, "version": wanted.version, "boot_id": boot_id}))
    }
}

#[async_trait]
impl Action for TalosRollbackNode {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let (back, from) = (version(call, "version")?, version(call, "from")?);
        let name = text(call, "node");
        let refused = |cause: String| Failure::new(Class::Precondition, attempted(call), cause);
        let survey = Survey::of(world, text(call, "cluster")).await?;
        let (machine, node) = match survey.nodes.iter().find(|(machine, _)| machine.name == name) {
            Some((machine, Answer::Said(node))) => (machine, node),
            Some((_, Answer::Not(why))) => {
                let failure = Failure::new(Class::Unreachable, attempted(call), why.clone());
                return Err(failure.remedy("look at its console: nothing was sent to it").into());
            }
            None => return Err(refused(format!("the profile has no machine {name:?}")).into()),
        };
        let before = Before {
            cluster: text(call, "cluster").to_owned(),
            name: name.to_owned(),
            address: machine.address.clone().unwrap_or_default(),
            control_plane: machine.control_plane,
            version: node.version.clone(),
            boot_id: node.boot_id.clone(),
        };
        let mut probe = Probe::new(format!("{name}: Talos {} -> {back}, with a reboot", node.version), json!(before));
        let same = node.version == back && schematic(call).is_none_or(|id| node.schematic.as_deref() == Some(id));
        if same {
            if node.stage.stage != "running" || !node.stage.ready {
                let waits = node.stage.unmet.join(", ");
                return Err(
                    refused(format!("{name} runs {back} and is {}, waits for {waits}", node.stage.stage)).into()
                );
            }
            probe.satisfied = true;
            probe.summary = format!("{name}: runs Talos {back}");
            return Ok(probe);
        }
        if node.version != from {
            let cause = format!("it runs {}, and not {from}: nobody can say what its other slot holds", node.version);
            return Err(refused(cause).remedy("look at its console, and upgrade it with `talosctl upgrade`").into());
        }
        if machine.control_plane && from.minor() >= NEWER_ETCD && back.minor() < NEWER_ETCD {
            let cause = format!("Talos {from} has an etcd whose data that of {back} may not read");
            let remedy = "mend it as it is, or replace it: `runbook run talos-node-replace`";
            return Err(refused(cause).remedy(remedy).into());
        }
        let kubernetes = Left::of(world, &before.cluster).await?;
        if kubernetes.takes_pods(node.kubernetes_name.as_deref().unwrap_or(name)) {
            let cause = format!("{name} takes pods: they would be lost with it");
            return Err(refused(cause).remedy("drain it first: kubernetes.drain").into());
        }
        probe.identities.extend(guest::identity(machine, world).await?);
        Ok(probe)
    }

    fn predict(&self, call: &Call, probe: &Probe) -> Prediction {
        let Ok(before) = Before::deserialize(&probe.before) else { return Prediction::default() };
        let outputs = [("node", json!(before.name)), ("version", json!(text(call, "version")))];
        let outputs = outputs.map(|(name, value)| (name.to_owned(), value)).into();
        if probe.satisfied {
            return Prediction { outputs, ..Prediction::default() };
        }
        let resource = ResourceKey::new(format!("talos/{}/node/{}", before.cluster, before.name));
        let mut patch = json!({"version": text(call, "version")});
        if let Some(id) = schematic(call) {
            patch["schematic"] = json!(id);
        }
        Prediction { deltas: vec![Delta { resource, patch }], outputs, ..Prediction::default() }
    }

    async fn apply(&self, call: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let before = meant(intent)?;
        let source = mutate.client::<TalosSource>()?;
        let (talos, address) = way(call, &source, attempted(call))?;
        mutate.checkpoint(json!("asked")).await?;
        gate::may_go_down(mutate, &before.cluster, &before.name, &attempted(call), Done::None).await?;
        talos.rollback(before.version.minor(), address).await.map_err(|e| {
            let done = if e.is_unreachable() { Done::Unknown } else { Done::None };
            broken(attempted(call), &e, done)
        })?;
        self.settled(call, &before, mutate).await
    }

    async fn attach(&self, call: &Call, intent: &Intent, _: &Value, mutate: &Mutate) -> Result<Value, Failure> {
        self.settled(call, &meant(intent)?, mutate).await
    }

    async fn verify(&self, call: &Call, _: &Value, outputs: &Value, world: &dyn World) -> Result<(), Failure> {
        let survey = Survey::of(world, text(call, "cluster")).await.map_err(settled)?;
        let name = text(call, "node");
        let remedy = || format!("see `runbook run talos-status --cluster {}`", text(call, "cluster"));
        let verify = |cause: String| Err(Failure::new(Class::Verify, attempted(call), cause).remedy(remedy()));
        match survey.nodes.iter().find(|(machine, _)| machine.name == name) {
            Some((_, Answer::Said(node))) if node.version != version(call, "version")? => {
                verify(format!("{name} runs {}", node.version))
            }
            Some((_, Answer::Said(node)))
                if outputs["boot_id"].as_str().is_some_and(|boot_id| boot_id != node.boot_id) =>
            {
                verify(format!("{name} has been booted again since it was whole"))
            }
            Some((_, Answer::Said(_))) => Ok(()),
            Some((_, Answer::Not(why))) => verify(why.clone()),
            None => verify(format!("the profile has no machine {name:?}")),
        }
    }

    async fn recover(&self, _: &Call, _: &Intent, handle: Option<&Value>, _: &dyn World) -> Result<Recovery, Failure> {
        Ok(match handle {
            // The handle is written before the request.
            None => Recovery::NotApplied,
            // A second one would take it to the slot that it came from: what was asked is waited for, and no more.
            Some(handle) => Recovery::Running(handle.clone()),
        })
    }

    fn commands(&self, _: &Call, before: &Probe) -> Vec<String> {
        let address = before.before["address"].as_str().unwrap_or_default();
        vec![crate::model::shell::line(["talosctl", "--endpoints", address, "--nodes", address, "rollback"])]
    }
}
