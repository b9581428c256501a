//! What all machines of a cluster say of themselves and of etcd, read side by side.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use serde::Deserialize;

use super::source::{Etcd, Machine, Node};
use crate::engine::ports::{Unreadable, World};
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::placement::quorum::{self, Told};

/// What a machine told, or why it did not.
pub enum Answer<T> {
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

/// What the control planes say of etcd.
pub(super) struct Members {
    pub planes: Vec<Machine>,
    /// In the order of `planes`, as `told`.
    pub etcd: Vec<Answer<Etcd>>,
    pub told: Vec<Told>,
}

impl Members {
    /// Asks the control planes of a cluster at once.
    pub async fn of(world: &dyn World, cluster: &str) -> Result<Self, Unreadable> {
        let planes = machines(world, cluster).await?.into_iter().filter(|machine| machine.control_plane).collect();
        Self::among(world, cluster, planes).await
    }

    async fn among(world: &dyn World, cluster: &str, planes: Vec<Machine>) -> Result<Self, Unreadable> {
        let each = planes.iter().map(|machine| ask::<Etcd>(world, format!("talos/{cluster}/etcd/{}", machine.name)));
        let etcd = try_join_all(each).await?;
        let told = planes.iter().zip(&etcd).map(|(machine, answer)| told(&machine.name, answer)).collect();
        Ok(Self { planes, etcd, told })
    }
}

async fn machines(world: &dyn World, cluster: &str) -> Result<Vec<Machine>, Unreadable> {
    let key = ResourceKey::new(format!("talos/{cluster}/nodes"));
    let machines = world.read(&key).await?.known("the nodes of the cluster")?;
    let read = serde_json::from_value((*machines).clone());
    Ok(read.map_err(|e| Failure::new(Class::Internal, format!("read {key}"), e.to_string()))?)
}

/// A cluster as it is now.
pub struct Survey {
    pub nodes: Vec<(Machine, Answer<Node>)>,
    /// Of the control planes, in the order of `nodes`.
    pub etcd: Vec<Answer<Etcd>>,
    pub told: Vec<Told>,
}

impl Survey {
    /// Asks all machines at once: one that is gone costs its time-out, and not one after another.
    pub async fn of(world: &dyn World, cluster: &str) -> Result<Self, Unreadable> {
        let machines = machines(world, cluster).await?;
        let nodes = machines.iter().map(|machine| ask::<Node>(world, format!("talos/{cluster}/node/{}", machine.name)));
        let planes = machines.iter().filter(|machine| machine.control_plane).cloned().collect();
        let (nodes, members) = tokio::try_join!(try_join_all(nodes), Members::among(world, cluster, planes))?;
        let Members { etcd, told, .. } = members;
        Ok(Self { nodes: machines.into_iter().zip(nodes).collect(), etcd, told })
    }

    /// Whatever is not as it should be.
    pub fn findings(&self) -> Vec<String> {
        let mut found = self.troubles();
        found.extend(self.mixed());
        found
    }

    /// The same but for nodes of several versions, as they are in the middle of an upgrade.
    pub fn troubles(&self) -> Vec<String> {
        let mut found = of_nodes(&self.nodes);
        found.extend(quorum::findings(&self.told));
        found
    }

    fn mixed(&self) -> Option<String> {
        let mut versions = BTreeMap::<String, Vec<&str>>::new();
        for (machine, answer) in &self.nodes {
            if let Answer::Said(node) = answer {
                versions.entry(node.version.to_string()).or_default().push(&machine.name);
            }
        }
        let each = versions.iter().map(|(version, names)| format!("{version} on {}", names.join(", ")));
        let each: Vec<String> = each.collect();
        (versions.len() > 1).then(|| format!("the nodes do not run the same Talos: {}", each.join("; ")))
    }

    /// What a control plane is in etcd; nothing for others.
    pub fn role(&self, name: &str) -> Option<&'static str> {
        let one = self.told.iter().find(|one| one.name == name)?;
        Some(match one {
            one if one.unknown.is_some() => "unknown",
            one if one.learners.contains(&one.id) => "learner",
            one if one.has_leader() && one.leader == one.id => "leader",
            _ => "member",
        })
    }

    /// The control plane that leads etcd, where all that are known agree.
    pub fn leader(&self) -> Option<&Told> {
        self.told.iter().find(|one| !one.id.is_empty() && self.told.iter().all(|other| other.leader == one.id))
    }
}

fn of_nodes(all: &[(Machine, Answer<Node>)]) -> Vec<String> {
    let mut found = Vec::new();
    for (machine, answer) in all {
        match answer {
            Answer::Not(why) => found.push(format!("{}: it does not answer: {why}", machine.name)),
            Answer::Said(node) => {
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
    found
}

pub(super) fn told(name: &str, answer: &Answer<Etcd>) -> Told {
    let mut told = Told {
        name: name.to_owned(),
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
