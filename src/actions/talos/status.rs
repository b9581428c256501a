//! `talos.status`: every node of a cluster and its etcd, and whether all is well. Of what does not answer nothing is
//! assumed.

use async_trait::async_trait;
use futures_util::future::try_join_all;
use serde::Deserialize;
use serde_json::{Value, json};

use super::source::{Etcd, Machine, Node};
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::param::{Param, ValueType};
use crate::placement::quorum::{self, Told};

/// The action.
pub struct TalosStatus {
    spec: ActionSpec,
}

impl Default for TalosStatus {
    fn default() -> Self {
        let spec = ActionSpec::new("talos.status", Effect::Read, "Look at every node of a Talos cluster and at its etcd")
            .param(Param::new("cluster", ValueType::String).required().help("Its profile's name"))
            .param(
                Param::new("healthy", ValueType::Bool)
                    .default_value(false)
                    .help("Whether to fail where anything is not as it should be"),
            )
            .output(
                "nodes",
                ValueType::List,
                "Maps of name, vmid, address, control_plane, and either why (it does not answer) or version, stage, ready, schematic, extensions, boot_id, kubernetes_name",
            )
            .output("etcd", ValueType::Map, "members (how many), leader (a name; null where there is none), size (of the leader's database)")
            .output("findings", ValueType::List, "What is not as it should be, in words")
            .output("healthy", ValueType::Bool, "Whether there is nothing of that kind")
            .needs_privilege("none of Proxmox: the role os:reader of a talosconfig");
        Self { spec }
    }
}

/// What a machine told, or why it did not.
pub(super) enum Answer<T> {
    Said(T),
    Not(String),
}

pub(super) async fn ask<T: for<'de> Deserialize<'de>>(world: &dyn World, key: String) -> Result<Answer<T>, Unreadable> {
    let key = ResourceKey::new(key);
    let value = world.read(&key).await?.known("what a node says")?;
    if let Some(why) = value["why"].as_str() {
        return Ok(Answer::Not(why.to_owned()));
    }
    let read = T::deserialize(&*value).map_err(|e| Failure::new(Class::Internal, format!("read {key}"), e.to_string()));
    Ok(Answer::Said(read?))
}

fn row(machine: &Machine, answer: &Answer<Node>) -> Value {
    let mut row = json!({"name": machine.name, "vmid": machine.vmid, "address": machine.address,
        "control_plane": machine.control_plane});
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

fn of_nodes(all: &[(Machine, Answer<Node>)]) -> Vec<String> {
    let mut found = Vec::new();
    let mut versions = std::collections::BTreeMap::<String, Vec<&str>>::new();
    for (machine, answer) in all {
        match answer {
            Answer::Not(why) => found.push(format!("{}: it does not answer: {why}", machine.name)),
            Answer::Said(node) => {
                versions.entry(node.version.to_string()).or_default().push(&machine.name);
                if node.stage.stage != "running" || !node.stage.ready {
                    let waits = if node.stage.unmet.is_empty() {
                        String::new()
                    } else {
                        format!(", waits for {}", node.stage.unmet.join(", "))
                    };
                    let ready = if node.stage.ready { "" } else { " and not ready" };
                    found.push(format!("{}: it is {}{ready}{waits}", machine.name, node.stage.stage));
                }
            }
        }
    }
    if versions.len() > 1 {
        let each = versions.iter().map(|(version, names)| format!("{version} on {}", names.join(", ")));
        found.push(format!("the nodes do not run the same Talos: {}", each.collect::<Vec<_>>().join("; ")));
    }
    found
}

pub(super) fn told(machine: &Machine, answer: &Answer<Etcd>) -> Told {
    let mut told = Told {
        name: machine.name.clone(),
        unknown: None,
        id: String::new(),
        members: Vec::new(),
        learners: Vec::new(),
        leader: String::new(),
        raft_index: 0,
        raft_applied: 0,
        alarms: Vec::new(),
        errors: String::new(),
    };
    match answer {
        Answer::Not(why) => told.unknown = Some(why.clone()),
        Answer::Said(etcd) => {
            let status = &etcd.status;
            told.id.clone_from(&status.id);
            told.members = etcd.members.iter().map(|member| member.id.clone()).collect();
            told.learners =
                etcd.members.iter().filter(|member| member.learner).map(|member| member.id.clone()).collect();
            told.leader.clone_from(&status.leader);
            (told.raft_index, told.raft_applied) = (status.raft_index, status.raft_applied);
            told.alarms = etcd.alarms.iter().map(|alarm| (alarm.member.clone(), alarm.alarm.clone())).collect();
            told.errors.clone_from(&status.errors);
        }
    }
    told
}

#[async_trait]
impl Action for TalosStatus {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let cluster: String = call.arg("cluster")?;
        let key = ResourceKey::new(format!("talos/{cluster}/nodes"));
        let machines = world.read(&key).await?.known("the nodes of the cluster")?;
        let machines: Vec<Machine> = serde_json::from_value((*machines).clone())
            .map_err(|e| Failure::new(Class::Internal, format!("read {key}"), e.to_string()))?;
        // All at once: one that is gone costs its time-out, and not one after another.
        let nodes = machines.iter().map(|machine| ask::<Node>(world, format!("talos/{cluster}/node/{}", machine.name)));
        let planes = machines.iter().filter(|machine| machine.control_plane);
        let etcds = planes.clone().map(|machine| ask::<Etcd>(world, format!("talos/{cluster}/etcd/{}", machine.name)));
        let (nodes, etcds) = tokio::try_join!(try_join_all(nodes), try_join_all(etcds))?;
        let told: Vec<Told> = planes.zip(&etcds).map(|(machine, answer)| told(machine, answer)).collect();
        let nodes: Vec<(Machine, Answer<Node>)> = machines.into_iter().zip(nodes).collect();
        let mut findings = of_nodes(&nodes);
        findings.extend(quorum::findings(&told));
        let leader = told.iter().find(|one| !one.id.is_empty() && told.iter().any(|other| other.leader == one.id));
        let size = etcds.iter().zip(&told).find(|(_, one)| Some(*one) == leader).and_then(|(answer, _)| match answer {
            Answer::Said(etcd) => Some(etcd.status.size.clone()),
            Answer::Not(_) => None,
        });
        let members = told.iter().map(|one| one.members.len()).max().unwrap_or(0);
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
            "nodes": nodes.iter().map(|(machine, answer)| row(machine, answer)).collect::<Vec<_>>(),
            "etcd": {"members": members, "leader": leader.map(|one| &one.name), "size": size},
            "healthy": findings.is_empty(), "findings": findings,
        });
        Ok(Reading { outputs, summary, guards: Vec::new(), notes: Vec::new() })
    }
}
