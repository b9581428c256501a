//! The world of the lab: one Proxmox VE site as a state machine. Calls and commands go in, answers come out, time is
//! told to it. It does no I/O, has no clock and no thread; two worlds made alike and told alike are alike.

mod acme;
mod backup;
mod broadcast;
mod build;
mod clock;
mod cluster;
mod cluster_rows;
mod commands;
mod config;
mod config_api;
mod diff;
mod fault;
mod guest;
mod guest_api;
mod ha;
mod inside;
mod jobs;
pub(in crate::lab) mod kubernetes;
mod life;
mod lifecycle;
mod mapping;
mod migrate;
mod node;
mod node_api;
mod node_config;
mod pending;
pub(in crate::lab) mod pools;
mod resize;
mod rng;
mod route;
mod site;
mod storage;
mod storage_api;
mod surgery;
mod suspend;
pub(in crate::lab) mod talos;
mod task;
mod task_api;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use self::diff::diff;
pub use self::fault::{FaultKind, TaskFault};
pub use self::talos::{Truth, Violation};
pub use self::task::Most;
use crate::lab::call::{Call, PveError, Reply, Verb};
use crate::model::ids::{NodeName, StorageId, Vmid};

/// A site at one instant of its own time.
#[derive(Debug, Clone)]
pub struct World {
    site: String,
    /// Wall-clock seconds since 1970 at world time 0.
    epoch: i64,
    now: u64,
    agenda: clock::Agenda,
    rng: rng::Rng,
    datacenter: BTreeMap<String, String>,
    mappings: BTreeMap<String, BTreeMap<String, BTreeMap<NodeName, String>>>,
    pools: BTreeMap<String, pools::Pool>,
    nodes: BTreeMap<NodeName, node::Node>,
    storages: BTreeMap<StorageId, storage::Storage>,
    guests: BTreeMap<Vmid, guest::Guest>,
    /// Oldest first.
    backups: Vec<backup::Backup>,
    ha: ha::Ha,
    acme: acme::Acme,
    tasks: task::Tasks,
    published: broadcast::Published,
    /// Migrations under way.
    transfers: BTreeMap<task::TaskKey, migrate::Transfer>,
    faults: Vec<TaskFault>,
    /// How long a task takes to show in task lists, milliseconds.
    task_delay: u64,
    /// Nodes are up and do not see each other.
    quorum_lost: bool,
    /// Talos on guests.
    machines: talos::Machines,
    /// What runs on those.
    kubernetes: kubernetes::Kubernetes,
}

impl World {
    pub(in crate::lab) fn kubernetes(&self) -> &kubernetes::Kubernetes {
        &self.kubernetes
    }

    pub(in crate::lab) fn kubernetes_mut(&mut self) -> &mut kubernetes::Kubernetes {
        &mut self.kubernetes
    }

    /// Answers one API call that the front has checked against schema and privileges.
    ///
    /// # Errors
    /// What the server would say: 501 for a path that this world has not, 500 for what a handler dies of.
    pub fn handle(&mut self, call: &Call) -> Result<Reply, PveError> {
        let handler = route::find(call).ok_or_else(|| not_implemented(call))?;
        let answers =
            if call.template.starts_with("/nodes/{node}/") { self.node_of(call)?.0 } else { call.via.clone() };
        if route::nine_only(call) && !self.nodes.get(&answers).is_some_and(node::Node::is_nine) {
            return Err(not_implemented(call));
        }
        if call.verb != Verb::Get && !route::works_without_quorum(call) {
            self.check_quorum()?;
        }
        let down = self.taken_down_by(call);
        let answer = handler(self, call);
        // What was taken happens in a task that has not begun.
        if answer.as_ref().is_ok_and(|reply| reply.mutating) {
            self.about_to_take_down(&down, &spelled(call));
        }
        self.watch_talos();
        answer
    }
}

/// What pveproxy says of a path that it has not.
fn not_implemented(call: &Call) -> PveError {
    PveError::status(501, format!("Method '{}' not implemented", spelled(call)))
}

/// `GET /nodes/pve1/status`
fn spelled(call: &Call) -> String {
    let verb = match call.verb {
        Verb::Get => "GET",
        Verb::Post => "POST",
        Verb::Put => "PUT",
        Verb::Delete => "DELETE",
    };
    let mut path = call.template.clone();
    for (name, value) in &call.path {
        path = path.replace(&format!("{{{name}}}"), value);
    }
    format!("{verb} {path}")
}
