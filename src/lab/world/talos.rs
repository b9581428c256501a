//! Talos on guests of the lab: which version runs, and the members of etcd. A node is there as long as its guest runs.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::World;
use crate::lab::scenario::Scenario;
use crate::model::ids::Vmid;

/// Schematic with only the guest agent: what factory.talos.dev gives for it.
const SCHEMATIC: &str = "ce4c980550dd2ab1b17bbf2b08801c7eb59418eafe8f279833297925d67c7515";

/// One machine.
#[derive(Debug, Clone)]
pub(in crate::lab) struct Machine {
    pub hostname: String,
    pub address: String,
    pub control_plane: bool,
    /// Without a `v`.
    pub version: String,
    pub schematic: String,
    /// Beside the schematic: name and version.
    pub extensions: Vec<(String, String)>,
    /// Of a control plane.
    pub etcd: Option<Etcd>,
}

/// A member of etcd.
#[derive(Debug, Clone)]
pub(in crate::lab) struct Etcd {
    pub id: u64,
    pub learner: bool,
    /// `NOSPACE`, `CORRUPT`
    pub alarm: Option<String>,
    /// Bytes of its database, and of them in use.
    pub size: u64,
    pub used: u64,
}

/// The machines of all clusters.
#[derive(Debug, Clone, Default)]
pub(in crate::lab) struct Machines(BTreeMap<Vmid, Machine>);

impl Machines {
    /// The guests that are tagged as nodes of a cluster and have an address.
    pub fn of(scenario: &Scenario) -> Self {
        let machine = |spec: &crate::lab::scenario::GuestSpec| {
            let has = |tag: &str| spec.tags.split(';').any(|own| own == tag);
            let control_plane = has("controlplane");
            if !has("talos") || has("template") || !(control_plane || has("worker")) {
                return None;
            }
            let id = u64::from_be_bytes(Sha256::digest(&spec.name)[..8].try_into().ok()?);
            let etcd = Etcd { id, learner: false, alarm: None, size: 20_971_520, used: 9_543_680 };
            let machine = Machine {
                hostname: spec.name.clone(),
                address: spec.ip.clone()?,
                control_plane,
                version: "1.11.2".into(),
                schematic: SCHEMATIC.into(),
                extensions: vec![("qemu-guest-agent".into(), "10.0.2".into())],
                etcd: control_plane.then_some(etcd),
            };
            Some((spec.id, machine))
        };
        Self(scenario.guests.iter().filter_map(machine).collect())
    }
}

impl World {
    /// The machine at an address, if anything answers there.
    pub(in crate::lab) fn machine_at(&self, address: &str) -> Option<(Vmid, &Machine)> {
        let (vmid, machine) = self.machines.0.iter().find(|(_, machine)| machine.address == address)?;
        self.is_answering(*vmid).then_some((*vmid, machine))
    }

    fn is_answering(&self, vmid: Vmid) -> bool {
        self.guests
            .get(&vmid)
            .is_some_and(|guest| self.node_up(&guest.node) && guest.run.as_ref().is_some_and(|run| !run.paused))
    }

    /// All machines of the cluster, in order: the lab has one.
    pub(in crate::lab) fn machines(&self) -> impl Iterator<Item = (Vmid, &Machine)> {
        self.machines.0.iter().map(|(vmid, machine)| (*vmid, machine))
    }

    /// The members of etcd with their machines, whether they answer or not.
    pub(in crate::lab) fn etcd(&self) -> Vec<(&Machine, &Etcd, bool)> {
        let member = |(vmid, machine): (Vmid, &'_ Machine)| machine.etcd.is_some().then_some(vmid);
        let ids: Vec<Vmid> = self.machines().filter_map(member).collect();
        let each = ids.into_iter().filter_map(|vmid| {
            let machine = self.machines.0.get(&vmid)?;
            Some((machine, machine.etcd.as_ref()?, self.is_answering(vmid)))
        });
        each.collect()
    }

    /// Whether more than half of the voting members answer.
    pub(in crate::lab) fn etcd_has_quorum(&self) -> bool {
        let voters: Vec<bool> =
            self.etcd().iter().filter(|(_, etcd, _)| !etcd.learner).map(|(_, _, answers)| *answers).collect();
        voters.iter().filter(|answers| **answers).count() * 2 > voters.len()
    }

    /// Its leader: the first voting member that answers; none without quorum.
    pub(in crate::lab) fn etcd_leader(&self) -> Option<u64> {
        let answering = |(_, etcd, answers): &(&Machine, &Etcd, bool)| *answers && !etcd.learner;
        self.etcd_has_quorum().then(|| self.etcd().into_iter().find(answering).map(|(_, etcd, _)| etcd.id)).flatten()
    }

    /// How far its log is: it grows with time.
    pub(in crate::lab) fn raft_index(&self) -> u64 {
        40_000 + self.now / 100
    }

    /// The kernel's word for the present boot of a machine.
    pub(in crate::lab) fn boot_id(&self, vmid: Vmid) -> String {
        let since = self.guests.get(&vmid).and_then(|guest| guest.run.as_ref()).map_or(0, |run| run.since);
        let digest = Sha256::digest(format!("{vmid}/{since}/{}", self.epoch));
        let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
    }
}
