//! Steps that a plan could say little or nothing about, in a line: made from what they are called with once that is
//! known.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::event::Invocation;
use crate::model::runbook::{Rollback, Runbook, Step, Verb};
use crate::model::shell;

/// Characters of a value; the whole of it is in the journal.
const MOST: usize = 60;

/// Which parameters of each action the author wrote: what only has its default says nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Written(BTreeMap<String, BTreeSet<String>>);

impl Written {
    pub fn of(runbook: &Runbook) -> Self {
        let mut written = Self::default();
        written.gather(&runbook.steps);
        written.gather(&runbook.finally);
        for called in runbook.procedures.values() {
            written.gather(&called.steps);
            written.gather(&called.finally);
        }
        written
    }

    fn gather(&mut self, steps: &[Step]) {
        for step in steps {
            match &step.verb {
                Verb::Uses { action, with } => {
                    let names = self.0.entry(action.clone()).or_default();
                    names.extend(with.iter().map(|(name, _)| name.clone()));
                }
                Verb::Steps(inner) | Verb::Parallel(inner) => self.gather(inner),
                Verb::Call { .. } | Verb::Confirm(_) => {}
            }
            if let Rollback::Steps(steps) = &step.rollback {
                self.gather(steps);
            }
        }
    }

    /// `proxmox.guest_migrate guest=104 to=pve1`
    pub fn line(&self, call: &Invocation) -> String {
        let names = self.0.get(&call.uses);
        let said = |name: &str| names.is_none_or(|names| names.contains(name));
        let fields = call.with.as_object().into_iter().flatten();
        let given = fields.filter(|(name, value)| said(name) && !is_nothing(value));
        let words = given.map(|(name, value)| format!(" {name}={}", short(value)));
        call.uses.clone() + &words.collect::<String>()
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

fn short(value: &Value) -> String {
    let text = match value {
        Value::String(text) => shell::quote(text),
        Value::Array(items) => {
            let words = items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned));
            format!("[{}]", words.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    };
    if text.chars().count() <= MOST {
        return text;
    }
    text.chars().take(MOST).collect::<String>() + "…"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_the_author_wrote_is_said() {
        let mut written = Written::default();
        written.0.insert("a.move".into(), ["guest", "to", "argv"].map(str::to_owned).into());
        let line = |with| written.line(&Invocation { uses: "a.move".into(), with });
        assert_eq!(line(json!({"guest": 104, "to": "pve1", "mode": "online"})), "a.move guest=104 to=pve1");
        assert_eq!(line(json!({"guest": null, "argv": ["echo", "a b"]})), "a.move argv=[echo, a b]");
        let other = Invocation { uses: "b.do".into(), with: json!({"x": true, "list": []}) };
        assert_eq!(written.line(&other), "b.do x=true");
        assert!(line(json!({"to": "x".repeat(500)})).chars().count() < 100);
    }
}
