//! Policy over a plan: all that it forbids, before anything is begun.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::Value;

use super::quorum::touched;
use super::{forbidden_loss, guests, guests_of, lost, protected, too_many};
use crate::engine::ports::{Action, Actions, Call, Mutate, Prediction, Probe, Reading, Recovery, Unreadable, World};
use crate::event::{Intent, Invocation};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::StepPath;
use crate::model::plan::{Plan, PlanStep, Planned};
use crate::model::site::{Policy, QuorumGroup};

/// Looks at the guests of the site through each step's eyes while a plan is made: in the world that the steps before
/// it leave, which only actions are shown.
#[derive(Clone)]
pub struct Onlooker {
    groups: Arc<[QuorumGroup]>,
    seen: Arc<Mutex<BTreeMap<StepPath, Refusals>>>,
}

/// What would be wrong with a step.
#[derive(Clone, Default)]
struct Refusals {
    /// Where it takes its objects down.
    down: Vec<Failure>,
    /// Where it only moves them.
    moved: Vec<Failure>,
}

impl Onlooker {
    pub fn new(policy: &Policy) -> Self {
        Self { groups: policy.quorum_groups.clone().into(), seen: Arc::default() }
    }

    /// The same actions, looked over the shoulder.
    pub fn beside(&self, actions: &Actions) -> Actions {
        if self.groups.is_empty() {
            return actions.clone();
        }
        let beside = |action: &Arc<dyn Action>| {
            let watched: Arc<dyn Action> = Arc::new(Watched { action: action.clone(), by: self.clone() });
            watched
        };
        actions.iter().map(|(name, action)| (name.clone(), beside(action))).collect()
    }

    /// Keeps what would be wrong if the step took its objects down. Whether it does is known when it is a row.
    async fn look(&self, path: &StepPath, probe: &Probe, world: &dyn World) -> Result<(), Failure> {
        if probe.satisfied || guests_of(&probe.identities).next().is_none() {
            return Ok(());
        }
        let Some(guests) = guests(world).await? else { return Ok(()) };
        let groups = touched(&self.groups, &guests, &probe.identities);
        let refusals = groups.iter().filter_map(|group| group.refusal(path.as_str(), &group.down_as_listed()));
        let moved = groups.iter().filter_map(|group| group.together(path.as_str())).collect();
        let refusals = Refusals { down: refusals.collect(), moved };
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone(), refusals);
        Ok(())
    }

    fn refusals(&self, path: &StepPath, effect: Effect) -> Vec<Failure> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Refusals { down, moved } = seen.get(path).cloned().unwrap_or_default();
        if effect >= Effect::Disrupt { down } else { moved }
    }
}

/// Everything in a plan that policy forbids, as one failure.
///
/// # Errors
/// The site's guests cannot be read.
pub async fn violation(
    plan: &Plan,
    policy: &Policy,
    by: &Onlooker,
    world: &dyn World,
) -> Result<Option<Failure>, Failure> {
    violations(plan, policy, by, world).await.map(as_one)
}

async fn violations(plan: &Plan, policy: &Policy, by: &Onlooker, world: &dyn World) -> Result<Vec<Failure>, Failure> {
    let runs = |step: &&PlanStep| matches!(step.planned, Planned::Run | Planned::Maybe);
    let mut found = Vec::new();
    let destroying: Vec<&PlanStep> =
        plan.steps.iter().filter(runs).filter(|step| step.effect == Effect::Destroy).collect();
    // Where no guest is lost the site need not be asked: there may be none.
    if destroying.iter().any(|step| guests_of(&step.identities).next().is_some()) {
        let guests = guests(world).await?.unwrap_or_default();
        for step in &destroying {
            for (vmid, identity) in guests_of(&step.identities) {
                let tags = guests.get(&vmid).map(|guest| guest.tags.as_slice()).unwrap_or_default();
                let why = protected(&policy.protect, vmid, tags);
                found.extend(why.map(|why| forbidden_loss(&identity.object, step.path.as_str(), why)));
            }
        }
    }
    let destroyed: usize = destroying.iter().map(|step| lost(&step.identities)).sum();
    if destroyed > policy.max_destroyed as usize {
        found.push(too_many(destroyed, policy.max_destroyed));
    }
    let changing = plan.steps.iter().filter(runs).filter(|step| step.effect > Effect::Read);
    found.extend(changing.flat_map(|step| by.refusals(&step.path, step.effect)));
    Ok(found)
}

/// They are shown at once.
fn as_one(mut found: Vec<Failure>) -> Option<Failure> {
    if found.len() < 2 {
        return found.pop();
    }
    let what = format!("keep to the site's policy in {} places", found.len());
    let lines = found.iter().flat_map(|failure| {
        let remedy = failure.remedy.as_ref().map(|remedy| format!("  {remedy}"));
        std::iter::once(failure.to_string()).chain(remedy)
    });
    let failure = Failure::new(Class::Precondition, what, "the policy of cluster-config.yaml forbids it");
    Some(failure.details(lines.collect()).remedy("change the plan so that it keeps to each of them"))
}

/// An action of which a plan is made while somebody looks on.
struct Watched {
    action: Arc<dyn Action>,
    by: Onlooker,
}

#[async_trait]
impl Action for Watched {
    fn spec(&self) -> &ActionSpec {
        self.action.spec()
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        self.action.read(call, world).await
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let probe = self.action.probe(call, world).await?;
        self.by.look(&call.path, &probe, world).await?;
        Ok(probe)
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        self.action.predict(call, before)
    }

    async fn prepare(&self, call: &Call, world: &dyn World) -> Result<Value, Failure> {
        self.action.prepare(call, world).await
    }

    async fn apply(&self, call: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        self.action.apply(call, intent, mutate).await
    }

    async fn attach(&self, call: &Call, intent: &Intent, handle: &Value, mutate: &Mutate) -> Result<Value, Failure> {
        self.action.attach(call, intent, handle, mutate).await
    }

    async fn verify(&self, call: &Call, before: &Value, outputs: &Value, world: &dyn World) -> Result<(), Failure> {
        self.action.verify(call, before, outputs, world).await
    }

    async fn recover(
        &self,
        call: &Call,
        intent: &Intent,
        handle: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        self.action.recover(call, intent, handle, world).await
    }

    fn undo(&self, call: &Call, before: &Value, outputs: Option<&Value>) -> Option<Invocation> {
        self.action.undo(call, before, outputs)
    }

    fn commands(&self, call: &Call, before: &Probe) -> Vec<String> {
        self.action.commands(call, before)
    }

    fn undo_summary(&self, call: &Call, before: &Probe) -> Option<String> {
        self.action.undo_summary(call, before)
    }
}
