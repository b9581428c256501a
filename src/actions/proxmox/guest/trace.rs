//! Finding out what became of a task whose end, or whose beginning, was not seen.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::actions::proxmox::look::{self, live};
use crate::actions::proxmox::object::{Task, TaskEntry};
use crate::actions::proxmox::resource::Resource;
use crate::engine::ports::World;
use crate::event::Intent;
use crate::model::failure::Failure;
use crate::model::ids::{NodeName, Upid, Vmid};

/// How a task that we know of stands.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::actions::proxmox) enum Trace {
    Running,
    /// `None`: its node does not remember it.
    Ended(Option<Task>),
    /// Its node cannot be asked: why.
    Unseen(String),
}

pub(in crate::actions::proxmox) async fn trace(world: &dyn World, upid: &Upid) -> Result<Trace, Failure> {
    match live::<Option<Task>>(world, Resource::Task(upid.clone())).await {
        Ok(Some(task)) if task.running => Ok(Trace::Running),
        Ok(task) => Ok(Trace::Ended(task)),
        Err(failure) if look::may_pass(&failure) => Ok(Trace::Unseen(failure.to_string())),
        Err(failure) => Err(failure),
    }
}

/// The task ids that were there before the intent.
pub(in crate::actions::proxmox) fn known_before(intent: &Intent) -> BTreeSet<String> {
    let list = intent.prepared["tasks"].as_array();
    list.map(|tasks| tasks.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect()).unwrap_or_default()
}

/// Tasks about the guest that were not there before. The difference of the lists, since clocks differ between hosts.
///
/// `Err(why)` inside: a node's list cannot be read at the moment.
pub(in crate::actions::proxmox) async fn new_tasks(
    world: &dyn World,
    nodes: &[NodeName],
    vmid: Vmid,
    known: &BTreeSet<String>,
) -> Result<Result<Vec<TaskEntry>, String>, Failure> {
    let mut new = Vec::new();
    for node in nodes {
        match live::<Vec<TaskEntry>>(world, Resource::GuestTasks(node.clone(), vmid)).await {
            Ok(tasks) => new.extend(tasks.into_iter().filter(|task| !known.contains(task.upid.as_str()))),
            Err(failure) if look::may_pass(&failure) => return Ok(Err(failure.to_string())),
            Err(failure) => return Err(failure),
        }
    }
    Ok(Ok(new))
}
