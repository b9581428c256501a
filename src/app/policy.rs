//! What the site's policy forbids, for every runbook.

use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::plan::{Plan, Planned};
use crate::model::site::Policy;

/// Everything in a plan that policy forbids: a protected guest destroyed, more guests destroyed than may be.
pub fn violations(plan: &Plan, policy: &Policy) -> Vec<Failure> {
    let destroying = plan
        .steps
        .iter()
        .filter(|step| step.effect == Effect::Destroy && matches!(step.planned, Planned::Run | Planned::Maybe));
    let mut found = Vec::new();
    let mut destroyed = 0usize;
    for step in destroying {
        destroyed += step.identities.len().max(1);
        for identity in &step.identities {
            let vmid = identity.resource.as_str().rsplit('/').next().and_then(|text| text.parse::<u32>().ok());
            let tagged = identity.expect.iter().any(|(pointer, value)| {
                pointer == "/tags"
                    && value.as_array().is_some_and(|tags| {
                        tags.iter().any(|tag| policy.protect.tags.iter().any(|t| tag == t.as_str()))
                    })
            });
            if tagged || vmid.is_some_and(|id| policy.protect.vmids.iter().any(|v| v.0 == id)) {
                let attempted = format!("destroy {} (step {})", identity.object, step.path);
                found.push(
                    Failure::new(Class::Precondition, attempted, "policy.protect forbids it")
                        .remedy("take it out of policy.protect in cluster-config.yaml if it is really to go"),
                );
            }
        }
    }
    if destroyed > policy.max_destroyed as usize {
        let cause = format!("policy.max_destroyed is {}", policy.max_destroyed);
        found.push(Failure::new(Class::Precondition, format!("destroy {destroyed} objects in one run"), cause));
    }
    found
}
