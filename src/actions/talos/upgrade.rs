//! `talos.upgrade_node`: one node gets another Talos, and is whole again before the step is over. What talosctl says counts for nothing here: the node runs
//! the wanted version, with the wanted schematic, since another boot than before.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::settle::Wanted;
use super::source::{Machine, Node, TalosSource, node as ask_node, way};
use super::survey::{Answer, Survey};
use super::wait::Wait;
use super::{broken, gate, guest, settled, text};
use crate::actions::deps::Timing;
use crate::clients::talos::{Talos, TalosError, Upgraded};
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::Intent;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::param::{Param, ValueType};
use crate::model::talos::Version;
use crate::model::world::Delta;
use crate::placement::quorum;

/// The act.
pub struct TalosUpgradeNode {
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
    schematic: Option<String>,
    boot_id: String,
}

/// How far it is: told to the journal before each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Phase {
    /// The image is written to the other slot; what runs still runs.
    Install,
    /// The other slot holds it, and the node is asked to boot.
    Reboot,
    /// The node boots it by itself.
    Boot,
}

/// So often a node is looked at before it is asked once more.
const LOOKS: u32 = 6;

fn attempted(call: &Call) -> String {
    format!("upgrade {} of {} to Talos {}", text(call, "node"), text(call, "cluster"), text(call, "version"))
}

fn wanted(call: &Call) -> Result<Version, Failure> {
    text(call, "version").parse().map_err(|e: crate::model::talos::BadVersion| {
        Failure::new(Class::Precondition, attempted(call), e.to_string()).remedy("give it as 1.13.9")
    })
}

/// The schematic that an image carries: `factory.talos.dev/nocloud-installer/SCHEMATIC:v1.13.9`.
pub(super) fn schematic_of(image: &str) -> Option<&str> {
    let (path, _) = image.rsplit_once(':')?;
    let last = path.rsplit('/').next()?;
    (last.len() == 64 && last.bytes().all(|b| b.is_ascii_hexdigit())).then_some(last)
}

fn meant(intent: &Intent) -> Result<Before, Failure> {
    let before = Before::deserialize(&intent.before);
    before.map_err(|e| Failure::new(Class::Internal, "read the intent of an upgrade", e.to_string()))
}

impl TalosUpgradeNode {
    pub fn new(timing: Timing) -> Self {
        let spec = ActionSpec::new("talos.upgrade_node", Effect::Disrupt, "Upgrade one node of a Talos cluster")
            .param(Param::new("cluster", ValueType::String).required().help("Its profile's name"))
            .param(Param::new("node", ValueType::String).required().help("The machine's name in the profile"))
            .param(Param::new("version", ValueType::Version).required().help("The Talos that is wanted"))
            .param(
                Param::new("image", ValueType::String).required().help("Its installer, as talos.plan_upgrade names it"),
            )
            .param(
                Param::new("legacy", ValueType::Bool)
                    .default_value(false)
                    .help("By the older call, where the newer one would lose kernel arguments"),
            )
            .param(
                Param::new("within", ValueType::Duration)
                    .default_value(json!(1_200_000))
                    .help("How long it may take from its reboot until it is whole"),
            )
            .output("node", ValueType::String, "Its name")
            .output("version", ValueType::String, "What runs there")
            .output("from", ValueType::String, "What ran there")
            .output("boot_id", ValueType::String, "Of its present boot")
            .needs_privilege("VM.Audit on /vms")
            .needs_privilege("none of Proxmox: the role os:admin of a talosconfig")
            .needs_privilege(gate::PRIVILEGE);
        Self { spec, timing }
    }

    /// Asks for the upgrade, and for the reboot where the node does not do that by itself.
    async fn send(&self, call: &Call, before: &Before, source: &TalosSource, mutate: &Mutate) -> Result<(), Failure> {
        let (talos, address) = way(call, source, attempted(call))?;
        let server = before.version.minor();
        mutate.checkpoint(json!(Phase::Install)).await?;
        gate::may_go_down(mutate, &before.cluster, &before.name, &attempted(call), Done::None).await?;
        let legacy = call.get("legacy") == true;
        let installed = talos.upgrade(server, address, text(call, "image"), legacy).await;
        match installed {
            Ok(Upgraded::Begun) => mutate.checkpoint(json!(Phase::Boot)).await.map_err(|f| f.done(Done::Unknown))?,
            Ok(Upgraded::Installed) => {
                mutate.checkpoint(json!(Phase::Reboot)).await.map_err(|f| f.done(Done::Partial))?;
                self.reboot(call, before, talos, mutate).await?;
            }
            // A call that hangs although the node is back: only the node itself says how it is.
            Err(TalosError::Deadline { .. }) => {
                mutate.log("talosctl did not end; the node itself is asked");
                mutate.checkpoint(json!(Phase::Boot)).await.map_err(|f| f.done(Done::Unknown))?;
            }
            Err(error) => {
                let done = if error.is_unreachable() { Done::Unknown } else { Done::None };
                return Err(broken(attempted(call), &error, done));
            }
        }
        Ok(())
    }

