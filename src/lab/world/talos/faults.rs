//! What is wrong with a machine, or will be.

use super::{Stage, World};
use crate::lab::fault::{SnapshotFault, TalosFault};
use crate::model::ids::Vmid;

/// An ill of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::lab) enum Ill {
    /// The next boot of a new version fails, and it comes back with the old one.
    RollsBack,
    /// It does not come back from its next boot until it is switched off and on.
    NeverReturns,
    /// The next version comes up without its extensions.
    LosesExtensions,
    /// The next upgrade never ends for its client.
    UpgradeHangs,
    /// The next kubelet that it is given does not start.
    KubeletStays,
    EtcdUnhealthy,
    EtcdLearner,
    ClockBehind,
    DiskFull,
    KubeletUnhealthy,
    /// Its database is damaged.
    EtcdBroken,
    TimeUnsynced,
    /// Its disk was wiped.
    NoSystem,
}

pub(super) type BadSnapshot = SnapshotFault;

impl World {
    /// # Errors
    /// There is no such machine, or it has no etcd.
    pub(in crate::lab::world) fn inject_talos(&mut self, node: &str, fault: TalosFault) -> Result<(), String> {
        let vmid = self.machine_called(node).ok_or_else(|| format!("there is no Talos node {node}"))?;
        let ill = match fault {
            TalosFault::RollsBack => Ill::RollsBack,
            TalosFault::NeverReturns => Ill::NeverReturns,
            TalosFault::LosesExtensions => Ill::LosesExtensions,
            TalosFault::UpgradeHangs => Ill::UpgradeHangs,
            TalosFault::KubeletStays => Ill::KubeletStays,
            TalosFault::EtcdUnhealthy => Ill::EtcdUnhealthy,
            TalosFault::EtcdLearner => Ill::EtcdLearner,
            TalosFault::ClockBehind => Ill::ClockBehind,
            TalosFault::DiskFull => Ill::DiskFull,
            TalosFault::KubeletUnhealthy => Ill::KubeletUnhealthy,
            TalosFault::EtcdCorrupt => {
                self.member_of(vmid, node)?;
                if let Some(etcd) = self.machine_mut(vmid).and_then(|one| one.etcd.as_mut()) {
                    etcd.alarm = Some("CORRUPT".into());
                }
                return Ok(());
            }
            TalosFault::EtcdBroken => Ill::EtcdBroken,
            TalosFault::TimeUnsynced => Ill::TimeUnsynced,
            TalosFault::EtcdAlarm => {
                self.member_of(vmid, node)?;
                self.fill_etcd(vmid);
                return Ok(());
            }
        };
        if matches!(ill, Ill::EtcdUnhealthy | Ill::EtcdLearner | Ill::EtcdBroken) {
            self.member_of(vmid, node)?;
        }
        if let Some(machine) = self.machine_mut(vmid) {
            machine.ills.insert(ill);
            if let Some(etcd) = machine.etcd.as_mut().filter(|_| ill == Ill::EtcdLearner) {
                etcd.learner = true;
            }
        }
        Ok(())
    }

    fn member_of(&self, vmid: Vmid, node: &str) -> Result<(), String> {
        let etcd = self.machines.all.get(&vmid).and_then(|one| one.etcd.as_ref());
        etcd.map(|_| ()).ok_or_else(|| format!("{node} is a worker and has no etcd"))
    }

    pub(in crate::lab::world) fn inject_snapshot(&mut self, fault: SnapshotFault) {
        self.machines.snapshot = Some(fault);
    }

    /// How the snapshot that is taken now goes wrong.
    pub(in crate::lab) fn take_bad_snapshot(&mut self) -> Option<SnapshotFault> {
        self.machines.snapshot.take()
    }

    /// Makes all machines well again: what has been wiped stays wiped.
    pub fn mend_talos(&mut self) {
        self.machines.snapshot = None;
        let all: Vec<Vmid> = self.machines.all.keys().copied().collect();
        for vmid in all {
            let on = self.guests.get(&vmid).is_some_and(|guest| guest.run.is_some());
            let Some(machine) = self.machine_mut(vmid) else { continue };
            let dark = machine.stage == Stage::Dark && !machine.ills.contains(&Ill::NoSystem);
            machine.ills.retain(|ill| *ill == Ill::NoSystem);
            if let Some(etcd) = &mut machine.etcd {
                // One that is too large would only ring again.
                if etcd.alarm.take().is_some() {
                    etcd.size = etcd.size.min(etcd.used.saturating_mul(2));
                }
                etcd.learner = false;
            }
            if on && dark {
                self.machine_power(vmid, true);
            }
        }
        self.watch_talos();
    }
}
