//! Talos on guests of the lab: what runs on each machine, and the members of etcd. A machine is there as long as its
//! guest runs; what it does of itself in between (it boots, upgrades, shuts down) the guest knows nothing of.

mod client;
mod config;
mod etcd;
mod faults;
mod image;
mod life;
mod made;
mod upgrade_k8s;
mod watch;

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use self::client::Asked;
pub(in crate::lab) use self::client::{Task, Then};
pub(in crate::lab) use self::etcd::Etcd;
pub(in crate::lab) use self::faults::Ill;
pub(in crate::lab) use self::image::{Image, refuses};
pub(in crate::lab) use self::life::Down;
pub(super) use self::life::Turn;
pub(in crate::lab) use self::upgrade_k8s::{STATIC_PODS, image as static_image};
pub use self::watch::{Truth, Violation};
use super::World;
use crate::lab::scenario::{GuestSpec, Scenario};
use crate::model::ids::Vmid;

/// What its kubelets and API servers run in the beginning.
pub(in crate::lab) const KUBERNETES: &str = "1.34.1";

/// What a machine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lab) enum Stage {
    /// Nothing answers there: the firmware, or the kernel before its first service.
    Dark,
    Maintenance,
    Booting,
    Running,
    Upgrading,
    Rebooting,
    ShuttingDown,
    Resetting,
}

impl Stage {
    /// As the machine's own status has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Dark | Self::Booting => "booting",
            Self::Maintenance => "maintenance",
            Self::Running => "running",
            Self::Upgrading => "upgrading",
            Self::Rebooting => "rebooting",
            Self::ShuttingDown => "shutting down",
            Self::Resetting => "resetting",
        }
    }
}

/// One machine.
#[derive(Debug, Clone)]
pub(in crate::lab) struct Machine {
    pub hostname: String,
    pub address: String,
    /// Of which cluster it is: the tag that is its own.
    pub cluster: String,
    pub control_plane: bool,
    /// What runs: without a `v`.
    pub version: String,
    /// Nothing: an image without one.
    pub schematic: String,
    /// Beside the schematic: name and version.
    pub extensions: Vec<(String, String)>,
    /// What the other boot slot holds.
    pub other: Option<Image>,
    /// Whether the next boot is from there, once.
    pub other_next: bool,
    /// Of the kubelet, without a `v`.
    pub kubernetes: String,
    /// Its machine configuration; empty: none.
    pub config: String,
    /// What is applied at the next boot.
    pub staged: Option<String>,
    /// Installer images that it has fetched.
    pub images: BTreeSet<String>,
    pub stage: Stage,
    /// Of a control plane.
    pub etcd: Option<Etcd>,
    /// What is wrong with it, or will be.
    pub ills: BTreeSet<Ill>,
    /// The kernel's and machined's own lines since it was made.
    pub lines: Vec<String>,
    pub boots: u64,
    /// Changes with every change of its power, so that what was due before is known to be over.
    life: u64,
}

/// The machines of all clusters.
#[derive(Debug, Clone, Default)]
pub(in crate::lab) struct Machines {
    all: BTreeMap<Vmid, Machine>,
    /// Clones of a Talos image that have never been on.
    blank: BTreeSet<Vmid>,
    leader: Option<Vmid>,
    term: u64,
    /// Members whose machine has forgotten them.
    ghosts: Vec<etcd::Ghost>,
    /// What clients wait for, by number.
    asked: BTreeMap<u64, Asked>,
    last_asked: u64,
    violations: Vec<Violation>,
    api_was_there: bool,
    /// What is in etcd.
    data: etcd::Data,
    /// How the next snapshot goes wrong.
    snapshot: Option<faults::BadSnapshot>,
}

impl Machines {
    /// The guests that are tagged as nodes of a cluster and have an address.
    pub fn of(scenario: &Scenario) -> Self {
        let all: BTreeMap<Vmid, Machine> =
            scenario.guests.iter().filter_map(|spec| Some((spec.id, machine(spec)?))).collect();
        let leader = all.iter().find(|(_, machine)| machine.control_plane).map(|(vmid, _)| *vmid);
        Self { all, leader, term: 3, api_was_there: true, data: etcd::Data::first(), ..Self::default() }
    }
}

fn machine(spec: &GuestSpec) -> Option<Machine> {
    const OURS: [&str; 5] = ["talos", "kubernetes", "controlplane", "worker", "template"];
    let has = |tag: &str| spec.tags.split(';').any(|own| own == tag);
    let control_plane = has("controlplane");
    if !has("talos") || has("template") || !(control_plane || has("worker")) {
        return None;
    }
    let image = Image::first();
    let cluster = spec.tags.split(';').find(|tag| !OURS.contains(tag)).unwrap_or("talos");
    Some(Machine {
        hostname: spec.name.clone(),
        address: spec.ip.clone()?,
        cluster: cluster.to_owned(),
        control_plane,
        config: config::first(&spec.name, cluster, control_plane, &image, KUBERNETES),
        version: image.version,
        schematic: image.schematic,
        extensions: image.extensions,
        other: None,
        other_next: false,
        kubernetes: KUBERNETES.into(),
        staged: None,
        images: BTreeSet::new(),
        stage: Stage::Running,
        etcd: control_plane.then(|| Etcd::new(etcd::id_of(&spec.name, 0))),
        ills: BTreeSet::new(),
        lines: Vec::new(),
        boots: 0,
        life: 0,
    })
}

