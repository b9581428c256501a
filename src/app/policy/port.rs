//! The engine's `Policy` port: asked before each change, whatever the plan said. Only here are the objects known that
//! a fan-out finds late.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::quorum::{Turns, touched};
use super::{forbidden_loss, guests, guests_of, lost, protected, too_many};
use crate::actions::proxmox::object::Guest;
use crate::actions::proxmox::resource::Resource;
use crate::engine::ports::{Doing, Permit, Policy, Stop, World};
use crate::event::{Event, Fact};
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::StepPath;
use crate::model::site;

/// The site's policy over one run.
pub struct SitePolicy {
    policy: site::Policy,
    turns: Turns,
    /// How many guests each step of the run has begun to destroy; a second attempt destroys no more than the first.
    destroyed: Mutex<BTreeMap<StepPath, usize>>,
}

impl SitePolicy {
    /// `before` is what the run's journal holds already: a resumed process must know what was destroyed before it came.
    pub fn new(policy: &site::Policy, before: &[Event]) -> Self {
        let turns = Turns::new(&policy.quorum_groups);
        Self { policy: policy.clone(), turns, destroyed: Mutex::new(destroyed(before)) }
    }

    async fn may_destroy(&self, doing: Doing<'_>, world: &dyn World) -> Result<(), Failure> {
        for (vmid, identity) in guests_of(doing.identities) {
            let seen = world.read(&Resource::Guest(vmid).key()).await?.known(&identity.object);
            let seen = seen.map_err(|why| Failure::new(Class::Precondition, &identity.object, why.to_string()))?;
            let guest: Option<Guest> = serde_json::from_value((*seen).clone())
                .map_err(|e| Failure::new(Class::Internal, format!("read {}", identity.object), e.to_string()))?;
            let tags = guest.map(|guest| guest.tags).unwrap_or_default();
            if let Some(why) = protected(&self.policy.protect, vmid, &tags) {
                return Err(forbidden_loss(&identity.object, doing.path.as_str(), why));
            }
        }
        if is_own_undo(doing.path) {
            return Ok(());
        }
        let mut destroyed = self.destroyed.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier: usize = destroyed.iter().filter(|(path, _)| *path != doing.path).map(|(_, n)| n).sum();
        let own = lost(doing.identities);
        if earlier + own > self.policy.max_destroyed as usize {
            return Err(too_many(earlier + own, self.policy.max_destroyed));
        }
        destroyed.insert(doing.path.clone(), own);
        Ok(())
    }

    /// Waits for the step's turn in its groups, then makes sure that what it takes down is the only one that is.
    async fn turn(&self, doing: Doing<'_>, world: &dyn World, stop: &Stop) -> Result<Permit, Failure> {
        if self.policy.quorum_groups.is_empty() || guests_of(doing.identities).next().is_none() {
            return Ok(Box::new(()));
        }
        let guests = guests(world).await?.unwrap_or_default();
        let groups = touched(&self.policy.quorum_groups, &guests, doing.identities);
        let Some(turn) = self.turns.take(&groups, stop).await else { return Ok(Box::new(())) };
        if doing.effect < Effect::Disrupt
            && let Some(failure) = groups.iter().find_map(|group| group.together(doing.path.as_str()))
        {
            return Err(failure);
        }
        if doing.effect >= Effect::Disrupt {
            for group in &groups {
                let down = group.down_now(world).await;
                if let Some(failure) = group.refusal(doing.path.as_str(), &down) {
                    return Err(failure);
                }
            }
        }
        Ok(Box::new(turn))
    }
}

#[async_trait]
impl Policy for SitePolicy {
    async fn permit(&self, doing: Doing<'_>, world: &dyn World, stop: &Stop) -> Result<Permit, Failure> {
        let permit = self.turn(doing, world, stop).await?;
        if doing.effect == Effect::Destroy {
            self.may_destroy(doing, world).await?;
        }
        Ok(permit)
    }
}

/// An action's own inverse takes away what the run itself has made, which is no loss to count.
fn is_own_undo(path: &StepPath) -> bool {
    path.ends_as_undo()
}

/// What the steps of a run have begun to destroy: an intent names no object, the plan's row of its step does.
fn destroyed(before: &[Event]) -> BTreeMap<StepPath, usize> {
    let mut planned = BTreeMap::new();
    let mut destroyed = BTreeMap::new();
    for fact in before.iter().filter_map(Event::fact) {
        match fact {
            Fact::RunCreated { plan, .. } => {
                planned = plan.steps.iter().map(|step| (step.path.clone(), lost(&step.identities))).collect();
            }
            Fact::Started { path, intent, .. } if intent.effect == Effect::Destroy && !is_own_undo(path) => {
                let objects = planned.get(path).copied().unwrap_or(1);
                destroyed.insert(path.clone(), objects);
            }
            _ => {}
        }
    }
    destroyed
}
