//! What was agreed to: the steps of the plan, by path, and that a run does exactly them.

use std::sync::Arc;

use serde_json::Value;

use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::StepPath;
use crate::model::plan::{Plan, PlanStep, Planned};

/// The plan's steps, found by path.
pub struct Agreed {
    plan: Arc<Plan>,
    /// Places in the plan's steps in the order of their paths: a map would hold each path, or each step, once more.
    by_path: Vec<u32>,
}

impl Agreed {
    pub fn new(plan: Arc<Plan>) -> Self {
        let mut by_path: Vec<u32> = (0..).take(plan.steps.len()).collect();
        by_path.sort_by_key(|at| &plan.steps[*at as usize].path);
        Self { plan, by_path }
    }

    pub fn step(&self, path: &StepPath) -> Option<&PlanStep> {
        let found = self.by_path.binary_search_by_key(&path, |at| &self.plan.steps[*at as usize].path);
        Some(&self.plan.steps[self.by_path[found.ok()?] as usize])
    }

    /// Whether the plan shows the items of this fan-out.
    pub fn expands(&self, path: &StepPath) -> bool {
        self.plan.expanded.contains(path)
    }

    /// A run does exactly what its plan says.
    ///
    /// # Errors
    /// The step is not in the plan, or not so.
    pub fn permits(&self, path: &StepPath, uses: &str, with: &Value, effect: Effect) -> Result<(), Failure> {
        let refuse = |why: String| {
            let failure = Failure::new(Class::Precondition, format!("step {path}"), why);
            Err(failure.remedy("make a new plan: `runbook plan …`"))
        };
        let Some(planned) = self.step(path) else { return refuse("it is not in the plan".into()) };
        if effect == Effect::Read {
            return Ok(());
        }
        match &planned.planned {
            Planned::Run | Planned::Maybe | Planned::Unchanged => {}
            Planned::Skipped(_) | Planned::Gate { .. } => return refuse("the plan says that it does not run".into()),
        }
        if planned.uses != uses {
            return refuse(format!("it uses {uses}, the plan says {}", planned.uses));
        }
        let moved = planned.with.iter().find(|(name, value)| with.get(name.as_str()) != Some(value));
        match moved {
            Some((name, value)) => {
                let now = with.get(name.as_str()).unwrap_or(&Value::Null);
                refuse(format!("its parameter {name} is {now}, the plan says {value}"))
            }
            None => Ok(()),
        }
    }
}
