//! etcd on the machines: who is a member, who leads, and what happens to a database.

use sha2::{Digest, Sha256};

use super::{Ill, Machine, Turn, World};
use crate::model::ids::Vmid;

/// How large a database may be before writes are refused.
const QUOTA: u64 = 2_147_483_648;
/// How long a learner takes to catch up.
pub(super) const CATCH_UP_MS: u64 = 20_000;
/// From a bootstrap until its member answers.
const BEGIN_MS: u64 = 6_000;
/// How soon something is written again after an alarm was disarmed.
const WRITE_MS: u64 = 5_000;

/// A member of etcd, or what a machine holds of one.
#[derive(Debug, Clone)]
pub(in crate::lab) struct Etcd {
    pub id: u64,
    pub learner: bool,
    /// `NOSPACE`, `CORRUPT`
    pub alarm: Option<String>,
    /// Bytes of its database, and of them in use.
    pub size: u64,
    pub used: u64,
    /// Whether the others have struck it from their list.
    pub removed: bool,
    /// Whether its data are gone, so that it can join as a new member.
    pub wiped: bool,
    /// The revision that it begins with, once it was told to begin an etcd of its own.
    pub begins: Option<u64>,
}

/// What is in the database, as far as it can be told one from another.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Data {
    /// The revision of the snapshot that it was made from; nothing: it was never restored.
    pub restored: Option<u64>,
    revision: u64,
    index: u64,
    /// When it had those two.
    since: u64,
}

impl Data {
    pub fn first() -> Self {
        Self { restored: None, revision: 4_000, index: 40_000, since: 0 }
    }
}

/// A member that is on the list and that no machine is any more.
#[derive(Debug, Clone)]
pub(super) struct Ghost {
    id: u64,
    of: Machine,
}

impl Etcd {
    pub fn new(id: u64) -> Self {
        Self {
            id,
            learner: false,
            alarm: None,
            size: 20_971_520,
            used: 9_543_680,
            removed: false,
            wiped: false,
            begins: None,
        }
    }
}

/// The id of a machine's member, the `nth` that it has been.
pub(super) fn id_of(hostname: &str, nth: u64) -> u64 {
    let text = if nth == 0 { hostname.to_owned() } else { format!("{hostname}/{nth}") };
    let sum = Sha256::digest(text);
    sum[..8].iter().fold(0, |id, byte| id << 8 | u64::from(*byte))
}

impl World {
    /// Whether a machine's own member answers.
    pub(in crate::lab) fn etcd_answers(&self, vmid: Vmid) -> bool {
        let sick = |one: &&Machine| one.ills.contains(&Ill::EtcdUnhealthy) || one.ills.contains(&Ill::EtcdBroken);
        let machine = self.machines.all.get(&vmid).filter(|one| !sick(one));
        self.is_serving(vmid)
            && machine.and_then(|one| one.etcd.as_ref()).is_some_and(|etcd| !etcd.removed && !etcd.wiped)
    }

    /// The members on the list with their machines, and whether they answer.
    pub(in crate::lab) fn etcd(&self) -> Vec<(&Machine, &Etcd, bool)> {
        let own = self.machines().filter_map(|(vmid, machine)| {
            let etcd = machine.etcd.as_ref().filter(|etcd| !etcd.removed && !etcd.wiped)?;
            Some((machine, etcd, self.etcd_answers(vmid)))
        });
        let ghosts = self.machines.ghosts.iter().filter_map(|ghost| Some((&ghost.of, ghost.of.etcd.as_ref()?, false)));
        own.chain(ghosts).collect()
    }

    /// Whether more than half of the voting members answer.
    pub(in crate::lab) fn etcd_has_quorum(&self) -> bool {
        self.etcd_keeps_quorum(&[])
    }

    /// Whether they would without these machines.
    pub(in crate::lab) fn etcd_keeps_quorum(&self, without: &[Vmid]) -> bool {
        let gone: Vec<&str> =
            without.iter().filter_map(|vmid| Some(self.machines.all.get(vmid)?.hostname.as_str())).collect();
        let members = self.etcd();
        let voters: Vec<_> = members.iter().filter(|(_, etcd, _)| !etcd.learner).collect();
        let there = voters.iter().filter(|(one, _, answers)| *answers && !gone.contains(&one.hostname.as_str()));
        there.count() * 2 > voters.len()
    }