    /// Boots what the other slot holds by now.
    async fn reboot(&self, call: &Call, before: &Before, talos: &Talos, mutate: &Mutate) -> Result<(), Failure> {
        gate::may_go_down(mutate, &before.cluster, &before.name, &attempted(call), Done::Partial).await?;
        let asked = talos.reboot(before.version.minor(), &before.address, false).await;
        asked.map_err(|e| broken(attempted(call), &e, Done::Unknown))
    }

    /// Whether a node of which nobody knows if it was asked goes on as if it had not been.
    async fn stands_still(
        &self,
        call: &Call,
        before: &Before,
        talos: &Talos,
        mutate: &Mutate,
    ) -> Result<bool, Failure> {
        for _ in 0..LOOKS {
            match ask_node(talos, &before.address).await {
                Ok(node) if node.boot_id == before.boot_id && node.stage.stage == "running" => {}
                _ => return Ok(false),
            }
            if mutate.stop.sleep(self.timing.poll).await {
                return Err(Failure::new(Class::Failed, attempted(call), "it was stopped").done(Done::Unknown));
            }
        }
        Ok(true)
    }

    /// Until the node is as wanted.
    async fn settled(&self, call: &Call, before: &Before, talos: &Talos, mutate: &Mutate) -> Result<Value, Failure> {
        let wanted = Wanted {
            cluster: &before.cluster,
            name: &before.name,
            address: &before.address,
            control_plane: before.control_plane,
            was: (&before.version, &before.boot_id),
            version: wanted(call)?,
            schematic: schematic_of(text(call, "image")),
        };
        let wait = Wait::of(call, self.timing)?;
        let boot_id = wanted.settled(talos, &wait, mutate, attempted(call)).await?;
        Ok(json!({"node": before.name, "version": text(call, "version"), "from": before.version, "boot_id": boot_id}))
    }
}

#[async_trait]
impl Action for TalosUpgradeNode {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let version = wanted(call)?;
        let survey = Survey::of(world, text(call, "cluster")).await?;
        let name = text(call, "node");
        let refused = |cause: String| Failure::new(Class::Precondition, attempted(call), cause);
        let found = survey.nodes.iter().find(|(machine, _)| machine.name == name);
        let (machine, node): (&Machine, &Node) = match found {
            Some((machine, Answer::Said(node))) => (machine, node),
            Some((_, Answer::Not(why))) => {
                let failure =
                    Failure::new(Class::Unreachable, attempted(call), format!("{name} does not answer: {why}"));
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
            schematic: node.schematic.clone(),
            boot_id: node.boot_id.clone(),
        };
        let expected = schematic_of(text(call, "image"));
        let same = node.version == version && (expected.is_none() || node.schematic.as_deref() == expected);
        let mut probe =
            Probe::new(format!("{name}: Talos {} -> {version}, with a reboot", node.version), json!(before));
        probe.satisfied = same && node.stage.ready;
        if probe.satisfied {
            probe.summary = format!("{name}: runs Talos {version} already");
            return Ok(probe);
        }
        if node.version > version {
            let failure = refused(format!("{name} runs {}, which is newer", node.version));
            return Err(failure.remedy("going back is no upgrade").into());
        }
        if machine.control_plane && survey.told.len() > 1 {
            quorum::goes_on_without(&survey.told, name)
                .map_err(|cause| refused(cause).remedy("mend etcd first: see `runbook run talos-status`"))?;
        }
        probe.identities.extend(guest::identity(machine, world).await?);
        Ok(probe)
    }

    fn predict(&self, call: &Call, probe: &Probe) -> Prediction {
        let (Ok(before), Ok(version)) = (Before::deserialize(&probe.before), wanted(call)) else {
            return Prediction::default();
        };
        let mut patch = json!({"version": version});
        if let Some(schematic) = schematic_of(text(call, "image")) {
            patch["schematic"] = json!(schematic);
        }
        let outputs = [("node", json!(before.name)), ("version", json!(version)), ("from", json!(before.version))];
        let resource = ResourceKey::new(format!("talos/{}/node/{}", before.cluster, before.name));
        Prediction {
            deltas: vec![Delta { resource, patch }],
            outputs: outputs.map(|(name, value)| (name.to_owned(), value)).into(),
            ..Prediction::default()
        }
    }

