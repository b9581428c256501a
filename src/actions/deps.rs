//! What the catalogue is made from: the site's placement rules, and how long things are waited for.

use std::path::PathBuf;
use std::time::Duration;

use super::netbox::NetboxDeps;
use super::tools::AnsibleSetup;
use crate::model::site::VmidRanges;
use crate::placement::evacuation::{HaRoom, QuorumGroup, Settings, Speed};

/// Everything that actions need beside parameters and clients.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Deps {
    pub placement: PlacementDefaults,
    pub timing: Timing,
    /// Where relative paths of local commands begin.
    pub folder: PathBuf,
    /// Where relative paths of files that are copied begin: the folder of the configuration.
    pub files: PathBuf,
    /// `ansible` of the configuration.
    pub ansible: Option<AnsibleSetup>,
    /// `taskfile.path` of the configuration, absolute.
    pub taskfile: Option<PathBuf>,
    /// `netbox` of the configuration.
    pub netbox: Option<NetboxDeps>,
    /// Where new guests and templates take their numbers from.
    pub vmid_ranges: VmidRanges,
}

/// `placement` and `policy.quorum_groups` of the site's configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacementDefaults {
    /// Bytes of each node's memory that belong to the host.
    pub host_reserve: u64,
    /// Percent of the rest that stays free, where the step does not say.
    pub keep_free: f64,
    /// vCPUs of running guests per host thread.
    pub cpu_overcommit: f64,
    pub quorum_groups: Vec<QuorumGroup>,
    pub ha_room: HaRoom,
    pub speed: Speed,
}

impl Default for PlacementDefaults {
    fn default() -> Self {
        let Settings { host_reserve, keep_free, cpu_overcommit, quorum_groups, ha_room, speed, .. } =
            Settings::default();
        Self { host_reserve, keep_free, cpu_overcommit, quorum_groups, ha_room, speed }
    }
}

/// How long is waited, and how often is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Between two looks at an object.
    pub poll: Duration,
    /// How long an object may take to be as it should after its task has ended.
    pub settle: Duration,
    /// How late a task may show in its node's list after it was asked for.
    pub late_task: Duration,
    /// How late the HA manager may show a command that it has taken: its rounds are 10 s apart.
    pub late_command: Duration,
    /// For one command over SSH.
    pub command: Duration,
    /// How long reads may fail while something is waited for.
    pub patience: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(2),
            settle: Duration::from_secs(60),
            late_task: Duration::from_secs(45),
            late_command: Duration::from_secs(45),
            command: Duration::from_secs(60),
            patience: Duration::from_secs(120),
        }
    }
}