    fn votes(&self, vmid: Vmid) -> bool {
        let etcd = self.machines.all.get(&vmid).and_then(|one| one.etcd.as_ref());
        self.etcd_answers(vmid) && etcd.is_some_and(|etcd| !etcd.learner)
    }

    /// The machine of the leader: the one that was, as long as it can be, then the next; none without quorum.
    pub(in crate::lab) fn etcd_leader_machine(&self) -> Option<Vmid> {
        if !self.etcd_has_quorum() {
            return None;
        }
        let was = self.machines.leader;
        was.filter(|vmid| self.votes(*vmid)).or_else(|| self.next_leader(was))
    }

    fn next_leader(&self, after: Option<Vmid>) -> Option<Vmid> {
        let able: Vec<Vmid> = self.machines.all.keys().copied().filter(|vmid| self.votes(*vmid)).collect();
        let later = able.iter().find(|vmid| Some(**vmid) > after);
        later.or(able.first()).copied().filter(|vmid| Some(*vmid) != after)
    }

    /// Its member's id.
    pub(in crate::lab) fn etcd_leader(&self) -> Option<u64> {
        let machine = self.machines.all.get(&self.etcd_leader_machine()?)?;
        machine.etcd.as_ref().map(|etcd| etcd.id)
    }

    pub(in crate::lab) fn raft_term(&self) -> u64 {
        self.machines.term
    }

    /// How far its log is: it grows with time.
    pub(in crate::lab) fn raft_index(&self) -> u64 {
        let data = self.machines.data;
        data.index + (self.now - data.since) / 100
    }

    /// Of its keys: it grows more slowly.
    pub(in crate::lab) fn etcd_revision(&self) -> u64 {
        let data = self.machines.data;
        data.revision + (self.now - data.since) / 1000
    }

    /// Takes down who leads now; a new leader is a new term.
    pub(super) fn settle_leader(&mut self) {
        let leader = self.etcd_leader_machine();
        if leader.is_some() && leader != self.machines.leader {
            self.machines.leader = leader;
            self.machines.term += 1;
        }
    }

    /// The leader hands over to another; one that does not lead does nothing.
    pub(in crate::lab) fn forfeit_leadership(&mut self, vmid: Vmid) {
        if self.etcd_leader_machine() == Some(vmid)
            && let Some(next) = self.next_leader(Some(vmid))
        {
            self.machines.leader = Some(next);
            self.machines.term += 1;
        }
    }

    /// Strikes a member from the list; whether there was one.
    pub(in crate::lab) fn remove_member(&mut self, id: u64) -> bool {
        let ghosts = self.machines.ghosts.len();
        self.machines.ghosts.retain(|ghost| ghost.id != id);
        let mut found = self.machines.ghosts.len() < ghosts;
        for etcd in self.machines.all.values_mut().filter_map(|one| one.etcd.as_mut()) {
            if etcd.id == id && !etcd.removed && !etcd.wiped {
                (etcd.removed, found) = (true, true);
            }
        }
        found
    }

    /// A machine's data are gone: what it has not been struck from, it stays on.
    pub(super) fn forget_etcd(&mut self, vmid: Vmid) {
        let Some(machine) = self.machines.all.get_mut(&vmid) else { return };
        let of = machine.clone();
        let Some(etcd) = machine.etcd.as_mut().filter(|etcd| !etcd.wiped) else { return };
        if !etcd.removed {
            self.machines.ghosts.push(Ghost { id: etcd.id, of });
        }
        (etcd.wiped, etcd.begins) = (true, None);
        machine.ills.remove(&Ill::EtcdBroken);
    }

    /// A control plane without data is told to begin an etcd of its own, from a snapshot of that revision or from nothing.
    pub(in crate::lab) fn bootstrap_etcd(&mut self, vmid: Vmid, revision: u64) {
        if self.etcd_has_quorum() {
            self.violated(format!(
                "`talosctl bootstrap` makes a second etcd on guest {vmid}, beside one with its quorum"
            ));
        }
        let Some(machine) = self.machines.all.get_mut(&vmid) else { return };
        let life = machine.life;
        if let Some(etcd) = machine.etcd.as_mut() {
            etcd.begins = Some(revision);
            self.turn_in(BEGIN_MS, vmid, life, Turn::Begins);
        }
    }

