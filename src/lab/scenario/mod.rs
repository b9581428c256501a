//! What a simulated site consists of when it starts: nodes, storages, guests, HA. Plain data, read from small
//! YAML files that are part of the program. It must not know how the world behaves.

mod acme;
mod check;
mod fleet;
mod read;
mod recorded;

use std::collections::BTreeMap;

pub use acme::{AcmeSpec, CertificateSpec, PluginSpec};
use serde::Deserialize;

use crate::model::ids::{GuestKind, NodeName, StorageId, Upid, Vmid};

/// Why there is no such scenario, or why its file is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    #[error("no scenario is called {name:?}: choose one of {known}")]
    Unknown { name: String, known: String },
    #[error("scenario {name}: {problem}")]
    Malformed { name: String, problem: String },
}

/// A site at world time 0.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The cluster's name (`lab.example`).
    pub site: String,
    /// One sentence for people who choose a scenario.
    pub about: String,
    pub nodes: Vec<NodeSpec>,
    pub storages: Vec<StorageSpec>,
    #[serde(default)]
    pub guests: Vec<GuestSpec>,
    /// Backups of guests that are there at the beginning, oldest first.
    #[serde(default)]
    pub backups: Vec<BackupSpec>,
    #[serde(default)]
    pub ha: HaSpec,
    #[serde(default)]
    pub acme: AcmeSpec,
    /// Tasks that run from the beginning and never end by themselves.
    #[serde(default)]
    pub tasks: Vec<Upid>,
    /// The lines of `datacenter.cfg`, values as the file has them.
    #[serde(default)]
    pub datacenter: BTreeMap<String, String>,
    /// Resource mappings: device class (`pci`, `usb`, `dir`), then id, then node to a path or address.
    #[serde(default)]
    pub mappings: BTreeMap<String, BTreeMap<String, BTreeMap<NodeName, String>>>,
    /// Pools by id; the value is the comment. Guests say which pool they are in.
    #[serde(default)]
    pub pools: BTreeMap<String, String>,
    /// What the Talos machines' cluster has.
    #[serde(default)]
    pub kubernetes: KubernetesSpec,
    /// Nodes and guests made by number and seed instead of one by one.
    #[serde(default)]
    pub fleet: Option<FleetSpec>,
}

