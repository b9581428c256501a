//! The plan as programs read it: the public shape, which changes only with its version. The saved plan that `apply`
//! takes is the whole [`Plan`] and no contract.

use serde_json::{Map, Value, json};

use super::FORMAT_VERSION;
use crate::model::plan::{Plan, PlanStep, Planned};

/// `format_version`, `runbook`, `hash`, `summary`, `steps`, `warnings`, `guards`, `failure` (null where there is none).
pub fn plan_json(plan: &Plan) -> Value {
    let guards = plan.guards.iter().chain(plan.steps.iter().flat_map(|s| &s.guards));
    json!({
        "format_version": FORMAT_VERSION,
        "runbook": plan.runbook,
        "hash": plan.hash,
        "created": plan.created,
        "site": plan.inputs.site,
        "cluster": plan.inputs.cluster,
        "summary": plan.summary,
        "steps": plan.steps.iter().map(step).collect::<Vec<_>>(),
        "warnings": plan.warnings,
        "guards": guards.map(|g| g.text.as_str()).collect::<Vec<_>>(),
        "failure": plan.failure.as_ref().map(|f| json!({"path": f.path, "failure": f.failure})),
    })
}

fn step(step: &PlanStep) -> Value {
    let (planned, detail) = match &step.planned {
        Planned::Run => ("run", None),
        Planned::Maybe => ("maybe", None),
        Planned::Unchanged => ("unchanged", None),
        Planned::Skipped(reason) => ("skipped", Some(("reason", json!(reason)))),
        Planned::Gate { message, show, word } => {
            ("gate", Some(("gate", json!({"message": message, "show": show, "word": word}))))
        }
    };
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| {
        out.insert(key.to_owned(), value);
    };
    put("path", json!(step.path));
    put("uses", json!(step.uses));
    put("effect", json!(step.effect));
    put("change", json!(step.change));
    put("planned", json!(planned));
    put("summary", json!(step.summary));
    put("undo", json!(step.undo));
    put("with", json!(step.with));
    put("unknown", json!(step.unknown));
    put("notes", json!(step.notes));
    put("guards", step.guards.iter().map(|g| json!(g.text)).collect());
    if let Some((key, value)) = detail {
        put(key, value);
    }
    if let Some(outputs) = &step.pinned {
        put("outputs", outputs.clone());
    }
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_public_shape_of_a_plan() {
        insta::assert_json_snapshot!(plan_json(&sample::plan()));
    }

    #[test]
    fn a_failed_plan_says_so() {
        let shown = plan_json(&sample::failed_plan());
        assert_eq!(shown["failure"]["path"], "placement");
        assert_eq!(shown["failure"]["failure"]["class"], "precondition");
    }
}