    /// The new etcd is there: nobody else is a member of it, whatever the others have on their disks.
    pub(super) fn begin_etcd(&mut self, vmid: Vmid) {
        let Some(machine) = self.machines.all.get_mut(&vmid) else { return };
        let id = id_of(&machine.hostname, machine.boots + 1000);
        let Some(etcd) = machine.etcd.as_mut() else { return };
        let Some(revision) = etcd.begins.take() else { return };
        *etcd = Etcd::new(id);
        let others = self.machines.all.iter_mut().filter(|(own, _)| **own != vmid);
        for etcd in others.filter_map(|(_, machine)| machine.etcd.as_mut()).filter(|etcd| !etcd.wiped) {
            etcd.removed = true;
        }
        self.machines.ghosts.clear();
        self.machines.data = Data { restored: Some(revision), revision, index: 4, since: self.now };
        self.machines.leader = Some(vmid);
        self.machines.term = 2;
        self.join_waiting();
    }

    /// Those who wait for an etcd to join ask again.
    pub(super) fn join_waiting(&mut self) {
        let waiting = self.machines.all.keys().copied().filter(|vmid| self.is_serving(*vmid));
        for vmid in waiting.collect::<Vec<_>>() {
            self.join_etcd(vmid);
        }
    }

    /// A control plane without data joins as a learner, once the list has no member at its address and no other learner:
    /// etcd takes one at a time.
    pub(super) fn join_etcd(&mut self, vmid: Vmid) {
        if !self.etcd_has_quorum() || self.etcd().iter().any(|(_, etcd, _)| etcd.learner) {
            return;
        }
        let address = self.machines.all.get(&vmid).map(|machine| machine.address.clone());
        let listed = |one: &Machine| one.etcd.as_ref().is_some_and(|etcd| !etcd.removed && !etcd.wiped);
        let stale =
            self.machines().any(|(own, one)| own != vmid && Some(&one.address) == address.as_ref() && listed(one));
        let Some(machine) = self.machines.all.get_mut(&vmid) else { return };
        let (boots, life, hostname) = (machine.boots, machine.life, machine.hostname.clone());
        let stale = stale || self.machines.ghosts.iter().any(|ghost| ghost.of.address == machine.address);
        if let Some(etcd) = machine.etcd.as_mut().filter(|etcd| etcd.wiped && etcd.begins.is_none() && !stale) {
            *etcd = Etcd { learner: true, ..Etcd::new(id_of(&hostname, boots + etcd.id % 1_000_000)) };
            self.turn_in(CATCH_UP_MS, vmid, life, Turn::Votes);
        }
    }

    /// Gives back what is not in use.
    pub(in crate::lab) fn defragment(&mut self, vmid: Vmid) {
        if let Some(etcd) = self.machine_mut(vmid).and_then(|one| one.etcd.as_mut()) {
            etcd.size = etcd.used + etcd.used / 64;
        }
    }

    /// Disarms all alarms; one whose database is still too large rings again at the next write.
    pub(in crate::lab) fn disarm(&mut self) -> Vec<(u64, String)> {
        let mut gone = Vec::new();
        let mut again = Vec::new();
        for (vmid, machine) in &mut self.machines.all {
            let Some(etcd) = machine.etcd.as_mut() else { continue };
            if let Some(alarm) = etcd.alarm.take() {
                gone.push((etcd.id, alarm));
                again.extend((etcd.size >= QUOTA).then_some((*vmid, machine.life)));
            }
        }
        for (vmid, life) in again {
            self.turn_in(WRITE_MS, vmid, life, Turn::Writes);
        }
        gone
    }

    /// Something is written: a database that is too large says so.
    pub(super) fn write_etcd(&mut self, vmid: Vmid) {
        if let Some(etcd) = self.machine_mut(vmid).and_then(|one| one.etcd.as_mut()).filter(|etcd| etcd.size >= QUOTA) {
            etcd.alarm = Some("NOSPACE".into());
        }
    }

    /// A database that has grown too large.
    pub(super) fn fill_etcd(&mut self, vmid: Vmid) {
        if let Some(etcd) = self.machine_mut(vmid).and_then(|one| one.etcd.as_mut()) {
            etcd.size = QUOTA + 4096;
        }
        self.write_etcd(vmid);
    }
}
