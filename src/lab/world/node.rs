//! A node: its hardware, whether it is up, what its guests leave of it.

use super::clock::Event;
use super::jobs::Job;
use super::task::{Start, TaskKey};
use super::{World, lifecycle};
use crate::lab::call::{Call, PveError};
use crate::lab::scenario::NodeSpec;
use crate::model::ids::{GuestKind, NodeName, Vmid};

/// What the host itself uses of its memory, bytes.
pub(super) const HOST_MEMORY: u64 = 2 << 30;
/// From the command to the end of the node's services, and from there to its coming up again.
pub(super) const REBOOT_MS: [u64; 2] = [2000, 60_000];
/// From power-on to the start of the guests.
const BOOT_MS: u64 = 15_000;

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub version: String,
    /// Bytes.
    pub memory: u64,
    pub threads: u32,
    pub cpu_model: String,
    pub cpu_flags: String,
    pub ip: String,
    pub id: u32,
    pub bridges: Vec<String>,
    /// Bytes of the root file system.
    pub root: u64,
    pub up: bool,
    /// How often it has come up since the world began.
    pub boots: u32,
    /// When it last came up, world milliseconds (before the world began if negative).
    pub since: i64,
    /// When it last went down.
    pub down_since: u64,
    /// Of the certificate that it was installed with, where the front has said so.
    pub own_fingerprint: Option<String>,
    /// The custom one, which pveproxy shows instead.
    pub certificate: Option<super::acme::Certificate>,
    /// Lines of its own configuration.
    pub config: super::node_config::Lines,
    /// Load of the host itself, a share of all threads.
    pub cpu: f64,
}

impl Node {
    pub fn from_spec(spec: &NodeSpec, id: u32, epoch_secs: i64) -> Self {
        let host = if id < 200 { format!("10.0.0.{}", 10 + id) } else { format!("10.0.{}.{}", id / 200, id % 200) };
        Self {
            version: spec.version.clone(),
            memory: (spec.memory_gib * 1_073_741_824.0) as u64,
            threads: spec.threads,
            cpu_model: spec.cpu_model.clone(),
            cpu_flags: spec.cpu_flags.clone(),
            ip: spec.ip.clone().unwrap_or(host),
            id,
            bridges: spec.bridges.clone(),
            root: (spec.root_gib * 1_073_741_824.0) as u64,
            up: true,
            boots: 0,
            since: -864_000_000 - i64::from(id) * 61_000,
            down_since: 0,
            own_fingerprint: None,
            certificate: spec.certificate.as_ref().map(|of| super::acme::Certificate::from_spec(of, epoch_secs)),
            config: spec.config.clone(),
            cpu: 0.01,
        }
    }

    /// Of the certificate that it shows.
    pub fn fingerprint(&self) -> Option<&String> {
        self.certificate.as_ref().map(|of| &of.fingerprint).or(self.own_fingerprint.as_ref())
    }

    /// Whether it runs the 9 series.
    pub fn is_nine(&self) -> bool {
        !self.version.starts_with('8')
    }
}

impl World {
    pub fn node_up(&self, name: &NodeName) -> bool {
        self.nodes.get(name).is_some_and(|node| node.up)
    }

    /// All nodes, up or down, in order of name.
    pub fn nodes(&self) -> Vec<NodeName> {
        self.nodes.keys().cloned().collect()
    }

    /// The manager's version, which says which schema the node has; empty for an unknown node.
    pub fn version(&self, name: &NodeName) -> &str {
        self.nodes.get(name).map_or("", |node| &node.version)
    }

    /// The fingerprint of the certificate that this node shows.
    pub fn set_fingerprint(&mut self, name: &NodeName, fingerprint: &str) {
        if let Some(node) = self.nodes.get_mut(name) {
            match &mut node.certificate {
                Some(certificate) => fingerprint.clone_into(&mut certificate.fingerprint),
                None => node.own_fingerprint = Some(fingerprint.to_owned()),
            }
        }
    }

    /// Cuts a node's power, or gives it back: its tasks are lost and its guests off; those with `onboot` start later.
    pub fn set_node_up(&mut self, name: &NodeName, up: bool) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(name).filter(|node| node.up != up) else { return };
        node.up = up;
        if up {
            node.since = now as i64;
            node.boots += 1;
            self.after(BOOT_MS, Event::Booted(name.clone()));
            return;
        }
        node.down_since = now;
        let lost: Vec<TaskKey> =
            self.running_tasks().filter(|(_, task)| task.node == *name).map(|(key, _)| key).collect();
        for key in lost {
            self.lose(key);
        }
        let here: Vec<Vmid> = self.guests_on(name).map(|guest| guest.vmid).collect();
        for vmid in here {
            self.power_off(vmid);
        }
    }

    /// Whether more than half of the nodes are up, and see each other.
    pub(super) fn quorate(&self) -> bool {
        !self.quorum_lost && self.nodes.values().filter(|node| node.up).count() * 2 > self.nodes.len()
    }

    pub(super) fn check_quorum(&self) -> Result<(), PveError> {
        if self.quorate() { Ok(()) } else { Err(PveError::die("cluster not ready - no quorum?")) }
    }

    pub(super) fn guests_on<'a>(&'a self, name: &'a NodeName) -> impl Iterator<Item = &'a super::guest::Guest> {
        self.guests.values().filter(move |guest| guest.node == *name)
    }

    /// Memory that no running guest here has been promised, bytes; below zero when overcommitted.
    pub(super) fn unpromised_memory(&self, name: &NodeName) -> i64 {
        let promised: u64 = self.guests_on(name).filter(|guest| guest.running()).map(|guest| guest.memory()).sum();
        let total = self.nodes.get(name).map_or(0, |node| node.memory);
        total as i64 - HOST_MEMORY as i64 - promised as i64 - self.incoming_memory(name) as i64
    }

    /// The node that a call's path names.
    pub(super) fn node_of(&self, call: &Call) -> Result<(NodeName, &Node), PveError> {
        let name = call.path.get("node").map(String::as_str).unwrap_or_default();
        let name = if name == "localhost" { call.via.as_str() } else { name };
        match self.nodes.get_key_value(name) {
            Some((name, node)) if node.up => Ok((name.clone(), node)),
            Some(_) => Err(PveError::status(595, "No route to host")),
            None => Err(PveError::die(format!(
                "hostname lookup '{name}' failed - failed to get address info for: {name}: Name or service not known"
            ))),
        }
    }

    pub(super) fn check_node_exists(&self, name: &str) -> Result<NodeName, PveError> {
        let found = self.nodes.get_key_value(name).map(|(name, _)| name.clone());
        found.ok_or_else(|| PveError::die(format!("no such cluster node '{name}'")))
    }

    pub(super) fn ip_of(&self, name: &NodeName) -> &str {
        self.nodes.get(name).map_or("", |node| &node.ip)
    }
}

/// Starts what has `onboot` on a node that has come back; the HA manager starts its own.
pub(super) fn booted(world: &mut World, name: &NodeName) {
    if !world.node_up(name) || !world.quorate() {
        return;
    }
    let wanted: Vec<(Vmid, GuestKind)> = world
        .guests_on(name)
        .filter(|guest| guest.config.flag("onboot") && !guest.running() && !world.ha.manages(&guest.sid()))
        .map(|guest| (guest.vmid, guest.kind))
        .collect();
    for (vmid, kind) in wanted {
        let start =
            Start { node: name, kind: lifecycle::task_type(kind, "start"), id: vmid.to_string(), user: "root@pam" };
        world.fork(start, Job::Start { vmid });
    }
}