    async fn apply(&self, call: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let before = meant(intent)?;
        let source = mutate.client::<TalosSource>()?;
        self.send(call, &before, &source, mutate).await?;
        self.settled(call, &before, way(call, &source, attempted(call))?.0, mutate).await
    }

    async fn attach(&self, call: &Call, intent: &Intent, handle: &Value, mutate: &Mutate) -> Result<Value, Failure> {
        let before = meant(intent)?;
        let source = mutate.client::<TalosSource>()?;
        let (talos, _) = way(call, &source, attempted(call))?;
        let phase = Phase::deserialize(handle).unwrap_or(Phase::Boot);
        if phase != Phase::Boot && self.stands_still(call, &before, talos, mutate).await? {
            if phase == Phase::Reboot {
                mutate.log("nothing came of the reboot: it is asked for again");
                self.reboot(call, &before, talos, mutate).await?;
            } else {
                mutate.log("nothing came of the request: it is sent again, and writes the same slot");
                self.send(call, &before, &source, mutate).await?;
            }
        }
        self.settled(call, &before, talos, mutate).await
    }

    async fn verify(&self, call: &Call, before: &Value, outputs: &Value, world: &dyn World) -> Result<(), Failure> {
        let survey = Survey::of(world, text(call, "cluster")).await.map_err(settled)?;
        let name = text(call, "node");
        let remedy = || format!("see `runbook run talos-status --cluster {}`", text(call, "cluster"));
        let verify = |cause: String| Err(Failure::new(Class::Verify, attempted(call), cause).remedy(remedy()));
        match survey.nodes.iter().find(|(machine, _)| machine.name == name) {
            Some((_, Answer::Said(node))) if node.version != wanted(call)? => {
                verify(format!("{name} runs {}", node.version))
            }
            Some((_, Answer::Said(node))) if before["boot_id"] == node.boot_id.as_str() => {
                verify(format!("{name} has not been booted since"))
            }
            Some((_, Answer::Said(node))) if outputs["boot_id"] != node.boot_id.as_str() => {
                verify(format!("{name} has been booted again since it was whole"))
            }
            // Of its own member alone: that another one has fallen ill is no reason to take this node back.
            Some((machine, Answer::Said(_))) => {
                let found = match machine.control_plane {
                    true => quorum::findings_of(&survey.told, name),
                    false => Vec::new(),
                };
                found.first().map_or(Ok(()), |first| verify(first.clone()))
            }
            Some((_, Answer::Not(why))) => verify(why.clone()),
            None => verify(format!("the profile has no machine {name:?}")),
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
        let phase = handle.and_then(|handle| Phase::deserialize(handle).ok());
        let Some(phase) = phase else {
            return Ok(Recovery::Unseen { done: Done::None, evidence: "nothing had been asked of the node".into() });
        };
        let survey = Survey::of(world, &before.cluster).await;
        let node = match &survey {
            Ok(survey) => {
                survey.nodes.iter().find(|(machine, _)| machine.name == before.name).map(|(_, answer)| answer)
            }
            Err(_) => None,
        };
        Ok(match (phase, node) {
            // It may have been asked and not show it yet.
            (Phase::Install | Phase::Reboot, Some(Answer::Said(node))) if node.boot_id == before.boot_id => {
                Recovery::Running(json!(phase))
            }
            // It is down, or has booted: what it comes back as is waited for.
            _ => Recovery::Running(json!(Phase::Boot)),
        })
    }

    fn commands(&self, call: &Call, before: &Probe) -> Vec<String> {
        let address = before.before["address"].as_str().unwrap_or_default();
        let words = ["talosctl", "--endpoints", address, "--nodes", address, "upgrade", "--image", text(call, "image")];
        vec![crate::model::shell::line(words)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schematic_is_read_from_the_image() {
        let id = "ce4c980550dd2ab1b17bbf2b08801c7eb59418eafe8f279833297925d67c7515";
        assert_eq!(schematic_of(&format!("factory.talos.dev/nocloud-installer/{id}:v1.13.9")), Some(id));
        for image in ["ghcr.io/siderolabs/installer:v1.12.0", "", "registry:5000/installer"] {
            assert_eq!(schematic_of(image), None, "{image}");
        }
    }
}
