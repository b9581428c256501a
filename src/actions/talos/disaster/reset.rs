//! `talos.reset_node`: a node leaves etcd, is wiped of what makes it this node, and comes up without a configuration, or is
//! off. It is over when the machine shows that, and the other control planes agree that it is no member any more.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{LOOKS, broken, cluster_param, settled, text};
use crate::actions::deps::Timing;
use crate::actions::talos::gate;
use crate::actions::talos::source::{Machine, TalosSource};
use crate::actions::talos::survey::{Answer, Survey};
use crate::actions::talos::wait::Wait;
use crate::clients::proxmox::Site;
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::Intent;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::ids::{GuestKind, NodeName, ResourceKey, Vmid};
use crate::model::param::{Param, ValueType};
use crate::model::plan::Change;
use crate::model::shell;
use crate::model::talos::Version;
use crate::model::world::Delta;
use crate::placement::quorum::{self, Told};

/// What may be wiped.
const LABELS: [&str; 3] = ["STATE", "EPHEMERAL", "META"];

/// The act.
pub struct ResetNode {
    spec: ActionSpec,
    timing: Timing,
}

/// Its guest, where it is to be off in the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Guest {
    vmid: Vmid,
    node: NodeName,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Before {
    cluster: String,
    name: String,
    address: String,
    control_plane: bool,
    version: Option<Version>,
    boot_id: Option<String>,
    kubernetes_name: Option<String>,
    /// Its own in etcd, of a control plane.
    member: Option<String>,
    /// Nothing: it reboots.
    off: Option<Guest>,
}

fn attempted(call: &Call) -> String {
    format!("reset {} of {}", text(call, "node"), text(call, "cluster"))
}

fn meant(before: &Value) -> Result<Before, Failure> {
    Before::deserialize(before).map_err(|e| Failure::new(Class::Internal, "read the intent of a reset", e.to_string()))
}

/// What is not yet as it should be among the control planes that stay.
fn agreed(before: &Before, told: &[Told]) -> Option<String> {
    if !before.control_plane {
        return None;
    }
    let rest: Vec<Told> = told.iter().filter(|one| one.name != before.name).cloned().collect();
    if let Some(member) = &before.member
        && let Some(one) = rest.iter().find(|one| one.members.contains(member))
    {
        return Some(format!("{} still lists it as a member of etcd", one.name));
    }
    // That two are left is what was asked for.
    quorum::findings(&rest).into_iter().find(|finding| !finding.contains("two members"))
}

fn labels(call: &Call, control_plane: bool) -> Result<Vec<String>, Failure> {
    let labels: Vec<String> = call.arg("labels")?;
    let refused = |cause: String| Err(Failure::new(Class::Precondition, attempted(call), cause));
    let has = |label: &str| labels.iter().any(|own| own == label);
    if let Some(unknown) = labels.iter().find(|label| !LABELS.contains(&label.as_str())) {
        return refused(format!("{unknown:?} is no partition to be wiped: {}", LABELS.join(", ")));
    }
    if !has("STATE") {
        return refused("without STATE it keeps its configuration, and comes back as the same node".into());
    }
    if control_plane && !has("EPHEMERAL") {
        return refused("without EPHEMERAL a control plane keeps the data of an etcd that it has left".into());
    }
    Ok(labels)
}

impl ResetNode {
    pub fn new(timing: Timing) -> Self {
        let title = "Take one node of a Talos cluster out of service and wipe it";
        let spec = ActionSpec::new("talos.reset_node", Effect::Destroy, title)
            .param(cluster_param())
            .param(Param::new("node", ValueType::String).required().help("The machine's name in the profile"))
            .param(
                Param::new("labels", ValueType::List)
                    .items(ValueType::String)
                    .default_value(json!(["STATE", "EPHEMERAL"]))
                    .help(
                        "Partitions to be wiped: STATE (its configuration) at least, EPHEMERAL too of a control plane",
                    ),
            )
            .param(
                Param::new("shutdown", ValueType::Bool)
                    .default_value(false)
                    .help("Whether it is switched off instead of rebooted"),
            )
            .param(
                Param::new("within", ValueType::Duration)
                    .default_value(json!(1_200_000))
                    .help("How long it may take until it shows what was asked for"),
            )
            .output("node", ValueType::String, "Its name")
            .output("stage", ValueType::String, "maintenance, or off")
            .output("member", ValueType::String, "The id that it had in etcd; null of a worker")
            .needs_privilege("none of Proxmox: the role os:admin of a talosconfig")
            .needs_privilege(gate::PRIVILEGE)
            .needs_privilege("VM.Audit on the guest, to see that it is off");
        Self { spec, timing }
    }

