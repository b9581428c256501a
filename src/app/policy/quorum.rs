//! Groups of guests of which no two may be down or in flight together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::guests_of;
use crate::actions::proxmox::object::{GuestEntry, title};
use crate::actions::proxmox::resource::Resource;
use crate::engine::ports::{Observed, Stop, World};
use crate::model::failure::{Class, Failure};
use crate::model::ids::Vmid;
use crate::model::site::QuorumGroup;
use crate::model::world::Identity;

/// A group that a step touches: its own members in it, and the others.
pub(super) struct Touched<'a> {
    /// Its place in the file.
    pub at: usize,
    pub group: &'a QuorumGroup,
    pub own: Vec<&'a GuestEntry>,
    pub others: Vec<&'a GuestEntry>,
}

impl Touched<'_> {
    /// What is wrong with moving the step's members: one step has several in flight together.
    pub fn together(&self, path: &str) -> Option<Failure> {
        let names: Vec<String> = self.own.iter().map(|guest| guest.title()).collect();
        if names.len() < 2 {
            return None;
        }
        let attempted = format!("move {} (step {path})", names.join(" and "));
        let cause = format!("policy.quorum_groups {:?}: they are members of one group", self.group.name);
        let remedy = "move all but one of them away first, one after the other";
        Some(Failure::new(Class::Precondition, attempted, cause).remedy(remedy))
    }

    /// What is wrong with taking the step's members down while these others are not running (each with what it is).
    pub fn refusal(&self, path: &str, down: &[(String, String)]) -> Option<Failure> {
        let names: Vec<String> = self.own.iter().map(|guest| guest.title()).collect();
        let why = match down {
            [] if self.own.len() < 2 => return None,
            [] => "they are members of one group".to_owned(),
            down => down.iter().map(|(who, what)| format!("{who} is {what}")).collect::<Vec<_>>().join(", "),
        };
        let attempted = format!("take {} down (step {path})", names.join(" and "));
        let cause = format!("policy.quorum_groups {:?}: {why}", self.group.name);
        let remedy = if down.is_empty() { "take one down after the other" } else { "see that the others run first" };
        Some(Failure::new(Class::Precondition, attempted, cause).remedy(remedy))
    }

    /// The others that do not run or are in motion, as their own nodes say now. What cannot be told counts as not running.
    pub async fn down_now(&self, world: &dyn World) -> Vec<(String, String)> {
        let mut down = Vec::new();
        for other in &self.others {
            let state = match world.read(&Resource::Guest(other.vmid).key()).await {
                // By whomever: a live move is over in a moment, and may fail.
                Ok(Observed::Known(guest)) if guest["lock"] == "migrate" => "on its way to another node".to_owned(),
                Ok(Observed::Known(guest)) => guest["status"].as_str().unwrap_or("gone").to_owned(),
                Ok(Observed::Unknown(why)) => format!("unknown ({why})"),
                Err(failure) => format!("unknown ({failure})"),
            };
            if state != "running" {
                down.push((other.title(), state));
            }
        }
        down
    }

    /// The others that do not run, as the list of guests has them.
    pub fn down_as_listed(&self) -> Vec<(String, String)> {
        let down = self.others.iter().filter(|other| other.status != "running");
        down.map(|other| (title(other.kind, other.vmid, &other.name), other.status.clone())).collect()
    }
}

/// The groups that a step with these objects touches, in the file's order.
pub(super) fn touched<'a>(
    groups: &'a [QuorumGroup],
    guests: &'a BTreeMap<Vmid, GuestEntry>,
    identities: &[Identity],
) -> Vec<Touched<'a>> {
    let own: BTreeSet<Vmid> = guests_of(identities).map(|(vmid, _)| vmid).collect();
    let of_group = |(at, group): (usize, &'a QuorumGroup)| {
        let is_member = |guest: &&GuestEntry| group.tags.iter().all(|tag| guest.tags.contains(tag));
        let (own, others) = guests.values().filter(is_member).partition(|guest| own.contains(&guest.vmid));
        Touched { at, group, own, others }
    };
    // A group without tags would have every guest.
    let named = groups.iter().enumerate().filter(|(_, group)| !group.tags.is_empty());
    named.map(of_group).filter(|touched| !touched.own.is_empty()).collect()
}

/// Whose turn it is in each group. Who asked first is first.
pub(super) struct Turns(Vec<Arc<Mutex<()>>>);

impl Turns {
    pub fn new(groups: &[QuorumGroup]) -> Self {
        Self(groups.iter().map(|_| Arc::default()).collect())
    }

    /// Waits until no other step is at work in any of these groups; nothing when told to stop. Groups are taken in the
    /// file's order, so that two steps never wait for each other.
    pub async fn take(&self, groups: &[Touched<'_>], stop: &Stop) -> Option<Vec<OwnedMutexGuard<()>>> {
        let mut taken = Vec::new();
        for touched in groups {
            tokio::select! {
                biased;
                () = stop.wait() => return None,
                turn = self.0[touched.at].clone().lock_owned() => taken.push(turn),
            }
        }
        Some(taken)
    }
}
