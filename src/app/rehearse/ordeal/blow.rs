//! What can go wrong in an ordeal: each fault of the lab that a cluster can meet, on each object that it can hit, with the
//! words of which a run that stops by it must say some.

use super::super::stage::Stage;
use crate::lab::world::{Truth, World};

/// One fault on one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blow {
    /// Its kind, as the lab has it.
    pub kind: &'static str,
    /// As `runbook lab fault` takes it.
    pub fault: String,
    /// The machines that it hits, and their Proxmox node, of which one must be named.
    pub hits: Vec<String>,
    /// What is its cause in words: one of them must be there.
    pub words: &'static [&'static str],
}

/// Of a machine.
const MACHINE: [(&str, &[&str]); 5] = [
    ("talos-rolls-back", &["went back"]),
    ("talos-never-returns", &["does not answer", "nothing is known"]),
    ("talos-loses-extensions", &["extensions"]),
    // Nothing is wrong with the machine; but where the client takes the steps, none is taken any more.
    ("upgrade-hangs", &["has not rebooted", "has not ended", "had not ended"]),
    ("node-not-ready", &["ready"]),
];

/// Of a control plane.
const MEMBER: [(&str, &[&str]); 3] =
    [("etcd-unhealthy", &["etcd"]), ("etcd-learner", &["learner", "does not vote"]), ("etcd-alarm", &["NOSPACE"])];

const GONE: &[&str] = &[
    "does not answer",
    "nothing is known",
    "ready",
    "no route to host",
    "i/o timeout",
    "closed the connection",
    // Switched off in the middle of its first boot of the new version.
    "went back",
    "no leader",
];

/// Of requests to the Kubernetes API, as a proxy or an API server that is overloaded has them.
const REQUESTS: [(&str, &str, &[&str]); 4] = [
    ("STATUS", "503:PUT /api/v1/nodes/*", &["ServiceUnavailable"]),
    ("STATUS", "409:PUT /api/v1/nodes/*", &["Conflict"]),
    ("reset-after", "reset-after:PUT /api/v1/nodes/**1", &[]),
    ("hang", "hang:POST /api/v1/namespaces/*/pods/*/eviction*1", &[]),
];

/// All of them.
pub(super) fn all(stage: &Stage, machines: &[Truth]) -> Vec<Blow> {
    let mut all = Vec::new();
    for machine in machines {
        let member = MEMBER.iter().filter(|_| machine.control_plane);
        for (kind, words) in MACHINE.iter().chain(member) {
            let (fault, hits) = (format!("{kind}:{}", machine.name), vec![machine.name.clone()]);
            all.push(Blow { kind, fault, hits, words });
        }
    }
    let mut hosts: Vec<&str> = machines.iter().map(|machine| machine.host.as_str()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    for host in hosts {
        let there = machines.iter().filter(|one| one.host == host).map(|one| one.name.clone());
        let hits = there.chain([host.to_owned()]).collect();
        all.push(Blow { kind: "node-down", fault: format!("node-down:{host}"), hits, words: GONE });
    }
    for budget in stage.lab().with_world_as::<World, _>(|world| world.budgets()).unwrap_or_default() {
        let words = &["budget", "would stop a drain"];
        all.push(Blow { kind: "drain-blocked", fault: format!("drain-blocked:{budget}"), hits: Vec::new(), words });
    }
    for (kind, fault, words) in REQUESTS {
        all.push(Blow { kind, fault: fault.to_owned(), hits: Vec::new(), words });
    }
    all
}