impl World {
    /// The machine at an address, if anything answers there.
    pub(in crate::lab) fn machine_at(&self, address: &str) -> Option<(Vmid, &Machine)> {
        // One that has taken another's place has its address.
        let mut there = self.machines.all.iter().filter(|(_, machine)| machine.address == address);
        there.find(|(vmid, _)| self.is_answering(**vmid)).map(|(vmid, machine)| (*vmid, machine))
    }

    /// Whether its API answers.
    pub(in crate::lab) fn is_answering(&self, vmid: Vmid) -> bool {
        let on = self
            .guests
            .get(&vmid)
            .is_some_and(|guest| self.node_up(&guest.node) && guest.run.as_ref().is_some_and(|run| !run.paused));
        on && self.machines.all.get(&vmid).is_some_and(|machine| machine.stage != Stage::Dark)
    }

    /// Whether all of its services run.
    pub(in crate::lab) fn is_serving(&self, vmid: Vmid) -> bool {
        self.is_answering(vmid) && self.machines.all.get(&vmid).is_some_and(|one| one.stage == Stage::Running)
    }

    /// All machines of the cluster, in order: the lab has one.
    pub(in crate::lab) fn machines(&self) -> impl Iterator<Item = (Vmid, &Machine)> {
        self.machines.all.iter().map(|(vmid, machine)| (*vmid, machine))
    }

    /// Now, milliseconds since 1970.
    pub(in crate::lab) fn epoch_ms(&self) -> i64 {
        self.epoch * 1000 + self.now as i64
    }

    /// The machine configurations as they are in force, by the machines' names.
    pub fn machine_configs(&self) -> BTreeMap<String, String> {
        let all = self.machines.all.values().filter(|machine| !machine.config.is_empty());
        all.map(|machine| (machine.hostname.clone(), machine.config.clone())).collect()
    }

    /// The word for the present boot of each machine.
    pub fn machine_boots(&self) -> BTreeMap<String, String> {
        self.machines().map(|(vmid, machine)| (machine.hostname.clone(), self.boot_id(vmid))).collect()
    }

    pub(in crate::lab) fn machine_mut(&mut self, vmid: Vmid) -> Option<&mut Machine> {
        self.machines.all.get_mut(&vmid)
    }

    /// The machine of this name, or at this address.
    pub(in crate::lab) fn machine_called(&self, name: &str) -> Option<Vmid> {
        let called = self.machines().filter(|(_, one)| one.hostname == name || one.address == name);
        let called: Vec<Vmid> = called.map(|(vmid, _)| vmid).collect();
        called.iter().find(|vmid| self.is_answering(**vmid)).or(called.first()).copied()
    }

    /// The kernel's word for the present boot of a machine.
    pub(in crate::lab) fn boot_id(&self, vmid: Vmid) -> String {
        let since = self.guests.get(&vmid).and_then(|guest| guest.run.as_ref()).map_or(0, |run| run.since);
        let boots = self.machines.all.get(&vmid).map_or(0, |machine| machine.boots);
        let digest = Sha256::digest(format!("{vmid}/{since}/{boots}/{}", self.epoch));
        let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
    }

    /// What machines are compared by: not what they do at the moment, which is their guests'.
    pub(super) fn talos_state(&self) -> serde_json::Value {
        let mut state = serde_json::Map::new();
        // Of two of one name the one that is on counts.
        let mut all: Vec<(Vmid, &Machine)> = self.machines().filter(|(_, one)| !one.config.is_empty()).collect();
        all.sort_by_key(|(vmid, _)| self.guests.get(vmid).is_some_and(super::guest::Guest::running));
        for (_, machine) in all {
            let digest: String =
                Sha256::digest(machine.config_but_versions()).iter().take(8).map(|b| format!("{b:02x}")).collect();
            let node = serde_json::json!({"version": machine.version, "schematic": machine.schematic,
                "config": digest, "staged": machine.staged.is_some()});
            state.insert(format!("{}/node/{}", machine.cluster, machine.hostname), node);
            if let Some(etcd) = &machine.etcd {
                let member = serde_json::json!({"member": !etcd.removed && !etcd.wiped, "learner": etcd.learner, "alarm": etcd.alarm,
                    "bytes": etcd.size});
                state.insert(format!("{}/etcd/{}", machine.cluster, machine.hostname), member);
                let data = serde_json::json!({"restored": self.machines.data.restored});
                state.insert(format!("{}/data", machine.cluster), data);
            }
        }
        state.into()
    }
}
