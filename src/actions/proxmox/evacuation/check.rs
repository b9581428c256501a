//! `proxmox.check_evacuation`: whether the moves of a plan that are left still fit, with the loads as they are now.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;

use crate::actions::proxmox::look::read;
use crate::actions::proxmox::resource::Resource;
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::param::{Param, ValueType};
use crate::placement::evacuation::{Evacuation, Facts, still_fits};

/// The action.
pub struct CheckEvacuation {
    spec: ActionSpec,
}

impl Default for CheckEvacuation {
    fn default() -> Self {
        let spec = ActionSpec::new("proxmox.check_evacuation", Effect::Read, "Check that an evacuation still fits")
            .param(Param::new("plan", ValueType::Map).required().help("`plan` of proxmox.plan_evacuation"))
            .output("left", ValueType::Int, "Moves that are still to be made")
            .needs_privilege("VM.Audit on /vms")
            .needs_privilege("Sys.Audit on /")
            .needs_privilege("Datastore.Audit on /storage");
        Self { spec }
    }
}

fn refused(plan: &Evacuation, wrong: Vec<String>) -> Failure {
    let cause = match &wrong[..] {
        [only] => only.clone(),
        _ => format!("{} things have changed; first: {}", wrong.len(), wrong[0]),
    };
    Failure::new(Class::Precondition, format!("check that the moves off {} still fit", plan.node), cause)
        .details(wrong)
        .remedy("plan the evacuation anew: what has been moved already stays where it is")
}

#[async_trait]
impl Action for CheckEvacuation {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let plan = Evacuation::deserialize(call.get("plan")).map_err(|e| {
            let cause = format!("expected `plan` of proxmox.plan_evacuation: {e}");
            Failure::new(Class::Precondition, "read the parameter `plan`", cause)
        })?;
        let now: Facts = read(world, Resource::Placement(plan.node.clone())).await?;
        still_fits(&plan, &now).map_err(|wrong| refused(&plan, wrong))?;
        let there = |vmid, to| now.guest(vmid).is_some_and(|g| &g.node == to);
        let left = plan.moves.iter().filter(|m| !there(m.vmid, &m.to)).count();
        let summary = match left {
            0 => "nothing is left to move".to_owned(),
            1 => "the 1 move that is left still fits".to_owned(),
            n => format!("all {n} moves that are left still fit"),
        };
        Ok(Reading { outputs: json!({"left": left}), summary, guards: Vec::new(), notes: Vec::new() })
    }
}
