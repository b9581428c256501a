//! Faults of Talos machines and of their etcd.

/// What goes wrong with a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TalosFault {
    /// Its next new version does not boot, and it comes back with the old one.
    RollsBack,
    /// It does not come back from its next boot until it is switched off and on.
    NeverReturns,
    /// Its next new version comes up without extensions.
    LosesExtensions,
    /// The next talosctl that waits for its upgrade or reboot never ends, though the machine is back.
    UpgradeHangs,
    /// The next kubelet of another version that it is given does not start.
    KubeletStays,
    /// Its member of etcd does not answer any more.
    EtcdUnhealthy,
    /// Its member of etcd is a learner and stays one.
    EtcdLearner,
    /// Its database is too large: NOSPACE.
    EtcdAlarm,
    /// Its database differs from the others': CORRUPT.
    EtcdCorrupt,
    /// Its clock is a minute and a half behind.
    ClockBehind,
    /// The file system of its containers and of etcd is nearly full.
    DiskFull,
    /// Its kubelet does not become healthy.
    KubeletUnhealthy,
    /// Its database is damaged: etcd starts, ends and is started again, until its data are wiped.
    EtcdBroken,
    /// Its clock is not in sync, without which nothing is bootstrapped.
    TimeUnsynced,
}

/// How a snapshot goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotFault {
    /// The stream ends before its time, and talosctl sees it.
    Cut,
    /// The file is as long as it should be, and one of its bytes is another.
    Damaged,
}

impl TalosFault {
    const ALL: [Self; 14] = [
        Self::RollsBack,
        Self::NeverReturns,
        Self::LosesExtensions,
        Self::UpgradeHangs,
        Self::KubeletStays,
        Self::EtcdUnhealthy,
        Self::EtcdLearner,
        Self::EtcdAlarm,
        Self::EtcdCorrupt,
        Self::ClockBehind,
        Self::DiskFull,
        Self::KubeletUnhealthy,
        Self::EtcdBroken,
        Self::TimeUnsynced,
    ];

    /// The word that a person writes for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::RollsBack => "talos-rolls-back",
            Self::NeverReturns => "talos-never-returns",
            Self::LosesExtensions => "talos-loses-extensions",
            Self::UpgradeHangs => "upgrade-hangs",
            Self::KubeletStays => "kubelet-stays",
            Self::EtcdUnhealthy => "etcd-unhealthy",
            Self::EtcdLearner => "etcd-learner",
            Self::EtcdAlarm => "etcd-alarm",
            Self::EtcdCorrupt => "etcd-corrupt",
            Self::ClockBehind => "talos-clock-behind",
            Self::DiskFull => "talos-disk-full",
            Self::KubeletUnhealthy => "talos-kubelet-unhealthy",
            Self::EtcdBroken => "etcd-broken",
            Self::TimeUnsynced => "talos-time-unsynced",
        }
    }

    pub(super) fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.word() == word)
    }
}
