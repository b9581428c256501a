//! `talos.status`: every node of a cluster and its etcd, and whether all is well. Of what does not answer nothing is
//! assumed.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::diagnose::all;
use super::source::{Machine, Node};
use super::survey::{Answer, Survey};
use crate::actions::proxmox::object::GuestEntry;
use crate::actions::proxmox::resource::Resource;
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::param::{Param, ValueType};
use crate::placement::quorum;

/// The action.
pub struct TalosStatus {
    spec: ActionSpec,
}

impl Default for TalosStatus {
    fn default() -> Self {
        let spec = ActionSpec::new("talos.status", Effect::Read, "Look at every node of a Talos cluster and at its etcd")
            .param(Param::new("cluster", ValueType::String).required().help("Its profile's name"))
            .param(
                Param::new("scope", ValueType::String)
                    .choices(&["all", "etcd"])
                    .default_value("all")
                    .help("What is to be well; etcd: nodes may be of several versions and on their way, as in the middle of an upgrade"),
            )
            .param(
                Param::new("healthy", ValueType::Bool)
                    .default_value(false)
                    .help("Whether to fail where anything is not as it should be"),
            )
            .output(
                "nodes",
                ValueType::List,
                "Maps of name, vmid, address, control_plane, etcd (leader, member, learner or unknown; null where there is none), and either why (it does not answer) or version, stage, ready, schematic, extensions, boot_id, kubernetes_name",
            )
            .output("etcd", ValueType::Map, "members (how many), leader (a name; null where there is none), size (of the leader's database)")
            .output("silent", ValueType::List, "Who does not answer, each with its guest, where that is and its status: `cp3 (guest 1053 on pve3: running)`")
            .output("findings", ValueType::List, "What is not as it should be, in words")
            .output("healthy", ValueType::Bool, "Whether there is nothing of that kind")
            .needs_privilege("none of Proxmox: the role os:reader of a talosconfig")
            .needs_privilege("VM.Audit on the guests, to say where those are that do not answer; their names are said without it, too");
        Self { spec }
    }
}

pub(super) fn row(machine: &Machine, answer: &Answer<Node>, etcd: Option<&str>) -> Value {
    let mut row = json!({"name": machine.name, "vmid": machine.vmid, "address": machine.address,
        "control_plane": machine.control_plane, "etcd": etcd});
    match answer {
        Answer::Not(why) => row["why"] = json!(why),
        Answer::Said(node) => {
            row["version"] = json!(node.version);
            row["stage"] = json!(node.stage.stage);
            row["ready"] = json!(node.stage.ready);
            row["schematic"] = json!(node.schematic);
            row["extensions"] = json!(node.extensions);
            row["boot_id"] = json!(node.boot_id);
            row["kubernetes_name"] = json!(node.kubernetes_name);
        }
    }
    row
}

/// Who does not answer. Where the guest is and how often says why, so that it is said wherever the silence is.
async fn silent(survey: &mut Survey, world: &dyn World) -> Vec<String> {
    let mut silent: Vec<_> = survey.nodes.iter_mut().filter(|(_, answer)| matches!(answer, Answer::Not(_))).collect();
    if silent.is_empty() {
        return Vec::new();
    }
    // Where Proxmox does not answer either there are the names alone.
    let guests: Vec<GuestEntry> = all(world, Resource::Guests.key()).await.unwrap_or_default();
    let said = silent.iter_mut().map(|(machine, answer)| {
        let Some(guest) = guests.iter().find(|guest| Some(guest.vmid) == machine.vmid) else {
            return machine.name.clone();
        };
        let host = guest.node.as_ref().map_or("an unknown node", |node| node.as_str());
        let guest = format!("guest {} on {host}: {}", guest.vmid, guest.status);
        if let Answer::Not(why) = answer {
            *why = format!("{why}; {guest}");
        }
        format!("{} ({guest})", machine.name)
    });
    said.collect()
}

#[async_trait]
impl Action for TalosStatus {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let cluster: String = call.arg("cluster")?;
        let mut survey = Survey::of(world, &cluster).await?;
        let silent = silent(&mut survey, world).await;
        let findings = match super::text(call, "scope") {
            "etcd" => quorum::findings(&survey.told),
            _ => survey.findings(),
        };
        let leader = survey.leader();
        let of_leader = survey.etcd.iter().zip(&survey.told).find(|(_, one)| Some(*one) == leader);
        let size = of_leader.and_then(|(answer, _)| match answer {
            Answer::Said(etcd) => Some(etcd.status.size.clone()),
            Answer::Not(_) => None,
        });
        let members = survey.told.iter().map(|one| one.members.len()).max().unwrap_or(0);
        let nodes = &survey.nodes;
        let answering = nodes.iter().filter(|(_, answer)| matches!(answer, Answer::Said(_))).count();
        let well = if findings.is_empty() {
            "all is well".to_owned()
        } else {
            format!("{} not as it should be", findings.len())
        };
        let summary =
            format!("{cluster}: {answering} of {} nodes answer, etcd has {members} members; {well}", nodes.len());
        if call.get("healthy") == true && !findings.is_empty() {
            let failure = Failure::new(Class::Precondition, format!("see that {cluster} is well"), findings[0].clone());
            return Err(failure.details(findings).remedy("`runbook run talos-status` shows it all").into());
        }
        let outputs = json!({
            "nodes": nodes.iter().map(|(one, answer)| row(one, answer, survey.role(&one.name))).collect::<Vec<_>>(),
            "etcd": {"members": members, "leader": leader.map(|one| &one.name), "size": size},
            "healthy": findings.is_empty(), "findings": findings, "silent": silent,
        });
        Ok(Reading { outputs, summary, guards: Vec::new(), notes: findings })
    }
}
