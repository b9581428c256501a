//! The hash that names a plan: SHA-256 over its canonical JSON, which has sorted keys and no spaces.
//!
//! It is fed piece by piece: the tree of a plan of ten thousand steps would be many times the plan.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::event::Item;
use crate::model::ids::StepPath;
use crate::model::plan::Plan;
use crate::model::runbook::Runbook;

/// Of a plan, without the hash itself; in hexadecimal.
pub fn hash(plan: &Plan) -> String {
    let mut json = Canonical::default();
    json.object(|json| {
        let Plan { format_version, runbook, hash: _, created, summary, steps, .. } = plan;
        let Plan { guards, expanded, warnings, failure, inputs, procedure, .. } = plan;
        json.member("created", created);
        json.member("expanded", expanded);
        if let Some(failure) = failure {
            json.member("failure", failure);
        }
        json.member("format_version", format_version);
        json.list("guards", guards);
        json.member("inputs", inputs);
        json.name("procedure");
        json.object(|json| of_runbook(json, procedure));
        json.member("runbook", runbook);
        json.list("steps", steps);
        json.member("summary", summary);
        json.member("warnings", warnings);
    });
    json.digest()
}

fn of_runbook(json: &mut Canonical, runbook: &Runbook) {
    let Runbook { name, title, description, aliases, target, params, vars, lock, .. } = runbook;
    let Runbook { deadline, on_failure, require, steps, finally, outputs, procedures, .. } = runbook;
    json.member("aliases", aliases);
    json.member("deadline", deadline);
    json.member("description", description);
    json.list("finally", finally);
    json.member("lock", lock);
    json.member("name", name);
    json.member("on_failure", on_failure);
    json.member("outputs", outputs);
    json.member("params", params);
    json.member("procedures", procedures);
    json.member("require", require);
    json.list("steps", steps);
    json.member("target", target);
    json.member("title", title);
    json.member("vars", vars);
}

/// Of a plan whose fan-out's list became known: over the hash before it, its path and its items.
pub fn extended(before: &str, path: &StepPath, items: &[Item]) -> String {
    let mut json = Canonical::default();
    json.value(&serde_json::json!({"before": before, "path": path, "items": items}));
    json.digest()
}

/// Whoever calls it names the members of an object in the order of the alphabet.
#[derive(Default)]
struct Canonical {
    hasher: Sha256,
    /// Whether something stands before what comes next, in the same brackets.
    follows: bool,
}

impl Canonical {
    fn object(&mut self, members: impl FnOnce(&mut Self)) {
        self.hasher.update("{");
        self.follows = false;
        members(self);
        self.hasher.update("}");
        self.follows = true;
    }

    fn name(&mut self, name: &str) {
        if self.follows {
            self.hasher.update(",");
        }
        self.hasher.update(format!("\"{name}\":"));
        self.follows = true;
    }

    fn member(&mut self, name: &str, value: &impl Serialize) {
        self.name(name);
        self.value(value);
    }

    fn list<T: Serialize>(&mut self, name: &str, items: &[T]) {
        self.name(name);
        self.hasher.update("[");
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.hasher.update(",");
            }
            self.value(item);
        }
        self.hasher.update("]");
    }

    fn value(&mut self, value: &impl Serialize) {
        let value = serde_json::to_value(value).unwrap_or(Value::Null);
        self.hasher.update(sorted(value).to_string());
    }

    fn digest(self) -> String {
        self.hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut members: Vec<(String, Value)> =
                map.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(members.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::machine::tests::puppet::{action, created_with};
    use crate::event::Fact;
    use crate::model::failure::{Class, Failure};
    use crate::model::plan::PlanFailure;
    use crate::model::runbook::OnFailure;

    /// The whole tree at once.
    fn at_once(plan: &Plan) -> String {
        let mut value = serde_json::to_value(plan).unwrap();
        value.as_object_mut().unwrap().shift_remove("hash");
        Sha256::digest(sorted(value).to_string()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn piece_by_piece_it_is_the_hash_of_the_whole() {
        let steps = vec![action("a", "x", &[]), action("b", "x", &["a"])];
        let fact = created_with(&[], steps, vec![action("tidy", "x", &[])], OnFailure::Stop);
        let Fact::RunCreated { plan, .. } = fact else { unreachable!() };
        let mut plan = (*plan).clone();
        assert_eq!(hash(&plan), at_once(&plan));
        plan.hash = "another".into();
        plan.warnings = vec!["look".into()];
        plan.failure = Some(PlanFailure {
            path: "b".into(),
            failure: Failure::new(Class::Precondition, "probe", "there is none"),
        });
        assert_eq!(hash(&plan), at_once(&plan));
    }
}