    /// Until the machine shows it and the others agree.
    async fn shown(&self, call: &Call, before: &Before, mutate: &Mutate) -> Result<Value, Failure> {
        let source = mutate.client::<TalosSource>()?;
        let wait = Wait::of(call, self.timing)?;
        loop {
            let why = match self.look(call, before, &source, mutate).await? {
                None => break,
                Some(why) => why,
            };
            let passed = wait.pass(mutate, attempted(call), &why).await;
            passed.map_err(|failure| {
                failure.done(Done::Partial).remedy(format!(
                    "it was told to leave etcd and to wipe itself: see its console, and `runbook run talos-status --cluster {}`",
                    before.cluster
                ))
            })?;
        }
        Ok(outputs(before))
    }

    async fn look(
        &self,
        call: &Call,
        before: &Before,
        source: &TalosSource,
        mutate: &Mutate,
    ) -> Result<Option<String>, Failure> {
        let (talos, _) = source.machine(&before.cluster, &before.name)?;
        if let Some(guest) = &before.off {
            let site = mutate.client::<Site>()?;
            match site.guest_status(&guest.node, GuestKind::Qemu, guest.vmid).await {
                Ok(status) if status.status == "stopped" => {}
                Ok(status) => return Ok(Some(format!("guest {} is {}", guest.vmid, status.status))),
                Err(error) => return Ok(Some(format!("guest {}: {error}", guest.vmid))),
            }
        } else {
            match talos.stage_in_maintenance(&before.address).await {
                Ok(stage) if stage.stage == "maintenance" => {}
                Ok(stage) => return Ok(Some(format!("{} is {}", before.name, stage.stage))),
                Err(error @ crate::clients::talos::TalosError::Program(_)) => {
                    return Err(broken(&attempted(call), &error, Done::Unknown));
                }
                Err(error) => return Ok(Some(format!("{} is not in maintenance: {error}", before.name))),
            }
        }
        let mut told = Vec::new();
        for machine in source.machines(&before.cluster)? {
            if before.control_plane && machine.control_plane && machine.name != before.name {
                told.push(source.told(&before.cluster, &machine.name).await?);
            }
        }
        Ok(agreed(before, &told))
    }

    /// What the machine is by now, where it does not answer as a node: as it should be in the end, or why not.
    async fn is_out(&self, before: &Before, world: &dyn World) -> Result<Result<(), String>, Unreadable> {
        if let Some(guest) = &before.off {
            let key = ResourceKey::new(format!("proxmox/guest/{}", guest.vmid));
            let now = world.read(&key).await?.known("its guest")?;
            let status = now["status"].as_str().unwrap_or("unknown");
            return Ok(if status == "stopped" { Ok(()) } else { Err(format!("guest {} is {status}", guest.vmid)) });
        }
        let key = ResourceKey::new(format!("talos/{}/maintenance/{}", before.cluster, before.name));
        let now = world.read(&key).await?.known("what the machine says")?;
        Ok(match now["stage"].as_str() {
            Some("maintenance") => Ok(()),
            Some(stage) => Err(format!("{} is {stage}", before.name)),
            None => Err(format!("{} is not in maintenance: {}", before.name, now["why"].as_str().unwrap_or_default())),
        })
    }
}

fn outputs(before: &Before) -> Value {
    let stage = if before.off.is_some() { "off" } else { "maintenance" };
    json!({"node": before.name, "stage": stage, "member": before.member})
}

/// The guest of a machine that is to be off.
async fn guest(call: &Call, world: &dyn World, machine: &Machine) -> Result<Option<Guest>, Unreadable> {
    if call.get("shutdown") != true {
        return Ok(None);
    }
    let refused = |cause: String| Failure::new(Class::Precondition, attempted(call), cause);
    let Some(vmid) = machine.vmid else {
        let cause =
            format!("the profile does not say which guest {} is: nobody could see that it is off", machine.name);
        return Err(refused(cause).into());
    };
    let key = ResourceKey::new(format!("proxmox/guest/{vmid}"));
    let seen = world.read(&key).await?.known("its guest")?;
    match seen["node"].as_str() {
        Some(node) => Ok(Some(Guest { vmid, node: NodeName::new(node) })),
        None => Err(refused(format!("there is no guest {vmid}")).into()),
    }
}