/// What is installed in Kubernetes beside the ordinary.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KubernetesSpec {
    /// `longhorn`, `rook`
    #[serde(default)]
    pub storage: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSpec {
    pub name: NodeName,
    /// The manager's version and thus the API schema: `9.2.3` or `8.4.2`.
    #[serde(default = "newest")]
    pub version: String,
    pub memory_gib: f64,
    /// Logical processors.
    pub threads: u32,
    #[serde(default = "ordinary_cpu")]
    pub cpu_model: String,
    /// CPU flags in the kernel's words, parted by spaces.
    #[serde(default = "ordinary_flags")]
    pub cpu_flags: String,
    #[serde(default)]
    pub ip: Option<String>,
    #[serde(default = "ordinary_bridges")]
    pub bridges: Vec<String>,
    /// The root file system, GiB.
    #[serde(default = "ordinary_root")]
    pub root_gib: f64,
    /// Lines of its own configuration.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// The one that it shows in place of its own.
    #[serde(default)]
    pub certificate: Option<CertificateSpec>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageSpec {
    pub id: StorageId,
    /// The storage plugin: `dir`, `lvmthin`, `zfspool`, `nfs`, `rbd`.
    #[serde(rename = "type")]
    pub plugin: String,
    #[serde(default)]
    pub shared: bool,
    /// Content types joined by commas.
    pub content: String,
    /// Nodes that have it; empty means all.
    #[serde(default)]
    pub nodes: Vec<NodeName>,
    pub size_gib: f64,
    /// Nodes where it has another size, GiB.
    #[serde(default)]
    pub node_sizes_gib: BTreeMap<NodeName, f64>,
    /// What is used beside the guests' own disks.
    #[serde(default)]
    pub used_gib: f64,
    /// Further keys of `storage.cfg` (`path`, `server`, `pool`).
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Volumes that belong to no guest: `iso/x.iso` to its size in MiB.
    #[serde(default)]
    pub files: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestSpec {
    pub id: Vmid,
    pub node: NodeName,
    #[serde(default = "qemu")]
    pub kind: GuestKind,
    pub name: String,
    #[serde(default)]
    pub running: bool,
    pub memory_mib: u64,
    #[serde(default = "two")]
    pub cores: u32,
    /// The first disk: `storage:GiB`, or a whole volume text with a comma; empty for none.
    #[serde(default)]
    pub disk: String,
    #[serde(default)]
    pub tags: String,
    #[serde(default)]
    pub mac: Option<String>,
    /// The address that the guest's agent, or the container, reports.
    #[serde(default)]
    pub ip: Option<String>,
    #[serde(default)]
    pub agent: AgentSpec,
    /// The interfaces that it reports, in place of one with `ip` for each of its network cards; the loopback comes first
    /// in any case.
    #[serde(default)]
    pub inside: Vec<InsideSpec>,
    #[serde(default)]
    pub pool: Option<String>,
    /// Names of snapshots, oldest first.
    #[serde(default)]
    pub snapshots: Vec<String>,
    /// Further configuration lines; they win over those made from the rest; an empty value removes a line.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// How long a clean shutdown takes, world seconds.
    #[serde(default)]
    pub shutdown_seconds: Option<u64>,
}

/// What a guest agent does that is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentSpec {
    /// It answers where the guest has an address, and is dead where it has none.
    #[default]
    ByAddress,
    Answers,
    /// Nothing listens: the server's ping waits for 3 s.
    Dead,
    /// It answers the ping and never the command, for which the server waits 5 s.
    Stuck,
    /// Its own configuration forbids the command.
    Blocked,
}

/// An interface as the guest sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InsideSpec {
    pub name: String,
    /// It has the address of this network card (`0` for `net0`).
    #[serde(default)]
    pub net: Option<u32>,
    /// Its own, where it has no card's; without either it has none, as a tunnel.
    #[serde(default)]
    pub mac: Option<String>,
    /// `10.0.0.5/24`, `fe80::1%6/64`.
    #[serde(default)]
    pub addresses: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupSpec {
    pub guest: Vmid,
    pub storage: StorageId,
    /// `2026-11-01T01:00:00Z`; its name says so, too.
    pub made: String,
    pub size_mib: u64,
    #[serde(default)]
    pub protected: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HaSpec {
    #[serde(default)]
    pub resources: Vec<HaResourceSpec>,
    #[serde(default)]
    pub rules: Vec<HaRuleSpec>,
    /// Groups of a site that has not wholly come to 9: name to its node list.
    #[serde(default)]
    pub groups: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HaResourceSpec {
    pub sid: String,
    /// The requested state: `started`, `stopped`, `disabled` or `ignored`.
    #[serde(default = "started")]
    pub state: String,
    #[serde(default)]
    pub group: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HaRuleSpec {
    pub rule: String,
    /// `node-affinity` or `resource-affinity`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Service ids joined by commas.
    pub resources: String,
    /// For node affinity: `pve1:2,pve2`.
    #[serde(default)]
    pub nodes: String,
    #[serde(default)]
    pub strict: bool,
    /// For resource affinity: `positive` or `negative`.
    #[serde(default)]
    pub affinity: String,
    /// It does not hold at present.
    #[serde(default)]
    pub disable: bool,
    #[serde(default)]
    pub comment: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetSpec {
    pub nodes: u32,
    pub guests: u32,
    pub memory_gib: f64,
    pub threads: u32,
    /// The seed that sizes and places come from; the same seed, the same fleet.
    pub seed: u64,
    /// How many guests in a thousand have an agent configured that does not run.
    #[serde(default)]
    pub dead_agents: u32,
    #[serde(default = "newest")]
    pub version: String,
}

const FILES: &[(&str, &str)] = &[
    ("three-node", include_str!("three-node.yaml")),
    ("two-node", include_str!("two-node.yaml")),
    ("one-node", include_str!("one-node.yaml")),
    ("mixed-version", include_str!("mixed-version.yaml")),
    ("mixed-cpu", include_str!("mixed-cpu.yaml")),
    ("no-shared-storage", include_str!("no-shared-storage.yaml")),
    ("full", include_str!("full.yaml")),
    ("tiny", include_str!("tiny.yaml")),
    ("empty-node", include_str!("empty-node.yaml")),
    ("acme", include_str!("acme.yaml")),
    ("leftovers", include_str!("leftovers.yaml")),
    ("fleet", include_str!("fleet.yaml")),
    ("herd", include_str!("herd.yaml")),
];

impl Scenario {
    /// The scenario of that name.
    ///
    /// # Errors
    /// An unknown name, with the known ones; a file that does not read.
    pub fn named(name: &str) -> Result<Self, ScenarioError> {
        if name == "recorded" {
            let scenario = recorded::scenario()?;
            return scenario.checked(name);
        }
        // `fleet:nodes=10,guests=1000`: the fleet in another size.
        let (file, size) = name.split_once(':').unwrap_or((name, ""));
        match FILES.iter().find(|(known, _)| *known == file) {
            Some((_, text)) if size.is_empty() => Self::read(name, text),
            Some((_, text)) => Self::sized(name, text, size),
            None => Err(ScenarioError::Unknown { name: name.into(), known: Self::names().join(", ") }),
        }
    }

    /// A scenario from YAML text; `name` is for error messages.
    ///
    /// # Errors
    /// What is wrong with the text, with its place.
    pub fn read(name: &str, text: &str) -> Result<Self, ScenarioError> {
        let mut scenario: Self =
            read::yaml(text).map_err(|problem| ScenarioError::Malformed { name: name.into(), problem })?;
        if let Some(spec) = scenario.fleet.clone() {
            fleet::fill(&mut scenario, &spec);
        }
        scenario.checked(name)
    }

    /// A scenario made by number, with other numbers.
    fn sized(name: &str, text: &str, size: &str) -> Result<Self, ScenarioError> {
        let malformed = |problem| ScenarioError::Malformed { name: name.into(), problem };
        let mut scenario: Self = read::yaml(text).map_err(malformed)?;
        let Some(spec) = &mut scenario.fleet else {
            return Err(malformed(
                "only a site that is made by number has a size; `fleet:nodes=10,guests=1000` has".into(),
            ));
        };
        fleet::resize(spec, size).map_err(malformed)?;
        let spec = spec.clone();
        scenario.about = format!("{} nodes and {} guests", spec.nodes, spec.guests);
        fleet::fill(&mut scenario, &spec);
        scenario.checked(name)
    }

    fn checked(self, name: &str) -> Result<Self, ScenarioError> {
        match check::check(&self) {
            Ok(()) => Ok(self),
            Err(problem) => Err(ScenarioError::Malformed { name: name.into(), problem }),
        }
    }

    /// Every name that [`Scenario::named`] knows.
    pub fn names() -> Vec<&'static str> {
        FILES.iter().map(|(name, _)| *name).chain(["recorded"]).collect()
    }
}

fn newest() -> String {
    "9.2.3".into()
}

fn ordinary_cpu() -> String {
    "AMD EPYC 7313 16-Core Processor".into()
}

fn ordinary_flags() -> String {
    "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ht syscall nx \
     mmxext fxsr_opt pdpe1gb rdtscp lm pni pclmulqdq ssse3 fma cx16 sse4_1 sse4_2 movbe popcnt aes xsave avx f16c \
     rdrand lahf_lm svm abm sse4a misalignsse 3dnowprefetch bmi1 avx2 smep bmi2 erms invpcid rdseed adx smap sha_ni"
        .into()
}

fn ordinary_bridges() -> Vec<String> {
    vec!["vmbr0".into()]
}

fn ordinary_root() -> f64 {
    94.0
}

fn qemu() -> GuestKind {
    GuestKind::Qemu
}

fn two() -> u32 {
    2
}

fn started() -> String {
    "started".into()
}

#[cfg(test)]
mod tests;