#[async_trait]
impl Action for ResetNode {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let (cluster, name) = (text(call, "cluster"), text(call, "node"));
        let refused = |cause: String| Failure::new(Class::Precondition, attempted(call), cause);
        let survey = Survey::of(world, cluster).await?;
        let found = survey.nodes.iter().find(|(machine, _)| machine.name == name);
        let (machine, answer) = found.ok_or_else(|| {
            let names: Vec<&str> = survey.nodes.iter().map(|(machine, _)| machine.name.as_str()).collect();
            refused(format!("the profile has no machine {name:?}")).remedy(format!("one of {}", names.join(", ")))
        })?;
        let labels = labels(call, machine.control_plane)?;
        let Some(address) = &machine.address else {
            return Err(refused(format!("the profile of {cluster} has no address of {name}")).into());
        };
        let own = survey.told.iter().find(|one| one.name == name);
        let mut before = Before {
            cluster: cluster.to_owned(),
            name: name.to_owned(),
            address: address.clone(),
            control_plane: machine.control_plane,
            version: None,
            boot_id: None,
            kubernetes_name: None,
            member: own.map(|one| one.id.clone()).filter(|id| !id.is_empty()),
            off: guest(call, world, machine).await?,
        };
        let node = match answer {
            Answer::Said(node) => node,
            Answer::Not(why) => {
                return match self.is_out(&before, world).await? {
                    Ok(()) if agreed(&before, &survey.told).is_none() => {
                        let mut probe = Probe::new(format!("{name} is out of service"), json!(before));
                        probe.satisfied = true;
                        Ok(probe)
                    }
                    _ => {
                        let remedy = "what does not answer cannot leave etcd: see its console; a machine that is gone is removed \
                                      by `talosctl etcd remove-member` of another control plane";
                        Err(Failure::new(Class::Unreachable, attempted(call), why.clone()).remedy(remedy).into())
                    }
                };
            }
        };
        (before.version, before.boot_id) = (Some(node.version.clone()), Some(node.boot_id.clone()));
        before.kubernetes_name.clone_from(&node.kubernetes_name);
        if machine.control_plane {
            if survey.told.len() < 2 {
                return Err(refused(format!("{name} is the last control plane of {cluster}")).into());
            }
            quorum::goes_on_without(&survey.told, name)
                .map_err(|cause| refused(cause).remedy("mend etcd first: see `runbook run talos-status`"))?;
        }
        let then = if before.off.is_some() { "is off" } else { "reboots without a configuration" };
        let leaves = if machine.control_plane { "leaves etcd, " } else { "" };
        let summary =
            format!("{name}: {leaves}{} are wiped, and it {then}; nothing brings them back", labels.join(", "));
        let mut probe = Probe::new(summary, json!(before));
        probe.change = Some(Change::Destroy);
        Ok(probe)
    }

    fn predict(&self, _: &Call, probe: &Probe) -> Prediction {
        let Ok(before) = meant(&probe.before) else { return Prediction::default() };
        let Before { cluster, name, .. } = &before;
        let delta = |key: String, patch: Value| Delta { resource: ResourceKey::new(key), patch };
        let mut deltas = vec![delta(format!("talos/{cluster}/node/{name}"), Value::Null)];
        if before.control_plane {
            deltas.push(delta(format!("talos/{cluster}/etcd/{name}"), Value::Null));
        }
        if let Some(guest) = &before.off {
            deltas.push(delta(format!("proxmox/guest/{}", guest.vmid), json!({"status": "stopped"})));
        }
        let outputs = outputs(&before).as_object().cloned().unwrap_or_default().into_iter().collect();
        let why = format!("{name} is reset by then");
        Prediction { deltas, taints: vec![(ResourceKey::new(format!("talos/{cluster}/node/{name}")), why)], outputs }
    }

    async fn apply(&self, call: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let before = meant(&intent.before)?;
        let source = mutate.client::<TalosSource>()?;
        let (talos, _) = source.machine(&before.cluster, &before.name)?;
        let labels = labels(call, before.control_plane)?;
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let server = before
            .version
            .as_ref()
            .map(Version::minor)
            .ok_or_else(|| Failure::new(Class::Internal, attempted(call), "it is not known what runs there"))?;
        mutate.checkpoint(json!("asked")).await?;
        gate::may_go_down(mutate, &before.cluster, &before.name, &attempted(call), Done::None).await?;
        if let Err(error) = talos.reset(server, &before.address, true, &labels, before.off.is_none()).await {
            let done = if error.is_unreachable() { Done::Unknown } else { Done::None };
            return Err(broken(&attempted(call), &error, done));
        }
        self.shown(call, &before, mutate).await
    }

    async fn attach(&self, call: &Call, intent: &Intent, _: &Value, mutate: &Mutate) -> Result<Value, Failure> {
        self.shown(call, &meant(&intent.before)?, mutate).await
    }

    async fn verify(&self, call: &Call, before: &Value, _: &Value, world: &dyn World) -> Result<(), Failure> {
        let before = meant(before)?;
        let failed = |why| settled(&attempted(call), why);
        let verify = |cause: String| Err(Failure::new(Class::Verify, attempted(call), cause));
        if let Err(why) = self.is_out(&before, world).await.map_err(failed)? {
            return verify(why);
        }
        let survey = Survey::of(world, &before.cluster).await.map_err(failed)?;
        agreed(&before, &survey.told).map_or(Ok(()), verify)
    }

    async fn recover(
        &self,
        call: &Call,
        intent: &Intent,
        handle: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        let before = meant(&intent.before)?;
        if handle.is_none() {
            return Ok(Recovery::Unseen { done: Done::None, evidence: "nothing had been asked of the node".into() });
        }
        for _ in 0..LOOKS {
            let survey = Survey::of(world, &before.cluster).await.map_err(|why| settled(&attempted(call), why))?;
            let found = survey.nodes.iter().find(|(machine, _)| machine.name == before.name);
            match found {
                Some((_, Answer::Said(node)))
                    if Some(&node.boot_id) == before.boot_id.as_ref() && node.stage.stage == "running" => {}
                // It goes down, or is: what it comes to is waited for.
                _ => return Ok(Recovery::Running(json!("asked"))),
            }
            tokio::time::sleep(self.timing.poll).await;
        }
        let evidence = format!("{} runs as before it was asked", before.name);
        Ok(Recovery::Unseen { done: Done::None, evidence })
    }

    fn commands(&self, call: &Call, before: &Probe) -> Vec<String> {
        let (Ok(before), Ok(labels)) = (meant(&before.before), call.arg::<Vec<String>>("labels")) else {
            return Vec::new();
        };
        let (address, labels) = (before.address.as_str(), labels.join(","));
        let mut words = vec!["talosctl", "--endpoints", address, "--nodes", address, "reset", "--graceful=true"];
        words.extend(before.off.is_none().then_some("--reboot"));
        words.extend(["--system-labels-to-wipe", &labels]);
        vec![shell::line(words)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(n: u64, members: &[u64]) -> Told {
        Told {
            name: format!("cp{n}"),
            unknown: None,
            id: format!("{n:016x}"),
            members: members.iter().map(|n| format!("{n:016x}")).collect(),
            learners: Vec::new(),
            leader: format!("{:016x}", 1),
            raft_index: 5,
            raft_applied: 5,
            alarms: Vec::new(),
            errors: String::new(),
        }
    }

    #[test]
    fn it_is_out_when_those_that_stay_say_so() {
        let before = Before {
            cluster: "prod".into(),
            name: "cp3".into(),
            address: "10.0.0.53".into(),
            control_plane: true,
            version: None,
            boot_id: None,
            kubernetes_name: None,
            member: Some(format!("{:016x}", 3)),
            off: None,
        };
        let still = [told(1, &[1, 2, 3]), told(2, &[1, 2]), told(3, &[1, 2, 3])];
        assert_eq!(agreed(&before, &still).unwrap(), "cp1 still lists it as a member of etcd");
        let mut out = [told(1, &[1, 2]), told(2, &[1, 2]), told(3, &[])];
        out[2].unknown = Some("no answer".into());
        assert_eq!(agreed(&before, &out), None, "two are left, as was asked");
        out[1].unknown = Some("no answer".into());
        assert!(agreed(&before, &out).unwrap().contains("cp2: nothing is known"), "what is not known is not agreed");
        let worker = Before { control_plane: false, ..before };
        assert_eq!(agreed(&worker, &out), None);
    }
}
